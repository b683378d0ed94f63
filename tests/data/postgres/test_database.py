"""`pytest_release.targets.postgres` against a real PostgreSQL."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.config.system import System, Table
from pytest_release.config.systems import load_system
from pytest_release.errors import TargetError
from pytest_release.redaction import Secret
from pytest_release.targets import postgres
from pytest_release.targets.postgres import (
    Column,
    Database,
    MissingRelationError,
    RefusedValueError,
    array,
)

FIRST, SECOND = "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11", "5f7d8a4e-0c1b-4f7e-8a3d-2b6c9e1f0d22"
VIDEO = "INSERT INTO dev.videos VALUES (%s, 'a.mp4', 1, 25, 640, 480, 'completed', now())"


def tables(*names: str, uuid: str = "file_uuid") -> dict[str, Table]:
    """Tables that are called in the database as in the system."""
    return {name: Table(name, name, f"sql/{name}.sql", ("id",), uuid) for name in names}


SHOP = System("shop", tables("orders", "lines"), Path("shop.yaml"), frozenset(), schema="public")


@pytest.fixture(scope="module")
def momentry() -> System:
    """The shipped description."""
    system = load_system(Path(__file__).parents[3] / "fixtures", "momentry", {})
    assert system is not None
    return system


@pytest.fixture
def database(momentry_url: str) -> Iterator[Database]:
    """A read-only session in a database with two videos."""
    with psycopg.connect(momentry_url) as connection:
        for uuid in (SECOND, FIRST):
            connection.execute(VIDEO, [uuid])
    with Database.connect({"dsn": Secret(momentry_url)}) as opened:
        yield opened


def test_a_session_is_read_only(database: Database) -> None:
    """The server itself refuses a change, and the message is one sentence."""
    with pytest.raises(TargetError, match=r"cannot execute DELETE in a read-only transaction"):
        database.query("DELETE FROM dev.videos RETURNING 1")
    with pytest.raises(TargetError, match=r"tests look and do not touch$"):
        database.query("CREATE TABLE dev.mine ()")


def test_an_installation_may_write(momentry_url: str) -> None:
    """Only a session that was asked to."""
    with Database.connect({"dsn": momentry_url}, read_only=False) as database:
        database.connection.execute(VIDEO, [FIRST])

        assert database.query("SELECT count(*) FROM dev.videos") == [(1,)]


def test_what_values_look_like_is_fixed(database_url: str) -> None:
    """Whatever the server, the role or the address say."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        for setting in (
            "TimeZone = 'Asia/Taipei'",
            "DateStyle = 'German'",
            "search_path = nowhere",
        ):
            connection.execute(f"ALTER ROLE postgres SET {setting}")
    try:
        asked = make_conninfo(
            database_url, options="-c extra_float_digits=-3 -c bytea_output=escape"
        )
        with Database.connect({"dsn": asked}) as database:
            (row,) = database.query(
                "SELECT '2026-01-02 03:04:05+00'::timestamptz::text, (0.1::float8 + 0.2)::text,"
                " '\\x41'::bytea::text, '1 day 2 hours'::interval::text,"
                " current_setting('search_path'), current_setting('application_name')"
            )
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("ALTER ROLE postgres RESET ALL")

    assert row == (
        *("2026-01-02 03:04:05+00", "0.30000000000000004", "\\x41", "1 day 02:00:00"),
        *("pg_catalog, public", "pytest-release"),
    )


def test_a_question_ends_in_time(database_url: str) -> None:
    """The server gives up a statement that takes too long."""
    with (
        Database.connect({"dsn": database_url}, statement_timeout_s=0.05) as database,
        pytest.raises(TargetError, match=r"statement timeout .*: it took longer than"),
    ):
        database.query("SELECT pg_sleep(30)")


def test_the_environment_says_how_long_a_question_may_take(database_url: str) -> None:
    """The message names the key; who installs has a limit of their own."""
    options = {"dsn": database_url, "statement_timeout_s": 0.05}
    with (
        Database.connect(options) as database,
        pytest.raises(TargetError, match=r"than services\.postgres\.statement_timeout_s; an index"),
    ):
        database.query("SELECT pg_sleep(30)")
    with Database.connect(options, statement_timeout_s=20) as database:
        assert database.query("SHOW statement_timeout") == [("20s",)]


