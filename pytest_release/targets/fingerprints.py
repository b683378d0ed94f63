"""Fingerprints of rows: how many there are, and the sum of their digests, whatever their order.

They are computed where the rows are, of all rows of a UUID or of each bucket of them. A row belongs
to the bucket that the last bits of its key's digest say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from pytest_release.config.system import System, Table
from pytest_release.errors import TargetError
from pytest_release.targets.pg_text import digest, line, reference
from pytest_release.targets.postgres import Column, Database, array

BUCKETS = 4096
TOGETHER = 250_000  # rows that one statement looks at, where they are of several UUIDs
ROW = "t"  # alias of the table


@dataclass(frozen=True)
class Fingerprint:
    """How many rows, and the sum of their digests."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Selection:
    """A table of a database, and which of its columns are looked at.

    Attributes:
        relation: The table with its schema.
        table: As the system describes it.
        columns: That are compared, in the order in which a package spells them.
        key: That name a row.
    """

    relation: sql.Identifier
    table: Table
    columns: tuple[Column, ...]
    key: tuple[Column, ...]

    @property
    def asked(self) -> tuple[Column, ...]:
        """The columns that are compared, and then those of the key that are not."""
        return (*self.columns, *(column for column in self.key if column not in self.columns))

    @property
    def row(self) -> sql.Composable:
        """The digest of a row."""
        return digest(line(self.columns, ROW))

    @property
    def name(self) -> sql.Composable:
        """The digest of a row's key."""
        return digest(line(self.key, ROW))

    @property
    def bucket(self) -> sql.Composable:
        """The number of a row's bucket."""
        return sql.SQL("({} & {})::integer").format(self.name, sql.Literal(BUCKETS - 1))

    @property
    def owner(self) -> sql.Composable:
        """The column with the UUID."""
        return reference(self.table.uuid, ROW)


def select(
    database: Database,
    system: System,
    table: Table,
    shape: Sequence[Column],
    names: Sequence[str],
) -> Selection:
    """What is compared of a table.

    Args:
        database: Where it is.
        system: Whose it is.
        table: Of the system.
        shape: Its columns in the database.
        names: Of the columns to compare, in the order of the package.

    Raises:
        TargetError: The database has no column of such a name.
    """
    there = {column.name: column for column in shape}
    if lacking := [name for name in (*names, *table.key) if name not in there]:
        raise TargetError(f"{table.table} has no column {', '.join(map(repr, lacking))}")
    columns = tuple(there[name] for name in names)
    key = tuple(there[name] for name in table.key)
    return Selection(database.relation(system, table), table, columns, key)


def fingerprints(
    database: Database, chosen: Selection, rows: Mapping[str, int]
) -> dict[str, Fingerprint]:
    """The fingerprint of each UUID's rows.

    Args:
        database: Where they are.
        chosen: What is looked at.
        rows: Roughly how many there are of each UUID; so much is asked for at a time.

    Raises:
        TargetError: The server refuses, or takes too long.
    """
    found = dict.fromkeys(rows, Fingerprint(0, 0))
    for uuids in _portions(rows):
        statement = sql.SQL(
            "SELECT {}::text, count(*), sum({}) FROM {} t WHERE {} = ANY({}) GROUP BY 1"
        ).format(chosen.owner, chosen.row, chosen.relation, chosen.owner, sql.Literal(array(uuids)))
        for uuid, count, total in database.query(statement):
            found[uuid] = Fingerprint(count, int(total))
    return found


def buckets(database: Database, chosen: Selection, uuid: str) -> dict[int, Fingerprint]:
    """The fingerprint of each bucket that has rows of a UUID.

    Raises:
        TargetError: The server refuses, or takes too long.
    """
    statement = sql.SQL("SELECT {}, count(*), sum({}) FROM {} t WHERE {} = {} GROUP BY 1").format(
        chosen.bucket, chosen.row, chosen.relation, chosen.owner, sql.Literal(uuid)
    )
    answer = database.query(statement)
    return {bucket: Fingerprint(count, int(total)) for bucket, count, total in answer}


def _portions(rows: Mapping[str, int]) -> Iterator[list[str]]:
    """UUIDs that are asked for in one statement."""
    portion: list[str] = []
    size = 0
    for uuid, count in rows.items():
        if portion and size + count > TOGETHER:
            yield portion
            portion, size = [], 0
        portion.append(uuid)
        size += count
    if portion:
        yield portion
