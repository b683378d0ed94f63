"""Payments can be ordered and verified, for exactly what was asked, and never with real money."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates._check import concluded
from pytest_release.gates._payment_account import Order
from pytest_release.gates._payment_safety import Wish
from pytest_release.gates._payment_till import Answer, ForbiddenError, Till, at_once, missing
from pytest_release.gates._payment_webhook import TOLERANCE_S, Delivery, deliveries
from pytest_release.gates._scene import Scene
from pytest_release.redaction import reveal

AT_ONCE = 4  # requests under way where a case says nothing


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check of the payment service.

    Measures ``latency_ms`` of every answer of the deployment.

    Args:
        case: Of this gate; its `check` is one of those below.
        policy: ``mode`` and ``max_amounts``, and limits of figures.
        scene: What was ordered is expired behind it.

    Raises:
        TargetError: The deployment does not answer, or a key is needed that is not given.
    """
    till = Till(case, policy, scene)
    try:
        till.guard(till.wish)
        _CHECKS[case.check](till)
    except ForbiddenError as error:
        till.find("forbidden", str(error))
    return concluded(case, policy, till.findings, {"latency_ms": till.times})


def _providers(till: Till) -> None:
    """Each provider is there, enabled and well, inside an answer that is a success itself."""
    answer = till.ask("the providers", Request("GET", till.path("providers")))
    listed = answer.value.get("providers")
    if not _succeeded(till, answer) or not isinstance(listed, list):
        if answer.success:
            till.find("provider", "the providers: there is no list of them", received=answer.text)
        return
    states = {str(each.get("id")): each for each in listed if isinstance(each, Mapping)}
    for name in till.options.get("providers", ["stripe", "payermax"]):
        if name not in states:
            there = ", ".join(states) or "none"
            till.find("provider", f"{name} is not among the providers: {there}")
        else:
            _provider(till, name, states[name])


def _provider(till: Till, name: str, state: Mapping[str, Any]) -> None:
    if state.get("enabled") is not True:
        till.find("provider", f"{name} is enabled: {state.get('enabled')!r}, expected true")
    for flag in ("ok", "success", "available", "healthy"):
        if flag in state and state[flag] is not True:
            till.find("provider", f"{name} is {flag}: {state[flag]!r} inside success: true")
    listed = state.get("currencies")
    known = listed if isinstance(listed, list) else []
    for currency in till.options.get("currencies", {}).get(name, []):
        if currency not in known:
            there = ", ".join(map(str, known)) or "none"
            till.find("provider", f"{name} does not take {currency}; its currencies: {there}")


def _order(till: Till) -> None:
    """An order is what was asked for: as answered, as verified, and as the provider knows it."""
    answer, order = till.create(till.wish)
    if not _succeeded(till, answer) or order is None:
        if answer.success:
            till.find("create", f"{answer.what}: success: true without an id", received=answer.text)
        return
    _form(till, answer)
    for name in ("payment_id", "order_id"):
        if key := getattr(order, name):
            _verified(till, till.verify(order.provider, f"verifying {name} {key}", **{name: key}))
    if order.session:
        what = f"verifying session_id {order.session}"
        _verified(till, till.verify(order.provider, what, session_id=order.session))
    _charged(till, order)


def _form(till: Till, answer: Answer) -> None:
    value = answer.value
    for name in missing(value, ("payment_id", "order_id", "status")):
        till.find("create", f"{answer.what}: there is no {name}", received=answer.text)
    url = str(value.get("payment_url") or value.get("checkout_url") or "")
    if not url.startswith("https://"):
        till.find("create", f"{answer.what}: payment_url is no https address: {url!r}")
    if value.get("provider") != till.wish.provider:
        till.find("create", f"{answer.what}: provider is {value.get('provider')!r}")
    made, ends = _moment(value.get("created_at")), _moment(value.get("expires_at"))
    if made is None or ends is None or ends <= made:
        shown = f"created_at {value.get('created_at')!r}, expires_at {value.get('expires_at')!r}"
        till.find("expires", f"{answer.what}: it does not expire after it was made: {shown}")


def _moment(value: Any) -> float | None:  # noqa: ANN401 - any JSON value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None


