"""A package is installed as a whole or not at all, and again without harm."""

from __future__ import annotations

import shutil

import psycopg
import pytest

from pytest_release.delivery.install import Place
from pytest_release.delivery.rows import LOCK
from pytest_release.errors import PackageError
from pytest_release.sandbox.material import COLUMNS
from pytest_release.sandbox.stores import Stores
from tests.data.delivery.deployed import ONE, TABLES, TRIGGER, TWO, dsn, install, run, state


def test_the_nine_steps(stores: Stores, place: Place) -> None:
    """Each says what it did, with the numbers."""
    lines = install(stores.packages[ONE], place)

    assert [line[:5] for line in lines] == [
        "[0/9]", "[1/9]", "[2/9]", *["[3/9]"] * 8, "[4/9]", "[5/9]", "[6/9]", "[7/9]", "[8/9]",
    ]  # fmt: skip
    assert lines[0].startswith("[0/9] Checking version ... 1.0.0 (d34bcae)")
    assert "DELETE 1 videos, 24 chunk" in lines[2]
    assert "[3/9] Importing face_detections ... COPY 600" in lines
    assert lines[12] == "[5/9] Setting videos.status = completed ... UPDATE 1"


@pytest.mark.parametrize("uuid", [ONE, TWO])
def test_installing_again_changes_nothing(stores: Stores, place: Place, uuid: str) -> None:
    """Rows, merges and files are the same as before."""
    before = state(place)
    install(stores.packages[uuid], place)

    assert state(place) == before


def test_into_nothing(stores: Stores, place: Place) -> None:
    """Into empty stores the two files come as they came to the sandbox's."""
    before = state(place)
    for table in reversed(TABLES):
        run(place, f"TRUNCATE dev.{table} CASCADE")
    shutil.rmtree(place.output)
    place.output.mkdir()
    for uuid in (ONE, TWO):
        install(stores.packages[uuid], place)

    assert state(place) == before


def test_an_identity_known_from_another_file_is_merged(stores: Stores, place: Place) -> None:
    """44 in the package, 42 deployed, 2 merges with the same TMDB id; bindings go over."""
    with psycopg.connect(dsn(place)) as connection:
        rows = connection.execute(
            "SELECT i.tmdb_id, i.file_uuid::text, count(b.*) FROM dev.identity_merges m"
            " JOIN dev.identities i ON i.identity_uuid = m.into_uuid"
            " JOIN dev.identity_bindings b ON b.identity_uuid = m.into_uuid"
            "  AND b.file_uuid = m.file_uuid WHERE m.file_uuid = %s GROUP BY 1, 2 ORDER BY 1",
            [TWO],
        ).fetchall()
        deployed = connection.execute(
            "SELECT count(*) FROM dev.identities WHERE file_uuid = %s", [TWO]
        ).fetchone()

    assert rows == [(9001, ONE, 5), (9002, ONE, 5)]
    assert deployed == (42,)


@pytest.mark.parametrize("table", COLUMNS)
def test_a_failure_at_any_table_changes_nothing(stores: Stores, place: Place, table: str) -> None:
    """The message names step, table and file; everything is as it was."""
    run(place, TRIGGER.format(body="RAISE EXCEPTION 'no room'", table=table))
    before = state(place)
    expected = rf"^step 3, (importing|merging) {table}.*: no room; .*nothing was changed"

    with pytest.raises(PackageError, match=expected):
        install(stores.packages[ONE], place)

    assert state(place) == before


def test_two_installations_do_not_meet(stores: Stores, place: Place) -> None:
    """The second is refused at once."""
    before = state(place)
    with psycopg.connect(dsn(place)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, ONE])
        with pytest.raises(
            PackageError, match=rf"^{ONE} is being installed by somebody else; noth"
        ):
            install(stores.packages[ONE], place)

    assert state(place) == before
