"""A package is installed as a whole or not at all, and again without harm."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.config.environment import Environment, ReleaseSource
from pytest_release.config.system import System
from pytest_release.delivery.build import build_package
from pytest_release.delivery.install import Place, install_package
from pytest_release.errors import PackageError
from pytest_release.sandbox import package_faults as spoilt
from pytest_release.sandbox.material import COLUMNS
from pytest_release.sandbox.stores import DEPLOYED, EPOCH, UUIDS, Stores
from pytest_release.targets.postgres import Database

ONE, TWO = UUIDS
GATE = 42  # number of the advisory lock that a test holds
PATIENCE_S = 20.0
TABLES = (*COLUMNS, "identity_merges")


@pytest.fixture
def place(stores: Stores, momentry: System, tmp_path: Path) -> Place:
    """A copy of the deployed stores: a database of its own, and the files."""
    name = f"place_{sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(make_conninfo(stores.dsn, dbname="postgres"), autocommit=True) as admin:
        admin.execute(statement.format(sql.Identifier(name), sql.Identifier(DEPLOYED)))
    shutil.copytree(stores.output, tmp_path / "output")
    services = {
        "postgres": {"dsn": make_conninfo(stores.dsn, dbname=name), "schema": "dev"},
        "files": {"output": str(tmp_path / "output")},
    }
    environment = Environment(
        "here", "development", "momentry", None, Path("here.yaml"), "", {}, services=services
    )
    return Place(environment, momentry)


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


@pytest.fixture
def package(stores: Stores, tmp_path: Path) -> Path:
    """A copy of the first package, to be spoilt."""
    return Path(shutil.copy(stores.packages[ONE], tmp_path))


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


@pytest.mark.parametrize("uuid", UUIDS)
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
    for uuid in UUIDS:
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


def test_a_package_made_of_what_was_installed_is_the_same(
    stores: Stores, momentry: System, tmp_path: Path
) -> None:
    """Byte for byte: nothing was lost or changed on the way."""
    with Database.connect(stores.services["postgres"]) as database:
        again = build_package(ONE, database, momentry, stores.output / ONE, tmp_path, EPOCH)

    assert again.name == stores.packages[ONE].name
    assert again.read_bytes() == stores.packages[ONE].read_bytes()
    assert list(tmp_path.iterdir()) == [again]


TRIGGER = """
    CREATE FUNCTION dev.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {body}; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON dev.{table} FOR EACH ROW EXECUTE FUNCTION dev.refuse();
