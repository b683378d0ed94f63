"""A real PostgreSQL for each pytest process, and a fresh database for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.sandbox.database import EmbeddedPostgres
from pytest_release.sandbox.stores import Stores

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "pytest_release" / "sandbox" / "momentry.sql"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a running server, as its superuser."""
    server = EmbeddedPostgres()
    try:
        yield server.dsn
    finally:
        server.stop()


@pytest.fixture(scope="session")
def fresh_database(postgres_server: str) -> Callable[[str], str]:
    """``fresh_database(template)``: a new database like another one; gives its address."""
    numbers = count()

    def create(template: str) -> str:
        name = f"test_{next(numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return make_conninfo(postgres_server, dbname=name)

    return create


@pytest.fixture(scope="session")
def momentry_template(postgres_server: str, fresh_database: Callable[[str], str]) -> str:
    """Name of a database with the tables of momentry in the schema ``dev``."""
    address = fresh_database("template1")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(TABLES.read_text().replace("{schema}", "dev"))
    return str(conninfo_to_dict(address)["dbname"])


@pytest.fixture(scope="session")
def momentry() -> System:
    """The shipped description of momentry."""
    system = load_system(ROOT / "fixtures", "momentry", {})
    assert system is not None
    return system


@pytest.fixture(scope="session")
def stores(momentry: System) -> Iterator[Stores]:
    """Two videos, deployed as the sandbox deploys them; not to be changed."""
    whole = Stores(momentry)
    try:
        yield whole
    finally:
        whole.stop()


@pytest.fixture(scope="session")
def drop_database(postgres_server: str) -> Callable[[str], None]:
    """``drop_database(address)``: the end of a database, whoever is still in it."""

    def drop(address: str) -> None:
        name = sql.Identifier(str(conninfo_to_dict(address)["dbname"]))
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    return drop


@pytest.fixture
def database_url(
    fresh_database: Callable[[str], str], drop_database: Callable[[str], None]
) -> Iterator[str]:
    """A fresh, empty database."""
    address = fresh_database("template1")
    yield address
    drop_database(address)


@pytest.fixture
def momentry_url(
    fresh_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    momentry_template: str,
) -> Iterator[str]:
    """A fresh database with the tables of momentry in the schema ``dev``, all empty."""
    address = fresh_database(momentry_template)
    yield address
    drop_database(address)
