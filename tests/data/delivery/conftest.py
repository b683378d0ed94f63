"""A deployment that may be changed, for each test one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.config.environment import Environment
from pytest_release.config.system import System
from pytest_release.delivery.install import Place
from pytest_release.sandbox.stores import DEPLOYED, Stores
from tests.data.delivery.deployed import ONE


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


@pytest.fixture
def package(stores: Stores, tmp_path: Path) -> Path:
    """A copy of the first package, to be spoilt."""
    return Path(shutil.copy(stores.packages[ONE], tmp_path))


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
