"""A Qdrant that answers what it should not: each answer ends in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import qdrant
from pytest_release.targets._httpx import httpx
from pytest_release.targets.portions import UnfinishedError
from pytest_release.targets.qdrant import Qdrant

Ask = Callable[[Qdrant], Any]


def answering(status: int, content: bytes, *, read_only: bool = True) -> Qdrant:
    """A server that says the same to whatever it is asked."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    client = httpx.Client(transport=transport, base_url="http://q:6333")
    return Qdrant(client, "rule1", "q:6333/rule1", read_only=read_only)


COLLECTIONS: Ask = lambda q: q.collections()  # noqa: E731 - a table of questions
DIMENSIONS: Ask = lambda q: q.dimensions()  # noqa: E731 - a table of questions
SCROLL: Ask = lambda q: list(q.holding("rule1", ["x"]))  # noqa: E731 - a table of questions
COUNT: Ask = lambda q: q.count("rule1", "file_uuid", ["x"])  # noqa: E731 - a table of questions


@pytest.mark.parametrize(
    ("content", "ask", "message"),
    [
        (b'{"result": []}', COLLECTIONS, "q:6333/rule1 lists its collections in a new way"),
        (b'{"result": {"config": 1}}', DIMENSIONS, "its vectors are not of one kind"),
        (b'{"result": {"points": [1]}}', SCROLL, "pages its points in a new way"),
        (b'{"result": {"count": "many"}}', COUNT, "counts in a new way"),
        (b"<html>", COLLECTIONS, "GET /collections answers no JSON object with a result"),
        (b"[" * 100_000, COLLECTIONS, "GET /collections answers no JSON object with a result"),
        (b"[]", COLLECTIONS, "GET /collections answers no JSON object with a result"),
    ],
)
def test_another_form_of_answer(content: bytes, ask: Ask, message: str) -> None:
    """Is no answer, and never an empty collection."""
    with answering(200, content) as server, pytest.raises(TargetError, match=re.escape(message)):
        ask(server)


def test_a_refusal() -> None:
    """Names the request and the status; the collection's name cannot leave its place."""
    message = re.escape("POST /collections/..%2Fx%3Fy/points/scroll answers 403")
    with answering(403, b"{}") as server, pytest.raises(TargetError, match=message):
        list(server.holding("../x?y", ["x"]))


def test_an_endless_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up."""
    monkeypatch.setattr(qdrant, "LARGEST", 10)
    with pytest.raises(TargetError, match="GET /collections answers more than 10 bytes"):
        answering(200, b" " * 11).collections()


def test_nobody_listens() -> None:
    """The reason is the system's."""
    options = {"url": "http://127.0.0.1:9", "collection": "x"}
    with Qdrant.connect(options) as server, pytest.raises(TargetError, match="Connection refused"):
        server.collections()


def test_a_scroll_has_an_end() -> None:
    """A server that pages for ever is not followed."""
    page = b'{"result": {"points": [{"id": 1, "payload": {}}], "next_page_offset": 1}}'
    with pytest.raises(UnfinishedError, match="rule1: only the first 3 points were read"):
        list(answering(200, page).holding("rule1", ["x"], most=3))


def test_a_session_for_reading_does_not_write() -> None:
    """Neither put nor remove sends anything."""
    server = answering(500, b"")
    message = "q:6333/rule1 was opened for reading: p is not written"
    with pytest.raises(TargetError, match=message):
        server.put("p", {})
    with pytest.raises(TargetError, match=message):
        server.remove("p")


@pytest.mark.parametrize("url", ["", "ftp://q", "http://", "http://q:port", "q:6333"])
def test_an_address_that_is_none(url: str) -> None:
    """Says what is expected, and not what was given: it may hold a key."""
    with pytest.raises(TargetError, match=r"services\.qdrant: expected http://host:port and"):
        Qdrant.connect({"url": url, "collection": "x"})
