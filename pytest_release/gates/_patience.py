"""Looks again and again until all is well so many times in a row, or patience has run out.

- One good answer shows nothing of a deployment that is just starting: it takes N in a row, and
  where something must not restart meanwhile, a window of time that they must span.
- Every try is kept: how many there were, and what was wrong with each, is part of the evidence.
- Good, then not: the deployment flaps. That is told even when it is well in the end.
- Bounded thrice: by the number of tries, by a deadline, and each look by the time that is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from pytest_release.config.cases import Case
from pytest_release.errors import ConfigError, Problem
from pytest_release.evidence import Attachment, Finding, Severity
from pytest_release.sampling import Sample

LONGEST_PAUSE_S = 60.0  # however far the pauses between failures have grown
LEAST_S = 0.5  # that a look has, however near the deadline is
QUIET_S = 3.0  # for so long nothing is said while all goes well
TOLD = 100  # tries that the report lists

Look = Callable[[float], Sequence[Finding]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Patience:
    """How long something may take until it is well, and how well it must be.

    Attributes:
        successes: Good looks that are needed in a row.
        tries: Looks at most.
        interval_s: Seconds from one look to the next.
        backoff: Each further failure in a row makes the pause so many times longer.
        deadline_s: Seconds for everything.
        window_s: Seconds that the good looks must span.
    """

    successes: int = 3
    tries: int = 10
    interval_s: float = 5.0
    backoff: float = 1.0
    deadline_s: float = 120.0
    window_s: float = 0.0

    @classmethod
    def of(cls, case: Case, *given: Mapping[str, Any]) -> Patience:
        """What a policy says, and a case's options say instead.

        Raises:
            ConfigError: So many good looks can never fit into the tries, or into the time.
        """
        known = {part.name for part in fields(cls)}
        merged = {n: v for options in given for n, v in options.items() if n in known}
        patience = cls(**merged)
        if patience.tries < patience.successes:
            wrong = (
                f"{patience.successes} successes in a row do not fit into {patience.tries} tries"
            )
            raise ConfigError(Problem(case.file, case.line, "tries", wrong))
        least = max((patience.successes - 1) * patience.interval_s, patience.window_s)
        if patience.deadline_s < least:
            wrong = f"{patience.successes} successes in a row take {least:g} s at least, and the "
            wrong += f"deadline is {patience.deadline_s:g} s"
            raise ConfigError(Problem(case.file, case.line, "deadline_s", wrong))
        return patience

    def pause(self, failures: int) -> float:
        """Seconds until the next look, behind so many failures in a row."""
        grown = self.interval_s * self.backoff ** min(max(failures - 1, 0), 100)
        return min(grown, max(LONGEST_PAUSE_S, self.interval_s))

    @property
    def goal(self) -> str:
        """What must come to pass."""
        over = f" over {self.window_s:g} s" if self.window_s else ""
        return f"{self.successes} in a row{over}"


@dataclass(frozen=True)
class Try:
    """One look: when it began and how long it took, in seconds, and what was wrong."""

    at_s: float
    took_s: float
    wrong: tuple[Finding, ...]


@dataclass(frozen=True)
class Vigil:
    """All looks at one thing.

    Attributes:
        patience: That was had.
        tries: In their order.
        gave_up: Why there was no further look; empty when all was well.
    """

    patience: Patience
    tries: tuple[Try, ...]
    gave_up: str = ""

    @property
    def flaps(self) -> tuple[Try, ...]:
        """The failures that came behind a success."""
        return tuple(b for a, b in pairwise(self.tries) if b.wrong and not a.wrong)

    @property
    def figures(self) -> Mapping[str, Sequence[Sample | float]]:
        """How many tries, how many flaps, and for how long."""
        last = self.tries[-1]
        waited = (last.at_s + last.took_s) * 1000
        return {
            "tries": [float(len(self.tries))],
            "flaps": [float(len(self.flaps))],
            "waited_ms": [clocked(waited)],
        }

    def findings(self, gate: str, flapping: str) -> list[Finding]:
        """What is wrong in the end, and what was not right on the way there.

        Args:
            gate: That the findings are of.
            flapping: ``fail`` or ``warn``: what a deployment that flaps is to do.
        """
        failed = [each for each in self.tries if each.wrong]
        found: list[Finding] = []
        if self.gave_up:
            found += failed[-1].wrong if failed else ()
            message = f"was not well {self.patience.goal}: {self._course()}; {self.gave_up}"
            found.append(Finding(f"{gate}.not-steady", message, expected=self.patience.goal))
        if self.flaps:
            severity = Severity.WARNING if flapping == "warn" else Severity.FAILURE
            message = f"was well, then not, {_times(len(self.flaps))} in {len(self.tries)} tries: "
            found.append(Finding(f"{gate}.flapping", message + _told(self.flaps[0]), severity))
        elif failed and not self.gave_up:
            well = self.tries[len(failed)].at_s
            message = f"was well only after {well:.1f} s, on try {len(failed) + 1}: "
            found.append(Finding(f"{gate}.late", message + _told(failed[0]), Severity.NOTE))
        return found

    def attached(self) -> Attachment:
        """Every try, a line each."""
        lines = [
            f"{number:3}  {each.at_s:8.2f} s  {each.took_s * 1000:7.0f} ms  {_outcome(each)}"
            for number, each in enumerate(self.tries[:TOLD], 1)
        ]
        return Attachment("tries", "\n".join(lines))

    def _course(self) -> str:
        good = sum(1 for each in self.tries if not each.wrong)
        return f"{good} of {len(self.tries)} tries were, at most {self._longest()} in a row"

    def _longest(self) -> int:
        longest = run = 0
        for each in self.tries:
            run = 0 if each.wrong else run + 1
            longest = max(longest, run)
        return longest


def watch(
    look: Look,
    patience: Patience,
    say: Say = lambda _: None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Vigil:
    """Look until all is well, or patience has run out.

    Args:
        look: Gives what is wrong; told how many seconds there are left.
        patience: How long.
        say: Takes a line about each try that somebody who waits wants to see.
        clock: Seconds, never backwards.
        sleep: Waits.
    """
    began, tries = clock(), list[Try]()
    good: list[float] = []  # when the successes in a row began
    failures = 0
    while True:
        at = clock() - began
        wrong = tuple(look(max(patience.deadline_s - at, LEAST_S)))
        tries.append(Try(at, clock() - began - at, wrong))
        good, failures = ([], failures + 1) if wrong else ([*good, at], 0)
        span = good[-1] - good[0] if good else 0.0
        if len(good) >= patience.successes and span >= patience.window_s:
            return Vigil(patience, tuple(tries))
        pause = patience.pause(failures)
        if good and len(good) >= patience.successes - 1:  # the last look closes the window
            pause = max(pause, patience.window_s - span)
        if gave_up := _exhausted(patience, len(tries), clock() - began + pause):
            return Vigil(patience, tuple(tries), gave_up)
        if any(each.wrong for each in tries) or clock() - began + pause > QUIET_S:
            say(_progress(patience, tries, len(good), pause))
        sleep(pause)


def clocked(milliseconds: float) -> Sample:
    """A duration that this process timed."""
    return Sample(milliseconds, milliseconds, milliseconds, "monotonic clock")


def _exhausted(patience: Patience, tries: int, next_s: float) -> str:
    if tries >= patience.tries:
        return f"gave up after {tries} tries"
    if next_s > patience.deadline_s:
        return f"gave up after {tries} tries: the next would be past {patience.deadline_s:g} s"
    return ""


def _progress(patience: Patience, tries: Sequence[Try], good: int, pause: float) -> str:
    state = _outcome(tries[-1]) if tries[-1].wrong else f"well, {good} of {patience.successes}"
    number = f"try {len(tries)} of {patience.tries}"
    return f"{number} at {tries[-1].at_s:.1f} s: {state}; next in {pause:.1f} s"


def _outcome(each: Try) -> str:
    if not each.wrong:
        return "well"
    more = f" (and {len(each.wrong) - 1} more)" if len(each.wrong) > 1 else ""
    return each.wrong[0].message + more


def _told(each: Try) -> str:
    return f"at {each.at_s:.1f} s {each.wrong[0].message}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
