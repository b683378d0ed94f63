"""Tests of `pytest_release.cli`: what each command prints, and with which status it ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.attestation.keys import (
    PASSWORD_VARIABLE,
    fingerprint,
    load_public_key,
    load_signing_key,
)
from pytest_release.bundle import Bundle
from pytest_release.cli import main
from tests.unit.test_bundle import RUN

SHIPPED = Path(__file__).parents[2] / "fixtures"
ENVIRONMENT = """\
name: here
role: staging
system: shop
base_url: "{base_url}"
gates:
  basic: {{required: true}}
  stream: {{}}
"""
CASES = "gate: basic\ncases:\n  - {name: one, path: /}\n  - {name: two, path: /two}\n"

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ran:
    """Runs one command in an empty folder; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def listener() -> Iterator[str]:
    """The address of something that accepts connections and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def write_fixtures(folder: Path, base_url: str, extra: str = "") -> None:
    """One environment, one file of cases."""
    (folder / "fixtures" / "environments").mkdir(parents=True)
    (folder / "fixtures" / "cases" / "shop").mkdir(parents=True)
    text = ENVIRONMENT.format(base_url=base_url) + extra
    (folder / "fixtures" / "environments" / "here.yaml").write_text(text)
    (folder / "fixtures" / "cases" / "shop" / "basic.yaml").write_text(CASES)


def test_keygen_makes_a_pair_and_says_which_is_secret(command: Ran, tmp_path: Path) -> None:
    """The fingerprint is that of both halves."""
    status, out, err = command("keygen", "ci.pem")

    public = load_public_key(tmp_path / "ci.pem.pub")
    assert load_signing_key("ci.pem", {}).signer.public_key == public
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "private key  ci.pem (keep it secret)",
        "public key   ci.pem.pub",
        f"fingerprint  {fingerprint(public)}",
    ]


def test_keygen_never_overwrites(command: Ran, tmp_path: Path) -> None:
    """One line on standard error, status 1."""
    (tmp_path / "ci.pem").write_text("mine")
    status, out, err = command("keygen", "ci.pem")

    assert (status, out) == (1, "")
    assert err == "pytest-release: ci.pem exists; a key is never overwritten: choose a name\n"


def test_an_encrypted_key_needs_its_password(
    command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the variable that also opens it; nothing of it is printed."""
    monkeypatch.setenv(PASSWORD_VARIABLE, "correct horse")
    status, out, err = command("keygen", "--encrypt", "ci.pem")

    assert (status, err) == (0, "")
    assert "correct horse" not in out
    assert "ENCRYPTED" in (tmp_path / "ci.pem").read_text()
    assert load_signing_key("ci.pem", {PASSWORD_VARIABLE: "correct horse"})