def _verified(till: Till, answer: Answer) -> None:
    """An open order: known, over exactly what was asked, and not paid."""
    if not answer.success:
        if answer.status < 500:
            message = f"{answer.what}: {answer.said} instead of success: true"
            till.find("verify", message, received=answer.text)
        return
    value, wish = answer.value, till.wish
    if value.get("amount") != wish.amount:
        message = f"{answer.what}: the amount is {value.get('amount')!r} instead of {wish.amount!r}"
        till.find("amount", message, expected=wish.amount, received=str(value.get("amount")))
    if value.get("currency") != wish.currency:
        shown = f"{value.get('currency')!r} instead of {wish.currency!r}"
        till.find("currency", f"{answer.what}: the currency is {shown}")
    status = str(value.get("status")).lower()
    if value.get("paid_time") or status in {"paid", "success", "succeeded", "complete"}:
        till.find("paid", f"{answer.what}: nobody has paid, and the status is {status!r}")


def _charged(till: Till, order: Order) -> None:
    """What the provider is going to ask for, by its own word."""
    if (account := till.account) is None:
        return
    try:
        charge = account.charge(order)
    except TargetError as error:
        till.find("charged", f"the order {order.order_id} at {order.provider}: {error}")
        return
    wish = till.wish
    if (charge.amount, charge.currency) != (Decimal(wish.amount), wish.currency):
        message = (
            f"{order.provider} is going to charge {charge.amount} {charge.currency} for the order "
            f"{order.order_id}, asked for were {wish.amount} {wish.currency}"
        )
        till.find("charged", message, expected=wish.amount, received=str(charge.amount))


def _unique(till: Till) -> None:
    """Orders that are made at once are different ones, and each can be verified."""
    count = int(till.options.get("orders", AT_ONCE))
    made = at_once(AT_ONCE, till.ordered, [till.wish] * count)
    orders = [order for order in made if order is not None]
    for name in ("order_id", "payment_id"):
        ids = Counter(getattr(order, name) for order in orders)
        for key, times in ids.items():
            if times > 1:
                till.find("not-unique", f"{times} of {len(orders)} orders have the {name} {key!r}")
    for order in orders:
        what = f"verifying order_id {order.order_id}"
        _verified(till, till.verify(order.provider, what, order_id=order.order_id))


def _idempotency(till: Till) -> None:
    """One key, one order: asked twice at once, later again, and never for another amount."""
    wish, key = till.wish, f"pytest-release-{uuid4().hex}"
    twice = at_once(2, lambda wanted: till.ordered(wanted, key), [wish, wish])
    orders = [order for order in (*twice, till.ordered(wish, key)) if order is not None]
    for name in ("order_id", "payment_id"):
        ids = sorted({getattr(order, name) for order in orders})
        if len(ids) > 1:
            shown = ", ".join(map(repr, ids))
            till.find("idempotency", f"the same key gave {len(ids)} {name}s: {shown}")
    other = _less(wish)
    answer, _ = till.create(other, f"the same key for {other.amount} {other.currency}", key)
    if answer.success:
        message = f"{answer.what} instead of {wish.amount}: {answer.said}, expected a refusal"
        till.find("idempotency-conflict", message, received=answer.text)
    different = till.ordered(wish, f"pytest-release-{uuid4().hex}")
    if different and different.order_id in {order.order_id for order in orders}:
        till.find("not-unique", f"another key gave the same order {different.order_id!r}")


def _less(wish: Wish) -> Wish:
    """The next smaller amount: within every cap that the amount itself is within."""
    amount = Decimal(wish.amount)
    step = Decimal(1).scaleb(int(amount.as_tuple().exponent))
    return replace(wish, amount=str(amount - step))


