"""What is deployed, and how to change it: shared by the tests of installations."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import psycopg
from psycopg import sql

from pytest_release.delivery.install import Place, install_package
from pytest_release.sandbox.material import COLUMNS
from pytest_release.sandbox.stores import UUIDS

ONE, TWO = UUIDS
TABLES = (*COLUMNS, "identity_merges")
TRIGGER = """
    CREATE FUNCTION dev.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {body}; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON dev.{table} FOR EACH ROW EXECUTE FUNCTION dev.refuse();
"""


def dsn(place: Place) -> str:
    """Of the database."""
    return str(place.environment.services["postgres"]["dsn"])


def run(place: Place, *statements: str) -> None:
    """Change the database."""
    with psycopg.connect(dsn(place), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def state(place: Place) -> dict[str, str]:
    """Everything that is deployed: a digest of each table, and of each file."""
    found = {}
    with psycopg.connect(dsn(place)) as connection:
        for table in TABLES:
            statement = sql.SQL("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t")
            row = connection.execute(statement.format(sql.Identifier("dev", table))).fetchone()
            found[table] = str(row and row[0])
    for file in sorted(place.output.rglob("*")):
        if file.is_file():
            name = str(file.relative_to(place.output))
            found[name] = sha256(file.read_bytes()).hexdigest()
    return found


def install(package: Path, place: Place) -> list[str]:
    """The lines that it says."""
    lines: list[str] = []
    install_package(package, place, lines.append)
    return lines
