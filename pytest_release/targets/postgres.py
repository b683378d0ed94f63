"""A PostgreSQL as the data gates use it: read-only, bounded, and one question at a time.

- Every session is read-only with a statement timeout, unless an installation asks for another.
- What a value looks like as text is fixed: UTC, ISO dates, hex bytea.
- The driver's errors become `TargetError`, without the password and without a traceback.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from pytest_release.config.system import System, Table
from pytest_release.errors import TargetError
from pytest_release.hostile import one_line
from pytest_release.redaction import reveal

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable

CONNECT_S = 10  # seconds to connect
STATEMENT_S = 60.0  # seconds that a question may take
LOCK_S = 5.0  # seconds that it may wait for a lock
MOST_ROWS = 1_000_000  # of an answer that are taken

PREAMBLE = re.compile(r"^connection failed: (?:connection to server .*? failed: )?")

SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "search_path": "public, pg_catalog",
}


class MissingRelationError(TargetError):
    """A question named a table that is not there."""


class Database:
    """An open session; `connect` makes one.

    Args:
        connection: psycopg's, in autocommit mode.
        place: ``host:port/database``, for messages.
        own_schema: That the environment names; None where the system's counts.
    """

    def __init__(self, connection: Connection, place: str, own_schema: str | None) -> None:
        self.connection = connection
        self.place = place
        self._own_schema = own_schema
        self._lock = threading.Lock()

    @classmethod
    def connect(
        cls,
        options: Mapping[str, Any],
        *,
        read_only: bool = True,
        statement_timeout_s: float = STATEMENT_S,
    ) -> Self:
        """Open a session.

        Args:
            options: ``services.postgres`` of an environment: ``dsn``, perhaps ``schema``.
            read_only: The server itself refuses every change.
            statement_timeout_s: Seconds that one question may take.

        Raises:
            TargetError: The driver is missing, the address is none, or the server refuses.
        """
        psycopg = _driver()
        given = reveal(options.get("dsn", ""))
        try:
            address = psycopg.conninfo.conninfo_to_dict(given)
        except psycopg.Error:
            raise TargetError(
                "postgres: services.postgres.dsn is no address: expected "
                "postgresql://user:password@host:port/database"
            ) from None
        place = _place(address)
        try:
            connection = psycopg.connect(
                given,
                autocommit=True,
                connect_timeout=CONNECT_S,
                application_name="pytest-release",
                options=_session(read_only, statement_timeout_s),
            )
        except psycopg.Error as error:
            raise TargetError(f"postgres {place} cannot be reached: {_words(error)}") from None
        return cls(connection, place, options.get("schema"))

    def schema(self, system: System) -> str:
        """The schema that the system's tables stand in."""
        return self._own_schema or system.schema

    def query(
        self, statement: Composable | str, parameters: Sequence[Any] | Mapping[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """The rows of one answer.

        Raises:
            TargetError: The server refuses, takes too long, is gone, or answers too much.
        """
        with self._lock, self.errors(), self.connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)  # type: ignore[arg-type]
            rows = cursor.fetchmany(MOST_ROWS + 1)
        if len(rows) > MOST_ROWS:
            raise TargetError(f"postgres {self.place} answers more than {MOST_ROWS} rows")
        return rows

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Within the block the driver's errors become `TargetError`."""
        psycopg = _driver()
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            raise MissingRelationError(f"postgres {self.place}: {_words(error)}") from None
        except psycopg.Error as error:
            raise TargetError(f"postgres {self.place}: {_words(error)}") from None

    def uuids(self, system: System) -> tuple[str, ...]:
        """The UUIDs that are deployed: those of the table that the status stands in, or the first.

        Raises:
            TargetError: The table is missing, or the server refuses.
        """
        from psycopg import sql  # noqa: PLC0415 - an extra

        name = system.status.table if system.status else next(iter(system.tables))
        table = system.tables[name]
        statement = sql.SQL("SELECT DISTINCT {}::text FROM {} ORDER BY 1").format(
            sql.Identifier(table.uuid), self.relation(system, table)
        )
        return tuple(row[0] for row in self.query(statement) if row[0] is not None)

    def relation(self, system: System, table: Table) -> Composable:
        """A table with its schema, as it stands in a statement."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        return sql.Identifier(self.schema(system), table.table)

    def counts(self, system: System, uuids: Sequence[str]) -> dict[str, dict[str, int | None]]:
        """Rows by UUID and logical table, in one round trip; None for a table that is missing.

        Raises:
            TargetError: The server refuses.
        """
        counted: dict[str, dict[str, int | None]] = {
            uuid: dict.fromkeys(system.tables, 0) for uuid in uuids
        }
        try:
            rows = self._counted(system, list(system.tables.values()), uuids)
        except MissingRelationError:
            there = self.existing(system)
            for name in system.tables.keys() - there:
                counted = {uuid: {**names, name: None} for uuid, names in counted.items()}
            rows = self._counted(system, [system.tables[name] for name in there], uuids)
        for name, uuid, number in rows:
            counted[uuid][name] = number
        return counted

    def _counted(
        self, system: System, tables: Sequence[Table], uuids: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        from psycopg import sql  # noqa: PLC0415 - an extra

        parts = [
            sql.SQL("SELECT {}, {}::text, count(*) FROM {} WHERE {} = ANY({}) GROUP BY 2").format(
                sql.Literal(table.name),
                sql.Identifier(table.uuid),
                self.relation(system, table),
                sql.Identifier(table.uuid),
                sql.Literal(array(uuids)),
            )
            for table in tables
        ]
        return self.query(sql.SQL(" UNION ALL ").join(parts)) if parts and uuids else []

    def existing(self, system: System) -> list[str]:
        """Logical names of the system's tables that are there, in the order of import."""
        statement = "SELECT tablename FROM pg_tables WHERE schemaname = %s"
        there = {row[0] for row in self.query(statement, [self.schema(system)])}
        return [name for name, table in system.tables.items() if table.table in there]

    def columns(self, system: System, table: Table) -> list[str]:
        """The columns of a table, in their order; empty when there is no such table."""
        statement = (
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"
        )
        found = self.query(statement, [self.schema(system), table.table])
        return [row[0] for row in found]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block every question sees the database as it was at the first."""
        from psycopg import IsolationLevel  # noqa: PLC0415 - an extra

        with self.errors():
            self.connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
            with self.connection.transaction():
                yield

    def copy_out(self, query: Composable) -> Iterator[bytes]:
        """The rows of a query as COPY's lines, without their line feeds.

        Raises:
            TargetError: The server refuses, or is gone.
        """
        from psycopg import sql  # noqa: PLC0415 - an extra

        statement = sql.SQL("COPY ({}) TO STDOUT").format(query)
        rest = b""
        with self.errors(), self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for data in copy:
                *lines, rest = (rest + bytes(data)).split(b"\n")
                yield from lines

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def array(values: Sequence[str]) -> str:
    """An array as PostgreSQL reads it, of whatever type its context says."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _driver() -> ModuleType:
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        raise TargetError(
            "PostgreSQL needs psycopg, which is not installed: "
            "pip install 'pytest-release[packages]'"
        ) from None
    return psycopg


def _place(address: Mapping[str, Any]) -> str:
    """Where it is, without user and password."""
    host, port = address.get("host", "localhost"), address.get("port", "5432")
    return f"{host}:{port}/{address.get('dbname', '')}"


def _session(read_only: bool, statement_timeout_s: float) -> str:
    settings = SETTINGS | {
        "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
        "lock_timeout": f"{LOCK_S * 1000:.0f}",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    return " ".join(
        f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items()
    )


def _words(error: Exception) -> str:
    """What the server said, or why there is none, in one line; the driver repeats no password."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    first = str(primary or error).strip().partition("\n")[0] or type(error).__name__
    return one_line(PREAMBLE.sub("", first))
