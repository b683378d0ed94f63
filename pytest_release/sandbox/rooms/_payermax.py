"""PayerMax's envelope: a JSON body, signed with RSA and SHA-256, the signature in a header.

As its published API says (SHA256WithRSA, PKCS #1 v1.5, base64, over the bytes of the body). Both
sides use this here: the demo's payment service, and the stand-in that answers it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

GATEWAY = "/aggregate-pay/api/gateway"
PATIENCE = 10.0  # seconds for an answer


def key_pair() -> tuple[str, str]:
    """A private and a public key, in PEM."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def sign(body: bytes, private: str) -> str:
    """The value of the header ``sign``."""
    return base64.b64encode(_private(private).sign(body, PKCS1v15(), SHA256())).decode()


@cache
def _private(pem: str) -> RSAPrivateKey:
    """Read once: it takes a tenth of a second."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def signed(body: bytes, signature: str, public: str) -> bool:
    """Whether a signature is that of the body."""
    key = load_pem_public_key(public.encode())
    assert isinstance(key, RSAPublicKey)
    try:
        key.verify(base64.b64decode(signature), body, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def call(account: Mapping[str, Any], name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the gateway, as a merchant."""
    envelope = {
        "version": "1.5",
        "keyVersion": "1",
        "requestTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "appId": account["app_id"],
        "merchantNo": account["merchant_no"],
        "data": data,
    }
    body = json.dumps(envelope).encode()
    place = urlsplit(account["url"])
    connection = HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
    headers = {"content-type": "application/json", "sign": sign(body, account["private_key"])}
    try:
        connection.request("POST", f"{place.path}/{name}", body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if not signed(content, answer.getheader("sign", ""), account["public_key"]):
        return {"code": "SIGN_VERIFY_FAILED", "msg": "PayerMax's signature is wrong"}
    value: dict[str, Any] = json.loads(content)
    return value
