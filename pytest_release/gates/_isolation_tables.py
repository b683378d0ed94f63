"""The tables of both schemas: which must be two, which may be one, and what leads across."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.evidence import Finding
from pytest_release.gates._isolation_pg import PostgresStore
from pytest_release.gates._isolation_sides import Pair, Side
from pytest_release.gates._isolation_stores import several
from pytest_release.gates._scene import Scene

EXAMPLES = 10
MOST = 5_000  # relations of a schema
KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}

RELATIONS = """
SELECT c.relname::text, c.relkind::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
ORDER BY 1 LIMIT %s
"""
# A foreign key, a default and an inheritance that reach into another schema; what an extension
# brought is nobody's.
ACROSS = """
SELECT c.relname::text, 'its foreign key ' || k.conname, m.nspname::text, r.relname::text
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace m ON m.oid = r.relnamespace
WHERE k.contype = 'f' AND n.nspname = %(own)s AND m.nspname <> %(own)s
UNION ALL
SELECT c.relname::text, 'the default of ' || a.attname, m.nspname::text, r.relname::text
FROM pg_attrdef f
JOIN pg_class c ON c.oid = f.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
  AND d.refclassid = 'pg_class'::regclass
JOIN pg_class r ON r.oid = d.refobjid JOIN pg_namespace m ON m.oid = r.relnamespace
WHERE n.nspname = %(own)s AND m.nspname <> %(own)s AND m.nspname !~ '^pg_'
UNION ALL
SELECT c.relname::text, 'it inherits', m.nspname::text, r.relname::text
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = i.inhparent JOIN pg_namespace m ON m.oid = r.relnamespace
WHERE n.nspname = %(own)s AND m.nspname <> %(own)s
ORDER BY 1, 2 LIMIT %(most)s
"""


def tables(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """Every table is on one of the two lists; those that must be isolated stand in both schemas."""
    isolated: Sequence[str] = case.options["isolated"]
    shared: Sequence[str] = case.options.get("shared", ())
    for side, _ in pair.both:
        store = side.store("postgres")
        assert isinstance(store, PostgresStore)
        there = dict(store.database.query(RELATIONS, [store.schema, MOST]))
        yield from _missing(store, side, isolated, there)
        yield from _one_for_both(store, isolated, there)
        yield from _unlisted(store, side, [*isolated, *shared], there)
        yield from _across(store, shared)


def _missing(
    store: PostgresStore, side: Side, isolated: Sequence[str], there: Mapping[str, Any]
) -> Iterator[Finding]:
    lacking = [name for name in isolated if name not in there]
    if lacking:
        number = several(len(lacking), "table")
        message = (
            f"the schema {store.schema} of {side.name} lacks {number} that must be its own: "
            f"{', '.join(lacking)}; whoever asks for one there reaches the next schema's"
        )
        yield Finding("isolation.table-missing", message, received=f"{len(lacking)} missing")


def _one_for_both(
    store: PostgresStore, isolated: Sequence[str], there: Mapping[str, str]
) -> Iterator[Finding]:
    for name in isolated:
        if kind := KINDS.get(there.get(name, "r")):
            message = f"{store.schema}.{name} is {kind}, so its rows are those of another table"
            yield Finding("isolation.table-shared", message, expected="a table of its own")


def _unlisted(
    store: PostgresStore, side: Side, listed: Sequence[str], there: Mapping[str, str]
) -> Iterator[Finding]:
    unknown = [n for n in there if not any(fnmatch(n, pattern) for pattern in listed)]
    if unknown:
        shown = ", ".join(unknown[:EXAMPLES])
        received = several(len(unknown), "table")
        message = (
            f"{received} of {store.schema} of {side.name} on neither list: {shown}; "
            "say whether they may be shared"
        )
        yield Finding("isolation.table-unlisted", message, expected="none", received=received)


def _across(store: PostgresStore, shared: Sequence[str]) -> Iterator[Finding]:
    rows = store.database.query(ACROSS, {"own": store.schema, "most": MOST})
    found = [
        f"{store.schema}.{table}: {how} leads to {schema}.{other}"
        for table, how, schema, other in rows
        if not any(fnmatch(other, pattern) for pattern in shared)
    ]
    if found:
        more = f"; and {len(found) - EXAMPLES} more" if len(found) > EXAMPLES else ""
        message = "; ".join(found[:EXAMPLES]) + more
        received = several(len(found), "reference")
        yield Finding("isolation.reference-across", message, expected="none", received=received)
