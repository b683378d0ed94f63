"""The payment gate against answers made up here; the demo's are in tests/integration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import stripe
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._payment_account import (
    Charge,
    Order,
    PayerMaxAccount,
    StripeAccount,
    account_of,
)
from pytest_release.gates._payment_webhook import deliveries
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Secret
from pytest_release.sampling import Sample
from pytest_release.sandbox.rooms import _payermax
from pytest_release.sandbox.rooms._stripe import genuine
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
SECRET = "whsec_0123456789abcdef"
LIVE = {"stripe": {"secret_key": Secret("sk_live_51Habcdefgh"), "webhook_secret": SECRET}}
SESSION = "cs_test_a1"
ORDER = Order("stripe", SESSION, "order_1", "", "https://x.example")
CREATED = {
    "success": True,
    "provider": "stripe",
    "payment_id": SESSION,
    "order_id": "order_1",
    "status": "created",
    "payment_url": "https://x.example",
    "created_at": "2026-01-01T00:00:00+00:00",
    "expires_at": "2026-01-01T00:30:00+00:00",
}
VERIFIED = {"success": True, "amount": "1.00", "currency": "USD", "status": "pending"}
CHECKS = ("providers", "order", "unique", "idempotency", "invalid-order", "refusals", "available")

Say = Callable[[Request], tuple[int, Any]]


class Wire:
    """Answers instead of a network, and keeps what was asked."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[Request] = []

    def send(self, request: Request) -> Any:  # noqa: ANN401 - as much of an Exchange as is read
        """What `say` says, as JSON unless it is bytes."""
        self.asked.append(request)
        status, value = self.say(request)
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        took = Sample(1.0, 1.0, 1.0, "made up")
        return SimpleNamespace(status=status, body=body, headers=(), broken=None, total=took)


def environment(role: str = "staging", **services: Mapping[str, Any]) -> Environment:
    """One whose payments are these."""
    return Environment("here", role, "shop", "http://x.example", HERE, "", {}, services=services)


def checked(
    name: str,
    say: Say,
    there: Environment | None = None,
    **options: Any,  # noqa: ANN401 - of the case
) -> tuple[Evidence, Wire]:
    """What a check makes of these answers."""
    wire = Wire(say)
    case = CheckCase("payment/a", "payment", "a", HERE, 1, check=name, options=options)
    scene = Scene(there or environment(), cast("HttpTarget", wire))
    return check(case, GatePolicy(), scene), wire


def service(request: Request) -> tuple[int, Any]:
    """A payment service that is as it should be, for one order."""
    return 200, CREATED if request.path.endswith("create") else VERIFIED


def codes(evidence: Evidence) -> list[str]:
    """Of the findings."""
    return [finding.code for finding in evidence.findings]


@pytest.mark.parametrize("name", [*CHECKS, "webhook"])
@pytest.mark.parametrize("role", ["development", "production"])
def test_with_a_live_key_nothing_at_all_is_sent(role: str, name: str) -> None:
    """Recognised before the first request, whatever the check."""
    evidence, wire = checked(name, service, environment(role, **LIVE))

    assert wire.asked == []
    assert codes(evidence) == ["payment.forbidden"]
    assert "nothing was ordered in here: services.stripe.secret_key is a live key" in (
        evidence.explain()
    )
    assert "51Habcdefgh" not in repr(evidence)


def test_without_a_key_an_order_stays_and_that_is_a_warning() -> None:
    """Outside production; the message says which key would help."""
    evidence, _ = checked("order", service)

    assert (evidence.failures, codes(evidence)) == ((), ["payment.not-expired"])
    assert "services.stripe.secret_key is needed" in evidence.warnings[0].message


def test_after_an_order_with_real_money_no_more_is_ordered() -> None:
    """Neither by this check nor by another of the run."""
    live = CREATED | {"payment_id": "cs_live_a1", "payment_url": "https://x.example/cs_live_a1"}
    wire = Wire(lambda _request: (200, live))
    scene = Scene(environment(), cast("HttpTarget", wire))
    case = CheckCase("payment/a", "payment", "a", HERE, 1, check="order")
    first = check(case, GatePolicy(), scene)
    asked = len(wire.asked)
    second = check(case, GatePolicy(), scene)

    assert "payment.live-order" in codes(first)
    assert "an earlier answer of this run was about real money" in second.explain()
    assert len(wire.asked) == asked


