"""The documents of a workspace, sorted by what they are; what belongs to which report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut
from pytest_release.hostile import one_line
from pytest_release.workspace.forms import (
    Answer,
    Flaw,
    Form,
    Record,
    Report,
    Response,
    States,
    TestReport,
    read_record,
    read_report,
    read_response,
    read_test_report,
)
from pytest_release.workspace.naming import Kind, read_name
from pytest_release.workspace.reading import Paper, papers, shown


@dataclass
class Shelf:
    """What a workspace holds.

    Attributes:
        reports: By file name, and so the others.
        unfit: Files that are none of these, and why.
    """

    reports: dict[str, Report] = field(default_factory=dict)
    responses: dict[str, Response] = field(default_factory=dict)
    test_reports: dict[str, TestReport] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    unfit: list[tuple[str, Flaw]] = field(default_factory=list)

    def responses_to(self, report: str) -> list[Response]:
        """The responses to a report, the oldest first."""
        found = [r for r in self.responses.values() if self.answered_by(r) == report]
        return sorted(found, key=lambda response: response.name.day)

    def answered_by(self, response: Response) -> str | None:
        """The report that a response refers to rightly: of its own topic, and not of later."""
        ref = referred(response)
        report = self.reports.get(ref)
        if report is None or report.name.topic != response.name.topic:
            return None
        return ref if report.name.day <= response.name.day else None

    def answers_to(self, report: str) -> dict[str, tuple[str, Answer]]:
        """By number the last that was said of each item, and in which response."""
        said: dict[str, tuple[str, Answer]] = {}
        for response in self.responses_to(report):
            said |= {a.number: (str(response.name), a) for a in response.answers}
        return said


def referred(response: Response) -> str:
    """The file name that a response refers to, however it is written."""
    ref = response.ref.strip("[]<>").split("](")[0].rsplit("/", 1)[-1]
    return ref if not ref or ref.endswith(".md") else f"{ref}.md"


def read_shelf(folder: Path, teams: tuple[str, ...], today: date) -> Shelf:
    """The documents of a folder.

    Raises:
        TargetError: It cannot be listed, or holds too much.
    """
    shelf = Shelf()
    for paper in papers(folder):
        _shelve(shelf, paper, teams, today)
    return shelf


def _shelve(shelf: Shelf, paper: Paper, teams: tuple[str, ...], today: date) -> None:
    name = read_name(paper.name)
    if paper.problem:
        shelf.unfit.append((paper.name, Flaw("unreadable", 0, paper.problem)))
    elif name is None:
        expected = "YYYY-MM-DD_<topic>.md, ..._response.md, ..._test_report.md, ..._record.md"
        message = "has a name that does not fit"
        shelf.unfit.append((paper.name, Flaw("bad-name", 0, message, expected, paper.name)))
    elif name.kind is Kind.REPORT:
        shelf.reports[paper.name] = read_report(name, paper.text, teams, today)
    elif name.kind is Kind.RESPONSE:
        shelf.responses[paper.name] = read_response(name, paper.text, today)
    elif name.kind is Kind.TEST_REPORT:
        shelf.test_reports[paper.name] = read_test_report(name, paper.text, today)
    else:
        shelf.records[paper.name] = read_record(name, paper.text, today)


def flawed(forms: Mapping[str, Form]) -> Iterator[Finding]:
    """A finding for each flaw of some documents."""
    for name, form in forms.items():
        yield from (found(name, flaw) for flaw in form.flaws)


def found(file: str, flaw: Flaw) -> Finding:
    """A flaw with its place; whatever a document says is cut and made harmless."""
    place = f"{shown(file)}:{flaw.line}" if flaw.line else shown(file)
    return Finding(
        f"delivery.{flaw.code}",
        f"{place}: {one_line(cut(flaw.message))}",
        expected=cut(flaw.expected),
        received=cut(flaw.received),
    )


def open_answers(shelf: Shelf, states: States) -> Iterator[tuple[str, Flaw]]:
    """What of each report is not done: an item without an answer, or in a state that is open.

    A state that nobody knows is open, too.
    """
    done = {*states.fixed, *states.closed}
    for name, report in shelf.reports.items():
        said = shelf.answers_to(name)
        if not said:
            flaw = Flaw("open-item", 0, "is open as a whole: it has no response", "a response")
            yield name, flaw
            continue
        for item in report.items:
            if item.number not in said:
                message = f"item {item.number} is open: nobody answered {item.text!r}"
                yield name, Flaw("open-item", item.line, message, "an answer")
        for number, (response, answer) in said.items():
            if answer.state not in done:
                message = f"item {number} is open: {answer.state or 'no state'}, {answer.text!r}"
                expected = " or ".join((*states.fixed, *states.closed))
                yield response, Flaw("open-item", answer.line, message, expected, answer.state)