"""


@pytest.mark.parametrize("table", COLUMNS)
def test_a_failure_at_any_table_changes_nothing(stores: Stores, place: Place, table: str) -> None:
    """The message names step, table and file; everything is as it was."""
    run(place, TRIGGER.format(body="RAISE EXCEPTION 'no room'", table=table))
    before = state(place)
    expected = rf"^step 3, (importing|merging) {table}.*: no room; .*nothing was changed"

    with pytest.raises(PackageError, match=expected):
        install(stores.packages[ONE], place)

    assert state(place) == before


@pytest.mark.parametrize("table", ["videos", "face_detections", "identities", "tkg_edges"])
def test_a_lost_connection_changes_nothing(stores: Stores, place: Place, table: str) -> None:
    """The server ends the session in the middle of a table."""
    body = "PERFORM pg_terminate_backend(pg_backend_pid())"
    run(place, TRIGGER.format(body=body, table=table))
    before = state(place)
    expected = rf"^the connection to postgres .* was lost during step 3, \w+ {table}.*; nothing was"

    with pytest.raises(PackageError, match=expected):
        install(stores.packages[ONE], place)

    assert state(place) == before


INSTALL = """
import sys
from pathlib import Path
from pytest_release.config.environment import Environment
from pytest_release.config.systems import load_system
from pytest_release.delivery.install import Place, install_package
package, dsn, output, fixtures = sys.argv[1:]
services = {"postgres": {"dsn": dsn, "schema": "dev"}, "files": {"output": output}}
environment = Environment(
    "here", "development", "momentry", None, Path("here.yaml"), "", {}, services=services
)
place = Place(environment, load_system(Path(fixtures), "momentry", {}))
install_package(Path(package), place, print)
"""


@pytest.mark.parametrize("event", ["DELETE ON dev.tkg_edges", "UPDATE ON dev.videos"])
def test_killed_outside_of_the_import_changes_nothing(
    stores: Stores, place: Place, event: str, killed: Callable[..., None]
) -> None:
    """In step 2, with rows deleted, and in step 5, with everything there and files staged."""
    before = state(place)
    killed(place, stores.packages[ONE], event)

    assert without_staged(state(place)) == before
    install(stores.packages[ONE], place)
    assert state(place) == before


@pytest.mark.parametrize("table", COLUMNS)
def test_killed_at_any_table_changes_nothing(
    stores: Stores, place: Place, table: str, killed: Callable[..., None]
) -> None:
    """The process is gone without a word, and so is what it did."""
    before = state(place)
    killed(place, stores.packages[ONE], f"INSERT ON dev.{table}")

    assert state(place) == before


def without_staged(found: dict[str, str]) -> dict[str, str]:
    """What is deployed, without what was written aside."""
    return {name: digest for name, digest in found.items() if ".installing" not in name}


@pytest.fixture
def killed() -> Callable[[Place, Path, str], None]:
    """Kills an installation with -9 while it waits in a trigger."""

    def kill(place: Place, package: Path, event: str) -> None:
        body = f"PERFORM pg_advisory_xact_lock({GATE})"
        run(
            place,
            "CREATE FUNCTION dev.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"{body}; RETURN coalesce(NEW, OLD); END $$",
            f"CREATE TRIGGER wait BEFORE {event} FOR EACH ROW EXECUTE FUNCTION dev.wait()",
        )
        fixtures = Path(__file__).parents[3] / "fixtures"
        command = [sys.executable, "-c", INSTALL, str(package), dsn(place), str(place.output)]
        with psycopg.connect(dsn(place), autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", [GATE])
            with subprocess.Popen([*command, str(fixtures)], stdout=subprocess.DEVNULL) as process:
                await_lock(holder, process)
                process.send_signal(signal.SIGKILL)
            backends = (
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            holder.execute(backends)  # a server notices a dead client when it next speaks to it
            holder.execute("DROP FUNCTION dev.wait CASCADE")

    return kill


def await_lock(holder: psycopg.Connection, process: subprocess.Popen[bytes]) -> None:
    """Until the installation waits for the lock."""
    deadline = time.monotonic() + PATIENCE_S
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    while holder.execute(waiting).fetchone() == (0,):
        assert process.poll() is None, "the installation ended"
        assert time.monotonic() < deadline, "the installation did not come to the trigger"
        time.sleep(0.02)


def test_two_installations_do_not_meet(stores: Stores, place: Place) -> None:
    """The second is refused at once."""
    from pytest_release.delivery.rows import LOCK

    before = state(place)
    with psycopg.connect(dsn(place)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK, ONE])
        with pytest.raises(
            PackageError, match=rf"^{ONE} is being installed by somebody else; noth"
        ):
            install(stores.packages[ONE], place)

    assert state(place) == before


def test_a_flawed_package_is_refused(package: Path, place: Place) -> None:
    """Before anything is touched, with the reasons."""
    before = state(place)
    spoilt.without("deploy.sh")(package)

    with pytest.raises(PackageError, match=r"is not good, nothing was changed:\n  .*deploy\.sh"):
        install(package, place)

    assert state(place) == before


def test_a_row_that_refers_to_nothing(package: Path, place: Place) -> None:
    """The failure table's foreign key: table, key, line, and what to do."""
    old = f"{ONE[:8]}-c00003\t".encode()
    spoilt.edited("sql/dev_chunk_vectors.sql", old, b"gone\t")(package)
    expected = (
        r"^step 3, importing chunk_vectors from sql/dev_chunk_vectors\.sql: .*foreign key.*; "
        r"Key \(chunk_id\)=\(gone\) is not present in table \"chunk\"; nothing was changed: the row"
    )

    with pytest.raises(PackageError, match=expected):
        install(package, place)


def test_a_row_that_is_there_already(package: Path, place: Place) -> None:
    """The failure table's duplicate: another file has that key."""
    old = f"{ONE[:8]}-no00003\t".encode()
    spoilt.edited("sql/dev_tkg_nodes.sql", old, f"{TWO[:8]}-no00003\t".encode())(package)
    expected = (
        rf"tkg_nodes .*Key \(node_id\)=\({TWO[:8]}-no00003\) already exists; COPY tkg_nodes, line"
    )

    with pytest.raises(PackageError, match=expected):
        install(package, place)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER TABLE dev.tkg_edges RENAME TO e", "see services.postgres.schema, and run the migr"),
        ("ALTER TABLE dev.chunk DROP COLUMN speaker", "of different versions; get the matching"),
    ],
)
def test_a_schema_that_does_not_fit(
    stores: Stores, place: Place, statement: str, message: str
) -> None:
    """What is missing, and what to do."""
    run(place, statement)

    with pytest.raises(PackageError, match=message):
        install(stores.packages[ONE], place)


