"""A stack to look at: its page, its database, its containers, and every way to be up and not well.

The database is a PostgreSQL, the services are processes that answer over HTTP; the engine that
tells of them is a stand-in that speaks Docker's API.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.answers import Answer, Piece
from pytest_release.sandbox.changes import all_of, body, header, refusal, status
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.endpoint import Endpoint, Setting
from pytest_release.sandbox.fault import Fault, faults_of
from pytest_release.sandbox.requests import Request, accept
from pytest_release.sandbox.room import Part, Room

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

NAME = "smoke"
PROJECT = "odoo18-demo"
DATABASE = "odoo"
HOST = "127.0.0.1"
START_LIMIT = 15.0  # seconds until the engine must answer
ENGINE = "pytest_release.sandbox.rooms._smoke_engine"
TABLES = ("res_users", "res_company", "ir_module_module", "account_move")
PAGE = b"""<!DOCTYPE html>
<html lang="zh-CN"><head><title>Seisei</title></head>
<body><h1>Seisei</h1><p>Odoo 18</p></body></html>
"""
PARKED = b"<html><title>seisei.example</title><h1>This domain is for sale</h1>Seisei, Odoo</html>"
LOGIN = b"<html><title>Seisei | Odoo</title><form><input type='password' name='pw'></form></html>"


class Furnished:
    """PostgreSQL and the engine, running until `stop`.

    Args:
        faults: Names of those that are on.

    Raises:
        SandboxError: One of them does not start.
    """

    def __init__(self, faults: frozenset[str]) -> None:
        from pytest_release.sandbox.database import open_postgres  # noqa: PLC0415 - an extra

        self._leaving = ExitStack()
        try:
            postgres = open_postgres()
            self._leaving.callback(postgres.stop)
            self._workers = postgres.folder / "workers"
            self._workers.mkdir()
            self._socket = postgres.folder / "engine.sock"
            self.dsn, postmaster = _create(postgres.dsn, postgres.named(DATABASE), faults)
            self._start(faults, postmaster)
            self._await()
        except BaseException:
            self.stop()
            raise

    def _start(self, faults: frozenset[str], postmaster: int) -> None:
        with ExitStack() as ours:  # the engine inherits its own copies
            ocr, store = (ours.enter_context(socket.create_server((HOST, 0))) for _ in range(2))
            self.urls = {n: _url(s) for n, s in (("ocr", ocr), ("object_store", store))}
            descriptors = {"ocr": ocr.fileno(), "store": store.fileno()}
            options: dict[str, Any] = {
                **descriptors,
                "socket": str(self._socket),
                "workers": str(self._workers),
                "postmaster": postmaster,
                "project": PROJECT,
                "faults": sorted(faults),
            }
            self._engine = Child(ENGINE, options, tuple(descriptors.values()))
        self._leaving.callback(self._engine.join)
        self._leaving.callback(self._engine.let_go)

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not self._socket.exists():
            if self._engine.exit_status is not None or time.monotonic() > deadline:
                words = self._engine.last_words() or "none"
                raise SandboxError(f"the sandbox's engine did not start; its last words: {words}")
            time.sleep(0.005)

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them."""
        return {
            "engine": {"docker_host": f"unix://{self._socket}"},
            "compose": {"project": PROJECT},
            "stack_database": {"dsn": self.dsn},
            **{name: {"url": url} for name, url in self.urls.items()},
        }

    @property
    def secrets(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def told(self) -> Mapping[str, Any]:
        """Where workers say that they are there."""
        return {"workers": str(self._workers)}

    def stop(self) -> None:
        """End both; the folder goes with the database."""
        self._leaving.close()


def _url(listener: socket.socket) -> str:
    return f"http://{HOST}:{listener.getsockname()[1]}"


def _create(dsn: str, name: str, faults: frozenset[str]) -> tuple[str, int]:
    """The stack's own database, as its faults leave it; and the server's process."""
    import psycopg  # noqa: PLC0415 - an extra
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - an extra

    own = make_conninfo(dsn, dbname=name)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        if "smoke.empty-database" not in faults:
            with psycopg.connect(own, autocommit=True) as inside:
                for table in TABLES:
                    inside.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        if "smoke.database-refuses" in faults:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    return own, int((Path(folder) / "postmaster.pid").read_text().partition("\n")[0])


def _begin(setting: Setting) -> None:
    """A worker is a container of the stack."""
    if told := setting.parts.get(NAME):
        (Path(told["workers"]) / str(os.getpid())).touch()


def _page(_request: Request, _setting: Setting) -> Answer:
    return Answer((Piece(PAGE),), {"content-type": "text/html; charset=utf-8"})


def _start(faults: frozenset[str], _stores: Stores | None) -> Furnished:
    return Furnished(faults)


_OPERATION = {
    "responses": {
        "200": {
            "description": "the page",
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    }
}
_BUSY = refusal(503, "starting")
_PAGES = (
    Fault("smoke.bad-gateway", "smoke.status", "the domain answers 502", status(502)),
    Fault(
        "smoke.login-redirect",
        "smoke.redirect",
        "the domain leads to a login page, which answers 200",
        all_of(status(303), header("location", "/web/login"), body(b"")),
    ),
    Fault(
        "smoke.parking-redirect",
        "smoke.redirect",
        "the domain leads to a parking page on another host",
        all_of(status(302), header("location", "https://parked.invalid/seisei"), body(b"")),
    ),
    Fault("smoke.parked", "smoke.unwanted-text", "a parking page with our words", body(PARKED)),
    Fault("smoke.login", "smoke.unwanted-text", "the login page instead of ours", body(LOGIN)),
    Fault("smoke.other-page", "smoke.text", "the proxy's page", body(b"<h1>Welcome!</h1>")),
    Fault(
        "smoke.flapping",
        "smoke.flapping",
        "the domain is well, then not, then well",
        _BUSY,
        when=lambda number: number == 2,
    ),
    Fault(
        "smoke.every-other",
        "smoke.not-steady",
        "every other answer of the domain is 503",
        _BUSY,
        when=lambda number: number % 2 == 0,
    ),
)
_STACK = (
    ("exited", "not-running", "a container was killed, the others are up"),
    ("missing-service", "missing-service", "a service has no container"),
    ("restart-loop", "restarted", "a container crashes and is restarted, and is up at each look"),
    ("replaced", "restarted", "a container is replaced by another of the same name"),
    ("paused", "not-running", "a container is paused"),
    ("unhealthy", "unhealthy", "a container is up, and its health check fails"),
    ("starting", "unhealthy", "a container's health check never comes to an end"),
    ("no-health-check", "no-health-check", "no container has a health check"),
    ("failed-migration", "not-completed", "the migration ended with exit code 1"),
    ("orphan", "unknown-service", "a container of a service that is no more"),
    ("hostile-engine", "not-running", "an error of HTML, script, ANSI and control characters"),
    ("no-engine", "no-answer", "what listens on the socket is no engine"),
    ("endless-engine", "no-answer", "the engine's answer has no end"),
    ("old-image", "other-image", "one of two replicas runs the image of last week"),
    ("local-image", "no-digest", "a container runs an image that was built where it runs"),
    ("foreign-image", "unattested-image", "a container runs an image that no release names"),
    ("ocr-degraded", "value", "OCR answers 200 and says that it is degraded"),
    ("store-offline", "status", "the object store answers 503"),
    ("empty-database", "missing-tables", "the database is ready, and empty"),
    ("database-refuses", "no-answer", "the server is up, and the database takes no session"),
)

ROOM = Room(
    endpoints=(Endpoint("GET", "/", NAME, accept, _page, operation=_OPERATION),),
    faults=(
        *_PAGES,
        *faults_of(NAME, _STACK, group="none"),
    ),
    parts=(Part(NAME, frozenset({NAME}), _start),),
    begin=_begin,
)
