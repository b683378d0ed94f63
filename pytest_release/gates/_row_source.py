"""The rows of one table in a package, read again as often as it takes, a few at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_release.config.system import System
from pytest_release.errors import PackageError
from pytest_release.packages.copy_text import canonical, read_fields, row_digest
from pytest_release.packages.rows import copy_rows
from pytest_release.targets.fingerprints import BUCKETS, Fingerprint, Selection
from pytest_release.targets.pg_rows import Texts


@dataclass(frozen=True)
class Row:
    """One row as it stands in the package.

    Attributes:
        key: Digest of its key.
        line: Of the compared columns.
        fields: Of all columns, as COPY spells them.
    """

    key: int
    line: bytes
    fields: list[bytes]

    @property
    def bucket(self) -> int:
        """The bucket of its key."""
        return self.key & (BUCKETS - 1)


class PackageRows:
    """One table's rows; what is wrong with its file was found out before.

    Args:
        path: Of the archive.
        sha256: Of its bytes when it was verified.
        system: Whose package it is.
        chosen: Which columns are compared.
        without: Values of the column `owner`, as COPY spells them, whose rows are left out.
        owner: The column; no row is left out when it is empty.
    """

    def __init__(
        self,
        path: Path,
        sha256: str,
        system: System,
        chosen: Selection,
        without: Collection[bytes] = (),
        owner: str = "",
    ) -> None:
        self.chosen = chosen
        self._path, self._sha256, self._system = path, sha256, system
        self._without, self._owner = frozenset(without), owner
        self._columns: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Row]:
        """The rows but for those that are left out.

        Raises:
            PackageError: The package cannot be read, or is no longer the same.
        """
        return self._rows(left_out=False)

    def _rows(self, *, left_out: bool) -> Iterator[Row]:
        name = self.chosen.table.name
        blocks = copy_rows(self._path, self._system, [name], sha256=self._sha256)
        for _, copy, lines in blocks:
            self._columns = copy.columns
            try:
                for block in lines:
                    yield from self._of_block(block, left_out)
            except (ValueError, IndexError):  # none of which the verified package had
                raise PackageError(
                    f"the package {self._path} has changed since it was verified: {copy.table} "
                    "has other rows now; verify it again"
                ) from None

    def _of_block(self, block: bytes, left_out: bool) -> Iterator[Row]:
        places = [self._columns.index(column.name) for column in self.chosen.columns]
        key = [self._columns.index(column.name) for column in self.chosen.key]
        whole = places == list(range(len(self._columns)))
        owner = self._columns.index(self._owner) if self._owner else -1
        for raw in block[:-1].split(b"\n"):
            line = canonical(raw) if b"\\" in raw else raw
            fields = line.split(b"\t")
            if owner < 0 or (fields[owner] in self._without) is left_out:
                compared = line if whole else b"\t".join([fields[at] for at in places])
                name = row_digest(b"\t".join([fields[at] for at in key]))
                yield Row(name, compared, fields)

    def left_out(self) -> Fingerprint:
        """Of the rows that are left out."""
        rows = digest = 0
        if self._owner and self._without:
            for row in self._rows(left_out=True):
                rows += 1
                digest += row_digest(row.line)
        return Fingerprint(rows, digest)

    def buckets(self) -> dict[int, Fingerprint]:
        """Of each bucket that has rows."""
        rows, digests = [0] * BUCKETS, [0] * BUCKETS
        for row in self:
            rows[row.bucket] += 1
            digests[row.bucket] += row_digest(row.line)
        return {at: Fingerprint(n, digests[at]) for at, n in enumerate(rows) if n}

    def texts(self, row: Row) -> Texts:
        """A row's values as the database is asked about them: `Selection.asked`."""
        places = [self._columns.index(column.name) for column in self.chosen.asked]
        values = read_fields(b"\t".join([row.fields[at] for at in places]))
        return [None if value is None else value.decode() for value in values]
