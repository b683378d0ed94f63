"""What load a case asks for, and whether the environment may be put under it.

In `production` nothing is sent unless its policy says ``allow_load: true`` and caps rate, duration
and number of requests; caps hold for every role that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import ConfigError, Problem
from pytest_release.targets.load import Ask, Crew, Plan

TIMEOUT_S = 10.0
MAX_BYTES = 1024 * 1024
MOST_REQUESTS = 1_000_000  # of one case: what they are kept in must fit into memory
CAPS = ("max_rate_per_s", "max_duration_s", "max_requests")


class ForbiddenError(Exception):
    """The environment may not be put under this load; nothing was sent."""


@dataclass(frozen=True)
class Wish:
    """A plan, and how it is looked at.

    Attributes:
        warm_up_s: From the beginning; what is due in it is not measured.
        slot_s: Length of the pieces of time of which availability is the share that was good.
        limits: Of P95 in ms, by the position of the request that has its own.
    """

    plan: Plan
    warm_up_s: float
    slot_s: float
    limits: Mapping[int, float]

    @property
    def requests(self) -> int:
        """How many are sent, warm-up included; on average where they come at random."""
        return round(self.plan.rate_per_s * self.plan.seconds)


def wish_of(case: CheckCase, policy: GatePolicy) -> Wish:
    """What a case asks for, sent by those that the policy names.

    Raises:
        ConfigError: It does not say what is sent, or how long, or how fast.
    """
    given = needed(case, "requests", "rate_per_s", "duration_s")
    asks = tuple(_ask(each, given) for each in given["requests"])
    warm_up = float(given.get("warm_up_s", 0.0))
    names = {"processes": "processes", "remote": "remote", "address": "address", "port": "port"}
    workers = policy.options.get("workers", {})
    crew = Crew(
        **{ours: workers[name] for name, ours in names.items() if name in workers},
        wait_s=float(workers.get("wait_s", 30.0)),
    )
    plan = Plan(
        asks,
        float(given["rate_per_s"]),
        warm_up + float(given["duration_s"]),
        given.get("arrivals", "constant"),
        given.get("seed", 0),
        given.get("under_way", 500),
        crew,
    )
    limits = {n: float(e["p95_ms"]) for n, e in enumerate(given["requests"]) if "p95_ms" in e}
    return Wish(plan, warm_up, float(given.get("slot_s", 1.0)), limits)


def needed(case: CheckCase, *names: str) -> Mapping[str, Any]:
    """The case's options.

    Raises:
        ConfigError: One of those is missing, in the case and in the defaults of its file.
    """
    if missing := [name for name in names if name not in case.options]:
        message = f"the check {case.check} needs {', '.join(missing)}"
        raise ConfigError(Problem(case.file, case.line, "options", message))
    return case.options


def _ask(given: Mapping[str, Any], options: Mapping[str, Any]) -> Ask:
    method = given.get("method", "POST" if "json" in given else "GET")
    request = Request(
        method,
        given["path"],
        params=given.get("params", {}),
        headers=given.get("headers", {}),
        json=given.get("json"),
        timeout_s=float(given.get("timeout_s", options.get("timeout_s", TIMEOUT_S))),
        max_bytes=given.get("max_bytes", MAX_BYTES),
    )
    text, status = given.get("text", []), given.get("status", 200)
    return Ask(
        given.get("name", f"{method} {given['path']}"),
        request,
        float(given.get("weight", 1.0)),
        tuple(status if isinstance(status, list) else [status]),
        tuple(text if isinstance(text, list) else [text]),
    )


def refuse(wish: Wish, policy: GatePolicy, environment: Environment) -> None:
    """Raise before the first request of a load that the environment must not bear.

    Raises:
        ForbiddenError: Names every permission that is missing and every cap that is exceeded.
    """
    place = f"the {environment.role} environment {environment.name}"
    reasons = [*_missing(policy, environment), *_exceeded(wish, policy)]
    if reasons:
        raise ForbiddenError(f"{place} is not put under load: {'; '.join(reasons)}")


def _missing(policy: GatePolicy, environment: Environment) -> Iterator[str]:
    if environment.role != "production":
        return
    if policy.options.get("allow_load") is not True:
        yield "gates.slo.allow_load is not true"
    yield from (f"gates.slo.{cap} is missing" for cap in CAPS if cap not in policy.options)


def _exceeded(wish: Wish, policy: GatePolicy) -> Iterator[str]:
    asked = (wish.plan.rate_per_s, wish.plan.seconds, float(wish.requests))
    for cap, value in zip(CAPS, asked, strict=True):
        if cap in policy.options and value > policy.options[cap]:
            yield f"the case asks for {value:g}, gates.slo.{cap} allows {policy.options[cap]:g}"
    if wish.requests > MOST_REQUESTS:
        yield f"the case asks for {wish.requests} requests, at most are {MOST_REQUESTS}"
