"""Tests of the commands ``promote`` and ``waive``: what they print, and how they end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.attestation.keyring import add_key
from pytest_release.attestation.keys import generate
from pytest_release.cli import main
from pytest_release.history import verify
from tests.unit.promotion.conftest import COMMIT, RELEASE, Desk, gate, put

PROMOTE = ("promote", "--to", "production", "--release", RELEASE, "--commit", COMMIT)


@pytest.fixture
def here(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A user's folder, today, with the private keys of somebody called me and of the lead."""
    desk.now = datetime.now(UTC)
    monkeypatch.chdir(desk.folder)
    (desk.fixtures / "keys" / "lead.pub").unlink()
    for name in ("me", "lead"):
        generate(Path(f"{name}.pem"))
        add_key(desk.fixtures, name, Path(f"{name}.pem.pub"))
    return desk


def test_promote_prints_every_condition_and_the_answer(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0; the last line is the record that was signed."""
    here.bundle()
    status = main([*PROMOTE, "--sign-with", "me.pem"])
    out, err = capsys.readouterr()

    *lines, answer = out.splitlines()
    assert (status, err) == (0, "")
    assert lines == [
        "promotion of 1.4.2 to production",
        "  met      policy       version 3 of production.yaml",
        "  met      evidence     staging-1 (staging, signed by ci)",
        f"  met      commit       {COMMIT}",
        "  met      gate basic   PASSED in staging, 6 cases, signed by ci",
        "  met      gate stream  PASSED in staging, 6 cases, signed by ci",
    ]
    verb, _, record = answer.partition("  ")
    assert verb == "GRANTED"
    assert Path(record).is_file()


def test_promote_refuses_with_status_1(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not met stands among what is; the evidence that was not believed is named."""
    here.bundle(edit=put(gates={"basic": gate("FAILED")}))
    here.bundle("local", signers=("stranger",))
    status = main([*PROMOTE, "--sign-with", "me.pem"])
    out = capsys.readouterr().out

    assert status == 1
    assert "  not met  gate basic   it is FAILED in staging (because); it was not held" in out
    assert "  not counted: local: attestation.intoto.jsonl, line 1: none of the given keys" in out
    assert out.endswith("REFUSED  2 of 5 conditions are not met\n")


def test_a_dry_run_says_that_nothing_was_recorded(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a key."""
    here.bundle()
    status = main([*PROMOTE, "--dry-run"])

    assert status == 0
    assert capsys.readouterr().out.endswith("GRANTED  in a dry run: nothing was recorded\n")
    assert not here.history.exists()


def test_promote_needs_a_key_or_a_dry_run(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """A promotion that nobody signed is none."""
    with pytest.raises(SystemExit, match="2"):
        main(list(PROMOTE))

    assert "one of the arguments --sign-with --dry-run is required" in capsys.readouterr().err
    assert here.history.exists() is False


def test_waive_puts_a_waiver_where_promote_finds_it(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says is printed, and printed again by the promotion that uses it."""
    here.bundle(edit=put(gates={"basic": _passed(), "stream": gate("FAILED")}))
    waive = ["waive", "--gate", "stream", "--env", "production", "--release", RELEASE]
    waive += ["--reason", "ticket 812", "--until", "4h", "--by", "Li Wei"]
    waived = main([*waive, "--sign-with", "lead.pem"])
    sentence, file = capsys.readouterr().out.splitlines()
    granted = main([*PROMOTE, "--sign-with", "me.pem"])
    out = capsys.readouterr().out

    assert (waived, granted) == (0, 0)
    assert sentence.startswith("stream of 1.4.2 is waived in production until ")
    assert sentence.endswith(" UTC by Li Wei: ticket 812")
    assert Path(file.removeprefix("waiver  ")).is_file()
    assert f"  waived   gate stream  it is FAILED in staging (because); {sentence}\n" in out
    assert verify(here.history).records[0].notes == sentence


def _passed() -> dict[str, object]:
    limit = {"limit": 500, "measured": None, "samples": 0, "decision": "kept"}
    return gate(thresholds={"p95_ms": limit})


def test_breaking_the_glass_takes_a_second_signature(
    here: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first is told what is lacking and what to type; then the waiver stands for all gates."""
    (here.fixtures / "keys" / "cto.pub").unlink()
    generate(Path("cto.pem"))
    add_key(here.fixtures, "cto", Path("cto.pem.pub"))
    waive = ["waive", "--break-glass", "--env", "production", "--release", RELEASE]
    main([*waive, "--reason", "down", "--until", "2h", "--sign-with", "lead.pem"])
    _, _, lacking, following = capsys.readouterr().out.splitlines()
    refused = main([*PROMOTE, "--sign-with", "me.pem"])
    command = following.removeprefix("next    pytest-release ").removesuffix("KEY").split()
    countersigned = main([*command, "cto.pem"])
    granted = main([*PROMOTE, "--sign-with", "me.pem"])

    assert lacking == "it does not count yet: it was signed by lead, it needs 2 of lead, cto"
    assert (refused, countersigned, granted) == (1, 0, 0)


def test_a_wrong_moment_is_said(here: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """With what is expected."""
    waive = ["waive", "--gate", "stream", "--env", "production", "--release", RELEASE]
    status = main([*waive, "--reason", "r", "--until", "soon", "--sign-with", "lead.pem"])

    assert status == 1
    assert capsys.readouterr().err == (
        "pytest-release: --until takes a date, a time or a duration "
        "(2026-01-30, 2026-01-30T10:15:00 or 7d): 'soon'\n"
    )
    assert not (here.fixtures / "waivers").exists()
