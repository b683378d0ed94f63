"""Tests of ``pytest-release history``: what it prints, and with which status it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_release.attestation.keys import fingerprint, load_public_key
from pytest_release.cli import main
from pytest_release.history import Entry, History, Record, anchors_of, verify

FILE = Path("history.jsonl")
NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = datetime(2026, 1, 30, 10, 15, tzinfo=UTC)
ROLLBACK = Entry(
    stack="odoo18-prod",
    env="prod",
    action="rollback",
    version="sha-4b1ce21",
    status="success",
    notes="smoke failed",
)
LINE = "2026-01-30 10:15:00 | odoo18-prod | prod | rollback | sha-4b1ce21 | success | smoke failed"
Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ran:
    """Runs ``history`` in an empty folder; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(["history", *arguments])
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def key(command: Ran, capsys: pytest.CaptureFixture[str]) -> str:
    """The fingerprint of ``ci.pem``."""
    assert main(["keygen", "ci.pem"]) == 0
    capsys.readouterr()
    return fingerprint(load_public_key(Path("ci.pem.pub")))


@pytest.fixture
def records(command: Ran) -> list[Record]:
    """Three records, the first long ago."""
    later = replace(ROLLBACK, action="promote", notes="")
    return [
        History(FILE).append(ROLLBACK, LONG_AGO).record,
        History(FILE).append(replace(later, env="staging", details={"nonces": ["a"]}), NOW).record,
        History(FILE).append(replace(later, status="failed"), NOW).record,
    ]


@pytest.mark.usefixtures("records")
def test_it_lists(command: Ran) -> None:
    """A record a line, its columns between bars."""
    time = f"{NOW:%Y-%m-%d %H:%M:%S}"
    status, out, err = command()

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        LINE,
        f"{time} | odoo18-prod | staging | promote | sha-4b1ce21 | success |",
        f"{time} | odoo18-prod | prod | promote | sha-4b1ce21 | failed |",
    ]


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--stack", "odoo18-prod"], [1, 2, 3]),
        (["--stack", "odoo18"], []),
        (["--env", "prod"], [1, 3]),
        (["--status", "success"], [1, 2]),
        (["--since", "2026-01-31"], [2, 3]),
        (["--since", "1h"], [2, 3]),
        (["--last-good"], [1]),
        (["--last-good", "--env", "prod"], [1]),
    ],
)
def test_filters_select(
    command: Ran, records: list[Record], arguments: list[str], numbers: list[int]
) -> None:
    """All that are given, together."""
    status, out, err = command("--json", *arguments)

    assert (status, err) == (0, "")
    assert [json.loads(line)["sequence"] for line in out.splitlines()] == numbers


def test_as_json_a_record_is_what_stands_in_the_file(command: Ran, records: list[Record]) -> None:
    """With its details and hashes."""
    out = command("--json")[1]

    assert [json.loads(line) for line in out.splitlines()] == [
        json.loads(record.line) for record in records
    ]


def test_what_steers_a_terminal_is_shown(command: Ran) -> None:
    """A bar does not make a column, nor a line feed a line; JSON is ASCII."""
    hostile = replace(ROLLBACK, version="1|2", notes="a\n2026 | b\x1b[2J\u202e\x9b ü")
    History(FILE).append(hostile, LONG_AGO)

    assert command()[1] == (
        "2026-01-30 10:15:00 | odoo18-prod | prod | rollback | 1\\x7c2 | success "
        "| a\\n2026 \\x7c b\\x1b[2J\\u202e\\x9b ü\n"
    )
    out = command("--json")[1]
    assert out.isascii()
    assert json.loads(out)["notes"] == hostile.notes


@pytest.mark.parametrize("action", [[], ["verify"], ["--json", "--last-good"]])
@pytest.mark.usefixtures("records")
def test_a_broken_chain_prints_nothing_else(command: Ran, action: list[str]) -> None:
    """One line on standard error, status 1."""
    FILE.write_bytes(FILE.read_bytes().replace(b'"failed"', b'"passed"'))
    status, out, err = command(*action)

    assert (status, out) == (1, "")
    assert err == (
        "pytest-release: history.jsonl, line 3: changed: its hash is not that of its content\n"
    )


@pytest.mark.parametrize("action", [[], ["verify"], ["sign", "--sign-with", "ci.pem"]])
@pytest.mark.usefixtures("key")
def test_no_history_is_an_error(command: Ran, action: list[str]) -> None:
    """And makes none."""
    status, out, err = command(*action)

    assert (status, out) == (1, "")
    assert err == "pytest-release: history.jsonl cannot be read: No such file or directory\n"
    assert not FILE.exists()


@pytest.mark.usefixtures("command")
def test_since_is_a_moment(command: Ran, records: list[Record]) -> None:
    """Or a duration."""
    status, out, err = command("--since", "soon")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: --since takes a date, a time or a duration (2026-01-30,")
    assert len(records) == 3


def test_verify_says_what_it_proved(command: Ran, records: list[Record]) -> None:
    """And what it did not."""
    status, out, err = command("verify")

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"records  3, one chain, 2026-01-30T10:15:00+00:00 to {NOW.isoformat()}",
        f"head     {records[-1].hash}",
        "repairs  0",
        "anchors  none; without them a tail that was cut off is not found",
    ]


