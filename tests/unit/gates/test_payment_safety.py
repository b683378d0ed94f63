"""Never real money: what is refused before the first request, and what no report shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.environment import ROLES, Environment, GatePolicy
from pytest_release.gates._payment_safety import (
    Wish,
    forbidden,
    harmless,
    leaks,
    live_order,
)
from pytest_release.redaction import Secret

TEST = {"secret_key": Secret("sk_test_51Habcdefgh")}
POLICY = GatePolicy(options={"mode": "test", "max_amounts": {"USD": "5.00", "HKD": "40"}})
WISH = Wish("stripe", "4.10", "USD")


def environment(role: str = "production", **services: dict[str, Any]) -> Environment:
    """One whose payments are these."""
    here = Path("here.yaml")
    return Environment("here", role, "shop", "https://x.example", here, "", {}, services=services)


def test_production_with_a_test_key_may_order() -> None:
    """Up to the cap, which belongs to it."""
    for amount in ("4.10", "5.00", "5"):
        wish = replace(WISH, amount=amount)
        assert list(forbidden(environment(stripe=TEST), POLICY, wish)) == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("key", ["sk_live_51Habcdefgh", "rk_live_1234567890", "pk_live_1234567"])
def test_a_live_key_is_refused_for_every_role(role: str, key: str) -> None:
    """Whatever service it stands in; the message has its kind, and not the key."""
    for service, name in (("stripe", "secret_key"), ("payermax", "app_id")):
        services: dict[str, Any] = {"stripe": TEST, service: {name: Secret(key)}}
        (reason, *_) = forbidden(environment(role, **services), POLICY, WISH)

        assert reason == f"services.{service}.{name} is a live key ({key[:8]}...)"


@pytest.mark.parametrize(
    ("url", "reasons"),
    [
        ("https://pay-gate-uat.payermax.com/aggregate-pay/api/gateway", 0),
        ("http://127.0.0.1:8000/aggregate-pay/api/gateway", 0),
        ("http://localhost:8000/", 0),
        ("https://pay-gate.payermax.com/aggregate-pay/api/gateway", 1),
        ("https://pay-gate-uat.payermax.com.example/x", 1),
        ("http://10.0.0.7/x", 1),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_only_the_test_gateway_of_payermax_is_used(role: str, url: str, reasons: int) -> None:
    """By its host, not by what else stands in the address."""
    services: dict[str, Any] = {
        "stripe": TEST,
        "payermax": {"url": url, "private_key": Secret("k")},
    }

    assert len(list(forbidden(environment(role, **services), POLICY, WISH))) == reasons


@pytest.mark.parametrize(
    ("services", "policy", "wish", "reason"),
    [
        ({}, POLICY, WISH, "services.stripe.secret_key is no test key (sk_test_...)"),
        (
            {"stripe": {"secret_key": "xk_test_1234567"}},
            POLICY,
            WISH,
            "services.stripe.secret_key is no test key (sk_test_...)",
        ),
        (
            {},
            POLICY,
            Wish("payermax", "1", "HKD"),
            "services.payermax.private_key, the merchant's of the test gateway, is not given",
        ),
        (
            {},
            POLICY,
            replace(WISH, provider="cash"),
            "how a test order of 'cash' is recognised is not known",
        ),
        ({"stripe": TEST}, GatePolicy(), WISH, "the gate's policy does not say mode: test"),
        (
            {"stripe": TEST},
            GatePolicy(options={"mode": "test"}),
            WISH,
            "the gate's policy does not say max_amounts",
        ),
    ],
)
def test_production_needs_proof(
    services: dict[str, Any], policy: GatePolicy, wish: Wish, reason: str
) -> None:
    """Where it cannot be known that it is a test, nothing is ordered; elsewhere it may be."""
    assert reason in forbidden(environment(**services), policy, wish)
    assert reason not in forbidden(environment("staging", **services), policy, wish)


@pytest.mark.parametrize(
    ("amount", "currency", "reason"),
    [
        ("5.01", "USD", "5.01 USD is above max_amounts: 5.00"),
        ("1", "EUR", "max_amounts of the gate's policy has no EUR"),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_amounts_are_capped(role: str, amount: str, currency: str, reason: str) -> None:
    """In every role, once there is a cap."""
    wish = Wish("stripe", amount, currency)

    assert list(forbidden(environment(role, stripe=TEST), POLICY, wish)) == [reason]


@pytest.mark.parametrize(
    ("answer", "sign"),
    [
        ({"payment_id": "cs_live_a1"}, "cs_live_"),
        ({"data": [{"url": "https://checkout.stripe.com/c/pay/cs_live_a1#x"}]}, "cs_live_"),
        ({"session": {"livemode": True}}, "livemode"),
        ({"mode": "live"}, "livemode"),
        ({"url": "https://cashier-n.payermax.com/index.html"}, "cashier-n.payermax.com"),
        ({"url": "https://cashier-n-uat.payermax.com/index.html"}, ""),
        ({"payment_id": "cs_test_a1", "livemode": False}, ""),
    ],
)
def test_an_order_with_real_money_is_recognised(answer: dict[str, Any], sign: str) -> None:
    """Wherever in the answer it says so."""
    assert live_order(answer) == sign


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('{"number": "4242424242424242"}', ["payment.card-data"]),
        ("card 5555 5555 5555 4444, exp 12/34", ["payment.card-data"]),
        ("3782-822463-10005", ["payment.card-data"]),
        ("4242424242424241", []),  # a wrong check digit
        ('{"created": 1764345600128, "id": "20250227174218727122389"}', []),
        ("order_4242424242424242", []),  # part of a name
        ("key sk_test_51Habcdefghijk and whsec_0123456789abcdef", ["payment.secret"]),
        ("sk_test_...", []),
    ],
)
def test_what_no_answer_may_hold(text: str, codes: list[str]) -> None:
    """Is found, and gone from what is shown."""
    assert [code for code, _ in leaks(text)] == codes
    assert list(leaks(harmless(text))) == []
    assert (harmless(text) == text) is not bool(codes)
