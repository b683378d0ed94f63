"""A rollout in pictures: its steps as a graph, and when each was done. SVG, every text escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pytest_release.config.plan import Plan, Step
from pytest_release.hostile import markup
from pytest_release.rollout.picture import levels
from pytest_release.rollout.state import State, TaskState

WIDE, HIGH, GAP, DROP = 190, 44, 24, 28  # px of a box, and between boxes
NAMES, SCALE, ROW = 230, 640, 22  # px of a timeline: names, seconds, and a line of it
LONGEST = 24  # characters of a name in a box
MOST = 200  # lines of a timeline


def graph(plan: Plan, state: State) -> str:
    """The steps, each below what it needs, coloured by what became of it."""
    rows = levels(plan.steps)
    widest = max(len(row) for row in rows)
    width = widest * (WIDE + GAP)
    places = {
        step.name: (
            (width - len(row) * (WIDE + GAP)) // 2 + index * (WIDE + GAP) + GAP // 2,
            level * (HIGH + DROP),
        )
        for level, row in enumerate(rows)
        for index, step in enumerate(row)
    }
    height = len(rows) * (HIGH + DROP) - DROP + 2
    inside = [*_edges(plan.steps, places), *(_box(step, places, state) for step in plan.steps)]
    return (
        f'<svg class="graph" viewBox="0 -1 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="the steps">{"".join(inside)}</svg>'
    )


def _edges(steps: Sequence[Step], places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for step in steps:
        x, y = places[step.name]
        for name in step.needs:
            from_x, from_y = (places[name][0] + WIDE // 2, places[name][1] + HIGH)
            to_x = x + WIDE // 2
            bend = (y - from_y) // 2
            yield (
                f'<path d="M{from_x},{from_y} C{from_x},{from_y + bend} '
                f'{to_x},{y - bend} {to_x},{y}"/>'
            )


def _box(step: Step, places: Mapping[str, tuple[int, int]], state: State) -> str:
    x, y = places[step.name]
    task = state.tasks.get(step.name)
    name = step.name if len(step.name) <= LONGEST else f"{step.name[:LONGEST]}…"
    return (
        f'<g class="{task.status if task else "open"}"><rect x="{x}" y="{y}" width="{WIDE}" '
        f'height="{HIGH}"/><text x="{x + 10}" y="{y + 19}">{markup(name)}</text>'
        f'<text class="dim" x="{x + 10}" y="{y + 35}">{markup(step.type)} · '
        f"{markup(step.environment)}</text></g>"
    )


def course(attempts: Sequence[TaskState]) -> str:
    """When each attempt began and ended."""
    shown = [a for a in attempts if a.begun and a.ended][:MOST]
    if not shown:
        return ""
    first = min(_moment(a.begun) for a in shown)
    span = max(0.001, *((_moment(a.ended) - first).total_seconds() for a in shown))
    lines = [_line(index, a, first, span) for index, a in enumerate(shown)]
    height = (len(shown) + 1) * ROW
    scale = (
        f'<text class="dim" x="{NAMES}" y="{height - 6}">0 s</text>'
        f'<text class="dim" x="{NAMES + SCALE}" y="{height - 6}" text-anchor="end">'
        f"{span:.1f} s</text>"
    )
    width = NAMES + SCALE + 10
    return (
        f'<svg class="course" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="the course of time">{"".join(lines)}{scale}</svg>'
    )


def _line(index: int, attempt: TaskState, first: datetime, span: float) -> str:
    begun = max(0.0, (_moment(attempt.begun) - first).total_seconds())
    ended = max(begun, (_moment(attempt.ended) - first).total_seconds())
    left, right = (NAMES + SCALE * part / span for part in (begun, ended))
    number = f" ({attempt.attempt})" if attempt.attempt > 1 else ""
    y = index * ROW
    return (
        f'<g class="{attempt.status}"><text x="0" y="{y + 15}">'
        f"{markup(attempt.task)}{number}</text>"
        f'<rect x="{left:.1f}" y="{y + 4}" width="{max(2.0, right - left):.1f}" height="12"/></g>'
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
