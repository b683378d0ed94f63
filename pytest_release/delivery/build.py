"""Makes a package of a deployment: its rows, as one snapshot of the database, and its files.

The same rows and files give the same bytes: members in a fixed order, owned by nobody, dated
``SOURCE_DATE_EPOCH`` (https://reproducible-builds.org/specs/source-date-epoch/).
"""

from __future__ import annotations

import fnmatch
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from isal import igzip
from psycopg import sql

from pytest_release.atomic import fsync_folder, sha256_of
from pytest_release.config.system import PackageLayout, System, Table
from pytest_release.errors import PackageError
from pytest_release.packages.copy_text import row_digest
from pytest_release.packages.reading import read_package
from pytest_release.targets.postgres import Database

LEVEL = 2  # of igzip, whose levels go to 3
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Part:
    """One member to be: where its bytes are, how many, their SHA-256, its permission bits."""

    name: str
    source: Path | IO[bytes]
    size: int
    sha256: str
    mode: int = 0o644


@dataclass(frozen=True)
class Dumped:
    """One table's rows: how many, and their fingerprint."""

    rows: int
    fingerprint: int


def build_package(
    uuid: str, database: Database, system: System, output: Path, destination: Path, epoch: int
) -> Path:
    """Make the package of one UUID.

    Args:
        uuid: Of the file.
        database: Where its rows are.
        system: What belongs to it.
        output: Folder with its files.
        destination: Folder of the package.
        epoch: Seconds since 1970 that everything in it is dated, and that its name says.

    Returns:
        The package, ``{uuid}_v{timestamp}.tar.gz``: whole, verified and durable.

    Raises:
        PackageError: Something that belongs to it is missing, or it would not verify.
        TargetError: The database refuses.
    """
    layout = _layout(system)
    stamp = datetime.fromtimestamp(epoch, UTC).strftime("%Y%m%d%H%M%S")
    path = destination / f"{uuid}_v{stamp}.tar.gz"
    with ExitStack() as resources:
        parts, tables = _tables(uuid, database, system, resources)
        files = list(_files(uuid, layout, output))
        info, rest = files[0], files[1:]
        manifest = _manifest([info, *parts, *rest], tables)
        members = [info, manifest, *parts, *rest]
        _write(path, lambda stream: _archive(stream, uuid, members, epoch), system)
    return path


def _layout(system: System) -> PackageLayout:
    if system.package is None:
        raise PackageError(f"{system.source} describes no package: add the key package")
    return system.package


def _tables(
    uuid: str, database: Database, system: System, resources: ExitStack
) -> tuple[list[Part], dict[str, Dumped]]:
    """Dump every table, all as they were at one moment."""
    parts, dumped = [], {}
    with database.snapshot():
        for table in system.tables.values():
            stream: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed with the resources
            resources.callback(stream.close)
            dump = _Dump(stream, table)
            dump.write(database, system, uuid)
            parts.append(Part(table.file, stream, stream.tell(), dump.digest.hexdigest()))
            dumped[table.name] = Dumped(dump.rows, dump.fingerprint)
    empty = [name for name, table in dumped.items() if not table.rows]
    if len(empty) == len(dumped):
        raise PackageError(f"{uuid} is not deployed in {database.place}: no table has a row of it")
    return parts, dumped


