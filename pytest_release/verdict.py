"""What the evidence means: pure rules from (ledger, evidence, policy) to verdicts.

- A gate PASSED only if every case of it that exists was collected, ran to its end and passed, there
  were enough of them, and every threshold was measured and kept.
- What did not run to its end is INCOMPLETE; what was measured and is wrong is FAILED.
- Whatever speaks against a gate or a run is an objection, with the verdict that it leads to. The
  worst of them is the verdict: FAILED, then INCOMPLETE, then WARNED; without any it is PASSED.
- A threshold is compared with a statistic and its interval; an interval that straddles the limit
  is FAILED and says "could not be shown".
- The run PASSED only if every required gate PASSED or WARNED in this run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence, Measurement
from pytest_release.ledger import Entry, Outcome
from pytest_release.release import Context
from pytest_release.sampling import (
    Decision,
    Estimate,
    Sample,
    at_least,
    decide,
    percentile_estimate,
)

POOLED = re.compile(r"(?:p(?P<percent>[1-9]\d?(?:\.\d+)?)|max)_(?:(?P<figure>[a-z_]+)_)?ms")
LATENCY = "latency_ms"  # what p95_ms without a figure's name speaks of
NAMED = 5  # cases that a reason names before it counts the rest


class Verdict(StrEnum):
    """What a case, a gate or a run came to, the best first."""

    PASSED = "PASSED"
    WARNED = "WARNED"
    NOT_RUN = "NOT_RUN"
    INCOMPLETE = "INCOMPLETE"
    FAILED = "FAILED"

    @property
    def accepted(self) -> bool:
        """A release may go out with it."""
        return self in (Verdict.PASSED, Verdict.WARNED)

    @property
    def badness(self) -> int:
        """0 for the best."""
        return list(Verdict).index(self)


Objection = tuple[Verdict, str]


@dataclass(frozen=True)
class CaseVerdict:
    """What one case came to, and why when it is not PASSED."""

    case: str
    gate: str
    name: str
    verdict: Verdict
    reason: str = ""
    duration_s: float = 0.0
    evidence: Evidence | None = None

    @property
    def explanation(self) -> str:
        """Everything that is known of why it is not PASSED."""
        if self.evidence is not None and self.evidence.failures:
            return self.evidence.explain()
        return self.reason


@dataclass(frozen=True)
class ThresholdVerdict:
    """One limit of a gate's policy against what was measured.

    Attributes:
        estimate: The statistic with its interval; None when nothing was measured.
        decision: Where it lies; None when nothing was measured.
        samples: How many samples stand behind it.
        case: The case with the worst figure, for figures that are judged case by case.
    """

    name: str
    limit: float
    estimate: Estimate | None
    decision: Decision | None
    samples: int
    case: str = ""

    @property
    def reason(self) -> str:
        """Why the threshold is not kept; empty when it is."""
        if self.estimate is None:
            return f"the threshold {self.name} was never measured"
        shown = f"{self.estimate.value:.4g} [{self.estimate.low:.4g}, {self.estimate.high:.4g}]"
        where = f" in {self.case}" if self.case else ""
        side, sign = ("below", ">=") if at_least(self.name) else ("above", "<=")
        if self.decision is Decision.BROKEN:
            return f"{self.name} is {shown}{where}, {side} the limit {self.limit:g}"
        if self.decision is Decision.OPEN:
            return (
                f"{self.name} {sign} {self.limit:g} could not be shown{where}: "
                f"{shown} straddles the limit after {self.samples} samples"
            )
        return ""


@dataclass(frozen=True)
class GateVerdict:
    """What one gate came to.

    Attributes:
        asked: The command asked for this gate.
        reasons: Every reason why it is not PASSED.
    """

    gate: str
    verdict: Verdict
    required: bool
    asked: bool
    cases: tuple[CaseVerdict, ...]
    thresholds: tuple[ThresholdVerdict, ...]
    reasons: tuple[str, ...] = ()

    def count(self, *verdicts: Verdict) -> int:
        """How many cases came to one of these."""
        return sum(case.verdict in verdicts for case in self.cases)

    @property
    def slowest(self) -> CaseVerdict | None:
        """The case that took longest."""
        return max(self.cases, key=lambda case: case.duration_s, default=None)


@dataclass(frozen=True)
class RunVerdict:
    """What the whole run came to: the one object that every report and the attestation speak of.

    Attributes:
        accepted: Every gate that was asked for may go: exit status 0.
        reasons: Every reason why the run is not PASSED.
        context: Where, when and with what it was judged.
    """

    verdict: Verdict
    accepted: bool
    gates: tuple[GateVerdict, ...]
    reasons: tuple[str, ...]
    context: Context


def asked_for(expression: str, gates: Collection[str], required: Collection[str]) -> set[str]:
    """The gates that a ``-m`` expression asks for.

    Without an expression, those that are required. A gate is asked for when a test that has its
    marker and no other would be selected. What cannot be read asks for everything.
    """
    if not expression:
        return set(required)
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        return {gate for gate in gates if _holds(tree, gate)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(gates)


def _holds(node: ast.expr, gate: str) -> bool:
    match node:
        case ast.Name(id=name):
            return name == gate
        case ast.Call(func=ast.Name(id=name)):
            return name == gate
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _holds(operand, gate)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_holds(value, gate) for value in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_holds(value, gate) for value in values)
        case _:
            raise ValueError(ast.dump(node))


def judge_gate(
    gate: str,
    policy: GatePolicy,
    entries: Sequence[Entry],
    evidence: Mapping[str, Evidence],
    *,
    asked: bool = True,
    spoiled: Sequence[str] = (),
) -> GateVerdict:
    """Judge one gate.

    Args:
        gate: Its marker.
        policy: What the environment asks of it.
        entries: The ledger's entries of this gate.
        evidence: By case id.
        asked: The command asked for it.
        spoiled: What happened to the whole run that leaves its evidence incomplete.
    """
    cases = tuple(_judge_case(entry, evidence.get(entry.case)) for entry in entries)
    if all(case.verdict is Verdict.NOT_RUN for case in cases):
        reasons: tuple[str, ...] = (_nothing_ran(cases), *spoiled)
        return GateVerdict(gate, Verdict.NOT_RUN, policy.required, asked, cases, (), reasons)
    blocking = [case.evidence for case in cases if case.evidence and not case.evidence.advisory]
    thresholds = tuple(
        judge_threshold(name, limit, blocking) for name, limit in policy.thresholds.items()
    )
    objections = (
        *_against_cases(cases, policy.min_cases),
        *_against_thresholds(thresholds),
        *((Verdict.INCOMPLETE, reason) for reason in spoiled),
    )
    verdict, reasons = _weigh(objections)
    return GateVerdict(gate, verdict, policy.required, asked, cases, thresholds, reasons)


def _weigh(objections: Iterable[Objection]) -> tuple[Verdict, tuple[str, ...]]:
    """The worst verdict that objections lead to, and every reason, the worst first."""
    ordered = sorted(objections, key=lambda objection: objection[0].badness, reverse=True)
    verdict = ordered[0][0] if ordered else Verdict.PASSED
    return verdict, tuple(reason for _, reason in ordered)


def _judge_case(entry: Entry, evidence: Evidence | None) -> CaseVerdict:
    verdict, reason = _case_verdict(entry, evidence)
    name = evidence.name if evidence else entry.case
    return CaseVerdict(entry.case, entry.gate, name, verdict, reason, entry.duration_s, evidence)


def _case_verdict(entry: Entry, evidence: Evidence | None) -> tuple[Verdict, str]:
    match entry.outcome:
        case _ if evidence and evidence.failures:
            # A test that looks away from its own evidence neither passes nor is skipped by that.
            return Verdict.FAILED, evidence.failures[0].message
        case Outcome.FAILED:
            return Verdict.FAILED, entry.detail
        case None:
            return (Verdict.INCOMPLETE if entry.started else Verdict.NOT_RUN), entry.fate
        case Outcome.PASSED if evidence and evidence.warnings:
            return Verdict.WARNED, evidence.warnings[0].message
        case Outcome.PASSED if entry.reruns:
            return Verdict.WARNED, f"passed only when run {entry.reruns + 1} times"
        case Outcome.PASSED:
            return Verdict.PASSED, ""
        case other:
            detail = f": {entry.detail}" if entry.detail else ""
            return Verdict.INCOMPLETE, f"ended as {other}{detail}"


def _nothing_ran(cases: Sequence[CaseVerdict]) -> str:
    if not cases:
        return "the gate has no cases"
    fates = " or ".join(sorted({case.reason for case in cases}))
    return f"none of its {len(cases)} cases ran: they {fates.replace('was ', 'were ')}"


def _against_cases(cases: Sequence[CaseVerdict], least: int) -> Iterator[Objection]:
    """Cases of one verdict, or of one reason for not having come to their end, together."""
    groups: dict[Objection, list[str]] = {}
    for case in cases:
        ended = case.verdict not in (Verdict.INCOMPLETE, Verdict.NOT_RUN)
        verdict = case.verdict if ended else Verdict.INCOMPLETE
        group = (verdict, verdict.lower() if ended else case.reason)
        groups.setdefault(group, []).append(case.case)
    groups.pop((Verdict.PASSED, "passed"), None)
    yield from ((verdict, _named(words, names)) for (verdict, words), names in groups.items())
    ran = sum(case.verdict is not Verdict.NOT_RUN for case in cases)
    if ran < least:
        yield Verdict.INCOMPLETE, f"{ran} cases ran, the policy asks for {least}"


def _named(words: str, names: Sequence[str]) -> str:
    if len(names) > 1 and words.startswith("was "):
        words = words.replace("was ", "were ", 1)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {words}: {', '.join(names[:NAMED])}{more}"


def _against_thresholds(thresholds: Iterable[ThresholdVerdict]) -> Iterator[Objection]:
    for threshold in thresholds:
        if threshold.decision is not Decision.KEPT:
            measured = threshold.decision is not None
            yield (Verdict.FAILED if measured else Verdict.INCOMPLETE), threshold.reason


def judge_threshold(name: str, limit: float, evidence: Sequence[Evidence]) -> ThresholdVerdict:
    """Compare one limit with what a gate's cases measured.

    A measurement of that name is judged case by case; the worst case counts, against its own limit
    if it has one. What begins with ``min_`` must be reached. Where there is none, ``error_rate`` is
    the share of cases whose last attempt failed (a retry that passed is a warning and no error),
    ``p95_ms`` and ``max_ms`` pool the samples of `LATENCY` of all cases, ``p95_ttfb_ms`` those of
    ``ttfb_ms``.
    """
    found = [(e.case, m) for e in evidence if (m := e.measurement(name))]
    if not found and name == "error_rate":
        return _error_rate(limit, evidence)
    if not found and (pooled := POOLED.fullmatch(name)):
        return _pooled(name, limit, pooled, evidence)
    if not found:
        return ThresholdVerdict(name, limit, None, None, 0)
    case, worst = max(found, key=lambda pair: _severity(pair[1], limit))
    own = limit if worst.limit is None else worst.limit
    decision = decide(worst.estimate, own, least=at_least(name))
    return ThresholdVerdict(name, own, worst.estimate, decision, worst.observations, case)


def _severity(measurement: Measurement, limit: float) -> float:
    own = limit if measurement.limit is None else measurement.limit
    if at_least(measurement.name):
        return own - measurement.estimate.low
    return measurement.estimate.high - own


def _error_rate(limit: float, evidence: Sequence[Evidence]) -> ThresholdVerdict:
    last = [item.attempts[-1] for item in evidence if item.attempts]
    if not last:
        return ThresholdVerdict("error_rate", limit, None, None, 0)
    rate = sum(bool(attempt.failure) for attempt in last) / len(last)
    estimate = Estimate(rate, rate, rate)
    return ThresholdVerdict("error_rate", limit, estimate, decide(estimate, limit), len(last))


def _pooled(
    name: str, limit: float, form: re.Match[str], evidence: Sequence[Evidence]
) -> ThresholdVerdict:
    figure = f"{form['figure']}_ms" if form["figure"] else LATENCY
    samples: list[Sample] = []
    for item in evidence:
        if measurement := item.measurement(figure):
            samples += measurement.samples
    if not samples:
        return ThresholdVerdict(name, limit, None, None, 0)
    share = float(form["percent"]) / 100 if form["percent"] else 1.0
    estimate = percentile_estimate(samples, share)
    return ThresholdVerdict(name, limit, estimate, decide(estimate, limit), len(samples))


def judge_run(gates: Sequence[GateVerdict], context: Context) -> RunVerdict:
    """Judge the run from its gates; a deployment that is not the release asked for is FAILED.

    Args:
        gates: Every gate of the environment.
        context: Where, when and with what they were judged.
    """
    mismatches = context.release.mismatches
    asked = [gate for gate in gates if gate.asked]
    accepted = bool(asked) and all(gate.verdict.accepted for gate in asked) and not mismatches
    objections = (*((Verdict.FAILED, line) for line in mismatches), *_against_gates(gates))
    verdict, reasons = _weigh(objections)
    return RunVerdict(verdict, accepted, tuple(gates), reasons, context)


def _against_gates(gates: Sequence[GateVerdict]) -> Iterator[Objection]:
    """A required gate weighs what it came to; another one only warns, if it ran."""
    if all(gate.verdict is Verdict.NOT_RUN for gate in gates):
        yield Verdict.NOT_RUN, "no gate ran"
        return
    for gate in gates:
        ran = gate.verdict is not Verdict.NOT_RUN
        reason = ": ".join((f"{gate.gate} is {gate.verdict}", *gate.reasons[:1]))
        if gate.required and gate.verdict is not Verdict.PASSED:
            yield (gate.verdict if ran else Verdict.INCOMPLETE), reason
        elif ran and gate.verdict is not Verdict.PASSED:
            yield Verdict.WARNED, reason
