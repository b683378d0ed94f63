"""Tests of `pytest_release.attestation.envelope`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key, Signature, Signer, SSlibKey

from pytest_release.atomic import canonical_json
from pytest_release.attestation import envelope
from pytest_release.attestation.envelope import PAYLOAD_TYPE, open_envelope, sign
from pytest_release.attestation.keys import ephemeral
from pytest_release.errors import VerificationError

SIGNER = ephemeral().signer
KEY = SIGNER.public_key
LINE = sign({"a": [1, "é"]}, SIGNER)

Edit = Callable[[dict[str, Any]], object]


def signed(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """A line that the library signs, whatever its payload."""
    made = Envelope(payload, payload_type, {})
    made.sign(SIGNER)
    return canonical_json(made.to_dict())


def test_what_was_signed_opens() -> None:
    """The statement comes back, with the keys that signed it; one line, with or without its end."""
    for line in (LINE, LINE[:-1]):
        opened = open_envelope(line, [ephemeral().signer.public_key, KEY])
        assert opened.statement == {"a": [1, "é"]}
        assert opened.keys == {KEY.keyid: KEY}
    assert LINE.count(b"\n") == 1


def test_securesystemslib_alone_reads_it() -> None:
    """Nothing of ours is needed to verify what we sign."""
    read = Envelope.from_dict(json.loads(LINE))

    assert read.verify([KEY], 1) == {KEY.keyid: KEY}
    assert read.pae().startswith(b"DSSEv1 28 application/vnd.in-toto+json 14 ")


def test_nan_is_not_signed() -> None:
    """What has no JSON is refused before it is signed."""
    with pytest.raises(ValueError, match="Out of range float values"):
        sign({"a": float("nan")}, SIGNER)


class Mismatched(Signer):
    """A signer that names a public key which is not its own."""

    @property
    def public_key(self) -> Key:
        """Of another pair."""
        return ephemeral().signer.public_key

    def sign(self, payload: bytes) -> Signature:
        """With the pair of this module."""
        return SIGNER.sign(payload)

    @classmethod
    def from_priv_key_uri(cls, *_: Any) -> Signer:  # noqa: ANN401 - as the library has it
        """Never called."""
        raise NotImplementedError


def test_a_signer_must_sign_with_the_key_that_it_names() -> None:
    """Nothing is written that its own public key does not verify."""
    with pytest.raises(VerificationError, match="the signer's public key does not verify"):
        sign({}, Mismatched())


def edited(edit: Edit) -> bytes:
    """The signed line, after an edit of its members."""
    data = json.loads(LINE)
    edit(data)
    return canonical_json(data)


REFUSED = {
    "no JSON": ("the line is not JSON", b"hello"),
    "nothing": ("the line is not JSON", b""),
    "bad UTF-8": ("the line is not JSON", b'"\xff"'),
    "too deep": ("the line is not JSON", b"[" * 100_000),
    "NaN": ("the line is not JSON", b'{"a":NaN}'),
    "no object": ("not the canonical JSON of an object", b"[]"),
    "a space": ("not the canonical JSON of an object", LINE.replace(b":", b": ", 1)),
    "a key twice": ("not the canonical JSON", LINE.replace(b"{", b'{"payload":"",', 1)),
    "a member more": ("and nothing else", edited(lambda d: d.update(x=1))),
    "a member less": ("and nothing else", edited(lambda d: d.pop("payloadType"))),
    "another type": ("payload type is not", edited(lambda d: d.update(payloadType="text"))),
    "signed as another type": ("payload type is not", signed(b"{}", "text/plain")),
    "payload no text": ("the payload is not base64", edited(lambda d: d.update(payload=1))),
    "payload no base64": ("the payload is not base64", edited(lambda d: d.update(payload="é"))),
    "spare bits": (
        "the payload is not canonical base64",
        edited(lambda d: d.update(payload="ab==")),
    ),
    "unsigned": ("is not signed", edited(lambda d: d.update(signatures=[]))),
    "signatures no list": ("is not signed", edited(lambda d: d.update(signatures={"a": 1}))),
    "a signature with more": ("keyid and sig", edited(lambda d: d["signatures"][0].update(x=1))),
    "headers no text": (
        "a signature's headers are a string",
        edited(lambda d: d["signatures"][0].update(other_headers=["04"])),
    ),
    "OpenPGP's headers for another key": (
        "has not the form of its key's",
        edited(lambda d: d["signatures"][0].update(other_headers="040016080000")),
    ),
    "one twice": (
        "names another key",
        edited(lambda d: d["signatures"].append(d["signatures"][0])),
    ),
    "no key id": ("names another key", edited(lambda d: d["signatures"][0].update(keyid=1))),
    "an empty signature": (
        "is not that key's",
        edited(lambda d: d["signatures"][0].update(sig="")),
    ),
    "another payload": ("what it signed was changed", edited(lambda d: d.update(payload="e30="))),
    "payload no JSON": ("the payload is not JSON", signed(b"hello")),
    "payload no object": ("the payload is not the canonical", signed(b"[]")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused(what: str) -> None:
    """A line that `sign` did not write is refused with the reason, signed or not."""
    reason, line = REFUSED[what]

    with pytest.raises(VerificationError, match=reason):
        open_envelope(line, [KEY])


def test_a_line_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long is not parsed."""
    monkeypatch.setattr(envelope, "LARGEST", 10)

    with pytest.raises(VerificationError, match="the line has more than 10 bytes"):
        open_envelope(LINE, [KEY])


@pytest.mark.parametrize(
    ("keys", "threshold", "reason"),
    [
        ([], 1, "no trusted key was given"),
        ([KEY], 0, "a threshold of 0 cannot be met by 1 keys"),
        ([KEY], 2, "a threshold of 2 cannot be met by 1 keys"),
        ([KEY, KEY], 2, "the same key was given twice"),
        (
            [KEY, SSlibKey("alias", KEY.keytype, KEY.scheme, KEY.keyval)],
            2,
            "the same key was given twice",
        ),
    ],
)
def test_trust_is_checked_first(keys: list[Key], threshold: int, reason: str) -> None:
    """No key, an impossible threshold, or one key under two names: nothing is opened."""
    with pytest.raises(VerificationError, match=reason):
        open_envelope(LINE, keys, threshold)


def test_two_signatures_meet_a_threshold_of_two() -> None:
    """An envelope that two keys signed, and a third that nobody knows, is accepted."""
    others = [ephemeral().signer, ephemeral().signer]
    read = Envelope.from_dict(json.loads(LINE))
    for signer in others:
        read.sign(signer)
    keys = [KEY, others[0].public_key]

    assert len(open_envelope(canonical_json(read.to_dict()), keys, 2).keys) == 2


@given(st.binary())
def test_bytes_never_raise_anything_else(line: bytes) -> None:
    """Whatever the bytes, they are refused with `VerificationError`."""
    with pytest.raises(VerificationError, match=r"the line is not|an envelope has"):
        open_envelope(line, [KEY])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(JSON, JSON, JSON)
def test_envelopes_never_raise_anything_else(payload: Any, kind: Any, signatures: Any) -> None:  # noqa: ANN401 - any JSON value
    """Whatever the members are, they are refused with `VerificationError`."""
    for value in (kind, PAYLOAD_TYPE):
        data = {"payload": payload, "payloadType": value, "signatures": signatures}
        with pytest.raises(VerificationError, match=r"payload|signed|signature"):
            open_envelope(canonical_json(data), [KEY])
