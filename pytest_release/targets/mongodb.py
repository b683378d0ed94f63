"""A MongoDB as a check of isolation uses it: documents as bytes, every question with a time limit.

- A session is read-only unless it was opened for writing.
- Documents are read as the bytes that came, newest first, a portion at a time; none is decoded.
- Every scan is bounded; one that was not finished says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from types import ModuleType
from typing import Any, Self
from urllib.parse import urlsplit

from pytest_release.errors import TargetError
from pytest_release.redaction import reveal
from pytest_release.targets.closing import Closing
from pytest_release.targets.portions import UnfinishedError

CONNECT_MS = 5_000  # to find a server
QUESTION_MS = 20_000  # that a question may take
PORTION = 500  # documents of one answer
MOST_DOCUMENTS = 500_000  # of a collection that are read
MOST_COLLECTIONS = 1_000
MOST_VALUES = 500  # that one question looks for
ADDRESS = "expected mongodb://user:password@host:port/"


class MongoDB(Closing):
    """One database of a server; `connect` opens it.

    Args:
        client: pymongo's.
        database: Name of the database.
        place: ``host:port/database``, for messages.
        read_only: `put` and `remove` are refused.
    """

    def __init__(self, client: Any, database: str, place: str, *, read_only: bool) -> None:  # noqa: ANN401 - an extra
        self._client = client
        self._database = client[database]
        self.place = place
        self._read_only = read_only

    @classmethod
    def connect(cls, options: Mapping[str, Any], *, read_only: bool = True) -> Self:
        """Open a database, and see that its server answers.

        Args:
            options: ``services.mongodb`` of an environment: ``url`` and ``database``.
            read_only: Nothing is going to be written through it.

        Raises:
            TargetError: The client is missing, the address is none, or no server answers.
        """
        pymongo = _client_library()
        url, database = reveal(options.get("url", "")), reveal(options.get("database", ""))
        wrong = f"mongodb: services.mongodb names no database: {ADDRESS} and a database"
        if not database:
            raise TargetError(wrong)
        try:
            client = pymongo.MongoClient(
                url,
                serverSelectionTimeoutMS=CONNECT_MS,
                connectTimeoutMS=CONNECT_MS,
                socketTimeoutMS=2 * QUESTION_MS,
                appname="pytest-release",
            )
        except (pymongo.errors.PyMongoError, ValueError, TypeError):
            raise TargetError(wrong) from None
        try:
            opened = cls(client, database, f"{_server(url)}/{database}", read_only=read_only)
            with opened._errors():
                client.admin.command("ping")
        except BaseException:
            client.close()
            raise
        return opened

    def collections(self) -> tuple[str, ...]:
        """Names of the collections, sorted.

        Raises:
            UnfinishedError: There are more than 1,000.
        """
        with self._errors():
            names = sorted(self._database.list_collection_names())
        if len(names) > MOST_COLLECTIONS:
            raise UnfinishedError(f"mongodb {self.place} has {len(names)} collections")
        return tuple(names)

    def holding(
        self, collection: str, words: Sequence[bytes], most: int = MOST_DOCUMENTS
    ) -> Iterator[str]:
        """The ids of documents in which one of the words stands, in whatever field.

        Raises:
            UnfinishedError: There are more than `most` documents.
            TargetError: The server refuses, takes too long, or is gone.
        """
        from bson.raw_bson import RawBSONDocument  # noqa: PLC0415 - an extra

        raw = self._database.codec_options.with_options(document_class=RawBSONDocument)
        whole = self._database.get_collection(collection, codec_options=raw)
        with self._errors():
            found = whole.find({}, batch_size=PORTION, max_time_ms=QUESTION_MS, limit=most + 1)
            with found.sort("_id", -1) as cursor:
                for document in islice(cursor, most):
                    if any(word in document.raw for word in words):
                        yield str(document["_id"])
                if next(cursor, None) is not None:
                    where = f"mongodb {self.place}, {collection}"
                    raise UnfinishedError(f"{where}: only the newest {most} documents were read")

    def count(self, collection: str, field: str, values: Sequence[str]) -> tuple[int, str]:
        """How many documents have one of some values in a field, and one of those values."""
        number, example = 0, ""
        for start in range(0, len(values), MOST_VALUES):
            asked = {field: {"$in": list(values[start : start + MOST_VALUES])}}
            with self._errors():
                there = self._database[collection]
                some = there.count_documents(asked, maxTimeMS=QUESTION_MS)
                first = there.find_one(asked, max_time_ms=QUESTION_MS) if some else None
            number += some
            example = example or str((first or {}).get(field, ""))
        return number, example

    def put(self, collection: str, document: Mapping[str, Any]) -> None:
        """Insert one document with an ``_id`` of its own."""
        self._refuse_writing(document["_id"])
        with self._errors():
            self._database[collection].insert_one(dict(document))

    def remove(self, collection: str, document_id: str) -> None:
        """Delete one document."""
        self._refuse_writing(document_id)
        with self._errors():
            self._database[collection].delete_one({"_id": document_id})

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _refuse_writing(self, document_id: str) -> None:
        if self._read_only:
            raise TargetError(
                f"mongodb {self.place} was opened for reading: {document_id!r} is not written"
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        pymongo = _client_library()
        try:
            yield
        except pymongo.errors.PyMongoError as error:
            said = str(error).splitlines() or [type(error).__name__]
            raise TargetError(f"mongodb {self.place}: {said[0][:200]}") from None


def _server(url: str) -> str:
    """Where it is, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _client_library() -> ModuleType:
    try:
        import pymongo  # noqa: PLC0415 - an extra
        import pymongo.errors  # noqa: PLC0415 - an extra
    except ImportError:
        raise TargetError(
            "MongoDB needs pymongo, which is not installed: pip install 'pytest-release[stores]'"
        ) from None
    return pymongo
