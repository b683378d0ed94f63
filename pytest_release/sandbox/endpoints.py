"""Every endpoint of the sandbox in one table: what it accepts, what it says, who may break it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pytest_release.config import system
from pytest_release.sandbox.answers import Answer, json_answer, stream_answer
from pytest_release.sandbox.build import COMMIT, VERSION
from pytest_release.sandbox.endpoint import V1, V2, Endpoint, Setting
from pytest_release.sandbox.requests import (
    Refused,
    Request,
    accept,
    check_birth,
    check_image,
    check_topic,
)
from pytest_release.sandbox.rooms import rooms
from pytest_release.sandbox.streams import analysis, conversation, no_face

UUID = re.compile(system.UUID)


def find(method: str, path: str) -> Endpoint:
    """The endpoint of a request.

    Raises:
        Refused: 404 no such path, 405 another method.
    """
    pattern = UUID.sub("{uuid}", path)
    there = [endpoint for endpoint in ENDPOINTS if endpoint.path == pattern]
    if not there:
        raise Refused(404, f"there is no {path}")
    for endpoint in there:
        if endpoint.method == method:
            return endpoint
    raise Refused(405, f"{path} takes {there[0].method}, not {method}")


def _now() -> datetime:
    return datetime.now(UTC)


def _alive(_request: Request, _setting: Setting) -> Answer:
    return json_answer({"status": "ok", "timestamp": _now().isoformat()})


def _health(_request: Request, _setting: Setting) -> Answer:
    build = {"version": VERSION, "build_git_hash": COMMIT}
    return json_answer({"status": "ok", "timestamp": _now().isoformat(), **build})


def _reading(request: Request, _setting: Setting) -> Answer:
    return json_answer({"success": True, "data": {"endpoint": request.path, **request.json()}})


def _contents(_request: Request, _setting: Setting) -> Answer:
    return json_answer({"success": True, "data": [{"id": 1, "title": "首页"}]})


def _stream(
    tell: Callable[[Request], Iterable[bytes]],
) -> Callable[[Request, Setting], Answer]:
    return lambda request, setting: stream_answer(tell(request), setting.stream_seconds)


def _counts(request: Request, setting: Setting) -> Answer:
    """Rows of a deployed file by table, as they are at this moment."""
    from pytest_release.sandbox.stores import counts_of  # noqa: PLC0415 - an extra

    found = UUID.search(request.path)
    if setting.dsn is None or found is None:
        raise Refused(404, f"there is no {request.path}")
    return json_answer({"success": True, "data": counts_of(setting.dsn, found[0])})


BASIC = (
    "/bazi/interface",
    "/bazi/pan/display",
    "/bazi/fortune/display",
    "/bazi/shengong-minggong",
    "/bazi/rizhu-liujiazi",
    "/daily-fortune-calendar/query",
)
ANALYSES = (
    "/daily-fortune-calendar/stream",
    "/bazi/wuxing-proportion/stream",
    "/bazi/xishen-jishen/stream",
    "/bazi/marriage-analysis/stream",
    "/career-wealth/stream",
    "/children-study/stream",
    "/health/stream",
    "/general-review/stream",
    "/annual-report/stream",
)
SMART = f"{V1}/smart-fortune/smart-analyze-stream"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", f"{V1}/health", "health", accept, _health),
    Endpoint("GET", f"{V1}/health/live", "", accept, _alive),
    Endpoint("GET", f"{V1}/health/ready", "", accept, _alive),
    *(Endpoint("POST", V1 + path, "basic", check_birth, _reading) for path in BASIC),
    Endpoint("GET", f"{V1}/homepage/contents", "basic", accept, _contents),
    *(Endpoint("POST", V1 + path, "stream", check_birth, _stream(analysis)) for path in ANALYSES),
    Endpoint("GET", SMART, "stream", check_topic, _stream(conversation)),
    Endpoint("POST", f"{V2}/face/analyze/stream", "stream", check_image, _stream(no_face)),
    Endpoint(
        "POST", f"{V2}/desk-fengshui/analyze/stream", "stream", check_image, _stream(analysis)
    ),
    Endpoint("GET", "/health", "momentry", accept, _health),
    Endpoint("GET", f"{V1}/files/{{uuid}}/counts", "counts", accept, _counts),
    *(endpoint for room in rooms() for endpoint in room.endpoints),
)
