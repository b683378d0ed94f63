"""The rows of a package, into the database, in one transaction.

1. Nobody else installs the same UUID meanwhile: an advisory lock, held to the end.
2. The old rows go, dependents first; identities that other files are bound to stay for the moment.
3. The new rows come, in the order of import, straight from the archive. Identities and bindings are
   put aside first: an identity that agrees with one of another file becomes part of it, which is
   recorded, and its bindings go over.
4. Each table's rows are counted, and compared with what the verified package holds.
5. The status is set. The bytes that were read are those that were verified; only then it commits.

Whatever goes wrong before the commit leaves everything as it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from pytest_release.config.system import Identities, System, Table
from pytest_release.errors import PackageError
from pytest_release.packages.contents import Package
from pytest_release.packages.dump import CopyBlock
from pytest_release.packages.rows import copy_rows
from pytest_release.targets.postgres import Database

LOCK = 0x72656C65  # of all installations; a second number stands for the UUID
UNCHANGED = "nothing was changed"
Say = Callable[[int, str], None]


class RowInstallation:
    """One package's way into the database; `transaction` is around all of it.

    Args:
        database: A session that may write.
        system: Whose tables they are.
        package: Verified.
        say: Is told the number of a step and what it did.
    """

    def __init__(self, database: Database, system: System, package: Package, say: Say) -> None:
        self.database = database
        self.connection = database.connection
        self.system = system
        self.package = package
        self.say = say
        self.doing = "step 2"
        self.aside = {
            name: sql.Identifier(f"release_new_{name}") for name in _put_aside(system.identities)
        }

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything within the block happens, or nothing.

        Raises:
            PackageError: With what refused, where, and that nothing was changed.
        """
        try:
            with self.connection.transaction():
                yield
                self.doing = "the commit"
        except psycopg.Error as error:
            raise PackageError(self._explained(error)) from None

    def clean(self) -> None:
        """Take the UUID's old rows away."""
        self._lock()
        gone = []
        for table in reversed(list(self.system.tables.values())):
            self.doing = f"step 2, cleaning {table.table}"
            count = self._execute(self._deletion(table)).rowcount
            gone += [f"{count} {table.name}"] if count else []
        if merges := self._merges():
            statement = sql.SQL("DELETE FROM {} WHERE {} = {}")
            self._execute(statement.format(merges, self._merge_column("uuid"), self._uuid))
        self.say(2, f"Cleaning ... DELETE {', '.join(reversed(gone)) or 'nothing'}")

    def fill(self) -> None:
        """Bring the new rows in, count them, and compare."""
        for name in self._filling():
            self._merge(name)
            table = self.system.tables[name]
            self.say(3, f"Importing {table.table} ... COPY {self.package.tables[name].rows}")
        self._compare()

    def finish(self) -> None:
        """Mark the deployment as complete."""
        status = self.system.status
        if status is None:
            self.say(5, "Setting the status ... the system has none")
            return
        table = self.system.tables[status.table]
        self.doing = f"step 5, setting {table.table}.{status.column}"
        statement = sql.SQL("UPDATE {} SET {} = {} WHERE {} = {}").format(
            self._relation(table),
            sql.Identifier(status.column),
            sql.Literal(status.value),
            sql.Identifier(table.uuid),
            self._uuid,
        )
        count = self._execute(statement).rowcount
        self.say(5, f"Setting {table.table}.{status.column} = {status.value} ... UPDATE {count}")

    @property
    def _uuid(self) -> sql.Composable:
        return sql.Literal(self.package.uuid)

    def _relation(self, table: Table) -> sql.Composable:
        return self.database.relation(self.system, table)

    def _execute(self, statement: sql.Composed) -> psycopg.Cursor[tuple[Any, ...]]:
        return self.connection.execute(statement)

    def _lock(self) -> None:
        self.doing = "step 2, locking"
        statement = sql.SQL("SELECT pg_try_advisory_xact_lock({}, hashtext({}))")
        row = self._execute(statement.format(sql.Literal(LOCK), self._uuid)).fetchone()
        if not row or not row[0]:
            raise PackageError(
                f"{self.package.uuid} is being installed by somebody else; {UNCHANGED}, "
                "try again when they are done"
            )

    def _deletion(self, table: Table) -> sql.Composed:
        statement = sql.SQL("DELETE FROM {} WHERE {} = {}").format(
            self._relation(table), sql.Identifier(table.uuid), self._uuid
        )
        people = self.system.identities
        if people is None or table.name != people.table:
            return statement
        return statement + sql.SQL(" AND NOT EXISTS (SELECT FROM {} b WHERE b.{} = {}.{})").format(
            self._relation(self.system.tables[people.bindings]),
            sql.Identifier(people.bound_identity),
            sql.Identifier(table.table),
            sql.Identifier(people.id),
        )

    def _filling(self) -> Iterator[str]:
        """Copies one table after the other; gives the name of each that is complete."""
        files = {table.file: name for name, table in self.system.tables.items()}
        there = [files[member] for member in self.package.members if member in files]
        in_order = there == list(self.system.tables)
        passes = [there] if in_order else [[name] for name in self.system.tables]
        for names in passes:
            last = ""
            blocks = copy_rows(self.package.path, self.system, names, sha256=self.package.sha256)
            for name, copy, rows in blocks:
                if last not in ("", name):
                    yield last
                self._copy(self.system.tables[name], copy, rows)
                last = name
            yield last

    def _copy(self, table: Table, copy: CopyBlock, rows: Iterator[bytes]) -> None:
        self.doing = f"step 3, importing {table.table} from {table.file}"
        target = self.aside.get(table.name) or self._relation(table)
        if table.name in self.aside:
            self._execute(
                sql.SQL(
                    "CREATE TEMP TABLE IF NOT EXISTS {} (LIKE {} INCLUDING DEFAULTS) ON COMMIT DROP"
                ).format(target, self._relation(table))
            )
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(target, _names(copy.columns))
        with self.connection.cursor() as cursor, cursor.copy(statement) as into:
            for block in rows:
                into.write(block)

    def _merge(self, name: str) -> None:
        """Bring rows that were put aside to their table, identities merged on the way."""
        people = self.system.identities
        if people is None or name not in self.aside:
            return
        self.doing = f"step 3, merging {self.system.tables[name].table}"
        if name == people.table:
            self._record_merges(people)
            self._refuse_lost(people)
            self._execute(self._identities_in(people))
        else:
            self._execute(self._bindings_in(people))

    def _merges(self) -> sql.Composable | None:
        merges = self.system.identities.merges if self.system.identities else None
        if merges is None:
            return None
        return sql.Identifier(self.database.schema(self.system), merges.table)

    def _merge_column(self, name: str) -> sql.Composable:
        assert self.system.identities is not None
        return sql.Identifier(getattr(self.system.identities.merges, name))

    def _names_of(self, people: Identities) -> dict[str, sql.Composable]:
        """What the statements about identities name."""
        table = self.system.tables[people.table]
        columns = self.package.tables[people.table].columns
        updates = [sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(c)) for c in columns]
        names: dict[str, sql.Composable] = {
            "new": self.aside[people.table],
            "identities": self._relation(table),
            "id": sql.Identifier(people.id),
            "uuid": sql.Identifier(table.uuid),
            "this": self._uuid,
            "columns": _names(columns),
            "updates": sql.SQL(", ").join(updates),
        }
        if (merges := self._merges()) is not None and people.merges is not None:
            names |= {
                "merges": merges,
                "owner": self._merge_column("uuid"),
                "merged": self._merge_column("merged"),
                "into": self._merge_column("into"),
                "on": sql.Identifier(people.merges.on),
            }
        return names

    def _record_merges(self, people: Identities) -> None:
        if people.merges is None:
            return
        statement = """
            INSERT INTO {merges} ({owner}, {merged}, {into})
            SELECT {this}, n.{id}, (array_agg(i.{id} ORDER BY i.{id}))[1]
            FROM {new} n JOIN {identities} i ON i.{on} = n.{on} AND i.{uuid} <> {this}
            GROUP BY n.{id}
        """
        self._execute(sql.SQL(statement).format(**self._names_of(people)))

    def _refuse_lost(self, people: Identities) -> None:
        """An identity that other files are bound to must be in the new package, too."""
        statement = sql.SQL(
            "SELECT i.{id}::text FROM {identities} i WHERE i.{uuid} = {this} "
            "AND NOT EXISTS (SELECT FROM {new} n WHERE n.{id} = i.{id}) LIMIT 1"
        ).format(**self._names_of(people))
        if row := self._execute(statement).fetchone():
            raise PackageError(
                f"identity {row[0]} of {self.package.uuid} is not in the new package, and faces of "
                f"other files are bound to it; {UNCHANGED}: bind them to another identity first"
            )

    def _identities_in(self, people: Identities) -> sql.Composed:
        unmerged = (
            "WHERE NOT EXISTS (SELECT FROM {merges} m WHERE m.{owner} = {this}"
            " AND m.{merged} = n.{id})"
        )
        parts = [
            "INSERT INTO {identities} ({columns}) SELECT {columns} FROM {new} n",
            unmerged if people.merges else "",
            "ON CONFLICT ({id}) DO UPDATE SET {updates} WHERE {identities}.{uuid} = {this}",
        ]
        return sql.SQL(" ".join(parts)).format(**self._names_of(people))

    def _bindings_in(self, people: Identities) -> sql.Composed:
        columns = self.package.tables[people.bindings].columns
        shown = [sql.SQL("n.{}").format(sql.Identifier(column)) for column in columns]
        names = self._names_of(people) | {
            "bindings": self._relation(self.system.tables[people.bindings]),
            "rows": self.aside[people.bindings],
            "listed": _names(columns),
        }
        joined = ""
        if people.merges is not None:
            bound = columns.index(people.bound_identity)
            shown[bound] = sql.SQL("coalesce(m.{}, n.{})").format(
                self._merge_column("into"), sql.Identifier(people.bound_identity)
            )
            joined = "LEFT JOIN {merges} m ON m.{owner} = {this} AND m.{merged} = n.{bound}"
            names["bound"] = sql.Identifier(people.bound_identity)
        names["shown"] = sql.SQL(", ").join(shown)
        parts = ["INSERT INTO {bindings} ({listed}) SELECT {shown} FROM {rows} n", joined]
        return sql.SQL(" ".join(parts)).format(**names)

    def _compare(self) -> None:
        """Each table holds as many rows as were copied, merged ones left out."""
        self.doing = "step 3, counting"
        counted = self.database.counts(self.system, [self.package.uuid])[self.package.uuid]
        merged = self._merged()
        people = self.system.identities
        for name, contents in self.package.tables.items():
            expected = contents.rows - (merged if people and name == people.table else 0)
            if counted[name] != expected:
                table = self.system.tables[name].table
                raise PackageError(
                    f"step 3: {table} has {counted[name]} rows after COPY of {expected}; "
                    f"{UNCHANGED}: look for a trigger or a rule on {table}"
                )

    def _merged(self) -> int:
        if (merges := self._merges()) is None:
            return 0
        statement = sql.SQL("SELECT count(*) FROM {} WHERE {} = {}")
        row = self._execute(
            statement.format(merges, self._merge_column("uuid"), self._uuid)
        ).fetchone()
        return int(row[0]) if row else 0

    def _explained(self, error: psycopg.Error) -> str:
        """The procedure's failure table, as one sentence with where, what and what to do."""
        if isinstance(error, psycopg.OperationalError) and self.connection.closed:
            if self.doing == "the commit":
                return (
                    f"the connection to postgres {self.database.place} was lost during the commit: "
                    "it is not known whether it happened; install again, which is harmless"
                )
            return (
                f"the connection to postgres {self.database.place} was lost during {self.doing}; "
                f"{UNCHANGED}: install again"
            )
        parts = [f"{self.doing}: {self._said(error)}", *self._quoted(error)]
        remedy = _REMEDIES.get(type(error), "look into the file named above, and install again")
        return f"{'; '.join(filter(None, parts))}; {UNCHANGED}: {remedy}"

    @property
    def _has_secrets(self) -> bool:
        """Of any table: the key that one's error quotes may be another's masked column."""
        return any(table.masked for table in self.system.tables.values())

    def _said(self, error: psycopg.Error) -> str:
        if not self._has_secrets:
            return error.diag.message_primary or str(error).strip().partition("\n")[0]
        constraint = error.diag.constraint_name
        return type(error).__name__ + (f" ({constraint})" if constraint else "")

    def _quoted(self, error: psycopg.Error) -> tuple[str, str]:
        """The row that the server names, and where it stands; no value where there are secrets."""
        where = (error.diag.context or "").partition("\n")[0]
        if not self._has_secrets:
            return (error.diag.message_detail or "").rstrip("."), where
        place = _PLACE.match(where)
        return "", place[0] if place else ""


_PLACE = re.compile(r"COPY \w+, line \d+")  # what follows in a context quotes the value
_REMEDIES: dict[type[Exception], str] = {
    psycopg.errors.ForeignKeyViolation: (
        "the row it refers to is not in the package; look into that table's sql file, make the "
        "package again"
    ),
    psycopg.errors.UniqueViolation: (
        "the row is there already, perhaps of another file; look into that table's sql file"
    ),
    psycopg.errors.UndefinedTable: (
        "the schema is not migrated; see services.postgres.schema, and run the migrations"
    ),
    psycopg.errors.UndefinedColumn: (
        "the schema and the package are of different versions; get the matching package"
    ),
    psycopg.errors.DiskFull: "the database has no disk space left; see df, clean up",
}


def _put_aside(people: Identities | None) -> Sequence[str]:
    return (people.table, people.bindings) if people else ()


def _names(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))
