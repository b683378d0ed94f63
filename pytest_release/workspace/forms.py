"""The prescribed forms: a report, its response, a test report, and what of each is not in form.

The headings are those that the teams use, Chinese ones included. Writing and reading share them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from pytest_release.workspace.markdown import Document, Item, Table, plain, read, same
from pytest_release.workspace.naming import Name

DATE, FROM, TO, REF = "Date", "From", "To", "Ref"
BUG, FIX = "Bug / 建議", "Fix 建議"
FIXED, CHANGED = "修正", "檔案變更"
FIXED_COLUMNS = ("#", "項目", "狀態", "Commit")
CHANGED_COLUMNS = ("檔案", "說明")
RESULTS = "測試結果"
RESULT_COLUMNS = ("Gate", "結果", "案例", "說明")
RELEASE, GIT, BUNDLE, VERDICT = "Release", "Git", "Bundle", "Verdict"
TIME, WHO, TEAM, VERSION, STATUS = "Time", "Who", "Team", "Version", "Status"
RECORD_FIELDS = (VERSION, TIME, WHO, TEAM, STATUS, BUNDLE)
STATUSES = ("success", "partial", "failed")
CHECKS, CHECK_COLUMNS = "Checks", ("Check", "Result", "Why")
ADDED, IMPROVED, CORRECTED, CONFIGURATION = "Added", "Improved", "Fixed", "Configuration"
PROBLEMS, MEASURES, FOLLOW_UP = "Problems", "Measures", "Follow-up"
RECORD_SECTIONS = (
    ADDED,
    IMPROVED,
    CORRECTED,
    CONFIGURATION,
    CHECKS,
    PROBLEMS,
    MEASURES,
    FOLLOW_UP,
)
VERDICTS = ("PASSED", "WARNED", "FAILED", "INCOMPLETE", "NOT_RUN")
GREEN = ("PASSED", "WARNED")
NOTHING = frozenset({"", "-", "–", "—", "無", "none", "n/a"})  # noqa: RUF001 - people write it
_HEX = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{7,64}(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Flaw:
    """One thing of a document that is not in form.

    Attributes:
        code: Kebab case.
        line: Counted from 1; 0 where it is of the whole document.
        message: What is wrong, to stand behind the document's name.
    """

    code: str
    line: int
    message: str
    expected: str = ""
    received: str = ""


@dataclass(frozen=True)
class States:
    """The states that an item may have.

    Attributes:
        fixed: Something was changed: there must be a commit.
        closed: Nothing is going to be changed.
        open: It blocks a public release.
    """

    fixed: tuple[str, ...] = ("已修正", "已完成")
    closed: tuple[str, ...] = ("已回覆", "不修正", "無法重現", "重複")
    open: tuple[str, ...] = ("待處理", "處理中", "待確認")

    @property
    def all(self) -> tuple[str, ...]:
        """Every known state."""
        return (*self.fixed, *self.closed, *self.open)


@dataclass(frozen=True)
class Answer:
    """One row of a response's table.

    Attributes:
        commits: Abbreviated or whole ids, in hex.
        line: Of the row.
    """

    number: str
    text: str
    state: str
    commits: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Form:
    """A document as one of its forms, and what of it is not in form."""

    name: Name
    document: Document
    flaws: tuple[Flaw, ...] = ()


@dataclass(frozen=True)
class Report(Form):
    """What one team found; its items are the numbered ones under its first heading."""

    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Response(Form):
    """What the other team did about a report.

    Attributes:
        ref: File name of the report; empty when it names none.
    """

    ref: str = ""
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True)
class TestReport(Form):
    """What a run came to.

    Attributes:
        results: Verdict of each gate.
    """

    __test__ = False  # pytest takes the name for a test

    verdict: str = ""
    release: str = ""
    results: Mapping[str, str] = field(default_factory=dict)


def read_report(name: Name, text: str, teams: Sequence[str], today: date) -> Report:
    """A report, whatever of it is in form.

    Args:
        name: Of its file.
        text: Of its file.
        teams: Who may write to whom.
        today: The last day that may be.
    """
    document = read(text)
    found = [*_dated(name, document, today), *_teams(document, teams)]
    found += _sections(document, (BUG, FIX))
    section = document.section(BUG)
    items = section.items if section else ()
    found += _numbers((item.number, item.line) for item in items)
    return Report(name, document, tuple(found), items)


def read_response(name: Name, text: str, today: date) -> Response:
    """A response, whatever of it is in form."""
    document = read(text)
    found = [*_dated(name, document, today, needed=False)]
    found += _sections(document, (FIXED, CHANGED))
    line, ref = document.fields.get(REF, (0, ""))
    if not ref:
        message = f"does not say which report it answers: **{REF}** is missing"
        found.append(Flaw("missing-field", line, message, f"**{REF}**: NAME.md"))
    table = _table(document, FIXED, FIXED_COLUMNS, found)
    _table(document, CHANGED, CHANGED_COLUMNS, found)
    answers = tuple(_answers(table, found)) if table else ()
    found += _numbers((answer.number, answer.line) for answer in answers)
    return Response(name, document, tuple(found), ref, answers)


def read_test_report(name: Name, text: str, today: date) -> TestReport:
    """A test report, whatever of it is in form."""
    document = read(text)
    found = [*_dated(name, document, today), *_sections(document, (RESULTS,))]
    values = {key: document.fields.get(key, (0, ""))[1] for key in (RELEASE, GIT, BUNDLE, VERDICT)}
    found += _missing(document, tuple(values))
    if values[BUNDLE] and not re.fullmatch("[0-9a-f]{64}", values[BUNDLE]):
        line = document.fields[BUNDLE][0]
        message = f"**{BUNDLE}** is no SHA-256 of an attestation"
        found.append(Flaw("bad-field", line, message, "64 hex digits", values[BUNDLE]))
    table = _table(document, RESULTS, RESULT_COLUMNS, found)
    results = dict(_results(table, found)) if table else {}
    return TestReport(
        name, document, tuple(found), values[VERDICT].replace(" ", "_"), values[RELEASE], results
    )


def _results(table: Table, found: list[Flaw]) -> Iterator[tuple[str, str]]:
    for row in table.rows:
        gate, verdict, *_ = map(plain, row.cells)
        if verdict.replace(" ", "_") not in VERDICTS:
            message = f"the result of {gate} is {verdict!r}, which is no verdict"
            found.append(Flaw("bad-cell", row.line, message, " ".join(VERDICTS), verdict))
        yield gate, verdict.replace(" ", "_")


def _dated(name: Name, document: Document, today: date, *, needed: bool = True) -> Iterator[Flaw]:
    """The title, and the day: as the name says, and not to come."""
    if not document.title:
        yield Flaw("no-title", 0, "has no title", "# TITLE")
    if name.day > today:
        message = f"is of {name.day}, which is to come"
        yield Flaw("future-date", 0, message, f"at most {today}", str(name.day))
    line, day = document.fields.get(DATE, (0, ""))
    if not day and needed:
        yield Flaw("missing-field", line, f"has no **{DATE}**", f"**{DATE}**: {name.day}")
    elif day and day != str(name.day):
        message = f"says **{DATE}**: {day}, its name says {name.day}"
        yield Flaw("other-date", line, message, str(name.day), day)


def _missing(document: Document, keys: Sequence[str]) -> Iterator[Flaw]:
    for key in keys:
        if not document.fields.get(key, (0, ""))[1]:
            yield Flaw("missing-field", 0, f"has no **{key}**", f"**{key}**: ...")


def _teams(document: Document, teams: Sequence[str]) -> Iterator[Flaw]:
    said = []
    for key in (FROM, TO):
        line, team = document.fields.get(key, (0, ""))
        if not team:
            yield Flaw("missing-field", line, f"has no **{key}**", f"**{key}**: TEAM")
        elif team not in teams:
            message = f"says **{key}**: {team}, which is no team"
            yield Flaw("unknown-team", line, message, " ".join(teams), team)
        said.append(team)
    if said[0] and said[0] == said[1]:
        line = document.fields[TO][0]
        yield Flaw("unknown-team", line, f"is from {said[0]} to itself", "another team", said[1])


def _sections(document: Document, titles: Sequence[str]) -> Iterator[Flaw]:
    for title in titles:
        section = document.section(title)
        if section is None:
            there = ", ".join(s.title for s in document.sections) or "none"
            yield Flaw("missing-heading", 0, f"has no heading ## {title}", f"## {title}", there)
        elif section.empty:
            yield Flaw("empty-section", section.line, f"has nothing under ## {title}", "a text")


def _table(
    document: Document, title: str, columns: Sequence[str], found: list[Flaw]
) -> Table | None:
    """The rows of all tables under a title, each of which has these columns in order."""
    section = document.section(title)
    if section is None or section.empty:
        return None  # said already
    wanted = tuple(map(same, columns))
    if not section.tables:
        message = f"there is no table under ## {title}"
        found.append(Flaw("missing-table", section.line, message, " | ".join(wanted)))
        return None
    found += [_other(t, title, wanted) for t in section.tables if t.columns != wanted]
    rows = [row for table in section.tables if table.columns == wanted for row in table.rows]
    line = section.tables[0].line
    if not rows and all(table.columns == wanted for table in section.tables):
        message = f"the table under ## {title} has no row"
        found.append(Flaw("empty-section", line, message, "a row"))
    return Table(line, wanted, tuple(rows))


def _other(table: Table, title: str, wanted: Sequence[str]) -> Flaw:
    lost = [column for column in wanted if column not in table.columns]
    what = f"has no column {', '.join(lost)}" if lost else "has other columns"
    message = f"the table under ## {title} {what}"
    received = " | ".join(table.columns)
    return Flaw("missing-column", table.line, message, " | ".join(wanted), received)


def _answers(table: Table, found: list[Flaw]) -> Iterator[Answer]:
    for row in table.rows:
        number, text, state, commit = row.cells
        ids, rest = commits(commit)
        if rest:
            message = f"item {plain(number)}: the commit {plain(commit)!r} is no commit's id"
            found.append(Flaw("bad-commit", row.line, message, "7 to 64 hex digits", rest))
        if not plain(number) or not plain(text):
            message = f"the row {plain(number) or '?'} has an empty cell"
            found.append(Flaw("bad-cell", row.line, message, "a number and what it is"))
        yield Answer(plain(number).lstrip("#"), plain(text), plain(state), ids, row.line)


def commits(cell: str) -> tuple[tuple[str, ...], str]:
    """The ids in a cell, and what in it is neither an id nor what may stand around one."""
    if plain(cell).lower() in NOTHING:
        return (), ""
    text = re.sub(r"\]\([^)\s]*\)", " ", cell)  # a link's address, not its text
    ids = tuple(dict.fromkeys(_HEX.findall(text)))
    rest = re.sub(r"[\s`*_,;、\[\]()]+", " ", _HEX.sub(" ", text)).strip()
    return ids, rest or ("" if ids else plain(cell))


def _numbers(numbered: Iterator[tuple[str, int]]) -> Iterator[Flaw]:
    """No number stands twice: nobody could say which of them is meant."""
    first: dict[str, int] = {}
    for number, line in numbered:
        if number in first:
            message = f"item {number} stands twice, first in line {first[number]}"
            yield Flaw("item-twice", line, message, "one", "two")
        first.setdefault(number, line)


@dataclass(frozen=True)
class Record(Form):
    """What was done at a release, by whom, and how it went."""

    status: str = ""


def read_record(name: Name, text: str, today: date) -> Record:
    """A record, whatever of it is in form."""
    document = read(text)
    found = [*_dated(name, document, today, needed=False), *_sections(document, RECORD_SECTIONS)]
    found += _missing(document, RECORD_FIELDS)
    line, status = document.fields.get(STATUS, (0, ""))
    if status and status not in STATUSES:
        message = f"has the status {status!r}"
        found.append(Flaw("bad-field", line, message, " ".join(STATUSES), status))
    table = _table(document, CHECKS, CHECK_COLUMNS, found)
    for row in table.rows if table else ():
        result = plain(row.cells[1]).replace(" ", "_")
        if result not in VERDICTS:
            message = f"the result of {plain(row.cells[0])} is {result!r}, which is no verdict"
            found.append(Flaw("bad-cell", row.line, message, " ".join(VERDICTS), result))
    return Record(name, document, tuple(found), status)
