"""OpenPGP keys, which GnuPG signs with and securesystemslib verifies without it.

What is trusted is a JSON document: securesystemslib's form of the key, and the OpenPGP fingerprint
by which GnuPG finds the private half. That fingerprint hashes the day on which the key was made,
so it is no name for the key: the id is that of the same key in PEM. One key has one id.
"""

from __future__ import annotations

import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from securesystemslib.signer import GPGKey, Key, Signature, SSlibKey

MEMBERS = frozenset({"fingerprint", "keytype", "scheme", "keyval"})
HEADERS = "other_headers"  # securesystemslib's name of what OpenPGP hashes after the document
_ED25519, _RSA = "pgp+eddsa-ed25519", "pgp+rsa-pkcsv1.5"
_SMALLEST = 2048  # bits of an RSA key
_FINGERPRINT = re.compile(r"[0-9a-f]{40}")  # it becomes an argument of gpg: nothing else may pass
_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_BINARY, _SHA256 = b"\x04\x00", 0x08  # RFC 4880, 5.2.3: version 4, of a binary document; 9.4


def parse(document: bytes) -> Key:
    """The key in a document.

    Raises:
        ValueError: It is none, or of a kind that is not taken (DSA, other curves).
    """
    try:
        data: dict[str, Any] = json.loads(document)
        if set(data) != MEMBERS or not _FINGERPRINT.fullmatch(data["fingerprint"]):
            raise ValueError("its members are not those of an OpenPGP key")
        plain = SSlibKey.from_crypto(_crypto(data["scheme"], data["keyval"]["public"]))
        return Key.from_dict(plain.keyid, data)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError("it is no OpenPGP key") from error


def _crypto(scheme: str, public: dict[str, str]) -> Ed25519PublicKey | RSAPublicKey:
    if scheme == _ED25519:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public["q"]))
    if scheme == _RSA:
        numbers = RSAPublicNumbers(int(public["e"], 16), int(public["n"], 16))
        key = numbers.public_key()
        if key.key_size >= _SMALLEST:
            return key
    raise ValueError("it is neither Ed25519 nor RSA of at least 2048 bits")


def as_gnupg_knows_it(key: Key) -> Key:
    """The same key under its OpenPGP fingerprint."""
    return GPGKey(key.unrecognized_fields["fingerprint"], key.keytype, key.scheme, key.keyval)


def fits(signature: Signature, key: Key) -> bool:
    """Whether a signature has the one form that this key's signatures have.

    OpenPGP's hashed headers stand beside those of OpenPGP keys and of no others, in lower case and
    with nothing missing or added, and an RSA signature has no leading zeros.
    """
    headers = signature.unrecognized_fields.get(HEADERS)
    if not isinstance(key, GPGKey):
        return headers is None
    if not isinstance(headers, str) or not _HEX.fullmatch(headers):
        return False
    raw = bytes.fromhex(headers)
    whole = len(raw) >= 6 and len(raw) == 6 + int.from_bytes(raw[4:6], "big")
    right = raw.startswith(_BINARY) and whole and raw[3] == _SHA256
    return right and not (key.scheme == _RSA and signature.signature.startswith("00"))
