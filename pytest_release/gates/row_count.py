"""A table holds what its package holds: the same number of rows, and the same rows.

Up to four ways of counting stand side by side: the package, PostgreSQL, the deployed SQLite file
and the API. One question counts every table of every UUID of the run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from psycopg import sql

from pytest_release.config.cases import DataCase, Request
from pytest_release.config.environment import GatePolicy
from pytest_release.config.system import Table
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.gates._answer import MissingPathError, lookup
from pytest_release.gates._differences import PackageRows, differences
from pytest_release.hostile import one_line
from pytest_release.packages.contents import Aspect, Package
from pytest_release.packages.vector_file import read_vector_tables
from pytest_release.redaction import reveal
from pytest_release.targets.fingerprints import Fingerprint, Fingerprints, Selection

WAYS = ("package", "postgres", "sqlite", "api")
UNSURE = (Aspect.TABLES, Aspect.VECTORS, Aspect.ARCHIVE)  # flaws that make a count worth nothing
API_BYTES = 1024 * 1024

Counts = dict[str, int | None]


def measure(case: DataCase, policy: GatePolicy, deployments: Deployments) -> Evidence:  # noqa: ARG001
    """Count the rows of one table in every way there is, then compare their content.

    Args:
        case: Of this gate; its `table` is the logical name.
        policy: Unused: nothing here has a threshold.
        deployments: Share the answers among the cases of a run.

    Raises:
        PackageError: The package cannot be read.
        TargetError: The database or the API cannot be asked.
    """
    look = _Look(case, deployments)
    findings = tuple(look.findings())
    shown = Attachment(f"rows of {case.table}", look.shown())
    return Evidence(case.id, case.gate, case.name, findings=findings, attachments=(shown,))


class _Look:
    """One table of one UUID."""

    def __init__(self, case: DataCase, deployments: Deployments) -> None:
        self.case = case
        self.uuid = case.uuid
        self.deployments = deployments
        self.system = deployments.system
        self.table: Table = self.system.tables[case.table]
        self.counts: Counts = {}

    def findings(self) -> Iterator[Finding]:
        """Everything wrong with the table."""
        ways = self.case.expect.get("ways", WAYS)
        deployed = self._deployed()
        if deployed is None:
            schema = self.deployments.database.schema(self.system)
            message = f"there is no table {schema}.{self.table.table} in the database"
            yield Finding("row_count.missing-table", message, expected=self.table.table)
            return
        self.counts["postgres"] = deployed
        package = None
        if "package" in ways:
            package = self.deployments.package(self.uuid)
            yield from self._from_package(package)
        if "sqlite" in ways:
            yield from self._from_sqlite()
        if "api" in ways and "api" in self.case.expect:
            yield from self._from_api()
        yield from self._unequal()
        yield from self._bounds(deployed)
        yield from self._foreign()
        if package is not None and self.case.expect.get("content", True):
            yield from self._content(package)

    def shown(self) -> str:
        """The counts side by side."""
        head = f"{self.table.name} of {self.uuid}"
        lines = [f"{way:<10}{'?' if n is None else n:>12}" for way, n in self.counts.items()]
        merged = len(self._merged)
        lines += [f"{'merged':<10}{merged:>12}  into identities that were there"] * bool(merged)
        return "\n".join([head, *lines])

    def _deployed(self) -> int | None:
        counts = self.deployments.once(
            ("counts",),
            lambda: self.deployments.database.counts(self.system, self.deployments.uuids),
        )
        return counts[self.uuid][self.table.name]

    @property
    def _merged(self) -> tuple[str, ...]:
        """Keys of the package's identities that became part of others."""
        people = self.system.identities
        if people is None or people.merges is None or people.table != self.table.name:
            return ()
        return self.deployments.once(
            ("merged", self.uuid), lambda: merged_identities(self.deployments, self.uuid)
        )

    def _from_package(self, package: Package) -> Iterator[Finding]:
        contents = package.tables.get(self.table.name)
        flaws = [flaw for flaw in package.flaws if flaw.aspect in UNSURE]
        flaws = [f for f in flaws if f.aspect is Aspect.ARCHIVE or f.member == self.table.file]
        if contents is None or flaws or not package.complete:
            reason = flaws[0].message if flaws else f"{self.table.file} was not read"
            message = f"the package's count of {self.table.name} is worth nothing: {reason}"
            self.counts["package"] = None
            yield Finding("row_count.package", message)
            return
        self.counts["package"] = contents.rows

    def _from_sqlite(self) -> Iterator[Finding]:
        layout = self.system.package
        vectors = layout.vector_tables if layout else ()
        names = [vector.name for vector in vectors if vector.table == self.table.name]
        output = self.deployments.environment.services.get("files", {}).get("output")
        if not names or not output or layout is None or layout.sqlite is None:
            return
        file = Path(reveal(output)) / self.uuid / layout.sqlite.replace("{uuid}", self.uuid)
        found = self.deployments.once(
            ("sqlite", self.uuid), lambda: read_vector_tables(file, layout)
        )
        for name in names:
            self.counts["sqlite"] = found.tables[name].rows if name in found.tables else None
        if self.counts["sqlite"] is None:
            reason = "; ".join(flaw.message for flaw in found.flaws) or f"no table {names[0]}"
            message = f"{file.name} does not count {self.table.name}: {reason}"
            yield Finding("row_count.sqlite", one_line(message))

    def _from_api(self) -> Iterator[Finding]:
        asked: Mapping[str, str] = self.case.expect["api"]
        path = asked["path"].replace("{uuid}", self.uuid)
        request = Request(method="GET", path=path, max_bytes=API_BYTES)
        exchange = self.deployments.http.send(request)
        problem = exchange.broken or (f"status {exchange.status}" if exchange.status != 200 else "")
        value = None
        try:
            value = lookup(json.loads(exchange.body), asked["value"])
        except MissingPathError as error:
            problem = problem or f"{asked['value']} is missing: {error}"
        except (ValueError, RecursionError):
            problem = problem or "the answer is not JSON"
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not problem and not whole:
            problem = f"{asked['value']} is {json.dumps(value)[:100]}, expected a whole number"
        self.counts["api"] = value if whole and not problem else None
        if problem:
            message = f"GET {path} does not count {self.table.name}: {one_line(problem)}"
            yield Finding("row_count.api", message)

    def _unequal(self) -> Iterator[Finding]:
        expected = self.counts.get("package")
        if expected is not None:
            expected -= len(self._merged)
            source = "the package"
        else:
            expected, source = self.counts["postgres"], "PostgreSQL"
        assert expected is not None
        for way, count in self.counts.items():
            less_merged = way == "package"
            if count is None or less_merged or count == expected:
                continue
            merged = f" less {len(self._merged)} merged" * bool(self._merged)
            name = self.table.table if way == "postgres" else f"{self.table.name} by {way}"
            message = (
                f"{name} has {count} rows of {self.uuid}, {source} has {expected}{merged}: "
                f"{abs(count - expected)} {'too many' if count > expected else 'missing'}"
            )
            yield Finding("row_count.rows", message, expected=str(expected), received=str(count))

    def _bounds(self, deployed: int) -> Iterator[Finding]:
        least, most = self.case.expect.get("min", 1), self.case.expect.get("max", deployed)
        if not least <= deployed <= most:
            bound = f"at least {least}" if deployed < least else f"at most {most}"
            message = f"{self.table.table} has {deployed} rows of {self.uuid}, expected {bound}"
            yield Finding("row_count.bounds", message, expected=bound, received=str(deployed))

    def _foreign(self) -> Iterator[Finding]:
        database = self.deployments.database
        own = database.schema(self.system)
        for schema in self.system.foreign_schemas:
            if schema == own:
                continue
            counts = self.deployments.once(
                ("counts", schema),
                lambda schema=schema: database.counts(  # type: ignore[misc]
                    self.system, self.deployments.uuids, schema=schema
                ),
            )
            if count := counts[self.uuid][self.table.name]:
                message = (
                    f"{schema}.{self.table.table} has {count} rows of {self.uuid}, "
                    f"which belongs to the schema {own} alone"
                )
                yield Finding(
                    "row_count.foreign-schema", message, expected="0", received=str(count)
                )

    def _content(self, package: Package) -> Iterator[Finding]:
        contents = package.tables.get(self.table.name)
        if contents is None or self.counts.get("package") is None:
            return
        asking = Fingerprints(self.deployments.database, self.system, self.uuid)
        missing = [name for name in contents.columns if name not in asking.types(self.table)]
        if missing:
            message = f"{self.table.table} has no column {', '.join(map(repr, missing))}"
            yield Finding("row_count.columns", message, expected=", ".join(contents.columns))
            return
        columns = tuple(c for c in contents.columns if c not in self.table.rewritten)
        chosen = Selection(self.table, columns, self._merged)
        rows = PackageRows(package.path, package.sha256, self.system, chosen)
        expected = Fingerprint(contents.rows, contents.fingerprint)
        if self._merged:
            expected = rows.fingerprint()
        if asking.of([chosen])[self.table.name] == expected:
            return
        if found := differences(rows, asking):
            shown = "; ".join(map(str, found))
            message = f"{self.table.table} holds other rows than the package: {shown}"
            yield Finding("row_count.content", message)


def merged_identities(deployments: Deployments, uuid: str) -> tuple[str, ...]:
    """Ids of the identities that the package of a UUID brought and that became part of others.

    Raises:
        TargetError: The database refuses.
    """
    people = deployments.system.identities
    if people is None or people.merges is None:
        return ()
    schema = deployments.database.schema(deployments.system)
    statement = sql.SQL("SELECT {}::text FROM {} WHERE {} = {} ORDER BY 1").format(
        sql.Identifier(people.merges.merged),
        sql.Identifier(schema, people.merges.table),
        sql.Identifier(people.merges.uuid),
        sql.Literal(uuid),
    )
    return tuple(row[0] for row in deployments.database.query(statement))
