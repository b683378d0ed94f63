"""What a CI product shows beside a job: GitHub's annotations, GitLab's code quality report.

Both are made of the same notes: what blocks is an error, what only warns a warning, the worst
first. Every text may be a remote server's: it can neither end its line nor begin a command.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath

from pytest_release.hostile import one_line, visible
from pytest_release.verdict import GateVerdict, RunVerdict, Verdict

SUMMARY_LIMIT = 1024 * 1024  # bytes of a step's summary; GitHub drops a larger one as a whole
MOST = 10  # errors, and warnings, that GitHub shows of a step
LONGEST_TITLE = 200  # characters
LONGEST_MESSAGE = 4000  # characters
ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Note:
    """One thing that is not PASSED.

    Attributes:
        level: `ERROR` or `WARNING`.
        verdict: What it came to.
        gate: The gate that it belongs to; empty for the release.
        subject: What it is about, the same in every run.
        title: For people.
        message: Why; may have several lines.
    """

    level: str
    verdict: Verdict
    gate: str
    subject: str
    title: str
    message: str


def notes(run: RunVerdict) -> list[Note]:
    """Errors before warnings, the worst verdict first, a gate before its cases."""
    found = [
        Note(ERROR, Verdict.FAILED, "", "release", "another release", reason)
        for reason in run.context.release.mismatches
    ]
    found += [note for gate in run.gates for note in _of_gate(gate)]
    found += [note for gate in run.gates for note in _of_cases(gate)]
    return sorted(found, key=lambda note: (note.level != ERROR, -note.verdict.badness))


def _of_gate(gate: GateVerdict) -> Iterator[Note]:
    if gate.verdict is Verdict.PASSED or not (gate.asked or gate.required or _ran(gate)):
        return
    title = f"gate {gate.gate}: {gate.verdict.replace('_', ' ')}"
    reasons = "\n".join(gate.reasons)
    yield Note(_level(gate, gate.verdict), gate.verdict, gate.gate, "gate", title, reasons)


def _of_cases(gate: GateVerdict) -> Iterator[Note]:
    """Of those that ran: why others did not, the gate says once."""
    for case in gate.cases:
        if case.verdict not in (Verdict.PASSED, Verdict.NOT_RUN):
            level = _level(gate, case.verdict)
            subject = f"case {case.case}"
            title = f"{gate.gate}: {case.name}"
            yield Note(level, case.verdict, gate.gate, subject, title, case.explanation)


def _ran(gate: GateVerdict) -> bool:
    return gate.verdict is not Verdict.NOT_RUN


def _level(gate: GateVerdict, verdict: Verdict) -> str:
    """What an optional gate comes to only warns, and so does one that nobody asked for."""
    blocks = gate.asked or (gate.required and _ran(gate))
    return ERROR if blocks and not verdict.accepted else WARNING


def commands(found: Sequence[Note]) -> Iterator[str]:
    """The notes as GitHub's workflow commands, a line each, no more than GitHub shows.

    Format: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    for level in (ERROR, WARNING):
        of_level = [note for note in found if note.level == level]
        shown = of_level if len(of_level) <= MOST else of_level[: MOST - 1]
        for note in shown:
            yield _command(level, note.title, note.message)
        if hidden := len(of_level) - len(shown):
            message = f"{hidden} more: GitHub shows no more than {MOST}; the report has them all"
            yield _command(level, f"{hidden} more", message)


def _command(level: str, title: str, message: str) -> str:
    """Escaped as GitHub's toolkit does (``packages/core/src/command.ts``)."""
    heading = _data(one_line(_cut(title, LONGEST_TITLE))).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={heading}::{_data(visible(_cut(message, LONGEST_MESSAGE)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def code_quality(run: RunVerdict, fixtures: str) -> str:
    """The notes as GitLab's code quality report: the part of Code Climate's format it documents.

    An issue stands in the file of its gate's cases where there is one of that name, otherwise in
    the environment's: evidence does not know lines.

    Args:
        run: What it came to.
        fixtures: Folder of the environments and cases, from the root of the repository.

    Format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
    """
    issues = [_issue(run, note, fixtures) for note in notes(run)]
    return json.dumps(issues, ensure_ascii=True, indent=1) + "\n"


def _issue(run: RunVerdict, note: Note, fixtures: str) -> dict[str, object]:
    environment = run.context.environment
    identity = "\0".join((environment, note.gate, note.subject))
    lines = f"{note.title}: {note.message}".splitlines()
    files = [name for name in run.context.case_digests if PurePosixPath(name).stem == note.gate]
    file = (*files, f"environments/{environment}.yaml")[0]
    return {
        "description": _cut(one_line(" / ".join(lines)), LONGEST_MESSAGE),
        "check_name": f"pytest-release/{one_line(note.gate or 'release')}",
        "fingerprint": sha256(identity.encode(errors="surrogatepass")).hexdigest(),
        "severity": _severity(note),
        "location": {"path": f"{fixtures}/{one_line(file)}", "lines": {"begin": 1}},
    }


def _severity(note: Note) -> str:
    if note.level == WARNING:
        return "minor"
    return "blocker" if note.verdict is Verdict.FAILED else "critical"
