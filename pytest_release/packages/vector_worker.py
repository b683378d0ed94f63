"""Looks into a SQLite file in a process of its own, which is run as a script.

The file is hostile: whatever it makes SQLite or sqlite-vec do, it does to this process, whose time
and memory are limited. It imports nothing of pytest-release, so that it starts quickly; the request
comes as JSON on the standard input, the answer goes as JSON to the standard output.
"""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import sys
from typing import Any

import apsw
import sqlite_vec

NEAREST = 10
NEAR = 1e-4  # the distance of a vector from itself, rounded
VFS = "by-descriptor"
FLOAT = 4
AHEAD = 256 * 1024  # bytes that are read at a time


class _File:
    """A file that is open and has no name, read by its descriptor; nobody writes to it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._start, self._data = 0, b""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802 - the names are SQLite's
        at = offset - self._start
        if not 0 <= at <= len(self._data) - amount:
            self._start, at = offset, 0
            self._data = os.pread(self._descriptor, max(amount, AHEAD), offset)
        return self._data[at : at + amount]

    def xFileSize(self) -> int:  # noqa: N802
        return os.fstat(self._descriptor).st_size

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return int(apsw.SQLITE_IOCAP_IMMUTABLE)

    def xSectorSize(self) -> int:  # noqa: N802
        return 4096

    def xFileControl(self, *_: object) -> bool:  # noqa: N802
        return False

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xClose(self) -> None:  # noqa: N802
        pass


class _Descriptors(apsw.VFS):
    """Opens one descriptor, under the number that it has, and nothing else."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        super().__init__(VFS, "unix")

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802, ARG002
        return False  # no journal, no write-ahead log

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802, ANN401
        flags[1] = apsw.SQLITE_OPEN_READONLY
        if name is None or name.filename() != str(self._descriptor):
            raise apsw.CantOpenError("there is one file only")
        return _File(self._descriptor)


def look(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request: by table its rows, declared dimensions, and what is wrong.

    Args:
        request: ``path`` of a file that others may write to, or ``descriptor`` of one that nobody
            does; ``tables``, name and column.
    """
    vfs = _Descriptors(request.get("descriptor", -1))
    try:
        connection = _open(request)
        found = {
            name: _table(connection, name, column) for name, column in request["tables"].items()
        }
    except apsw.Error as error:
        return {"problem": f"{type(error).__name__.removesuffix('Error')}: {error}"}
    finally:
        del vfs
    return {"tables": found}


def _open(request: dict[str, Any]) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY
    if "descriptor" in request:
        connection = apsw.Connection(str(request["descriptor"]), flags=flags, vfs=VFS)
    else:
        connection = apsw.Connection(request["path"], flags=flags)
        connection.set_busy_timeout(5000)
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    connection.enable_load_extension(False)
    for option, value in (
        (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
        (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
        (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
    ):
        connection.config(option, value)
    connection.execute("PRAGMA query_only=on; PRAGMA cell_size_check=on")
    connection.execute("PRAGMA mmap_size=0; PRAGMA temp_store=memory")
    return connection


def _table(connection: apsw.Connection, name: str, column: str) -> dict[str, Any]:
    """One table; ``problem`` says what is wrong with it."""
    query = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?"
    row = connection.execute(query, (name,)).fetchone()
    if row is None:
        return {"code": "no-vector-table", "problem": "is missing"}
    if not re.match(r"\s*CREATE\s+VIRTUAL\s+TABLE\b.*\bUSING\s+vec0\b", str(row[0]), re.I | re.S):
        return {"code": "no-vector-table", "problem": "is no virtual table of vec0"}
    pattern = rf"\b{re.escape(column)}\s+float\s*\[\s*(\d{{1,6}})\s*\]"
    declared = re.search(pattern, row[0], re.IGNORECASE)
    if declared is None:
        return {"code": "no-vector-table", "problem": f"declares no column {column} of floats"}
    found: dict[str, Any] = {"rows": 0, "dimensions": int(declared[1])}
    try:
        quoted, field = _quoted(name), _quoted(column)
        found["rows"] = connection.execute(f"SELECT count(*) FROM {quoted}").get  # noqa: S608
        found |= _nearest(connection, quoted, field) if found["rows"] else {}
    except apsw.Error as error:
        found |= {"code": "vector-query", "problem": f"cannot be read: {error}"}
    return found


def _nearest(connection: apsw.Connection, table: str, column: str) -> dict[str, Any]:
    """What is wrong with the neighbours of the first row, which must be one of them."""
    query = f"SELECT rowid, {column} FROM {table} LIMIT 1"  # noqa: S608 - names are quoted
    identifier, vector = connection.execute(query).fetchall()[0]
    if not isinstance(vector, bytes) or len(vector) % FLOAT:
        return {"code": "vector-query", "problem": "holds something that is no vector"}
    where = f"{column} MATCH ? AND k = ? ORDER BY distance"
    query = f"SELECT rowid, distance FROM {table} WHERE {where}"  # noqa: S608 - names are quoted
    near = connection.execute(query, (vector, NEAREST)).fetchall()
    numbers = struct.unpack(f"<{len(vector) // FLOAT}f", vector)
    scale = max(1.0, *map(abs, numbers))
    distances = {row: distance for row, distance in near if distance is not None}
    least = min(distances.values(), default=None)
    if least is None or not least <= NEAR * scale:
        problem = f"does not find row {identifier} by its own vector: the nearest is {least} away"
        return {"code": "vector-query", "problem": problem}
    return {}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    json.dump(look(request), sys.stdout)


if __name__ == "__main__":
    main()