def _invalid_order(till: Till) -> None:
    """What is unknown or expired is answered as such."""
    provider = till.wish.provider
    invented = f"cs_test_{uuid4().hex}" if provider == "stripe" else f"order_{uuid4().hex}"
    for name in ("order_id", "payment_id"):
        what = f"verifying the invented {name} {invented}"
        _refused(till, "invalid-order", till.verify(provider, what, **{name: invented}))
    for key in till.options.get("expired", []):
        name = "session_id" if str(key).startswith("cs_") else "order_id"
        what = f"verifying the expired {name} {key}"
        _refused(till, "expired-order", till.verify(provider, what, **{name: str(key)}))
    if (account := till.account) is not None:
        if order := till.ordered(till.wish):
            account.expire(order)
            what = f"verifying the expired order_id {order.order_id}"
            answer = till.verify(provider, what, order_id=order.order_id)
            _refused(till, "expired-order", answer)
    elif not till.options.get("expired"):
        message = f"no expired order of {provider} was asked for: name one as options.expired"
        till.find("not-checked", message, severity=Severity.WARNING)


def _refused(till: Till, code: str, answer: Answer) -> None:
    if not answer.refused and answer.status < 500:
        message = f"{answer.what}: {answer.said}, expected success: false"
        till.find(code, message, expected="success: false", received=answer.text)


def _refusals(till: Till) -> None:
    """Orders that are none are refused: by a sentence, not by an accident."""
    wish = till.wish
    wrong = {
        "no amount": replace(wish, amount=""),
        "the amount 0": replace(wish, amount="0.00"),
        "a negative amount": replace(wish, amount="-1.00"),
        "a fraction of the smallest unit": replace(wish, amount="0.0001"),
        "an amount in words": replace(wish, amount="one"),
        "an amount in exponents": replace(wish, amount="1e0"),
        "an unknown provider": replace(wish, provider=f"no-{wish.provider}"),
        "an unknown currency": replace(wish, currency="XTS"),
    }
    for what, each in wrong.items():
        answer = till.try_nonsense(each, f"creating an order with {what}")
        _refused(till, "refusal", answer)


def _available(till: Till) -> None:
    """No request fails, however many come at once: an outage of a moment is one."""
    count = int(till.options.get("requests", 20))
    request = Request("GET", till.path("providers"))
    answers = at_once(
        int(till.options.get("at_once", AT_ONCE)),
        lambda number: till.ask(f"request {number}", request, outage=False),
        range(1, count + 1),
    )
    failed = Counter(answer.said for answer in answers if not answer.success)
    if failed:
        kinds = "; ".join(f"{times} times {said}" for said, times in failed.items())
        message = f"{failed.total()} of {count} requests to {request.path} failed: {kinds}"
        till.find("unavailable", message, expected="none", received=str(failed.total()))


def _webhook(till: Till) -> None:
    """Stripe's signature decides, and nothing else."""
    secret = till.webhook_secret
    if not secret:
        raise TargetError("webhooks can only be signed with services.stripe.webhook_secret")
    for delivery in deliveries(reveal(secret), int(time.time())):
        headers = {"content-type": "application/json"}
        if delivery.header is not None:
            headers["Stripe-Signature"] = delivery.header
        request = Request("POST", till.path("webhook/stripe"), headers=headers, raw=delivery.body)
        _delivered(till, delivery, till.ask(delivery.what, request))


def _delivered(till: Till, delivery: Delivery, answer: Answer) -> None:
    accepted = 200 <= answer.status < 300
    if delivery.again:
        if accepted and answer.value.get("duplicate") is not True:
            message = f"{delivery.what}: {answer.said}, without duplicate: true: it counts twice"
            till.find("webhook", message, received=answer.text)
    elif accepted != delivery.accepted and answer.status < 500:
        verb, wanted = ("accepted", "a refusal") if accepted else ("refused", "status 200")
        message = f"{delivery.what} was {verb} ({answer.said}); tolerance is {TOLERANCE_S} s"
        till.find("webhook", message, expected=wanted, received=answer.text)


def _succeeded(till: Till, answer: Answer) -> bool:
    if not answer.success and answer.status < 500:
        found = answer.value.get("success", "missing")
        message = f"{answer.what}: {answer.said}, success is {found!r} instead of true"
        till.find("success", message, expected="success: true", received=answer.text)
    return answer.success


_CHECKS: Mapping[str, Callable[[Till], None]] = {
    "providers": _providers,
    "order": _order,
    "unique": _unique,
    "idempotency": _idempotency,
    "invalid-order": _invalid_order,
    "refusals": _refusals,
    "available": _available,
    "webhook": _webhook,
}