def test_an_encrypted_key_asks_at_the_terminal(
    command: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the variable."""
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    typed = {"password of the new key: ": "typed"}
    monkeypatch.setattr("getpass.getpass", typed.pop)

    assert command("keygen", "--encrypt", "ci.pem")[0] == 0
    assert load_signing_key("ci.pem", {PASSWORD_VARIABLE: "typed"})


@pytest.fixture
def bundle(command: Ran, tmp_path: Path) -> Path:
    """A bundle that ``ci.pem`` signed."""
    command("keygen", "ci.pem")
    key = load_signing_key("ci.pem", {})
    made = Bundle.create(tmp_path / "reports", "staging", key, datetime.now(UTC), "0" * 32)
    (made.staging / "report.html").write_text("<p>ok</p>")
    return made.seal(RUN).folder


@pytest.mark.usefixtures("bundle")
def test_verify_says_what_was_judged(command: Ran) -> None:
    """By whom, when, with which verdict, over how many files."""
    status, out, err = command("verify", "reports/latest", "--key", "ci.pem.pub")

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "verdict      NOT_RUN",
        "environment  staging, staging",
        "system       shop",
        "release      without a version",
        *(line for line in out.splitlines() if line.startswith("subject ")),
        "finished     2026-11-23T10:00:00+00:00",
        "gate         basic: NOT_RUN",
        "files        5, all as signed",
        f"signed by    {fingerprint(load_public_key(Path('ci.pem.pub')))}",
    ]


def test_verify_refuses_a_changed_file(command: Ran, bundle: Path) -> None:
    """One line on standard error, status 1."""
    (bundle / "evidence.json").write_text("{}")
    status, out, err = command("verify", str(bundle), "--key", "ci.pem.pub")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: evidence.json was changed: it has 2 bytes, signed ")


@pytest.mark.usefixtures("bundle")
def test_verify_with_a_threshold_wants_that_many_keys(command: Ran) -> None:
    """A second trusted key that did not sign is not counted."""
    command("keygen", "other.pem")
    keys = ("--key", "ci.pem.pub", "--key", "other.pem.pub")

    assert command("verify", "reports/latest", *keys)[0] == 0
    status, out, err = command("verify", "reports/latest", *keys, "--threshold", "2")
    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: attestation.intoto.jsonl, line 1: ")


def test_env_list_prints_names_that_env_takes(command: Ran) -> None:
    """One a line."""
    status, out, err = command("env", "list", "--fixtures", str(SHIPPED))

    assert (status, err) == (0, "")
    assert out.splitlines() == list(SHIPPED_CASES)


def test_env_check_reads_the_environment_and_its_cases(command: Ran, tmp_path: Path) -> None:
    """It says what each gate would judge."""
    write_fixtures(tmp_path, "http://127.0.0.1:9")
    status, out, err = command("env", "check", "here")

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "fixtures/environments/here.yaml: staging of shop",
        "  gate basic: required, 2 declared cases",
        "  gate stream: optional, 0 declared cases",
    ]


HIFATE_CASES = {
    "basic": 8,
    "stream": 13,
    "payment": 11,
    "hot_reload": 6,
    "preflight": 3,
    "security": 4,
    "smoke": 3,
}
MOMENTRY_CASES = {
    "basic": 1,
    "package": 10,
    "row_count": 8,
    "tkg": 7,
    "identity": 8,
    "preflight": 4,
    "security": 2,
    "monitoring": 2,
    "smoke": 2,
}
FOOTBALL_CASES = {"basic": 2, "security": 9, "monitoring": 13, "slo": 2, "smoke": 2}
SEISEI_CASES = {"basic": 1, "preflight": 11, "monitoring": 3, "security": 7, "smoke": 7}
SHIPPED_CASES = {
    "demo": {
        "basic": 10,
        "stream": 13,
        "payment": 11,
        "hot_reload": 6,
        "package": 10,
        "row_count": 8,
        "tkg": 7,
        "identity": 8,
        "contract": 3,
        "isolation": 9,
        "delivery": 9,
        "preflight": 12,
        "security": 17,
        "monitoring": 18,
        "slo": 2,
        "smoke": 11,
    },
    "football-production": FOOTBALL_CASES,
    "football-staging": FOOTBALL_CASES,
    "hifate-node1": HIFATE_CASES,
    "hifate-node2": HIFATE_CASES,
    "momentry-dev": {**MOMENTRY_CASES, "isolation": 8},
    "momentry-production": {**MOMENTRY_CASES, "delivery": 9},
    "production": HIFATE_CASES,
    "seisei-production": SEISEI_CASES,
    "seisei-staging": SEISEI_CASES,
}
SHIPPED_VARIABLES = {
    "SEISEI_ODOO_IMAGE": "registry.example/seisei/odoo:18",
    "FOOTBALL_URL": "https://football.example",
    "FOOTBALL_STAGING_URL": "https://staging.football.example",
    "HIFATE_URL": "https://hifate.example",
    "HIFATE_NODE2_URL": "https://node2.hifate.example",
    "MOMENTRY_DSN": "postgresql://db.example/momentry",
    "MOMENTRY_DEV_DSN": "postgresql://db.example/dev",
    "SEISEI_URL": "https://odoo.example",
    "SEISEI_STAGING_URL": "https://staging.odoo.example",
}


@pytest.mark.parametrize("name", SHIPPED_CASES)
def test_the_shipped_environments_are_valid(
    command: Ran, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With their addresses set."""
    for variable, value in SHIPPED_VARIABLES.items():
        monkeypatch.setenv(variable, value)
    status, out, err = command("env", "check", name, "--fixtures", str(SHIPPED))

    assert (status, err) == (0, "")
    said = [f"gate {gate}: required, {n} declared cases" for gate, n in SHIPPED_CASES[name].items()]
    assert sorted(line.strip() for line in out.splitlines()[1:]) == sorted(said)


def test_env_check_names_file_key_and_line(command: Ran, tmp_path: Path) -> None:
    """A misspelt key is one message without a traceback."""
    write_fixtures(tmp_path, "http://127.0.0.1:9", "verify_tsl: false\n")
    status, out, err = command("env", "check", "here")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: fixtures/environments/here.yaml:8")
    assert "verify_tls" in err
    assert "Traceback" not in err


def test_env_check_of_an_unknown_name_lists_the_known(command: Ran, tmp_path: Path) -> None:
    """Status 1."""
    write_fixtures(tmp_path, "http://127.0.0.1:9")
    status, out, err = command("env", "check", "ther")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: unknown environment 'ther', did you mean 'here'?")


def test_env_check_connects(command: Ran, tmp_path: Path, listener: str) -> None:
    """Every service is tried, the deployment too; an edge without an address is there."""
    service = f"services: {{files: {{output: {tmp_path}}}, edge: {{token: right}}}}\n"
    write_fixtures(tmp_path, listener, service)
    status, out, err = command("env", "check", "here", "--connect")

    assert (status, err) == (0, "")
    files_line, base_line = out.splitlines()[-2:]
    assert files_line == f"  ok    files: {tmp_path} is there"
    assert base_line.startswith(f"  ok    base_url: {listener[7:]} accepts connections (")


def test_env_check_connect_fails_for_one_service_that_is_not_there(
    command: Ran, tmp_path: Path, listener: str
) -> None:
    """The others are still tried; passwords of an address are not shown."""
    service = 'services: {postgres: {dsn: "postgresql://me:hidden@127.0.0.1:9/db"}}\n'
    write_fixtures(tmp_path, listener, service)
    status, out, err = command("env", "check", "here", "--connect")

    assert (status, err) == (1, "")
    assert "  FAIL  postgres: 127.0.0.1:9 cannot be reached: Connection refused\n" in out
    assert "  ok    base_url: " in out
    assert "hidden" not in out


def test_sandbox_faults_lists_them(command: Ran) -> None:
    """With the gate that must catch each."""
    status, out, err = command("sandbox", "faults")

    assert (status, err) == (0, "")
    assert len(out.splitlines()) > 25
    assert out.startswith("fault")


def test_sandbox_up_refuses_an_unknown_fault(command: Ran) -> None:
    """Before it starts anything, with the nearest name."""
    status, out, err = command("sandbox", "up", "--fault", "slow-first-bite")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: ")
    assert "slow-first-bite" in err


@pytest.mark.parametrize("arguments", [[], ["env"], ["verify", "x"], ["rollout"]])
def test_a_wrong_command_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As argparse has it: status 2."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)

    assert "usage: pytest-release" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """``pytest-release sandbox faults | head -1`` ends quietly."""
    program = shutil.which("pytest-release", path=str(Path(sys.executable).parent))
    assert program is not None
    done = subprocess.run(
        ["/bin/sh", "-c", f"{program} sandbox faults | head -1"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("fault")
    assert done.stderr == ""
