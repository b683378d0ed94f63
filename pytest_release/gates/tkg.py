"""The temporal knowledge graph is sound: ends, types, times, references; counts as in the package.

All questions are asked where the rows are; only the components of a graph are found here, from its
edges as numbers.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping

from psycopg import sql

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.config.system import Graph, System, Table
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._tally import (
    Figures,
    Name,
    Question,
    gathered,
    key_of,
    listing,
    part,
    some,
)

PORTIONS = 1024  # in which the edges of a graph come
TOLERANCE_S = 0.5  # that a span may reach beyond its video


def measure(case: DataCase, policy: GatePolicy, deployments: Deployments) -> Evidence:
    """Look at one aspect of a file's graph.

    Args:
        case: Of this gate; its `check` is the aspect.
        policy: Limits of figures.
        deployments: Where the rows are.

    Raises:
        TargetError: The database cannot be asked, or the system describes no graph.
        PackageError: Counts are to be compared with a package that cannot be read.
    """
    look = _Look(case, deployments)
    findings = list(_CHECKS[case.check](look))
    return gathered(case, policy, findings, look.figures)


class _Look:
    """One file's graph, and the names under which it is asked for."""

    def __init__(self, case: DataCase, deployments: Deployments) -> None:
        self.case = case
        self.expect = case.expect
        self.deployments = deployments
        self.system: System = deployments.system
        self.graph: Graph = part(self.system, "graph")
        self.nodes = self.system.tables[self.graph.nodes]
        self.edges = self.system.tables[self.graph.edges]
        self.figures = Figures()
        self.ask = Question(deployments, case.uuid, self._names())

    def rows_of(self, table: Table) -> dict[str, Name]:
        """Names for a question about either table."""
        return {
            "rows": self.ask.relation(table.name),
            "owner": sql.Identifier(table.uuid),
            "key": key_of(table, "x"),
        }

    def _names(self) -> dict[str, Name]:
        database, graph = self.deployments.database, self.graph
        columns = (
            "node",
            "node_type",
            "source",
            "target",
            "edge_type",
            "start",
            "end",
            "reference",
        )
        named = {name: getattr(graph, name) for name in columns}
        return {
            **{name: sql.Identifier(column) for name, column in named.items() if column},
            "nodes": database.relation(self.system, self.nodes),
            "edges": database.relation(self.system, self.edges),
            "node_uuid": sql.Identifier(self.nodes.uuid),
            "edge_uuid": sql.Identifier(self.edges.uuid),
            "node_key": key_of(self.nodes, "n"),
            "edge_key": key_of(self.edges, "e"),
        }


def _size(look: _Look) -> Iterator[Finding]:
    ((nodes, edges),) = look.ask(
        "SELECT (SELECT count(*) FROM {nodes} WHERE {node_uuid} = {this}),"
        " (SELECT count(*) FROM {edges} WHERE {edge_uuid} = {this})"
    )
    look.figures.add("nodes", nodes)
    look.figures.add("edges", edges)
    for table, name, count in ((look.nodes, "nodes", nodes), (look.edges, "edges", edges)):
        least = look.expect.get(f"min_{name}", 1)
        if count < least:
            message = (
                f"{table.table} has {count} rows of {look.case.uuid}, expected at least {least}"
            )
            yield Finding("tkg.too-few", message, expected=str(least), received=str(count))
        if look.deployments.has_package(look.case.uuid):
            contents = look.deployments.package(look.case.uuid).tables.get(table.name)
            packaged = contents.rows if contents else None
            if packaged != count:
                shown = "none that could be counted" if packaged is None else str(packaged)
                message = f"{table.table} has {count} rows of {look.case.uuid}, the package {shown}"
                yield Finding("tkg.count", message, expected=shown, received=str(count))


def _ends(look: _Look) -> Iterator[Finding]:
    rows = look.ask(
        "SELECT key, side, wanted, owner, count(*) OVER () FROM ("
        " SELECT {edge_key} AS key, {source_name} AS side, e.{source}::text AS wanted,"
        "  n.{node_uuid}::text AS owner FROM {edges} e LEFT JOIN {nodes} n ON n.{node} = e.{source}"
        "  WHERE e.{edge_uuid} = {this} AND n.{node_uuid} IS DISTINCT FROM {this}"
        " UNION ALL"
        " SELECT {edge_key}, {target_name}, e.{target}::text, n.{node_uuid}::text"
        "  FROM {edges} e LEFT JOIN {nodes} n ON n.{node} = e.{target}"
        "  WHERE e.{edge_uuid} = {this} AND n.{node_uuid} IS DISTINCT FROM {this}"
        ") found ORDER BY key, side LIMIT {most}",
        source_name=sql.Literal(look.graph.source),
        target_name=sql.Literal(look.graph.target),
    )
    edges, nodes = look.edges.table, look.nodes.table
    total = rows[0][-1] if rows else 0
    nowhere = [f"{edges} {k}: {s} {w} is no node of {nodes}" for k, s, w, o, _ in rows if o is None]
    across = [f"{edges} {k}: {s} {w} is a node of another file, {o}" for k, s, w, o, _ in rows if o]
    if nowhere:
        yield listing("tkg.edge-to-nowhere", nowhere, "ends", total if not across else None)
    if across:
        yield listing("tkg.edge-across-files", across, "ends", total if not nowhere else None)


