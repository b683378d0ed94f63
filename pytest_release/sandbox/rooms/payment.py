"""Payments of the sandbox."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.endpoint import V1, Endpoint, Setting
from pytest_release.sandbox.requests import Request, accept, check_order
from pytest_release.sandbox.room import Room

ORDER_LIFE = timedelta(minutes=30)


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
    url, now = f"https://checkout.example/{payment_id}", datetime.now(UTC)
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


ROOM = Room(
    endpoints=(
        Endpoint("GET", f"{V1}/payment/providers", "payment", accept, _providers),
        Endpoint("POST", f"{V1}/payment/unified/create", "payment", check_order, _create_order),
        Endpoint("POST", f"{V1}/payment/unified/verify", "payment", accept, _verify_order),
    ),
)
