"""A shop: customers with orders in a PostgreSQL, a package of each, and the gate over both."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_release.atomic import sha256_of
from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence
from pytest_release.gates._look import look
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget

NORTHWIND = Path(__file__).parent / "northwind"
COLUMNS = {
    "customers": "customer_id, company_name, phone",
    "orders": "order_id, customer_id, order_date, freight, ship_address, shipped_at",
    "order_details": "order_id, product_id, customer_id, quantity, discount",
}
Lines = Mapping[str, Sequence[str]]


def lines_of(customer: str, orders: int = 12, first: int = 10_000) -> dict[str, list[str]]:
    """The good rows of a customer, as COPY writes them."""
    numbers = range(first, first + orders)
    return {
        "customers": [f"{customer}\tAlfreds \\\\ Futterkiste\\t{customer}\t030-0074321"],
        "orders": [
            f"{n}\t{customer}\t2026-01-{n % 28 + 1:02}\t{n % 90}.25\tObere Str. {n}\\nBerlin\t\\N"
            for n in numbers
        ],
        "order_details": [
            f"{n}\t{p}\t{customer}\t{p}\t0.{p}5" for n in numbers[:5] for p in (1, 2, 3)
        ],
    }


def write_package(
    folder: Path, customer: str, lines: Lines, columns: Mapping[str, str] = COLUMNS
) -> Path:
    """A package with these rows."""
    info = {"version": "1.0.0", "build": "d34bcae"}
    members = {"info.json": json.dumps(info)}
    for name, rows in lines.items():
        data = "".join(f"{row}\n" for row in rows)
        members[f"dump/{name}.sql"] = f"COPY {name} ({columns[name]}) FROM stdin;\n{data}\\.\n"
    path = folder / f"{customer}_v20260101.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, text in members.items():
            entry = tarfile.TarInfo(f"{customer}/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


@dataclass
class Shop:
    """What is deployed, and the packages it should have come from."""

    dsn: str
    folder: Path
    system: System
    packages: dict[str, Path] = field(default_factory=dict)
    services: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[Deployments] = field(default_factory=list)

    def execute(self, *statements: str) -> None:
        """Change what is deployed."""
        with psycopg.connect(self.dsn) as connection:
            for statement in statements:
                connection.execute(statement)

    def deploy(self, lines: Lines, columns: Mapping[str, str] = COLUMNS) -> None:
        """Bring rows into the database."""
        with psycopg.connect(self.dsn) as connection:
            for name, rows in lines.items():
                statement = f"COPY sales.{name} ({columns[name]}) FROM STDIN"
                with connection.cursor().copy(statement) as copy:
                    copy.write("".join(f"{row}\n" for row in rows))

    def pack(self, customer: str, lines: Lines, columns: Mapping[str, str] = COLUMNS) -> None:
        """Make the package of a customer."""
        self.packages[customer] = write_package(self.folder, customer, lines, columns)

    def deployments(self, url: str = "http://127.0.0.1:9", *uuids: str) -> Deployments:
        """As a run has them."""
        services = {"postgres": {"dsn": self.dsn}, **self.services}
        environment = Environment(
            "here", "staging", "northwind", url, Path("here.yaml"), "", {}, services=services
        )
        archives = {u: Archive(file, sha256_of(file)) for u, file in self.packages.items()}
        subjects = Subjects(uuids or tuple(sorted(self.packages)), archives)
        run = Deployments(environment, self.system, subjects, HttpTarget(environment))
        self.runs.append(run)
        return run

    def measure(self, table: str, customer: str = "ALFKI", **expect: Any) -> Evidence:  # noqa: ANN401
        """What the gate says of one table, alone in its run."""
        deployments = self.deployments("http://127.0.0.1:9", customer)
        return measured(deployments, table, customer, **expect)


def measured(
    deployments: Deployments,
    table: str,
    customer: str = "ALFKI",
    **expect: Any,  # noqa: ANN401
) -> Evidence:
    """What the gate says of one table in a run."""
    here = Path("here.yaml")
    case = DataCase("row_count/a", "row_count", "a", here, 1, expect=expect, table=table)
    return look(case.of(customer), GatePolicy(), deployments)


def said(evidence: Evidence) -> list[tuple[str, str]]:
    """Code and message of every finding."""
    return [(finding.code, finding.message) for finding in evidence.findings]


def shown(evidence: Evidence) -> list[str]:
    """The attached table, its spaces folded."""
    (attachment,) = evidence.attachments
    return [re.sub(r" +", " ", line) for line in attachment.text.splitlines()]


@pytest.fixture(scope="session")
def northwind() -> System:
    """The second system."""
    system = load_system(NORTHWIND, "northwind", {})
    assert system is not None
    return system


@pytest.fixture(scope="session")
def northwind_template(fresh_database: Callable[[str], str]) -> str:
    """Name of a database with its tables."""
    address = fresh_database("template1")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute((NORTHWIND / "tables.sql").read_text())
        return connection.info.dbname


@pytest.fixture
def empty_shop(
    fresh_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    northwind_template: str,
    northwind: System,
    tmp_path: Path,
) -> Iterator[Shop]:
    """Nothing is deployed, and there is no package."""
    dsn = fresh_database(northwind_template)
    made = Shop(dsn, tmp_path, northwind)
    yield made
    for run in made.runs:
        run.close()
    drop_database(dsn)


@pytest.fixture
def shop(empty_shop: Shop) -> Shop:
    """One customer is deployed, as in the package."""
    lines = lines_of("ALFKI")
    empty_shop.pack("ALFKI", lines)
    empty_shop.deploy(lines)
    return empty_shop
