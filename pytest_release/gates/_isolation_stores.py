"""The stores of one side, alike to whoever looks for something in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from pytest_release.config.system import UUID
from pytest_release.errors import TargetError
from pytest_release.redaction import reveal
from pytest_release.targets.folders import place, walk
from pytest_release.targets.mongodb import MongoDB
from pytest_release.targets.qdrant import Qdrant
from pytest_release.targets.redis import Redis

MARK = "pytest-release-canary-"  # with which every canary begins
FORGOTTEN_S = 900  # seconds after which Redis forgets a canary by itself
FILES = ("output", "backup")
A_UUID = re.compile(UUID)


@dataclass(frozen=True)
class Canary:
    """What is written on one side, and looked for on both.

    Attributes:
        text: Begins with `MARK`.
        uuid: Stands for the UUID of a file.
        row: Tables and values that it is written to, by the case.
        collection: Of documents that it is written to.
    """

    text: str
    uuid: str
    row: Sequence[Mapping[str, Any]] = ()
    collection: str = "cache"

    @property
    def words(self) -> tuple[str, ...]:
        """By which it is found."""
        return self.text, self.uuid


@dataclass(frozen=True)
class Hit:
    """One place in which something was found.

    Attributes:
        where: Store and place, for people.
        inside: The place is the environment's own.
    """

    where: str
    inside: bool = True


@dataclass(frozen=True)
class Foreign:
    """What a place holds of files that only the other side knows."""

    where: str
    count: int
    example: str


class Store(Protocol):
    """A store of one environment."""

    kind: str
    holds: str

    def put(self, canary: Canary) -> None:
        """Write a canary into the environment's own place."""

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:
        """Where one of the words stands, but for the own place of another environment."""

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:
        """What the own place holds of some files."""

    def same(self, other: Store) -> bool:
        """Whether both are one place, by whatever names they were reached."""

    def close(self) -> None:
        """Leave it."""


def _bytes(words: Sequence[str]) -> list[bytes]:
    return [word.encode() for word in words]


class RedisStore:
    """The keys under one prefix."""

    kind, holds = "redis", "key"

    def __init__(self, redis: Redis, prefix: str) -> None:
        self.redis = redis
        self.prefix = prefix.encode()
        self.server = redis.server()

    @classmethod
    def open(cls, options: Mapping[str, Any], *, read_only: bool) -> Self:
        """Connect to it."""
        prefix = reveal(options.get("prefix", ""))
        if not prefix:
            raise TargetError("redis: services.redis.prefix is missing, so every key is one's own")
        return cls(Redis.connect(options, read_only=read_only), prefix)

    def put(self, canary: Canary) -> None:
        """Write a canary into the own place."""
        self.redis.put(self._key(canary), canary.uuid.encode(), FORGOTTEN_S)

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""
        self.redis.remove(self._key(canary))

    def _key(self, canary: Canary) -> bytes:
        return self.prefix + canary.text.encode()

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:
        """Where one of the words stands."""
        wanted, own = _bytes(words), []
        theirs = besides.prefix if self._shares(besides) else None  # type: ignore[union-attr]
        for key in self.redis.scan():
            if theirs is not None and key.startswith(theirs):
                continue
            inside = key.startswith(self.prefix)
            if any(word in key for word in wanted):
                yield Hit(f"redis {self.redis.place}, key {shown(key)}", inside)
            elif inside:
                own.append(key)
        for key in self.redis.holding(own, wanted):
            yield Hit(f"redis {self.redis.place}, value of {shown(key)}")

    def _shares(self, other: object) -> bool:
        return isinstance(other, RedisStore) and other.server == self.server

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:  # noqa: ARG002
        """What the own place holds of some files."""
        wanted, found = frozenset(uuids), dict[bytes, None]()
        for key in self.redis.scan():
            if key.startswith(self.prefix) and _named(key.decode(errors="replace"), wanted):
                found[key] = None
        if found:
            yield Foreign(f"redis {self.redis.place}", len(found), shown(next(iter(found))))

    def same(self, other: Store) -> bool:
        """Whether both are one place."""
        return isinstance(other, RedisStore) and self._shares(other) and self.prefix == other.prefix

    def close(self) -> None:
        """Leave it."""
        self.redis.close()


