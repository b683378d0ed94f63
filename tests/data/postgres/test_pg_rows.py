"""Rows of a package are looked up as values of the columns' types."""

from __future__ import annotations

import pytest

from pytest_release.errors import TargetError
from pytest_release.packages.copy_text import row_digest
from pytest_release.targets.fingerprints import BUCKETS
from pytest_release.targets.pg_rows import Match, digests, keys, match, texts
from tests.data.postgres.conftest import Zoo

SPELLINGS = [
    ("n", "0.1", "0.10"),
    ("n", "100000", "1e5"),
    ("f8", "0.1", "0.1000"),
    ("f4", "0.1", "0.100000001490116"),
    ("f8", "NaN", "nan"),
    ("tz", "2026-01-02 03:04:05+00", "2026-01-02 11:04:05+08"),
    ("tz", "2026-01-02 03:04:05+00", "2026-01-02T03:04:05Z"),
    ("d", "2026-01-02", "20260102"),
    ("iv", "1 day 02:00:00", "P1DT2H"),
    ("b", "t", "true"),
    ("i4", "7", "+7"),
    ("u", "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11", "0B9C1F6E58A34D6E9A573F2D6C0F9A11"),
    ("j", '{"a": 1}', '{ "a":1.0 }'),
    ("jb", '{"a": 1.0}', '{"a":1}'),
    ("c", "ab", "ab    "),
    ("v", "[1,2,0.5]", "[1.0, 2, 5e-1]"),
    ("by", "\\x4142", "AB"),
    ("a", "{a,NULL}", '{"a", null}'),
    ("ip", "10.0.0.1", "10.0.0.1/32"),
]
DIFFERENCES = [
    ("n", "0.1", "0.11"),
    ("n", "0", None),
    ("f8", "0", "-0"),
    ("f4", "0.1", "0.10000002"),
    ("t", "a", "A"),
    ("t", "a", "a "),
    ("t", "", None),
    ("vc", "a" * 20, "a" * 21),
    ("bi", "101", "1010"),
    ("iv", "1 mon", "30 days"),
    ("tz", "2026-01-02 03:04:05+00", "2026-01-02 03:04:05.000001+00"),
    ("jb", '{"a": 1}', '{"a": 1, "b": null}'),
    ("p", "(,)", None),
    ("e", "so so", "sad\\"),
]


@pytest.mark.parametrize(("name", "deployed", "given"), SPELLINGS)
def test_a_spelling_is_no_difference(zoo: Zoo, name: str, deployed: str, given: str) -> None:
    """The value is what COPY would have stored."""
    zoo.fill({name: deployed})
    (found,) = match(zoo.database, zoo.chosen([name, "id"]), "me", [[given, "k"]])

    assert (found.found, found.columns) == (True, ())
    assert found.key == row_digest(b"k")


@pytest.mark.parametrize(("name", "deployed", "given"), DIFFERENCES)
def test_a_difference_is_one(zoo: Zoo, name: str, deployed: str, given: str | None) -> None:
    """However small, and whatever the type calls equal."""
    zoo.fill({name: deployed})
    (found,) = match(zoo.database, zoo.chosen(["id", name]), "me", [["k", given]])

    assert (found.found, found.columns) == (True, (1,))


def test_rows_that_are_not_there(zoo: Zoo) -> None:
    """Nor are those of another UUID; a digest tells whether a row is spelled alike."""
    zoo.fill({"id": "a", "t": "1"}, {"id": "b", "owner": "you"})
    found = match(zoo.database, zoo.chosen(["id", "t"]), "me", [["a", "1"], ["b", None], ["", ""]])

    assert found == [
        Match(0, row_digest(b"a"), row_digest(b"a\t1")),
        Match(1, row_digest(b"b")),
        Match(2, row_digest(b"")),
    ]


def test_a_refused_text_is_told_from_the_others(zoo: Zoo) -> None:
    """One bad row does not keep the others from being looked up."""
    zoo.fill(*({"id": str(n), "i4": n} for n in range(5)))
    rows = [[str(n), "x" if n == 3 else str(n)] for n in range(5)]
    found = match(zoo.database, zoo.chosen(["id", "i4"]), "me", rows)

    assert [one.found for one in found] == [True, True, True, False, True]
    assert found[3].key is None
    assert 'invalid input syntax for type integer: "x"' in found[3].refused


def test_a_domain_refuses_too(zoo: Zoo) -> None:
    """As it would have refused the installation."""
    zoo.fill({"dom": "short"})
    (found,) = match(zoo.database, zoo.chosen(["id", "dom"]), "me", [["k", "much too long"]])

    assert "violates check constraint" in found.refused


def test_a_server_that_refuses_the_question(zoo: Zoo) -> None:
    """That is no row's fault."""
    chosen = zoo.chosen(["id"])
    zoo.database.close()
    with pytest.raises(TargetError, match="the connection was lost"):
        match(zoo.database, chosen, "me", [["k"]])


def test_a_key_that_stands_twice(zoo: Zoo) -> None:
    """Gives both."""
    zoo.fill({"t": "a"}, {"t": "b"})
    found = match(zoo.database, zoo.chosen(["id", "t"]), "me", [["k", "a"]])

    assert sorted(one.columns for one in found) == [(), (1,)]


def test_the_key_need_not_be_compared(zoo: Zoo) -> None:
    """It comes after the columns that are."""
    zoo.fill({"t": "a"})
    chosen = zoo.chosen(["t"])

    assert [column.name for column in chosen.asked] == ["t", "id"]
    assert match(zoo.database, chosen, "me", [["b", "k"]])[0].columns == (0,)


def test_texts_are_those_of_the_table(zoo: Zoo) -> None:
    """Cut to what can be shown; null is no text."""
    zoo.fill({"c": "ab", "t": "x" * 100_000})
    found = texts(
        zoo.database,
        zoo.chosen(["id", "c", "t", "p"]),
        "me",
        [["no"] * 2 + [None] * 2, ["k", "", "", "(,)"]],
    )

    assert found == {1: ["k", "ab    ", "x" * 65_536, None]}


def test_digests_and_keys_of_some_buckets(zoo: Zoo) -> None:
    """Of this UUID alone."""
    zoo.fill(*({"id": str(n)} for n in range(50)), {"id": "51", "owner": "you"})
    wanted = {row_digest(b"7") & (BUCKETS - 1), row_digest(b"51") & (BUCKETS - 1)}
    found = dict(keys(zoo.database, zoo.chosen(), "me", wanted))

    every = digests(zoo.database, zoo.chosen(["id", "bb"]), "me")
    some = digests(zoo.database, zoo.chosen(["id", "bb"]), "me", wanted)

    assert found[row_digest(b"7")] == ["7"]
    assert len(every) == 50
    assert set(some) == {pair for pair in every if pair[0] & (BUCKETS - 1) in wanted}
    assert (row_digest(b"7"), row_digest(b"7\tt")) in some
    assert row_digest(b"51") not in found
