r"""Digests of rows, computed where the rows are: the same that `copy_text.row_digest` computes.

A row is spelled as COPY spells it: columns by their types' output functions, joined by tabs, null
as ``\N``, and backslash, tab, line feed and the like escaped. Its digest is the first 8 bytes of
its SHA-256 as a signed integer; a table's fingerprint is their sum, whatever the order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from pytest_release.config.system import System, Table
from pytest_release.targets.postgres import Database

BUCKET = 3  # hex digits of a key's digest: 4096 buckets
_PLAIN = frozenset(  # types whose text holds nothing that COPY escapes
    [
        *("smallint", "integer", "bigint", "oid", "real", "double precision", "numeric"),
        *("uuid", "date", "vector", "halfvec", "interval"),
        *("time without time zone", "time with time zone"),
        *("timestamp without time zone", "timestamp with time zone"),
    ]
)
_ESCAPES = (
    *(("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n")),
    *(("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v")),
)


@dataclass(frozen=True)
class Fingerprint:
    """How many rows, and the sum of their digests."""

    rows: int
    digest: int


@dataclass(frozen=True)
class Selection:
    """Rows of one table, and which of its columns are looked at.

    Attributes:
        table: Of the system.
        columns: Names, in the order in which they are spelled.
        without: Keys, as text, of rows that are left out.
    """

    table: Table
    columns: tuple[str, ...]
    without: tuple[str, ...] = ()


class Fingerprints:
    """Asks one database about the rows of one UUID."""

    def __init__(self, database: Database, system: System, uuid: str) -> None:
        self.database = database
        self.system = system
        self.uuid = uuid
        self._known: dict[str, dict[str, str]] = {}

    def types(self, table: Table) -> Mapping[str, str]:
        """The type of each column, as PostgreSQL writes it; empty when there is no such table."""
        if table.name not in self._known:
            self._known[table.name] = self._asked_types(table)
        return self._known[table.name]

    def _asked_types(self, table: Table) -> dict[str, str]:
        statement = (
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        )
        name = self.database.relation(self.system, table).as_string(None)
        return dict(self.database.query(statement, [name]))

    def of(self, selections: Sequence[Selection]) -> dict[str, Fingerprint]:
        """Each table's fingerprint by its logical name, in one round trip."""
        parts = [
            sql.SQL("SELECT {}, count(*), coalesce(sum({}), 0) FROM {}").format(
                sql.Literal(chosen.table.name),
                _digest(self._row(chosen, chosen.columns)),
                self._rows(chosen),
            )
            for chosen in selections
        ]
        if not parts:
            return {}
        answer = self.database.query(sql.SQL(" UNION ALL ").join(parts))
        return {name: Fingerprint(rows, int(digest)) for name, rows, digest in answer}

    def buckets(self, chosen: Selection) -> dict[str, Fingerprint]:
        """The fingerprint of each bucket of keys that has rows."""
        statement = sql.SQL("SELECT {} AS bucket, count(*), sum({}) FROM {} GROUP BY 1").format(
            self._bucket(chosen),
            _digest(self._row(chosen, chosen.columns)),
            self._rows(chosen),
        )
        answer = self.database.query(statement)
        return {bucket: Fingerprint(rows, int(digest)) for bucket, rows, digest in answer}

    def lines(self, chosen: Selection, buckets: Sequence[str]) -> Iterator[bytes]:
        """The rows of some buckets, as COPY's lines."""
        columns = sql.SQL(", ").join(map(sql.Identifier, chosen.columns))
        statement = sql.SQL("SELECT {} FROM {} AND {} = ANY({})").format(
            columns, self._rows(chosen), self._bucket(chosen), sql.Literal(list(buckets))
        )
        return self.database.copy_out(statement)

    def same(self, pairs: Sequence[tuple[str, str | None, str | None]]) -> list[bool]:
        """Whether two texts are one value of a type; pairs are (type, one, other)."""
        parts = [
            sql.SQL("({0}::{2} IS NOT DISTINCT FROM {1}::{2})").format(
                sql.Literal(one),
                sql.Literal(other),
                sql.SQL("jsonb" if kind == "json" else kind),  # json has no equality
            )
            for kind, one, other in pairs
        ]
        return list(self.database.query(sql.SQL("SELECT ") + sql.SQL(", ").join(parts))[0])

    def _rows(self, chosen: Selection) -> sql.Composable:
        """The table and the condition that its rows are this UUID's."""
        statement = sql.SQL("{} WHERE {} = {}").format(
            self.database.relation(self.system, chosen.table),
            sql.Identifier(chosen.table.uuid),
            sql.Literal(self.uuid),
        )
        if not chosen.without:
            return statement
        key = sql.Identifier(chosen.table.key[0])
        return statement + sql.SQL(" AND NOT {}::text = ANY({})").format(
            key, sql.Literal(list(chosen.without))
        )

    def _bucket(self, chosen: Selection) -> sql.Composable:
        return sql.SQL("left(encode({}, 'hex'), {})").format(
            _sha256(self._row(chosen, chosen.table.key)), sql.Literal(BUCKET)
        )

    def _row(self, chosen: Selection, columns: Sequence[str]) -> sql.Composable:
        types = self.types(chosen.table)
        spelled = [_spelled(sql.Identifier(name), types.get(name, "text")) for name in columns]
        return sql.SQL("concat_ws(E'\\t', {})").format(sql.SQL(", ").join(spelled))


def _spelled(column: sql.Composable, kind: str) -> sql.Composable:
    """One column as COPY writes it."""
    if kind == "boolean":
        return sql.SQL("CASE {} WHEN true THEN 't' WHEN false THEN 'f' ELSE '\\N' END").format(
            column
        )
    if kind.partition("(")[0] in _PLAIN:
        return sql.SQL("coalesce({}::text, '\\N')").format(column)
    text = sql.SQL("concat({})").format(column)  # the output function; a cast would trim char(n)
    escaped: sql.Composable = text
    for plain, escape in _ESCAPES:
        escaped = sql.SQL("replace({}, {}, {})").format(
            escaped, sql.Literal(plain), sql.Literal(escape)
        )
    return sql.SQL(
        "CASE WHEN {0} IS NULL THEN '\\N' "
        "WHEN {1} ~ E'[\\\\x08-\\\\x0d\\\\\\\\]' THEN {2} ELSE {1} END"
    ).format(column, text, escaped)


def _sha256(text: sql.Composable) -> sql.Composable:
    return sql.SQL("sha256(convert_to({}, 'UTF8'))").format(text)


def _digest(row: sql.Composable) -> sql.Composable:
    return sql.SQL("('x' || left(encode({}, 'hex'), 16))::bit(64)::bigint").format(_sha256(row))
