"""As much of PromQL as the shipped cases say, over samples kept in memory.

Selectors with ``= != =~ !~`` and ranges; arithmetic and comparisons, also ``bool``, ``on`` and
``ignoring``; ``sum avg min max count`` with ``by`` and ``without``; the functions of `FUNCTIONS`.
Anything else is refused, as a parse error. tests/integration/test_prometheus.py compares its
answers with those of Debian's Prometheus.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pytest_release.sandbox.rooms._promql_parser import (
    COMPARED,
    Call,
    Operation,
    Parser,
    PromError,
)
from pytest_release.sandbox.rooms._promql_samples import NAME, Labels, Points, Samples, Selector

AGGREGATED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "sum": math.fsum,
    "avg": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}

Vector = list[tuple[dict[str, str], float]]
Value = float | Vector


def evaluate(text: str, samples: Samples, at: float) -> Value:
    """The value of an expression at a time.

    Raises:
        PromError: It cannot be read, or its parts do not fit.
    """
    return _value(Parser(text).parse(), samples, at)


def ranges(text: str, samples: Samples, at: float) -> list[tuple[dict[str, str], Points]] | None:
    """The samples of a range selector; None of any other expression."""
    node = Parser(text).parse()
    return [*node.points(samples, at)] if isinstance(node, Selector) and node.span else None


def _value(node: Any, samples: Samples, at: float) -> Value:  # noqa: ANN401 - a node
    if isinstance(node, float):
        return node
    if isinstance(node, Selector):
        if node.span:
            raise PromError("parse error: expected an instant vector, got a range vector")
        return [(labels, value) for labels, _, value in node.latest(samples, at)]
    if isinstance(node, Call):
        if node.name in AGGREGATED:
            return _aggregated(node, _vector(node.arguments[0], samples, at))
        return FUNCTIONS[node.name](node.arguments, samples, at)
    return _operated(node, _value(node.left, samples, at), _value(node.right, samples, at))


def _vector(node: Any, samples: Samples, at: float) -> Vector:  # noqa: ANN401 - a node
    value = _value(node, samples, at)
    if isinstance(value, float):
        raise PromError("parse error: expected type instant vector, got scalar")
    return value


def nameless(labels: Labels) -> dict[str, str]:
    """Labels without the metric's name."""
    return {name: value for name, value in labels.items() if name != NAME}


def _aggregated(node: Call, vector: Vector) -> Vector:
    groups: dict[frozenset[tuple[str, str]], list[float]] = {}
    for labels, value in vector:
        if node.drop is not None:
            kept = {n: v for n, v in nameless(labels).items() if n not in node.drop}
        else:
            kept = {n: labels[n] for n in node.keep or () if n in labels}
        groups.setdefault(frozenset(kept.items()), []).append(value)
    return [(dict(key), AGGREGATED[node.name](values)) for key, values in groups.items()]