def test_a_question_does_not_wait_for_a_lock(
    momentry_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that holds a table is named as such."""
    monkeypatch.setattr(postgres, "LOCK_S", 0.05)
    with psycopg.connect(momentry_url) as holder:
        holder.execute("LOCK TABLE dev.videos IN ACCESS EXCLUSIVE MODE")
        with (
            Database.connect({"dsn": momentry_url}) as database,
            pytest.raises(TargetError, match=r"lock timeout .*: somebody holds a lock"),
        ):
            database.query("SELECT count(*) FROM dev.videos")


def test_an_answer_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless answer is cut off, and the session is good for more."""
    monkeypatch.setattr(postgres, "MOST_ROWS", 2_000)
    with pytest.raises(TargetError, match=r"postgres .* answers more than 2000 rows$"):
        database.query("SELECT generate_series(1, 1000000000)")

    assert len(database.query("SELECT generate_series(1, 2000)")) == 2_000


def test_threads_take_turns(database: Database) -> None:
    """One session serves all threads of a run."""
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda n=n: answers.append(database.query("SELECT %s::int", [n])[0][0])
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == list(range(8))


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        ("", r"^postgres: services.postgres.dsn is missing: expected postgresql://user:"),
        ("nonsense", r"^postgres: services.postgres.dsn is no address: expected postgresql://"),
        ("postgresql://u:hush@secret@h/d", r"^postgres: services.postgres.dsn has an @ too many"),
        (
            "postgresql://u:secret@127.0.0.1:1/shop",
            r"^postgres 127.0.0.1:1/shop cannot be reached: Connection refused: see that",
        ),
    ],
)
def test_an_address_that_is_none(dsn: str, message: str) -> None:
    """The message says what to write, and never the password."""
    with pytest.raises(TargetError, match=message) as caught:
        Database.connect({"dsn": Secret(dsn)})

    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist: see user and database'),
        ({"user": "nobody"}, 'role "nobody" does not exist: see user and database'),
        ({"user": "secret", "password": "secret"}, r'role "\*\*\*" does not exist'),
        ({"options": "-c nonsense=1"}, 'unrecognized configuration parameter "nonsense"'),
    ],
)
def test_a_server_that_refuses(postgres_server: str, part: dict[str, str], said: str) -> None:
    """What the server says, and where to look."""
    with pytest.raises(TargetError, match=f"^postgres .*/.* cannot be reached: {said}"):
        Database.connect({"dsn": make_conninfo(postgres_server, **part)})


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to install it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(TargetError, match=r"pip install 'pytest-release\[packages\]'$"):
        Database.connect({"dsn": "postgresql://127.0.0.1/shop"})


@pytest.mark.parametrize(
    ("statement", "kind", "message"),
    [
        (
            "SELECT * FROM nowhere",
            MissingRelationError,
            r'relation "nowhere" does not exist \(undefined table\): see services.postgres.schema',
        ),
        (
            "SELECT nothing FROM dev.videos",
            MissingRelationError,
            r'column "nothing" does not exist \(undefined column\): the schema is of another',
        ),
        (
            "SELECT 'x'::int",
            RefusedValueError,
            r'invalid input syntax for type integer: "x" \(invalid text representation\)',
        ),
        ("SELECT 1/0", RefusedValueError, r"division by zero$"),
        ("SELEC 1", TargetError, r'syntax error at or near "SELEC"$'),
        (
            sql.SQL("DO $$ BEGIN RAISE EXCEPTION E'a\\nb\\x1b' USING ERRCODE='53300'; END $$"),
            TargetError,
            r": a \(too many connections\): too many sessions are open",
        ),
    ],
)
def test_an_error_is_one_sentence(
    database: Database, statement: str, kind: type[TargetError], message: str
) -> None:
    """What the server said, its SQLSTATE in words, and what to do."""
    with pytest.raises(kind, match=message) as caught:
        database.query(statement)

    assert str(caught.value).startswith("postgres ")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_lost_connection_is_said_so(database: Database, momentry_url: str) -> None:
    """At the question that notices, and at those after it."""
    with psycopg.connect(momentry_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [database.connection.info.backend_pid])

    with pytest.raises(TargetError, match="the connection was lost; see that the server runs"):
        database.query("SELECT 1")
    with pytest.raises(TargetError, match="the connection is closed: the connection was lost"):
        database.query("SELECT 1")


