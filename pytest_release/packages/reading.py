"""One pass over a package: what is in it, and everything that is wrong with it.

* The archive is read once, as a stream; only the SQLite file is written to disk, without a name.
* What is wrong in one member does not keep the others from being read; what is wrong with the
  archive itself ends the reading, and then `Package.complete` is False.
* Nothing in a package raises: a `PackageError` is about the file, or about this machine.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from pytest_release.config.system import PackageLayout, System
from pytest_release.errors import PackageError
from pytest_release.packages.agreement import disagreements
from pytest_release.packages.archive import Archive, Entry, open_archive
from pytest_release.packages.contents import Aspect, Flaw, Member, Package, VectorTableContents
from pytest_release.packages.documents import read_document, read_name
from pytest_release.packages.dump import read_dump
from pytest_release.packages.files import HEAD, check_library, check_script, check_video
from pytest_release.packages.flaws import ArchiveError, ContentError, FlawList, shown
from pytest_release.packages.layout import Kind, Plan
from pytest_release.packages.limits import DEFAULT, Limits
from pytest_release.packages.naming import parse_name
from pytest_release.packages.sidecars import check_owner, read_sidecar
from pytest_release.packages.stream import Digest
from pytest_release.packages.tables import TableReader
from pytest_release.packages.vector_file import Look, look_into

SMALL = 32 * 1024  # bytes that are hashed sooner than they are handed to another thread
Progress = Callable[[int, int], None]


def read_package(
    path: Path,
    system: System,
    limits: Limits = DEFAULT,
    progress: Progress | None = None,
) -> Package:
    """Read a package once, from its start to its end.

    Args:
        path: Of the archive.
        system: Whose package it is.
        limits: Of what is read.
        progress: Is told, now and then, how many bytes of how many were read.

    Raises:
        PackageError: The file cannot be read, the system has no packages, or the SQLite file
            cannot be put aside.
    """
    if system.package is None:
        raise PackageError(f"the system {system.name} has no packages: {system.source}")
    began = time.perf_counter()
    name = parse_name(path.name, system.pattern)
    uuid = name.uuid if name else ""
    with open_archive(path, limits, top=uuid or None) as archive, ExitStack() as resources:
        reading = _Reading(archive, system, system.package, uuid, limits, resources)
        if name is None:
            expected = "{uuid}_v{timestamp}.tar.gz"
            message = f"the file is named {shown(path.name)!r}, expected {expected}"
            flaw = Flaw(Aspect.LAYOUT, "bad-name", message, "", expected, shown(path.name))
            reading.flaws.add(flaw)
        complete = reading.read(progress)
        sha256 = archive.sha256()
        return reading.package(path, uuid, sha256, complete=complete, began=began)


@dataclass
class _Reading:
    """What is known so far."""

    archive: Archive
    system: System
    layout: PackageLayout
    uuid: str
    limits: Limits
    resources: ExitStack
    flaws: FlawList = field(default_factory=FlawList)
    items: dict[str, int] = field(default_factory=dict)
    vector_tables: dict[str, VectorTableContents] = field(default_factory=dict)
    info: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self.plan = Plan(self.system, self.layout, self.uuid)
        self._members: list[tuple[Entry, Digest]] = []
        self._tables: dict[str, TableReader] = {}
        self._broken: set[str] = set()  # members that could not be read to their end
        self._look: Look | None = None

    def read(self, progress: Progress | None) -> bool:
        """Read every member, and say whether that was possible."""
        try:
            for entry in self.archive.entries():
                self._entry(entry, progress)
                if progress is not None:
                    progress(self.archive.position, self.archive.size)
        except ArchiveError as error:
            self.flaws.add(error.flaw)
            return False
        return True

    def _entry(self, entry: Entry, progress: Progress | None) -> None:
        if not self.uuid:  # the file's name says none; then the folder's has to do
            self.uuid = self.archive.top or ""
            self.plan = Plan(self.system, self.layout, self.uuid)
        digest = hashlib.sha256()
        self._members.append((entry, digest))
        if flaw := self.plan.unexpected(entry.member):
            self.flaws.add(flaw)
        blocks = self._hashed(entry, digest, progress)
        try:
            self._content(entry, blocks)
        except ContentError as error:
            self._broken.add(entry.member)
            self.flaws.add(error.flaw)
        for _ in blocks:
            pass

    def _hashed(self, entry: Entry, digest: Digest, progress: Progress | None) -> Iterator[bytes]:
        for block in entry.blocks():
            if entry.size < SMALL:  # all of it here, or all of it there: the order counts
                digest.update(block)
            else:
                self.archive.hash_beside(digest, block)
            yield block
            if progress is not None:
                progress(self.archive.position, self.archive.size)

    def _content(self, entry: Entry, blocks: Iterator[bytes]) -> None:
        name = entry.member
        match self.plan.kind(name):
            case Kind.TABLE:
                self._table(name, blocks)
            case Kind.SIDECAR:
                self._sidecar(name, blocks)
            case Kind.INFO:
                self.info = self._document(name, blocks, Aspect.VERSION)
            case Kind.MANIFEST:
                self.manifest = self._document(name, blocks, Aspect.MANIFEST)
            case Kind.SQLITE:
                self._sqlite(name, blocks)
            case Kind.VIDEO:
                self._add(check_video(name, _head(blocks), entry.size))
            case Kind.LIBRARY:
                self._add(check_library(name, _head(blocks), entry.size))
            case Kind.SCRIPT:
                self._add(check_script(name, _head(blocks), entry.mode))
            case _:
                pass

    def _add(self, flaw: Flaw | None) -> None:
        if flaw is not None:
            self.flaws.add(flaw)

    def _table(self, name: str, blocks: Iterator[bytes]) -> None:
        table = self.plan.tables[name]
        reader = TableReader(table, self.uuid, self.flaws)
        self._tables[table.name] = reader
        for copy, rows in read_dump(blocks, name, self.limits.line):
            if copy.table == table.table:
                reader.read(copy, rows)
                continue
            other = shown(copy.table)
            message = f"{name}:{copy.line}: COPY fills {other!r}, expected {table.table!r}"
            self._add(Flaw(Aspect.TABLES, "other-table", message, name, table.table, other))
        if not reader.rows:
            message = f"{name} holds no row of {table.name}"
            self._add(Flaw(Aspect.TABLES, "no-rows", message, name, "at least 1", "0"))

    def _sidecar(self, name: str, blocks: Iterator[bytes]) -> None:
        sidecar = self.plan.sidecars[name]
        count, head = read_sidecar(sidecar, name, blocks, self.flaws, self.limits.item)
        if sidecar.items:
            self.items[sidecar.name] = count
        for flaw in check_owner(head, name, self._owner_keys(), self.uuid, Aspect.SIDECARS):
            self.flaws.add(flaw)

    def _owner_keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(table.uuid for table in self.system.tables.values()))

    def _document(self, name: str, blocks: Iterator[bytes], aspect: Aspect) -> dict[str, Any]:
        document = read_document(name, blocks, self.limits.document, aspect)
        for flaw in check_owner(document, name, self._owner_keys(), self.uuid, aspect):
            self.flaws.add(flaw)
        return document

    def _sqlite(self, name: str, blocks: Iterator[bytes]) -> None:
        file: BinaryIO = self.resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        for block in blocks:
            _put_aside(file, block)
        _put_aside(file, b"")
        self._look = look_into(file, name, self.layout, self.limits.sqlite_seconds)
        self.resources.callback(self._look.stop)

    def package(
        self, path: Path, uuid: str, sha256: str, *, complete: bool, began: float
    ) -> Package:
        """All that is known, after the last checks: of what is missing, and of what must agree."""
        members = self._hashed_members()
        tables = {name: reader.contents() for name, reader in self._tables.items()}
        if self._look is not None:
            found = self._look.result()
            self.vector_tables = dict(found.tables)
            for flaw in found.flaws:
                self.flaws.add(flaw)
        version, build = self._name(self.layout.version), self._name(self.layout.build)
        package = Package(
            path=path,
            size=self.archive.size,
            sha256=sha256,
            uuid=uuid,
            complete=complete,
            members=members,
            tables=tables,
            items=self.items,
            vector_tables=self.vector_tables,
            info=self.info,
            version=version,
            build=build,
        )
        if complete:
            for flaw in disagreements(package, self.plan, self._broken, self.manifest):
                self.flaws.add(flaw)
        return replace(package, flaws=self.flaws.all(), seconds=time.perf_counter() - began)

    def _hashed_members(self) -> dict[str, Member]:
        self.archive.wait()
        return {
            entry.member: Member(entry.member, entry.size, entry.mode, digest.hexdigest())
            for entry, digest in self._members
            if not entry.left
        }

    def _name(self, key: str) -> str | None:
        if not self.info:
            return None
        name = read_name(self.info, self.plan.name(self.layout.info), key)
        if isinstance(name, Flaw):
            self.flaws.add(name)
            return None
        return name


def _head(blocks: Iterator[bytes]) -> bytes:
    return next(blocks, b"")[:HEAD]


def _put_aside(file: BinaryIO, block: bytes) -> None:
    """Write the next block of the SQLite file, and at its end, which is empty, all that waits."""
    try:
        file.write(block)
        if not block:
            file.flush()
    except OSError as error:
        raise PackageError(
            f"the SQLite file of the package cannot be put into {tempfile.gettempdir()}: "
            f"{error.strerror}; name another folder with TMPDIR"
        ) from None
