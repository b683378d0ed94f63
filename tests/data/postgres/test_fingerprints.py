r"""The database's digest of a row is that of COPY's line, for every type."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from pytest_release.errors import TargetError
from pytest_release.packages.copy_text import row_digest
from pytest_release.targets import fingerprints as module
from pytest_release.targets.fingerprints import BUCKETS, Fingerprint, buckets, fingerprints
from pytest_release.targets.pg_text import digest
from tests.data.postgres.conftest import COLUMNS, Zoo

CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
TEXT = st.none() | st.text(CHARACTERS, max_size=20)
AWKWARD = TEXT | st.sampled_from(
    ["\\N", "\\.", "\\", "a\tb\nc\rd\be\ff\vg\\h", "", "''", "\x7f\x01"]
)
NUMBER = st.floats(width=32) | st.sampled_from([0.1, -0.0, 1e30, 1e-30])
FINITE = st.floats(-1e9, 1e9, width=32)
NULLABLE = {
    "t": AWKWARD,
    "c": st.none() | st.text(CHARACTERS, max_size=6),
    "vc": AWKWARD,
    "b": st.none() | st.booleans(),
    "i2": st.none() | st.integers(-(2**15), 2**15 - 1),
    "i4": st.none() | st.integers(-(2**31), 2**31 - 1),
    "i8": st.none() | st.integers(-(2**63), 2**63 - 1),
    "f4": st.none() | NUMBER,
    "f8": st.none() | st.floats(),
    "n": st.none() | st.decimals(-(10**30), 10**30) | st.sampled_from(["0.10", "1E+5", "NaN"]),
    "tz": st.none() | st.datetimes() | st.sampled_from(["infinity", "0044-03-15 BC"]),
    "ts": st.none() | st.datetimes(),
    "d": st.none() | st.dates(),
    "ti": st.none() | st.times(),
    "iv": st.none() | st.timedeltas() | st.just("-1 mon 2 days -00:00:00.5"),
    "u": st.none() | st.uuids(),
    "j": st.sampled_from([None, '{"a": "\\t\\\\"}', '{ "a" :\n\t1.10}', '"\\u0000"']),
    "jb": st.sampled_from([None, '{"a": "\\n\\\\"}', "[1.10, null]"]),
    "a": st.none() | st.lists(TEXT, max_size=3),
    "by": st.none() | st.binary(max_size=20),
    "v": st.none() | st.lists(FINITE, min_size=3, max_size=3).map(str),
    "e": st.sampled_from([None, "so so", "sad\\"]),
    "ip": st.sampled_from([None, "10.0.0.1", "10.0.0.0/8", "::1"]),
    "p": st.sampled_from([None, "(,)", '("a\tb\\\\",1)']),
    "dom": st.sampled_from([None, "", "a\tb"]),
    "bi": st.sampled_from([None, "101"]),
    "ch": st.sampled_from([None, "a", "\\"]),
    "na": st.sampled_from([None, "a\\b"]),
}


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(values=st.fixed_dictionaries(NULLABLE), number=st.decimals(-(10**30), 10**30, places=9))
def test_every_type_is_spelled_as_copy_spells_it(
    zoo: Zoo, values: dict[str, object], number: object
) -> None:
    """The sum in the database is that over the lines of COPY."""
    zoo.fill({**values, "nn": number, "bb": bool(values["b"])})

    (line,) = zoo.lines()
    found = fingerprints(zoo.database, zoo.chosen(), {"me": 1})

    assert found == {"me": Fingerprint(1, row_digest(line))}


@pytest.mark.parametrize("name", NULLABLE)
def test_each_type_alone(zoo: Zoo, name: str) -> None:
    """Null is told from everything, a composite of nulls included."""
    texts = {"p": "(,)", "t": "\\N", "a": "{NULL}", "v": "[1,2,3]", "j": "null"}
    examples = {"by": b"\\N", "u": "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11", "b": False, "iv": "0"}
    usual = {"tz": "now", "ts": "now", "d": "today", "ti": "00:00", "bi": "101", "ip": "::1"}
    known = {**texts, **examples, **usual, "jb": "null", "e": "sad\\"}
    value = known.get(name, "0")
    zoo.fill({name: value}, {name: None})
    digests = [row_digest(line) for line in zoo.lines([name])]

    found = fingerprints(zoo.database, zoo.chosen([name]), {"me": 2})

    assert found["me"] == Fingerprint(2, sum(digests))
    assert digests[0] != digests[1]


def test_the_order_of_columns_counts(zoo: Zoo) -> None:
    """It is that of the package, whatever the table's is."""
    zoo.fill({"t": "a", "vc": "b"})

    found = fingerprints(zoo.database, zoo.chosen(["vc", "id", "t"]), {"me": 1})

    assert found["me"].digest == row_digest(b"b\tk\ta")


