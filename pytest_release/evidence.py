"""What one case measured and found: plain frozen data that crosses processes as JSON.

- Evidence says what was seen; whether a release may go out is `verdict`'s business.
- A failed finding of an advisory case is softened to a warning here, once, so that the test, the
  gate and every report say the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cattrs

from pytest_release.errors import EvidenceError
from pytest_release.hostile import visible
from pytest_release.redaction import Redactor
from pytest_release.sampling import Decision, Estimate, Sample

SHOWN_MARKS = 500  # events of a stream that the report draws; findings look at all of them
SHOWN_POINTS = 2_000  # requests of a steady stream that the report draws; findings look at all


class Severity(StrEnum):
    """What a finding means for its case."""

    FAILURE = "failure"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """Something wrong, or worth saying, with where and how much.

    Attributes:
        code: ``<gate>.<kebab>``, stable, listed in the gate's page.
        message: One sentence for people.
        severity: FAILURE blocks, WARNING warns, NOTE only informs.
        expected: What should have been there.
        received: What was there, cut to a bounded length.
    """

    code: str
    message: str
    severity: Severity = Severity.FAILURE
    expected: str = ""
    received: str = ""


@dataclass(frozen=True)
class Measurement:
    """A statistic of samples, and where it lies with respect to its limit.

    Attributes:
        name: With its unit as suffix, ``ttfb_ms``; thresholds are named the same.
        samples: In the order they were drawn.
        estimate: The mean with its interval.
        limit: The limit it was compared with, if any; the least one of a ``min_`` figure.
        decision: Where the estimate lies; None without a limit.
        count: Of observations, where `samples` are only what they come to.
    """

    name: str
    samples: tuple[Sample, ...]
    estimate: Estimate
    limit: float | None = None
    decision: Decision | None = None
    count: int | None = None

    @property
    def observations(self) -> int:
        """How many stand behind the estimate."""
        return len(self.samples) if self.count is None else self.count


@dataclass(frozen=True)
class Attempt:
    """One try of a case: its number from 1, and why it failed (empty: it passed)."""

    number: int
    failure: str = ""


@dataclass(frozen=True)
class Mark:
    """A point of a stream's timeline: milliseconds after the request, what it was, how large."""

    at_ms: float
    kind: str
    text: str = ""
    size: int = 0


@dataclass(frozen=True)
class Point:
    """One request of a steady stream.

    Attributes:
        at_ms: When it was due, from the first one on.
        latency_ms: How long its answer took, or until it was given up.
        kind: Which of the stream's requests it was.
        wrong: What was wrong with its answer; empty when nothing was.
    """

    at_ms: float
    latency_ms: float
    kind: str
    wrong: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of time during a steady stream, in milliseconds like its points."""

    start_ms: float
    end_ms: float
    name: str


@dataclass(frozen=True)
class Course:
    """A steady stream of requests over time, and what was done meanwhile.

    Attributes:
        points: At most `SHOWN_POINTS`, in the order they were due.
        window: In which nothing may be interrupted; None when it never began.
        spans: What happened within it.
        limit_ms: Of each answer; None for none.
    """

    points: tuple[Point, ...]
    window: Span | None = None
    spans: tuple[Span, ...] = ()
    limit_ms: float | None = None


@dataclass(frozen=True)
class ExchangeRecord:
    """The request and the answer that the report shows; secrets masked, texts cut.

    Attributes:
        dns_ms: Resolving the name; None when there was none to resolve.
        connect_ms: The TCP handshake.
        tls_ms: The TLS handshake; None without TLS.
    """

    method: str
    url: str
    curl: str
    status: int | None = None
    http_version: str = ""
    request_headers: tuple[tuple[str, str], ...] = ()
    request_body: str = ""
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: str = ""
    body_bytes: int = 0
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None


@dataclass(frozen=True)
class Attachment:
    """A text that a test wants to be in the report."""

    name: str
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that one case measured and found.

    Attributes:
        case: The case's id.
        gate: The gate it counts for.
        name: For people.
        advisory: Its failures were softened to warnings.
        exchange: The last request and answer.
        timeline: Events of the last stream, at most `SHOWN_MARKS`.
        course: A steady stream of requests over time; None when there was none.
        duration_s: Wall time of the case, all attempts and samples included.
    """

    case: str
    gate: str
    name: str
    advisory: bool = False
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    exchange: ExchangeRecord | None = None
    timeline: tuple[Mark, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    course: Course | None = None
    duration_s: float = 0.0

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that block."""
        return self._of(Severity.FAILURE)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that warn."""
        return self._of(Severity.WARNING)

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity is severity)

    def measurement(self, name: str) -> Measurement | None:
        """The measurement of that name, if the case made it."""
        return next((found for found in self.measurements if found.name == name), None)

    def softened(self) -> Evidence:
        """The same with failures as warnings, for an advisory case."""
        findings = tuple(
            dataclasses.replace(finding, severity=Severity.WARNING)
            if finding.severity is Severity.FAILURE
            else finding
            for finding in self.findings
        )
        return dataclasses.replace(self, advisory=True, findings=findings)

    def explain(self) -> str:
        """Every failure for a terminal: message, expected, received, then how to reproduce.

        What the server sent is in it with its control characters as escapes.
        """
        lines = [f"{self.name} ({self.case})"]
        for finding in self.failures:
            lines.append(f"  {finding.code}: {finding.message}")
            lines += [f"    expected: {finding.expected}"] if finding.expected else []
            lines += [f"    received: {finding.received}"] if finding.received else []
        lines += [f"  reproduce: {self.exchange.curl}"] if self.exchange else []
        return visible("\n".join(lines))


_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_WORDS = frozenset({"case", "gate", "code", "severity", "decision"})  # ours, whatever they spell


def redacted(evidence: Evidence, redact: Redactor) -> Evidence:
    """The same evidence, every text without the environment's secrets."""
    return from_json(_masked(to_json(evidence), redact)) if redact.values else evidence


def to_json(evidence: Evidence) -> dict[str, Any]:
    """Plain JSON value of the evidence: xdist sends nothing else, not even an enum's member."""
    value: dict[str, Any] = json.loads(json.dumps(_CONVERTER.unstructure(evidence)))
    return value


def from_json(value: Mapping[str, Any]) -> Evidence:
    """The evidence of a plain JSON value.

    Raises:
        EvidenceError: The value is not what `to_json` writes.
    """
    try:
        evidence = _CONVERTER.structure(value, Evidence)
    except cattrs.BaseValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error))
        raise EvidenceError(f"this is not evidence of a case: {reasons}") from None
    except (AttributeError, TypeError):
        raise EvidenceError("this is not evidence of a case: expected a mapping") from None
    if to_json(evidence) != value:  # cattrs takes "false" for True
        raise EvidenceError(f"this is not evidence of the case {evidence.case}: a type is wrong")
    return evidence


def _masked(value: Any, redact: Redactor) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            name: child if name in _WORDS else _masked(child, redact)
            for name, child in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(child, redact) for child in value]
    return value
