"""Tests of `pytest_release.attestation.single`: waivers and records of promotions as files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_release.atomic import canonical_json
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import ephemeral, fingerprint
from pytest_release.attestation.single import describe_file, verify_file
from pytest_release.attestation.waiver import Waiver, waiver_statement
from pytest_release.errors import VerificationError
from tests.unit.attestation.conftest import GATE
from tests.unit.attestation.test_predicates import PROMOTED, WAIVED, edited

SIGNER, OTHER = ephemeral().signer, ephemeral().signer
KEY = SIGNER.public_key
WAIVER = waiver_statement(
    Waiver(
        "production", "1.4.2", "all", "fire", "Zoë", datetime(2026, 11, 23, 10, tzinfo=UTC),
        datetime(2026, 11, 23, 12, tzinfo=UTC), "0" * 32,
    )
)  # fmt: skip

Write = Callable[[Mapping[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Signs a statement into a file."""

    def write(statement: Mapping[str, Any]) -> Path:
        file = tmp_path / "signed.json"
        file.write_bytes(sign(statement, SIGNER))
        return file

    return write


def test_a_waiver_is_described_in_a_sentence(write: Write) -> None:
    """What is waived, where, until when, by whom and why; then whose signatures were verified."""
    verified = verify_file(write(WAIVER), [OTHER.public_key, KEY])

    assert describe_file(verified).splitlines() == [
        (
            "waiver       everything of 1.4.2 is waived in production until 2026-11-23 12:00 UTC "
            "by Zoë: fire"
        ),
        f"signed by    {fingerprint(KEY)}",
    ]


def test_a_promotion_is_described_by_what_was_decided(write: Write) -> None:
    """On what, by which policy, and why each of its conditions was met or waived."""
    waived = {"name": "gate stream", "state": "waived", "why": "by Zoë"}
    record = edited(PROMOTED, lambda s: s["predicate"]["conditions"].append(waived))

    verified = verify_file(write(record), [KEY])

    assert describe_file(verified).splitlines() == [
        "promotion    1.4.2 to production",
        "decided      2026-11-23T10:00:00+00:00",
        f"policy       version 3, sha256:{'a' * 64}",
        "subject      release 1.4.2 (gitCommit:d34bcae)",
        "met          gate basic: PASSED in staging",
        "waived       gate stream: by Zoë",
        f"signed by    {fingerprint(KEY)}",
    ]


def test_a_record_cannot_steer_the_terminal(write: Write) -> None:
    """What it says is shown with control characters as escapes, a line each."""
    evil = {"name": "\x1b[2J", "state": "met", "why": "a\nsigned by    SHA256:0"}
    record = edited(PROMOTED, lambda s: s["predicate"].update(conditions=[evil], release="\x9b1"))

    lines = describe_file(verify_file(write(record), [KEY])).splitlines()

    assert lines[0] == "promotion    \\x9b1 to production"
    assert "met          \\x1b[2J: a\\nsigned by    SHA256:0" in lines
    assert len(lines) == 6


def test_two_signatures_meet_a_threshold_of_two(tmp_path: Path) -> None:
    """Both are described; one alone is too few."""
    file = tmp_path / "signed.json"
    one, two = (json.loads(sign(PROMOTED, signer)) for signer in (SIGNER, OTHER))
    one["signatures"] += two["signatures"]
    file.write_bytes(canonical_json(one) + b"\n")
    keys = [KEY, OTHER.public_key]

    text = describe_file(verify_file(file, keys, 2))

    assert all(f"signed by    {fingerprint(key)}" in text for key in keys)
    file.write_bytes(sign(PROMOTED, SIGNER))
    with pytest.raises(VerificationError, match="fewer than 2 given keys signed this"):
        verify_file(file, keys, 2)


def until(text: str) -> dict[str, Any]:
    """The waiver, until another time."""
    return edited(WAIVER, lambda s: s["predicate"].update(until=text))


REFUSED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "a bundle's statement": ("the predicate type is not https", GATE),
    "a waiver about something else": (
        "its subject is not what its predicate speaks of",
        WAIVED,
    ),
    "a waiver that was moved to another release": (
        "its subject is not what its predicate speaks of",
        edited(WAIVER, lambda s: s["predicate"].update(release="1.4.3")),
    ),
    "a waiver until a day that is not there": (
        "it does not say from when until when it is meant",
        until("2026-02-30T12:00:00+00:00"),
    ),
    "a waiver in another script": (
        "it does not say from when until when it is meant",
        until("\u0662\u0660\u0662\u0666-11-23T12:00:00+00:00"),
    ),
    "a waiver without an end": (
        "$.predicate.until is not as waiver v0.1 says (pattern)",
        until("never"),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_file_that_is_refused_is_named(write: Write, what: str) -> None:
    """Before what is wrong with it, even where a trusted key signed it."""
    reason, statement = REFUSED[what]
    file = write(statement)

    with pytest.raises(VerificationError, match=f"^{re.escape(f'{file}: {reason}')}"):
        verify_file(file, [KEY])


def test_a_signature_that_names_a_given_key_and_is_anothers(write: Write) -> None:
    """It is refused though another given key's signature is good."""
    file = write(PROMOTED)
    data = json.loads(file.read_bytes())
    forged = {**data["signatures"][0], "keyid": OTHER.public_key.keyid}
    data["signatures"].append(forged)
    file.write_bytes(canonical_json(data) + b"\n")
    name = fingerprint(OTHER.public_key)

    with pytest.raises(VerificationError, match=f"the signature that names {name} is not that key"):
        verify_file(file, [KEY, OTHER.public_key])
    assert verify_file(file, [KEY]).strangers == {OTHER.public_key.keyid}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Is said to be so."""
    with pytest.raises(VerificationError, match=r"absent cannot be read: No such file"):
        verify_file(tmp_path / "absent", [KEY])


def test_no_byte_of_a_waiver_can_change(write: Write) -> None:
    """Whichever byte has one bit flipped, it is refused."""
    file = write(WAIVER)
    content = file.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        with pytest.raises(VerificationError, match=re.escape(f"{file}: ")):
            verify_file(file, [KEY])
