"""The response to a report: a row for each of its items, commits that exist, files that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pytest_release.config.validation import suggestion
from pytest_release.errors import UsageError
from pytest_release.handover.papers import named, refuse_flawed
from pytest_release.targets.git import HEX, Repository
from pytest_release.workspace import writing
from pytest_release.workspace.forms import Answer, States, read_report, read_response
from pytest_release.workspace.markdown import Item
from pytest_release.workspace.naming import Kind, Name, read_name
from pytest_release.workspace.reading import read_paper

WHOLE = "1"  # number of the one item of a report that numbers none


@dataclass(frozen=True)
class Done:
    """What was done about one item: ``2=已修正:d34bcae,81fa220``."""

    number: str
    state: str
    commits: tuple[str, ...] = ()


def read_done(text: str) -> Done:
    """One ``NUMBER=STATE[:COMMIT,...]``.

    Raises:
        UsageError: It is none.
    """
    number, equals, rest = text.partition("=")
    state, _, commits = rest.partition(":")
    if not equals or not number.strip() or not state.strip():
        raise UsageError(f"--item takes NUMBER=STATE or NUMBER=STATE:COMMIT,..., got {text!r}")
    ids = tuple(commit.strip() for commit in commits.split(",") if commit.strip())
    return Done(number.strip(), state.strip(), ids)


def respond(report: Path, done: Sequence[Done], repository: Repository | None, today: date) -> Path:
    """Write the response to a report beside it; an item of which nothing is said is open.

    Args:
        report: The report's file.
        done: What was done about its items.
        repository: Where the commits are; needed when there are any.
        today: No report is of later.

    Raises:
        UsageError: The report is none, or what was done cannot be so.
        BundleError: The response is there already, or cannot be written.
    """
    name, items = _report(report, today)
    said = {one.number: one for one in done}
    if unknown := [number for number in said if number not in items]:
        raise UsageError(f"{report.name} has no item {unknown[0]}; it has {', '.join(items)}")
    _refuse(done, States(), repository)
    answers = [_answer(item, said.get(number)) for number, item in items.items()]
    commits = [commit for one in done for commit in one.commits]
    changed: Mapping[str, str] = repository.touched(commits) if repository and commits else {}
    answering = named(name.day, name.topic, Kind.RESPONSE)
    text = writing.response(name, answers, changed)
    refuse_flawed(str(answering), read_response(answering, text, today).flaws)
    writing.publish(report.with_name(str(answering)), text)
    return report.with_name(str(answering))


def _report(file: Path, today: date) -> tuple[Name, dict[str, Item]]:
    name, paper = read_name(file.name), read_paper(file)
    if name is None or name.kind is not Kind.REPORT:
        raise UsageError(f"{file.name} is no report's name: expected YYYY-MM-DD_<topic>.md")
    if paper.problem:
        raise UsageError(f"{file} {paper.problem}")
    report = read_report(name, paper.text, (), today)
    for flaw in report.flaws:
        if flaw.code == "item-twice":
            raise UsageError(f"{file.name}:{flaw.line}: {flaw.message}; number them anew")
    items = report.items or (Item(WHOLE, report.document.title or name.topic, 1),)
    return name, {item.number: item for item in items}


def _refuse(done: Sequence[Done], states: States, repository: Repository | None) -> None:
    """States that nobody knows, fixes without a commit, commits that do not exist."""
    for one in done:
        if one.state not in states.all:
            near = suggestion(one.state, states.all)
            known = " ".join(states.all)
            raise UsageError(f"item {one.number}: unknown state {one.state!r}{near}; {known}")
        if one.state in states.fixed and not one.commits:
            raise UsageError(f"item {one.number} is {one.state}: say which commit did it")
        for commit in one.commits:
            if not HEX.fullmatch(commit):
                raise UsageError(f"item {one.number}: {commit!r} is no commit's id in hex")
    commits = [commit for one in done for commit in one.commits]
    if commits and repository is None:
        raise UsageError("commits are looked up: say where with --repository DIR")
    lost = repository.lost(commits) if repository else {}
    for commit, what in lost.items():
        raise UsageError(f"{repository.folder} has no commit {commit}: {what}")  # type: ignore[union-attr]


def _answer(item: Item, done: Done | None) -> Answer:
    state = done.state if done else States().open[0]
    return Answer(item.number, item.text, state, done.commits if done else (), item.line)
