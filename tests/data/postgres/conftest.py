"""A table with a column of every type, and a session that reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pytest_release.config.system import System, Table
from pytest_release.targets.fingerprints import Selection, select
from pytest_release.targets.postgres import Database

COLUMNS = {
    "id": "text NOT NULL",
    "owner": "text NOT NULL",
    "t": "text",
    "c": "char(6)",
    "vc": "varchar(20)",
    "b": "boolean",
    "i2": "smallint",
    "i4": "integer",
    "i8": "bigint",
    "f4": "real",
    "f8": "double precision",
    "n": "numeric",
    "tz": "timestamptz",
    "ts": "timestamp",
    "d": "date",
    "ti": "time",
    "iv": "interval",
    "u": "uuid",
    "j": "json",
    "jb": "jsonb",
    "a": "text[]",
    "by": "bytea",
    "v": "vector(3)",
    "e": "mood",
    "ip": "inet",
    "p": "pair",
    "dom": "short",
    "bi": "bit(3)",
    "ch": '"char"',
    "na": "name",
    "nn": "numeric NOT NULL",
    "bb": "boolean NOT NULL",
}
CREATE = f"""
    CREATE EXTENSION vector;
    CREATE TYPE mood AS ENUM ('so so', 'sad\\');
    CREATE TYPE pair AS (one text, other integer);
    CREATE DOMAIN short AS text CHECK (length(value) < 10);
    CREATE TABLE zoo ({", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())});
"""
ZOO = Table("zoo", "zoo", "sql/zoo.sql", ("id",), uuid="owner")
SYSTEM = System("zoo", {"zoo": ZOO}, Path("zoo.yaml"), frozenset(), pattern=re.compile(".*"))


@dataclass
class Zoo:
    """The table, and who reads and writes it."""

    database: Database
    writer: psycopg.Connection[tuple[Any, ...]]

    def fill(self, *rows: dict[str, Any]) -> None:
        """Give the table these rows and no others."""
        self.writer.execute("TRUNCATE zoo")
        for row in rows:
            values = {"id": "k", "owner": "me", "nn": 1, "bb": True, **row}
            statement = sql.SQL("INSERT INTO zoo ({}) VALUES ({})").format(
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join([sql.Placeholder()] * len(values)),
            )
            self.writer.execute(statement, list(values.values()))

    def chosen(self, names: Sequence[str] = tuple(COLUMNS)) -> Selection:
        """Some of its columns."""
        shape = self.database.shapes(SYSTEM)["zoo"]
        return select(self.database, SYSTEM, ZOO, shape, names)

    def lines(self, names: Sequence[str] = tuple(COLUMNS)) -> list[bytes]:
        """What COPY says."""
        columns = sql.SQL(", ").join(map(sql.Identifier, names))
        return list(self.database.copy_out(sql.SQL("SELECT {} FROM zoo").format(columns)))


@pytest.fixture(scope="session")
def zoo_at(fresh_database: Callable[[str], str]) -> str:
    """The address of a database with the table."""
    address = fresh_database("template1")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(CREATE)
    return address


@pytest.fixture
def zoo(zoo_at: str) -> Iterator[Zoo]:
    """The table, with whatever is in it."""
    with (
        psycopg.connect(zoo_at, autocommit=True) as writer,
        Database.connect({"dsn": zoo_at}) as database,
    ):
        yield Zoo(database, writer)
