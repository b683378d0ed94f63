"""The closing lines of a run: the table of gates, why not, where the report is, who signed it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap

from pytest_release.hostile import one_line
from pytest_release.reporting import figures
from pytest_release.targets.clock import READ
from pytest_release.verdict import GateVerdict, RunVerdict, Verdict

COLOUR = {Verdict.PASSED: "green", Verdict.WARNED: "yellow", Verdict.FAILED: "red"}
HEAD = ("gate", "verdict", "cases", "slowest", "measured")
NARROWEST = 24  # columns that the figures keep on a narrow terminal


@dataclass(frozen=True)
class Line:
    """One line and how pytest should colour it."""

    text: str
    colour: str = ""
    bold: bool = False

    @property
    def markup(self) -> dict[str, bool]:
        """As ``TerminalReporter.write_line`` takes it."""
        return {name: True for name in (self.colour, "bold" * self.bold) if name}


def lines(run: RunVerdict, width: int) -> Iterator[Line]:
    """The table, then every reason why a gate or the run is not PASSED.

    Args:
        run: What it came to.
        width: Columns of the terminal.
    """
    rows = [_cells(gate) for gate in run.gates]
    fixed = [max(len(row[i]) for row in (HEAD, *rows)) for i in range(4)]
    room = max(width - sum(fixed) - 8, NARROWEST)
    yield Line(_row(HEAD[:4], fixed, HEAD[4]), bold=True)
    for gate, row in zip(run.gates, rows, strict=True):
        measured = [part for t in gate.thresholds for part in wrap(figures.threshold(t), room)]
        for number, part in enumerate(measured or [""]):
            cells = row if number == 0 else ("",) * 4
            yield Line(_row(cells, fixed, part), _colour(gate.verdict))
        for reason in gate.reasons:
            yield from _wrapped(f"  {gate.gate}: {one_line(reason)}", width)
    for clock in figures.clocks(run):
        if clock.startswith(f"{READ},"):  # the kernel gives none: it is said why
            yield from _wrapped(f"  timed by {one_line(clock)}", width)
    yield Line("")
    yield from _wrapped(f"{run.verdict}  {_subject(run)}", width, _colour(run.verdict), bold=True)
    for reason in run.reasons:
        yield from _wrapped(f"  {one_line(reason)}", width)
    for waiver in run.context.waivers:
        yield from _wrapped(f"  waiver: {one_line(waiver)}", width)
    if run.accepted and not run.verdict.accepted:
        asked = ", ".join(gate.gate for gate in run.gates if gate.asked)
        yield Line(f"  what was asked for passed: {asked}", "green")


def _cells(gate: GateVerdict) -> tuple[str, ...]:
    slowest = gate.slowest
    shown = figures.duration(slowest.duration_s) if slowest and slowest.duration_s else ""
    return (gate.gate, gate.verdict.replace("_", " "), figures.counts(gate), shown)


def _row(cells: tuple[str, ...], widths: list[int], last: str) -> str:
    padded = (f"{cell:<{size}}" for cell, size in zip_longest(cells, widths, fillvalue=""))
    return "  ".join((*padded, last)).rstrip()


def _wrapped(text: str, width: int, colour: str = "", *, bold: bool = False) -> Iterator[Line]:
    for part in wrap(text, max(width, NARROWEST), subsequent_indent="    "):
        yield Line(part, colour, bold)


def _subject(run: RunVerdict) -> str:
    before = run.context.release.before
    return one_line(f"{run.context.environment}: {before or 'a release that does not name itself'}")


def _colour(verdict: Verdict) -> str:
    return COLOUR.get(verdict, "purple")
