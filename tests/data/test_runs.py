"""Whole runs that look at data, and the package commands, from the outside."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_release import cli
from pytest_release.atomic import sha256_of
from pytest_release.sandbox import package_faults as spoilt
from pytest_release.sandbox.stores import UUIDS, Stores

ROOT = Path(__file__).parents[2]
ONE, TWO = UUIDS
VERIFY = "import sys; from pytest_release.cli import main; sys.exit(main())"
DATA = "package or row_count or tkg or identity"
ENVIRONMENT = """\
name: here
role: development
system: momentry
base_url: http://127.0.0.1:9
services:
  postgres: {{dsn: "${{DSN}}", schema: dev}}
  files: {{output: {output}, packages: {packages}}}
gates:
  tkg: {{required: true}}
  identity: {{required: true}}
  people: {{required: false}}
"""
OWN = """
import pytest

@pytest.mark.people
def test_people(deployment, package, postgres, evidence):
    evidence.measure("people", deployment.rows["identities"])
    assert package.uuid == deployment.uuid
    assert package.tables["identities"].rows == 44
    assert postgres.query("SELECT 1") == [(1,)]
"""


@pytest.fixture
def folder(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder whose environment is the furnished stores."""
    monkeypatch.setenv("DSN", stores.dsn)
    monkeypatch.chdir(tmp_path)
    for part in ("cases", "systems"):
        shutil.copytree(ROOT / "fixtures" / part, tmp_path / "fixtures" / part)
    (tmp_path / "fixtures" / "environments").mkdir()
    text = ENVIRONMENT.format(output=stores.output, packages=stores.folder / "packages")
    (tmp_path / "fixtures" / "environments" / "here.yaml").write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\nrelease_testpaths = own\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "test_people.py").write_text(OWN)
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Exit status, output and evidence.json of a run."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    result = subprocess.run(
        command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False
    )
    report = folder / "reports" / "latest" / "evidence.json"
    return result.returncode, result.stdout + result.stderr, json.loads(report.read_text())


