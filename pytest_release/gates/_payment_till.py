"""Where a check orders and verifies: every request is guarded, every order undone, all is noted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakSet

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._answer import cut
from pytest_release.gates._payment_account import Account, Order, account_of
from pytest_release.gates._payment_safety import Wish, forbidden, harmless, leaks, live_order
from pytest_release.gates._scene import Scene
from pytest_release.sampling import Sample
from pytest_release.targets.http import HttpTarget

API = "/api/v1/payment"
PATIENCE_S = 20.0  # for an answer; a case's `timeout_s` overrides it
T = TypeVar("T")
U = TypeVar("U")

_alarmed: WeakSet[HttpTarget] = WeakSet()  # deployments that made an order with real money


class ForbiddenError(Exception):
    """Nothing may be ordered; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What came back to a request, as JSON.

    Attributes:
        what: Was asked, for messages.
        status: Of the answer.
        value: Its JSON object; empty when it is none.
        text: Of the body, without card numbers and keys, cut.
    """

    what: str
    status: int
    value: Mapping[str, Any]
    text: str

    @property
    def success(self) -> bool:
        """Status 200 and the answer's own ``success: true``, and not the word anywhere else."""
        return self.status == 200 and self.value.get("success") is True

    @property
    def refused(self) -> bool:
        """Says properly that there is none: ``success: false``, or a status of 4xx."""
        if 400 <= self.status < 500:
            return True
        return self.status == 200 and self.value.get("success") is False

    @property
    def said(self) -> str:
        """Status and message."""
        message = self.value.get("message")
        words = f": {cut(harmless(message))}" if isinstance(message, str) and message else ""
        return f"status {self.status}{words}"


