"""Every endpoint of the sandbox in one table: what it accepts, what it says, who may break it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pytest_release.config import system
from pytest_release.sandbox.answers import Answer, json_answer, stream_answer
from pytest_release.sandbox.build import COMMIT, VERSION
from pytest_release.sandbox.requests import (
    Refused,
    Request,
    accept,
    check_birth,
    check_image,
    check_order,
    check_topic,
)
from pytest_release.sandbox.state import SharedState
from pytest_release.sandbox.streams import analysis, conversation, no_face

V1 = "/api/v1"
V2 = "/api/v2"
UUID = re.compile(system.UUID)
ORDER_LIFE = timedelta(minutes=30)


@dataclass(frozen=True)
class Setting:
    """What every answer may depend on besides the request.

    Attributes:
        state: Shared by all workers.
        stream_seconds: From a stream's first event to its last.
        dsn: Of the database with the deployed files; None when there is none.
    """

    state: SharedState
    stream_seconds: float = 0.3
    dsn: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """One row of the table.

    Attributes:
        method: Upper case.
        path: The whole path; ``{uuid}`` in it stands for any.
        group: Faults of this group apply here: ``basic``, ``stream``, ``health``; or none.
        check: Raises `Refused` for a request that gets no answer.
        say: The answer to a request that passed the check.
    """

    method: str
    path: str
    group: str
    check: Callable[[Request], None]
    say: Callable[[Request, Setting], Answer]


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


def _providers(_request: Request, _setting: Setting) -> Answer:
    providers = [
        {"id": "stripe", "enabled": True, "regions": ["US", "EU"], "currencies": ["USD", "EUR"]},
        {"id": "payermax", "enabled": True, "regions": ["HK", "TW"], "currencies": ["HKD", "TWD"]},
    ]
    return json_answer({"success": True, "providers": providers})


def _create_order(request: Request, setting: Setting) -> Answer:
    asked = request.json()
    payment_id, order_id = f"pay_{uuid4().hex}", f"order_{uuid4().hex}"
    order = {name: asked[name] for name in ("provider", "amount", "currency")}
    with setting.state.edit() as state:
        orders = state.setdefault("orders", {})
        orders[payment_id] = orders[order_id] = order
    url, now = f"https://checkout.example/{payment_id}", _now()
    return json_answer(
        {
            "success": True,
            "provider": order["provider"],
            "payment_id": payment_id,
            "order_id": order_id,
            "transaction_id": None,
            "payment_url": url,
            "checkout_url": url,
            "status": "created",
            "message": "order created",
            "created_at": now.isoformat(),
            "expires_at": (now + ORDER_LIFE).isoformat(),
        }
    )


def _verify_order(request: Request, setting: Setting) -> Answer:
    asked = request.json()
    key = asked.get("payment_id") or asked.get("order_id") or asked.get("session_id")
    with setting.state.edit() as state:
        order = state.get("orders", {}).get(str(key))
    if order is None:
        return json_answer({"success": False, "message": "there is no such order"})
    verdict = {"status": "pending", "paid_time": None, "message": "not paid yet"}
    return json_answer({"success": True, **order, **verdict})


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

ENDPOINTS = (
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
    Endpoint("GET", f"{V1}/payment/providers", "", accept, _providers),
    Endpoint("POST", f"{V1}/payment/unified/create", "", check_order, _create_order),
    Endpoint("POST", f"{V1}/payment/unified/verify", "", accept, _verify_order),
)
