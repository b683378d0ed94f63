"""A promotion policy: what must have been shown before a release may go to an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

ALL_GATES = "all"  # what a break-glass waiver names instead of a gate
SUBJECTS = ("commit", "packages", "images")
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Signers:
    """Whose signatures count.

    Attributes:
        keys: Names of trusted keys.
        threshold: How many of them must have signed, at least 1.
    """

    keys: tuple[str, ...]
    threshold: int = 1

    def __str__(self) -> str:
        return f"{self.threshold} of {', '.join(self.keys)}"


@dataclass(frozen=True)
class Requirement:
    """What one gate must have come to.

    Attributes:
        environment: Where it ran, by name; None when any of the role will do.
        role: The role of where it ran; None when an environment is named.
        signers: Who must have signed the attestation.
        max_age: From the end of the run to the promotion.
        min_cases: Cases that ran to their end, at least.
        warned: WARNED will do.
        thresholds: The limits that the gate was held to were these or lower.
    """

    gate: str
    environment: str | None
    role: str | None
    signers: Signers
    max_age: timedelta
    min_cases: int = 1
    warned: bool = False
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it must have run, for people."""
        return self.environment or f"an environment with the role {self.role}"


@dataclass(frozen=True)
class Soak:
    """How long the release must have been somewhere before it goes on."""

    environment: str
    time: timedelta


@dataclass(frozen=True)
class Moment:
    """When a freeze begins or ends, in local time: a date, or a time of each day or week.

    Attributes:
        date: Naive, in the freeze's zone; None for one that comes again.
        offset: From the beginning of the period; for one that comes again.
        period: A day or a week; zero for a date.
    """

    date: datetime | None
    offset: timedelta = timedelta()
    period: timedelta = timedelta()


@dataclass(frozen=True)
class Freeze:
    """A time in which nothing is promoted.

    Attributes:
        start: The first moment of it.
        end: The first moment after it; of the same kind.
        zone: Whose local time both are.
    """

    name: str
    start: Moment
    end: Moment
    zone: ZoneInfo

    def covers(self, now: datetime) -> bool:
        """Whether `now`, aware, lies in it.

        Of a local time that a clock change brings twice, or leaves out, both readings are in it,
        rather too much.
        """
        if self.start.date is not None and self.end.date is not None:
            first, last = min(self._readings(self.start.date)), max(self._readings(self.end.date))
            return first <= now.astimezone(UTC) < last
        local = now.astimezone(self.zone)
        midnight = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second)
        days = timedelta(days=local.weekday() if self.start.period == WEEK else 0)
        length = (self.end.offset - self.start.offset) % self.start.period
        return (days + midnight - self.start.offset) % self.start.period < length

    def _readings(self, local: datetime) -> list[datetime]:
        """What a local time can mean, in UTC: two different moments where the clock changes."""
        return [local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)]


@dataclass(frozen=True)
class WaiverPolicy:
    """Who may waive a gate, and for how long.

    Attributes:
        longest: From the signature to the waiver's end.
        forbidden: Gates that cannot be waived.
    """

    signers: Signers
    longest: timedelta
    forbidden: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Policy:
    """One policy file, resolved.

    Attributes:
        name: Of the environment that it guards.
        version: Goes up with every change; an older one is refused once a newer one decided.
        signers: Whose attestations count.
        gates: What each must have come to.
        subjects: Kinds, of `SUBJECTS`, that the promotion must name and the evidence must match.
        soak: None when none is asked for.
        waivers: None when no gate can be waived.
        break_glass: Who may waive everything at once; None when nobody may.
        digest: SHA-256 of the canonical policy.
    """

    name: str
    version: int
    signers: Signers
    gates: tuple[Requirement, ...]
    subjects: tuple[str, ...]
    soak: Soak | None
    freezes: tuple[Freeze, ...]
    waivers: WaiverPolicy | None
    break_glass: WaiverPolicy | None
    source: Path
    digest: str

    @property
    def trusted(self) -> frozenset[str]:
        """Names of all keys whose attestations may count for something."""
        named = (self.signers, *(requirement.signers for requirement in self.gates))
        return frozenset(key for signers in named for key in signers.keys)