def _operated(node: Operation, left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        if node.sign in COMPARED and not node.truth:
            raise PromError("parse error: comparisons between scalars must use BOOL modifier")
        return _calculated(node.sign, left, right)
    if isinstance(right, float):
        assert isinstance(left, list)
        pairs = [(labels, value, right, value) for labels, value in left]
    elif isinstance(left, float):
        pairs = [(labels, left, value, value) for labels, value in right]
    else:
        pairs = [*_matched(node, left, right)]
    if node.sign in COMPARED and not node.truth:
        return [(labels, kept) for labels, a, b, kept in pairs if _calculated(node.sign, a, b)]
    return [(nameless(labels), _calculated(node.sign, a, b)) for labels, a, b, _ in pairs]


def _matched(
    node: Operation, left: Vector, right: Vector
) -> Iterator[tuple[dict[str, str], float, float, float]]:
    def key(labels: Labels) -> frozenset[tuple[str, str]]:
        if node.on is not None:
            return frozenset((name, labels.get(name, "")) for name in node.on)
        return frozenset((n, v) for n, v in nameless(labels).items() if n not in node.ignoring)

    others = {key(labels): value for labels, value in right}
    if len(others) < len(right) or len({key(labels) for labels, _ in left}) < len(left):
        raise PromError("many-to-many matching not allowed: matching labels must be unique")
    for labels, value in left:
        if key(labels) in others:
            shown = labels if node.sign in COMPARED and not node.truth else dict(key(labels))
            yield shown, value, others[key(labels)], value


def _calculated(sign: str, a: float, b: float) -> float:
    if sign in ("/", "%"):
        if b == 0:
            return (
                math.nan if sign == "%" or a == 0 or math.isnan(a) else math.copysign(math.inf, a)
            )
        return a / b if sign == "/" else math.fmod(a, b)
    does: Mapping[str, Callable[[], float]] = {
        "+": lambda: a + b,
        "-": lambda: a - b,
        "*": lambda: a * b,
        "==": lambda: float(a == b),
        "!=": lambda: float(a != b),
        ">": lambda: float(a > b),
        "<": lambda: float(a < b),
        ">=": lambda: float(a >= b),
        "<=": lambda: float(a <= b),
    }
    return does[sign]()


def _ranged(node: Any) -> Selector:  # noqa: ANN401 - a node
    if not isinstance(node, Selector) or not node.span:
        raise PromError("parse error: expected type range vector")
    return node


def _increase(points: Points, start: float, end: float) -> float | None:
    """As Prometheus extrapolates, promql/functions.go `extrapolatedRate`, for counters."""
    if len(points) < 2:
        return None
    values = [value for _, value in points]
    grown = values[-1] - values[0]
    grown += sum(before for before, now in pairwise(values) if now < before)
    sampled = points[-1][0] - points[0][0]
    gap = sampled / (len(points) - 1)
    before, behind = points[0][0] - start, end - points[-1][0]
    if grown > 0 and values[0] >= 0:
        before = min(before, sampled * (values[0] / grown))
    covered = sampled + sum(edge if edge < gap * 1.1 else gap / 2 for edge in (before, behind))
    return grown * covered / sampled


def _rate(per_second: bool) -> Callable[[tuple[Any, ...], Samples, float], Value]:
    def rate(arguments: tuple[Any, ...], samples: Samples, at: float) -> Value:
        selector = _ranged(arguments[0])
        found = []
        for labels, points in selector.points(samples, at):
            grown = _increase(points, at - selector.span, at)
            if grown is not None:
                found.append((nameless(labels), grown / selector.span if per_second else grown))
        return found

    return rate


def _over_time(
    of: Callable[[Sequence[float]], float],
) -> Callable[[tuple[Any, ...], Samples, float], Value]:
    def over_time(arguments: tuple[Any, ...], samples: Samples, at: float) -> Value:
        every: Iterable[tuple[dict[str, str], Points]] = _ranged(arguments[0]).points(samples, at)
        return [(nameless(labels), of([v for _, v in points])) for labels, points in every]

    return over_time


def _timestamp(arguments: tuple[Any, ...], samples: Samples, at: float) -> Value:
    node = arguments[0]
    if isinstance(node, Selector) and not node.span:
        return [(nameless(labels), t) for labels, t, _ in node.latest(samples, at)]
    return [(nameless(labels), at) for labels, _ in _vector(node, samples, at)]


def _absent(arguments: tuple[Any, ...], samples: Samples, at: float) -> Value:
    if _vector(arguments[0], samples, at):
        return []
    node = arguments[0]
    matchers = node.matchers if isinstance(node, Selector) else ()
    return [({m.label: m.text for m in matchers if m.sign == "=" and m.label != NAME}, 1.0)]


def _vector_of(arguments: tuple[Any, ...], samples: Samples, at: float) -> Value:
    value = _value(arguments[0], samples, at)
    if not isinstance(value, float):
        raise PromError("parse error: expected type scalar in call to function 'vector'")
    return [({}, value)]


FUNCTIONS: Mapping[str, Callable[[tuple[Any, ...], Samples, float], Value]] = {
    "time": lambda _arguments, _samples, at: at,
    "vector": _vector_of,
    "timestamp": _timestamp,
    "absent": _absent,
    "rate": _rate(True),
    "increase": _rate(False),
    **{f"{name}_over_time": _over_time(of) for name, of in AGGREGATED.items()},
}
