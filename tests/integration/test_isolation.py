"""The isolation gate and its clients against real stores: PostgreSQL, Redis, and the wire."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import pytest
import redis
from psycopg import sql

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates import _isolation_pg
from pytest_release.gates._check import check
from pytest_release.gates._isolation_pg import PostgresStore
from pytest_release.gates._isolation_sides import Pair, pairs
from pytest_release.gates._isolation_stores import MARK, Canary, FolderStore, MongoStore, RedisStore
from pytest_release.gates._scene import Scene
from pytest_release.sandbox.rooms._isolation_sides import OWN, Sides
from pytest_release.targets import mongodb
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.mongodb import MongoDB
from pytest_release.targets.portions import UnfinishedError
from pytest_release.targets.qdrant import Qdrant
from pytest_release.targets.redis import Redis

ROOT = Path(__file__).parents[2]
BOOK = load_casebook(ROOT / "fixtures", "demo", {})
CASES = {case.id: case for case in BOOK.cases if isinstance(case, CheckCase)}
CANARY = CASES["isolation/canary-in-the-stores"]
DEMO = ROOT / "fixtures" / "environments" / "demo.yaml"
WORD = "00000000-0000-4000-8000-00000000c0de"


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    """Both environments of the sandbox, without faults; what a test changes, it puts back."""
    running = Sides(frozenset())
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def environment(sides: Sides) -> Environment:
    """The development side, which is isolated from production."""
    return Environment(
        "demo", "development", "demo", "http://127.0.0.1:9", DEMO, "", {},
        services=sides.services, isolated_from=("demo-production",),
    )  # fmt: skip


@pytest.fixture
def pair(environment: Environment) -> Iterator[Pair]:
    """Both, to be asked."""
    (both,) = pairs(environment)
    yield both
    both.close()


def services(sides: Sides, name: str = "demo") -> Mapping[str, Any]:
    """What one side declares."""
    found: Mapping[str, Any] = sides.services["neighbours"][name]["services"]
    return found


def seen(environment: Environment, case: CheckCase) -> Evidence:
    """One check."""
    with HttpTarget(environment) as target:
        return check(case, GatePolicy(), Scene(environment, target))


def test_a_canary_is_removed_again(environment: Environment, pair: Pair) -> None:
    """From every store; nothing is found, and nothing stays."""
    assert seen(environment, CANARY).findings == ()
    for service in ("postgres", "redis", "mongodb", "qdrant", "files"):
        assert list(pair.ours.store(service).find((MARK,))) == []


def test_a_canary_is_removed_behind_a_failure(
    environment: Environment, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store that broke in the middle is a finding; those before it hold nothing."""

    def broken(self: MongoStore, canary: Canary) -> None:
        raise TargetError(f"mongodb broke at {canary.text[: len(MARK)]}")

    monkeypatch.setattr(MongoStore, "put", broken)
    (finding,) = seen(environment, CANARY).findings

    assert (finding.code, finding.message) == (
        "isolation.no-answer",
        f"mongodb broke at {MARK}",
    )
    for service in ("postgres", "redis", "mongodb"):
        assert list(pair.ours.store(service).find((MARK,))) == []