def test_sign_adds_an_anchor_that_verify_checks(
    command: Ran, records: list[Record], key: str
) -> None:
    """With the public key; without it, it says that it did not."""
    status, out, err = command("sign", "--sign-with", "ci.pem")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "anchor     history.jsonl.anchors",
        "records    3",
        f"head       {records[-1].hash}",
        f"signed by  {key}",
    ]
    History(FILE).append(ROLLBACK, NOW)

    assert command("verify")[1].splitlines()[3:] == [
        "anchors  not checked: give --key; without them a tail that was cut off is not found"
    ]
    status, out, err = command("verify", "--key", "ci.pem.pub")
    assert (status, err) == (0, "")
    assert out.splitlines()[3] == "anchors  1, all as signed"
    assert out.splitlines()[4].startswith("         record 3, 20")
    assert out.splitlines()[4].endswith(f" signed by {key}")
    assert out.splitlines()[5:] == [
        "         1 records since the last; cutting those off is not found"
    ]


@pytest.mark.usefixtures("records", "key")
def test_verify_finds_that_the_end_was_cut_off(command: Ran) -> None:
    """By the anchor: the chain alone is whole."""
    command("sign", "--sign-with", "ci.pem")
    FILE.write_bytes(b"".join(FILE.read_bytes().splitlines(keepends=True)[:2]))

    assert command("verify")[0] == 0
    status, out, err = command("verify", "--key", "ci.pem.pub")
    assert (status, out) == (1, "")
    assert err.startswith(
        "pytest-release: history.jsonl.anchors, line 1: removed: it was signed at"
    )
    assert err.endswith(" of 3 records, and the history has 2\n")


@pytest.mark.usefixtures("records", "key")
def test_verify_with_a_key_wants_an_anchor(command: Ran) -> None:
    """None is a failure."""
    status, out, err = command("verify", "--key", "ci.pem.pub")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: history.jsonl.anchors cannot be read: No such file")


def test_an_empty_history_lists_nothing_and_proves_nothing(command: Ran) -> None:
    """So verify refuses it."""
    FILE.touch()

    assert command() == (0, "", "")
    assert command("verify") == (
        1,
        "",
        "pytest-release: history.jsonl holds no record: there is nothing to verify\n",
    )


@pytest.mark.usefixtures("records")
def test_repair_names_what_a_killed_writer_left(command: Ran) -> None:
    """Once; the listing refuses until then, and shows it from then on."""
    with FILE.open("ab") as stream:
        stream.write(b'{"act')
    status, out, err = command()
    assert (status, out) == (1, "")
    assert err.startswith(
        "pytest-release: history.jsonl, line 4: torn: a write was cut off after 5"
    )

    status, out, err = command("repair")
    assert (status, err) == (0, "")
    assert out.startswith("a write was cut off; record 4 names what is left: 5 bytes (sha256 ")
    assert command("repair")[1] == "nothing to repair: the last record is whole\n"
    assert (
        command()[1]
        .splitlines()[3]
        .endswith(
            " | pytest-release | - | repair | - | success | a write was cut off, 5 bytes are left"
        )
    )
    found = command("verify")[1].splitlines()
    assert found[2] == "repairs  1"
    assert found[3].startswith("         record 4, 20")
    assert ": torn: 5 bytes (sha256 " in found[3]


def test_repair_makes_no_history(command: Ran) -> None:
    """There must be one."""
    assert command("repair")[::2] == (
        1,
        "pytest-release: there is no history.jsonl: nothing can be repaired\n",
    )
    assert not FILE.exists()


@pytest.mark.usefixtures("records", "key")
def test_sign_names_what_a_killed_signer_left(command: Ran) -> None:
    """On standard error; the anchor verifies."""
    anchors_of(FILE).write_bytes(b"{")
    status, _, err = command("sign", "--sign-with", "ci.pem")

    assert status == 0
    assert err.startswith("a write was cut off; this anchor names what is left: 1 bytes (sha256 ")
    assert command("verify", "--key", "ci.pem.pub")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [["--file", "a.jsonl", "verify"], ["verify", "--file", "a.jsonl"], ["--file", "a.jsonl"]],
)
def test_the_file_is_named_before_or_after_the_action(command: Ran, arguments: list[str]) -> None:
    """It means the same."""
    History(Path("a.jsonl")).append(ROLLBACK, NOW - timedelta(days=1))

    assert command(*arguments)[0] == 0
    assert verify(Path("a.jsonl")).count == 1


@pytest.mark.parametrize("arguments", [["sign"], ["lost"], ["verify", "--key"]])
def test_a_wrong_action_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As argparse has it: status 2."""
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["history", *arguments])

    assert "usage: pytest-release history" in capsys.readouterr().err
