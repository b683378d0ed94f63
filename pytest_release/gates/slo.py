"""A deployment keeps its service levels under load, shown by requests that do not wait for it.

Its checks, each by the name that cases use:

- ``load``: requests come by a schedule; percentiles, errors, answers a second and availability are
  compared with their limits, with a baseline, and the end with the beginning;
- ``resources``: processor, memory, disk over a window of time, by Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Attachment, Evidence, Finding, Measurement, Severity
from pytest_release.gates._scene import Scene
from pytest_release.gates._slo_compare import Tolerance, baseline_findings, compare
from pytest_release.gates._slo_figures import Figures
from pytest_release.gates._slo_limits import broken, limits_of
from pytest_release.gates._slo_plan import ForbiddenError, refuse, wish_of
from pytest_release.gates._slo_record import Record
from pytest_release.gates._slo_resources import resources
from pytest_release.gates._slo_watch import Watch
from pytest_release.sampling import Decision
from pytest_release.targets.load import Load, LoadError


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check; a load that the policy does not permit is refused before its first request.

    Measures ``p50_ms``, ``p95_ms``, ``p99_ms``, ``error_rate``, ``min_rps`` and
    ``min_availability`` of a load, and each resource by its name.

    Args:
        case: Of this gate; its `check` is one of those above.
        policy: ``allow_load``, ``max_rate_per_s``, ``max_duration_s``, ``max_requests``,
            ``baseline`` and ``workers``, and limits of figures.
        scene: Where it takes place.

    Raises:
        TargetError: Prometheus does not answer, or a request cannot be built.
    """
    return _CHECKS[case.check](case, policy, scene)


def _load(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    wish = wish_of(case, policy)
    empty = Evidence(case.id, case.gate, case.name)
    try:
        refuse(wish, policy, scene.environment)
    except ForbiddenError as refusal:
        return replace(empty, findings=(Finding("slo.forbidden", f"{refusal}; nothing was sent"),))
    record, limits = Record(wish), limits_of(case, policy)
    watch = Watch(record, limits, policy.samples.confidence)
    findings = [*_shoot(record, watch, scene), *record.own_faults()]
    figures = Figures(record, limits, policy.samples.confidence)
    evidence = replace(
        empty,
        measurements=tuple(figures.all()),
        attachments=(Attachment("load", record.summary),),
        course=record.course(limits.get("p95_ms")),
    )
    findings += _judged(evidence, figures)
    findings += _compared(case, policy, evidence, figures)
    return replace(evidence, findings=tuple(findings))


def _shoot(record: Record, watch: Watch, scene: Scene) -> Iterator[Finding]:
    """Make the load, until its end or until a limit is surely broken."""
    try:
        with Load(record.wish.plan, scene.environment) as load:
            for told in load.told():
                record.hear(told)
                if reason := watch.look(told.shots):
                    record.stopped_s = max(record.now_s, told.at_s)
                    load.stop()
                    yield _stopped(record, reason)
                    break
    except LoadError as error:
        record.stopped_s = record.now_s
        yield Finding("slo.generator", f"{error}; nothing is shown")


def _stopped(record: Record, reason: str) -> Finding:
    sent, wrong = len(record.shots), record.wrong(record.measured)
    message = (
        f"stopped after {sent} of {record.planned} requests and {record.stopped_s:.1f} of "
        f"{record.wish.plan.seconds:g} s: {reason}{f'; {wrong}' if wrong else ''}"
    )
    return Finding("slo.stopped", message, received=str(sent))


def _judged(evidence: Evidence, figures: Figures) -> Iterator[Finding]:
    """Each figure against its limit; and what was wrong, where a limit allows it."""
    record = figures.record
    shots = record.measured
    wrong = record.wrong(shots)
    for each in evidence.measurements:
        if record.stopped_s is not None and each.decision is Decision.OPEN:
            continue  # it was not given the time to be shown, and why is said
        yield from broken(each, _why(each, figures, wrong), _which(each, record))
    if not shots:
        yield Finding("slo.nothing", "no request was measured: nothing is shown")
    elif wrong:
        yield Finding("slo.errors", f"of {len(shots)} requests: {wrong}", Severity.NOTE)


def _which(measurement: Measurement, record: Record) -> str:
    """The request whose own figure it is."""
    prefix = measurement.name.rpartition(".")[0].removeprefix("request")
    return record.wish.plan.asks[int(prefix) - 1].name if prefix else ""


def _why(measurement: Measurement, figures: Figures, wrong: str) -> str:
    if measurement.name == "min_availability" and (outage := figures.outage()):
        began, ended = outage
        return f"unavailable longest for {ended - began:.2f} s, {began:.2f} s after the start"
    return wrong


def _compared(
    case: CheckCase, policy: GatePolicy, evidence: Evidence, figures: Figures
) -> Iterator[Finding]:
    """With a baseline, and the end with the beginning; a load that was stopped with neither."""
    if figures.record.stopped_s is not None:
        return
    if given := case.options.get("baseline"):
        optional = policy.options.get("baseline") == "optional"
        yield from baseline_findings(given, case.file.parent, evidence, optional=optional)
    shots = figures.record.measured
    if (given := case.options.get("degradation")) and len(shots) >= 4:
        quarter = len(shots) // 4
        first, last = (
            figures.percentile(part, 0.5) for part in (shots[:quarter], shots[-quarter:])
        )
        tolerance = Tolerance(float(given["share"]), float(given.get("tolerance_ms", 0.0)))
        then = ("in the last quarter of the load than in the first", first)
        yield from compare("slo.degrades", "p50_ms", last, then, tolerance)


_CHECKS: Mapping[str, Callable[[CheckCase, GatePolicy, Scene], Evidence]] = {
    "load": _load,
    "resources": resources,
}
