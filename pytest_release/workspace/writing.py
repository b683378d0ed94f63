"""Writes documents in the forms that `forms` and `releases` read.

Every text is made one harmless line and escaped, whatever is in it; texts and lists are cut at
lengths that the reader takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pytest_release.atomic import write_new
from pytest_release.errors import BundleError
from pytest_release.hostile import markdown, one_line
from pytest_release.workspace import forms, releases
from pytest_release.workspace.forms import Answer
from pytest_release.workspace.naming import Name
from pytest_release.workspace.reading import read_paper

LONGEST = 500  # characters of one text
MOST = 500  # rows of a table, or items of a list
NONE = "none"
ESCAPED = r"\1\\."
_NUMBER = re.compile(r"^([0-9]{1,9})\.")  # would begin a list within the item


@dataclass(frozen=True)
class Run:
    """What the documents say of a verified run.

    Attributes:
        version: Of the release, without a leading v.
        commit: Of the release, in hex.
        bundle: SHA-256 of the attestation.
        signed: Who signed it, and what that proves.
        results: Of each gate: name, verdict, cases, why.
    """

    version: str
    commit: str
    environment: str
    verdict: str
    bundle: str
    signed: str
    results: Sequence[tuple[str, str, str, str]]


def clean(text: str) -> str:
    """A text as the reader gives it back: one harmless line without spaces around it, cut."""
    line = one_line(text).strip()
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def response(ref: Name, answers: Sequence[Answer], changed: Mapping[str, str]) -> str:
    """A response to a report.

    Args:
        ref: Of the report.
        answers: A row each.
        changed: What was changed in each file.
    """
    rows = [
        (a.number, a.text, a.state, _Raw(" ".join(f"`{commit}`" for commit in a.commits) or "—"))
        for a in answers
    ]
    return _text(
        f"# Response: {_cell(ref.topic)}",
        _fields({forms.REF: f"`{ref}`"}),
        f"## {forms.FIXED}",
        _table(forms.FIXED_COLUMNS, rows),
        f"## {forms.CHANGED}",
        _table(forms.CHANGED_COLUMNS, list(changed.items()) or [("—", "—")]),
    )


def test_report(
    topic: str, day: date, teams: tuple[str, str], run: Run, verification: Mapping[str, str]
) -> str:
    """What a verified run came to.

    Args:
        topic: For the title.
        day: Of the report.
        teams: Who reports, to whom.
        run: What it came to.
        verification: What was counted, by name.
    """
    return _text(
        f"# Test report: {_cell(topic)}",
        _fields(
            {
                forms.DATE: str(day),
                forms.FROM: _cell(teams[0]),
                forms.TO: _cell(teams[1]),
                forms.RELEASE: f"`v{run.version}`",
                forms.GIT: f"`{run.commit}`",
                "Environment": _cell(run.environment),
                forms.BUNDLE: f"`{run.bundle}`",
                "Signed by": _cell(run.signed),
                forms.VERDICT: run.verdict.replace("_", " "),
            }
        ),
        f"## {forms.RESULTS}",
        _table(forms.RESULT_COLUMNS, run.results),
        f"## {releases.VERIFICATION}",
        _list(f"{name}: {value}" for name, value in verification.items()),
    )


def release_info(
    version: str,
    day: date,
    changes: Sequence[str],
    files: Mapping[str, str],
    verification: Mapping[str, str],
) -> str:
    """RELEASE_INFO.md.

    Args:
        version: Without a leading v.
        day: Of the release.
        changes: A sentence each.
        files: SHA-256 by name.
        verification: By the names of `releases.LINES`.
    """
    rows = [(name, _Raw(f"`{digest}`")) for name, digest in files.items()]
    return _text(
        f"# Release v{version} — {day}",
        f"## {releases.CHANGES}",
        _list(changes),
        f"## {releases.FILES}",
        _table(("File", "SHA-256"), rows),
        f"## {releases.VERIFICATION}",
        _list(f"{name}: {verification[name]}" for name in releases.LINES),
    )


def release_text(version: str, day: date, commit: str, packages: Sequence[str]) -> str:
    """RELEASE_INFO.txt."""
    values = (f"v{version}", str(day), commit, " ".join(packages))
    pairs = zip(releases.TEXT_KEYS, values, strict=True)
    return "".join(f"{key}: {one_line(value)}\n" for key, value in pairs)


@dataclass(frozen=True)
class GoLive:
    """What people say of a release.

    Attributes:
        texts: Sentences by section: added, improved, fixed, configuration, problems, measures,
            follow-up.
    """

    who: str
    team: str
    status: str
    texts: Mapping[str, Sequence[str]]


def record(now: datetime, run: Run, said: GoLive, checks: Sequence[tuple[str, str, str]]) -> str:
    """The record of a release.

    Args:
        now: When it went live.
        run: That judged it.
        said: By people.
        checks: Name, verdict and why.
    """
    parts = []
    for title in forms.RECORD_SECTIONS:
        parts.append(f"## {title}")
        if title == forms.CHECKS:
            parts.append(_table(forms.CHECK_COLUMNS, checks))
        else:
            parts.append(_list(said.texts.get(title, ())))
    return _text(
        f"# Release record v{run.version}",
        _fields(
            {
                forms.VERSION: f"`v{run.version}`",
                forms.TIME: f"{now:%Y-%m-%d %H:%M:%S} UTC",
                forms.WHO: _cell(said.who),
                forms.TEAM: _cell(said.team),
                forms.STATUS: said.status,
                forms.GIT: f"`{run.commit}`",
                forms.BUNDLE: f"`{run.bundle}`",
                "Signed by": _cell(run.signed),
            }
        ),
        *parts,
    )


def publish(file: Path, text: str) -> None:
    """Give a document its name, whole; what is there already stays as it is.

    The same text once more is no error: who was interrupted begins again.

    Raises:
        BundleError: Another file of that name is there, or it cannot be written.
    """
    try:
        if not file.parent.is_dir():
            file.parent.mkdir(parents=True)
        write_new(file, text.encode())
    except FileExistsError:
        if _same(file, text):
            return
        raise BundleError(
            f"{file} is there already and may be a person's work: move it away, or choose another "
            "name"
        ) from None
    except OSError as error:
        raise BundleError(f"{file} cannot be written: {error.strerror}") from None


def _same(file: Path, text: str) -> bool:
    paper = read_paper(file)
    return not paper.problem and paper.text == text


class _Raw(str):
    """A cell that is Markdown already."""

    __slots__ = ()


def _cell(text: str) -> str:
    return text if isinstance(text, _Raw) else markdown(clean(text))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(cell) for cell in row] for row in rows[:MOST]]
    if len(rows) > MOST:
        lines.append(["…", f"{len(rows) - MOST} more", *[""] * (len(columns) - 2)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(texts: Iterable[str]) -> str:
    every = [text for text in texts if clean(text)] or [NONE]
    shown = [f"- {_NUMBER.sub(ESCAPED, _cell(text))}" for text in every[:MOST]]
    more = [f"- {len(every) - MOST} more"] if len(every) > MOST else []
    return "\n".join([*shown, *more])


def _fields(values: Mapping[str, str]) -> str:
    """A line each; the backslash keeps them apart where Markdown is rendered."""
    return "\\\n".join(f"**{name}**: {value}" for name, value in values.items())


def _text(*blocks: str) -> str:
    return "\n\n".join(blocks) + "\n"
