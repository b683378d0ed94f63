"""The newest dump is of its backup's time, can be read to its end, and has its tables."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pytest_release.errors import PackageError, TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._monitoring_backups import Shelf
from pytest_release.gates._monitoring_watch import Watch, cut, some
from pytest_release.redaction import reveal
from pytest_release.targets.pg_programs import Programs

ARCHIVE = b"PGDMP"
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BLOCK = 1024 * 1024
TAIL = 4096  # bytes at the end of a script that are looked at
COMPLETE = re.compile(rb"^-- PostgreSQL database (?:cluster )?dump complete\s*$", re.MULTILINE)
AFTERWARDS = re.compile(rb"(?:\s|--[^\n]*|\\unrestrict [^\n]*)*")  # what may follow that line
CREATED = re.compile(r"^; Archive created at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", re.MULTILINE)
TABLE = re.compile(r"^\d+; \d+ \d+ TABLE (?!DATA )(\S+) (\S+) ", re.MULTILINE)
IN_SCRIPT = re.compile(
    rb"^CREATE (?:UNLOGGED )?TABLE (?:\"?([^\s\".]+)\"?\.)?\"?([^\s\"(]+)", re.MULTILINE
)
ZONES = timedelta(hours=26)  # an archive has its time without the zone
READING_S = 1800.0  # for reading a dump to its end


def dump(watch: Watch) -> Iterator[Finding]:
    """It is of its backup's time, can be read to its end, and has the tables.

    An archive is read by ``pg_restore``: its table of contents and all of its data. A script is
    decompressed to its end, where pg_dump says that it is complete.
    """
    file, at = newest_dump(watch)
    watch.figures["dump_mib"] = [file.stat().st_size / BLOCK]
    try:
        tables, made = _archive(watch, file) if is_archive(file) else _script(file)
    except _UnfitError as error:
        yield watch.found(error.code, f"{file} {error}")
        return
    if made is not None and abs(made - at) > ZONES:
        message = (
            f"{file} was dumped at {made:%Y-%m-%d %H:%M}, its backup is of {at:%Y-%m-%d %H:%M}"
        )
        yield watch.found("dump-of-another-time", message, f"{at}", f"{made}")
    for table in watch.case.expect.get("tables", []):
        if qualified(table) not in tables:
            message = f"{file} has no table {table}; it has {some(sorted(map('.'.join, tables)))}"
            yield watch.found("dump-lacks-table", message, table)


class _UnfitError(Exception):
    """A dump is not one; the text follows its path."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


Tables = set[tuple[str, str]]


def newest_dump(watch: Watch) -> tuple[Path, datetime]:
    """The dump of the newest backup, and that backup's time.

    Raises:
        TargetError: There is none.
    """
    newest = Shelf(watch).newest
    wanted = watch.option("dump")
    file = newest.file(wanted)
    if file is None:
        raise TargetError(f"{newest.folder} has no dump: expected a file {wanted}")
    return file, newest.at


def qualified(table: str) -> tuple[str, str]:
    """Schema and name of a table; ``public`` where none is said."""
    schema, _, name = table.rpartition(".")
    return schema or "public", name


def is_archive(file: Path) -> bool:
    """Whether it is an archive of pg_dump's custom format."""
    with file.open("rb") as opened:
        return opened.read(len(ARCHIVE)) == ARCHIVE


def programs_of(watch: Watch) -> Programs:
    """PostgreSQL's programs, where the environment says that they are."""
    folder = watch.options("scratch").get("programs")
    return Programs(Path(reveal(folder)) if folder else None)


def _archive(watch: Watch, file: Path) -> tuple[Tables, datetime | None]:
    """The table of contents, and all data read: a cut archive still has its contents."""
    programs, limit = programs_of(watch), watch.case.options.get("timeout_s", READING_S)
    listed = programs.run("pg_restore", ["--list", str(file)], timeout_s=limit)
    if listed.status:
        raise _UnfitError("dump-unreadable", f"cannot be listed: {cut(listed.complaint)}")
    read = programs.run("pg_restore", ["--file=/dev/null", str(file)], timeout_s=limit)
    if read.status:
        raise _UnfitError("dump-unreadable", f"cannot be read to its end: {cut(read.complaint)}")
    made = CREATED.search(listed.text)
    at = datetime.strptime(made[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) if made else None
    return set(TABLE.findall(listed.text)), at


def _script(file: Path) -> tuple[Tables, None]:
    tables: Tables = set()
    tail = rest = b""
    ends = time.monotonic() + READING_S
    try:
        for block in content(file):
            if time.monotonic() > ends:
                raise _UnfitError("dump-unreadable", f"was not read within {READING_S:g} s")
            tail = (tail + block)[-TAIL:]
            whole, _, rest = (rest + block).rpartition(b"\n")
            tables |= _named(whole)
            rest = rest[-TAIL:]
    except PackageError as error:
        raise _UnfitError("dump-unreadable", f"cannot be decompressed: {error}") from None
    done = COMPLETE.search(tail)
    if done is None:
        last = tail.decode(errors="replace").strip().rpartition("\n")[2]
        said = "ends without 'PostgreSQL database dump complete': pg_dump failed; at its end: "
        code = "dump-incomplete" if _begins_well(file) else "dump-unreadable"
        raise _UnfitError(code, f"{said}{cut(last)!r}")
    if AFTERWARDS.fullmatch(tail, done.end()) is None:
        raise _UnfitError("dump-incomplete", "has more behind 'PostgreSQL database dump complete'")
    return tables, None


def _begins_well(file: Path) -> bool:
    return b"-- PostgreSQL database" in next(content(file), b"")[:TAIL]


def _named(text: bytes) -> Tables:
    return {
        ((schema or b"public").decode(errors="replace"), name.decode(errors="replace"))
        for schema, name in IN_SCRIPT.findall(text)
    }


def content(file: Path) -> Iterator[bytes]:
    """The content of a script, decompressed where its first bytes say gzip or zstd.

    Raises:
        PackageError: It breaks off, or something follows it.
    """
    from pytest_release.packages import compression  # noqa: PLC0415 - an extra

    kinds = {GZIP: compression.Compression.GZIP, ZSTD: compression.Compression.ZSTD}
    with file.open("rb") as opened:
        head = opened.read(4)
        opened.seek(0)
        kind = next((k for magic, k in kinds.items() if head.startswith(magic)), None)
        decoder = compression.decoder(kind or compression.Compression.NONE)
        while block := opened.read(BLOCK):
            yield from decoder.feed(block)
        decoder.finish()
