"""test_report.md: the verdict for a ticket or a merge request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_release.hostile import one_line, visible
from pytest_release.reporting import figures
from pytest_release.verdict import CaseVerdict, GateVerdict, RunVerdict

SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def render(run: RunVerdict) -> str:
    """The run as Markdown, the verdict in the first line."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: RunVerdict) -> Iterator[str]:
    context = run.context
    before = context.release.before
    yield f"# {run.verdict.replace('_', ' ')}: {_plain(context.environment)}"
    yield ""
    yield f"- release: {_plain(str(before) if before else 'does not name itself')}"
    yield f"- environment: {_plain(context.environment)}, {context.role} of {context.system}"
    packages = sorted(context.release.packages.items())
    yield from (f"- package: {_plain(name)}, sha256 {sha256}" for name, sha256 in packages)
    yield f"- address: {_plain(context.base_url)}"
    yield f"- finished: {context.finished:%Y-%m-%d %H:%M:%S} UTC, run {context.run}"
    yield from (f"- waiver: {_plain(waiver)}" for waiver in context.waivers)
    yield from (f"- **{_plain(reason)}**" for reason in run.reasons)
    yield ""
    yield "| gate | verdict | cases | measured |"
    yield "| --- | --- | --- | --- |"
    yield from (_row(gate) for gate in run.gates)
    for gate in run.gates:
        yield from _gate(gate)
    yield ""
    yield "Verify: `pytest-release verify FOLDER --key PUBLIC_KEY`."


def _row(gate: GateVerdict) -> str:
    measured = "; ".join(_plain(figures.threshold(t)) for t in gate.thresholds)
    need = "" if gate.required else " (optional)"
    return f"| {_plain(gate.gate)}{need} | {gate.verdict} | {figures.counts(gate)} | {measured} |"


def _gate(gate: GateVerdict) -> Iterator[str]:
    if gate.reasons:
        yield ""
        yield f"## {_plain(gate.gate)}: {gate.verdict}"
        yield ""
        yield from (f"- {_plain(reason)}" for reason in gate.reasons)
    for case in gate.cases:
        if case.evidence is not None and case.evidence.failures:
            yield from _failure(case)


def _failure(case: CaseVerdict) -> Iterator[str]:
    yield ""
    yield f"### {_plain(case.name)}"
    yield ""
    yield from _fenced(case.evidence.explain() if case.evidence else case.reason)


def _fenced(text: str) -> Iterator[str]:
    """A code block whose fence is longer than any run of backticks in it."""
    shown = visible(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, shown, fence)


def _plain(text: str) -> str:
    return SPECIAL.sub(r"\\\1", one_line(text))
