"""Every endpoint of the sandbox in one table: what it accepts, what it says, who may break it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pytest_release.config import system
from pytest_release.sandbox import openapi
from pytest_release.sandbox.answers import JSON, Answer, Piece, json_answer, stream_answer
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
from pytest_release.sandbox.rooms import hot_reload, rooms
from pytest_release.sandbox.streams import analysis, conversation, no_face

UUID = re.compile(system.UUID)

Check = Callable[[Request], None]
Say = Callable[[Request, Setting], Answer]


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
    said: dict[str, Any] = {"status": "ok"}
    if (deployed := hot_reload.running()) is not None:
        build = {"version": deployed.code.VERSION, "build_git_hash": str(deployed.commit)}
        said = deployed.code.health()
    status = 200 if said["status"] == "ok" else 503
    return json_answer({**said, "timestamp": _now().isoformat(), **build}, status)


def _reading(request: Request, _setting: Setting) -> Answer:
    data = {**request.json(), "endpoint": request.path}
    if (deployed := hot_reload.running()) is not None:
        data |= deployed.code.reading(request.json())
    return json_answer({"success": True, "data": data})


def _contents(_request: Request, _setting: Setting) -> Answer:
    contents = [{"id": 1, "title": "首页"}]
    answer = json_answer({"success": True, "data": contents})
    return replace(answer, headers={**answer.headers, "x-total-count": str(len(contents))})


def _healthy(_request: Request, _setting: Setting) -> Answer:
    return json_answer({"status": "healthy", "version": VERSION, "commit": COMMIT})


def _prediction(_request: Request, _setting: Setting) -> Answer:
    odds = {"home": 0.52, "draw": 0.27, "away": 0.21}
    return json_answer({"match_id": 1, "prediction": odds, "confidence": 0.78})


def _document(_request: Request, setting: Setting) -> Answer:
    return Answer((Piece(openapi.document(ENDPOINTS, setting.faults)),), JSON)


def _listed(_request: Request, _setting: Setting) -> Answer:
    return json_answer({"endpoints": openapi.listed(ENDPOINTS)})


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


def _get(
    path: str, group: str, say: Say, operation: openapi.Part, check: Check = accept
) -> Endpoint:
    return Endpoint("GET", path, group, check, say, operation=operation)


def _post(path: str, group: str, check: Check, say: Say, operation: openapi.Part) -> Endpoint:
    return Endpoint("POST", path, group, check, say, operation=operation)


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
    _get(f"{V1}/health", "health", _health, openapi.HEALTH),
    _get(f"{V1}/health/live", "", _alive, openapi.ALIVE),
    _get(f"{V1}/health/ready", "", _alive, openapi.ALIVE),
    *(_post(V1 + path, "basic", check_birth, _reading, openapi.READING) for path in BASIC),
    _get(f"{V1}/homepage/contents", "basic", _contents, openapi.CONTENTS),
    *(_post(V1 + p, "stream", check_birth, _stream(analysis), openapi.ANALYSIS) for p in ANALYSES),
    _get(SMART, "stream", _stream(conversation), openapi.CONVERSATION, check_topic),
    _post(f"{V2}/face/analyze/stream", "stream", check_image, _stream(no_face), openapi.IMAGE),
    _post(
        f"{V2}/desk-fengshui/analyze/stream",
        "stream",
        check_image,
        _stream(analysis),
        openapi.IMAGE,
    ),
    _get("/health", "momentry", _health, openapi.HEALTH),
    Endpoint("GET", "/health/", "football", accept, _healthy),
    Endpoint("GET", f"{V1}/predictions/1", "football", accept, _prediction),
    _get(f"{V1}/files/{{uuid}}/counts", "counts", _counts, openapi.COUNTS),
    Endpoint("GET", "/openapi.json", "document", accept, _document),
    Endpoint("GET", f"{V1}/endpoints", "endpoints", accept, _listed),
    *(endpoint for room in rooms() for endpoint in room.endpoints),
)
