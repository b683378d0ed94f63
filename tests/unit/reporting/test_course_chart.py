"""The latency over time: dots, crosses, the shaded window; and nothing of it is alive."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from pytest_release.evidence import Course, Point, Span
from pytest_release.reporting.course_chart import course_chart

EVIL = "<script>alert(1)</script>\"'\x1b[31m\u202e"
COURSE = Course(
    points=(
        Point(0.0, 2.0, "payment status"),
        Point(500.0, 900.0, "health"),
        Point(1000.0, 3.0, "payment status", "status 503 instead of 200"),
    ),
    window=Span(400.0, 900.0, "reload"),
    spans=(Span(400.0, 450.0, "reload-all 1 of demo"),),
    limit_ms=1000.0,
)


def numbers(chart: str, tag: str, *names: str) -> list[tuple[float, ...]]:
    """Coordinates of all elements of a kind."""
    elements = ET.fromstring(chart).iter(tag)
    return [tuple(float(e.attrib[name]) for name in names) for e in elements]


def test_everything_is_drawn_where_it_was() -> None:
    """From left to right in time, higher where it took longer, the window behind it."""
    chart = course_chart(COURSE)
    ((x0, y0), (x1, y1)) = numbers(chart, "circle", "cx", "cy")
    (window,) = re.findall(r'class="window" x="([\d.]+)" y="26" width="([\d.]+)"', chart)

    assert x0 < x1
    assert y0 > y1
    assert [float(value) for value in window] == pytest.approx([8 + 0.4 * 624, 0.5 * 624])
    assert chart.count('<path class="wrong"') == 1
    assert "1000 ms, payment status took 3 ms: status 503 instead of 200" in chart
    assert 'aria-label="latency of 3 requests over time, 1 of them failed"' in chart
    for word in ("reload, 500 ms", "limit 1000 ms", "reload-all 1 of demo: 50 ms", "health"):
        assert word in chart


@pytest.mark.parametrize(
    "course",
    [
        Course((Point(0.0, 0.0, "a"),)),
        Course((Point(-5.0, -1.0, "a"),), Span(-9.0, -8.0, "w")),
        Course((Point(1e9, 1e9, "a"),), Span(0.0, 0.0, "w"), (), 1e-9),
        Course((), Span(0.0, 1.0, "w")),
    ],
)
def test_whatever_the_numbers_everything_stays_inside(course: Course) -> None:
    """And nothing divides by zero."""
    chart = course_chart(course)
    drawn = numbers(chart, "circle", "cx", "cy")

    assert all(0 <= x <= 640 and 0 <= y <= 200 for x, y in drawn)


def test_remote_texts_are_dead() -> None:
    """A kind, an error and the names of spans may have come from anywhere."""
    span = Span(0.0, 1.0, EVIL)
    chart = course_chart(Course((Point(0.0, 1.0, EVIL, EVIL),), span, (span,), 5.0))

    assert "<script" not in chart
    assert "\x1b" not in chart
    assert "\u202e" not in chart
    assert {e.tag for e in ET.fromstring(chart).iter()} <= {
        "svg", "rect", "text", "title", "line", "path",
    }  # fmt: skip


def test_a_thousand_kinds_have_a_legend_of_twelve() -> None:
    """The chart stays as high as a chart."""
    chart = course_chart(Course(tuple(Point(float(n), 1.0, f"kind {n}") for n in range(1000))))
    height = ET.fromstring(chart).attrib["height"]

    assert int(height) < 300
