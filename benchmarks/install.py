"""Installing a package of the real size, against plain COPY of the same rows.

::

    python -m benchmarks.install [--rounds 3] [--faces 70691]

Both go into an embedded PostgreSQL (fsync off), each round into empty tables, in one transaction:

- plain: the dumps, unpacked beforehand, are copied into their tables; nothing is checked;
- install: verified, cleaned, copied, compared, its files written and synced, verified again by a
  second connection's counts. The limit is 1.3 times the plain way.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from benchmarks.packages.generate import Size, generate
from pytest_release.config.environment import Environment
from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.delivery.install import Place, install_package
from pytest_release.packages.rows import copy_rows
from pytest_release.sandbox.database import EmbeddedPostgres
from pytest_release.sandbox.stores import tables

ROOT = Path(__file__).parents[1]
BLOCK = 1 << 20  # bytes


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=Size().faces)
    asked = parser.parse_args()
    system = load_system(ROOT / "fixtures", "momentry", {})
    assert system is not None
    postgres = EmbeddedPostgres()
    try:
        with tempfile.TemporaryDirectory() as name:
            package = generate(Path(name), size=Size(faces=asked.faces))
            _compare(package, system, postgres.dsn, Path(name), asked.rounds)
    finally:
        postgres.stop()


def _compare(package: Path, system: System, dsn: str, folder: Path, rounds: int) -> None:
    dumps = _unpacked(package, system, folder)
    output = folder / "output"
    output.mkdir()
    services = {
        "postgres": {"dsn": make_conninfo(dsn, dbname="install"), "schema": "dev"},
        "files": {"output": str(output)},
    }
    environment = Environment(
        "here", "development", "momentry", None, Path("here.yaml"), "", {}, services=services
    )
    plain, whole, rows = [], [], []
    for _ in range(rounds):
        plain.append(_plain(_fresh(dsn, "plain"), dumps))
        _fresh(dsn, "install")
        began = time.perf_counter()
        marks: dict[str, float] = {}
        install_package(
            package,
            Place(environment, system),
            lambda line, marks=marks: marks.setdefault(line[:5], time.perf_counter()),  # type: ignore[misc]
        )
        whole.append(time.perf_counter() - began)
        rows.append(marks["[4/9]"] - marks["[1/9]"])
    base = statistics.median(plain)
    print(f"{package.stat().st_size / 1e6:.0f} MB, {rounds} rounds, medians")
    print(f"plain COPY          {base:6.2f} s")
    for name, seconds in (("install, rows only", rows), ("install, all steps", whole)):
        print(
            f"{name}  {statistics.median(seconds):6.2f} s  {statistics.median(seconds) / base:.2f}x"
        )


def _unpacked(package: Path, system: System, folder: Path) -> list[tuple[str, str, Path]]:
    """Each table with its columns and a file of its rows."""
    found = []
    for name, copy, blocks in copy_rows(package, system, list(system.tables)):
        file = folder / f"{name}.copy"
        with file.open("wb") as stream:
            for block in blocks:
                stream.write(block)
        columns = sql.SQL(", ").join(map(sql.Identifier, copy.columns)).as_string(None)
        found.append((system.tables[name].table, columns, file))
    return found


def _fresh(dsn: str, name: str) -> str:
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        admin.execute(f"CREATE DATABASE {name}".encode())
    fresh = make_conninfo(dsn, dbname=name)
    with psycopg.connect(fresh, autocommit=True) as connection:
        connection.execute(tables())
    return fresh


def _plain(dsn: str, dumps: list[tuple[str, str, Path]]) -> float:
    began = time.perf_counter()
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        for table, columns, file in dumps:
            statement = f"COPY dev.{table} ({columns}) FROM STDIN".encode()
            with file.open("rb") as stream, cursor.copy(statement) as copy:
                while block := stream.read(BLOCK):
                    copy.write(block)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