def _types(look: _Look) -> Iterator[Finding]:
    for kind, table, column in (
        ("node", look.nodes, "node_type"),
        ("edge", look.edges, "edge_type"),
    ):
        allowed = look.expect.get(f"{kind}_types")
        if allowed is None:
            continue
        rows = look.ask(
            "SELECT x.{column}::text, count(*), min({key}) FROM {rows} x"
            " WHERE x.{owner} = {this} GROUP BY 1 ORDER BY 1",
            column=sql.Identifier(getattr(look.graph, column)),
            **look.rows_of(table),
        )
        name = getattr(look.graph, column)
        unknown = [
            f"{table.table} {key}: {name} {found!r} is not allowed ({count} rows)"
            for found, count, key in rows
            if found not in allowed
        ]
        if unknown:
            yield listing(f"tkg.{kind}-type", unknown, "types")
    if "pairs" in look.expect:
        yield from _pairs(look)


def _pairs(look: _Look) -> Iterator[Finding]:
    allowed = {tuple(pair) for pair in look.expect["pairs"]}
    rows = look.ask(
        "SELECT s.{node_type}::text, e.{edge_type}::text, t.{node_type}::text, count(*),"
        " min({edge_key}) FROM {edges} e JOIN {nodes} s ON s.{node} = e.{source}"
        " JOIN {nodes} t ON t.{node} = e.{target} WHERE e.{edge_uuid} = {this}"
        " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    wrong = [
        f"{look.edges.table} {key}: {a} {kind} {b} is not allowed ({count} edges)"
        for a, kind, b, count, key in rows
        if (a, kind, b) not in allowed
    ]
    if wrong:
        yield listing("tkg.type-pair", wrong, "pairs")


def _duplicates(look: _Look) -> Iterator[Finding]:
    names = [look.graph.source, look.graph.target, look.graph.edge_type]
    names += [name for name in (look.graph.start, look.graph.end) if name]
    rows = look.ask(
        "SELECT min({edge_key}), count(*), e.{source}::text, e.{edge_type}::text, e.{target}::text,"
        " count(*) OVER () FROM {edges} e WHERE e.{edge_uuid} = {this}"
        " GROUP BY {alike} HAVING count(*) > 1 ORDER BY 1 LIMIT {most}",
        alike=sql.SQL(", ").join([sql.Identifier("e", name) for name in names]),
    )
    table = look.edges.table
    yield from some(
        "tkg.duplicate-edge",
        lambda key, times, a, kind, b: f"{table} {key}: {a} {kind} {b} stands {times} times",
        rows,
        "edges",
    )
    if not look.expect.get("self_loops", False):
        rows = look.ask(
            "SELECT {edge_key}, e.{source}::text, count(*) OVER () FROM {edges} e"
            " WHERE e.{edge_uuid} = {this} AND e.{source} = e.{target} ORDER BY 1 LIMIT {most}"
        )
        yield from some(
            "tkg.self-loop",
            lambda key, node: f"{table} {key}: leads from {node} to itself",
            rows,
            "edges",
        )


def _times(look: _Look) -> Iterator[Finding]:
    graph = look.graph
    if not graph.start or not graph.end:
        yield Finding("tkg.no-times", f"{look.system.source} names no columns graph.start and end")
        return
    duration = None
    if graph.videos:
        videos = look.system.tables[graph.videos]
        found = look.ask(
            "SELECT {duration}::float8 FROM {videos} WHERE {video_uuid} = {this}",
            duration=sql.Identifier(graph.duration),
            videos=look.ask.relation(graph.videos),
            video_uuid=sql.Identifier(videos.uuid),
        )
        if not found or found[0][0] is None or not found[0][0] > 0:
            message = f"{videos.table} does not say how long {look.case.uuid} is"
            yield Finding("tkg.no-duration", message, expected="a duration above 0")
            return
        duration = float(found[0][0])
    slack = look.expect.get("tolerance_s", TOLERANCE_S)
    for kind, table in (("node", look.nodes), ("edge", look.edges)):
        rows = look.ask(
            "SELECT {key}, x.{start}::text, x.{end}::text, count(*) OVER () FROM {rows} x"
            " WHERE x.{owner} = {this} AND NOT (coalesce(x.{start} <= x.{end}, true)"
            " AND coalesce(x.{start} >= {low} AND x.{start} <= {high}, true)"
            " AND coalesce(x.{end} >= {low} AND x.{end} <= {high}, true))"
            " ORDER BY 1 LIMIT {most}",
            low=sql.Literal(-slack),
            high=sql.Literal((duration if duration is not None else math.inf) + slack),
            **look.rows_of(table),
        )
        bound = "" if duration is None else f" within 0 to {duration:g}"
        yield from some(
            f"tkg.{kind}-time",
            lambda key, start, end, table=table, bound=bound: (
                f"{table.table} {key}: {start} to {end} is no span{bound}"
            ),
            rows,
            "spans",
        )


