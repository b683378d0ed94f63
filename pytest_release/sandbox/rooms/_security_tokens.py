"""Bearer tokens of the sandbox's edge: JSON Web Tokens, signed with HMAC and SHA-256 (RFC 7515)."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode

LIFE_S = 3600


def make(key: str, ends: float) -> str:
    """A token that is good until a time, in seconds since 1970."""
    parts = ({"alg": "HS256", "typ": "JWT"}, {"sub": "gate", "exp": int(ends)})
    content = ".".join(_encode(json.dumps(part).encode()) for part in parts)
    return f"{content}.{_encode(_signature(key, content))}"


def good(key: str, token: str, faults: frozenset[str]) -> bool:
    """Whether a token is what it should be; some faults make it look away."""
    if "security.any-token" in faults:
        return bool(token)
    try:
        content, _, signature = token.rpartition(".")
        head, body = (json.loads(_decode(part)) for part in content.split("."))
        unsigned = head["alg"] == "none" and "security.unsigned-token" in faults
        signed = hmac.compare_digest(_decode(signature), _signature(key, content))
        in_time = body["exp"] > time.time() or "security.expired-token" in faults
    except (ValueError, KeyError, TypeError):
        return False
    if "security.unread-signature" in faults:
        signed = head["alg"] == "HS256"
    return (signed or unsigned) and in_time


def _signature(key: str, content: str) -> bytes:
    return hmac.digest(key.encode(), content.encode(), "sha256")


def _encode(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
