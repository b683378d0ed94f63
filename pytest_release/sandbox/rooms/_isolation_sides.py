"""The two environments of the sandbox: their stores started, furnished, and damaged as asked.

Each side knows two files: one of its own, and one that was deployed to both.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import redis

from pytest_release.errors import SandboxError
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.database import open_postgres
from pytest_release.sandbox.rooms._isolation_app import Application
from pytest_release.sandbox.rooms._isolation_damage import DAMAGES, declared
from pytest_release.sandbox.rooms._isolation_places import DEVELOPMENT, PRODUCTION, Place
from pytest_release.sandbox.rooms._isolation_tables import create_tables
from pytest_release.targets._httpx import httpx

HOST = "127.0.0.1"
ROOMS = "pytest_release.sandbox.rooms"
START_LIMIT = 15.0  # seconds until the stores must answer
BOTH = "7c1de0b2-94f0-4a55-9c1e-6a0d8f3b5c77"
OWN = {
    "demo": "1e0a6f54-2d3b-4c8e-9f10-5b7c9d2e4a31",
    "demo-production": "c4b8d9e2-7f61-4a0d-8e53-0f1a2b3c4d5e",
}


class Sides:
    """Running until `stop`.

    Args:
        faults: Names of those that are on.

    Raises:
        SandboxError: A store does not start.
    """

    def __init__(self, faults: frozenset[str]) -> None:
        self._faults = faults
        self._leaving = ExitStack()
        self.keys = {p.name: f"key_{secrets.token_hex(12)}" for p in (DEVELOPMENT, PRODUCTION)}
        try:
            self._start()
            self._furnish()
        except (psycopg.Error, redis.RedisError, httpx.HTTPError, OSError) as error:
            self.stop()
            raise SandboxError(f"the sides of the sandbox cannot be furnished: {error}") from None
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        mongodb, qdrant, production = (self._listener() for _ in range(3))
        self._child("_isolation_mongodb", {"listener": mongodb.fileno()}, mongodb)
        options: dict[str, Any] = {
            "qdrant": qdrant.fileno(),
            "production": production.fileno(),
            "key": self.keys["demo-production"],
            "faults": sorted(self._faults),
        }
        self._child("_isolation_web", options, qdrant, production)
        postgres = open_postgres()
        self._leaving.callback(postgres.stop)
        sockets = postgres.folder / "redis.sock"
        self._child("_isolation_redis", {"socket": str(sockets), "folder": str(postgres.folder)})
        self.root = postgres.folder / "momentry"
        self.production_url = _url("http", production)
        self.told: Mapping[str, Any] = {
            "dsn": postgres.dsn,
            "redis": f"unix://{sockets}?db=0",
            "mongodb": _url("mongodb", mongodb),
            "qdrant": _url("http", qdrant),
            "root": str(self.root),
        }
        self._await(sockets)

    def _listener(self) -> socket.socket:
        return self._leaving.enter_context(socket.create_server((HOST, 0), backlog=128))

    def _child(self, module: str, options: Mapping[str, Any], *listeners: socket.socket) -> None:
        descriptors = tuple(listener.fileno() for listener in listeners)
        child = Child(f"{ROOMS}.{module}", options, descriptors)
        self._leaving.callback(child.join)
        self._leaving.callback(child.let_go)

    def _await(self, sockets: Path) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not sockets.exists():
            if time.monotonic() > deadline:
                raise SandboxError(f"the sandbox's Redis did not start within {START_LIMIT:g} s")
            time.sleep(0.01)

    def _furnish(self) -> None:
        for place in (DEVELOPMENT, PRODUCTION):
            for folder in (place.output, place.backup):
                (self.root / folder).mkdir(parents=True)
            self._settings(place)
        create_tables(self.told["dsn"])
        with httpx.Client(base_url=self.told["qdrant"], trust_env=False) as client:
            for place in (DEVELOPMENT, PRODUCTION):
                vectors = {"vectors": {"size": 1024, "distance": "Cosine"}}
                client.put(f"/collections/{place.collection}", json=vectors).raise_for_status()
        for place in (DEVELOPMENT, PRODUCTION):
            with Application(self.told, (), place) as application:
                for uuid in (OWN[place.name], BOTH):
                    application.register(uuid, f"{uuid[:8]}.mp4")
        for fault in self._faults & DAMAGES.keys():
            DAMAGES[fault](self.told, OWN["demo"])

    def _settings(self, place: Place) -> None:
        port = self.production_url.rpartition(":")[2]
        lines = {
            "MOMENTRY_PORT": port if place is PRODUCTION else "3003",
            "DATABASE_SCHEMA": place.schema,
            "REDIS_KEY_PREFIX": place.prefix,
            "MONGODB_DATABASE": place.database,
            "QDRANT_COLLECTION": place.collection,
            "MOMENTRY_OUTPUT_DIR": str(self.root / place.output),
            "MOMENTRY_BACKUP_DIR": str(self.root / place.backup),
            "LOG_LEVEL": place.log_level,
            "WORKER_ENABLED": str(place.worker).lower(),
            "MOMENTRY_API_KEY": self.keys[place.name],
            "SESSION_SECRET": secrets.token_hex(8),
        }
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        (self.root / place.settings).write_text(f"# {place.name}\n{text}")

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """The two environments, as whoever compares them knows them."""
        sides = {place.name: self._side(place) for place in (DEVELOPMENT, PRODUCTION)}
        sides["demo-production"]["base_url"] = self.production_url
        return {"neighbours": declared(sides, self._faults)}

    def _side(self, place: Place) -> dict[str, Any]:
        folders = {"output": place.output, "backup": place.backup}
        application = {
            "settings": str(self.root / place.settings),
            "api_key": self.keys[place.name],
            "binary": place.binary,
            "log_level": place.log_level,
            "worker": place.worker,
        }
        services: dict[str, Any] = {
            "postgres": {"dsn": self.told["dsn"], "schema": place.schema},
            "redis": {"url": self.told["redis"], "prefix": place.prefix},
            "mongodb": {"url": self.told["mongodb"], "database": place.database},
            "qdrant": {"url": self.told["qdrant"], "collection": place.collection},
            "files": {name: str(self.root / folder) for name, folder in folders.items()},
            "application": application,
        }
        return {"role": place.role, "services": services}

    @property
    def secrets(self) -> frozenset[str]:
        """The API keys."""
        return frozenset(self.keys.values())

    def stop(self) -> None:
        """End every store; the folder goes with the database."""
        self._leaving.close()


def _url(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}://{HOST}:{listener.getsockname()[1]}"