def test_production_asks_the_providers_first() -> None:
    """One that says it is live keeps everything from being ordered."""
    live = {"success": True, "providers": [{"id": "stripe", "mode": "live"}]}
    keys = {"stripe": {"secret_key": "sk_test_51Habcdefgh"}}
    policy = GatePolicy(options={"mode": "test", "max_amounts": {"USD": "5"}})
    wire = Wire(lambda _request: (200, live))
    scene = Scene(environment("production", **keys), cast("HttpTarget", wire))
    case = CheckCase("payment/a", "payment", "a", HERE, 1, check="unique")

    evidence = check(case, policy, scene)

    assert [request.path for request in wire.asked] == ["/api/v1/payment/providers"]
    assert codes(evidence)[0] == "payment.live-order"
    assert set(codes(evidence)[1:]) == {"payment.forbidden"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payment_id": None}, "there is no payment_id"),
        ({"status": ""}, "there is no status"),
        ({"payment_url": "http://x.example"}, "payment_url is no https address"),
        ({"provider": "payermax"}, "provider is 'payermax'"),
        ({"expires_at": "2025-12-31T00:00:00+00:00"}, "does not expire after it was made"),
        ({"expires_at": "soon"}, "does not expire after it was made"),
        ({"payment_id": None, "order_id": 7}, "success: true without an id"),
        ({"success": "true"}, "success is 'true' instead of true"),
        ({"success": 1}, "success is 1 instead of true"),
    ],
)
def test_an_order_has_what_it_must_have(change: dict[str, Any], message: str) -> None:
    """Each member that is missing or wrong is named."""
    evidence, _ = checked(
        "order", lambda r: (200, CREATED | change if r.path.endswith("create") else VERIFIED)
    )

    assert message in evidence.explain()


@pytest.mark.parametrize(
    "value", [b"", b"<h1>updating</h1>", b"\xff", b"[" * 100_000, [True], "ok"]
)
def test_what_is_no_json_object_is_no_success(value: Any) -> None:  # noqa: ANN401 - any body
    """A page that says "success" somewhere passes nothing."""
    evidence, _ = checked("order", lambda _request: (200, value))

    assert codes(evidence) == ["payment.success"]


@pytest.mark.parametrize("name", CHECKS)
def test_no_answer_in_time_is_a_failure(name: str) -> None:
    """A time-out never counts as fine, in whatever check."""

    def silent(_request: Request) -> tuple[int, Any]:
        raise TargetError("POST http://x.example: no answer within 20 s")

    evidence, _ = checked(name, silent)

    assert [(f.code, f.message) for f in evidence.failures] == [
        ("payment.no-answer", "POST http://x.example: no answer within 20 s")
    ]


def test_no_finding_shows_a_card_number() -> None:
    """Though the answer has one in every place that a message quotes."""
    card = "4242424242424242"
    answer = dict.fromkeys(("payment_id", "order_id", "status", "message", "amount"), card)
    evidence, _ = checked("order", lambda _request: (200, {**answer, "success": True}))

    assert "payment.card-data" in codes(evidence)
    assert card not in repr(evidence)