class _Dump:
    """One table's file, written and counted in one pass."""

    def __init__(self, stream: IO[bytes], table: Table) -> None:
        self.stream = stream
        self.table = table
        self.digest = sha256()
        self.rows = 0
        self.fingerprint = 0

    def write(self, database: Database, system: System, uuid: str) -> None:
        relation = database.relation(system, self.table)
        columns = database.columns(system, self.table)
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        kept = [i for i, column in enumerate(columns) if column not in self.table.rewritten]
        head = sql.SQL("COPY {} ({}) FROM stdin;\n").format(relation, names)
        self._say(f"-- {self.table.name} of {uuid}\n".encode())
        self._say(head.as_string(database.connection).encode())
        keys = sql.SQL(", ").join(map(sql.Identifier, self.table.key))
        rows = sql.SQL("SELECT {} FROM {} WHERE {} = {} ORDER BY {}").format(
            names, relation, sql.Identifier(self.table.uuid), sql.Literal(uuid), keys
        )
        for line in database.copy_out(rows):
            self.rows += 1
            self.fingerprint += row_digest(_only(line, kept, len(columns)))
            self._say(line + b"\n")
        self._say(b"\\.\n")

    def _say(self, text: bytes) -> None:
        self.stream.write(text)
        self.digest.update(text)


def _only(line: bytes, kept: list[int], count: int) -> bytes:
    if len(kept) == count:
        return line
    fields = line.split(b"\t")
    return b"\t".join([fields[i] for i in kept])


def _files(uuid: str, layout: PackageLayout, output: Path) -> Iterator[Part]:
    """What the output folder gives to the package, the info member first."""
    if not output.is_dir():
        raise PackageError(f"there is no folder {output} with the files of {uuid}")
    there = sorted(file for file in output.iterdir() if file.is_file())
    needed = [layout.info, *(s.file for s in layout.sidecars), layout.sqlite or layout.info]
    needed += [*layout.executables, *layout.extensions]
    groups = [[name] for name in dict.fromkeys(needed)] + [list(layout.videos)]
    for patterns in filter(None, groups):
        wanted = [pattern.replace("{uuid}", uuid) for pattern in patterns]
        found = [f for f in there if any(fnmatch.fnmatchcase(f.name, one) for one in wanted)]
        if not found:
            raise PackageError(f"{output} has no {' or '.join(wanted)}, which a package needs")
        for file in found:
            mode = 0o755 if os.access(file, os.X_OK) and file.name in layout.executables else 0o644
            yield Part(file.name, file, file.stat().st_size, sha256_of(file), mode)


def _manifest(parts: list[Part], tables: Mapping[str, Dumped]) -> Part:
    value = {
        "members": {part.name: {"sha256": part.sha256, "size": part.size} for part in parts},
        "tables": {
            name: {"rows": table.rows, "fingerprint": str(table.fingerprint)}
            for name, table in tables.items()
        },
    }
    text = json.dumps(value, indent=1, sort_keys=True).encode()
    return Part(MANIFEST, io.BytesIO(text), len(text), sha256(text).hexdigest())


def _archive(stream: IO[bytes], uuid: str, parts: list[Part], epoch: int) -> None:
    with (
        igzip.IGzipFile("", "wb", LEVEL, stream, mtime=epoch) as packed,  # type: ignore[no-untyped-call]
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for part in parts:
            entry = tarfile.TarInfo(f"{uuid}/{part.name}")
            entry.size, entry.mode, entry.mtime = part.size, part.mode, epoch
            if isinstance(part.source, Path):
                with part.source.open("rb") as content:
                    archive.addfile(entry, content)
            else:
                part.source.seek(0)
                archive.addfile(entry, part.source)


def _write(path: Path, fill: Callable[[IO[bytes]], None], system: System) -> None:
    """Write it in a folder aside, verify it, make it durable, and then move it to its place."""
    try:
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            unfinished = Path(folder) / path.name
            with unfinished.open("wb") as stream:
                fill(stream)
                stream.flush()
                os.fsync(stream.fileno())
            _refuse_flawed(unfinished, system)
            unfinished.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise PackageError(f"the package {path} cannot be written: {reason}") from None


def _refuse_flawed(path: Path, system: System) -> None:
    """A package that its own check would refuse is not made."""
    package = read_package(path, system)
    if package.flaws or not package.complete:
        reasons = "; ".join(flaw.message for flaw in package.flaws[:3])
        raise PackageError(f"the package would not verify, so it was not made: {reasons}")