def test_rows_are_not_hidden_in_silence(momentry_url: str) -> None:
    """A row-level policy that would leave rows out of a count is an error."""
    with psycopg.connect(momentry_url, autocommit=True) as connection:
        connection.execute(
            "DROP OWNED BY reader" if _role(connection) else "CREATE ROLE reader LOGIN"
        )
        connection.execute("GRANT USAGE ON SCHEMA dev TO reader")
        connection.execute("GRANT SELECT ON dev.videos TO reader")
        connection.execute("ALTER TABLE dev.videos ENABLE ROW LEVEL SECURITY")
    with Database.connect({"dsn": make_conninfo(momentry_url, user="reader")}) as database:
        with pytest.raises(TargetError, match=r"would be affected by row-level security .*: grant"):
            database.query("SELECT count(*) FROM dev.videos")
        with pytest.raises(TargetError, match=r"permission denied for table chunk .*: grant"):
            database.query("SELECT count(*) FROM dev.chunk")


def _role(connection: psycopg.Connection[tuple[object, ...]]) -> bool:
    return bool(connection.execute("SELECT FROM pg_roles WHERE rolname = 'reader'").fetchall())


def test_the_uuids_are_those_of_the_status_table(database: Database, momentry: System) -> None:
    """Sorted, each once."""
    assert database.uuids(momentry) == (FIRST, SECOND)


def test_without_a_status_the_first_table_says_the_uuids(database_url: str) -> None:
    """A null is no UUID."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE orders (id int, file_uuid text)")
        connection.execute("INSERT INTO orders VALUES (1, 'b'), (2, 'a'), (3, 'b'), (4, null)")
    with Database.connect({"dsn": database_url}) as database:
        assert database.uuids(SHOP) == ("a", "b")


def test_counts_are_one_question(
    database: Database, momentry: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many UUIDs and tables there are."""
    asked: list[Any] = []
    query = database.query

    def spy(*question: Any) -> list[tuple[Any, ...]]:  # noqa: ANN401
        asked.append(question)
        return query(*question)

    monkeypatch.setattr(database, "query", spy)

    counts = database.counts(momentry, [FIRST, SECOND, "00000000-0000-0000-0000-000000000000"])

    assert len(asked) == 1
    assert [rows["videos"] for rows in counts.values()] == [1, 1, 0]
    assert counts[FIRST] == {**dict.fromkeys(momentry.tables, 0), "videos": 1}


def test_counts_of_nothing_ask_nothing(database: Database, momentry: System) -> None:
    """Without UUIDs there is no question."""
    assert database.counts(momentry, []) == {}


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE dev.tkg_edges",
        "ALTER TABLE dev.tkg_edges DROP COLUMN file_uuid",
        'ALTER TABLE dev.tkg_edges RENAME TO "tkg_edges; DROP TABLE x"',
    ],
)
def test_a_table_that_cannot_be_counted_is_told_apart(
    momentry_url: str, momentry: System, damage: str
) -> None:
    """The others are counted all the same."""
    with psycopg.connect(momentry_url) as connection:
        connection.execute(VIDEO, [FIRST])
        connection.execute(damage)
    with Database.connect({"dsn": momentry_url}) as database:
        counts = database.counts(momentry, [FIRST])[FIRST]

    assert counts == {**dict.fromkeys(momentry.tables, 0), "videos": 1, "tkg_edges": None}


def test_a_schema_that_is_not_there_has_no_tables(database: Database, momentry: System) -> None:
    """Which is not the same as empty ones."""
    counts = database.counts(momentry, [FIRST], "nowhere")

    assert counts == {FIRST: dict.fromkeys(momentry.tables, None)}


