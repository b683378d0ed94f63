"""The package's rows are what is deployed: table by table, counted in every way, then compared.

- Up to four ways of counting stand side by side: package, PostgreSQL, SQLite, API.
- What a count does not show is found by fingerprints: the sum of the digests of all rows, from the
  package's lines and computed in the database. Where they differ, the rows that do are looked for.
- A package that was not read to its end, or whose table is flawed, is no measure of anything.
- Counts and fingerprints of all UUIDs of a run come from the same few questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.evidence import Attachment, Evidence, Finding, Severity
from pytest_release.gates._differences import differences
from pytest_release.gates._row_shown import described
from pytest_release.gates._row_source import PackageRows
from pytest_release.gates._row_ways import Count, Ways
from pytest_release.gates._tally import counted
from pytest_release.packages.contents import TableContents
from pytest_release.targets.fingerprints import Fingerprint, Selection, fingerprints, select


def measure(case: DataCase, policy: GatePolicy, deployments: Deployments) -> Evidence:  # noqa: ARG001
    """Count the rows of one table in every way there is, then compare their content.

    Args:
        case: Of this gate; its `table` is the logical name.
        policy: Unused: nothing here has a threshold.
        deployments: Share the answers among the cases of a run.

    Raises:
        PackageError: The package cannot be read.
        TargetError: The database cannot be asked.
    """
    look = _Look(case, deployments)
    findings = tuple(look.findings())
    shown = Attachment(f"rows of {case.table}", look.shown())
    deployed = look.deployed
    measured = () if deployed is None else (counted(f"{case.table}_rows", deployed),)
    return Evidence(
        case.id,
        case.gate,
        case.name,
        measurements=measured,
        findings=findings,
        attachments=(shown,),
    )


class _Look:
    """One table of one UUID."""

    def __init__(self, case: DataCase, deployments: Deployments) -> None:
        self.case = case
        self.uuid = case.uuid
        self.deployments = deployments
        self.ways = Ways(case, deployments)
        self.table = self.ways.table
        self.counts: list[Count] = []
        self.contents: TableContents | None = None
        self.content = "not compared"

    def findings(self) -> Iterator[Finding]:
        """Everything wrong with the table."""
        self._count()
        yield from (count.problem for count in self.counts if count.problem)
        yield from self._unequal()
        yield from self._bounds()
        if self.ways.wanted("postgres"):
            yield from self._foreign()
        if self.case.expect.get("content", True):
            yield from self._content()

    def _count(self) -> None:
        if self.ways.wanted("package"):
            count, self.contents = self.ways.package()
            self.counts.append(count)
        if self.ways.wanted("postgres"):
            self.counts.append(self.ways.postgres())
        if self.ways.wanted("sqlite"):
            self.counts += self.ways.sqlite()
        if self.ways.wanted("api"):
            self.counts += self.ways.api()

    @property
    def deployed(self) -> int | None:
        """Rows in PostgreSQL, where they were counted."""
        return self._of("postgres")

    def _of(self, way: str) -> int | None:
        return next((count.rows for count in self.counts if count.way == way), None)

    @property
    def _merged(self) -> int:
        """Rows of the package that rightly stand nowhere, since they became part of others."""
        return self._left_out.rows if self.contents else 0

    def _expected(self, way: str) -> tuple[int, str] | None:
        """What a way of counting should give, and who says so."""
        packaged = self._of("package")
        if self.contents is not None and packaged is not None:
            expected, source = packaged - self._merged, "the package"
            if way == "sqlite":
                expected -= max(self.contents.nulls.values(), default=0)
            return expected, source
        deployed = self._of("postgres")
        if deployed is None or way == "postgres":
            return None
        if way == "sqlite" and (vectors := self.ways.vectors()) is not None:
            deployed = vectors
        return deployed, "PostgreSQL"

    def _unequal(self) -> Iterator[Finding]:
        for count in self.counts:
            said = self._expected(count.way)
            if count.rows is None or said is None or count.way == "package":
                continue
            expected, source = said
            if count.rows == expected:
                continue
            merged = self._merged
            known = f"{expected + merged} less {merged} merged" if merged else f"{expected}"
            by = f"{self.table.name} by {count.way}" if count.way != "postgres" else ""
            wrong = "too many" if count.rows > expected else "missing"
            message = (
                f"{by or self.table.table} has {count.rows} rows of {self.uuid}, "
                f"{source} has {known}: {abs(count.rows - expected)} {wrong}"
            )
            yield Finding(
                "row_count.rows", message, expected=str(expected), received=str(count.rows)
            )

    def _bounds(self) -> Iterator[Finding]:
        deployed = [c for c in self.counts if c.way != "package" and c.rows is not None]
        if not deployed:
            return
        rows = deployed[0].rows
        assert rows is not None
        least, most = self.case.expect.get("min", 1), self.case.expect.get("max", rows)
        if least <= rows <= most:
            return
        bound = f"at least {least}" if rows < least else f"at most {most}"
        message = f"{self.table.table} has {rows} rows of {self.uuid}, expected {bound}"
        code = "row_count.bounds" if rows else "row_count.empty"
        yield Finding(code, message, expected=bound, received=str(rows))

    def _foreign(self) -> Iterator[Finding]:
        own = self.deployments.database.schema(self.ways.system)
        for schema in self.ways.system.foreign_schemas:
            if schema == own:
                continue
            count = self.ways.postgres(schema)
            if count.rows:
                message = (
                    f"{count.where} has {count.rows} rows of {self.uuid}, "
                    f"which belongs to the schema {own} alone"
                )
                received = str(count.rows)
                yield Finding("row_count.foreign-schema", message, expected="0", received=received)

    def _content(self) -> Iterator[Finding]:
        """The rows themselves, where both the package's and the database's are known."""
        contents, deployed = self.contents, self._of("postgres")
        if contents is None or deployed is None:
            return
        there = {column.name for column in self.ways.shape()}
        if lacking := [name for name in contents.columns if name not in there]:
            message = f"{self.table.table} has no column {', '.join(map(repr, lacking))}"
            yield Finding("row_count.columns", message, expected=", ".join(contents.columns))
            return
        merged = self._left_out
        expected = Fingerprint(contents.rows - merged.rows, contents.fingerprint - merged.digest)
        if self._fingerprint() == expected:
            self.content = f"the same in {self._compared()}"
            return
        yield self._differs()

    def _differs(self) -> Finding:
        """The rows that differ; a note when they only do so in spelling."""
        rows = max(self._of("postgres") or 0, self._of("package") or 0)
        found = differences(self._rows(), rows, self.deployments.database, self.uuid)
        name = self.table.table
        if found:
            self.content = described(found, self._chosen)
            message = f"{name} holds other rows than the package: {self.content}"
            return Finding("row_count.content", message, expected="the package's rows")
        if found.respelled and self._of("postgres") == self._of("package"):
            self.content = (
                f"the same in {self._compared()}, {found.respelled:,} rows spelled otherwise"
            )
            message = (
                f"the package spells {found.respelled} rows of {name} otherwise than PostgreSQL "
                "does; their values are the same"
            )
            return Finding("row_count.respelled", message, Severity.NOTE)
        self.content = "changing"
        message = (
            f"{name} has another fingerprint than the package, and no single row differs: "
            "something writes to it, or a key stands there more than once; run again"
        )
        return Finding("row_count.content", message, expected="the package's rows")

    @property
    def _names(self) -> list[str]:
        """The columns that are compared, in the package's order."""
        columns = self.contents.columns if self.contents else ()
        return [name for name in columns if name not in self.table.rewritten]

    @property
    def _chosen(self) -> Selection:
        deployments, ways = self.deployments, self.ways
        return select(deployments.database, ways.system, self.table, ways.shape(), self._names)

    def _rows(self) -> PackageRows:
        package = self.deployments.package(self.uuid)
        people = self.ways.system.identities
        merged = [key.encode() for key in self.ways.merged()]
        owner = people.id if people and merged else ""
        path, sha256 = package.path, package.sha256
        return PackageRows(path, sha256, self.ways.system, self._chosen, merged, owner)

    @cached_property
    def _left_out(self) -> Fingerprint:
        """Rows of the package that rightly stand nowhere: they became part of others."""
        if not self._of("postgres") or not self.ways.merged():
            return Fingerprint(0, 0)
        there = {column.name for column in self.ways.shape()}
        if not there.issuperset((*self._names, *self.table.key)):
            return Fingerprint(0, 0)
        return self._rows().left_out()

    def _fingerprint(self) -> Fingerprint:
        """The database's; of all UUIDs at once where the package's columns are the table's."""
        database, chosen = self.deployments.database, self._chosen
        whole = [c.name for c in self.ways.shape() if c.name not in self.table.rewritten]
        if self._names == whole:
            rows = {u: n for u, n in self.ways.rows().items() if self.deployments.has_package(u)}
            key: tuple[str, ...] = ("fingerprints", self.table.name)
        else:
            rows = {self.uuid: self._of("postgres") or 0}
            key = ("fingerprints", self.table.name, self.uuid)
        return self.deployments.once(key, lambda: fingerprints(database, chosen, rows))[self.uuid]

    def _compared(self) -> str:
        rewritten = sorted(self.table.rewritten)
        without = f" (without {', '.join(rewritten)})" if rewritten else ""
        return f"{len(self._names)} columns{without}"

    def shown(self) -> str:
        """The counts side by side."""
        lines = [f"{self.table.name} of {self.uuid}"]
        for count in self.counts:
            rows = "?" if count.rows is None else f"{count.rows:,}"
            said = self._expected(count.way)
            wrong = 0 if said is None or count.rows is None else count.rows - said[0]
            off = f"{wrong:+,}" if wrong and count.way != "package" else ""
            lines.append(f"{count.way:<10}{rows:>12} {off:>9}  {count.where}".rstrip())
            if count.way == "package" and (merged := self._merged):
                lines.append(f"{'merged':<10}{merged:>12,} {'':>9}  into identities of other files")
        return "\n".join([*lines, f"{'content':<10}{self.content}"])
