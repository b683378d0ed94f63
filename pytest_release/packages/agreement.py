"""What the parts of a package say about each other, once all of them are read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pytest_release.packages.contents import Aspect, Flaw, Package
from pytest_release.packages.documents import check_manifest
from pytest_release.packages.layout import MANIFEST, Plan


def disagreements(
    package: Package,
    plan: Plan,
    broken: Collection[str],
    manifest: Mapping[str, Any] | None,
) -> Iterator[Flaw]:
    """The flaws of what is missing and of what does not fit together.

    Args:
        package: Read to its end.
        plan: What there has to be.
        broken: Members whose content could not be read to its end; they are compared with nothing.
        manifest: Content of the manifest; None when there is none.
    """
    yield from plan.missing(package.members)
    yield from _sidecars(package, plan, broken)
    yield from _vector_tables(package, plan, broken)
    if manifest is not None and MANIFEST not in broken:
        unread = {t.name for t in plan.system.tables.values() if t.file in broken}
        yield from check_manifest(manifest, MANIFEST, package.members, package.tables, unread)


def _sidecars(package: Package, plan: Plan, broken: Collection[str]) -> Iterator[Flaw]:
    for file, sidecar in plan.sidecars.items():
        counted = package.items.get(sidecar.name)
        rows = _rows(package, plan, sidecar.table, broken)
        if file not in broken and counted is not None and rows not in (None, counted):
            message = f"{file} has {counted} {sidecar.items}, but {sidecar.table} has {rows} rows"
            yield Flaw(Aspect.SIDECARS, "count-differs", message, file, str(rows), str(counted))


def _vector_tables(package: Package, plan: Plan, broken: Collection[str]) -> Iterator[Flaw]:
    for expected in plan.layout.vector_tables:
        found = package.vector_tables.get(expected.name)
        rows = _rows(package, plan, expected.table, broken)
        if found is None or rows is None or expected.table is None:
            continue
        rows -= max(package.tables[expected.table].nulls.values(), default=0)
        if found.rows != rows:
            message = (
                f"the vec0 table {expected.name} has {found.rows} rows, "
                f"but {expected.table} has {rows} with a vector"
            )
            file = plan.name(plan.layout.sqlite or "")
            expectation = str(rows), str(found.rows)
            yield Flaw(Aspect.SQLITE, "count-differs", message, file, *expectation)


def _rows(package: Package, plan: Plan, table: str | None, broken: Collection[str]) -> int | None:
    """The rows of a table that was read to its end."""
    if table is None or table not in package.tables or plan.system.tables[table].file in broken:
        return None
    return package.tables[table].rows
