"""A PostgreSQL as the data gates use it: read-only, bounded, and one question at a time.

- Every session is read-only with a statement timeout, unless an installation asks for another.
- What a value looks like as text is fixed: UTC, ISO dates, hex bytea.
- Rows that a row-level policy would hide are an error; a count never leaves rows out in silence.
- The driver's errors become `TargetError`, without the password and without a traceback.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from types import ModuleType
from typing import TYPE_CHECKING, Any, Self

from pytest_release.config.system import System, Table
from pytest_release.errors import TargetError
from pytest_release.redaction import MASK, reveal
from pytest_release.targets.closing import Closing
from pytest_release.targets.pg_failures import explained, unreachable

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.sql import Composable, Identifier

CONNECT_S = 10  # seconds to connect
STATEMENT_S = 60.0  # seconds that a question may take
LOCK_S = 5.0  # seconds that it may wait for a lock
MOST_ROWS = 1_000_000  # of an answer that are taken
PORTION = 1_000  # rows that the driver holds at a time

SETTINGS = {
    "client_encoding": "UTF8",
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "search_path": "pg_catalog, public",
    "row_security": "off",
}
ADDRESS = "expected postgresql://user:password@host:port/database"


class MissingRelationError(TargetError):
    """A question named a table or a column that is not there."""


class RefusedValueError(TargetError):
    """A text is no value of the type that it was to be."""


@dataclass(frozen=True)
class Column:
    """A column as the database describes it.

    Attributes:
        name: Unquoted.
        type: As it stands in a statement, without its length: ``numeric``, ``public.mood``.
        required: It is never null.
    """

    name: str
    type: str
    required: bool


class Database(Closing):
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
        self._lock = threading.RLock()

    @classmethod
    def connect(
        cls,
        options: Mapping[str, Any],
        *,
        read_only: bool = True,
        statement_timeout_s: float | None = None,
    ) -> Self:
        """Open a session.

        Args:
            options: ``services.postgres`` of an environment: ``dsn``, perhaps ``schema`` and
                ``statement_timeout_s``.
            read_only: The server itself refuses every change.
            statement_timeout_s: Seconds that one question may take; without, what the options
                say, or 60.

        Raises:
            TargetError: The driver is missing, the address is none, or the server refuses.
        """
        psycopg = _driver()
        given = reveal(options.get("dsn", ""))
        address = address_of(given)
        place = _place(address)
        limit = statement_timeout_s or options.get("statement_timeout_s", STATEMENT_S)
        session = _session(read_only, limit)
        try:
            connection = psycopg.connect(
                given,
                autocommit=True,
                connect_timeout=CONNECT_S,
                application_name="pytest-release",
                options=f"{address.get('options', '')} {session}",
                prepare_threshold=None,
            )
        except psycopg.Error as error:
            said = unreachable(error)
            if password := address.get("password"):
                said = said.replace(str(password), MASK)
            raise TargetError(f"postgres {place} cannot be reached: {said}") from None
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
        size = PORTION if _driver().capabilities.has_stream_chunked() else 1
        with self._lock, self.errors(), self.connection.cursor() as cursor:
            answer: Any = cursor.stream(statement, parameters or None, size=size)  # type: ignore[arg-type]
            with closing(answer):  # what is left of too long an answer is not even sent
                rows = list(islice(answer, MOST_ROWS + 1))
        if len(rows) > MOST_ROWS:
            raise TargetError(f"postgres {self.place} answers more than {MOST_ROWS} rows")
        return rows

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Within the block the driver's errors become `TargetError`."""
        psycopg = _driver()
        missing = psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn
        try:
            yield
        except missing as error:
            raise MissingRelationError(f"postgres {self.place}: {explained(error)}") from None
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            raise RefusedValueError(f"postgres {self.place}: {explained(error)}") from None
        except psycopg.Error as error:
            raise TargetError(f"postgres {self.place}: {explained(error)}") from None

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

    def relation(self, system: System, table: Table, schema: str | None = None) -> Identifier:
        """A table with its schema, or with another one, as it stands in a statement."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        return sql.Identifier(schema or self.schema(system), table.table)

    def counts(
        self, system: System, uuids: Sequence[str], schema: str | None = None
    ) -> dict[str, dict[str, int | None]]:
        """Rows by UUID and logical table, in one round trip.

        None stands for a table that is missing, or that has no column for the UUID; only then
        there are further questions.

        Raises:
            TargetError: The server refuses.
        """
        counted: dict[str, dict[str, int | None]] = {
            uuid: dict.fromkeys(system.tables, 0) for uuid in uuids
        }
        try:
            rows = self._counted(system, system.tables.values(), uuids, schema)
        except MissingRelationError:
            shapes = self.shapes(system, schema)
            there = [t for t in system.tables.values() if _has(shapes.get(t.name, ()), t.uuid)]
            for name in system.tables.keys() - {table.name for table in there}:
                counted = {uuid: {**names, name: None} for uuid, names in counted.items()}
            rows = self._counted(system, there, uuids, schema)
        for name, uuid, number in rows:
            if uuid not in counted:
                table = system.tables[name]
                raise TargetError(
                    f"postgres {self.place}: {table.table}.{table.uuid} spells a UUID {uuid!r} "
                    "which was asked for in another spelling; give it as the database spells it"
                )
            counted[uuid][name] = number
        return counted

    def _counted(
        self, system: System, tables: Iterable[Table], uuids: Sequence[str], schema: str | None
    ) -> list[tuple[Any, ...]]:
        from psycopg import sql  # noqa: PLC0415 - an extra

        parts = [
            sql.SQL("SELECT {}, {}::text, count(*) FROM {} WHERE {} = ANY({}) GROUP BY 2").format(
                sql.Literal(table.name),
                sql.Identifier(table.uuid),
                self.relation(system, table, schema),
                sql.Identifier(table.uuid),
                sql.Literal(array(uuids)),
            )
            for table in tables
        ]
        return self.query(sql.SQL(" UNION ALL ").join(parts)) if parts and uuids else []

    def shapes(self, system: System, schema: str | None = None) -> dict[str, tuple[Column, ...]]:
        """The columns of the system's tables that are there, by logical name, in one question."""
        statement = (
            "SELECT c.relname, a.attname, format_type(a.atttypid, -1), a.attnotnull"
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind = ANY('{r,p,v,m,f}')"
            " ORDER BY a.attnum"
        )
        names = [table.table for table in system.tables.values()]
        found: dict[str, list[Column]] = {}
        for name, *column in self.query(statement, [schema or self.schema(system), names]):
            found.setdefault(name, []).append(Column(*column))
        return {
            name: tuple(found[table.table])
            for name, table in system.tables.items()
            if table.table in found
        }

    def columns(self, system: System, table: Table) -> list[str]:
        """The columns of a table, in their order; empty when there is no such table."""
        return [column.name for column in self.shapes(system).get(table.name, ())]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block every question sees the database as it was at the first."""
        from psycopg import IsolationLevel  # noqa: PLC0415 - an extra

        with self._lock, self.errors():
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


def server_of(dsn: str) -> str:
    """``host:port/database`` of an address, without asking anybody.

    Raises:
        TargetError: The driver is missing, or the address is none.
    """
    return _place(address_of(dsn))


def elsewhere(dsn: str, database: str) -> str:
    """The same address with another database.

    Raises:
        TargetError: The driver is missing, or the address is none.
    """
    address = {**address_of(dsn), "dbname": database}
    text: str = _driver().conninfo.make_conninfo(**address)
    return text


def array(values: Sequence[str]) -> str:
    """An array as PostgreSQL reads it, of whatever type its context says."""
    escaped = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in escaped) + "}"


def _has(columns: Sequence[Column], name: str) -> bool:
    return any(column.name == name for column in columns)


def _driver() -> ModuleType:
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        raise TargetError(
            "PostgreSQL needs psycopg, which is not installed: "
            "pip install 'pytest-release[packages]'"
        ) from None
    return psycopg


def address_of(given: str, key: str = "services.postgres.dsn") -> Mapping[str, Any]:
    """The parts of a DSN.

    Args:
        given: The DSN.
        key: Where it was said, for messages.

    Raises:
        TargetError: It is none, or one that the driver would understand in a dangerous way.
    """
    psycopg = _driver()
    if not given.strip():
        raise TargetError(f"postgres: {key} is missing: {ADDRESS}")
    try:
        address: Mapping[str, Any] = psycopg.conninfo.conninfo_to_dict(given)
    except psycopg.Error:
        raise TargetError(f"postgres: {key} is no address: {ADDRESS}") from None
    if "@" in str(address.get("host", "")):  # else a part of the password is shown as the host
        raise TargetError(f"postgres: {key} has an @ too many: in a user or password write it %40")
    return address


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