def cases(evidence: dict[str, Any]) -> dict[str, str]:
    """Case -> verdict, of all gates that ran."""
    return {
        case["case"]: case["verdict"]
        for gate in evidence["gates"]
        for case in gate["cases"]
        if gate["asked"]
    }


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_the_demo_is_judged_row_by_row(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """Both files, every look, and the packages are subjects of the attestation."""
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    status, output, evidence = run(tmp_path, "-m", DATA, "--env", "demo", "--uuid", "all", *workers)

    assert status == 0, output
    assert len(cases(evidence)) == 2 * (10 + 8 + 7 + 8)
    assert set(cases(evidence).values()) == {"PASSED"}
    packages = evidence["context"]["release"]["packages"]
    assert [name.partition("_")[0] for name in packages] == list(UUIDS)


def test_a_fault_of_data_fails_the_run(tmp_path: Path) -> None:
    """``--fault`` damages the stores; the message is on the terminal."""
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    status, output, evidence = run(
        tmp_path, "-m", "tkg", "--env", "demo", "--uuid", ONE, "--fault", "tkg.self-loop"
    )

    assert status == 1
    assert f"tkg_edges {ONE[:8]}-bad: leads from" in output
    assert cases(evidence)[f"tkg/duplicates/{ONE}"] == "FAILED"
    assert cases(evidence)[f"tkg/ends/{ONE}"] == "PASSED"


def test_tests_of_ones_own_run_for_each_deployment(folder: Path) -> None:
    """With the fixtures `deployment`, `package` and `postgres`, under a marker of their own."""
    status, output, evidence = run(folder, "-m", "people", "--env", "here", "--uuid", "all")

    assert status == 0, output
    figures = [
        measured["estimate"]["value"]
        for gate in evidence["gates"]
        for case in gate["cases"]
        if case["evidence"]
        for measured in case["evidence"]["measurements"]
    ]
    assert figures == [44.0, 42.0]


def test_without_a_uuid_nothing_passes(folder: Path) -> None:
    """No deployment was named: every look fails and says how to name one."""
    status, output, evidence = run(folder, "-m", "tkg", "--env", "here")

    assert status == 1
    assert set(cases(evidence).values()) == {"FAILED"}
    assert "there is no deployment to look at: name one with --uuid UUID" in output


def test_a_package_names_its_deployment(folder: Path, stores: Stores) -> None:
    """``--package`` alone is enough."""
    status, _, evidence = run(
        folder, "-m", "identity", "--env", "here", "--package", str(stores.packages[TWO])
    )

    assert status == 0
    assert {name.rpartition("/")[2] for name in cases(evidence)} == {TWO}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--uuid", "me"), r"--uuid 'me' is no UUID of momentry: expected all, or what matches"),
        (("--package", "gone.tar"), r"--package .*gone\.tar is not named like a package: expected"),
    ],
)
def test_what_cannot_be_judged_is_a_usage_error(
    folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    """One sentence, no traceback, exit status 4."""
    command = [sys.executable, "-m", "pytest", "--env", "here", *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert re.search(message, result.stderr)
    assert "Traceback" not in result.stderr


def test_a_database_that_is_down_ends_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--uuid all`` cannot be answered: INCOMPLETE, with the reason, and the password masked."""
    monkeypatch.setenv("DSN", "postgresql://me:sesame-0451@127.0.0.1:1/gone")
    status, output, evidence = run(folder, "-m", "tkg", "--env", "here", "--uuid", "all")

    assert status == 1
    assert evidence["verdict"] == "NOT_RUN"
    assert "postgres 127.0.0.1:1/gone cannot be reached: Connection refused" in output
    assert "sesame" not in output + json.dumps(evidence)


Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(folder: Path, capsys: pytest.CaptureFixture[str]) -> Ran:
    """Runs ``pytest-release`` in the user's folder."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        status = cli.main(arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return ran


def test_package_verify_prints_what_is_in_it(command: Ran, stores: Stores) -> None:
    """Digest, version, rows, dimensions; the status is 0 when it is good."""
    file = stores.packages[ONE]
    status, out, err = command("package", "verify", str(file), "--system", "momentry")

    assert (status, err) == (0, "")
    assert f"sha256   {sha256_of(file)}" in out
    assert "version  1.0.0 (d34bcae)" in out
    assert re.search(r"^ +600  face_detections  embedding: 512 dimensions$", out, re.MULTILINE)
    assert out.endswith("  good\n")


def test_a_terminal_shows_how_far_it_is(folder: Path, stores: Stores) -> None:
    """A bar that fills up on standard error and is wiped away; a pipe gets the result alone."""
    file = stores.packages[ONE]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0) as terminal, os.fdopen(theirs, "wb", 0) as stderr:
        done = subprocess.run(
            [sys.executable, "-c", VERIFY, "package", "verify", str(file)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=True,
        )
        shown = terminal.read(65536).decode()

    assert shown.startswith(f"\r{file.name} [")
    assert shown.endswith(f"[{'#' * 30}]\r\x1b[K")
    assert done.stdout.endswith("  good\n")


def test_package_verify_says_what_is_wrong(command: Ran, stores: Stores, tmp_path: Path) -> None:
    """Each flaw in a line; the status is 1 although the other package is good."""
    bad = Path(shutil.copy(stores.packages[TWO], tmp_path))
    spoilt.without("verify.sh")(bad)
    status, out, _ = command("package", "verify", str(stores.packages[ONE]), str(bad))

    assert status == 1
    assert re.search(r"^  scripts\.missing-member: .*verify\.sh", out, re.MULTILINE)
    assert out.endswith("  NOT GOOD\n")


def test_package_build_is_reproducible(
    command: Ran, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With SOURCE_DATE_EPOCH the same bytes as the sandbox's own."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767323045")
    status, out, _ = command("package", "build", ONE, "--env", "here", "-o", str(tmp_path))

    built = Path(out.strip())
    assert status == 0
    assert built.read_bytes() == stores.packages[ONE].read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "me", "--env", "here"), "'me' is no UUID of momentry: expected [0-9a-f]{8}"),
        (
            ("build", ONE.replace("0", "a"), "--env", "here"),
            f"{ONE.replace('0', 'a')} is not deployed in ",
        ),
        (("build", ONE, "--env", "here", "-o", "gone"), "-o gone: there is no such folder"),
        (("verify", "gone.tar", "--system", "momentri"), "--system 'momentri': systems in fix"),
        (("verify", "gone.tar"), "gone.tar"),
        (("install", "gone.tar", "--env", "her"), "unknown environment 'her', did you mean 'here'"),
        (("install", "gone.tar", "--env", "here"), "gone.tar"),
    ],
)
def test_what_a_command_cannot_do(command: Ran, arguments: tuple[str, ...], message: str) -> None:
    """One sentence on standard error, status 1."""
    status, _, err = command("package", *arguments)

    assert status == 1
    assert err.startswith("pytest-release: ")
    assert message in err
    assert "Traceback" not in err


def test_an_epoch_that_is_none(command: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable's name, what it is, what it should be."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    status, _, err = command("package", "build", ONE, "--env", "here")

    assert status == 1
    assert "SOURCE_DATE_EPOCH is 'yesterday', expected whole seconds since 1970" in err


def test_package_install_verifies_by_the_gates(command: Ran, stores: Stores) -> None:
    """The last step counts the cases of the environment's gates that passed."""
    status, out, err = command("package", "install", str(stores.packages[ONE]), "--env", "here")

    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "[8/9] Verifying the deployment ... 15 cases passed"
