"""Small charts as inline SVG: no script, nothing from elsewhere, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pytest_release.evidence import Mark, Measurement
from pytest_release.hostile import markup, one_line
from pytest_release.reporting.figures import number

WIDTH = 640
LEFT, RIGHT = 8, 8
ROW = 9  # height of one sample
MOST_ROWS = 40
COLOURS = 6  # classes k0 to k5 of the page's style


def samples_chart(measurement: Measurement) -> str:
    """Each sample as a bar from low to high, the mean's interval, and the limit as a line."""
    samples = measurement.samples[:MOST_ROWS]
    limit, mean = measurement.limit, measurement.estimate
    top = max([*(s.high for s in samples), mean.high, limit or 0.0, 0.001]) * 1.08
    height = ROW * len(samples) + 44
    body = [_band(_x(mean.low, top), _x(mean.high, top), height - 28)]
    for row, sample in enumerate(samples):
        y = 12 + row * ROW
        low, high = _x(sample.low, top), _x(sample.high, top)
        title = f"{number(sample.value)} ms, between {number(sample.low)} and {number(sample.high)}"
        title += f" ({', '.join(sample.flags)})" if sample.flags else ""
        rough = "" if sample.exact else " rough"
        busy = " busy" if sample.busy_ms >= 1 else ""
        body.append(
            f'<g class="sample{rough}{busy}"><title>{markup(title)}</title>'
            f'<rect x="{low:.1f}" y="{y}" width="{max(high - low, 1.5):.1f}" height="5" rx="2"/>'
            f'<circle cx="{_x(sample.value, top):.1f}" cy="{y + 2.5}" r="3"/></g>'
        )
    if limit is not None:
        body.append(_limit(_x(limit, top), limit, height))
    body.append(_axis(top, height))
    label = f"{measurement.name}: {len(samples)} samples against the limit"
    return _svg(height, label, "".join(body))


def timeline_chart(timeline: Sequence[Mark]) -> str:
    """The events of a stream on one axis, coloured by type, the longest pause marked."""
    top = max(timeline[-1].at_ms, 0.001) * 1.04
    kinds = list(dict.fromkeys(mark.kind for mark in timeline))
    height = 74 + 14 * (-(-len(kinds[:12]) // 4))
    body = [_gap(timeline, top)]
    for mark in timeline:
        x = _x(mark.at_ms, top)
        title = markup(f"{number(mark.at_ms)} ms {one_line(mark.kind)}")
        colour = kinds.index(mark.kind) % COLOURS
        body.append(
            f'<line class="k{colour}" x1="{x:.1f}" x2="{x:.1f}" y1="14" y2="40">'
            f"<title>{title}</title></line>"
        )
    body.append(_axis(top, 68))
    for index, kind in enumerate(kinds[:12]):
        x, y = LEFT + index % 4 * 155, 82 + index // 4 * 14
        body.append(
            f'<rect class="k{index % COLOURS}" x="{x}" y="{y - 8}" width="9" height="9"/>'
            f'<text x="{x + 14}" y="{y}">{markup(one_line(kind)[:22])}</text>'
        )
    return _svg(height, f"{len(timeline)} events over time", "".join(body))


def _gap(timeline: Sequence[Mark], top: float) -> str:
    if len(timeline) < 2:
        return ""
    earlier, later = max(pairwise(timeline), key=lambda pair: pair[1].at_ms - pair[0].at_ms)
    low, high = _x(earlier.at_ms, top), _x(later.at_ms, top)
    title = f"longest pause: {number(later.at_ms - earlier.at_ms)} ms"
    return (
        f'<rect class="gap" x="{low:.1f}" y="14" width="{high - low:.1f}" height="26">'
        f"<title>{title}</title></rect>"
    )


def _band(low: float, high: float, height: float) -> str:
    width = max(high - low, 1.0)
    return (
        f'<rect class="mean" x="{low:.1f}" y="6" width="{width:.1f}" height="{height}">'
        "<title>the mean's interval</title></rect>"
    )


def _limit(x: float, limit: float, height: int) -> str:
    anchor = "end" if x > WIDTH / 2 else "start"
    shift = -5 if anchor == "end" else 5
    return (
        f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 22}"/>'
        f'<text class="limit" x="{x + shift:.1f}" y="14" text-anchor="{anchor}">'
        f"limit {number(limit)} ms</text>"
    )


def _axis(top: float, height: int) -> str:
    y = height - 20
    ticks = "".join(
        f'<text x="{_x(value, top):.1f}" y="{y + 14}" text-anchor="{anchor}">'
        f"{number(value)}{' ms' if value else ''}</text>"
        for value, anchor in ((0.0, "start"), (top / 2, "middle"), (top, "end"))
    )
    return f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>{ticks}'


def _x(value: float, top: float) -> float:
    return LEFT + max(value, 0.0) / top * (WIDTH - LEFT - RIGHT)


def _svg(height: int, label: str, body: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{markup(label)}">{body}</svg>'
    )
