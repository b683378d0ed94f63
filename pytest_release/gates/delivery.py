"""What teams hand over is complete: reports answered, commits real, versions bumped, all green."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.config.validation import suggestion
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._check import concluded
from pytest_release.gates._release_papers import release_info, test_reports, versions
from pytest_release.gates._scene import Scene
from pytest_release.gates._shelf import (
    Shelf,
    flawed,
    found,
    open_answers,
    read_shelf,
    referred,
)
from pytest_release.redaction import reveal
from pytest_release.targets.git import Repository
from pytest_release.workspace.forms import Answer, Flaw, States

MOST = 50  # findings of one check that are told; the others are counted
NAMED = 10  # files that a finding names
EAST = timedelta(hours=14)  # where a day begins first
TEAMS = ("M4", "M5")


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check of the workspace and its repository.

    Raises:
        TargetError: The environment names no workspace, or it cannot be read.
    """
    desk = Desk(case, scene, datetime.now(UTC))
    told = CHECKS[case.check](desk)
    findings = list(islice(told, MOST))
    if more := sum(1 for _ in told):
        findings.append(Finding("delivery.more", f"{more} findings more are not told"))
    return concluded(case, policy, findings, desk.figures)


@dataclass
class Desk:
    """What one check works with, read when it is asked for."""

    case: CheckCase
    scene: Scene
    now: datetime

    @property
    def today(self) -> date:
        """The last day that has begun anywhere."""
        return (self.now + EAST).date()

    def _folder(self, name: str) -> Path:
        given = self.scene.environment.services.get("workspace", {})
        if name not in given:
            source = self.scene.environment.source
            raise TargetError(f"{source} names no workspace: add services.workspace.{name}")
        return Path(reveal(given[name]))

    @cached_property
    def shelf(self) -> Shelf:
        """The documents."""
        teams = tuple(self.case.expect.get("teams", TEAMS))
        return read_shelf(self._folder("directory"), teams, self.today)

    @cached_property
    def repository(self) -> Repository:
        """Where the commits are."""
        return Repository(self._folder("repository"))

    @property
    def releases(self) -> Path:
        """Folder with a folder for each release."""
        given = self.scene.environment.services.get("workspace", {})
        return self._folder("releases" if "releases" in given else "directory") / (
            "" if "releases" in given else "releases"
        )

    @property
    def states(self) -> States:
        """The states that an item may have."""
        given = self.case.expect.get("states", {})
        return replace(States(), **{kind: tuple(words) for kind, words in given.items()})

    @property
    def figures(self) -> Mapping[str, Sequence[float]]:
        """What was counted, if the documents were read."""
        shelf = self.__dict__.get("shelf")
        if shelf is None:
            return {}
        answers = sum(len(response.answers) for response in shelf.responses.values())
        return {
            "reports": (float(len(shelf.reports)),),
            "responses": (float(len(shelf.responses)),),
            "items": (float(answers),),
        }


def _reports(desk: Desk) -> Iterator[Finding]:
    shelf = desk.shelf
    yield from (found(name, flaw) for name, flaw in shelf.unfit)
    yield from flawed(shelf.reports)


def _responses(desk: Desk) -> Iterator[Finding]:
    shelf = desk.shelf
    yield from flawed(shelf.responses)
    for name, response in shelf.responses.items():
        if response.ref and shelf.answered_by(response) is None:
            yield found(name, _misreferred(shelf, name))
    for name, report in shelf.reports.items():
        said = shelf.answers_to(name)
        if not shelf.responses_to(name):
            message = f"has no response: none of {len(shelf.responses)} responses refers to it"
            yield found(name, Flaw("no-response", 0, message, f"{name[:-3]}_response.md"))
            continue
        wanted = {item.number: item for item in report.items}
        for number, item in wanted.items():
            if number not in said:
                message = f"item {number} has no row in its response: {item.text!r}"
                yield found(name, Flaw("unanswered-item", item.line, message, "a row"))
        for number, (response_name, answer) in said.items():
            if wanted and number not in wanted:
                message = f"item {number} is not in {name}, which has {', '.join(wanted)}"
                yield found(response_name, Flaw("unknown-item", answer.line, message))