@pytest.mark.parametrize("value", [None, {}, "stripe", [1, "stripe"]])
def test_providers_must_be_a_list_of_objects(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Anything else has none of them."""
    answer = {"success": True, "providers": value}
    evidence, _ = checked("providers", lambda _request: (200, answer))

    assert set(codes(evidence)) == {"payment.provider"}


@pytest.mark.parametrize("status", [400, 404, 409, 422])
def test_a_refusal_may_be_a_status(status: int) -> None:
    """As well as ``success: false``."""
    evidence, _ = checked("refusals", lambda _request: (status, {"detail": "no"}))

    assert evidence.findings == ()


def test_an_accident_is_no_refusal() -> None:
    """A status of 500 for nonsense is found."""
    evidence, _ = checked("refusals", lambda _request: (500, {"detail": "ValueError"}))

    assert set(codes(evidence)) == {"payment.status"}


def test_nonsense_that_was_taken_is_noted_to_be_expired() -> None:
    """A refusal that is none makes orders, too."""
    evidence, _ = checked("refusals", service)

    assert codes(evidence).count("payment.not-expired") == codes(evidence).count("payment.refusal")


def test_expired_orders_may_be_named() -> None:
    """Where no key can make one; without either the check says what it could not ask."""
    evidence, wire = checked(
        "invalid-order", lambda _request: (200, {"success": False}), expired=["cs_test_old", "o_1"]
    )
    bodies = [request.json for request in wire.asked[-2:]]
    without, _ = checked("invalid-order", lambda _request: (200, {"success": False}))

    assert evidence.findings == ()
    assert [set(body) - {"provider"} for body in bodies] == [{"session_id"}, {"order_id"}]
    assert codes(without) == ["payment.not-checked"]


def test_webhooks_need_their_secret() -> None:
    """Which cannot be guessed."""
    evidence, wire = checked("webhook", service)

    assert wire.asked == []
    assert evidence.explain().endswith(
        "webhooks can only be signed with services.stripe.webhook_secret"
    )


WEBHOOKS = [delivery.what for delivery in deliveries(SECRET, 0)]


@pytest.mark.parametrize("what", WEBHOOKS)
def test_stripes_own_library_judges_the_same(what: str) -> None:
    """Each delivery is right or wrong by Stripe's word; and the sandbox agrees."""
    delivery = next(each for each in deliveries(SECRET, int(time.time())) if each.what == what)
    header = delivery.header or ""
    try:
        stripe.WebhookSignature.verify_header(delivery.body.decode(), header, SECRET, 300)
        right = True
    except stripe.SignatureVerificationError:
        right = False

    assert right is delivery.accepted
    assert genuine(delivery.body, header, SECRET, frozenset()) is delivery.accepted


def account(*answers: tuple[int, Any]) -> StripeAccount:
    """A Stripe that gives these answers."""
    made = account_of("stripe", environment(stripe={"secret_key": "sk_test_1"}))
    assert isinstance(made, StripeAccount)
    given = iter(answers)
    made._http = cast("HttpTarget", Wire(lambda _request: next(given)))
    return made


@pytest.mark.parametrize(
    ("amount", "currency", "charge"),
    [
        (410, "usd", Charge(Decimal("4.10"), "USD")),
        (410, "jpy", Charge(Decimal(410), "JPY")),
        (4100, "kwd", Charge(Decimal("4.1"), "KWD")),
    ],
)
def test_stripes_smallest_units(amount: int, currency: str, charge: Charge) -> None:
    """Currencies have two digits, none, or three."""
    answer = {"amount_total": amount, "currency": currency}

    assert account((200, answer)).charge(ORDER) == charge


def test_stripe_that_says_nothing_useful() -> None:
    """Each way to fail has its sentence."""
    with pytest.raises(TargetError, match="session cs_test_a1 has no amount_total"):
        account((200, {})).charge(ORDER)
    with pytest.raises(TargetError, match=r"answers GET /v1/.*cs_test_a1 with status 404"):
        account((404, {})).charge(ORDER)
    with pytest.raises(TargetError, match="Stripe's answer is no JSON object"):
        account((200, b"<h1>")).charge(ORDER)
    with pytest.raises(TargetError, match="the answer names no Checkout Session"):
        account().charge(Order("stripe", "7", "8", "", ""))
    with pytest.raises(TargetError, match="session cs_test_a1 is 'complete'"):
        account((200, {"status": "open"}), (200, {"status": "complete"})).expire(ORDER)


def test_an_expired_session_is_left_alone() -> None:
    """Nothing is sent but the question."""
    account((200, {"status": "expired"})).expire(ORDER)


MERCHANT, MERCHANT_PUBLIC = _payermax.key_pair()
PAYERMAX, PAYERMAX_PUBLIC = _payermax.key_pair()


def gateway(value: Any, *, key: str = PAYERMAX, **options: str) -> PayerMaxAccount:  # noqa: ANN401
    """A PayerMax that answers this, signed with that key."""
    named = {"private_key": MERCHANT, "public_key": PAYERMAX_PUBLIC, **options}
    made = account_of("payermax", environment(payermax=named))
    assert isinstance(made, PayerMaxAccount)

    def send(request: Request) -> Any:  # noqa: ANN401 - as much of an Exchange as is read
        assert _payermax.signed(request.raw or b"", str(request.headers["sign"]), MERCHANT_PUBLIC)
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return SimpleNamespace(body=body, headers=(("sign", _payermax.sign(body, key)),))

    made._http = cast("HttpTarget", SimpleNamespace(send=send))
    return made


def test_payermax_is_asked_with_a_signature_and_believed_by_one() -> None:
    """Amounts are numbers there, and exact ones here."""
    found = {"code": "APPLY_SUCCESS", "data": {"totalAmount": 4.1, "currency": "USD"}}

    assert gateway(found).charge(ORDER) == Charge(Decimal("4.1"), "USD")


def test_payermax_that_cannot_be_believed() -> None:
    """Each way to fail has its sentence."""
    gone = {"code": "ORDER_NOT_EXIST", "msg": "No such order."}
    with pytest.raises(TargetError, match="orderQuery of order_1 with ORDER_NOT_EXIST: No such"):
        gateway(gone).charge(ORDER)
    with pytest.raises(TargetError, match=r"to cancel is not signed with services\.payermax\.pub"):
        gateway(gone, key=MERCHANT).expire(ORDER)
    with pytest.raises(TargetError, match="PayerMax's answer is no JSON object"):
        gateway(b"[]").charge(ORDER)
    for wrong in ("no key", _elliptic()):
        with pytest.raises(TargetError, match=r"services\.payermax\.private_key is no RSA key"):
            gateway(gone, private_key=wrong).charge(ORDER)


def _elliptic() -> str:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_without_keys_there_is_no_account() -> None:
    """Of an unknown provider neither."""
    assert account_of("stripe", environment()) is None
    assert account_of("cash", environment(cash={"secret_key": "x"})) is None
