"""The basic gate against localstripe, a server with a memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import HttpCase, Request
from pytest_release.config.environment import Auth, Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates._conductor import Conductor
from pytest_release.redaction import Redactor, Secret
from pytest_release.targets.http import HttpTarget

CASEBOOK = load_casebook(Path(__file__).with_name("fixtures"), "localstripe", {})
KEY = "sk_test_51Habcdefgh"
AUTHORISED = {"auth": Auth("bearer", token=Secret(KEY)), "redactor": Redactor(frozenset({KEY}))}


@pytest.fixture(scope="module")
def base_url(serve: Callable[[str], str]) -> str:
    """Where localstripe serves."""
    return serve("localstripe")


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_payment_from_customer_to_receipt(
    base_url: str, environment_at: Callable[..., Environment], concurrency: int
) -> None:
    """Each case gets what earlier ones captured, in whatever order, one by one or overlapping."""
    gates = {"basic": GatePolicy(concurrency=concurrency)}
    environment = environment_at(base_url, gates=gates, **AUTHORISED)
    conductor = Conductor(environment, HttpTarget(environment))
    conductor.plan(CASEBOOK.cases)

    evidence = {case.id: conductor.evidence(case) for case in reversed(CASEBOOK.cases)}

    assert [each.explain() for each in evidence.values() if each.findings] == []
    assert len(evidence) == 6
    read_back = evidence["basic/the-customer-is-remembered"].exchange
    assert read_back is not None
    assert "/v1/customers/cus_" in read_back.url
    assert KEY not in repr(evidence)


def test_the_casebook_puts_sources_first() -> None:
    """Though the file names the readers first."""
    order = [case.id for case in CASEBOOK.cases]

    assert order.index("basic/create-a-customer") < order.index("basic/the-customer-is-remembered")
    assert order[-1] == "basic/the-payment-is-settled"


@pytest.mark.parametrize(
    ("path", "form", "settings", "status"),
    [
        ("/v1/customers", {"email": "a@example.com"}, {}, 401),
        ("/v1/payment_intents", {"amount": 0, "currency": "usd"}, AUTHORISED, 400),
        ("/v1/customers/cus_nobody", {"name": "nobody"}, AUTHORISED, 404),
    ],
    ids=["without a key", "without an amount", "of nobody"],
)
def test_a_refusal_is_found(
    base_url: str,
    measure: Callable[..., Evidence],
    path: str,
    form: Mapping[str, Any],
    settings: Mapping[str, Any],
    status: int,
) -> None:
    """The finding has the status and shows the body that says why."""
    asked = Request("POST", path, form=form, timeout_s=5.0)
    case = HttpCase("basic/refused", "basic", "refused", Path(__file__), 1, request=asked)

    evidence = measure(case, base_url, **settings)

    assert [finding.code for finding in evidence.findings] == ["basic.status"]
    assert evidence.failures[0].message == f"status {status} instead of 200"
    assert '"error"' in evidence.failures[0].received
