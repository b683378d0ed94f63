"""Payments of the demo: hifate's unified payment API, over localstripe and a stand-in of PayerMax.

The two providers run in a process of their own, started when the payment gate is going to run;
without them creating and verifying answer 503.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.endpoint import V1, Endpoint, Setting
from pytest_release.sandbox.requests import Refused, Request, accept
from pytest_release.sandbox.room import Part, Room
from pytest_release.sandbox.rooms import _payermax as payermax
from pytest_release.sandbox.rooms import _stripe as stripe
from pytest_release.sandbox.rooms._payment_faults import FAULTS

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

NAME = "payment"
HOST = "127.0.0.1"
MODULE = "pytest_release.sandbox.rooms._providers"
START_LIMIT = 15.0  # seconds for the providers' first answer
ORDER_LIFE = timedelta(minutes=30)
CURRENCIES = {"stripe": ("USD", "EUR", "JPY"), "payermax": ("HKD", "TWD", "USD")}
REGIONS = {"stripe": ("US", "EU"), "payermax": ("HK", "TW")}
UNPAID = {"status": "pending", "paid_time": None, "message": "not paid yet"}
CARD = "4242 4242 4242 4242"  # Stripe's own test number

Order = dict[str, Any]


def _providers(_request: Request, _setting: Setting) -> Answer:
    providers = [
        {
            "id": name,
            "enabled": True,
            "ok": True,
            "regions": REGIONS[name],
            "currencies": currencies,
        }
        for name, currencies in CURRENCIES.items()
    ]
    return json_answer({"success": True, "providers": providers})


def check_order(request: Request) -> None:
    """Refuse what is no payment: an unknown provider or currency, or an amount that is none."""
    body = request.json()
    provider, currency = str(body.get("provider")), str(body.get("currency"))
    if provider not in CURRENCIES:
        raise Refused(400, f"provider: must be one of {', '.join(CURRENCIES)}, got {provider!r}")
    if currency not in CURRENCIES[provider]:
        raise Refused(400, f"currency: {provider} does not take {currency!r}")
    digits = stripe.MINOR_DIGITS.get(currency, 2)
    pattern = r"\d{1,9}" + (rf"\.\d{{{digits}}}" if digits else "")
    amount = body.get("amount")
    if not isinstance(amount, str) or not re.fullmatch(pattern, amount) or not Decimal(amount):
        raise Refused(400, f"amount: must be positive and match {pattern}, got {amount!r}")


def _create(request: Request, setting: Setting) -> Answer:
    if "payment.takes-anything" not in setting.faults:
        check_order(request)
    asked, key = request.json(), request.headers.get("idempotency-key", "")
    wish = {name: str(asked.get(name)) for name in ("provider", "amount", "currency")}
    if known := _known(wish, key, setting):
        return known
    account = _account(setting, "stripe" if wish["provider"] != "payermax" else "payermax")
    order = _ORDERED.get(wish["provider"], _order_stripe)(account, wish, key, setting.faults)
    if "payment.same-order-id" in setting.faults:
        order["order_id"] = "order_1"
    with setting.state.edit() as state:
        orders = state.setdefault("orders", {})
        if "payment.lost-order" not in setting.faults:
            orders[order["payment_id"]] = orders[order["order_id"]] = order
        state.setdefault("order_keys", {})[key] = order
    return _created(order, setting)


def _known(wish: Mapping[str, str], key: str, setting: Setting) -> Answer | None:
    """What was answered to the same key before."""
    with setting.state.edit() as state:
        order = state.get("order_keys", {}).get(key) if key else None
    if order is None or "payment.key-ignored" in setting.faults:
        return None
    same = all(order[name] == value for name, value in wish.items())
    if not same and "payment.key-blind" not in setting.faults:
        raise Refused(409, "the Idempotency-Key was used for another order")
    return _created(order, setting)


def _order_stripe(
    account: Mapping[str, Any], wish: Mapping[str, str], key: str, faults: frozenset[str]
) -> Order:
    key = key if not faults & {"payment.key-ignored", "payment.takes-anything"} else ""
    order_id = _order_id(key)
    amount = wish["amount"] if re.fullmatch(r"\d+(\.\d+)?", wish["amount"]) else "1.00"
    units = stripe.minor(amount, wish["currency"]) or 100
    if "payment.charged-hundredfold" in faults:
        units *= 100
    form = {
        "mode": "payment",
        "line_items[0][price_data][currency]": wish["currency"].lower(),
        "line_items[0][price_data][unit_amount]": units,
        "line_items[0][quantity]": 1,
        "client_reference_id": order_id,
    }
    status, session = stripe.call(account, "/v1/checkout/sessions", form, key)
    if status != 200:
        raise Refused(502, "Stripe refused the order")
    ids = {"payment_id": session["id"], "order_id": order_id, "url": session["url"]}
    return {**wish, **ids, "transaction_id": session["payment_intent"]}


def _order_id(key: str) -> str:
    """The same for the same key, also when two requests with it come at once."""
    return f"order_{sha256(key.encode()).hexdigest()[:32] if key else secrets.token_hex(16)}"


def _order_payermax(
    account: Mapping[str, Any], wish: Mapping[str, str], key: str, faults: frozenset[str]
) -> Order:
    order_id = _order_id(key if "payment.key-ignored" not in faults else "")
    data = {
        "outTradeNo": order_id,
        "integrate": "Hosted_Checkout",
        "subject": "analysis",
        "totalAmount": float(wish["amount"]),
        "currency": wish["currency"],
    }
    answer = payermax.call(account, "orderAndPay", data)
    if answer["code"] != "APPLY_SUCCESS":
        raise Refused(502, f"PayerMax refused the order: {answer['msg']}")
    made = answer["data"]
    ids = {"payment_id": made["tradeToken"], "order_id": order_id, "url": made["redirectUrl"]}
    return {**wish, **ids, "transaction_id": None}


_ORDERED = {"stripe": _order_stripe, "payermax": _order_payermax}


def _created(order: Order, setting: Setting) -> Answer:
    now, url = datetime.now(UTC), order["url"]
    payment_id = order["payment_id"]
    if "payment.live-order" in setting.faults:
        payment_id, url = (text.replace("cs_test_", "cs_live_") for text in (payment_id, url))
    leaked = {"debug": setting.parts[NAME]["stripe"]["secret_key"]}
    return json_answer(
        {
            "success": True,
            "provider": order["provider"],
            "payment_id": payment_id,
            "order_id": order["order_id"],
            "transaction_id": order["transaction_id"],
            "payment_url": url,
            "checkout_url": url,
            "status": "created",
            "message": "order created",
            "created_at": now.isoformat(),
            "expires_at": (now + ORDER_LIFE).isoformat(),
            **(leaked if "payment.secret-leaked" in setting.faults else {}),
        }
    )


def _verify(request: Request, setting: Setting) -> Answer:
    asked = request.json()
    key = str(asked.get("payment_id") or asked.get("order_id") or asked.get("session_id"))
    with setting.state.edit() as state:
        order: Order | None = state.get("orders", {}).get(key)
    if order is None:
        if "payment.invented-order" in setting.faults:
            return json_answer({"success": True, **UNPAID})
        return json_answer({"success": False, "message": "there is no such order"})
    shown = {name: order[name] for name in ("provider", "amount", "currency")}
    status = _status(order, setting)
    if status != "pending" and "payment.expired-order" not in setting.faults:
        return json_answer({"success": False, **shown, "status": status, "message": status})
    return json_answer({"success": True, **shown, **UNPAID, **_untrue(order, setting.faults)})


def _status(order: Order, setting: Setting) -> str:
    """What the provider says of an order."""
    account = _account(setting, order["provider"])
    if order["provider"] == "stripe":
        _, session = stripe.call(account, f"/v1/checkout/sessions/{order['payment_id']}")
        return "pending" if session["status"] == "open" else str(session["status"])
    answer = payermax.call(account, "orderQuery", {"outTradeNo": order["order_id"]})
    status: str = answer["data"]["status"].lower()
    return {"closed": "expired"}.get(status, status)


def _untrue(order: Order, faults: frozenset[str]) -> dict[str, Any]:
    """What verifying says instead of the truth."""
    lies: Mapping[str, Mapping[str, Any]] = {
        "payment.wrong-amount": {"amount": "41.00"},
        "payment.amount-number": {"amount": float(order["amount"])},
        "payment.wrong-currency": {"currency": "GBP"},
        "payment.paid-at-once": {"status": "paid", "paid_time": datetime.now(UTC).isoformat()},
        "payment.card-number": {"card": {"number": CARD, "exp": "12/34"}},
    }
    return {name: value for fault in faults & set(lies) for name, value in lies[fault].items()}


def _webhook(request: Request, setting: Setting) -> Answer:
    header = request.headers.get("stripe-signature", "")
    secret = _account(setting, "stripe")["webhook_secret"]
    if "payment.webhook-refuses" in setting.faults or not stripe.genuine(
        request.body, header, secret, setting.faults
    ):
        raise Refused(400, "the signature is wrong")
    event = str(request.json().get("id"))
    with setting.state.edit() as state:
        events = state.setdefault("events", [])
        again = event in events
        events.append(event)
    twice = (
        {"duplicate": True} if again and "payment.webhook-replayed" not in setting.faults else {}
    )
    return json_answer({"received": True, **twice})


def _account(setting: Setting, provider: str) -> Mapping[str, Any]:
    if NAME not in setting.parts:
        raise Refused(503, f"{provider} is not running in this sandbox")
    account: Mapping[str, Any] = setting.parts[NAME][provider]
    return account


def _reachable(say: Callable[[Request, Setting], Answer]) -> Callable[[Request, Setting], Answer]:
    """A provider that does not answer is a 502 of ours."""

    def answer(request: Request, setting: Setting) -> Answer:
        try:
            return say(request, setting)
        except (OSError, HTTPException) as error:
            raise Refused(502, f"the provider does not answer: {error}") from None

    return answer


class Providers:
    """The running providers.

    Args:
        faults: Names of all faults that are on.

    Raises:
        SandboxError: localstripe is missing, or they do not start.
    """

    def __init__(self, faults: frozenset[str]) -> None:
        if find_spec("localstripe") is None:
            raise SandboxError(
                "payments in the sandbox need localstripe, which is not installed: "
                "pip install 'pytest-release[sandbox]'"
            )
        merchant_private, merchant_public = payermax.key_pair()
        private, public = payermax.key_pair()
        merchant = {"app_id": secrets.token_hex(16), "merchant_no": "SDP01010100000000"}
        with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as other:
            ports = [listener.getsockname()[1] for listener in (one, other)]
            options = {
                "stripe": one.fileno(),
                "payermax": other.fileno(),
                "faults": sorted(faults),
                "payermax_account": {**merchant, "public_key": merchant_public},
                "payermax_private_key": private,
            }
            self._child = Child(MODULE, options, (one.fileno(), other.fileno()))
        self.services: Mapping[str, Mapping[str, Any]] = {
            "stripe": {
                "url": f"http://{HOST}:{ports[0]}",
                "secret_key": f"sk_test_{secrets.token_hex(12)}",
                "webhook_secret": f"whsec_{secrets.token_hex(16)}",
            },
            "payermax": {
                "url": f"http://{HOST}:{ports[1]}{payermax.GATEWAY}",
                **merchant,
                "private_key": merchant_private,
                "public_key": public,
            },
        }
        self._await(ports[0])

    @property
    def secrets(self) -> frozenset[str]:
        """Keys that no report may show."""
        named = {"stripe": ("secret_key", "webhook_secret"), "payermax": ("private_key",)}
        return frozenset(self.services[name][key] for name, keys in named.items() for key in keys)

    @property
    def told(self) -> Mapping[str, Any]:
        """Where the providers are, for the endpoints."""
        return self.services

    def stop(self) -> None:
        """End their process."""
        self._child.let_go()
        self._child.join()

    def _await(self, port: int) -> None:
        """The socket listens already, so this waits for the first answer."""
        connection = HTTPConnection(HOST, port, timeout=START_LIMIT)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, HTTPException) as error:
            words = self._child.last_words() or str(error)
            self.stop()
            raise SandboxError(f"the payment providers did not start: {words}") from None
        finally:
            connection.close()


def _start(faults: frozenset[str], _stores: Stores | None) -> Providers:
    return Providers(faults)


ROOM = Room(
    endpoints=(
        Endpoint("GET", f"{V1}/payment/providers", "payment", accept, _providers),
        Endpoint(
            "POST", f"{V1}/payment/unified/create", "", accept, _reachable(_create), waits=True
        ),
        Endpoint(
            "POST",
            f"{V1}/payment/unified/verify",
            "payment-verify",
            accept,
            _reachable(_verify),
            waits=True,
        ),
        Endpoint("POST", f"{V1}/payment/webhook/stripe", "", accept, _webhook),
    ),
    faults=FAULTS,
    parts=(Part(NAME, frozenset({"payment"}), _start),),
)
