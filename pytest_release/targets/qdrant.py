"""A Qdrant as a check of isolation uses it: its REST interface, over httpx.

`qdrant-client` brings gRPC, numpy and pydantic for the five plain requests that are needed here.

- A session is read-only unless it was opened for writing.
- Points are read without their vectors, a page at a time; answers are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from pytest_release.errors import TargetError
from pytest_release.redaction import reveal
from pytest_release.targets._httpx import httpx
from pytest_release.targets.closing import Closing
from pytest_release.targets.portions import UnfinishedError

TIMEOUT_S = 20.0
LARGEST = 16 * 1024 * 1024  # bytes of an answer
PAGE = 256  # points of one answer
MOST_POINTS = 500_000  # of a collection that are read
MOST_VALUES = 500  # that one question looks for
ADDRESS = "expected http://host:port"


class Qdrant(Closing):
    """A server, with the collection that is the environment's own.

    Args:
        client: httpx's.
        collection: The environment's own.
        place: ``host:port/collection``, for messages.
        read_only: `put` and `remove` are refused.
    """

    def __init__(
        self, client: httpx.Client, collection: str, place: str, *, read_only: bool
    ) -> None:
        self._client = client
        self.collection = collection
        self.place = place
        self.server = place.rpartition("/")[0]
        self._read_only = read_only

    @classmethod
    def connect(cls, options: Mapping[str, Any], *, read_only: bool = True) -> Self:
        """Speak with a server.

        Args:
            options: ``services.qdrant`` of an environment: ``url``, ``collection``, ``api_key``.
            read_only: Nothing is going to be written through it.

        Raises:
            TargetError: The address is none.
        """
        given, collection = reveal(options.get("url", "")), reveal(options.get("collection", ""))
        try:
            url = httpx.URL(given)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("http", "https") or not url.host or not collection:
            raise TargetError(f"qdrant: services.qdrant: {ADDRESS} and a collection")
        key = reveal(options.get("api_key", ""))
        client = httpx.Client(
            base_url=url,
            headers={"api-key": key} if key else {},
            timeout=TIMEOUT_S,
            trust_env=False,
        )
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        return cls(client, collection, f"{url.host}:{port}/{collection}", read_only=read_only)

    def collections(self) -> tuple[str, ...]:
        """Names of the server's collections, sorted."""
        try:
            listed = self._ask("GET", "/collections")["collections"]
            return tuple(sorted(str(one["name"]) for one in listed))
        except (KeyError, TypeError):
            raise TargetError(f"qdrant {self.place} lists its collections in a new way") from None

    def dimensions(self) -> tuple[int, str]:
        """Size and distance of the own collection's vectors.

        Raises:
            TargetError: There is no such collection, or its vectors have names.
        """
        about = self._ask("GET", self._path(self.collection))
        try:
            vectors = about["config"]["params"]["vectors"]
            return int(vectors["size"]), str(vectors["distance"])
        except (KeyError, TypeError, ValueError):
            raise TargetError(f"qdrant {self.place}: its vectors are not of one kind") from None

    def holding(
        self, collection: str, words: Sequence[str], most: int = MOST_POINTS
    ) -> Iterator[str]:
        """The ids of points in whose id or payload one of the words stands.

        Raises:
            UnfinishedError: There are more than `most` points.
        """
        seen, offset = 0, None
        while True:
            page = {"limit": PAGE, "with_payload": True, "with_vector": False, "offset": offset}
            answer = self._ask("POST", f"{self._path(collection)}/points/scroll", page)
            points, offset = _points(answer, self.place)
            for point in points:
                text = json.dumps([point.get("id"), point.get("payload")], ensure_ascii=False)
                if any(word in text for word in words):
                    yield str(point.get("id"))
            seen += len(points)
            if offset is None or not points:
                return
            if seen >= most:
                where = f"qdrant {self.place}, {collection}"
                raise UnfinishedError(f"{where}: only the first {seen} points were read")

    def count(self, collection: str, field: str, values: Sequence[str]) -> tuple[int, str]:
        """How many points have one of some values in a field of their payload, and one's id."""
        number, example = 0, ""
        for start in range(0, len(values), MOST_VALUES):
            wanted = {"key": field, "match": {"any": list(values[start : start + MOST_VALUES])}}
            some = {"filter": {"must": [wanted]}}
            number += self._counted(f"{self._path(collection)}/points/count", some)
            if number and not example:
                first = {**some, "limit": 1, "with_payload": False, "with_vector": False}
                answer = self._ask("POST", f"{self._path(collection)}/points/scroll", first)
                points, _ = _points(answer, self.place)
                example = str(points[0].get("id")) if points else ""
        return number, example

    def _counted(self, path: str, asked: Mapping[str, Any]) -> int:
        answer = self._ask("POST", path, {"exact": True, **asked})
        try:
            return int(answer["count"])
        except (KeyError, TypeError, ValueError):
            raise TargetError(f"qdrant {self.place} counts in a new way") from None

    def put(self, point: str, payload: Mapping[str, Any]) -> None:
        """Upsert one point into the own collection, and wait until it can be seen."""
        self._refuse_writing(point)
        size, _ = self.dimensions()
        vector = [1.0] + [0.0] * (size - 1)
        one = {"id": point, "vector": vector, "payload": dict(payload)}
        self._ask("PUT", f"{self._path(self.collection)}/points?wait=true", {"points": [one]})

    def remove(self, point: str) -> None:
        """Delete one point of the own collection."""
        self._refuse_writing(point)
        path = f"{self._path(self.collection)}/points/delete?wait=true"
        self._ask("POST", path, {"points": [point]})

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _path(self, collection: str) -> str:
        return f"/collections/{quote(collection, safe='')}"

    def _refuse_writing(self, point: str) -> None:
        if self._read_only:
            raise TargetError(f"qdrant {self.place} was opened for reading: {point} is not written")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:  # noqa: ANN401 - any JSON
        shown = f"qdrant {self.place}: {method} {path.partition('?')[0]}"
        try:
            with self._client.stream(method, path, json=body) as answer:
                data = b""
                for piece in answer.iter_bytes():
                    data += piece
                    if len(data) > LARGEST:
                        raise TargetError(f"{shown} answers more than {LARGEST} bytes")
        except httpx.HTTPError as error:
            raise TargetError(f"{shown}: {error or type(error).__name__}") from None
        if answer.status_code != 200:
            raise TargetError(f"{shown} answers {answer.status_code}")
        try:
            return json.loads(data)["result"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TargetError(f"{shown} answers no JSON object with a result") from None


def _points(answer: Any, place: str) -> tuple[list[dict[str, Any]], Any]:  # noqa: ANN401 - any JSON
    try:
        points, offset = answer["points"], answer.get("next_page_offset")
        return [dict(point) for point in points], offset
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TargetError(f"qdrant {place} pages its points in a new way") from None