def test_a_rule_that_swallows_rows(stores: Stores, place: Place) -> None:
    """COPY says 24, the table says less: counted, named, and nothing is changed."""
    run(
        place, TRIGGER.format(body="IF NEW.chunk_index = 3 THEN RETURN NULL; END IF", table="chunk")
    )
    run(place, "ALTER TABLE dev.chunk_vectors DROP CONSTRAINT chunk_vectors_chunk_id_fkey")
    before = state(place)

    with pytest.raises(PackageError, match=r"^step 3: chunk has 23 rows after COPY of 24; nothing"):
        install(stores.packages[ONE], place)

    assert state(place) == before


def test_a_person_that_others_need(package: Path, place: Place) -> None:
    """The new package lacks an identity to which another file's faces are bound."""
    with psycopg.connect(dsn(place)) as connection:
        row = connection.execute(
            "SELECT into_uuid::text FROM dev.identity_merges ORDER BY 1 LIMIT 1"
        ).fetchone()
    assert row is not None
    for table in ("identities", "identity_bindings"):
        other = b"00000000-0000-4000-8000-000000000001"
        spoilt.edited(f"sql/dev_{table}.sql", str(row[0]).encode(), other)(package)
    before = state(place)

    with pytest.raises(
        PackageError, match=rf"^identity {row[0]} of {ONE} is not in the new package"
    ):
        install(package, place)

    assert state(place) == before


def test_a_full_disk(stores: Stores, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much there is, how much is needed, and nothing is touched."""
    usage = shutil.disk_usage(place.output)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))

    with pytest.raises(PackageError, match=r"has 1,000 bytes free, the files of the package need"):
        install(stores.packages[ONE], place)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("postgres", r"^here\.yaml names no database: add services\.postgres\.dsn$"),
        ("files", r"^here\.yaml names no output folder: add services\.files\.output$"),
    ],
)
def test_a_place_without_stores(stores: Stores, place: Place, service: str, message: str) -> None:
    """The message names the environment's file and the key."""
    services = {name: s for name, s in place.environment.services.items() if name != service}
    bare = replace(place, environment=replace(place.environment, services=services))

    with pytest.raises(PackageError, match=message):
        install(stores.packages[ONE], bare)


def test_an_output_folder_that_is_not_there(stores: Stores, place: Place) -> None:
    """Nobody makes it by mistake."""
    shutil.rmtree(place.output)

    with pytest.raises(PackageError, match=r"^there is no folder .*output: make it, or mend"):
        install(stores.packages[ONE], place)


def test_a_release_that_is_not_the_packages(
    stores: Stores, place: Place, health: Callable[[str], str]
) -> None:
    """Step 0: both are named, and what to do; development accepts an unknown build."""
    source = ReleaseSource("/health", "version", "build")
    before = state(place)

    def at(role: str, build: str) -> Place:
        environment = replace(place.environment, role=role, release=source, base_url=health(build))
        return replace(place, environment=environment)

    with pytest.raises(
        PackageError, match=r"was made by 1\.0\.0 \(d34bcae\), here runs 1\.0\.0, com"
    ):
        install(stores.packages[ONE], at("production", "0123456"))
    with pytest.raises(
        PackageError, match=r"here runs 1\.0\.0, commit unknown; nothing was changed"
    ):
        install(stores.packages[ONE], at("production", "unknown"))
    assert state(place) == before
    assert install(stores.packages[ONE], at("production", "d34bcae"))[0].startswith("[0/9]")
    assert install(stores.packages[ONE], at("development", "unknown"))[-1].startswith("[8/9]")


def test_a_deployment_that_does_not_name_itself(stores: Stores, place: Place) -> None:
    """Only development may do without."""
    careless = replace(place, environment=replace(place.environment, role="staging"))

    with pytest.raises(
        PackageError, match=r"^here\.yaml does not say where the build names itself"
    ):
        install(stores.packages[ONE], careless)


@pytest.fixture
def health() -> Iterator[Callable[[str], str]]:
    """Starts a server that names a build; gives its address."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    servers = []

    def start(build: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f'{{"version": "1.0.0", "build": "{build}"}}'.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