def _connectivity(look: _Look) -> Iterator[Finding]:
    ((nodes,),) = look.ask("SELECT count(*) FROM {nodes} WHERE {node_uuid} = {this}")
    ((isolated, example),) = look.ask(
        "SELECT count(*), min({node_key}) FROM {nodes} n WHERE n.{node_uuid} = {this}"
        " AND NOT EXISTS (SELECT FROM {edges} e WHERE e.{source} = n.{node}"
        "  AND e.{edge_uuid} = {this})"
        " AND NOT EXISTS (SELECT FROM {edges} e WHERE e.{target} = n.{node}"
        "  AND e.{edge_uuid} = {this})"
    )
    where = f"{isolated} of {nodes} rows of {look.nodes.table} have no edge, {example} for one"
    look.figures.add("isolated_nodes_share", isolated / nodes if nodes else 0.0, where)
    look.figures.add("components", _components(look, nodes), f"parts of {look.nodes.table}")
    if not nodes:
        yield Finding("tkg.too-few", f"{look.nodes.table} has no row of {look.case.uuid}")


def _components(look: _Look, nodes: int) -> int:
    """How many parts the graph falls into: union-find (Tarjan) over its edges as numbers."""
    parent = array("i", range(nodes))
    parts = nodes
    pairs = look.ask.composed(
        "WITH numbered AS MATERIALIZED (SELECT {node} AS id,"
        " (row_number() OVER () - 1)::int4 AS number FROM {nodes} WHERE {node_uuid} = {this})"
        " SELECT string_agg(int4send(s.number) || int4send(t.number), '') FROM {edges} e"
        " JOIN numbered s ON s.id = e.{source} JOIN numbered t ON t.id = e.{target}"
        " WHERE e.{edge_uuid} = {this} GROUP BY s.number % {portions}",
        portions=sql.Literal(PORTIONS),
    )
    for line in look.deployments.database.copy_out(pairs):
        numbers = array("i", bytes.fromhex(line[3:].decode()))  # behind the x of its bytea
        if sys.byteorder == "little":  # the network's order is the other one
            numbers.byteswap()
        ends = iter(numbers)
        for source, target in zip(ends, ends, strict=True):
            a, b = source, target
            while (up := parent[a]) != a:
                parent[a] = a = parent[up]
            while (up := parent[b]) != b:
                parent[b] = b = parent[up]
            if a != b:
                parent[a] = b
                parts -= 1
    return parts


_DANGLING = (
    "SELECT {node_key}, coalesce(n.{reference}::text, 'null'), count(*) OVER ()"
    " FROM {nodes} n WHERE n.{node_uuid} = {this} AND n.{node_type} = {kind}"
)


def _references(look: _Look) -> Iterator[Finding]:
    if look.graph.reference is None:
        message = f"{look.system.source} names no column graph.reference"
        yield Finding("tkg.no-references", message)
        return
    for kind, reference in look.graph.references.items():
        table = look.system.tables[reference.table]
        people = look.system.identities
        shared = people is not None and people.table == reference.table
        merged = people.merges if people is not None and shared else None
        names: dict[str, Name] = {
            "kind": sql.Literal(kind),
            "rows": look.ask.relation(reference.table),
            "column": sql.Identifier(reference.column),
            "owner": sql.Identifier(table.uuid),
        }
        known = " AND NOT EXISTS (SELECT FROM {rows} r WHERE r.{column}::text = n.{reference}::text"
        known += ")" if shared else " AND r.{owner} = {this})"
        if merged is not None:
            schema = look.deployments.database.schema(look.system)
            known += (
                " AND NOT EXISTS (SELECT FROM {merges} m JOIN {rows} r ON r.{column} = m.{into}"
            )
            known += " WHERE m.{merged}::text = n.{reference}::text AND m.{merge_owner} = {this})"
            names |= {
                "merges": sql.Identifier(schema, merged.table),
                "merged": sql.Identifier(merged.merged),
                "into": sql.Identifier(merged.into),
                "merge_owner": sql.Identifier(merged.uuid),
            }
        known = f"{_DANGLING}{known} ORDER BY 1 LIMIT {{most}}"
        rows = look.ask(known, **names)
        yield from some(
            "tkg.reference",
            lambda key, to, kind=kind, table=table: (
                f"{look.nodes.table} {key}: the {kind} {look.graph.reference} {to} is not in "
                f"{table.table}"
            ),
            rows,
            "nodes",
        )


_CHECKS: Mapping[str, Callable[[_Look], Iterator[Finding]]] = {
    "size": _size,
    "ends": _ends,
    "types": _types,
    "duplicates": _duplicates,
    "times": _times,
    "connectivity": _connectivity,
    "references": _references,
}
