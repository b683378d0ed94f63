"""What a release says of itself: its version in the sources, its info, its test report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pytest_release.evidence import Finding
from pytest_release.gates._shelf import Shelf, flawed, found
from pytest_release.targets.git import HEX, Repository
from pytest_release.workspace.forms import GREEN, Flaw
from pytest_release.workspace.naming import read_version
from pytest_release.workspace.reading import Paper, folders, read_paper
from pytest_release.workspace.releases import (
    INFO,
    INFO_TEXT,
    ReleaseInfo,
    build_versions,
    cargo_version,
    order,
    read_release_info,
    read_release_text,
)

CARGO, BUILD = "Cargo.toml", "build.rs"
OUT = "NOT_RUN"  # of a gate that nobody asked for


def version_of(repository: Repository, expect: Mapping[str, Any]) -> str | None:
    """The version that the sources have, as committed."""
    text = repository.committed(expect.get("cargo", CARGO))
    return cargo_version(text) if text is not None else None


def versions(repository: Repository, expect: Mapping[str, Any]) -> Iterator[Finding]:
    """The version is the same wherever the sources say it, and above all that was released."""
    cargo, build = expect.get("cargo", CARGO), expect.get("build", BUILD)
    version = version_of(repository, expect)
    if version is None:
        message = f"says no version, as committed in {repository.head[:10]}"
        yield found(cargo, Flaw("no-version", 0, message, 'version = "1.2.3"'))
        return
    if order(version) is None:
        message = f"has the version {version!r}, which is none"
        yield found(cargo, Flaw("bad-version", 0, message, "1.2.3", version))
    said = build_versions(repository.committed(build) or "", version)
    if not said:
        message = f"says no BUILD_VERSION, as committed in {repository.head[:10]}"
        yield found(build, Flaw("no-version", 0, message, f'BUILD_VERSION = "{version}"'))
    for other in said:
        if other != version:
            message = f"has BUILD_VERSION {other}, and {cargo} has {version}"
            yield found(build, Flaw("versions-differ", 0, message, version, other))
    yield from _bumped(repository, version, cargo)


def _bumped(repository: Repository, version: str, cargo: str) -> Iterator[Finding]:
    """A tag of the last commit is this release; all others are earlier ones."""
    tags = {v: here for tag, here in repository.tags().items() if (v := read_version(tag))}
    earlier = [v for v, here in tags.items() if order(v) and not (here and v == version)]
    last = max(earlier, key=lambda v: order(v) or (), default=None)
    mine = order(version)
    if last is not None and mine is not None and mine <= (order(last) or mine):
        message = f"has the version {version}, and v{last} was released before"
        yield found(cargo, Flaw("not-bumped", 0, message, f"above {last}", version))


def release_info(
    repository: Repository, releases: Path, expect: Mapping[str, Any], today: date
) -> Iterator[Finding]:
    """The release that the sources are has its info, in form, green, and the same in both files."""
    version = version_of(repository, expect)
    folder = releases / f"v{version}"
    if version is None or folder.name not in folders(releases):
        there = ", ".join(folders(releases)[-5:]) or "none"
        message = f"there is no release info of version {version}; releases there: {there}"
        yield found(str(releases), Flaw("no-release-info", 0, message, f"v{version}/{INFO}"))
        return
    paper, text = read_paper(folder / INFO), read_paper(folder / INFO_TEXT)
    for one in (paper, text):
        if one.problem:
            yield found(f"{folder.name}/{one.name}", Flaw("unreadable", 0, one.problem))
    if paper.problem or text.problem:
        return
    info = read_release_info(paper.text, today)
    yield from (found(f"{folder.name}/{INFO}", flaw) for flaw in info.flaws)
    if info.version and info.version != version:
        message = f"is of version {info.version}, and the sources are {version}"
        flaw = Flaw("release-differs", 1, message, version, info.version)
        yield found(f"{folder.name}/{INFO}", flaw)
    yield from _text(repository, text, info, folder.name, version)


def _text(
    repository: Repository, paper: Paper, info: ReleaseInfo, folder: str, version: str
) -> Iterator[Finding]:
    said, flaws = read_release_text(paper.text)
    name = f"{folder}/{INFO_TEXT}"
    yield from (found(name, flaw) for flaw in flaws)
    wanted = {"Release": f"v{version}", "Date": info.day}
    for key, value in wanted.items():
        if said.get(key) and said[key] != value:
            message = f"says {key}: {said[key]}, expected {value}"
            yield found(name, Flaw("release-differs", 0, message, value, said[key]))
    for package in said.get("Package", "").split():
        if package not in info.files:
            listed = ", ".join(info.files) or "none"
            message = f"names the package {package}, {INFO} lists {listed}"
            yield found(name, Flaw("package-not-listed", 0, message, package, listed))
    if commit := said.get("Git"):
        yield from _commit(repository, commit, name)


def _commit(repository: Repository, commit: str, name: str) -> Iterator[Finding]:
    if not HEX.fullmatch(commit):
        message = f"says Git: {commit}, which is no commit's id"
        yield found(name, Flaw("bad-commit", 0, message, "7 to 64 hex digits", commit))
    elif lost := repository.lost([commit]):
        message = f"the commit {commit} does not exist in {repository.folder}: {lost[commit]}"
        yield found(name, Flaw("commit-missing", 0, message, "a commit", commit))
    elif repository.unreleased([commit]):
        message = f"the commit {commit} is not in the branch of {repository.folder}"
        yield found(name, Flaw("commit-not-released", 0, message))


def test_reports(
    shelf: Shelf, repository: Repository, expect: Mapping[str, Any]
) -> Iterator[Finding]:
    """Every test report is in form; the last one is of this version, and green."""
    yield from flawed(shelf.test_reports)
    if not shelf.test_reports:
        message = "there is no test report"
        yield found("the workspace", Flaw("no-test-report", 0, message, "..._test_report.md"))
        return
    last, report = max(shelf.test_reports.items(), key=lambda named: (named[1].name.day, named[0]))
    version = version_of(repository, expect)
    if version is not None and report.release.removeprefix("v") != version:
        message = f"is the last test report, and of {report.release or 'no release'}"
        flaw = Flaw("release-differs", 0, f"{message}; the sources are {version}", version)
        yield found(last, flaw)
    red = [f"{gate} {said}" for gate, said in report.results.items() if said not in (*GREEN, OUT)]
    contradicts = report.verdict == "PASSED" and red  # whatever is required: it would have warned
    if report.verdict and (report.verdict not in GREEN or contradicts):
        why = ", ".join(red) or "no gate's result says why"
        message = f"is the last test report, and says {report.verdict}: {why}"
        yield found(last, Flaw("not-green", 0, message, " or ".join(GREEN), report.verdict))
