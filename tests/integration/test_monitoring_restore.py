"""Where a dump is restored, and where it is not, with a real PostgreSQL and its programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.sandbox.rooms._backups import Backups
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.postgres import elsewhere

FIXTURES = Path(__file__).parents[2] / "fixtures"
NAMES = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1"
CASE = next(
    case
    for case in load_casebook(FIXTURES, "seisei", {}).cases
    if isinstance(case, CheckCase) and case.check == "restored"
)


@pytest.fixture(scope="module")
def backups() -> Iterator[Backups]:
    """Of two stacks, on the server that they were dumped from."""
    running = Backups(frozenset())
    yield running
    running.stop()


def restored(role: str, services: Mapping[str, Mapping[str, Any]]) -> Evidence:
    """What the shipped case finds."""
    environment = Environment(
        name="here",
        role=role,
        system="none",
        base_url="http://127.0.0.1:9",
        digest="",
        gates={},
        source=Path("here.yaml"),
        services=services,
    )
    return check(CASE, GatePolicy(), Scene(environment, HttpTarget(environment)))


def databases(backups: Backups) -> list[str]:
    """Of the server."""
    with psycopg.connect(backups.services["scratch"]["dsn"]) as connection:
        return [name for (name,) in connection.execute(NAMES)]


def test_a_scratch_database_is_gone_afterwards(backups: Backups) -> None:
    """And so is nothing else."""
    before = databases(backups)

    assert restored("staging", backups.services).findings == ()
    assert databases(backups) == before == ["odoo", "postgres"]


def test_productions_own_server(backups: Backups) -> None:
    """Is known by when it was started, whatever its address says; nothing is made there."""
    dsn = elsewhere(backups.services["scratch"]["dsn"], "odoo")
    evidence = restored("production", {**backups.services, "postgres": {"dsn": dsn}})

    assert [f.code for f in evidence.findings] == ["monitoring.restore-refused"]
    assert "is the server of production itself" in evidence.findings[0].message


def test_a_server_with_databases(backups: Backups) -> None:
    """Is no place to restore into in production."""
    evidence = restored("production", backups.services)

    assert [f.code for f in evidence.findings] == ["monitoring.restore-refused"]
    assert "holds databases: odoo; here restores only on" in evidence.findings[0].message


def test_an_empty_server(backups: Backups) -> None:
    """Is one, for production, too."""
    with psycopg.connect(backups.services["scratch"]["dsn"], autocommit=True) as connection:
        connection.execute("ALTER DATABASE odoo RENAME TO release_scratch_of_a_killed_run")
        try:
            evidence = restored("production", backups.services)
        finally:
            connection.execute("ALTER DATABASE release_scratch_of_a_killed_run RENAME TO odoo")

    assert evidence.findings == ()


def test_no_scratch_server(backups: Backups) -> None:
    """Is said with the key that is missing."""
    evidence = restored("staging", {"backups": backups.services["backups"]})

    assert "services.scratch.dsn is missing" in evidence.findings[0].message
