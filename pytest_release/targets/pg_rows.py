"""Rows of a package against the rows of a table, by key, as values of the columns' own types.

A text that PostgreSQL would write otherwise (``0.10``, another offset of a time) becomes a value
first, so that a spelling is no difference. The texts stand in the statement; nothing is written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from pytest_release.targets.fingerprints import ROW, Selection
from pytest_release.targets.pg_text import digest, is_null, line, output, reference
from pytest_release.targets.postgres import Column, Database, RefusedValueError

LONGEST = 65_536  # characters of a value that are fetched to be shown
KEY = 200  # characters of a key's value, likewise
GIVEN = "r"  # alias of the package's rows
_EQUAL = frozenset({"numeric", "jsonb", "bpchar"})  # whose = knows spellings of one value

Texts = Sequence[str | None]


@dataclass(frozen=True)
class Match:
    """What became of one of the package's rows.

    Attributes:
        place: Among those that were asked about.
        key: Digest of its key as the database spells it; None when a text was refused.
        row: Digest of the table's row of that key; None when it has none.
        columns: Places, in `Selection.columns`, of those that differ.
        refused: Why a text is no value of its column's type; empty when all are.
    """

    place: int
    key: int | None
    row: int | None = None
    columns: tuple[int, ...] = ()
    refused: str = ""

    @property
    def found(self) -> bool:
        """The table has a row of that key."""
        return self.row is not None


def match(database: Database, chosen: Selection, uuid: str, rows: Sequence[Texts]) -> list[Match]:
    """Look for the package's rows in the table.

    Args:
        database: Where the table is.
        chosen: What is compared.
        uuid: Of the file.
        rows: Texts of `Selection.asked`, column by column.

    Returns:
        One for each row, in their order; more where the table has a key twice.

    Raises:
        TargetError: The server refuses the question itself.
    """
    return sorted(_matched(database, chosen, uuid, rows, 0), key=lambda found: found.place)


def _matched(
    database: Database, chosen: Selection, uuid: str, rows: Sequence[Texts], first: int
) -> Iterator[Match]:
    """Those of some rows, of which the first has that place."""
    differs = [
        _differs(column, reference(column.name, ROW), reference(column.name, GIVEN))
        for column in chosen.columns
    ]
    statement = sql.SQL(
        "SELECT r.release_place, {}, CASE WHEN {} IS NOT NULL THEN {} END, {} {}"
    ).format(
        digest(line(chosen.key, GIVEN)),
        chosen.owner,
        chosen.row,
        _array(differs, "boolean[]"),
        _joined(chosen, uuid, rows),
    )
    try:
        answer = database.query(statement)
    except RefusedValueError as error:
        if len(rows) == 1:
            reason = str(error).removeprefix(f"postgres {database.place}: ")
            yield Match(first, None, refused=reason)
            return
        half = len(rows) // 2
        yield from _matched(database, chosen, uuid, rows[:half], first)
        yield from _matched(database, chosen, uuid, rows[half:], first + half)
        return
    for place, key, row, flags in answer:
        columns = () if row is None else tuple(at for at, flag in enumerate(flags) if flag)
        yield Match(first + place - 1, key, row, columns)


def texts(
    database: Database, chosen: Selection, uuid: str, rows: Sequence[Texts]
) -> dict[int, Texts]:
    """The table's own texts of `Selection.columns`, cut, for rows that it has, by their place.

    Raises:
        TargetError: The server refuses.
    """
    shown = [
        sql.SQL("CASE WHEN NOT {} THEN left({}, {}) END").format(
            is_null(value), output(value), sql.Literal(LONGEST)
        )
        for value in (reference(column.name, ROW) for column in chosen.columns)
    ]
    statement = sql.SQL("SELECT r.release_place, {} {} WHERE {} IS NOT NULL").format(
        _array(shown, "text[]"), _joined(chosen, uuid, rows), chosen.owner
    )
    return {place - 1: values for place, values in database.query(statement)}


def digests(
    database: Database, chosen: Selection, uuid: str, buckets: Collection[int] | None = None
) -> list[tuple[int, int]]:
    """Of each of the table's rows in some buckets, or of all, the digests of its key and of itself.

    Raises:
        TargetError: The server refuses, or there are too many.
    """
    statement = sql.SQL("SELECT {}, {} {}").format(
        chosen.name, chosen.row, _in_buckets(chosen, uuid, buckets)
    )
    return [(key, row) for key, row in database.query(statement)]


def keys(
    database: Database, chosen: Selection, uuid: str, buckets: Collection[int]
) -> Iterator[tuple[int, Texts]]:
    """Of each of the table's rows in some buckets the digest of its key, and the key's texts, cut.

    Raises:
        TargetError: The server refuses, or there are too many.
    """
    shown = [
        sql.SQL("left({}, {})").format(output(reference(column.name, ROW)), sql.Literal(KEY))
        for column in chosen.key
    ]
    statement = sql.SQL("SELECT {}, {} {}").format(
        chosen.name, _array(shown, "text[]"), _in_buckets(chosen, uuid, buckets)
    )
    yield from ((key, values) for key, values in database.query(statement))


def _in_buckets(chosen: Selection, uuid: str, buckets: Collection[int] | None) -> sql.Composable:
    statement = sql.SQL("FROM {} t WHERE {} = {}").format(
        chosen.relation, chosen.owner, sql.Literal(uuid)
    )
    if buckets is None:
        return statement
    numbers = sql.Literal(sorted(buckets))
    return statement + sql.SQL(" AND {} = ANY({})").format(chosen.bucket, numbers)


def _array(values: Sequence[sql.Composable], kind: LiteralString) -> sql.Composable:
    return sql.SQL("ARRAY[{}]::").format(sql.SQL(", ").join(values)) + sql.SQL(kind)


def _joined(chosen: Selection, uuid: str, rows: Sequence[Texts]) -> sql.Composable:
    """The package's rows as values, each with the row of the table that has its key, if any."""
    asked = chosen.asked
    arrays = [
        sql.SQL("{}::text[]").format(sql.Literal(list(texts))) for texts in zip(*rows, strict=True)
    ]
    names = [sql.Identifier(column.name) for column in asked]
    values = [
        sql.SQL("{}::{} AS {}").format(name, sql.SQL(column.type), name)
        for name, column in zip(names, asked, strict=True)
    ]
    same_key = [
        sql.SQL("{} = {}").format(reference(column.name, ROW), reference(column.name, GIVEN))
        for column in chosen.key
    ]
    return sql.SQL(
        "FROM (SELECT release_place, {} FROM unnest({}) WITH ORDINALITY AS u({}, release_place)) r"
        " LEFT JOIN {} t ON {} = {} AND {}"
    ).format(
        sql.SQL(", ").join(values),
        sql.SQL(", ").join(arrays),
        sql.SQL(", ").join(names),
        chosen.relation,
        chosen.owner,
        sql.Literal(uuid),
        sql.SQL(" AND ").join(same_key),
    )


def _differs(column: Column, deployed: sql.Composable, given: sql.Composable) -> sql.Composable:
    """Whether two values of a column differ in more than their spelling."""
    other: sql.Composable = sql.SQL("true")
    if column.type == "json":
        other = sql.SQL("{}::jsonb IS DISTINCT FROM {}::jsonb").format(deployed, given)
    elif column.type in _EQUAL:
        other = sql.SQL("{} IS DISTINCT FROM {}").format(deployed, given)
    return sql.SQL("CASE WHEN {} = {} AND {} = {} THEN false ELSE {} END").format(
        is_null(deployed), is_null(given), output(deployed), output(given), other
    )
