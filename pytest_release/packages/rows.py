"""A further reading of a package: the rows of its tables, or the content of its members.

The first reading (`reading.read_package`) says that a package is good. Whoever reads it again must
know that it is still the same: both functions return, or compare, the archive's SHA-256 at the end,
and what was read is to be used (committed, renamed) only then.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from pytest_release.config.system import System
from pytest_release.errors import PackageError
from pytest_release.packages.archive import Archive, Entry, open_archive
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.dump import CopyBlock, read_dump
from pytest_release.packages.flaws import ContentError, shown
from pytest_release.packages.limits import DEFAULT, Limits
from pytest_release.packages.naming import parse_name


def copy_rows(
    path: Path,
    system: System,
    tables: Collection[str],
    *,
    sha256: str | None = None,
    limits: Limits = DEFAULT,
) -> Iterator[tuple[str, CopyBlock, Iterator[bytes]]]:
    """The rows of some tables, in the order of the archive.

    Args:
        path: Of the archive.
        system: Whose tables they are.
        tables: Logical names.
        sha256: Of the archive when it was verified; None not to compare.
        limits: Of what is read.

    Yields:
        The logical name, the COPY statement, and its rows: raw lines with their line feeds, many
        in one piece of bytes. They are to be read before the next is asked for.

    Raises:
        ArchiveError: The archive or a dump is flawed.
        PackageError: It cannot be read, lacks a table's file, or is no longer the same.
    """
    missing = {system.tables[name].file: name for name in tables}
    with open_archive(path, limits, top=top_folder(path, system)) as archive:
        for entry in archive.entries():
            if (name := missing.pop(entry.member, None)) is not None:
                yield from _of_table(entry, name, system, limits)
        _compare(archive, path, sha256)
    if missing:
        raise PackageError(f"the package {path} has no {', '.join(map(repr, missing))}")


def extract(
    path: Path,
    system: System,
    patterns: Iterable[str],
    sink: Callable[[Entry, Iterator[bytes]], None],
    *,
    sha256: str | None = None,
    limits: Limits = DEFAULT,
) -> tuple[str, ...]:
    """Give the content of some members to `sink`, in the order of the archive.

    Args:
        path: Of the archive.
        system: Whose package it is.
        patterns: Names below the top folder, or glob patterns of them; ``{uuid}`` stands for the
            package's own.
        sink: Takes the entry and its content in blocks.
        sha256: Of the archive when it was verified; None not to compare.
        limits: Of what is read.

    Returns:
        The names of the members that were given to it.

    Raises:
        ArchiveError: The archive is flawed; `sink` may have had a part of it.
        PackageError: It cannot be read, or is no longer the same.
    """
    top = top_folder(path, system)
    wanted = [pattern.replace("{uuid}", top) for pattern in patterns]
    names: list[str] = []
    with open_archive(path, limits, top=top) as archive:
        for entry in archive.entries():
            if any(fnmatch.fnmatchcase(entry.member, pattern) for pattern in wanted):
                names.append(entry.member)
                sink(entry, entry.blocks())
        _compare(archive, path, sha256)
    return tuple(names)


def top_folder(path: Path, system: System) -> str:
    """The folder that a package of this name has: its UUID.

    Raises:
        PackageError: It is not the name of a package.
    """
    if (name := parse_name(path.name, system.pattern)) is None:
        raise PackageError(
            f"{path} is not named like a package: expected {{uuid}}_v{{timestamp}}.tar.gz"
        )
    return name.uuid


def _of_table(
    entry: Entry, name: str, system: System, limits: Limits
) -> Iterator[tuple[str, CopyBlock, Iterator[bytes]]]:
    table = system.tables[name].table
    for copy, rows in read_dump(entry.blocks(), entry.member, limits.line):
        if copy.table != table:
            message = (
                f"{entry.member}:{copy.line}: COPY fills {shown(copy.table)!r}, expected {table!r}"
            )
            flaw = Flaw(Aspect.TABLES, "other-table", message, entry.member, table, copy.table)
            raise ContentError(flaw)
        yield name, copy, rows


def _compare(archive: Archive, path: Path, expected: str | None) -> None:
    if expected is not None and (found := archive.sha256()) != expected:
        raise PackageError(
            f"the package {path} has changed since it was verified: its SHA-256 was {expected} "
            f"and is {found}; verify it again"
        )
