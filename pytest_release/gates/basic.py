"""The HTTP endpoints answer as they should: status, headers, content, size and time."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._answer import (
    MissingPathError,
    check_head,
    check_schema,
    cut,
    kind,
    lookup,
    same,
)
from pytest_release.gates._observation import Observation, measure_with, record
from pytest_release.targets.http import Exchange, HttpTarget

JSON_EXPECTATIONS = frozenset({"json", "keys", "success", "json_schema"})
_ABSENT = object()


def measure(
    case: HttpCase, policy: GatePolicy, target: HttpTarget, values: Mapping[str, Any]
) -> tuple[Evidence, Mapping[str, Any]]:
    """Send the case's request, look at the answer, and time it.

    Measures ``latency_ms``, from the request's first byte to the answer's last, and ``ttfb_ms``;
    a case's ``latency_ms`` is its limit.

    Args:
        case: Of this gate.
        policy: Samples and thresholds.
        target: Where to send it.
        values: Captured by earlier cases.

    Returns:
        The evidence, and the values captured for later cases.
    """
    return measure_with(_observe, case, policy, target, values)


def _observe(case: HttpCase, target: HttpTarget, values: Mapping[str, Any]) -> Observation:
    exchange = target.send(case.request, values)
    findings = [*check_answer(case, exchange)]
    captured: dict[str, Any] = {}
    if case.capture and not findings:
        findings += _capture(case, exchange, captured)
    return Observation(
        findings=tuple(findings),
        samples={"latency_ms": (exchange.total,), "ttfb_ms": (exchange.ttfb,)},
        exchange=record(exchange),
        captured=captured,
    )


def check_answer(case: HttpCase, exchange: Exchange) -> Iterator[Finding]:
    """What is wrong with an answer: its head, its size, its text, its JSON."""
    if exchange.broken:
        yield Finding("basic.broken", exchange.broken)
    wants_json = bool(JSON_EXPECTATIONS & set(case.expect) or case.capture)
    yield from check_head(case, exchange, "application/json" if wants_json else None)
    if exchange.broken:
        return
    yield from _check_size(case, exchange)
    yield from _check_text(case, exchange)
    if wants_json:
        yield from _check_json(case, exchange)


def _check_size(case: HttpCase, exchange: Exchange) -> Iterator[Finding]:
    size = len(exchange.body)
    least, most = case.expect.get("min_bytes", 0), case.expect.get("max_bytes", size)
    if not least <= size <= most:
        bound = f"at least {least}" if size < least else f"at most {most}"
        message = f"the body has {size} bytes, expected {bound}"
        yield Finding("basic.size", message, expected=bound, received=str(size))


def _check_text(case: HttpCase, exchange: Exchange) -> Iterator[Finding]:
    wanted = case.expect.get("text", [])
    pattern = case.expect.get("matches")
    if not wanted and pattern is None:
        return
    body = exchange.body.decode(errors="replace")
    for text in [wanted] if isinstance(wanted, str) else wanted:
        if text not in body:
            message = f"the body does not contain {text!r}"
            yield Finding("basic.text", message, expected=text, received=cut(body))
    if pattern is not None and not re.search(pattern, body):
        message = f"the body does not match {pattern!r}"
        yield Finding("basic.text", message, expected=pattern, received=cut(body))


def _check_json(case: HttpCase, exchange: Exchange) -> Iterator[Finding]:
    value, problem = _parse(exchange.body)
    if problem:
        shown = cut(exchange.body.decode(errors="replace"))
        yield Finding("basic.not-json", problem, expected="JSON", received=shown)
        return
    if "success" in case.expect:
        yield from _check_success(case.expect["success"], value)
    for path in case.expect.get("keys", []):
        yield from _check_path(value, path, _ABSENT)
    for path, expected in case.expect.get("json", {}).items():
        yield from _check_path(value, path, expected)
    if "json_schema" in case.expect:
        yield from check_schema("basic.schema", case.expect["json_schema"], value, "the answer")


def _parse(body: bytes) -> tuple[Any, str]:
    if not body:
        return None, "the body is empty"
    try:
        return json.loads(body.decode("utf-8")), ""
    except UnicodeDecodeError as error:
        return None, f"the body is not UTF-8: byte {body[error.start]:#04x} at {error.start}"
    except ValueError as error:
        return None, f"the body is not JSON: {error}"
    except RecursionError:
        return None, "the body is JSON nested too deeply to be read"


def _check_success(expected: bool, value: Any) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    received = value.get("success", _ABSENT) if isinstance(value, dict) else _ABSENT
    if received is expected:
        return
    shown = "no such key" if received is _ABSENT else json.dumps(received, ensure_ascii=False)
    message = f"'success' is {cut(shown)} instead of {json.dumps(expected)}"
    text = cut(json.dumps(value, ensure_ascii=False))
    yield Finding("basic.success", message, expected=json.dumps(expected), received=text)


def _check_path(value: Any, path: str, expected: Any) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    try:
        received = lookup(value, path)
    except MissingPathError as error:
        yield Finding("basic.missing-key", f"{path} is missing: {error}", expected=path)
        return
    if expected is not _ABSENT and not same(received, expected):
        wanted = json.dumps(expected, ensure_ascii=False)
        shown = cut(json.dumps(received, ensure_ascii=False))
        message = f"{path} is {shown} ({kind(received)}) instead of {wanted}"
        yield Finding("basic.value", message, expected=wanted, received=shown)


def _capture(case: HttpCase, exchange: Exchange, captured: dict[str, Any]) -> Iterator[Finding]:
    value, _ = _parse(exchange.body)
    for name, path in case.capture.items():
        try:
            captured[name] = lookup(value, path)
        except MissingPathError as error:
            yield Finding("basic.capture", f"{name} cannot be captured from {path}: {error}")
