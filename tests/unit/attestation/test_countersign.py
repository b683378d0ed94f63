"""Tests of `pytest_release.attestation.countersign`."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope

from pytest_release.atomic import canonical_json
from pytest_release.attestation import countersign as module
from pytest_release.attestation.countersign import countersign_path
from pytest_release.attestation.envelope import open_envelope, sign
from pytest_release.attestation.keys import ephemeral, fingerprint
from pytest_release.attestation.statement import statement
from pytest_release.attestation.verify import VerifiedBundle, verify_bundle
from pytest_release.attestation.waiver import Waiver, open_waiver, waiver_statement
from pytest_release.errors import VerificationError
from tests.unit.attestation.conftest import NOW, SUBJECT, Signed

FIRST, SECOND = ephemeral().signer, ephemeral().signer
WAIVED = Waiver(
    "production", "1.4.2", "smoke", "the lab burns", "Zoë", NOW, NOW + timedelta(hours=2), "0" * 32
)


@pytest.fixture
def waiver(tmp_path: Path) -> Path:
    """A waiver that the first key signed."""
    file = tmp_path / "waiver.intoto.json"
    file.write_bytes(sign(waiver_statement(WAIVED), FIRST))
    return file


def payloads(path: Path) -> list[bytes]:
    """What stands in a file's envelopes."""
    return [json.loads(line)["payload"] for line in path.read_bytes().splitlines()]


def test_a_bundle_gets_a_second_signature_on_both_lines(signed: Signed) -> None:
    """Threshold two is met by the two keys, and what they signed is what stood there."""
    before = payloads(signed.attestation)

    said = countersign_path(signed.folder, [signed.key], SECOND, NOW)

    keys = [signed.key, SECOND.public_key]
    verified = verify_bundle(signed.folder, keys, now=NOW, threshold=2)
    assert set(verified.keys) == {key.keyid for key in keys}
    assert verified.strangers == frozenset()
    assert payloads(signed.attestation) == before
    assert said.startswith("verdict      PASSED\nenvironment  staging, staging\n")
    assert said.endswith(f"signed by    {fingerprint(signed.key)}")


def test_who_only_knows_the_first_key_sees_a_stranger(signed: Signed) -> None:
    """A signature by a key that is not given counts for nothing, and is named."""
    countersign_path(signed.folder, [signed.key], SECOND, NOW)

    verified = signed.verify()

    assert set(verified.keys) == {signed.key.keyid}
    assert verified.strangers == {SECOND.public_key.keyid}
    with pytest.raises(VerificationError, match="a threshold of 2 cannot be met by 1 keys"):
        verify_bundle(signed.folder, [signed.key], now=NOW, threshold=2)
    third = [signed.key, ephemeral().signer.public_key]
    with pytest.raises(VerificationError, match="line 1: fewer than 2 given keys signed this"):
        verify_bundle(signed.folder, third, now=NOW, threshold=2)


def test_a_waiver_gets_a_second_signature(waiver: Path) -> None:
    """It is still the same waiver."""
    said = countersign_path(waiver, [FIRST.public_key], SECOND, NOW)

    keys = [FIRST.public_key, SECOND.public_key]
    read, opened = open_waiver(waiver.read_bytes(), keys)
    assert read == WAIVED
    assert set(opened.keys) == {key.keyid for key in keys}
    assert waiver.read_bytes().count(b"\n") == 1
    assert said == (
        "smoke of 1.4.2 is waived in production until 2026-11-23 12:00 UTC by Zoë: the lab burns"
    )


def test_a_third_signs_after_the_second(waiver: Path) -> None:
    """Whichever earlier signer is known, all signatures are kept."""
    third = ephemeral().signer
    countersign_path(waiver, [FIRST.public_key], SECOND, NOW)
    countersign_path(waiver, [SECOND.public_key], third, NOW)

    keys = [FIRST.public_key, SECOND.public_key, third.public_key]
    assert len(open_envelope(waiver.read_bytes(), keys, 3).keys) == 3


def test_one_key_signs_once(signed: Signed, waiver: Path) -> None:
    """Neither who signed first, nor who signed second, whether they are given as known or not."""
    countersign_path(waiver, [FIRST.public_key], SECOND, NOW)
    for path, known, signer in (
        (signed.folder, signed.key, signed.signer),
        (waiver, FIRST.public_key, FIRST),
        (waiver, FIRST.public_key, SECOND),  # one of the strangers
        (waiver, SECOND.public_key, FIRST),
    ):
        content = payloads(path if path.is_file() else signed.attestation)
        expected = f"^{fingerprint(signer.public_key)} has signed this already$"
        with pytest.raises(VerificationError, match=expected):
            countersign_path(path, [known], signer, NOW)
        assert payloads(path if path.is_file() else signed.attestation) == content


