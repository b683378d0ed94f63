"""The fault switches of payments; those without a change are looked at by the endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.changes import Change, body, late, members, refusal
from pytest_release.sandbox.fault import Fault, faults_of

SLOW = 0.8  # seconds to the head of a slow answer


def _third(number: int) -> bool:
    return number % 3 == 0


def _providers(edit: Callable[[list[dict[str, Any]]], object]) -> Change:
    """The list of providers edited in place, ``success: true`` as it was."""

    def change(answer: Answer) -> Answer:
        providers = json.loads(answer.body)["providers"]
        edit(providers)
        return members(providers=providers)(answer)

    return change


def _nested(answer: Answer) -> Answer:
    """``success: true`` somewhere else than where it belongs."""
    value = json.loads(answer.body)
    value["meta"] = {"success": value.pop("success")}
    return body(json.dumps(value).encode())(answer)


_CHANGES = (
    Fault("payment.provider-down", "payment.provider", "Stripe is ok: false inside success: true",
          _providers(lambda found: found[0].update(ok=False))),
    Fault("payment.provider-disabled", "payment.provider", "PayerMax is enabled: false",
          _providers(lambda found: found[1].update(enabled=False))),
    Fault("payment.provider-missing", "payment.provider", "PayerMax is not in the list",
          _providers(lambda found: found.pop())),
    Fault("payment.currency-missing", "payment.provider", "Stripe takes no USD",
          _providers(lambda found: found[0].update(currencies=["EUR"]))),
    Fault("payment.live-provider", "payment.live-order", "Stripe says that its mode is live",
          _providers(lambda found: found[0].update(mode="live"))),
    Fault("payment.success-elsewhere", "payment.success", "success: true, but not at the top",
          _nested),
    Fault("payment.updating", "payment.unavailable", "every third request is answered 503 updating",
          refusal(503, "updating"), when=_third),
    Fault("payment.slow", "payment.latency", f"verifying takes {SLOW} s", late(SLOW),
          group="payment-verify"),
    Fault("payment.verify-fails", "payment.status", "verifying answers 500",
          refusal(500, "internal error"), group="payment-verify"),
)  # fmt: skip

_BEHAVIOUR = (
    ("wrong-amount", "amount", "verifying says another amount"),
    ("amount-number", "amount", "verifying says the amount as a number: 4.1"),
    ("wrong-currency", "currency", "verifying says another currency"),
    ("charged-hundredfold", "charged", "Stripe is asked for a hundred times the amount"),
    ("same-order-id", "not-unique", "all orders have one id"),
    ("lost-order", "verify", "an order is forgotten at once"),
    ("paid-at-once", "paid", "an order that nobody paid is paid"),
    ("key-ignored", "idempotency", "the same idempotency key gives another order"),
    ("key-blind", "idempotency-conflict", "the same key gives the same order for another amount"),
    ("invented-order", "invalid-order", "an order that does not exist is verified"),
    ("expired-order", "expired-order", "an expired order is verified"),
    ("takes-anything", "refusal", "orders without a good amount are taken"),
    ("live-order", "live-order", "the order is one with real money"),
    ("stays-open", "left-behind", "Stripe cannot expire a session"),
    ("secret-leaked", "secret", "the answer has Stripe's secret key in it"),
    ("card-number", "card-data", "the answer has a card number in it"),
    ("webhook-unsigned", "webhook", "webhooks are taken from anybody"),
    ("webhook-refuses", "webhook", "webhooks are taken from nobody"),
    ("webhook-old", "webhook", "the time of a webhook is not looked at"),
    ("webhook-replayed", "webhook", "a webhook is processed again"),
    ("webhook-reencoded", "webhook", "the signature is compared with re-encoded JSON"),
    ("webhook-v0", "webhook", "signatures of the scheme v0 count"),
    ("webhook-last-v1", "webhook", "only the last of several v1 is looked at"),
)

FAULTS = (
    *_CHANGES,
    *faults_of("payment", _BEHAVIOUR),
)
