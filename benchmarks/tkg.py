"""The tkg gate on a large graph, against one sequential scan of its edges.

::

    python -m benchmarks.tkg [--nodes 1000000] [--edges 10000000]

Makes a graph with generate_series in an embedded PostgreSQL, runs every check of the gate on it,
and prints the seconds of each, beside those of ``SELECT sum(weight) FROM tkg_edges``.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.gates import tkg
from pytest_release.sandbox.database import EmbeddedPostgres
from pytest_release.sandbox.stores import UUIDS, tables
from pytest_release.subjects import Subjects
from pytest_release.targets.http import HttpTarget

ROOT = Path(__file__).parents[1]
FILL = """
    ALTER TABLE dev.tkg_nodes SET UNLOGGED;
    ALTER TABLE dev.tkg_edges SET UNLOGGED;
    INSERT INTO dev.videos VALUES ('{uuid}', 'a.mp4', 7200, 25, 1280, 720, 'completed', now());
    INSERT INTO dev.tkg_nodes SELECT 'n' || n, '{uuid}', 'scene', 'x', n % 7000, n % 7000 + 1, NULL
        FROM generate_series(0, {nodes} - 1) n;
    INSERT INTO dev.tkg_edges SELECT 'e' || n, '{uuid}', 'n' || (n % {nodes}),
        'n' || ((n::bigint * 7919 + 1 + n / {nodes}) % {nodes}),
        'follows', 1, n % 7000, n % 7000 + 1
        FROM generate_series(0, {edges} - 1) n;
    ANALYZE dev.tkg_nodes;
    ANALYZE dev.tkg_edges;
"""
SCAN = "SELECT sum(weight) FROM dev.tkg_edges"


def main() -> None:
    """Make the graph, run the checks, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--edges", type=int, default=10_000_000)
    asked = parser.parse_args()
    postgres = EmbeddedPostgres()
    try:
        dsn = make_conninfo(postgres.dsn, options="-c max_parallel_workers_per_gather=0")
        _run(dsn, asked.nodes, asked.edges)
    finally:
        postgres.stop()


def _run(dsn: str, nodes: int, edges: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(tables())
        statements = FILL.format(uuid=UUIDS[0], nodes=nodes, edges=edges)
        connection.execute(statements.encode())
        connection.execute(SCAN)  # hint bits are written now
        began = time.perf_counter()
        connection.execute(SCAN)
        scan = time.perf_counter() - began
    print(f"{nodes:,} nodes, {edges:,} edges; one scan of the edges {scan:.2f} s")
    looks = load_casebook(ROOT / "fixtures", "momentry", {})
    assert looks.system is not None
    environment = Environment(
        name="here",
        role="development",
        system="momentry",
        base_url="http://127.0.0.1:9",
        source=Path("here.yaml"),
        digest="",
        gates={},
        services={"postgres": {"dsn": dsn, "schema": "dev", "statement_timeout_s": 600}},
    )
    with HttpTarget(environment) as target:
        deployments = Deployments(environment, looks.system, Subjects((UUIDS[0],)), target)
        for case in looks.looks:
            if case.gate == "tkg":
                _measure(case, deployments, scan)
        deployments.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:.0f} MB")


def _measure(case: DataCase, deployments: Deployments, scan: float) -> None:
    began = time.perf_counter()
    evidence = tkg.measure(case.of(UUIDS[0]), GatePolicy(), deployments)
    seconds = time.perf_counter() - began
    figures = ", ".join(f"{m.name} {m.estimate.value:g}" for m in evidence.measurements)
    print(
        f"{case.check:<13} {seconds:7.2f} s {seconds / scan:6.1f}x  "
        f"{len(evidence.findings)} findings  {figures}"
    )


if __name__ == "__main__":
    main()