def test_a_store_that_loses_the_canary_is_named(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took the canary and does not hold it: that nothing is found elsewhere proves nothing."""
    monkeypatch.setattr(MongoStore, "put", lambda *_: None)

    (finding,) = seen(environment, CANARY).findings

    assert finding.code == "isolation.canary-not-seen"
    assert re.fullmatch(
        rf"mongodb of demo does not hold the canary {MARK}\S+: it was written, and is not there",
        finding.message,
    )


def test_a_canary_is_removed_behind_an_interrupt(
    environment: Environment, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the stores are searched goes through, and leaves nothing."""

    def interrupted(self: FolderStore, *_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt("pressed")

    monkeypatch.setattr(FolderStore, "find", interrupted)
    with pytest.raises(KeyboardInterrupt, match="pressed"):
        seen(environment, CANARY)

    for service in ("postgres", "redis", "mongodb", "qdrant", "files"):
        assert list(pair.ours.store(service).find((MARK,))) == []


def test_what_an_earlier_run_left_in_production_is_found(
    environment: Environment, sides: Sides
) -> None:
    """A canary of another run is a canary; it is not removed from there."""
    with redis.Redis.from_url(sides.told["redis"]) as client:
        client.set(f"momentry:{MARK}old", "1")
        (finding,) = seen(environment, CANARY).findings
        left = client.delete(f"momentry:{MARK}old")

    assert finding.code == "isolation.canary-in-production"
    assert f"key 'momentry:{MARK}old'; nothing is removed there" in finding.message
    assert left == 1


def test_a_row_that_could_not_be_removed_is_not_written(environment: Environment) -> None:
    """A case whose row names no canary is refused, and so is one without rows."""
    for rows, message in (
        ([{"table": "frames", "values": {"id": 1}}], "row of frames could not be removed again"),
        ([], "options.rows names no row to write to postgres"),
    ):
        case = replace(CANARY, options={"rows": rows}, expect={"services": ["postgres"]})
        evidence = seen(environment, case)

        assert any(message in finding.message for finding in evidence.findings)


def test_production_is_never_written_to(pair: Pair) -> None:
    """The server refuses for PostgreSQL; the clients do for the others."""
    row = {"table": "frames", "values": {"file_uuid": WORD}}
    written = Canary(f"{MARK}x", WORD, (row,))
    refusals = {
        "postgres": "read-only transaction",
        "redis": "was opened for reading: b'momentry:pytest-release-canary-x' is not written",
        "mongodb": "was opened for reading: 'pytest-release-canary-x' is not written",
        "qdrant": f"was opened for reading: {WORD} is not written",
        "files": "is only read: pytest-release-canary-x is not written",
    }
    for service, message in refusals.items():
        with pytest.raises(TargetError, match=message):
            pair.theirs.store(service).put(written)
    for service in ("redis", "mongodb", "qdrant"):
        with pytest.raises(TargetError, match="was opened for reading"):
            pair.theirs.store(service).remove(written)


def test_a_folder_that_cannot_be_written_to(pair: Pair) -> None:
    """Says which one."""
    gone = FolderStore({"output": Path("/nowhere/at/all")}, read_only=False)
    with pytest.raises(TargetError, match="/nowhere/at/all cannot be written to: No such file"):
        gone.put(Canary("x", "y"))


def test_a_canary_that_stays_is_said(environment: Environment, sides: Sides) -> None:
    """A trigger that undoes the removal: what is left is named, store and table."""
    keep = (
        "CREATE FUNCTION dev.keep() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER keep BEFORE DELETE ON dev.file_registry FOR EACH ROW"
        " EXECUTE FUNCTION dev.keep()"
    )
    with psycopg.connect(sides.told["dsn"], autocommit=True) as connection:
        connection.execute(sql.SQL(keep))
        case = replace(CANARY, expect={"services": ["postgres"]})
        (finding,) = seen(environment, case).findings
        connection.execute("DROP FUNCTION dev.keep() CASCADE")
        connection.execute("DELETE FROM dev.file_registry WHERE id > 0")

    assert finding.code == "isolation.left-behind"
    assert "it is still in postgres" in finding.message
    assert "1 row of dev.file_registry" in finding.message


def test_a_store_that_holds_too_much_shows_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan that ends early is an error, never a clean store."""
    ours = pair.ours
    stores = [ours.store(name) for name in ("redis", "mongodb", "postgres")]
    cache, documents, rows = stores
    assert isinstance(cache, RedisStore)
    assert isinstance(documents, MongoStore)
    assert isinstance(rows, PostgresStore)
    monkeypatch.setattr("pytest_release.targets.redis.PORTION", 1)
    monkeypatch.setattr(mongodb, "MOST_COLLECTIONS", 0)
    monkeypatch.setattr(_isolation_pg, "MOST_TABLES", 1)
    monkeypatch.setattr(_isolation_pg, "MOST_FILES", 1)
    with pytest.raises(UnfinishedError, match=r"only the newest 1 documents were read"):
        list(documents.mongodb.holding("cache", [b"x"], most=1))
    with pytest.raises(UnfinishedError, match="momentry_dev has 1 collections"):
        documents.mongodb.collections()
    with pytest.raises(UnfinishedError, match="has over 1 tables"):
        list(rows.find(("x",)))
    with pytest.raises(UnfinishedError, match=r"dev\.videos knows more than 1 files"):
        rows.files("videos", "file_uuid")


def test_a_scan_of_redis_has_an_end(sides: Sides) -> None:
    """Keys beyond the bound are an error, and one key is never a pattern."""
    with redis.Redis.from_url(sides.told["redis"]) as client:
        client.mset({f"momentry_dev:many:{number}": "" for number in range(3_000)})
        with Redis.connect(services(sides)["redis"]) as scanned:
            everything = set(scanned.scan())
            with pytest.raises(UnfinishedError, match=r"only the first \d+ keys were read"):
                list(scanned.scan(most=1))
        client.delete(*(f"momentry_dev:many:{number}" for number in range(3_000)))

    assert len(everything) >= 3_000


def test_a_prefix_is_no_pattern(environment: Environment, sides: Sides) -> None:
    """A key that only `momentry*` would match, and one with wildcards, belong to nobody."""
    strange = ["momentry-old:x", "momentry*", "moment\x1b[31m\nry"]
    with redis.Redis.from_url(sides.told["redis"]) as client:
        client.mset(dict.fromkeys(strange, ""))
        (finding,) = seen(environment, CASES["isolation/keys-of-redis"]).findings
        client.delete(*strange)

    assert "has 3 keys with no known prefix" in finding.message
    assert "'momentry*'" in finding.message
    assert r"'moment\x1b[31m\nry'" in finding.message
    assert "\x1b" not in finding.message


@pytest.mark.parametrize("kind", ["string", "set", "list", "hash", "zset"])
def test_a_value_of_redis_that_holds_the_word(sides: Sides, kind: str) -> None:
    """Whatever its kind; a stream is not read, and a neighbour is not meant."""
    word, key = WORD.encode(), f"momentry:held:{kind}"
    with redis.Redis.from_url(sides.told["redis"]) as client:
        match kind:
            case "string":
                client.set(key, f"<{WORD}>")
            case "set":
                client.sadd(key, word, "other")
            case "list":
                client.rpush(key, "other", word)
            case "hash":
                client.hset(key, WORD, "1")
            case "zset":
                client.zadd(key, {WORD: 0.0})
        client.set("momentry:held:not", "other")
        with Redis.connect(services(sides)["redis"]) as asked:
            held = list(asked.holding([key.encode(), b"momentry:held:not", b"gone"], [word]))
            assert asked.exists(key.encode())
        client.delete(key, "momentry:held:not")

    assert held == [key.encode()]


def test_a_document_is_found_whatever_its_field(sides: Sides) -> None:
    """As bytes: nested, in a list, under another name."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(sides.told["mongodb"])
    with client, MongoDB.connect(services(sides)["mongodb"]) as asked:
        there = client["momentry_dev"]["jobs"]
        there.insert_one({"_id": "job", "steps": [{"input": {"file": f"/x/{WORD}.mp4"}}]})
        found = list(asked.holding("jobs", [WORD.encode()]))
        counted = asked.count("cache", "file_uuid", [f"{n:036}" for n in range(1_200)])
        client["momentry_dev"].drop_collection("jobs")

    assert found == ["job"]
    assert counted == (0, "")


@pytest.mark.parametrize(
    ("client", "options", "message"),
    [
        (Redis, {"url": "nonsense"}, "services.redis.url is no address: expected redis"),
        (Redis, {"url": "redis://:hunter2@127.0.0.1:9/0"}, "redis 127.0.0.1:9/0: .*refused"),
        (MongoDB, {"url": "http://x", "database": "x"}, "services.mongodb names no database: exp"),
        (MongoDB, {"url": "mongodb://u:hunter2@127.0.0.1:9/"}, "services.mongodb names no datab"),
    ],
)
def test_a_store_that_cannot_be_reached(
    client: type[Redis | MongoDB], options: Mapping[str, str], message: str
) -> None:
    """Says where, and no password."""
    with pytest.raises(TargetError, match=message) as raised:
        client.connect(options)

    assert "hunter2" not in str(raised.value)


def test_a_mongodb_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time for finding a server."""
    monkeypatch.setattr(mongodb, "CONNECT_MS", 50)
    with pytest.raises(TargetError, match=r"mongodb 127\.0\.0\.1:9/x: 127\.0\.0\.1:9: .*refused"):
        MongoDB.connect({"url": "mongodb://u:hunter2@127.0.0.1:9/", "database": "x"})


@pytest.mark.parametrize(("name", "client"), [("redis", Redis), ("pymongo", MongoDB)])
def test_a_client_that_is_not_installed(
    name: str, client: type[Redis | MongoDB], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names the extra, and only when a case needs it."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TargetError, match=rf"needs {name}.* pip install 'pytest-release\[stores\]"):
        client.connect({"url": "x", "database": "x"})


def test_the_clients_are_imported_late() -> None:
    """The gate is read, and neither redis nor pymongo is."""
    program = (
        "import sys, pytest_release.gates.isolation;"
        "print([name for name in ('redis', 'pymongo', 'psycopg') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stdout == "[]\n"


def test_nothing_of_the_sides_outlives_a_killed_owner(tmp_path: Path) -> None:
    """redis-server, both stand-ins and PostgreSQL go, and so does their folder."""
    program = (
        "from pytest_release.sandbox.rooms._isolation_sides import Sides\n"
        "sides = Sides(frozenset()); print(sides.root.parent, flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert owner.stdout is not None
    folder = owner.stdout.readline().decode().strip()
    assert Path(folder).is_dir()
    owner.send_signal(signal.SIGKILL)
    owner.communicate()

    deadline = time.monotonic() + 20
    while (Path(folder).exists() or running(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert running(folder) == []


def running(word: str) -> list[str]:
    """The processes whose command has a word in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if word in command:
            found.append(command)
    return found


def test_what_stands_in_production_of_a_development_file(
    environment: Environment, sides: Sides
) -> None:
    """Documents and points, each counted where they are."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(sides.told["mongodb"])
    with (
        client,
        Qdrant.connect(services(sides, "demo-production")["qdrant"], read_only=False) as points,
    ):
        client["momentry"]["chunks"].insert_one({"_id": "stray", "file_uuid": OWN["demo"]})
        points.put(WORD, {"file_uuid": OWN["demo"]})
        found = seen(environment, CASES["isolation/strangers"]).findings
        client["momentry"].drop_collection("chunks")
        points.remove(WORD)

    assert [finding.code for finding in found] == [
        "isolation.foreign-documents",
        "isolation.foreign-points",
    ]
    assert (
        f"chunks holds 1 document of files that only demo knows, {OWN['demo']}" in found[0].message
    )
    assert f"momentry_rule1 holds 1 point of files that only demo knows, {WORD}" in found[1].message


def test_a_side_that_knows_no_file(environment: Environment) -> None:
    """An empty register would make everything a stranger, or nothing: it is a finding."""
    case = replace(CASES["isolation/strangers"], options={"registry": "frames"})
    found = seen(environment, case).findings

    assert [finding.message for finding in found] == [
        f"{name} knows no file, so that nothing of the other could be told apart"
        for name in ("demo", "demo-production")
    ]


def test_tables_on_neither_list(environment: Environment, sides: Sides) -> None:
    """Whether a new table may be shared must be said; a list of nothing lists nothing."""
    with psycopg.connect(sides.told["dsn"], autocommit=True) as connection:
        connection.execute("CREATE TABLE dev.scratch (note text, chunk text)")
        connection.execute(
            "ALTER TABLE dev.scratch ADD FOREIGN KEY (chunk) REFERENCES public.chunk"
        )
        found = seen(environment, CASES["isolation/tables"]).findings
        connection.execute("DROP TABLE dev.scratch")

    assert [finding.message for finding in found] == [
        "1 table of dev of demo on neither list: scratch; say whether they may be shared",
        "dev.scratch: its foreign key scratch_chunk_fkey leads to public.chunk",
    ]


def test_folders_that_are_one_or_none(environment: Environment, sides: Sides) -> None:
    """A link makes two names one folder; a missing folder is said first."""
    backup, production = (sides.root / "backup" / name for name in ("momentry_dev", "momentry"))
    aside = sides.root / "output_dev" / "aside"
    backup.rename(aside)
    missing = seen(environment, CASES["isolation/folders"]).findings
    backup.symlink_to(production)
    linked = seen(environment, CASES["isolation/folders"]).findings
    unwritten = seen(environment, replace(CANARY, expect={"services": ["files"]})).findings
    backup.unlink()
    aside.rename(backup)

    assert [finding.message for finding in missing] == [
        f"{backup}, files.backup of demo, is no folder"
    ]
    assert [finding.message for finding in linked] == [
        f"{backup} of demo is {production} of demo-production"
    ]
    assert [finding.code for finding in unwritten] == ["isolation.not-written"]


def test_a_key_that_its_own_application_refuses(environment: Environment) -> None:
    """A path that is not there, or that nobody may see, would refuse this side's key, too."""
    case = replace(CASES["isolation/api-keys"], options={"path": "/api/v1/nothing"})
    (finding,) = seen(environment, case).findings

    assert finding.code == "isolation.key-refused"
    assert finding.message == (
        "GET demo-production/api/v1/nothing answers 404 to its own key, so that a refusal would "
        "show nothing"
    )


def test_no_key_is_in_the_evidence(environment: Environment, sides: Sides) -> None:
    """Of neither side, in whatever was found."""
    for case in CASES.values():
        if case.gate == "isolation" and case.check != "application":
            shown = repr(seen(environment, case))

            assert not [key for key in sides.keys.values() if key in shown]