class Till:
    """One check's way to order.

    Args:
        case: Its options name provider, amount and currency, and paths that are not hifate's.
        policy: Its ``mode`` and ``max_amounts`` are kept.
        scene: Where it happens.

    Attributes:
        findings: So far.
        times: How long answers took.
    """

    def __init__(self, case: CheckCase, policy: GatePolicy, scene: Scene) -> None:
        self.case = case
        self.options: Mapping[str, Any] = case.options
        self.findings: list[Finding] = []
        self.times: list[Sample] = []
        self._policy = policy
        self._scene = scene
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._looked = False

    @property
    def wish(self) -> Wish:
        """What the case orders."""
        options = self.options
        return Wish(
            options.get("provider", "stripe"),
            options.get("amount", "1.00"),
            options.get("currency", "USD"),
        )

    @cached_property
    def account(self) -> Account | None:
        """The provider's test account, if the environment gives its keys."""
        return account_of(self.wish.provider, self._scene.environment)

    @property
    def webhook_secret(self) -> Any:  # noqa: ANN401 - a text or a Secret
        """Of Stripe's webhooks; None where the environment does not give it."""
        return self._scene.environment.services.get("stripe", {}).get("webhook_secret")

    def path(self, name: str) -> str:
        """The path of an endpoint: the case's own, or hifate's."""
        return str(self.options.get("paths", {}).get(name, f"{API}/{name}"))

    def guard(self, wish: Wish) -> None:
        """Stop before the first request where real money might be at stake.

        Raises:
            ForbiddenError: It might.
        """
        environment = self._scene.environment
        reasons = list(forbidden(environment, self._policy, wish))
        if self._scene.http in _alarmed:
            reasons.append("an earlier answer of this run was about real money")
        if reasons:
            raise ForbiddenError(f"nothing was ordered in {environment.name}: {'; '.join(reasons)}")

    def find(
        self,
        code: str,
        message: str,
        expected: str = "",
        received: str = "",
        severity: Severity = Severity.FAILURE,
    ) -> None:
        """Note what is wrong, without card numbers and keys, wherever they come from."""
        shown = (harmless(text) for text in (expected, received))
        finding = Finding(f"payment.{code}", harmless(message), severity, *shown)
        with self._lock:
            self.findings.append(finding)

    def ask(self, what: str, request: Request, *, outage: bool = True) -> Answer:
        """Send a request, note how long it took and what the answer must never hold.

        Args:
            what: Is asked, for messages.
            request: Is sent.
            outage: Whether a status of 5xx is a finding of its own.
        """
        timeout = float(self.options.get("timeout_s", PATIENCE_S))
        exchange = self._scene.http.send(replace(request, timeout_s=timeout))
        text = exchange.body.decode(errors="replace")
        answer = Answer(what, exchange.status, _object(text), cut(harmless(text)))
        with self._lock:
            self.times.append(exchange.total)
        if exchange.broken:
            self.find("broken", f"{what}: {exchange.broken}")
        if live := live_order(answer.value):
            _alarmed.add(self._scene.http)
            self.find("live-order", f"{what}: this is about real money ({live})")
        for code, message in leaks(text):
            self.find(code.removeprefix("payment."), f"{what}: {message}")
        if outage and exchange.status >= 500:
            message = f"{what}: {answer.said}"
            self.find("status", message, expected="status 200", received=answer.text)
        return answer

    def create(self, wish: Wish, what: str = "", key: str = "") -> tuple[Answer, Order | None]:
        """Order something; it is expired behind the check.

        Raises:
            ForbiddenError: It may not be ordered.
        """
        self._look_first(wish)
        return self._create(wish, what, key)

    def try_nonsense(self, wish: Wish, what: str) -> Answer:
        """Order what must be refused; taken all the same, it is expired like any other.

        Raises:
            ForbiddenError: Not even the case's own order may be ordered.
        """
        self._look_first(self.wish)
        return self._create(wish, what, "")[0]

    def _look_first(self, wish: Wish) -> None:
        """In production the providers are asked before the first order: they may say it is live."""
        with self._looking:  # whoever comes second waits for the answer
            if not self._looked and self._scene.environment.role == "production":
                self._looked = True
                self.ask("the providers", Request("GET", self.path("providers")), outage=False)
        self.guard(wish)

    def _create(self, wish: Wish, what: str, key: str) -> tuple[Answer, Order | None]:
        what = what or f"creating {wish.amount} {wish.currency} with {wish.provider}"
        headers = {self.options.get("idempotency_header", "Idempotency-Key"): key} if key else {}
        request = Request("POST", self.path("unified/create"), headers=headers, json=_body(wish))
        answer = self.ask(what, request)
        order = _order(wish, answer.value)
        if order is not None:
            self._undo(order)
        return answer, order if answer.success else None

    def ordered(self, wish: Wish, key: str = "") -> Order | None:
        """Order something that must be taken; None, and a finding, when it is not."""
        answer, order = self.create(wish, key=key)
        if order is None and answer.status < 500:
            self.find("create", f"{answer.what}: {_not_taken(answer)}", received=answer.text)
        return order

    def verify(self, provider: str, what: str, **key: str) -> Answer:
        """Ask what has become of an order."""
        body = {"provider": provider, **key}
        return self.ask(what, Request("POST", self.path("unified/verify"), json=body))

    def _undo(self, order: Order) -> None:
        account = self.account
        name = harmless(f"the order {order.order_id or order.payment_id} of {order.provider}")
        if account is not None:
            self._scene.afterwards(name, lambda: account.expire(order))
        else:
            needed = {"stripe": "secret_key", "payermax": "private_key"}.get(order.provider, "key")
            message = f"{name} stays until it expires: services.{order.provider}.{needed} is needed"
            self.find("not-expired", message, severity=Severity.WARNING)


def at_once(count: int, do: Callable[[U], T], what: Sequence[U]) -> list[T]:
    """What `do` makes of each, so many at a time, in order."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(do, what))


def _body(wish: Wish) -> dict[str, str]:
    home = "https://example.com/payment"  # nobody is sent there: nobody pays
    session = "?session_id={CHECKOUT_SESSION_ID}" if wish.provider == "stripe" else ""
    return {
        "provider": wish.provider,
        "amount": wish.amount,
        "currency": wish.currency,
        "product_name": "pytest-release",
        "customer_email": "pytest-release@example.com",
        "success_url": f"{home}/success{session}",
        "cancel_url": f"{home}/cancel",
    }


def _order(wish: Wish, value: Mapping[str, Any]) -> Order | None:
    """Also of an answer that is none: what it names must be undone."""
    names = ("payment_id", "order_id", "transaction_id")
    ids = [value[name] if isinstance(value.get(name), str) else "" for name in names]
    if not any(ids):
        return None
    url = value.get("payment_url") or value.get("checkout_url")
    payment_id, order_id, transaction_id = ids
    shown = url if isinstance(url, str) else ""
    return Order(wish.provider, payment_id, order_id, transaction_id, shown)


def _not_taken(answer: Answer) -> str:
    if answer.success:
        return "success: true without payment_id and order_id"
    return f"{answer.said} instead of success: true"


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def missing(value: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Those of the names that have no text."""
    return (name for name in names if not isinstance(value.get(name), str) or not value[name])