def test_what_does_not_verify_is_not_countersigned(signed: Signed, waiver: Path) -> None:
    """A changed file, a stranger's signature, another time: nothing is added to any of them."""
    later = NOW - timedelta(hours=1)
    stranger = ephemeral().signer.public_key
    before = signed.attestation.read_bytes()
    with pytest.raises(VerificationError, match="the run ended in the future"):
        countersign_path(signed.folder, [signed.key], SECOND, later)
    with pytest.raises(VerificationError, match="line 1: none of the given keys signed this"):
        countersign_path(signed.folder, [stranger], SECOND, NOW)
    with pytest.raises(VerificationError, match="no trusted key was given"):
        countersign_path(waiver, [], SECOND, NOW)
    (signed.folder / "report.html").write_text("<p>no</p>")
    with pytest.raises(VerificationError, match=r"report.html was changed"):
        countersign_path(signed.folder, [signed.key], SECOND, NOW)
    assert signed.attestation.read_bytes() == before


def test_only_waivers_and_bundles_are_countersigned(tmp_path: Path) -> None:
    """A file that holds anything else that was signed is refused."""
    file = tmp_path / "record.json"
    file.write_bytes(sign(statement(SUBJECT, "https://example.com/other", {}), FIRST))

    with pytest.raises(VerificationError, match=r"the predicate type is not .*/waiver/v0.1"):
        countersign_path(file, [FIRST.public_key], SECOND, NOW)


def test_a_signature_that_names_a_known_key_and_is_anothers(waiver: Path) -> None:
    """It is refused aloud, however many good ones stand beside it."""
    data = json.loads(waiver.read_bytes())
    forged = Envelope.from_dict(json.loads(waiver.read_bytes())).sign(SECOND).to_dict()
    other = ephemeral().signer.public_key
    data["signatures"].append({**forged, "keyid": other.keyid})
    data["signatures"][1]["sig"] = json.loads(sign({}, SECOND))["signatures"][0]["sig"]
    waiver.write_bytes(canonical_json(data) + b"\n")
    expected = f"the signature that names {fingerprint(other)} is not that key's, or what it signed"

    with pytest.raises(VerificationError, match=re.escape(expected)):
        countersign_path(waiver, [FIRST.public_key, other], SECOND, NOW)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    """With the file's name."""
    with pytest.raises(VerificationError, match=r"absent cannot be read: No such file"):
        countersign_path(tmp_path / "absent", [FIRST.public_key], SECOND, NOW)


def test_what_cannot_be_written_is_said(waiver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the file is as it was."""
    before = waiver.read_bytes()

    def full(*_: Any) -> None:  # noqa: ANN401 - as write_bytes has it
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bytes", full)

    with pytest.raises(VerificationError, match=r"json cannot be written: No space left on device"):
        countersign_path(waiver, [FIRST.public_key], SECOND, NOW)
    assert waiver.read_bytes() == before


def test_what_is_signed_is_what_was_shown(
    signed: Signed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle that is exchanged for another good one between the two looks is not signed."""
    other = Signed(tmp_path / "other", signed.signer)
    other.folder.mkdir()
    other.seal(lambda _, second: second["predicate"].update(environment="production"))

    def exchange(folder: Path, *rest: Any, **named: Any) -> VerifiedBundle:  # noqa: ANN401 - its own
        verified = verify_bundle(folder, *rest, **named)
        signed.attestation.write_bytes(other.attestation.read_bytes())
        return verified

    monkeypatch.setattr(module, "verify_bundle", exchange)

    with pytest.raises(VerificationError, match="jsonl was changed while it was verified"):
        countersign_path(signed.folder, [signed.key], SECOND, NOW)
    assert signed.attestation.read_bytes() == other.attestation.read_bytes()


def test_two_waivers_are_told_apart() -> None:
    """A second signature is for one waiver: its bytes hold until when, why and a nonce."""
    line = sign(waiver_statement(WAIVED), FIRST)
    other = sign(waiver_statement(replace(WAIVED, nonce="1" * 32)), FIRST)

    data, moved = json.loads(line), json.loads(other)
    data["signatures"] = moved["signatures"]
    with pytest.raises(VerificationError, match="is not that key's, or what it signed was changed"):
        open_waiver(canonical_json(data), [FIRST.public_key])
