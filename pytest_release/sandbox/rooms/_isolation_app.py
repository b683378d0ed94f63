"""The development application, as far as it keeps a file: one entry in each of its stores.

Its faults are those of a system whose settings, or whose code, name production's places.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import redis
from psycopg import sql

from pytest_release.sandbox.rooms._isolation_places import DEVELOPMENT, FOLDERS, PRODUCTION, Place
from pytest_release.targets._httpx import httpx
from pytest_release.targets.closing import Closing

VIDEO = "INSERT INTO {} VALUES (%s, %s, 1, 25, 640, 360, 'completed', now())"


class Application(Closing):
    """Connected to the stores while a ``with`` block lasts.

    Args:
        told: Addresses of the stores.
        faults: Names of those that are on.
        place: Which side it is.
    """

    def __init__(
        self,
        told: Mapping[str, Any],
        faults: Collection[str] = (),
        place: Place = DEVELOPMENT,
    ) -> None:
        self._faults = faults
        self._place = place
        self._root = Path(told["root"])
        self._leaving = ExitStack()
        enter = self._leaving.enter_context
        self._postgres = enter(psycopg.connect(told["dsn"], autocommit=True))
        self._redis = enter(redis.Redis.from_url(told["redis"]))
        self._mongodb: pymongo.MongoClient[dict[str, Any]] = enter(
            pymongo.MongoClient(told["mongodb"], serverSelectionTimeoutMS=5000)
        )
        self._qdrant = enter(httpx.Client(base_url=told["qdrant"], trust_env=False))

    def close(self) -> None:
        """Leave the stores."""
        self._leaving.close()

    def _on(self, fault: str) -> bool:
        return f"isolation.{fault}" in self._faults

    def _kept(self, fault: str) -> Place:
        """Where one kind of entry goes: to production when that fault is on."""
        return PRODUCTION if self._on(fault) else self._place

    def register(self, uuid: str, name: str) -> None:
        """Keep a file."""
        video = sql.SQL(VIDEO).format(sql.Identifier(self._place.schema, "videos"))
        self._postgres.execute(video, [uuid, name])
        prefix = "" if self._on("no-prefix") else self._kept("wrong-prefix").prefix
        self._redis.set(f"{prefix}file:{uuid}", name)
        if self._on("queue"):
            self._redis.sadd(f"{PRODUCTION.prefix}queue", uuid)
        database = self._mongodb[self._place.database]
        database["cache"].insert_one({"_id": f"file:{uuid}", "file_uuid": uuid, "name": name})
        self._vector(self._place.collection, uuid)
        folder = self._root / self._place.output / uuid
        folder.mkdir()
        (folder / f"{uuid}.asr.json").write_text("{}")
        (self._root / self._place.backup / f"{uuid}.dump").write_text("")

    def _vector(self, collection: str, uuid: str) -> None:
        point = {"id": uuid, "vector": [1.0] + [0.0] * 1023, "payload": {"file_uuid": uuid}}
        answer = self._qdrant.put(f"/collections/{collection}/points", json={"points": [point]})
        answer.raise_for_status()

    def forget(self, uuid: str) -> None:
        """Keep nothing of a file any more."""
        if self._on("keeps"):
            return
        table = sql.Identifier(self._place.schema, "videos")
        statement = sql.SQL("DELETE FROM {} WHERE file_uuid = %s").format(table)
        self._postgres.execute(statement, [uuid])
        self._redis.delete(f"{self._place.prefix}file:{uuid}")
        self._mongodb[self._place.database]["cache"].delete_one({"_id": f"file:{uuid}"})
        gone = {"points": [uuid]}
        path = f"/collections/{self._place.collection}/points/delete"
        self._qdrant.post(path, json=gone).raise_for_status()
        for pattern in FOLDERS:
            for file in self._root.glob(pattern.format(self._place, uuid=uuid)):
                file.rmdir() if file.is_dir() else file.unlink()
