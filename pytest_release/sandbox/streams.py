"""What the streams tell: the quick part at once, then a text in pieces, then its end."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from pytest_release.sandbox.answers import event
from pytest_release.sandbox.requests import Request

TEXT = (
    "今日运势平稳。",
    "宜静心读书。",
    "午后有贵人相助。",
    "财运渐起。",
    "切忌急躁。",
    "晚间宜早休息。",
)
NO_FACE = "未检测到人脸"


def analysis(request: Request) -> Iterator[bytes]:
    """``request_id``, ``data``, several ``progress``, ``complete`` with the whole text."""
    yield event("request_id", uuid4().hex, named=False)
    yield event("data", {"endpoint": request.path}, named=False)
    for part in TEXT:
        yield event("progress", part, named=False)
    yield event("complete", "".join(TEXT), named=False)


def conversation(request: Request) -> Iterator[bytes]:
    """``status``, several ``stream``, ``done``, ``end``; the types stand in ``event:`` lines."""
    topic = request.query.get("category") or request.query.get("question")
    yield event("status", {"topic": topic}, named=True)
    for part in TEXT:
        yield event("stream", part, named=True)
    yield event("done", "".join(TEXT), named=True)
    yield event("end", None, named=True)


def no_face(_request: Request) -> Iterator[bytes]:
    """``request_id``, then ``error``: there is no face detector here, so no image shows a face."""
    yield event("request_id", uuid4().hex, named=False)
    yield event("error", NO_FACE, named=False)
