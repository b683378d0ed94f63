"""When a watch ends badly: what is bad for too long, too often in a row, or cannot be seen.

Pure: looks go in, an alarm comes out. Durations are of a monotonic clock; the time on the wall is
only said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass(frozen=True)
class Look:
    """What one look at something came to.

    Attributes:
        at: When it was begun, by a monotonic clock.
        wall: The same, by the clock on the wall.
        bad: Whether it is beyond its limit; None: nothing was to be seen.
        said: In words.
        value: What was seen, in words; empty when nothing was.
    """

    at: float
    wall: datetime
    bad: bool | None
    said: str
    value: str = ""


@dataclass(frozen=True)
class Alarm:
    """A trigger fired.

    Attributes:
        why: Which, what value, what limit, since when.
        facts: The same, for later steps.
    """

    why: str
    facts: Mapping[str, str]


@dataclass
class Trigger:
    """One reason to go back, and what is known of it.

    Attributes:
        name: Its own.
        limit: In words.
        start: A look that nobody made: when the watch began.
        patience_s: So long there may be nothing to see.
        for_s: So long it may be bad.
        row: So many bad looks in a row are too many, where that is what counts.
    """

    name: str
    limit: str
    start: Look
    patience_s: float
    for_s: float = 0.0
    row: int = 1
    last: Look | None = field(default=None, init=False)
    looks: int = field(default=0, init=False)
    bad_looks: int = field(default=0, init=False)
    _in_a_row: int = field(default=0, init=False)
    _bad_since: Look | None = field(default=None, init=False)
    _seen: Look | None = field(default=None, init=False)

    def take(self, look: Look) -> str:
        """One more look.

        Returns:
            What changed with it, in words; empty when nothing did.
        """
        before, self.last = self.last, look
        self.looks += 1
        if look.bad is None:  # neither well again nor worse: patience counts
            return "" if before is not None and before.bad is None else f"nothing seen: {look.said}"
        self._seen = look
        was, self._bad_since = self._bad_since, (self._bad_since or look) if look.bad else None
        self._in_a_row = self._in_a_row + 1 if look.bad else 0
        self.bad_looks += look.bad
        if look.bad:
            return look.said if was is None or self.row > 1 else ""
        if was is not None:
            return f"well again after {look.at - was.at:.1f} s"
        return "seen again" if before is not None and before.bad is None else ""

    def alarm(self, now: float) -> Alarm | None:
        """Whether it fires."""
        last, since = self.last, self._bad_since
        if last is not None and last.bad and since is not None and self._enough(last.at - since.at):
            return self._alarm(last, since, last.said, self._span(last.at - since.at))
        seen = self._seen or self.start
        if now - seen.at >= self.patience_s:
            reason = last.said if last is not None and last.bad is None else "no answer"
            span = f"{now - seen.at:.1f} s; patience ends after {self.patience_s:g} s"
            return self._alarm(seen, seen, f"nothing to be seen, {reason}", span)
        return None

    def well_since(self, at: float) -> bool:
        """Whether the last look, begun then or later, found it well."""
        return self.last is not None and self.last.bad is False and self.last.at >= at

    def _enough(self, seconds: float) -> bool:
        return self._in_a_row >= self.row and seconds >= self.for_s

    def _span(self, seconds: float) -> str:
        if self.row > 1:
            return f"{self._in_a_row} in a row; {self.row} are too many"
        return f"{seconds:.1f} s; it fires after {self.for_s:g} s"

    def _alarm(self, last: Look, since: Look, said: str, span: str) -> Alarm:
        began = iso(since.wall)
        facts = {"trigger": self.name, "value": last.value or "none",
                 "limit": self.limit, "since": began}  # fmt: skip
        return Alarm(f"{self.name} fired: {said}, since {began} ({span})", facts)


@dataclass(frozen=True)
class Band:
    """Between which limits values are well.

    Attributes:
        above: Bad is what is above; None: nothing is too much.
        below: Bad is what is below.
        unit: Of values, for people.
        series: So many there must be at least.
    """

    above: float | None = None
    below: float | None = None
    unit: str = ""
    series: int = 1

    def __str__(self) -> str:
        limits = (("above", self.above), ("below", self.below))
        return " or ".join(f"{word} {self._told(v)}" for word, v in limits if v is not None)

    def judge(self, values: Sequence[tuple[str, float]]) -> tuple[bool | None, str, str]:
        """Whether a value is bad, in words, and the value that counts.

        Args:
            values: Labels of the series, in words, and its value.
        """
        if len(values) < self.series:
            return None, f"{len(values)} series where at least {self.series} are expected", ""
        for labels, value in values:
            word, limit = self._beyond(value)
            if limit is not None:
                told = f"{self._told(value)}{labels} is {word} {self._told(limit)}"
                return True, told, self._told(value)
        for labels, value in values:
            if math.isnan(value):
                return None, f"the value{labels} is not a number", ""
        worst = self._told((max if self.above is not None else min)(v for _, v in values))
        return False, worst, worst

    def _beyond(self, value: float) -> tuple[str, float | None]:
        if self.above is not None and value > self.above:
            return "above", self.above
        if self.below is not None and value < self.below:
            return "below", self.below
        return "", None

    def _told(self, value: float) -> str:
        return f"{value:.6g}{' ' if self.unit else ''}{self.unit}"


def iso(wall: datetime) -> str:
    """A time, to the second."""
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
