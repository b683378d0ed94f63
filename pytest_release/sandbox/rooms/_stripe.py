"""Stripe as the demo's payment service uses it: Checkout Sessions, and signed webhooks."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

PATIENCE = 10.0  # seconds for an answer
TOLERANCE = 300  # seconds that a webhook's signature is good for
MINOR_DIGITS = {"JPY": 0, "KRW": 0, "VND": 0}  # of a currency's smallest unit; 2 for the others


def minor(amount: str, currency: str) -> int:
    """An amount in the currency's smallest unit."""
    return int(Decimal(amount).scaleb(MINOR_DIGITS.get(currency, 2)))


def major(amount: int, currency: str) -> str:
    """The amount in the currency itself, as a decimal number."""
    digits = MINOR_DIGITS.get(currency, 2)
    return f"{Decimal(amount).scaleb(-digits):.{digits}f}"


def call(
    account: Mapping[str, Any],
    path: str,
    form: Mapping[str, Any] | None = None,
    key: str = "",
) -> tuple[int, dict[str, Any]]:
    """Ask Stripe: GET without a form; status and JSON."""
    place = urlsplit(account["url"])
    connection = HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
    headers = {
        "authorization": f"Bearer {account['secret_key']}",
        "content-type": "application/x-www-form-urlencoded",
        **({"idempotency-key": key} if key else {}),
    }
    try:
        method, body = ("GET", None) if form is None else ("POST", urlencode(form))
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def genuine(body: bytes, header: str, secret: str, faults: frozenset[str]) -> bool:
    """Whether a webhook comes from Stripe, or from someone who profits from a fault."""
    pairs = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in pairs if name == "t" and value.isdecimal()]
    given = [value for name, value in pairs if name == "v1"]
    if "payment.webhook-v0" in faults:
        given += [value for name, value in pairs if name == "v0"]
    if "payment.webhook-last-v1" in faults:
        given = given[-1:]
    if not times or not given:
        return "payment.webhook-unsigned" in faults
    if time.time() - int(times[0]) > TOLERANCE and "payment.webhook-old" not in faults:
        return False
    forms = [body]
    if "payment.webhook-reencoded" in faults:
        forms.append(json.dumps(json.loads(body)).encode())
    wanted = [
        hmac.new(secret.encode(), f"{times[0]}.".encode() + form, sha256).hexdigest()
        for form in forms
    ]
    right = any(hmac.compare_digest(one, other) for one in given for other in wanted)
    return right or "payment.webhook-unsigned" in faults
