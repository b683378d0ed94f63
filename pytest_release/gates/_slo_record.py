"""What became of a load, and whether it was the load that was asked for.

- A request that was not answered rightly has no latency of its own: it counts as if it had been
  waited for as long as its answer may take, so that quick failures make nothing look quick.
- The generator's own lateness is no pass and no fail of the deployment: nothing was shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pytest_release.evidence import SHOWN_POINTS, Course, Finding, Point, Span
from pytest_release.gates._slo_plan import Wish
from pytest_release.sampling import percentile
from pytest_release.targets.load import Shot, Told

LATE_S = 0.1  # a start that is later than that was not on time
LATE_SHARE = 0.05  # of starts that may be late
KINDS = 5  # of what was wrong that a message names


@dataclass
class Record:
    """One load, as it is told.

    Attributes:
        shots: Of all workers, warm-up included.
        planned: Requests of all schedules.
        stopped_s: When it was stopped before its end.
    """

    wish: Wish
    shots: list[Shot] = field(default_factory=list)
    planned: int = 0
    stopped_s: float | None = None
    _at: dict[int, tuple[float, float]] = field(default_factory=dict)

    def hear(self, told: Told) -> None:
        """Take one message."""
        self.shots += told.shots
        self.planned += told.planned
        if told.at_s:
            self._at[told.share] = (told.at_s, told.cpu_s)

    @property
    def now_s(self) -> float:
        """How far all workers have come."""
        return min((at for at, _ in self._at.values()), default=0.0)

    @property
    def end_s(self) -> float:
        """Of what is measured."""
        planned = self.wish.plan.seconds
        return planned if self.stopped_s is None else min(self.stopped_s, planned)

    @property
    def measured(self) -> list[Shot]:
        """Behind the warm-up, in the order they were due."""
        start = self.wish.warm_up_s
        return sorted((s for s in self.shots if s.due >= start), key=lambda shot: shot.due)

    def latency_ms(self, shot: Shot) -> float:
        """Of one request, as it counts."""
        timeout = self.wish.plan.asks[shot.ask].request.timeout_s
        return (max(shot.took, timeout) if shot.wrong else shot.took) * 1000

    @property
    def ceiling_ms(self) -> float:
        """No request can have taken longer."""
        return self.wish.plan.longest_s * 1000

    def wrong(self, shots: Sequence[Shot]) -> str:
        """What was wrong with how many: ``12 times status 500 (GET /health/)``."""
        kinds = Counter((shot.wrong, shot.ask) for shot in shots if shot.wrong)
        named = [
            f"{times} times {wrong} ({self.wish.plan.asks[ask].name})"
            for (wrong, ask), times in kinds.most_common(KINDS)
        ]
        more = len(kinds) - len(named)
        return "; ".join([*named, *([f"and {more} other kinds"] if more else [])])

    @property
    def summary(self) -> str:
        """What was sent, by whom, and what of it is not measured."""
        plan, left = self.wish.plan, len(self.shots) - len(self.measured)
        count = max(plan.crew.processes + plan.crew.remote, 1)
        whom = f"{count} process{'es' * (count > 1)} of Locust"
        return (
            f"{len(self.shots)} of {self.planned} planned requests, {plan.rate_per_s:g} a second, "
            f"arrivals {plan.arrivals}, from {whom}. "
            f"The first {left}, due within {self.wish.warm_up_s:g} s, warm up and are not measured."
        )

    def course(self, limit_ms: float | None) -> Course:
        """For the report: each request, or evenly some of them and those that failed first."""
        shots = sorted(self.shots, key=lambda shot: shot.due)
        if len(shots) > SHOWN_POINTS:
            step = len(shots) / SHOWN_POINTS
            shots = [shots[int(number * step)] for number in range(SHOWN_POINTS)]
        points = tuple(
            Point(s.due * 1000, s.took * 1000, self.wish.plan.asks[s.ask].name, s.wrong)
            for s in shots
        )
        window = Span(self.wish.warm_up_s * 1000, self.end_s * 1000, "measured")
        return Course(points, window, (), limit_ms)

    def own_faults(self) -> Iterator[Finding]:
        """Why the load was not the one that was asked for."""
        late = [shot.late for shot in self.shots]
        behind = sum(each > LATE_S for each in late)
        if late and behind > LATE_SHARE * len(late):
            busy = max((cpu / at for at, cpu in self._at.values() if at), default=0.0)
            message = (
                f"the generator was too slow: it was more than {LATE_S * 1000:g} ms late for "
                f"{behind} of {len(late)} requests (P99 {percentile(late, 0.99) * 1000:.0f} ms), "
                f"with {busy:.0%} of a processor; nothing is shown: use more workers, or less load"
            )
            share = f"at most {LATE_SHARE:.0%} of the requests"
            yield Finding("slo.generator", message, expected=share, received=str(behind))
