"""Whatever ends an installation, what stands afterwards is whole; installing again finishes it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pytest_release.delivery.install import Place
from pytest_release.errors import PackageError
from pytest_release.sandbox.material import COLUMNS
from pytest_release.sandbox.stores import Stores
from tests.data.delivery.deployed import ONE, TABLES, TRIGGER, dsn, install, run, state

FIXTURES = Path(__file__).parents[3] / "fixtures"
GATE = 42  # number of the advisory lock that a test holds
PATIENCE_S = 20.0
BYE = "EXECUTE FUNCTION dev.bye()"
END_SESSION = """
    CREATE FUNCTION dev.bye() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN coalesce(NEW, OLD); END $$
"""


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


@pytest.mark.parametrize(
    ("event", "doing"),
    [
        ("DELETE ON dev.tkg_edges", r"step 2, cleaning tkg_edges"),
        ("UPDATE ON dev.videos", r"step 5, setting videos\.status"),
    ],
)
def test_a_connection_lost_outside_of_the_import_changes_nothing(
    stores: Stores, place: Place, event: str, doing: str
) -> None:
    """Nor does it leave files behind that were staged."""
    run(place, END_SESSION, f"CREATE TRIGGER bye BEFORE {event} FOR EACH ROW {BYE}")
    before = state(place)

    with pytest.raises(PackageError, match=rf"was lost during {doing}; nothing was changed: inst"):
        install(stores.packages[ONE], place)

    assert state(place) == before


def test_a_connection_lost_during_the_commit(stores: Stores, place: Place) -> None:
    """Nobody can know then whether it happened: nothing else is said, and the rows are whole."""
    trigger = f"AFTER UPDATE ON dev.videos DEFERRABLE INITIALLY DEFERRED FOR EACH ROW {BYE}"
    run(place, END_SESSION, f"CREATE CONSTRAINT TRIGGER bye {trigger}")
    before = state(place)
    expected = (
        r"^the connection to postgres .* was lost during the commit: it is not known whether it "
        r"happened; install again, which is harmless$"
    )

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


def test_killed_during_the_commit_changes_nothing(
    stores: Stores, place: Place, killed: Callable[..., None]
) -> None:
    """The server has been asked to commit, and does not."""
    before = state(place)
    killed(place, stores.packages[ONE], "UPDATE ON dev.videos", deferred=True)

    assert without_staged(state(place)) == before


KILLED = """
import os, signal
from pathlib import Path
from pytest_release.delivery.files import FileInstallation

rename, last = Path.rename, {last}

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def renamed(source, target):
    global last
    rename(source, target)
    last -= 1
    if not last:
        die()

Path.rename = renamed
if not last:
    FileInstallation.publish = die
"""


@pytest.mark.parametrize(("last", "there"), [(0, "old"), (1, "none"), (2, "new")])
def test_killed_after_the_commit_leaves_the_new_rows(
    stores: Stores, place: Place, last: int, there: str
) -> None:
    """The files are the old ones, or away between two renames; installing again finishes it."""
    whole = state(place)
    video = next(name for name in whole if name.startswith(ONE) and name.endswith(".mp4"))
    run(place, f"UPDATE dev.chunk SET content = 'old' WHERE file_uuid = '{ONE}'")
    (place.output / video).write_text("old")
    old = state(place)[video]
    script = KILLED.format(last=last) + INSTALL
    command = [sys.executable, "-c", script, *arguments(place, stores.packages[ONE])]
    process = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)

    found = state(place)
    assert process.returncode == -signal.SIGKILL
    assert {table: found[table] for table in TABLES} == {table: whole[table] for table in TABLES}
    assert found.get(video, "none") == {"old": old, "new": whole[video]}.get(there, there)
    install(stores.packages[ONE], place)
    assert state(place) == whole


def arguments(place: Place, package: Path) -> list[str]:
    """Of the script that installs."""
    return [str(package), dsn(place), str(place.output), str(FIXTURES)]


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
def killed() -> Callable[..., None]:
    """Kills an installation with -9 while it waits in a trigger."""

    def kill(place: Place, package: Path, event: str, *, deferred: bool = False) -> None:
        kind = "TRIGGER wait BEFORE {} FOR EACH ROW"
        if deferred:
            kind = "CONSTRAINT TRIGGER wait AFTER {} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
        body = f"PERFORM pg_advisory_xact_lock({GATE})"
        run(
            place,
            "CREATE FUNCTION dev.wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"{body}; RETURN coalesce(NEW, OLD); END $$",
            f"CREATE {kind.format(event)} EXECUTE FUNCTION dev.wait()",
        )
        command = [sys.executable, "-c", INSTALL, *arguments(place, package)]
        with psycopg.connect(dsn(place), autocommit=True) as holder:
            holder.execute("SELECT pg_advisory_lock(%s)", [GATE])
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
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
