"""Stripe's webhook signatures, right ones and wrong ones.

Scheme: ``Stripe-Signature: t=<unix time>,v1=<hex>[,v1=...]``, HMAC-SHA256 with the endpoint's
secret over ``t``, a dot and the raw body; good for 300 s; any v1 may match, v0 never counts
(https://docs.stripe.com/webhooks#verify-manually). The event is of a type that nobody handles.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from uuid import uuid4

TOLERANCE_S = 300
TOO_OLD_S = 305  # a little beyond, for clocks that differ
STILL_GOOD_S = 240


@dataclass(frozen=True)
class Delivery:
    """One webhook.

    Attributes:
        what: Is special about it, for messages.
        accepted: Whether it must be.
        header: Of the signature; None for none.
        body: As sent.
        again: Another delivery of the same before it: then it must not count once more.
    """

    what: str
    accepted: bool
    header: str | None
    body: bytes
    again: bool = False


def deliveries(secret: str, now: int) -> Iterator[Delivery]:
    """All of them, each an event of its own.

    Args:
        secret: Of the deployment's endpoint.
        now: Seconds since 1970.
    """
    yield from _right(secret, now)
    yield from _wrong_signatures(secret, now)
    yield from _wrong_bodies(secret, now)


def _right(secret: str, now: int) -> Iterator[Delivery]:
    body = event()
    header = signed(secret, now, body)
    digest, other = _digest(secret, now, body), _digest("another", now, body)
    yield Delivery("the right signature", True, header, body)
    yield Delivery("the right signature, delivered again", True, header, body, again=True)
    body = event()
    age = now - STILL_GOOD_S
    what = f"a right signature that is {STILL_GOOD_S} s old"
    yield Delivery(what, True, signed(secret, age, body), body)
    body = event()
    digest, other = _digest(secret, now, body), _digest("another", now, body)
    yield Delivery("a right v1 behind a wrong one", True, f"t={now},v1={other},v1={digest}", body)
    body = event()
    digest, other = _digest(secret, now, body), _digest("another", now, body)
    yield Delivery("a right v1 before a wrong one", True, f"t={now},v1={digest},v1={other}", body)
    body = event()
    header = f"{signed(secret, now, body)},v0={'0' * 64}"
    yield Delivery("a right v1 beside a wrong v0", True, header, body)


def _wrong_signatures(secret: str, now: int) -> Iterator[Delivery]:
    body = event()
    digest = _digest(secret, now, body)
    old = now - TOO_OLD_S
    wrong = {
        "a delivery without a signature": None,
        "an empty signature": "",
        "a signature without a time": f"v1={digest}",
        "a signature without v1": f"t={now}",
        "a signature with another secret": signed("another", now, body),
        f"a signature that is {TOO_OLD_S} s old": signed(secret, old, body),
        "a signature whose time was changed": f"t={now - 1},v1={digest}",
        "a right digest called v0": f"t={now},v0={digest}",
        "a pair of wrong v1": f"t={now},v1={'0' * 64},v1={'f' * 64}",
        "a digest that lacks its last digit": f"t={now},v1={digest[:-1]}",
    }
    for what, header in wrong.items():
        yield Delivery(what, False, header, body)


def _wrong_bodies(secret: str, now: int) -> Iterator[Delivery]:
    body = event()
    yield Delivery("a body with one byte changed", False, signed(secret, now, body), body + b" ")
    value = json.loads(body)
    forms = {
        "compact": json.dumps(value, separators=(",", ":")).encode(),
        "default": json.dumps(value).encode(),
        "sorted": json.dumps(value, sort_keys=True).encode(),
    }
    for name, form in forms.items():
        what = f"a body re-encoded ({name}) behind its signature"
        yield Delivery(what, False, signed(secret, now, body), form)
        what = f"a signature over the re-encoded body ({name})"
        yield Delivery(what, False, signed(secret, now, form), body)


def event() -> bytes:
    """One that nobody handles, in a form that re-encoding changes."""
    value = {
        "type": "pytest_release.probe",
        "id": f"evt_test_{uuid4().hex}",
        "object": "event",
        "livemode": False,
        "data": {"object": {"note": "signed as it is: \u00e9"}},
    }
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def signed(secret: str, at: int, body: bytes) -> str:
    """The header of a body."""
    return f"t={at},v1={_digest(secret, at, body)}"


def _digest(secret: str, at: int, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