class MongoStore:
    """The documents of one database."""

    kind, holds = "mongodb", "document"

    def __init__(self, mongodb: MongoDB) -> None:
        self.mongodb = mongodb

    @classmethod
    def open(cls, options: Mapping[str, Any], *, read_only: bool) -> Self:
        """Connect to it."""
        return cls(MongoDB.connect(options, read_only=read_only))

    def put(self, canary: Canary) -> None:
        """Write a canary into the own place."""
        document = {"_id": canary.text, "file_uuid": canary.uuid}
        self.mongodb.put(canary.collection, document)

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""
        self.mongodb.remove(canary.collection, canary.text)

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:  # noqa: ARG002
        """Where one of the words stands."""
        wanted = _bytes(words)
        for collection in self.mongodb.collections():
            for document in self.mongodb.holding(collection, wanted):
                yield Hit(f"mongodb {self.mongodb.place}, {collection} {document}")

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:
        """What the own place holds of some files."""
        for collection in self.mongodb.collections():
            count, example = self.mongodb.count(collection, field, uuids)
            if count:
                yield Foreign(f"mongodb {self.mongodb.place}, {collection}", count, example)

    def same(self, other: Store) -> bool:
        """Whether both are one place."""
        return isinstance(other, MongoStore) and self.mongodb.place == other.mongodb.place

    def close(self) -> None:
        """Leave it."""
        self.mongodb.close()


class QdrantStore:
    """The points of one collection."""

    kind, holds = "qdrant", "point"

    def __init__(self, qdrant: Qdrant) -> None:
        self.qdrant = qdrant

    @classmethod
    def open(cls, options: Mapping[str, Any], *, read_only: bool) -> Self:
        """Connect to it."""
        return cls(Qdrant.connect(options, read_only=read_only))

    def put(self, canary: Canary) -> None:
        """Write a canary into the own place."""
        self.qdrant.put(canary.uuid, {"file_uuid": canary.uuid, "canary": canary.text})

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""
        self.qdrant.remove(canary.uuid)

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:
        """Where one of the words stands."""
        for collection in self.qdrant.collections():
            if self._is(besides, collection):
                continue
            for point in self.qdrant.holding(collection, words):
                where = f"qdrant {self.qdrant.server}/{collection}, point {point}"
                yield Hit(where, collection == self.qdrant.collection)

    def _is(self, other: object, collection: str) -> bool:
        return isinstance(other, QdrantStore) and (
            (self.qdrant.server, collection) == (other.qdrant.server, other.qdrant.collection)
        )

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:
        """What the own place holds of some files."""
        count, example = self.qdrant.count(self.qdrant.collection, field, uuids)
        if count:
            yield Foreign(f"qdrant {self.qdrant.place}", count, example)

    def same(self, other: Store) -> bool:
        """Whether both are one place."""
        return self._is(other, self.qdrant.collection)

    def close(self) -> None:
        """Leave it."""
        self.qdrant.close()


class FolderStore:
    """The folders of output and backup."""

    kind, holds = "files", "file"

    def __init__(self, folders: Mapping[str, Path], *, read_only: bool) -> None:
        self.folders = folders
        self._read_only = read_only

    @classmethod
    def open(cls, options: Mapping[str, Any], *, read_only: bool) -> Self:
        """See which there are."""
        given = {name: Path(reveal(options[name])) for name in FILES if options.get(name)}
        if not given:
            raise TargetError("files: services.files names neither output nor backup")
        return cls(given, read_only=read_only)

    def put(self, canary: Canary) -> None:
        """Write a canary into the own place."""
        for folder in self.folders.values():
            if self._read_only:
                raise TargetError(f"{folder} is only read: {canary.text} is not written")
            try:
                (folder / canary.text).write_text(f"{canary.uuid}\n")
            except OSError as error:
                raise TargetError(f"{folder} cannot be written to: {error.strerror}") from None

    def remove(self, canary: Canary) -> None:
        """Delete what `put` wrote."""
        for folder in self.folders.values():
            (folder / canary.text).unlink(missing_ok=True)

    def find(self, words: Sequence[str], besides: Store | None = None) -> Iterator[Hit]:  # noqa: ARG002
        """Where one of the words stands."""
        for folder in self.folders.values():
            for entry in walk(folder):
                if any(word in entry.path.name for word in words):
                    yield Hit(f"the file {entry.path}")

    def foreign(self, uuids: Sequence[str], field: str) -> Iterator[Foreign]:  # noqa: ARG002
        """What the own place holds of some files."""
        wanted = frozenset(uuids)
        for folder in self.folders.values():
            found = [e.path for e in walk(folder) if _named(e.path.name, wanted)]
            if found:
                yield Foreign(str(folder), len(found), str(found[0]))

    def same(self, other: Store) -> bool:
        """Whether both are one place."""
        if not isinstance(other, FolderStore):
            return False
        theirs = {place(folder) for folder in other.folders.values()} - {None}
        return any(place(folder) in theirs for folder in self.folders.values())

    def close(self) -> None:
        """Nothing was opened."""


def _named(text: str, uuids: frozenset[str]) -> bool:
    """Whether the UUID of one of the files stands in a name."""
    return any(found in uuids for found in A_UUID.findall(text))


def several(count: int, noun: str) -> str:
    """A number of things: ``1 key``, ``2 keys``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shown(key: bytes) -> str:
    """A key that a report shows: its bytes as they are, or as escapes."""
    return repr(key[:200])[1:]
