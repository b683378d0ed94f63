"""The rows of one schema, and the questions about it that every check of isolation asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from pytest_release.errors import TargetError
from pytest_release.gates._isolation_stores import Canary, Foreign, Hit, Store, several
from pytest_release.redaction import reveal
from pytest_release.targets.outgoing import fill
from pytest_release.targets.portions import UnfinishedError, portions
from pytest_release.targets.postgres import Database, array

if TYPE_CHECKING:
    from psycopg.sql import Composed

STATEMENT_S = 20.0  # seconds that a question may take
MOST_TABLES = 2_000
MOST_FILES = 10_000  # UUIDs that one side may know
TABLES_OF_A_QUESTION = 50
HITS = 10  # rows that are counted in one table

# What a word can stand in: text and what is spelled as text. Vectors and numbers are left out.
TEXTS = """
SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> %(besides)s
  AND (t.typcategory = 'S' OR t.typname IN ('uuid', 'json', 'jsonb', '_text', '_uuid', '_varchar'))
  AND (n.nspname = %(own)s
       OR has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT %(most)s
"""
OWNERS = """
SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND n.nspname = %(own)s
  AND a.attname = %(field)s
ORDER BY 1
"""


class PostgresStore:
    """One schema of a database."""

    kind, holds = "postgres", "row"

    def __init__(self, database: Database, schema: str) -> None:
        self.database = database
        self.schema = schema
        ((began, oid),) = database.query(
            "SELECT pg_postmaster_start_time()::text, oid::text FROM pg_database"
            " WHERE datname = current_database()"
        )
        self.server = f"{began}/{oid}"

    @classmethod
    def open(cls, options: Mapping[str, Any], *, read_only: bool) -> Self:
        """Connect to it."""
        schema = reveal(options.get("schema", ""))
        if not schema:
            raise TargetError("postgres: services.postgres.schema is missing")
        database = Database.connect(options, read_only=read_only, statement_timeout_s=STATEMENT_S)
        return cls(database, schema)

    def put(self, canary: Canary) -> None:
        """Write a canary into the own place."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        for table, values in self._rows(canary):
            statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                sql.Identifier(self.schema, table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            )
            self._change(statement, list(values.values()))

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        for table, values in reversed(self._rows(canary)):
            own = {k: v for k, v in values.items() if any(w in str(v) for w in canary.words)}
            statement = sql.SQL("DELETE FROM {} WHERE {}").format(
                sql.Identifier(self.schema, table),
                sql.SQL(" AND ").join(
                    [sql.SQL("{} = {}").format(sql.Identifier(k), sql.Placeholder()) for k in own]
                ),
            )
            self._change(statement, list(own.values()))

    def _rows(self, canary: Canary) -> list[tuple[str, Mapping[str, Any]]]:
        known = {"canary": canary.text, "uuid": canary.uuid}
        rows = [(row["table"], fill(row["values"], known)) for row in canary.row]
        for table, values in rows:
            if not any(word in str(v) for v in values.values() for word in canary.words):
                raise TargetError(
                    f"the row of {table} could not be removed again: one of its values must have "
                    "{{canary}} or {{uuid}} in it"
                )
        if not rows:
            raise TargetError("options.rows names no row to write to postgres")
        return rows

    def _change(self, statement: Composed, values: Sequence[Any]) -> None:
        with self.database.errors():
            self.database.connection.execute(statement, values)

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:
        """Where one of the words stands."""
        left_out = besides.schema if self._shares(besides) else ""  # type: ignore[union-attr]
        names = {"own": self.schema, "besides": left_out, "most": MOST_TABLES + 1}
        found = self.database.query(TEXTS, names)
        if len(found) > MOST_TABLES:
            raise UnfinishedError(f"postgres {self.database.place} has over {MOST_TABLES} tables")
        for some in portions(found, TABLES_OF_A_QUESTION):
            for schema, table, rows in self._holding(some, words):
                many = several(rows, "row") if rows <= HITS else f"more than {HITS} rows"
                where = f"postgres {self.database.place}, {many} of {schema}.{table}"
                yield Hit(where, schema == self.schema)

    def _holding(
        self, tables: Sequence[tuple[Any, ...]], words: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        from psycopg import sql  # noqa: PLC0415 - an extra

        parts = []
        for schema, table, columns in tables:
            texts = [sql.SQL("x.{}::text").format(sql.Identifier(name)) for name in columns]
            row = sql.SQL("concat_ws(' ', {})").format(sql.SQL(", ").join(texts))
            either = [sql.SQL("strpos({}, {}) > 0").format(row, sql.Literal(w)) for w in words]
            parts.append(
                sql.SQL(
                    "SELECT {}, {}, (SELECT count(*) FROM"
                    " (SELECT FROM {} x WHERE {} LIMIT {}) f) AS n"
                ).format(
                    sql.Literal(schema),
                    sql.Literal(table),
                    sql.Identifier(schema, table),
                    sql.SQL(" OR ").join(either),
                    sql.Literal(HITS + 1),
                )
            )
        union = sql.SQL(" UNION ALL ").join(parts)
        return self.database.query(sql.SQL("SELECT * FROM ({}) s WHERE n > 0").format(union))

    def _shares(self, other: object) -> bool:
        return isinstance(other, PostgresStore) and other.server == self.server

    def files(self, table: str, column: str) -> frozenset[str]:
        """The UUIDs of the files that this side knows.

        Raises:
            UnfinishedError: There are more than 10,000.
            TargetError: The table is missing, or the server refuses.
        """
        from psycopg import sql  # noqa: PLC0415 - an extra

        statement = sql.SQL("SELECT DISTINCT {}::text FROM {} LIMIT {}").format(
            sql.Identifier(column), sql.Identifier(self.schema, table), sql.Literal(MOST_FILES + 1)
        )
        rows = self.database.query(statement)
        if len(rows) > MOST_FILES:
            raise UnfinishedError(f"{self.schema}.{table} knows more than {MOST_FILES} files")
        return frozenset(row[0] for row in rows if row[0] is not None)

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:
        """What the own place holds of some files."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        for (table,) in self.database.query(OWNERS, {"own": self.schema, "field": field}):
            column = sql.Identifier(field)
            statement = sql.SQL("SELECT count(*), min({}::text) FROM {} WHERE {}::text = ANY({})")
            ((count, example),) = self.database.query(
                statement.format(
                    column, sql.Identifier(self.schema, table), column, sql.Literal(array(uuids))
                )
            )
            if count:
                where = f"postgres {self.database.place}, {self.schema}.{table}"
                yield Foreign(where, count, example)

    def same(self, other: Store) -> bool:
        """Whether both are one place."""
        return (
            isinstance(other, PostgresStore) and self._shares(other) and self.schema == other.schema
        )

    def close(self) -> None:
        """Leave it."""
        self.database.close()
