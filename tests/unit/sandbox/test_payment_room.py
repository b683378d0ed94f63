"""Tests of `pytest_release.sandbox.rooms.payment`: what the demo's payment service refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from tempfile import TemporaryFile
from typing import Any

import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.endpoint import V1, Setting
from pytest_release.sandbox.endpoints import find
from pytest_release.sandbox.requests import Refused, Request
from pytest_release.sandbox.rooms import _payermax, _stripe, payment
from pytest_release.sandbox.state import SharedState

ORDER = {"provider": "stripe", "amount": "4.10", "currency": "USD"}
HONGKONG = {"provider": "payermax", "amount": "8.00", "currency": "HKD"}
ACCOUNTS = {"stripe": {"webhook_secret": "whsec_x", "secret_key": "sk_test_x"}, "payermax": {}}
SESSION = {"id": "cs_test_1", "url": "https://x", "payment_intent": "pi_1", "status": "open"}

Ask = Callable[..., Answer]


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Sends a body to an endpoint of the payment service; headers by keyword."""
    with TemporaryFile() as file:
        setting = Setting(SharedState(file.fileno()), parts={"payment": ACCOUNTS})

        def ask(
            path: str,
            body: object = None,
            setting: Setting = setting,
            **headers: str,
        ) -> Answer:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            request = Request("POST", f"{V1}/payment/{path}", {}, "", _bytes(body), given)
            return find("POST", request.path).say(request, setting)

        yield ask


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Stripe answers."""
    session = dict(SESSION)
    monkeypatch.setattr(_stripe, "call", lambda *_: (200, session))
    return session


@pytest.mark.parametrize("key", ["payment_id", "order_id"])
def test_an_order_can_be_verified_by_what_creating_it_answered(
    ask: Ask, session: dict[str, Any], key: str
) -> None:
    """Both ids are known afterwards, with provider, amount and currency, until it expires."""
    created = json.loads(ask("unified/create", ORDER).body)
    open_one = json.loads(ask("unified/verify", {key: created[key]}).body)
    session["status"] = "expired"
    expired = json.loads(ask("unified/verify", {key: created[key]}).body)

    assert {**ORDER, "success": True, "status": "pending"}.items() <= open_one.items()
    assert {**ORDER, "success": False, "status": "expired"}.items() <= expired.items()


def test_an_unknown_order_is_no_success(ask: Ask) -> None:
    """An invented order answers success: false, with status 200 as the real system."""
    answer = ask("unified/verify", {"order_id": "order_0"})

    assert (answer.status, json.loads(answer.body)["success"]) == (200, False)


def test_a_key_belongs_to_one_order(ask: Ask, session: dict[str, Any]) -> None:
    """The same answer for the same order, a refusal for another."""
    first, second = (ask("unified/create", ORDER, idempotency_key="k") for _ in range(2))
    with pytest.raises(Refused, match="Idempotency-Key was used for another order") as refused:
        ask("unified/create", {**ORDER, "amount": "4.09"}, idempotency_key="k")

    assert session["id"] in first.body.decode()
    assert json.loads(first.body)["order_id"] == json.loads(second.body)["order_id"]
    assert refused.value.status == 409


def test_without_providers_there_are_no_orders(ask: Ask) -> None:
    """They are started for the payment gate alone."""
    with TemporaryFile() as file:
        bare = Setting(SharedState(file.fileno()))
        with pytest.raises(Refused, match="stripe is not running in this sandbox") as refused:
            ask("unified/create", ORDER, bare)

    assert refused.value.status == 503


def test_providers_that_refuse_or_keep_silent(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a 502 with its sentence."""
    monkeypatch.setattr(_stripe, "call", lambda *_: (401, {}))
    with pytest.raises(Refused, match="Stripe refused the order"):
        ask("unified/create", ORDER)
    monkeypatch.setattr(_payermax, "call", lambda *_: {"code": "X", "msg": "no such merchant"})
    with pytest.raises(Refused, match="PayerMax refused the order: no such merchant"):
        ask("unified/create", HONGKONG)

    def fail(*_: object) -> None:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(_stripe, "call", fail)
    with pytest.raises(Refused, match="the provider does not answer: nobody there") as refused:
        ask("unified/create", ORDER)
    assert refused.value.status == 502


def test_a_webhook_needs_its_signature(ask: Ask) -> None:
    """Without one it is refused."""
    with pytest.raises(Refused, match="the signature is wrong"):
        ask("webhook/stripe", {"id": "evt_1"})


def test_an_answer_of_payermax_that_is_not_signed_by_it_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The demo's service believes the signature, and nothing else."""
    private, public = _payermax.key_pair()
    signature = _payermax.sign(b"{}", private)

    assert _payermax.signed(b"{}", signature, public)
    assert not _payermax.signed(b"{ }", signature, public)
    assert not _payermax.signed(b"{}", "?", public)


def test_without_localstripe_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The optional dependency is named with the extra that brings it."""
    monkeypatch.setattr(payment, "find_spec", lambda _name: None)
    with pytest.raises(SandboxError, match=r"need localstripe.*'pytest-release\[sandbox\]'"):
        payment.Providers(frozenset())


def test_providers_that_do_not_start_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last words of their process, which is gone."""
    monkeypatch.setattr(payment, "MODULE", "no_such_module")
    with pytest.raises(SandboxError, match=r"(?s)providers did not start: .*no_such_module"):
        payment.Providers(frozenset())
