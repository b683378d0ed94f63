"""A plan's steps as a picture: what comes after what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pytest_release.config.plan import Plan, Step
from pytest_release.rollout.adapters import adapter

NODE, LINE = "●", "│"


def levels(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in rows: each is below all that it needs."""
    row: dict[str, int] = {}
    rows: list[list[Step]] = []
    for step in steps:
        row[step.name] = 1 + max((row[name] for name in step.needs), default=-1)
        if row[step.name] == len(rows):
            rows.append([])
        rows[row[step.name]].append(step)
    return rows


def lines(plan: Plan) -> list[str]:
    """The picture in plain text: rows of steps, and lines from each row to the next."""
    drawn: list[str] = []
    above: Mapping[str, int] = {}
    for row in levels(plan.steps):
        places: dict[str, int] = {}
        text = ""
        for step in row:
            places[step.name] = len(text)
            text += f"{NODE} {step.name} ({step.type}, {step.environment})    "
        drawn += _lines_between(row, above, places)
        drawn.append(text.rstrip())
        above = places
    return drawn


def _lines_between(
    row: Sequence[Step], above: Mapping[str, int], below: Mapping[str, int]
) -> list[str]:
    """Down from each step, across, and down to each that needs it."""
    edges = [
        (above[name], below[step.name]) for step in row for name in step.needs if name in above
    ]
    if not edges:
        return []
    if all(start == end for start, end in edges):
        return [_marks({start: LINE for start, _ in edges})]
    cells: dict[int, set[str]] = {}
    for start, end in edges:
        low, high = sorted((start, end))
        for place in range(low, high + 1):
            cells.setdefault(place, set()).update(
                ({"left"} if place > low else set()) | ({"right"} if place < high else set())
            )
        cells[start].add("up")
        cells[end].add("down")
    return [_marks({place: _CORNERS[frozenset(ways)] for place, ways in cells.items()})]


def _marks(marks: Mapping[int, str]) -> str:
    return "".join(marks.get(place, " ") for place in range(max(marks) + 1))


_CORNERS = {
    frozenset(ways.split()): mark
    for ways, mark in {
        "left right": "─",
        "up down": "│",
        "up": "│",
        "down": "│",
        "up left": "┘",
        "up right": "└",
        "down left": "┐",
        "down right": "┌",
        "up left right": "┴",
        "down left right": "┬",
        "up down left": "┤",
        "up down right": "├",
        "up down left right": "┼",
    }.items()
}


def details(step: Step) -> list[str]:
    """What a plan says of a step, a line each."""
    told = [f"{step.action.adapter}: {adapter(step.action.adapter).describe(step.action.options)}"]
    if step.nodes:
        names = ", ".join(node.name for node in step.nodes)
        told.append(
            f"on {len(step.nodes)} nodes of {step.group}, {step.batch} at a time, at most "
            f"{step.max_unavailable} down: {names}"
        )
    if step.needs:
        told.append(f"after {', '.join(step.needs)}")
    limits = [f"{step.timeout_s:g} s at most"]
    if step.retries.times:
        limits.append(f"{step.retries.times} more attempts")
    told.append(", ".join((*limits, f"on failure: {step.on_failure}")))
    if step.ended:
        told.append(f"only if it ended as {' or '.join(step.ended)}")
    if step.when:
        told.append(f"only if {', '.join(step.when.changed)} changed")
    for word, actions in (("verify", step.verify), ("undo", step.undo)):
        told += [f"{word} {a.adapter}: {adapter(a.adapter).describe(a.options)}" for a in actions]
    return told
