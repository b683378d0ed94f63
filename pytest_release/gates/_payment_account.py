"""The provider's side of an order: looked up and expired with the environment's test keys."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any, Protocol
from uuid import uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from pytest_release.config.cases import Request
from pytest_release.config.environment import Auth, Environment
from pytest_release.errors import TargetError
from pytest_release.gates._payment_safety import TEST_GATEWAY
from pytest_release.redaction import Secret, reveal
from pytest_release.targets.http import HttpTarget

STRIPE = "https://api.stripe.com"
SESSION = re.compile(r"\bcs_test_\w+")
PATIENCE_S = 20.0  # for an answer of a provider
# Digits behind the point of Stripe's smallest units, https://docs.stripe.com/currencies
NO_DIGITS = frozenset(
    re.findall("...", "BIFCLPDJFGNFJPYKMFKRWMGAPYGRWFUGXVNDVUVXAFXOFXPF")  # in pieces of three
)
THREE_DIGITS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


@dataclass(frozen=True)
class Order:
    """An order as the deployment answered it; texts are empty where the answer has none."""

    provider: str
    payment_id: str
    order_id: str
    transaction_id: str
    url: str

    @property
    def session(self) -> str:
        """Stripe's Checkout Session; empty when the answer does not name it."""
        found = SESSION.search(f"{self.payment_id} {self.transaction_id} {self.url}")
        return found[0] if found else ""


@dataclass(frozen=True)
class Charge:
    """What the provider is going to ask the customer for."""

    amount: Decimal
    currency: str


class Account(Protocol):
    """A merchant's test account."""

    def charge(self, order: Order) -> Charge:
        """Look an order up; raises TargetError when the provider does not know it."""

    def expire(self, order: Order) -> None:
        """Make sure that nobody can pay an order; raises TargetError when that failed."""


def account_of(provider: str, environment: Environment) -> Account | None:
    """The account of a provider; None where the environment does not give its keys."""
    options = environment.services.get(provider, {})
    if provider == "stripe" and options.get("secret_key"):
        return StripeAccount(options, environment)
    if provider == "payermax" and options.get("private_key"):
        return PayerMaxAccount(options, environment)
    return None


class StripeAccount:
    """Stripe by its API.

    Args:
        options: ``secret_key``, and ``url`` where it is not Stripe's own.
        environment: Lends its redactor.
    """

    def __init__(self, options: Mapping[str, Any], environment: Environment) -> None:
        auth = Auth("bearer", token=Secret(reveal(options["secret_key"])))
        url = reveal(options.get("url", STRIPE)).rstrip("/")
        self._http = HttpTarget(replace(environment, base_url=url, auth=auth))

    def charge(self, order: Order) -> Charge:
        """What the Checkout Session is over."""
        session = self._session(order)
        currency = str(session.get("currency", "")).upper()
        digits = 0 if currency in NO_DIGITS else 3 if currency in THREE_DIGITS else 2
        amount = session.get("amount_total")
        if not isinstance(amount, int):
            raise TargetError(f"Stripe's session {order.session} has no amount_total")
        return Charge(Decimal(amount).scaleb(-digits), currency)

    def expire(self, order: Order) -> None:
        """Expire the Checkout Session, if it is open."""
        if self._session(order).get("status") != "open":
            return
        expired = self._ask("POST", f"/v1/checkout/sessions/{order.session}/expire")
        if expired.get("status") != "expired":
            raise TargetError(f"Stripe's session {order.session} is {expired.get('status')!r}")

    def _session(self, order: Order) -> Mapping[str, Any]:
        if not order.session:
            raise TargetError("the answer names no Checkout Session (cs_test_...)")
        return self._ask("GET", f"/v1/checkout/sessions/{order.session}")

    def _ask(self, method: str, path: str) -> Mapping[str, Any]:
        form: dict[str, str] | None = {} if method == "POST" else None
        exchange = self._http.send(Request(method, path, form=form, timeout_s=PATIENCE_S))
        if exchange.status != 200:
            raise TargetError(f"Stripe answers {method} {path} with status {exchange.status}")
        return _object(exchange.body, "Stripe")


class PayerMaxAccount:
    """PayerMax by its API: a signed envelope to and fro.

    Args:
        options: ``app_id``, ``merchant_no``, ``private_key``, ``public_key``, and ``url`` where it
            is not PayerMax's test gateway.
        environment: Lends its redactor.
    """

    def __init__(self, options: Mapping[str, Any], environment: Environment) -> None:
        self._options = {name: reveal(value) for name, value in options.items()}
        url = self._options.get("url", TEST_GATEWAY).rstrip("/")
        self._http = HttpTarget(replace(environment, base_url=url, auth=None))

    def charge(self, order: Order) -> Charge:
        """What the order is over."""
        found = self._ask("orderQuery", {"outTradeNo": order.order_id})
        return Charge(Decimal(str(found.get("totalAmount"))), str(found.get("currency")))

    def expire(self, order: Order) -> None:
        """Cancel the order."""
        data = {"requestId": f"cancel_{uuid4().hex}", "outTradeNo": order.order_id}
        self._ask("cancel", data)

    def _ask(self, name: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        envelope = {
            "version": "1.5",
            "keyVersion": "1",
            "requestTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "appId": self._options.get("app_id", ""),
            "merchantNo": self._options.get("merchant_no", ""),
            "data": data,
        }
        body = json.dumps(envelope).encode()
        headers = {"content-type": "application/json", "sign": self._sign(body)}
        asked = Request("POST", f"/{name}", headers=headers, raw=body, timeout_s=PATIENCE_S)
        exchange = self._http.send(asked)
        self._check(exchange.body, dict(exchange.headers).get("sign", ""), name)
        answer = _object(exchange.body, "PayerMax")
        if answer.get("code") != "APPLY_SUCCESS":
            said = f"{answer.get('code')}: {answer.get('msg')}"
            raise TargetError(f"PayerMax answers {name} of {data['outTradeNo']} with {said}")
        found = answer.get("data")
        return found if isinstance(found, Mapping) else {}

    @cached_property
    def _key(self) -> RSAPrivateKey:
        try:
            key = load_pem_private_key(self._options["private_key"].encode(), None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise TargetError("services.payermax.private_key is no RSA key in PEM")
        return key

    def _sign(self, body: bytes) -> str:
        return base64.b64encode(self._key.sign(body, PKCS1v15(), SHA256())).decode()

    def _check(self, body: bytes, signature: str, name: str) -> None:
        try:
            key = load_pem_public_key(self._options.get("public_key", "").encode())
            assert isinstance(key, RSAPublicKey)
            key.verify(base64.b64decode(signature), body, PKCS1v15(), SHA256())
        except (ValueError, AssertionError, InvalidSignature):
            raise TargetError(
                f"PayerMax's answer to {name} is not signed with services.payermax.public_key"
            ) from None


def _object(body: bytes, whose: str) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise TargetError(f"{whose}'s answer is no JSON object")
    return value