def test_a_table_of_many_columns(zoo: Zoo) -> None:
    """More than a function of PostgreSQL takes."""
    zoo.fill({"t": "a", "i4": 7})
    names = ["t", "i4", "vc"] * 90

    found = fingerprints(zoo.database, zoo.chosen(names), {"me": 1})

    assert found["me"].digest == row_digest(b"\t".join([b"a", b"7", b"\\N"] * 90))


def test_many_uuids_are_asked_for_together(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as have so many rows; one without rows has an empty sum."""
    monkeypatch.setattr(module, "TOGETHER", 3)
    rows = [{"id": f"{owner}{n}", "owner": owner} for owner in "abcd" for n in range(2)]
    zoo.fill(*rows)
    asked: list[Any] = []
    query = zoo.database.query

    def spy(*question: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        asked.append(question)
        return query(*question)

    monkeypatch.setattr(zoo.database, "query", spy)
    chosen = zoo.chosen(["id"])
    asked.clear()

    found = fingerprints(zoo.database, chosen, {"a": 2, "b": 1, "none": 0, "c": 2, "d": 2})

    assert len(asked) == 3
    assert {owner: one.rows for owner, one in found.items()} == {
        **dict.fromkeys("abcd", 2),
        "none": 0,
    }
    assert found["c"].digest == row_digest(b"c0") + row_digest(b"c1")
    assert found["none"].digest == 0


def test_buckets_are_those_of_the_key(zoo: Zoo) -> None:
    """Both sides agree on them, and on their sums."""
    zoo.fill(*({"id": f"key\t{n}", "t": str(n)} for n in range(200)), {"id": "x", "owner": "you"})
    expected: dict[int, Fingerprint] = {}
    for n in range(200):
        bucket = row_digest(b"key\\t%d" % n) & (BUCKETS - 1)
        one = expected.get(bucket, Fingerprint(0, 0))
        expected[bucket] = Fingerprint(one.rows + 1, one.digest + row_digest(b"%d" % n))

    assert buckets(zoo.database, zoo.chosen(["t"]), "me") == expected


def test_a_column_that_is_not_there_is_named(zoo: Zoo) -> None:
    """Before anything is asked."""
    with pytest.raises(TargetError, match=r"^zoo has no column 'nope', 'no\\\\'$"):
        zoo.chosen(["id", "nope", "no\\"])


@pytest.mark.parametrize("text", ["", "a", "0b9c1f6e", "ä\t"])
def test_a_digest_is_signed(zoo: Zoo, text: str) -> None:
    """Big-endian, two's complement."""
    statement = sql.SQL("SELECT {}").format(digest(sql.Literal(text)))

    assert zoo.database.query(statement) == [(row_digest(text.encode()),)]


def test_the_columns_of_the_zoo_are_all_drawn() -> None:
    """No type is forgotten."""
    assert set(COLUMNS) - set(NULLABLE) == {"id", "owner", "nn", "bb"}
