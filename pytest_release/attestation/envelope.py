"""DSSE envelopes (https://github.com/secure-systems-lab/dsse, v1.0.2), one a line.

A line is exactly what `sign` writes or it is refused: the same members, the same canonical JSON,
the same base64. Nothing that `sign` wrote can change without the signature, or this, noticing
(but for the second form that every ECDSA signature has).
Signatures by keys that are not given count for nothing, as DSSE says; whoever must not accept
them finds their ids in `VerifiedStatement.strangers`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from pytest_release.atomic import canonical_json
from pytest_release.attestation import openpgp
from pytest_release.errors import VerificationError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
LARGEST = 64 * 1024 * 1024  # bytes of a line


@dataclass(frozen=True)
class VerifiedStatement:
    """A statement whose signatures were verified.

    Attributes:
        statement: The in-toto statement.
        keys: The given keys that signed it, all of them, by id.
        strangers: Ids that other signatures carry; nothing is known of those.
    """

    statement: Mapping[str, Any]
    keys: Mapping[str, Key]
    strangers: frozenset[str] = frozenset()


def sign(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """The statement in a signed envelope, as one line of JSON with its line feed.

    Raises:
        ValueError: The statement holds NaN or an infinity.
        VerificationError: The signer's public key is not that of what it signs with.
    """
    return _signed(Envelope(canonical_json(statement), PAYLOAD_TYPE, {}), signer)


def countersign(line: bytes, keys: Sequence[Key], signer: Signer) -> bytes:
    """The line with one more signature over the same payload.

    Args:
        line: As `sign` wrote it.
        keys: Of those who must have signed before; who countersigns reads what it puts its name to.
        signer: Of the new signature.

    Raises:
        VerificationError: The line does not verify, or this key has signed it.
    """
    opened = open_envelope(line, keys)
    key_id = signer.public_key.keyid
    if key_id in opened.keys or key_id in opened.strangers:
        raise VerificationError(f"SHA256:{key_id} has signed this already")
    data = _envelope(line)
    payload = _base64(data["payload"], "payload")
    return _signed(Envelope(payload, PAYLOAD_TYPE, _signatures(data["signatures"])), signer)


def _signed(envelope: Envelope, signer: Signer) -> bytes:
    signature = envelope.sign(signer)
    try:
        signer.public_key.verify_signature(signature, envelope.pae())
    except UnverifiedSignatureError:
        message = "the signer's public key does not verify what it signed; give the one that"
        raise VerificationError(f"{message} belongs to the private key") from None
    return canonical_json(envelope.to_dict()) + b"\n"


def open_envelope(line: bytes, keys: Sequence[Key], threshold: int = 1) -> VerifiedStatement:
    """Verify one line; only then is what it says read.

    1. The line is the canonical JSON of an envelope.
    2. Its payload type is in-toto's.
    3. It carries at least one signature, none twice.
    4. At least `threshold` different given keys signed the payload's bytes, and no signature that
       names one of them is another's.
    5. The payload is the canonical JSON of an object.

    Args:
        line: With or without its line feed.
        keys: Trusted keys; two that are the same key are refused.
        threshold: How many of them must have signed.

    Raises:
        VerificationError: Whatever is wrong, in one sentence.
    """
    _check_trust(keys, threshold)
    data = _envelope(line)  # 1
    if data["payloadType"] != PAYLOAD_TYPE:  # 2
        raise VerificationError(f"the payload type is not {PAYLOAD_TYPE}")
    payload = _base64(data["payload"], "payload")
    signatures = _signatures(data["signatures"])  # 3
    _check_forms(signatures, keys)
    accepted = _accepted(Envelope(payload, PAYLOAD_TYPE, signatures), keys)  # 4
    if len(accepted) < threshold:
        signed_by = ", ".join(f"SHA256:{key_id}" for key_id in signatures)
        need = "none of the given keys" if threshold == 1 else f"fewer than {threshold} given keys"
        raise VerificationError(f"{need} signed this; it says it was signed by {signed_by}")
    strangers = frozenset(signatures.keys() - accepted.keys())
    return VerifiedStatement(_object(payload, "the payload"), accepted, strangers)  # 5


def _accepted(envelope: Envelope, keys: Sequence[Key]) -> dict[str, Key]:
    """Of the keys, those that signed; the library stops at a threshold, and does not say so."""
    given = {key.keyid: key for key in keys}
    accepted = {}
    for key_id, signature in envelope.signatures.items():
        if key_id in given:
            try:
                given[key_id].verify_signature(signature, envelope.pae())
            except UnverifiedSignatureError:
                message = f"the signature that names SHA256:{key_id} is not that key's"
                raise VerificationError(f"{message}, or what it signed was changed") from None
            accepted[key_id] = given[key_id]
    return accepted


def _check_trust(keys: Sequence[Key], threshold: int) -> None:
    if not keys:
        raise VerificationError("no trusted key was given: nothing can be verified")
    values = {json.dumps(key.keyval, sort_keys=True) for key in keys}
    if len(values) != len(keys) or len({key.keyid for key in keys}) != len(keys):
        raise VerificationError("the same key was given twice")
    if not 1 <= threshold <= len(keys):
        message = f"a threshold of {threshold} cannot be met by {len(keys)} keys"
        raise VerificationError(message)


def _envelope(line: bytes) -> Mapping[str, Any]:
    data = _object(line.removesuffix(b"\n"), "the line")
    if set(data) != {"payload", "payloadType", "signatures"}:
        message = "an envelope has payload, payloadType and signatures, and nothing else"
        raise VerificationError(message)
    return data


def _object(raw: bytes, what: str) -> Mapping[str, Any]:
    """A JSON object, provided that its bytes are the canonical ones."""
    if len(raw) > LARGEST:
        raise VerificationError(f"{what} has more than {LARGEST} bytes")
    try:
        value = json.loads(raw)
        canonical = canonical_json(value)
    except (ValueError, RecursionError):
        raise VerificationError(f"{what} is not JSON") from None
    if not isinstance(value, dict) or canonical != raw:
        raise VerificationError(f"{what} is not the canonical JSON of an object")
    return value


def _base64(text: Any, what: str) -> bytes:  # noqa: ANN401 - as it was read
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise VerificationError(f"the {what} is not base64") from None
    if base64.b64encode(raw).decode() != text:
        raise VerificationError(f"the {what} is not canonical base64")
    return raw


def _signatures(value: Any) -> dict[str, Signature]:  # noqa: ANN401 - as it was read
    if not isinstance(value, list) or not value:
        raise VerificationError("the envelope is not signed")
    signatures: dict[str, Signature] = {}
    for item in value:
        if not isinstance(item, dict) or set(item) - {openpgp.HEADERS} != {"keyid", "sig"}:
            raise VerificationError("a signature has keyid and sig, and nothing else")
        key_id = item["keyid"]
        more = {name: value for name, value in item.items() if name == openpgp.HEADERS}
        if not all(isinstance(value, str) for value in more.values()):
            raise VerificationError("a signature's headers are a string")
        if not isinstance(key_id, str) or key_id in signatures:
            raise VerificationError("each signature names another key")
        signatures[key_id] = Signature(key_id, _base64(item["sig"], "signature").hex(), more)
    return signatures


def _check_forms(signatures: Mapping[str, Signature], keys: Sequence[Key]) -> None:
    for key in keys:
        if key.keyid in signatures and not openpgp.fits(signatures[key.keyid], key):
            message = f"the signature of SHA256:{key.keyid} has not the form of its key's"
            raise VerificationError(message)
