"""What load a case asks for, and who may be put under it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import ROLES, Environment, GatePolicy
from pytest_release.errors import ConfigError
from pytest_release.gates import slo
from pytest_release.gates._scene import Scene
from pytest_release.gates._slo_plan import ForbiddenError, needed, refuse, wish_of
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.load import Crew

OPTIONS = {
    "requests": [
        {"path": "/health/", "text": "healthy", "p95_ms": 100},
        {"path": "/orders", "json": {"n": 1}, "weight": 3, "status": [200, 201], "timeout_s": 2},
    ],
    "rate_per_s": 50,
    "duration_s": 10,
    "warm_up_s": 2,
    "timeout_s": 5,
}
NO_CAPS = (
    "gates.slo.max_rate_per_s is missing; gates.slo.max_duration_s is missing; "
    "gates.slo.max_requests is missing"
)
CAPS = {"allow_load": True, "max_rate_per_s": 50, "max_duration_s": 12, "max_requests": 600}


def case(**options: object) -> CheckCase:
    """A load with other options."""
    given = {**OPTIONS, **options}
    return CheckCase("slo/x", "slo", "x", Path("slo.yaml"), 7, check="load", options=given)


def environment(role: str) -> Environment:
    """Where nobody listens."""
    here = Path("here.yaml")
    return Environment("here", role, "shop", "http://127.0.0.1:9", here, "", {})


def test_a_case_becomes_a_plan() -> None:
    """Each request with its weight and what is right; the policy says who sends them."""
    workers = {"processes": 2, "remote": 1, "address": "10.0.0.7", "port": 5557}
    wish = wish_of(case(), GatePolicy(options={"workers": workers}))

    health, order = wish.plan.asks
    assert (health.name, health.status, health.text) == ("GET /health/", (200,), ("healthy",))
    assert (order.name, order.status, order.weight) == ("POST /orders", (200, 201), 3.0)
    assert (health.request.timeout_s, order.request.timeout_s) == (5.0, 2.0)
    assert (wish.plan.seconds, wish.warm_up_s, wish.requests) == (12.0, 2.0, 600)
    assert wish.limits == {0: 100.0}
    assert wish.plan.crew == Crew(2, 1, "10.0.0.7", 5557, 30.0)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, f"gates.slo.allow_load is not true; {NO_CAPS}"),
        ({**CAPS, "allow_load": False}, "gates.slo.allow_load is not true"),
        ({n: v for n, v in CAPS.items() if n != "max_requests"},
         "gates.slo.max_requests is missing"),
        ({**CAPS, "max_rate_per_s": 49},
         "the case asks for 50, gates.slo.max_rate_per_s allows 49"),
        ({**CAPS, "max_duration_s": 11},
         "the case asks for 12, gates.slo.max_duration_s allows 11"),
        ({**CAPS, "max_requests": 599},
         "the case asks for 600, gates.slo.max_requests allows 599"),
    ],
)  # fmt: skip
def test_production_is_loaded_by_permission_only(policy: dict[str, Any], said: str) -> None:
    """Within three caps; every reason is named."""
    given = GatePolicy(options=policy)
    with pytest.raises(ForbiddenError) as refused:  # noqa: PT011 - the whole text is compared
        refuse(wish_of(case(), given), given, environment("production"))

    place = "the production environment here is not put under load"
    assert str(refused.value) == f"{place}: {said}"


@pytest.mark.parametrize("role", ROLES)
def test_a_load_within_its_caps_is_permitted(role: str) -> None:
    """For every role."""
    policy = GatePolicy(options=CAPS)

    refuse(wish_of(case(), policy), policy, environment(role))


def test_caps_hold_for_every_role() -> None:
    """And nobody keeps more than a million requests in memory."""
    slow, long = GatePolicy(options={"max_rate_per_s": 10}), case(duration_s=86400)
    with pytest.raises(ForbiddenError, match=r"the staging environment here .* allows 10$"):
        refuse(wish_of(case(), slow), slow, environment("staging"))
    with pytest.raises(ForbiddenError, match="asks for 4320100 requests, at most are 1000000"):
        refuse(wish_of(long, GatePolicy()), GatePolicy(), environment("staging"))


def test_what_is_forbidden_is_a_finding_and_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before there is a generator."""
    monkeypatch.setattr(slo, "Load", None)
    place = environment("production")
    evidence = slo.measure(case(), GatePolicy(), Scene(place, HttpTarget(place)))

    (finding,) = evidence.findings
    assert finding.code == "slo.forbidden"
    assert finding.message.endswith("gates.slo.max_requests is missing; nothing was sent")


def test_a_check_needs_its_options() -> None:
    """In the case or in the defaults of its file."""
    empty = replace(case(), options={"rate_per_s": 5})
    with pytest.raises(ConfigError, match=r"slo\.yaml:7: options: the check load needs requests"):
        needed(empty, "requests", "rate_per_s")
