r"""Rows as text, spelled in the database exactly as COPY spells them, and the digest of that text.

Columns are written by their types' output functions and joined by tabs; null is ``\N``; backslash,
tab, line feed and the like are escaped. The digest is that of `packages.copy_text.row_digest`: the
first 8 bytes of the text's SHA-256 as a signed integer.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from pytest_release.targets.postgres import Column

ARGUMENTS = 50  # of one call; PostgreSQL takes 100
_PLAIN = frozenset(  # types whose text holds nothing that COPY escapes
    [
        *("smallint", "integer", "bigint", "oid", "real", "double precision", "numeric"),
        *("boolean", "uuid", "date", "interval", "time without time zone", "time with time zone"),
        *("timestamp without time zone", "timestamp with time zone"),
        *("vector", "halfvec", "sparsevec"),
    ]
)
_ESCAPES = (
    *(("\\", "\\\\"), ("\b", "\\b"), ("\f", "\\f"), ("\n", "\\n")),
    *(("\r", "\\r"), ("\t", "\\t"), ("\v", "\\v")),
)


def line(columns: Sequence[Column], alias: str) -> sql.Composable:
    """The row as COPY writes it, of some of its columns.

    Args:
        columns: In the order in which they are written.
        alias: Of the table in its statement.
    """
    return _joined([_spelled(column, reference(column.name, alias)) for column in columns])


def digest(text: sql.Composable) -> sql.Composable:
    """The digest of a row's text, as a bigint."""
    return sql.SQL(
        "('x' || left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 16))::bit(64)::bigint"
    ).format(text)


def reference(name: str, alias: str) -> sql.Composable:
    """A column of a table with an alias."""
    return sql.Identifier(alias, name)


def output(column: sql.Composable) -> sql.Composable:
    """What the type's output function writes, empty for null; a cast would trim ``char(n)``."""
    return sql.SQL('concat({}) COLLATE "C"').format(column)


def is_null(column: sql.Composable) -> sql.Composable:
    """Whether a value is null; of a composite value IS NULL would ask for its fields."""
    return sql.SQL("({} IS NOT DISTINCT FROM NULL)").format(column)


def _spelled(column: Column, value: sql.Composable) -> sql.Composable:
    """One column as COPY writes it, or as something that `concat_ws` makes the same of."""
    if column.type in _PLAIN:
        text = value if column.required else sql.SQL("concat({})").format(value)
    else:
        text = output(value)
        for plain, escape in _ESCAPES:
            text = sql.SQL("replace({}, {}, {})").format(
                text, sql.Literal(plain), sql.Literal(escape)
            )
    if column.required:
        return text
    return sql.SQL("CASE WHEN {} THEN {} ELSE {} END").format(
        is_null(value), sql.Literal("\\N"), text
    )


def _joined(texts: Sequence[sql.Composable]) -> sql.Composable:
    while len(texts) > ARGUMENTS:
        texts = [
            _joined(texts[start : start + ARGUMENTS]) for start in range(0, len(texts), ARGUMENTS)
        ]
    return sql.SQL("concat_ws(E'\\t', {})").format(sql.SQL(", ").join(texts))
