"""Tests of ``pytest-release ci-summary``: verified first, then shown where the CI product looks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.attestation.keys import fingerprint, load_public_key, load_signing_key
from pytest_release.bundle import Bundle
from pytest_release.cli import main
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence, Finding
from pytest_release.ledger import Entry, Outcome
from pytest_release.reporting.ci import SUMMARY_LIMIT
from pytest_release.verdict import RunVerdict, judge_gate, judge_run
from tests.unit.test_bundle import RUN

Ran = Callable[..., tuple[int, str, str]]
PROVES_NOTHING = "the signature proves nothing about who ran it"
EVIL = "::error::injected"


def failed() -> RunVerdict:
    """A run with a failure whose answer looks like a command."""
    finding = Finding("basic.text", "no", received=f"a\n{EVIL}\n##[add-mask]x")
    evidence = Evidence("basic/one", "basic", "one", findings=(finding,))
    entry = Entry("basic/one", "basic", True, True, True, outcome=Outcome.FAILED)
    gate = judge_gate("basic", GatePolicy(required=True), [entry], {"basic/one": evidence})
    return judge_run([gate], RUN.context)


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ran:
    """Runs one command, outside any CI product, in a folder with a key; what it printed."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS", "GITLAB_CI"):
        monkeypatch.delenv(name, raising=False)
    main(["keygen", "ci.pem"])
    capsys.readouterr()

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(["ci-summary", *arguments])
        return status, *capsys.readouterr()

    return command


def seal(run: RunVerdict, key: str | None = "ci.pem") -> Path:
    """A bundle in ``reports``, signed by a key of this folder or by an ephemeral one."""
    from pytest_release.attestation.keys import ephemeral

    signing = load_signing_key(key, {}) if key else ephemeral()
    bundle = Bundle.create(Path("reports"), "staging", signing, datetime.now(UTC), "0" * 32)
    return bundle.seal(run).folder


def commands_in(output: str) -> list[str]:
    """The lines that GitHub's runner would take for commands."""
    found, stopped = [], None
    for line in output.splitlines():
        if stopped is not None:
            stopped = None if line.strip() == f"::{stopped}::" else stopped
        elif match := re.fullmatch(r"::stop-commands::([0-9a-f]{32})", line):
            stopped = match[1]
        elif line.lstrip().startswith("::") or "##[" in line:
            found.append(line)
    return found


def test_the_latest_bundle_is_shown(command: Ran) -> None:
    """Who signed, where it is, then the table; what is wrong as an annotation; status 0."""
    folder = seal(failed())
    status, out, err = command("--key", "ci.pem.pub")

    assert (status, err) == (0, "")
    assert out.startswith("# FAILED: staging\n")
    assert f"- report: {folder}, every file as signed".replace("_", r"\_") in out.replace(
        "\\-", "-"
    )
    assert fingerprint(load_public_key(Path("ci.pem.pub"))) in out
    assert PROVES_NOTHING not in out
    assert "::error title=basic%3A one::one (basic/one)%0A" in out


def test_an_ephemeral_key_is_taken_and_doubted(command: Ran) -> None:
    """Without ``--key`` the bundle's own; with it, the same words."""
    folder = seal(failed(), key=None)

    for arguments in ((), ("--key", str(folder / "ephemeral.pub"))):
        status, out, _ = command(*arguments)
        assert (status, PROVES_NOTHING in out) == (0, True)


def test_a_key_that_came_with_the_bundle_is_doubted(command: Ran) -> None:
    """Also when the attestation does not say that it is ephemeral."""
    signing = load_signing_key("ci.pem", {})
    bundle = Bundle.create(Path("reports"), "staging", signing, datetime.now(UTC), "0" * 32)
    (bundle.staging / "ephemeral.pub").write_bytes(Path("ci.pem.pub").read_bytes())
    bundle.seal(failed())

    status, out, _ = command()
    assert (status, PROVES_NOTHING in out) == (0, True)


def test_without_a_key_nothing_is_believed(command: Ran) -> None:
    """A bundle that a lasting key signed needs that key."""
    seal(failed())
    status, out, err = command()

    message = "holds no key that it could be verified with: give one with --key"
    assert (status, out) == (1, "")
    assert err == f"pytest-release: reports/latest {message}\n"


def test_a_changed_bundle_is_not_shown(
    command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, status 1; the summary is not even begun."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    (seal(failed()) / "junit.xml").write_text("<testsuites/>")
    status, out, err = command("--key", "ci.pem.pub")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: junit.xml was changed: it has 13 bytes, signed ")
    assert err.count("\n") == 1
    assert not (tmp_path / "summary.md").exists()


def test_a_refusal_is_no_command(command: Ran) -> None:
    """The name of a file that somebody put into the bundle is in the sentence."""
    (seal(failed()) / f"x\n{EVIL}").write_text("")
    status, _, err = command("--key", "ci.pem.pub")

    assert (status, commands_in(err)) == (1, [])
    assert r"x\n::error::injected is in the bundle and was not signed" in err


def test_github_gets_a_summary_and_annotations(
    command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The summary is appended to; standard output has nothing but commands, all of them ours."""
    summary = tmp_path / "summary.md"
    summary.write_text("what another tool wrote")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    seal(failed())
    status, out, _ = command("--key", "ci.pem.pub")

    assert summary.read_text().startswith("what another tool wrote\n# FAILED: staging\n")
    assert status == 0
    assert [line.partition("::")[2].partition(" ")[0] for line in out.splitlines()] == [
        "error",
        "error",
    ]


def test_on_githubs_standard_output_a_servers_words_are_no_commands(
    command: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a job has no summary, the Markdown is printed with commands turned off."""
    seal(failed())
    assert EVIL in command("--key", "ci.pem.pub", "--format", "gitlab")[1].splitlines()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, out, _ = command("--key", "ci.pem.pub")

    found = commands_in(out)
    assert EVIL in out.splitlines()
    assert [line.startswith("::error title=") for line in found] == [True, True]


@pytest.mark.parametrize("used", [0, SUMMARY_LIMIT - 1500, SUMMARY_LIMIT])
def test_a_summary_never_outgrows_github(
    used: int, command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A larger one is dropped as a whole, so what does not fit is left out, and counted."""
    summary = tmp_path / "summary.md"
    summary.write_bytes(b"x" * used)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    run = failed()
    case = replace(run.gates[0].cases[0], evidence=None, reason="x" * 4000)
    seal(replace(run, gates=(replace(run.gates[0], cases=(case,) * 400),)))
    status, out, _ = command("--key", "ci.pem.pub")

    full = used == SUMMARY_LIMIT
    assert status == 0
    assert summary.stat().st_size <= SUMMARY_LIMIT
    assert "more parts are only in the report" in (out if full else summary.read_text())


def test_gitlab_gets_a_code_quality_report(
    command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known by its variable; no annotations, since its log has none."""
    monkeypatch.setenv("GITLAB_CI", "true")
    seal(failed())
    status, out, _ = command("--key", "ci.pem.pub", "--code-quality", "quality.json")

    issues = json.loads((tmp_path / "quality.json").read_text())
    assert (status, [issue["check_name"] for issue in issues]) == (0, ["pytest-release/basic"] * 2)
    assert "title=" not in out


def test_a_file_that_cannot_be_written_is_named(command: Ran) -> None:
    """One line on standard error, status 1."""
    seal(failed())
    status, _, err = command("--key", "ci.pem.pub", "--code-quality", "no/such/folder.json")

    assert status == 1
    assert (
        err == "pytest-release: no/such/folder.json cannot be written: No such file or directory\n"
    )
