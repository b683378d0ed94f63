"""What the sandbox's Prometheus has scraped, and how a selector chooses among it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LOOKBACK_S = 300.0  # how old the sample of an instant may be
NAME = "__name__"

Labels = Mapping[str, str]
Points = list[tuple[float, float]]


Sampled = tuple[float, float | None]


@dataclass
class Samples:
    """What was scraped.

    Attributes:
        series: Labels and points, oldest first; the value None is the marker of staleness.
    """

    series: dict[frozenset[tuple[str, str]], tuple[dict[str, str], list[Sampled]]] = field(
        default_factory=dict
    )
    most: int = 4_000

    def add(self, labels: Mapping[str, str], at: float, value: float | None) -> None:
        """One sample more; None marks that there is none any more."""
        key = frozenset(labels.items())
        points = self.series.setdefault(key, (dict(labels), []))[1]
        points.append((at, value))
        del points[: -self.most]

    def select(self, wanted: Sequence[Matcher]) -> Iterator[tuple[dict[str, str], Sequence[Any]]]:
        """The series whose labels match."""
        for labels, points in [*self.series.values()]:
            if all(matcher(labels) for matcher in wanted):
                yield labels, points[:]


@dataclass(frozen=True)
class Matcher:
    """``label=~"pattern"``."""

    label: str
    sign: str
    text: str

    def __call__(self, labels: Labels) -> bool:
        """Whether a series matches; a label that is not there is empty."""
        value = labels.get(self.label, "")
        found = value == self.text
        if self.sign.endswith("~"):
            found = re.fullmatch(self.text, value) is not None
        return found is not self.sign.startswith("!")


@dataclass(frozen=True)
class Selector:
    """A selector; with a span it is a range."""

    matchers: tuple[Matcher, ...]
    span: float = 0.0

    def points(self, samples: Samples, at: float) -> Iterator[tuple[dict[str, str], Points]]:
        """What lies within the span."""
        for labels, kept in samples.select(self.matchers):
            inside = [(t, v) for t, v in kept if at - self.span <= t <= at and v is not None]
            if inside:
                yield labels, inside

    def latest(self, samples: Samples, at: float) -> Iterator[tuple[dict[str, str], float, float]]:
        """The last sample of each series, unless it is too old or stale."""
        for labels, kept in samples.select(self.matchers):
            last = next(((t, v) for t, v in reversed(kept) if t <= at), None)
            if last is not None and last[1] is not None and last[0] > at - LOOKBACK_S:
                yield labels, last[0], last[1]
