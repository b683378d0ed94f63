"""The payment providers of the sandbox, in one process: localstripe, and a stand-in for PayerMax.

``python -m pytest_release.sandbox.rooms._providers OPTIONS``, by `sandbox.child`.

- localstripe has no Checkout Sessions; those here stand on its payment intents.
- PayerMax has no public server. What answers here checks signature and time of a request as its
  published API says, keeps orders in memory, and signs its answers; nobody can pay at it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from aiohttp import web

from pytest_release.sandbox.child import leave_with_parent
from pytest_release.sandbox.rooms._payermax import GATEWAY, sign, signed

SESSION_LIFE = 24 * 3600  # seconds, Stripe's own
PAYERMAX_CLOCK = 120  # seconds that a request's time may differ


def main(options: str) -> None:
    """Serve until the parent is gone.

    Args:
        options: JSON object: stripe, payermax (descriptors of listeners), faults, account, keys.
    """
    asked = json.loads(options)
    leave_with_parent()
    asyncio.run(_serve(asked))


async def _serve(asked: Mapping[str, Any]) -> None:
    apps = {"stripe": _stripe(asked), "payermax": _payermax(asked)}
    for name, app in apps.items():
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, socket.socket(fileno=asked[name])).start()
    await asyncio.Event().wait()


def _stripe(asked: Mapping[str, Any]) -> web.Application:
    store = import_module("localstripe.resources").store
    type(store).dump_to_disk = lambda _store: None  # its path is the same for every process
    server = import_module("localstripe.server")
    sessions = _Sessions(server, "payment.stays-open" in asked["faults"])
    app: web.Application = server.app
    app.router.add_post("/v1/checkout/sessions", sessions.create)
    app.router.add_get("/v1/checkout/sessions", sessions.list)
    app.router.add_get("/v1/checkout/sessions/{id}", sessions.retrieve)
    app.router.add_post("/v1/checkout/sessions/{id}/expire", sessions.expire)
    return app


class _Sessions:
    """Checkout Sessions on localstripe's payment intents.

    Args:
        server: localstripe's module: it reads forms and knows errors.
        stuck: Sessions cannot be expired.
    """

    def __init__(self, server: Any, stuck: bool) -> None:  # noqa: ANN401 - an untyped module
        self._server = server
        self._stuck = stuck
        self._held: dict[str, dict[str, Any]] = {}
        self._by_key: dict[str, tuple[Any, str]] = {}

    async def create(self, request: web.Request) -> web.Response:
        """As Stripe, also with an Idempotency-Key."""
        data = await self._server.get_post_data(request)
        key = request.headers.get("Idempotency-Key", "")
        if key in self._by_key:
            before, session = self._by_key[key]
            if before != data:
                return _refused(400, "Keys for idempotent requests can only be used with the same")
            return web.json_response(self._held[session])
        price = data["line_items"][0]["price_data"]
        intent = self._server.PaymentIntent._api_create(  # noqa: SLF001 - it has no other way
            amount=price["unit_amount"], currency=price["currency"]
        )
        session = f"cs_test_{secrets.token_hex(24)}"
        now = int(time.time())
        self._held[session] = {
            "id": session,
            "object": "checkout.session",
            "amount_total": intent.amount,
            "currency": intent.currency,
            "client_reference_id": data.get("client_reference_id"),
            "created": now,
            "expires_at": now + SESSION_LIFE,
            "livemode": False,
            "mode": "payment",
            "payment_intent": intent.id,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"https://checkout.stripe.com/c/pay/{session}",
        }
        if key:
            self._by_key[key] = (data, session)
        return web.json_response(self._held[session])

    async def list(self, _request: web.Request) -> web.Response:
        """All there are."""
        return web.json_response({"object": "list", "data": [*self._held.values()]})

    async def retrieve(self, request: web.Request) -> web.Response:
        """A session, or 404."""
        session = self._held.get(request.match_info["id"])
        return web.json_response(session) if session else _refused(404, "No such checkout.session")

    async def expire(self, request: web.Request) -> web.Response:
        """An open session is open no more."""
        session = self._held.get(request.match_info["id"])
        if session is None:
            return _refused(404, "No such checkout.session")
        if self._stuck:
            return _refused(500, "An unknown error occurred")
        if session["status"] != "open":
            return _refused(400, "Only Checkout Sessions with a status in [open] can be expired")
        self._server.PaymentIntent._api_cancel(session["payment_intent"])  # noqa: SLF001
        session |= {"status": "expired", "url": None}
        return web.json_response(session)


def _refused(status: int, message: str) -> web.Response:
    error = {"type": "invalid_request_error", "message": message}
    return web.json_response({"error": error}, status=status)


def _payermax(asked: Mapping[str, Any]) -> web.Application:
    gateway = _Gateway(asked["payermax_account"], asked["payermax_private_key"])
    app = web.Application()
    app.router.add_post(f"{GATEWAY}/{{name}}", gateway.answer)
    return app


class _Gateway:
    """PayerMax's gateway for one merchant.

    Args:
        merchant: ``app_id``, ``merchant_no`` and the merchant's ``public_key``.
        private: PayerMax's own key.
    """

    def __init__(self, merchant: Mapping[str, str], private: str) -> None:
        self._merchant = merchant
        self._private = private
        self._orders: dict[str, dict[str, Any]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        """Every answer is signed, a refusal, too."""
        body = await request.read()
        value = self._judge(request.match_info["name"], body, request.headers.get("sign", ""))
        content = json.dumps(value).encode()
        headers = {"sign": sign(content, self._private)}
        return web.Response(body=content, content_type="application/json", headers=headers)

    def _judge(self, name: str, body: bytes, signature: str) -> dict[str, Any]:
        if not signed(body, signature, self._merchant["public_key"]):
            return {"code": "SIGN_VERIFY_FAILED", "msg": "Signature verification failed."}
        asked = json.loads(body)
        late = time.time() - datetime.fromisoformat(asked["requestTime"]).timestamp()
        if abs(late) > PAYERMAX_CLOCK or asked["appId"] != self._merchant["app_id"]:
            return {"code": "PARAMS_INVALID", "msg": "requestTime or appId is invalid."}
        does = {"orderAndPay": self._order, "orderQuery": self._find, "cancel": self._cancel}
        return does[name](asked["data"]) if name in does else {"code": "NO_SUCH_API", "msg": name}

    def _order(self, data: Mapping[str, Any]) -> dict[str, Any]:
        number = data["outTradeNo"]
        token = f"T{secrets.token_hex(12)}"
        made = {name: data[name] for name in ("outTradeNo", "totalAmount", "currency")}
        order = self._orders.setdefault(number, {**made, "tradeToken": token, "status": "PENDING"})
        page = f"https://cashier-n-uat.payermax.com/index.html#/cashier/home?{order['tradeToken']}"
        shown = {name: order[name] for name in ("outTradeNo", "tradeToken", "status")}
        return _fine({**shown, "redirectUrl": page})

    def _find(self, data: Mapping[str, Any]) -> dict[str, Any]:
        order = self._orders.get(data["outTradeNo"])
        return _fine(order) if order else {"code": "ORDER_NOT_EXIST", "msg": "No such order."}

    def _cancel(self, data: Mapping[str, Any]) -> dict[str, Any]:
        order = self._orders.get(data["outTradeNo"])
        if order is None:
            return {"code": "ORDER_NOT_EXIST", "msg": "No such order."}
        order["status"] = "CLOSED"
        return _fine({"cancelNo": f"C{secrets.token_hex(8)}", **data, "status": "CLOSED"})


def _fine(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"code": "APPLY_SUCCESS", "msg": "Success.", "data": dict(data)}


if __name__ == "__main__":
    main(sys.argv[1])
