"""The limits of a case, and what is said of a figure that does not keep its own."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Finding, Measurement
from pytest_release.sampling import Decision, at_least


def limits_of(case: CheckCase, policy: GatePolicy) -> dict[str, float]:
    """The policy's, overridden by the case's own."""
    return {**policy.thresholds, **case.expect}


def broken(measurement: Measurement, why: str, where: str = "") -> Iterator[Finding]:
    """A finding for a figure whose limit is not kept, or was not shown to be.

    Args:
        measurement: With its limit, if it has one.
        why: What else is known of it.
        where: Which of several it is, for people; empty for the only one.
    """
    if measurement.limit is None or measurement.decision is Decision.KEPT:
        return
    name, estimate = measurement.name, measurement.estimate
    unit = " ms" if name.endswith("_ms") else ""
    shown = f"{estimate.value:.4g}{unit} [{estimate.low:.4g}, {estimate.high:.4g}]"
    side, bound = ("below", "at least") if at_least(name) else ("above", "at most")
    verb = f"is {side} the limit" if measurement.decision is Decision.BROKEN else "is not shown"
    limit = f"{bound} {measurement.limit:g}{unit}"
    of = f" of {where}" if where else ""
    message = f"{name}{of} {verb}: {shown} in {measurement.observations} observations, {limit}"
    if measurement.decision is Decision.OPEN:
        message = (
            f"{name}{of} could not be shown to be {limit}: {shown} in "
            f"{measurement.observations} observations"
        )
    code = name.rpartition(".")[2].removesuffix("_ms").replace("_", "-")
    yield Finding(
        f"slo.{code}", f"{message}{f'; {why}' if why else ''}", expected=limit, received=shown
    )
