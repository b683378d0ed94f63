"""The SQLite file with its vec0 tables, looked at by a process that may die of it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pytest_release.config.system import PackageLayout, VectorTable
from pytest_release.packages.contents import Aspect, Flaw, VectorTableContents
from pytest_release.packages.flaws import shown
from pytest_release.packages.limits import DEFAULT, MIB

WORKER = Path(__file__).with_name("vector_worker.py")
MEMORY = 1024 * MIB  # of address space
ANSWER = MIB  # bytes


@dataclass(frozen=True)
class VectorFile:
    """What was found in a SQLite file.

    Attributes:
        tables: By name.
        flaws: What is wrong.
    """

    tables: Mapping[str, VectorTableContents] = field(default_factory=dict)
    flaws: tuple[Flaw, ...] = ()


def read_vector_tables(
    path: Path, layout: PackageLayout, seconds: float = DEFAULT.sqlite_seconds
) -> VectorFile:
    """Look into a file that is deployed, and that others may be writing to.

    Args:
        path: Of the SQLite file.
        layout: Says which vec0 tables are expected.
        seconds: That it may take.
    """
    if not path.is_file():
        message = f"there is no file {path}"
        return VectorFile(flaws=(Flaw(Aspect.SQLITE, "missing-file", message, path.name),))
    return Look({"path": str(path.resolve())}, (), path.name, layout, seconds).result()


def look_into(file: BinaryIO, member: str, layout: PackageLayout, seconds: float) -> Look:
    """Begin to look into a file without a name.

    Args:
        file: Open for reading.
        member: Its name in the package.
        layout: Says which vec0 tables are expected.
        seconds: That it may take.
    """
    descriptor = file.fileno()
    return Look({"descriptor": descriptor}, (descriptor,), member, layout, seconds)


class Look:
    """A process that looks into a file."""

    def __init__(
        self,
        request: Mapping[str, Any],
        descriptors: tuple[int, ...],
        member: str,
        layout: PackageLayout,
        seconds: float,
    ) -> None:
        self._member, self._expected, self._seconds = member, layout.vector_tables, seconds
        tables = {table.name: table.column for table in self._expected}
        self._request = json.dumps({**request, "tables": tables, "memory": MEMORY})
        self._process = subprocess.Popen(  # noqa: S603 - this Python, and a file of ours
            [sys.executable, "-P", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=descriptors,
            text=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it may have ended; then `result` says how
            self._process.stdin.write(self._request)
            self._process.stdin.flush()

    def stop(self) -> None:
        """End the process, if it still runs."""
        self._process.kill()
        self._process.communicate()

    def result(self) -> VectorFile:
        """What it found, when it is done."""
        try:
            answer, _ = self._process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self.stop()
            message = f"{self._member} was not read within {self._seconds:g} s"
            return VectorFile(flaws=(self._flaw("sqlite-too-slow", message),))
        if self._process.returncode or len(answer) > ANSWER:
            message = f"{self._member} makes SQLite fail: {_ending(self._process.returncode)}"
            return VectorFile(flaws=(self._flaw("sqlite-crash", message),))
        return self._judge(json.loads(answer))

    def _judge(self, answer: Mapping[str, Any]) -> VectorFile:
        if problem := answer.get("problem"):
            message = f"{self._member} cannot be read by SQLite: {shown(problem)}"
            return VectorFile(flaws=(self._flaw("broken-sqlite", message, received=problem),))
        found: dict[str, VectorTableContents] = {}
        flaws: list[Flaw] = []
        for table in self._expected:
            entry = answer["tables"][table.name]
            if problem := entry.get("problem"):
                message = f"{self._member}: the vec0 table {table.name} {shown(problem)}"
                flaws.append(self._flaw(entry["code"], message, received=problem))
            if "rows" in entry:
                found[table.name] = VectorTableContents(entry["rows"], entry["dimensions"])
                flaws += self._dimensions(table, entry["dimensions"])
        return VectorFile(found, tuple(flaws))

    def _dimensions(self, table: VectorTable, dimensions: int) -> list[Flaw]:
        if dimensions == table.dimensions:
            return []
        message = (
            f"{self._member}: the vec0 table {table.name} has {dimensions} dimensions, "
            f"expected {table.dimensions}"
        )
        expected, received = str(table.dimensions), str(dimensions)
        return [self._flaw("vector-dimensions", message, expected, received)]

    def _flaw(self, code: str, message: str, expected: str = "", received: str = "") -> Flaw:
        return Flaw(Aspect.SQLITE, code, message, self._member, expected, shown(received))


def _ending(status: int) -> str:
    if status < 0:
        return f"its process ended by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"
