"""The ways in which the rows of a table are counted; what several cases need is asked for once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import sql

from pytest_release.config.cases import DataCase, Request
from pytest_release.config.system import PackageLayout, Table, VectorTable
from pytest_release.deployments import Deployments
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._answer import MissingPathError, cut, lookup
from pytest_release.hostile import one_line
from pytest_release.packages.contents import Aspect, Flaw, Package, TableContents
from pytest_release.packages.vector_file import read_vector_tables
from pytest_release.redaction import reveal
from pytest_release.targets.postgres import Column, MissingRelationError, array

API_BYTES = 1024 * 1024
UNSURE = (Aspect.ARCHIVE, Aspect.MANIFEST, Aspect.TABLES)  # flaws that make a count worth nothing
EMPTY = "no-rows"  # the flaw of a table that holds none, which is a sure count


@dataclass(frozen=True)
class Count:
    """What one way of counting gave.

    Attributes:
        way: ``package``, ``postgres``, ``sqlite`` or ``api``.
        rows: None when it gave no number; then `problem` says why.
        where: What was counted, for people.
        problem: Why this is no number to rely on.
    """

    way: str
    rows: int | None
    where: str
    problem: Finding | None = None


class Ways:
    """Counts one table of one UUID.

    Args:
        case: Names both, and what is expected.
        deployments: Share the answers among the cases of a run.
    """

    def __init__(self, case: DataCase, deployments: Deployments) -> None:
        self.case, self.uuid, self.deployments = case, case.uuid, deployments
        self.system = deployments.system
        self.table: Table = self.system.tables[case.table]

    def named(self, way: str) -> bool:
        """Whether the case asks for a way by its name."""
        return way in self.case.expect.get("ways", ())

    def wanted(self, way: str) -> bool:
        """Whether the case asks for a way, or leaves it open."""
        return way in self.case.expect.get("ways", (way,))

    def package(self) -> tuple[Count, TableContents | None]:
        """The rows of the package, and what else is known of them when they are sure."""
        if not self.deployments.has_package(self.uuid):
            message = (
                f"there is no package of {self.uuid} to compare {self.table.name} with: give "
                "--package FILE, or name the folder of packages as services.files.packages in the "
                "environment, or name other ways in the case"
            )
            return Count("package", None, "", Finding("row_count.no-package", message)), None
        package = self.deployments.package(self.uuid)
        contents = package.tables.get(self.table.name)
        where = f"{self.table.file} of {package.path.name}"
        if contents is None or (reason := self._unsure(package)):
            why = reason if contents is not None else self._unread(package)
            message = f"the package's count of {self.table.name} is worth nothing: {why}"
            problem = Finding("row_count.package", one_line(message))
            return Count("package", None, where, problem), None
        return Count("package", contents.rows, where), contents

    def _unsure(self, package: Package) -> str:
        """Why the count cannot be relied upon; empty when it can."""
        if not package.complete:
            return self._unread(package)
        return "; ".join(flaw.message for flaw in package.flaws if self._spoils(flaw))

    def _spoils(self, flaw: Flaw) -> bool:
        if flaw.aspect not in UNSURE or flaw.code == EMPTY:
            return False
        return flaw.member in ("", self.table.file)  # one of no member may be about any

    def _unread(self, package: Package) -> str:
        reasons = [flaw.message for flaw in package.flaws if flaw.member in ("", self.table.file)]
        return "; ".join(reasons) or f"{self.table.file} was not read"

    def postgres(self, schema: str | None = None) -> Count:
        """The rows of the database, in the system's schema or in another."""
        name = f"{schema or self.deployments.database.schema(self.system)}.{self.table.table}"
        rows = self._counts(schema)[self.uuid][self.table.name]
        if rows is not None or schema is not None:
            return Count("postgres", rows, name)
        if self.shape():
            message = f"{self.table.table} has no column {self.table.uuid!r}"
            problem = Finding("row_count.columns", message, expected=self.table.uuid)
        else:
            message = f"there is no table {name} in the database"
            problem = Finding("row_count.missing-table", message, expected=self.table.table)
        return Count("postgres", None, name, problem)

    def _counts(self, schema: str | None) -> Mapping[str, Mapping[str, int | None]]:
        deployments = self.deployments
        return deployments.once(
            ("counts", schema),
            lambda: deployments.database.counts(self.system, deployments.uuids, schema),
        )

    def rows(self) -> dict[str, int]:
        """The rows of every UUID of the run in the database."""
        counts = self._counts(None)
        return {uuid: rows[self.table.name] or 0 for uuid, rows in counts.items()}

    def shape(self) -> tuple[Column, ...]:
        """The table's columns in the database; none when there is no such table."""
        shapes = self.deployments.once(
            ("shapes",), lambda: self.deployments.database.shapes(self.system)
        )
        return shapes.get(self.table.name, ())

    def vectors(self) -> int | None:
        """The database's rows that have a vector; None when the table has none to have."""
        columns = {column.name for column in self.shape()} & self.table.vectors.keys()
        if not columns:
            return None
        key = ("vectors", self.table.name)
        counts = self.deployments.once(key, lambda: self._vectors(sorted(columns)))
        return counts.get(self.uuid, 0)

    def _vectors(self, columns: list[str]) -> dict[str, int]:
        database, owner = self.deployments.database, sql.Identifier(self.table.uuid)
        counted = sql.SQL(", ").join(
            sql.SQL("count({})").format(sql.Identifier(c)) for c in columns
        )
        statement = sql.SQL("SELECT {}::text, least({}) FROM {} WHERE {} = ANY({}) GROUP BY 1")
        relation = database.relation(self.system, self.table)
        uuids = sql.Literal(array(self.deployments.uuids))
        return dict(database.query(statement.format(owner, counted, relation, owner, uuids)))

    def merged(self) -> tuple[str, ...]:
        """Ids of the package's identities that became part of others.

        Raises:
            TargetError: There is no table of merges, or the server refuses.
        """
        people = self.system.identities
        if people is None or people.merges is None or people.table != self.table.name:
            return ()
        return self.deployments.once(("merged",), self._merges).get(self.uuid, ())

    def _merges(self) -> dict[str, tuple[str, ...]]:
        assert self.system.identities is not None
        merges = self.system.identities.merges
        assert merges is not None
        database = self.deployments.database
        statement = sql.SQL(
            "SELECT {0}::text, array_agg({1}::text) FROM {2} WHERE {0} = ANY({3}) GROUP BY 1"
        )
        owner, merged = sql.Identifier(merges.uuid), sql.Identifier(merges.merged)
        relation = sql.Identifier(database.schema(self.system), merges.table)
        uuids = sql.Literal(array(self.deployments.uuids))
        try:
            rows = database.query(statement.format(owner, merged, relation, uuids))
        except MissingRelationError as error:
            raise TargetError(f"which identities were merged is not known: {error}") from None
        return {uuid: tuple(ids) for uuid, ids in rows}

    def sqlite(self) -> Iterator[Count]:
        """The vectors of the deployed SQLite file, in each vec0 table that stands for the table."""
        layout = self.system.package
        tables = layout.vector_tables if layout else ()
        names = [vectors for vectors in tables if vectors.table == self.table.name]
        output = self.deployments.environment.services.get("files", {}).get("output")
        if layout is None or layout.sqlite is None or not names or not output:
            if self.named("sqlite"):
                lacks = "a vec0 table for it" if not names else "services.files.output"
                message = f"{self.table.name} cannot be counted in SQLite: {lacks} is not named"
                yield Count("sqlite", None, "", Finding("row_count.sqlite", message))
            return
        folder = Path(reveal(output)) / self.uuid
        yield from self._deployed(
            folder / layout.sqlite.replace("{uuid}", self.uuid), layout, names
        )

    def _deployed(
        self, file: Path, layout: PackageLayout, names: list[VectorTable]
    ) -> Iterator[Count]:
        found = self.deployments.once(
            ("sqlite", self.uuid), lambda: read_vector_tables(file, layout)
        )
        for vectors in names:
            where = f"{vectors.name} of {file.name}"
            if vectors.name in found.tables:
                yield Count("sqlite", found.tables[vectors.name].rows, where)
                continue
            reason = "; ".join(flaw.message for flaw in found.flaws) or f"no {vectors.name}"
            message = f"{file.name} does not count {self.table.name}: {reason}"
            yield Count("sqlite", None, where, Finding("row_count.sqlite", one_line(message)))

    def api(self) -> Iterator[Count]:
        """The number that an endpoint answers, if the case names one."""
        asked: Mapping[str, str] | None = self.case.expect.get("api")
        if asked is None:
            if self.named("api"):
                message = f"{self.table.name} cannot be counted by the API: the case names no api"
                yield Count("api", None, "", Finding("row_count.api", message))
            return
        path = asked["path"].replace("{uuid}", self.uuid)
        where = f"{asked['value']} of GET {path}"
        answer, problem = self.deployments.once(("api", path), lambda: self._answer(path))
        if not problem:
            number, problem = _number(answer, asked["value"])
            if not problem:
                yield Count("api", number, where)
                return
        message = f"GET {path} does not count {self.table.name}: {one_line(problem)}"
        yield Count("api", None, where, Finding("row_count.api", message))

    def _answer(self, path: str) -> tuple[Any, str]:
        """The answer's JSON, or what is wrong with it."""
        request = Request(method="GET", path=path, max_bytes=API_BYTES)
        try:
            exchange = self.deployments.http.send(request)
        except TargetError as error:
            return None, str(error)
        if exchange.broken or exchange.status != 200:
            return None, exchange.broken or f"status {exchange.status}"
        try:
            return json.loads(exchange.body), ""
        except (ValueError, RecursionError):
            return None, "the answer is not JSON"


def _number(answer: Any, path: str) -> tuple[int, str]:  # noqa: ANN401 - any JSON value
    """The number at a path of an answer, or what is wrong with it."""
    try:
        value = lookup(answer, path)
    except MissingPathError as error:
        return 0, f"{path} is missing: {error}"
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return 0, f"{path} is {cut(json.dumps(value))}, expected a whole number"
    return value, ""
