"""test_report.md: the verdict for a ticket or a merge request; in CI, the summary of the job.

A summary is the same text with what its reader has no bundle to look up: who signed the report and
where it is. It is cut at the size that the CI product takes, the worst first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pytest_release.hostile import markdown as _plain
from pytest_release.hostile import visible
from pytest_release.reporting import figures
from pytest_release.verdict import CaseVerdict, GateVerdict, RunVerdict, Verdict

LEAST_ROOM = 200  # bytes for the line about what was left out


@dataclass(frozen=True)
class Proof:
    """What verifying a bundle showed.

    Attributes:
        signers: Fingerprints of the keys that signed it.
        trusted: They are known to the reader. An ephemeral key, or one that came with the bundle,
            proves nothing about who ran it.
        place: The bundle's folder.
    """

    signers: tuple[str, ...]
    trusted: bool
    place: str


def render(run: RunVerdict, proof: Proof | None = None, room: int | None = None) -> str:
    """The run as Markdown, the verdict in the first line, then the worst first.

    Args:
        run: What it came to.
        proof: In a summary, of the bundle that it is read from.
        room: Bytes that the text may take, at least `LEAST_ROOM`; None for all that it needs.
    """
    blocks = ["\n".join(block) for block in _blocks(run, proof)]
    return "\n".join(blocks if room is None else _fitting(blocks, room)) + "\n"


def _fitting(blocks: list[str], room: int) -> Iterator[str]:
    left = room - LEAST_ROOM
    for number, block in enumerate(blocks):
        left -= len(block.encode()) + 1
        if left < 0:
            yield f"\n**{len(blocks) - number} more parts are only in the report.**"
            return
        yield block


def _blocks(run: RunVerdict, proof: Proof | None) -> Iterator[Iterable[str]]:
    """What is kept or left out as a whole."""
    gates = sorted(run.gates, key=lambda gate: gate.verdict.badness, reverse=True)
    yield _facts(run)
    if proof is not None:
        yield _proof(proof)
    if run.accepted and not run.verdict.accepted:
        asked = ", ".join(gate.gate for gate in run.gates if gate.asked)
        yield [f"- what was asked for passed: {_plain(asked)}"]
    for reason in run.reasons:
        yield [f"- **{_plain(reason)}**"]
    yield [
        "",
        "| gate | verdict | cases | measured, limit | why |",
        "| --- | --- | --- | --- | --- |",
    ]
    for gate in gates:
        yield [_row(gate)]
    for gate in gates:
        for case in gate.cases:
            if case.verdict is Verdict.FAILED:
                yield _failure(case)
    if proof is None:
        yield ["", "Verify: `pytest-release verify FOLDER --key PUBLIC_KEY`."]


def _facts(run: RunVerdict) -> Iterator[str]:
    context = run.context
    before = context.release.before
    yield f"# {run.verdict.replace('_', ' ')}: {_plain(context.environment)}"
    yield ""
    yield f"- release: {_plain(str(before) if before else 'does not name itself')}"
    place = f"{context.environment}, {context.role} of {context.system}"
    yield f"- environment: {_plain(place)}"
    for subject in context.release.subjects():
        digests = ", ".join(f"{name} {value}" for name, value in subject["digest"].items())
        yield f"- subject: {_plain(subject['name'])}, {_plain(digests)}"
    yield f"- address: {_plain(context.base_url)}"
    yield f"- finished: {context.finished:%Y-%m-%d %H:%M:%S} UTC, run {context.run}"
    yield from (f"- waiver: {_plain(waiver)}" for waiver in context.waivers)


def _proof(proof: Proof) -> Iterator[str]:
    yield f"- report: {_plain(proof.place)}, every file as signed"
    yield from (f"- signed by: {_plain(signer)}" for signer in proof.signers)
    if not proof.trusted:
        yield "- **The key came with the report: the signature proves nothing about who ran it.**"


def _row(gate: GateVerdict) -> str:
    cells = (
        _plain(gate.gate) + ("" if gate.required else " (optional)"),
        gate.verdict.replace("_", " "),
        figures.counts(gate),
        "<br>".join(_plain(figures.threshold(t)) for t in gate.thresholds),
        "<br>".join(_plain(reason) for reason in gate.reasons),
    )
    return f"| {' | '.join(cells)} |"


def _failure(case: CaseVerdict) -> Iterator[str]:
    yield ""
    yield f"### {_plain(case.name)}"
    yield ""
    yield from _fenced(case.explanation)


def _fenced(text: str) -> Iterator[str]:
    """A code block whose fence is longer than any run of backticks in it."""
    shown = visible(text)
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, shown, fence)
