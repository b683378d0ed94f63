"""Never real money: what is looked at before the first request, and in every answer.

- A live key or a live gateway is refused for every role.
- In `production` a provider is used only where its test key is known, so that it is recognised
  before the first request and so that what was ordered can be expired afterwards; amounts must be
  within the policy's ``max_amounts``.
- Card numbers and keys in an answer are findings, and no finding shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.redaction import MASK, Secret, reveal

LIVE = re.compile(r"\b((?:sk|rk|pk)_live_)")
LIVE_ORDER = re.compile(r"\bcs_live_|//cashier(?:-n)?\.payermax\.com\b|//pay-gate\.payermax\.com\b")
TEST_KEY = re.compile(r"(?:sk|rk)_test_\w{6,}")
KEY = re.compile(r"\b(?:sk|rk|whsec)_(?:(?:test|live)_)?[A-Za-z0-9]{12,}")
CARD = re.compile(  # Visa, Mastercard, American Express, Discover and UnionPay, JCB
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]|22[2-9]|2[3-6]\d|27[0-2])\d{13,14}|3[47]\d{13}"
    r"|6(?:011|5\d\d|2\d\d|4[4-9]\d)\d{12,15}|35\d{14}"
)
DIGITS = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w.-])")
TEST_HOSTS = frozenset({"pay-gate-uat.payermax.com"})
TEST_GATEWAY = "https://pay-gate-uat.payermax.com/aggregate-pay/api/gateway"


@dataclass(frozen=True)
class Wish:
    """An order as it is going to be asked for; the amount is a decimal number as text."""

    provider: str
    amount: str
    currency: str


def forbidden(environment: Environment, policy: GatePolicy, wish: Wish) -> Iterator[str]:
    """Why this may not be ordered there, a sentence each; none when it may."""
    for name in ("stripe", "payermax"):
        for key, value in environment.services.get(name, {}).items():
            if live := LIVE.search(reveal(value)):
                yield f"services.{name}.{key} is a live key ({live[1]}...)"
    if (host := gateway_host(environment)) and not _is_test(host):
        yield f"services.payermax.url leads to {host}, which is not PayerMax's test gateway"
    if environment.role == "production":
        yield from _of_production(environment, policy, wish)
    yield from _above_the_cap(environment, policy, wish)


def _of_production(environment: Environment, policy: GatePolicy, wish: Wish) -> Iterator[str]:
    if policy.options.get("mode") != "test":
        yield "the gate's policy does not say mode: test"
    options = environment.services.get(wish.provider, {})
    key = reveal(options.get("secret_key", ""))
    if wish.provider == "stripe" and not TEST_KEY.fullmatch(key):
        yield "services.stripe.secret_key is no test key (sk_test_...)"
    if wish.provider == "payermax" and not options.get("private_key"):
        yield "services.payermax.private_key, the merchant's of the test gateway, is not given"
    if wish.provider not in {"stripe", "payermax"}:
        yield f"how a test order of {wish.provider!r} is recognised is not known"


def _above_the_cap(environment: Environment, policy: GatePolicy, wish: Wish) -> Iterator[str]:
    caps: Mapping[str, str | Secret] | None = policy.options.get("max_amounts")
    if caps is None:
        if environment.role == "production":
            yield "the gate's policy does not say max_amounts"
        return
    cap, amount = caps.get(wish.currency), decimal(wish.amount)
    if cap is None:
        yield f"max_amounts of the gate's policy has no {wish.currency}"
    elif amount is not None and amount > Decimal(reveal(cap)):
        yield f"{wish.amount} {wish.currency} is above max_amounts: {reveal(cap)}"


def decimal(text: str) -> Decimal | None:
    """A finite decimal number; None for any other text."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def gateway_host(environment: Environment) -> str:
    """Where the environment says that PayerMax is; empty where it does not say."""
    url = environment.services.get("payermax", {}).get("url", "")
    return urlsplit(reveal(url)).hostname or ""


def _is_test(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in TEST_HOSTS or host == "localhost"


def live_order(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """What in an answer says that an order is one with real money; empty when nothing does."""
    if isinstance(value, Mapping):
        if value.get("livemode") is True or value.get("mode") == "live":
            return "livemode"
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(live_order, value)), "")
    found = LIVE_ORDER.search(value) if isinstance(value, str) else None
    return found[0].lstrip("/") if found else ""


def leaks(text: str) -> Iterator[tuple[str, str]]:
    """Code and message for each kind of thing that no answer may hold; neither shows it."""
    if any(_is_card(found[0]) for found in DIGITS.finditer(text)):
        yield "payment.card-data", "the answer holds a card number"
    if found := KEY.search(text):
        yield "payment.secret", f"the answer holds a secret key ({found[0][:8]}...)"


def harmless(text: str) -> str:
    """The text without card numbers and keys."""
    masked = DIGITS.sub(lambda found: MASK if _is_card(found[0]) else found[0], text)
    return KEY.sub(MASK, masked)


def _is_card(text: str) -> bool:
    """Whether it begins as card numbers do, and has their check digit (ISO/IEC 7812-1, annex B)."""
    number = re.sub("[ -]", "", text)
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return bool(CARD.fullmatch(number)) and (sum(digits[::2]) + sum(doubled)) % 10 == 0
