"""A release's own documents: RELEASE_INFO.md, RELEASE_INFO.txt, and the version in its sources."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from pytest_release.workspace.forms import GREEN, Flaw
from pytest_release.workspace.markdown import Section, plain, read
from pytest_release.workspace.naming import read_version

INFO, INFO_TEXT = "RELEASE_INFO.md", "RELEASE_INFO.txt"
CHANGES, FILES, VERIFICATION = "Changes", "Files", "Verification"
DEPLOY_TEST, API_TEST, GRAPH = "Deploy test", "API test", "TKG nodes/edges"
COUNTS = ("Chunks", "Faces", "Identities")
LINES = (DEPLOY_TEST, API_TEST, *COUNTS, GRAPH)
TEXT_KEYS = ("Release", "Date", "Git", "Package")
LONGEST = 1_000  # characters of a line of code that are looked at
_TITLE = re.compile(r"Release (?P<version>v\S+) [—–-] (?P<day>\S+)")  # noqa: RUF001 - a dash is one
_PAIR = re.compile(r"(?P<whole>[0-9]{1,15})\s*/\s*(?P<other>[0-9]{1,15})")
_SEMVER = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})\.([0-9]{1,9})(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
_BUILD = re.compile(r"BUILD_VERSION\b[^\n]*?[=\"]\s*\"?(?P<version>[0-9]+\.[0-9]+\.[0-9]+[\w.+-]*)")
_BY_CARGO = re.compile(r"BUILD_VERSION\b[^\n]*CARGO_PKG_VERSION")


@dataclass(frozen=True)
class ReleaseInfo:
    """What RELEASE_INFO.md says, and what of it is not in form.

    Attributes:
        files: Names in the table of files.
        verification: Value by what was verified.
    """

    version: str = ""
    day: str = ""
    files: tuple[str, ...] = ()
    verification: Mapping[str, str] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()


def read_release_info(text: str, today: date) -> ReleaseInfo:
    """The release info of a text, whatever of it is in form."""
    document = read(text)
    found: list[Flaw] = []
    match = _TITLE.fullmatch(document.title)
    version = read_version(match["version"]) if match else None
    day = match["day"] if match else ""
    if version is None:
        expected = "# Release v{version} — {date}"
        message = f"is titled {document.title!r}"
        found.append(Flaw("bad-title", 1, message, expected, document.title))
    elif not _past(day, today):
        message = f"is of {day!r}, which is no day until {today}"
        found.append(Flaw("future-date", 1, message, f"at most {today}", day))
    for title in (CHANGES, FILES, VERIFICATION):
        section = document.section(title)
        if section is None:
            found.append(Flaw("missing-heading", 0, f"has no heading ## {title}", f"## {title}"))
        elif section.empty:
            message = f"has nothing under ## {title}"
            found.append(Flaw("empty-section", section.line, message, "a text"))
    listed = document.section(FILES)
    files = [plain(row.cells[0]) for t in (listed.tables if listed else ()) for row in t.rows]
    section = document.section(VERIFICATION)
    said = dict(_said(section)) if section else {}
    found += _verified(said, section.line) if section else []
    return ReleaseInfo(version or "", day, tuple(files), said, tuple(found))


def _past(day: str, today: date) -> bool:
    try:
        return date.fromisoformat(day) <= today
    except ValueError:
        return False


def _said(section: Section) -> Iterator[tuple[str, str]]:
    """``name: value`` lines, and rows of two cells."""
    for line in section.lines:
        name, colon, value = line.partition(":")
        if colon:
            yield plain(name), plain(value)
    for table in section.tables:
        for row in table.rows:
            if len(row.cells) >= 2:
                yield plain(row.cells[0]), plain(row.cells[1])


def _verified(said: Mapping[str, str], line: int) -> Iterator[Flaw]:
    for name in LINES:
        if name not in said:
            yield Flaw("not-verified", line, f"does not say what {name} came to", name)
    if (deployed := said.get(DEPLOY_TEST)) is not None and deployed not in GREEN:
        message = f"says {DEPLOY_TEST}: {deployed}"
        yield Flaw("deploy-test", line, message, " or ".join(GREEN), deployed)
    if (tests := said.get(API_TEST)) is not None:
        match = _PAIR.fullmatch(tests)
        if match is None or match["whole"] != match["other"] or int(match["whole"]) == 0:
            yield Flaw("api-test", line, f"says {API_TEST}: {tests}", "all of them", tests)
    for name in COUNTS:
        count = said.get(name)
        if count is not None and not re.fullmatch("[0-9]{1,15}", count):
            yield Flaw("not-verified", line, f"says {name}: {count}", "a number", count)
    if (graph := said.get(GRAPH)) is not None:
        match = _PAIR.fullmatch(graph)
        if match is None or 0 in (int(match["whole"]), int(match["other"])):
            yield Flaw("graph", line, f"says {GRAPH}: {graph}", "both above 0", graph)


def read_release_text(text: str) -> tuple[dict[str, str], tuple[Flaw, ...]]:
    """The keys of RELEASE_INFO.txt, and what of it is not in form."""
    said: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            said.setdefault(name.strip(), value.strip())
    lost = [key for key in TEXT_KEYS if not said.get(key)]
    flaws = (Flaw("missing-field", 0, f"has no {key}", f"{key}: ...") for key in lost)
    return said, tuple(flaws)


def cargo_version(text: str) -> str | None:
    """The version of a Cargo.toml, of the package or of its workspace; None when it has none."""
    try:
        value = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    workspace = value.get("workspace")
    for table in (value, workspace if isinstance(workspace, dict) else {}):
        package = table.get("package")
        version = package.get("version") if isinstance(package, dict) else None
        if isinstance(version, str):
            return version
    return None


def build_versions(text: str, cargo: str) -> list[str]:
    """Every version that a build.rs gives BUILD_VERSION; Cargo's where it is taken from there."""
    lines = (line[:LONGEST] for line in text.splitlines())
    code = [line for line in lines if not line.lstrip().startswith("//")]
    found = [match["version"] for line in code if (match := _BUILD.search(line))]
    found += [cargo for line in code if _BY_CARGO.search(line)]
    return list(dict.fromkeys(found))


Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


def order(version: str) -> Order | None:
    """What versions are compared by (semver.org, 11); None for what is no version.

    A pre-release comes before its release; its numeric parts compare as numbers, before others.
    """
    match = _SEMVER.fullmatch(version)
    if match is None:
        return None
    parts = (match[4] or "").split(".")
    later = tuple((not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts)
    return int(match[1]), int(match[2]), int(match[3]), match[4] is None, later