def _misreferred(shelf: Shelf, name: str) -> Flaw:
    response = shelf.responses[name]
    ref, line = referred(response), response.document.fields["Ref"][0]
    report = shelf.reports.get(ref)
    if report is None:
        near = suggestion(ref, list(shelf.reports))
        message = f"refers to {ref}, and there is no such report{near}"
        return Flaw("unknown-ref", line, message, "a report of the workspace", ref)
    if report.name.topic != response.name.topic:
        message = f"is about {response.name.topic} and refers to another report, {ref}"
        return Flaw("other-ref", line, message, response.name.topic, report.name.topic)
    message = f"is of {response.name.day}, before the report that it refers to, {ref}"
    return Flaw("early-response", line, message, f"not before {report.name.day}")


def _items(desk: Desk) -> Iterator[Finding]:
    states = desk.states
    rows = [
        (name, answer)
        for name, response in desk.shelf.responses.items()
        for answer in response.answers
    ]
    for name, answer in rows:
        if answer.state not in states.all:
            near = suggestion(answer.state, states.all)
            message = f"item {answer.number} has the unknown state {answer.state!r}{near}"
            expected = " ".join(states.all)
            yield found(name, Flaw("unknown-state", answer.line, message, expected, answer.state))
        if answer.state in states.fixed and not answer.commits:
            message = f"item {answer.number} is {answer.state} and names no commit"
            yield found(name, Flaw("no-commit", answer.line, message, "a commit's id"))
    yield from _commits(desk, rows)


def _commits(desk: Desk, rows: Sequence[tuple[str, Answer]]) -> Iterator[Finding]:
    named = dict.fromkeys(commit for _, answer in rows for commit in answer.commits)
    repository = desk.repository
    lost = repository.lost(named)
    away = repository.unreleased([commit for commit in named if commit not in lost])
    for name, answer in rows:
        for commit in answer.commits:
            where = f"item {answer.number}: the commit {commit}"
            if commit in lost:
                message = f"{where} does not exist in {repository.folder}: {lost[commit]}"
                yield found(name, Flaw("commit-missing", answer.line, message, "a commit", commit))
            elif commit in away:
                message = f"{where} is not in the branch of {repository.folder}, which is at "
                message += repository.head[:10]
                yield found(name, Flaw("commit-not-released", answer.line, message))


def _open_items(desk: Desk) -> Iterator[Finding]:
    yield from (found(name, flaw) for name, flaw in open_answers(desk.shelf, desk.states))


def _repository(desk: Desk) -> Iterator[Finding]:
    repository = desk.repository
    if changed := repository.changes():
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        message = f"{len(changed)} files are not committed: {', '.join(changed[:NAMED])}{more}"
        yield found(str(repository.folder), Flaw("uncommitted", 0, message, "none"))
    ahead = repository.unpushed()
    if ahead is None:
        message = "the branch follows none, so nobody knows whether it was pushed"
        yield found(str(repository.folder), Flaw("unpushed", 0, message, "an upstream"))
    elif ahead:
        message = f"{ahead} commits are not pushed, the last is {repository.head[:10]}"
        yield found(str(repository.folder), Flaw("unpushed", 0, message, "0", str(ahead)))


def _versions(desk: Desk) -> Iterator[Finding]:
    yield from versions(desk.repository, desk.case.expect)


def _release_info(desk: Desk) -> Iterator[Finding]:
    yield from release_info(desk.repository, desk.releases, desk.case.expect, desk.today)


def _test_reports(desk: Desk) -> Iterator[Finding]:
    yield from test_reports(desk.shelf, desk.repository, desk.case.expect)


def _records(desk: Desk) -> Iterator[Finding]:
    yield from flawed(desk.shelf.records)


CHECKS: Mapping[str, Callable[[Desk], Iterator[Finding]]] = {
    "reports": _reports,
    "responses": _responses,
    "items": _items,
    "open_items": _open_items,
    "test_reports": _test_reports,
    "records": _records,
    "release_info": _release_info,
    "versions": _versions,
    "repository": _repository,
}
