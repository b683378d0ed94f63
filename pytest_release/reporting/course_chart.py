"""The latency of a steady stream over time, with the window in which nothing may break shaded."""

from __future__ import annotations

from math import ceil, floor, log10

from pytest_release.evidence import Course, Point, Span
from pytest_release.hostile import markup, one_line
from pytest_release.reporting.charts import COLOURS, LEFT, RIGHT, WIDTH
from pytest_release.reporting.figures import number

TOP, BASE = 26, 176  # of the plot: y of its highest latency and of its lowest
FASTEST = 0.01  # ms; below that a latency is drawn as this
ROW, COLUMNS = 14, 3  # of the legend
SHOWN_KINDS = 12
SHOWN_NAME = 30  # characters of a name


def course_chart(course: Course) -> str:
    """Each request as a dot: when it was due, how long it took, a cross where it was wrong."""
    kinds = list(dict.fromkeys(point.kind for point in course.points))
    scale = _Scale(course)
    shown = kinds[:SHOWN_KINDS]
    height = BASE + 34 + ROW * -(-len(shown) // COLUMNS)
    body = (
        _shade(scale, course.window),
        _axes(scale),
        *(_span(scale, span) for span in course.spans),
        _limit(scale, course.limit_ms),
        *(_point(scale, point, kinds.index(point.kind) % COLOURS) for point in course.points),
        *(_legend(index, kind) for index, kind in enumerate(shown)),
    )
    wrong = sum(bool(point.wrong) for point in course.points)
    label = f"latency of {len(course.points)} requests over time, {wrong} of them failed"
    return (
        f'<svg class="chart course" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label="{markup(label)}">{"".join(body)}</svg>'
    )


class _Scale:
    """From milliseconds to the plot's coordinates; latencies by their logarithm."""

    def __init__(self, course: Course) -> None:
        ends = [span.end_ms for span in (course.window, *course.spans) if span]
        self.last = max([*(point.at_ms for point in course.points), *ends, 0.001])
        latencies = [max(point.latency_ms, FASTEST) for point in course.points]
        self.bottom = floor(log10(min([*latencies, 1.0])))
        self.top = ceil(log10(max([*latencies, course.limit_ms or 0.0, 10.0]) * 1.1))

    def x(self, at_ms: float) -> float:
        return LEFT + min(max(at_ms, 0.0), self.last) / self.last * (WIDTH - LEFT - RIGHT)

    def y(self, latency_ms: float) -> float:
        share = (log10(max(latency_ms, FASTEST)) - self.bottom) / (self.top - self.bottom)
        return BASE - min(max(share, 0.0), 1.0) * (BASE - TOP)

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.bottom, self.top + 1)]


def _shade(scale: _Scale, window: Span | None) -> str:
    if window is None:
        return ""
    left, right = scale.x(window.start_ms), scale.x(window.end_ms)
    name = markup(one_line(window.name)[:SHOWN_NAME])
    length = number(window.end_ms - window.start_ms)
    return (
        f'<rect class="window" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1.0):.1f}" '
        f'height="{BASE - TOP}"><title>{name}: {length} ms</title></rect>'
        f'<text x="{left:.1f}" y="{TOP - 14}">{name}, {length} ms</text>'
    )


def _span(scale: _Scale, span: Span) -> str:
    left, right = scale.x(span.start_ms), scale.x(span.end_ms)
    length = number(span.end_ms - span.start_ms)
    return (
        f'<rect class="span" x="{left:.1f}" y="{TOP - 8}" width="{max(right - left, 2.0):.1f}" '
        f'height="5"><title>{markup(one_line(span.name)[:SHOWN_NAME])}: {length} ms</title></rect>'
    )


def _limit(scale: _Scale, limit: float | None) -> str:
    if limit is None:
        return ""
    y = scale.y(limit)
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="limit" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">'
        f"limit {number(limit)} ms</text>"
    )


def _point(scale: _Scale, point: Point, colour: int) -> str:
    x, y = scale.x(point.at_ms), scale.y(point.latency_ms)
    wrong = f": {point.wrong}" if point.wrong else ""
    title = markup(
        one_line(
            f"{number(point.at_ms)} ms, {point.kind} took {number(point.latency_ms)} ms{wrong}"
        )
    )
    if not point.wrong:
        return (
            f'<circle class="k{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">'
            f"<title>{title}</title></circle>"
        )
    return (
        f'<path class="wrong" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"><title>{title}</title>'
        "</path>"
    )


def _axes(scale: _Scale) -> str:
    ticks = "".join(
        f'<text x="{scale.x(value):.1f}" y="{BASE + 14}" text-anchor="{anchor}">'
        f"{number(value / 1000)} s</text>"
        for value, anchor in ((0.0, "start"), (scale.last / 2, "middle"), (scale.last, "end"))
    )
    lines = "".join(
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT + 2}" y="{y - 3:.1f}">{number(value)} ms</text>'
        for value in scale.decades
        if (y := scale.y(value))
    )
    return lines + ticks


def _legend(index: int, kind: str) -> str:
    x, y = LEFT + index % COLUMNS * 205, BASE + 32 + index // COLUMNS * ROW
    return (
        f'<rect class="k{index % COLOURS}" x="{x}" y="{y - 8}" width="9" height="9"/>'
        f'<text x="{x + 14}" y="{y}">{markup(one_line(kind)[:SHOWN_NAME])}</text>'
    )
