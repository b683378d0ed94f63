"""The sources of a release: committed, pushed, and of one version wherever they say it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pytest_release.evidence import Finding
from pytest_release.gates._preflight_stack import Stack, found, named
from pytest_release.targets.git import Repository
from pytest_release.workspace.naming import read_version
from pytest_release.workspace.releases import build_versions, cargo_version, order


def git(stack: Stack) -> Iterator[Finding]:
    """Nothing is uncommitted, unpushed or behind, on the branch that is released."""
    repository = stack.repository
    where = str(repository.folder)
    if changed := repository.changes():
        message = f"{where}: {len(changed)} files are not committed: {named(changed)}"
        yield found("uncommitted", message, "0", str(len(changed)))
    ahead, behind = repository.unpushed(), repository.behind()
    if ahead is None:
        message = f"{where}: the branch follows none, so nobody knows whether it was pushed"
        yield found("unpushed", message, "an upstream")
    elif ahead:
        message = f"{where}: {ahead} commits are not pushed, the last is {repository.head[:10]}"
        yield found("unpushed", message, "0", str(ahead))
    if behind:
        message = f"{where}: {behind} commits of the upstream are not here, as last fetched"
        yield found("behind", message, "0", str(behind))
    branch, wanted = repository.branch(), stack.expected("branch")
    if wanted is not None and branch != wanted:
        message = f"{where} is on {branch or 'no branch'}, expected {wanted}"
        yield found("other-branch", message, wanted, branch or "")


def versions(stack: Stack) -> Iterator[Finding]:
    """All files that say a version say the same, above every version released before."""
    repository = stack.repository
    said: list[tuple[str, str]] = []
    for folder in stack.option("folders", ["."]):
        prefix = "" if folder == "." else f"{folder.rstrip('/')}/"
        said += _said(repository, prefix)
    stack.count("versions", len(said))
    missing = set(stack.option("require", [])) - {file for file, _ in said}
    for file in sorted(missing):
        message = f"{file} says no version, as committed in {repository.head[:10]}"
        yield found("no-version", message, "a version")
    if not said and not missing:
        message = f"{repository.folder}: none of {', '.join(READERS)} says a version"
        yield found("no-version", message, "at least one")
    if not said:
        return
    first, version = said[0]
    for file, other in said:
        if order(other) is None:
            message = f"{file} has the version {other!r}, which is none"
            yield found("bad-version", message, "1.2.3", other)
        elif other != version:
            message = f"{file} has the version {other}, and {first} has {version}"
            yield found("versions-differ", message, version, other)
    yield from _bumped(repository, first, version)


def _bumped(repository: Repository, file: str, version: str) -> Iterator[Finding]:
    """A tag of the last commit is this release; all others are earlier ones."""
    tags = {v: here for tag, here in repository.tags().items() if (v := read_version(tag))}
    earlier = [v for v, here in tags.items() if order(v) and not (here and v == version)]
    last = max(earlier, key=lambda v: order(v) or (), default=None)
    mine = order(version)
    if last is not None and mine is not None and mine <= (order(last) or mine):
        message = f"{file} has the version {version}, and v{last} was released before"
        yield found("not-bumped", message, f"above {last}", version)


def _said(repository: Repository, prefix: str) -> Iterator[tuple[str, str]]:
    """File and version of each that says one, as committed."""
    cargo = ""
    for name, read in READERS.items():
        text = repository.committed(f"{prefix}{name}")
        for version in read(text, cargo) if text is not None else ():
            cargo = cargo or version
            yield f"{prefix}{name}", version


def _cargo(text: str, _: str) -> list[str]:
    version = cargo_version(text)
    return [version] if version is not None else []


def _pyproject(text: str, _: str) -> list[str]:
    """None where it is dynamic: then it is made from something else."""
    try:
        value: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ["unreadable"]
    tool = value.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    tables = (value.get("project"), poetry)
    versions = [table.get("version") for table in tables if isinstance(table, dict)]
    return [version for version in versions if isinstance(version, str)]


def _package(text: str, _: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ["unreadable"]
    version = value.get("version") if isinstance(value, dict) else None
    return [version] if isinstance(version, str) else []


READERS: Mapping[str, Callable[[str, str], list[str]]] = {
    "Cargo.toml": _cargo,
    "build.rs": build_versions,
    "pyproject.toml": _pyproject,
    **{f"{name}.json": _package for name in ("package", "package-lock")},
}
