"""The rows of one table, block by block: counted, compared with what is expected, and summed up.

A block is a mebibyte of whole lines. What is done to each row is done by functions written in C
over lists of rows; a row is looked at by Python only when a list as a whole is not as it should be.
"""

from __future__ import annotations

import contextlib
import struct
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from operator import itemgetter

from pytest_release.config.system import Table
from pytest_release.packages.contents import Aspect, Flaw, TableContents
from pytest_release.packages.copy_text import NULL, canonical
from pytest_release.packages.dump import CopyBlock, Rows
from pytest_release.packages.flaws import FlawList, shown
from pytest_release.packages.vectors import Vectors
from pytest_release.packages.wide import WideRows

UUIDS = 100  # that are told apart
REST = "..."
MASKED = "***"
Row = list[bytes]


class TableReader:
    """Finds out what `TableContents` says.

    Args:
        table: What is expected.
        uuid: Of the package.
        flaws: Takes what is wrong.

    Attributes:
        rows: Read so far.
    """

    def __init__(self, table: Table, uuid: str, flaws: FlawList) -> None:
        self._table, self._uuid, self._flaws = table, uuid.encode(), flaws
        self._columns: tuple[str, ...] | None = None
        self.rows = self._fingerprint = 0
        self._uuids: Counter[bytes] = Counter()
        self._nulls: Counter[str] = Counter()
        self._vectors = {name: Vectors(size) for name, size in table.vectors.items()}
        self._line = 0  # of the next row
        self._foreign: dict[bytes, tuple[int, str]] = {}  # the first row of each other UUID

    def contents(self) -> TableContents:
        """What was found out; to be asked for once, for it adds the last flaws."""
        for uuid, (line, key) in self._foreign.items():
            others = self._uuids[uuid] - 1
            more = f", as do {others} more rows" if others else ""
            message = f"{key} belongs to {self._table.uuid} {shown(uuid)!r}{more}"
            self._refuse(line, "foreign-uuid", message, self._uuid.decode(), shown(uuid))
        return TableContents(
            rows=self.rows,
            columns=self._columns or (),
            uuids={shown(uuid): count for uuid, count in self._uuids.items()},
            dimensions={name: dict(vectors.seen) for name, vectors in self._vectors.items()},
            nulls={name: self._nulls[name] for name in self._vectors},
            fingerprint=self._fingerprint,
        )

    def read(self, copy: CopyBlock, rows: Rows) -> None:
        """Read the rows of one COPY statement."""
        self._line = copy.line + 1
        if not self._begin(copy):
            self.rows += sum(piece.count(b"\n") for piece in rows)
            return
        wide = self._wide()
        with contextlib.suppress(StopIteration):
            while True:
                rows.passed(self._piece(rows.piece(), wide))

    def _wide(self) -> WideRows | None:
        """The quick way to read the usual rows of vectors; None where there are none."""
        columns = self._columns or ()
        if not self._vectors or self._table.rewritten & {*columns}:
            return None
        return WideRows(columns, (self._table.uuid, self._uuid), self._vectors)

    def _piece(self, data: bytes, wide: WideRows | None) -> int:
        """Read some rows, and say how many."""
        digests = wide.digests(data) if wide else None
        if digests is None:
            lines = data.split(b"\n")
            lines.pop()
            self._lines(lines)
            return len(lines)
        count = len(digests)
        self.rows += count
        self._line += count
        self._uuids[self._uuid] += count
        self._add_up(digests)
        return count

    def _begin(self, copy: CopyBlock) -> bool:
        """Whether the columns are known, and the same as before."""
        if self._columns is None:
            self._columns = copy.columns
        elif self._columns != copy.columns:
            before, now = ", ".join(self._columns), ", ".join(copy.columns)
            message = f"COPY lists other columns than the COPY before: {shown(now)}"
            self._refuse(copy.line, "other-columns", message, shown(before), shown(now))
            return False
        table = self._table
        needed = dict.fromkeys((*table.key, table.uuid, *table.vectors))
        if missing := [name for name in needed if name not in copy.columns]:
            listed = ", ".join(copy.columns) or "none"
            message = f"COPY does not list the column {missing[0]} of {table.name}"
            self._refuse(copy.line, "missing-column", message, ", ".join(needed), shown(listed))
            return False
        return True

    def _lines(self, lines: list[bytes]) -> None:
        numbers: Sequence[int] = range(self._line, self._line + len(lines))
        self._line += len(lines)
        self.rows += len(lines)
        self._check_text(lines, numbers)
        width = len(self._columns or ())
        rows = [line.split(b"\t", width) for line in lines]  # a line may hold millions of tabs
        if {*map(len, rows)} != {width}:
            lines, rows, numbers = self._without_odd(lines, rows, numbers)
        self._check_escapes(lines, rows, numbers)
        self._sum_up(lines, rows)
        if rows:
            self._check_uuids(rows, numbers)
            self._check_vectors(rows, numbers)

    def _check_text(self, lines: list[bytes], numbers: Sequence[int]) -> None:
        unusual = [
            place
            for place, line in enumerate(lines)
            if not line.isascii() or b"\0" in line or b"\r" in line
        ]
        for place in unusual:
            line, number = lines[place], numbers[place]
            if b"\0" in line:
                self._refuse(number, "nul", "the row holds a NUL")
            if b"\r" in line:
                self._refuse(number, "carriage-return", "the row holds a carriage return as it is")
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"{line[error.start]:#04x}"
                self._refuse(number, "not-utf8", f"the row is not UTF-8: byte {byte}")

    def _without_odd(
        self, lines: list[bytes], rows: list[Row], numbers: Sequence[int]
    ) -> tuple[list[bytes], list[Row], Sequence[int]]:
        """The rows that have as many columns as the statement lists."""
        width = len(self._columns or ())
        good = []
        for place, (row, number) in enumerate(zip(rows, numbers, strict=True)):
            if len(row) == width:
                good.append(place)
                continue
            count = lines[place].count(b"\t") + 1
            message = f"the row has {count} columns, expected {width}"
            self._refuse(number, "columns", message, str(width), str(count))
        return (
            [lines[place] for place in good],
            [rows[place] for place in good],
            [numbers[place] for place in good],
        )

    def _check_escapes(self, lines: list[bytes], rows: list[Row], numbers: Sequence[int]) -> None:
        """Write the lines as PostgreSQL would, which has one way to write a value."""
        for place in [place for place, line in enumerate(lines) if b"\\" in line]:
            line, row = lines[place], rows[place]
            if all(b"\\" not in field or field == NULL for field in row):
                continue
            try:
                lines[place] = canonical(line)
            except ValueError as error:
                self._refuse(numbers[place], "bad-escape", f"the row is no text of COPY: {error}")
            else:
                rows[place] = lines[place].split(b"\t")

    def _sum_up(self, lines: list[bytes], rows: list[Row]) -> None:
        if left_out := self._table.rewritten & {*(self._columns or ())}:
            columns = enumerate(self._columns or ())
            kept = [place for place, name in columns if name not in left_out]
            lines = [b"\t".join([row[place] for place in kept]) for row in rows]
        self._add_up([sha256(line).digest()[:8] for line in lines])

    def _add_up(self, digests: list[bytes]) -> None:
        self._fingerprint += sum(struct.unpack(f">{len(digests)}q", b"".join(digests)))

    def _check_uuids(self, rows: list[Row], numbers: Sequence[int]) -> None:
        place = (self._columns or ()).index(self._table.uuid)
        seen = Counter(map(itemgetter(place), rows))
        for uuid, count in seen.items():
            known = uuid == self._uuid or uuid in self._uuids or len(self._uuids) < UUIDS
            self._uuids[uuid if known else REST.encode()] += count
        if seen.keys() == {self._uuid}:
            return
        for row, number in zip(rows, numbers, strict=True):
            uuid = row[place]
            if uuid != self._uuid and uuid in self._uuids and uuid not in self._foreign:
                self._foreign[uuid] = number, self._shown_key(row)

    def _check_vectors(self, rows: list[Row], numbers: Sequence[int]) -> None:
        for name, vectors in self._vectors.items():
            place = (self._columns or ()).index(name)
            values = [row[place] for row in rows]
            there: Sequence[int] = range(len(values))
            if NULL in values:
                there = [at for at, value in enumerate(values) if value != NULL]
                self._nulls[name] += len(values) - len(there)
                values = [values[at] for at in there]
            for wrong, code, problem in vectors.add(values):
                row, number = rows[there[wrong]], numbers[there[wrong]]
                message = f"{name} of {self._shown_key(row)} {problem}"
                expected = f"{vectors.dimensions} finite numbers"
                self._refuse(number, code, message, expected, problem, Aspect.VECTORS)

    def _shown_key(self, row: Row) -> str:
        columns = self._columns or ()
        shown_values = [
            f"{name} {MASKED if name in self._table.masked else shown(row[columns.index(name)])}"
            for name in self._table.key
        ]
        return ", ".join(shown_values)

    def _refuse(
        self,
        line: int,
        code: str,
        message: str,
        expected: str = "",
        received: str = "",
        aspect: Aspect = Aspect.TABLES,
    ) -> None:
        file = self._table.file
        flaw = Flaw(aspect, code, f"{file}:{line}: {message}", file, expected, received)
        self._flaws.add(flaw)
