r"""The database's digest of a row is that of COPY's line, for every type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_release.config.system import System, Table
from pytest_release.packages.copy_text import row_digest
from pytest_release.targets.fingerprints import Fingerprint, Fingerprints, Selection
from pytest_release.targets.postgres import Database

COLUMNS = (
    *("id", "owner", "t", "c", "vc", "b", "i2", "i4", "i8", "f4", "f8", "n", "tz", "ts", "d"),
    *("ti", "iv", "u", "j", "jb", "a", "by", "v", "e"),
)
ZOO = Table("zoo", "zoo", "sql/zoo.sql", ("id",), uuid="owner")
SYSTEM = System("zoo", {"zoo": ZOO}, Path("zoo.yaml"), frozenset(), pattern=re.compile(".*"))
CREATE = """
    CREATE EXTENSION vector;
    CREATE TYPE mood AS ENUM ('so so', 'sad\\');
    CREATE TABLE zoo (
        id text PRIMARY KEY, owner text, t text, c char(6), vc varchar, b boolean, i2 smallint,
        i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, tz timestamptz,
        ts timestamp, d date, ti time, iv interval, u uuid, j json, jb jsonb, a text[], by bytea,
        v vector(3), e mood
    )
"""
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
AWKWARD = TEXT | st.sampled_from(
    ["\\N", "\\.", "\\", "a\tb\nc\rd\be\ff\vg\\h", "", "''", "\x7f\x01"]
)
NUMBER = st.floats(width=32) | st.sampled_from([0.1, -0.0, 1e30, 1e-30])


@pytest.fixture(scope="module")
def zoo(request: pytest.FixtureRequest) -> Iterator[tuple[Database, psycopg.Connection]]:
    """A database with a table of all types, and a session that writes."""
    address = request.getfixturevalue("fresh_database")("template1")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(CREATE)
        with Database.connect({"dsn": address}) as database:
            yield database, connection


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(AWKWARD, min_size=8, max_size=8),
    flag=st.none() | st.booleans(),
    real=NUMBER,
    double=st.floats(),
    whole=st.integers(-(2**15), 2**15 - 1),
    moment=st.datetimes(),
    span=st.timedeltas(),
    data=st.binary(max_size=20),
    null=st.booleans(),
)
def test_every_type_is_spelled_as_copy_spells_it(
    zoo: tuple[Database, psycopg.Connection],
    texts: list[str],
    flag: bool | None,
    real: float,
    double: float,
    whole: int,
    moment: object,
    span: object,
    data: bytes,
    null: bool,
) -> None:
    """The sum in the database is that over the lines of COPY."""
    database, connection = zoo
    key, text, char, varchar, *rest = texts
    finite = [n if abs(n) < 1e9 else 1.5 for n in (real, 1.0, -0.25)]
    values = [
        *(key, "me", text, char[:6], varchar, flag, whole, whole * 1000, whole**3, real, double),
        *(double if abs(double) < 1e300 else 1, moment, moment, moment, moment, span),
        *(
            "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11",
            '{"a": "\\t\\\\"}',
            '{"a": "\\n\\\\"}',
            rest,
            data,
        ),
        *(str([0.0 if n != n else n for n in finite]), "sad\\"),
    ]
    if null:
        values[2:] = [None] * len(values[2:])
    marks = ", ".join(["%s"] * len(values))
    connection.execute("TRUNCATE zoo")
    connection.execute(f"INSERT INTO zoo ({', '.join(COLUMNS)}) VALUES ({marks})", values)

    found = Fingerprints(database, SYSTEM, "me").of([Selection(ZOO, COLUMNS)])
    lines = list(database.copy_out(psycopg.sql.SQL("SELECT * FROM zoo")))

    assert found == {"zoo": Fingerprint(1, row_digest(lines[0]))}