def test_views_and_partitions_are_tables_too(database_url: str) -> None:
    """What a product reads from is counted, whatever it is."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE orders (id int, file_uuid text) PARTITION BY LIST (id)")
        connection.execute("CREATE TABLE one PARTITION OF orders FOR VALUES IN (1)")
        connection.execute("INSERT INTO orders VALUES (1, 'a')")
        connection.execute("CREATE VIEW lines AS SELECT * FROM orders")
    with Database.connect({"dsn": database_url}) as database:
        assert database.counts(SHOP, ["a"]) == {"a": {"orders": 1, "lines": 1}}
        assert list(database.shapes(SHOP)) == ["orders", "lines"]


def test_names_are_quoted(database_url: str) -> None:
    """A table, a column and a UUID may be called whatever they like."""
    name, uuid, value = 'or"der%s s', "file 'uuid'", "a\"\\,{}%s'"
    system = System("shop", tables(name, uuid=uuid), Path("s"), frozenset(), schema="public")
    with psycopg.connect(database_url) as connection:
        names = sql.Identifier(name), sql.Identifier(uuid), sql.Literal(value)
        connection.execute(sql.SQL("CREATE TABLE {0} AS SELECT {2}::text AS {1}").format(*names))
    with Database.connect({"dsn": database_url}) as database:
        assert database.counts(system, [value]) == {value: {name: 1}}
        assert database.uuids(system) == (value,)


def test_a_uuid_in_another_spelling_is_not_counted_as_none(
    database: Database, momentry: System
) -> None:
    """PostgreSQL finds it, so that 0 would be a lie."""
    with pytest.raises(TargetError, match=f"videos.file_uuid spells a UUID {FIRST!r} which was"):
        database.counts(momentry, [FIRST.upper()])


def test_the_shape_of_tables(database: Database, momentry: System) -> None:
    """Their columns, with types as they stand in a statement."""
    shapes = database.shapes(momentry)

    assert list(shapes) == list(momentry.tables)
    assert shapes["chunk_vectors"][-1] == Column("embedding", "vector", True)
    assert shapes["chunk"][5] == Column("speaker", "text", False)
    assert database.columns(momentry, momentry.tables["videos"])[:2] == ["file_uuid", "file_name"]


def test_the_environment_says_the_schema(database_url: str, momentry: System) -> None:
    """Otherwise the system does."""
    with Database.connect({"dsn": database_url, "schema": "live"}) as database:
        assert database.schema(momentry) == "live"
        assert database.columns(momentry, momentry.tables["videos"]) == []
    with Database.connect({"dsn": database_url}) as database:
        assert database.schema(momentry) == "dev"


def test_a_snapshot_stands_still(database: Database, momentry_url: str) -> None:
    """What others do meanwhile is seen after it."""
    count = "SELECT count(*) FROM dev.videos"
    with database.snapshot():
        before = database.query(count)
        with psycopg.connect(momentry_url) as other:
            other.execute("DELETE FROM dev.videos")
        during = database.query(count)

    assert (before, during, database.query(count)) == ([(2,)], [(2,)], [(0,)])


def test_copy_gives_whole_lines(database: Database) -> None:
    """However they come."""
    text = "repeat('x', 70000) || E'\\n\\t\\\\'"
    lines = list(database.copy_out(sql.SQL(f"SELECT g, {text} FROM generate_series(1, 3) g")))

    assert lines == [b"%d\t%s\\n\\t\\\\" % (g, b"x" * 70_000) for g in (1, 2, 3)]
    with pytest.raises(MissingRelationError, match='relation "nowhere" does not exist'):
        list(database.copy_out(sql.SQL("SELECT FROM nowhere")))


def test_an_array_of_anything() -> None:
    """Quotes and backslashes are escaped."""
    assert array(["a", 'b"c', "d\\e", ""]) == '{"a","b\\"c","d\\\\e",""}'
    assert re.fullmatch(r"\{\}", array([]))
