"""Sends a request: to the step's environment with its credentials, or to any address without.

``consecutive`` good answers within ``tries``, ``every_s`` apart, make a health check of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.errors import RolloutError, TargetError
from pytest_release.redaction import Secret, reveal
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.http import Exchange, HttpTarget

SAFE = frozenset({"GET", "HEAD", "PUT", "DELETE"})  # RFC 9110, 9.2.2: idempotent methods
LARGEST = 1024 * 1024  # bytes of an answer
SHOWN = 2_000  # characters of an answer that are kept


def describe(options: Mapping[str, Any]) -> str:
    """Method and address."""
    row = f", {options['consecutive']} times in a row" if "consecutive" in options else ""
    return f"{options.get('method', 'GET')} {options.get('path') or options.get('url')}{row}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """Whether sending it twice does what sending it once does."""
    return options.get("method", "GET") in SAFE


def act(order: Order, stage: Stage) -> Outcome:
    """Send it until enough good answers came in a row, or no try is left."""
    environment, request = _addressed(order, stage)
    with HttpTarget(environment) as target:
        return _tried(target, request, order, stage)


def _tried(target: HttpTarget, request: Request, order: Order, stage: Stage) -> Outcome:
    options = order.options
    needed = options.get("consecutive", 1)
    tries = max(needed, options.get("tries", needed))
    row, why = 0, ""
    for number in range(1, tries + 1):
        why = _problem(target, request, order)
        row = 0 if why else row + 1
        if row >= needed:
            return Outcome(done=True, why=_good(number, needed))
        if order.seconds <= 0 or needed - row > tries - number:
            break
        if number < tries:
            stage.pause(min(options.get("every_s", 1.0), order.seconds))
    in_a_row = f" ({row} good answers in a row, {needed} are needed)" if needed > 1 else ""
    return Outcome(done=False, why=f"{why or 'its time was over'}{in_a_row}")


def check(order: Order, stage: Stage) -> Outcome | None:
    """Nobody can tell of a request; a step's ``verify`` can."""
    return None


def _good(number: int, needed: int) -> str:
    if needed == 1:
        return "as expected" if number == 1 else f"as expected at the {number}. request"
    return f"{needed} good answers in a row, of {number} requests"


def _addressed(order: Order, stage: Stage) -> tuple[Environment, Request]:
    options = order.options
    environment = stage.environment(order.environment)
    if "url" in options:
        parts = urlsplit(reveal(options["url"]))
        base = f"{parts.scheme}://{parts.netloc}"
        environment = replace(environment, base_url=base, auth=None)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    else:
        path = reveal(options["path"])
    if environment.base_url is None:
        raise RolloutError(f"{environment.name} has no base_url: give the request a 'url'")
    _refuse_forbidden(environment, path)
    request = Request(
        method=options.get("method", "GET"),
        path=path,
        headers=options.get("headers", {}),
        json=_plain(options["json"]) if "json" in options else None,
        max_bytes=LARGEST,
    )
    return environment, request


def _refuse_forbidden(environment: Environment, path: str) -> None:
    """What a gate's policy forbids there, no step requests either."""
    asked = path.partition("?")[0].rstrip("/")
    for policy in environment.gates.values():
        for suffix in policy.options.get("forbid", ()):
            if asked.endswith(reveal(suffix).rstrip("/")):
                raise RolloutError(f"{asked} is forbidden in {environment.name}: nothing was sent")


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {name: _plain(child) for name, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _problem(target: HttpTarget, request: Request, order: Order) -> str:
    """What is wrong with the answer; empty when nothing is."""
    most = min(order.options.get("request_timeout_s", 10.0), max(order.seconds, 0.001))
    try:
        exchange = target.send(replace(request, timeout_s=most, stall_s=most))
    except TargetError as error:
        return str(error)
    if exchange.broken:
        return f"{request.method} {exchange.url}: {exchange.broken}"
    return _unexpected(exchange, request.method, order.options.get("expect", {}))


def _unexpected(exchange: Exchange, method: str, expect: Mapping[str, Any]) -> str:
    what = f"{method} {exchange.url}"
    wanted = expect.get("status", 200)
    if exchange.status != wanted:
        return f"{what}: expected {wanted}, got {exchange.status}"
    text = exchange.body.decode(errors="replace")
    if "contains" in expect and (part := reveal(expect["contains"])) not in text:
        return f"{what}: expected {part!r} in the answer, got {text[:SHOWN]!r}"
    if "json" not in expect:
        return ""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return f"{what}: expected JSON, got {text[:200]!r}"
    for path, value in expect["json"].items():
        found = _at(answer, path)
        if not _same(found, _plain(value)):
            return f"{what}: expected {path} to be {_plain(value)!r}, got {found!r}"
    return ""


def _at(answer: Any, path: str) -> Any:  # noqa: ANN401 - any JSON value
    for part in path.split("."):
        answer = answer.get(part) if isinstance(answer, dict) else None
    return answer


def _same(found: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Equal, and true is not 1."""
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)
