"""What every HTTP gate expects of an answer's head, and how a JSON value is reached by its path."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from pytest_release.config.cases import Case
from pytest_release.evidence import Finding
from pytest_release.targets.http import Exchange

SHOWN = 300  # characters of an answer that a finding shows
STEP = re.compile(r"[^.\[\]]+")


class MissingPathError(LookupError):
    """No value stands at a path; carries the part of the path that is there."""


def lookup(value: Any, path: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value at ``data.items[0].name`` (or ``data.items.0.name``).

    Raises:
        MissingPathError: There is none; the text names the first step that is missing.
    """
    walked = ""
    for step in STEP.findall(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            where = walked or "the top"
            raise MissingPathError(f"there is no {step!r} at {where}, which is {kind(value)}")
        walked = f"{walked}.{step}" if walked else step
    return value


def kind(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A JSON value's kind in words, with its size."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"an object with {', '.join(map(repr, list(value)[:8])) or 'no keys'}"


def same(left: Any, right: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Equality of JSON values: ``true`` is not 1, and 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def cut(text: str) -> str:
    """At most `SHOWN` characters of a text, and how long it really is."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def check_head(case: Case, exchange: Exchange, content_type: str | None) -> Iterator[Finding]:
    """Status, media type and headers.

    Args:
        case: Its ``expect`` has ``status`` (200 without), ``content_type`` and ``headers``.
        exchange: The answer.
        content_type: Expected where the case names none; None for any.
    """
    expected = case.expect.get("status", 200)
    allowed = [expected] if isinstance(expected, int) else expected
    if exchange.status not in allowed:
        words = " or ".join(map(str, allowed))
        body = exchange.body.decode(errors="replace")
        message = f"status {exchange.status} instead of {words}"
        yield Finding(f"{case.gate}.status", message, expected=words, received=cut(body))
    headers = {name.lower(): value for name, value in exchange.headers}
    yield from _check_type(case, headers, case.expect.get("content_type", content_type))
    for name, pattern in case.expect.get("headers", {}).items():
        yield from _check_header(case, name, pattern, headers.get(name.lower()))


def _check_type(case: Case, headers: Mapping[str, str], expected: str | None) -> Iterator[Finding]:
    if expected is None:
        return
    received = headers.get("content-type", "")
    media_type = received.partition(";")[0].strip().lower()
    json_like = expected == "application/json" and media_type.endswith("+json")
    if media_type != expected.lower() and not json_like:
        message = f"the content type is {cut(received)!r} instead of {expected}"
        yield Finding(
            f"{case.gate}.content-type", message, expected=expected, received=cut(received)
        )


def _check_header(
    case: Case, name: str, pattern: str | None, received: str | None
) -> Iterator[Finding]:
    code = f"{case.gate}.header"
    if pattern is None:
        if received is not None:
            yield Finding(code, f"the header {name} must be absent", received=cut(received))
    elif received is None:
        yield Finding(code, f"the header {name} is missing", expected=pattern)
    elif not re.search(pattern, received):
        message = f"the header {name} does not match"
        yield Finding(code, message, expected=pattern, received=cut(received))


def check_schema(code: str, schema: Any, value: Any, what: str) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    """At most five deviations of a value from a JSON Schema (2020-12), the shallowest first."""
    validator = Draft202012Validator(schema, registry=Registry())  # nothing is fetched
    try:
        errors = sorted(validator.iter_errors(value), key=lambda error: len(error.path))
    except Unresolvable as unresolved:
        yield Finding(code, f"the case's schema refers to {unresolved.ref!r}, which is not in it")
        return
    for error in errors[:5]:
        where = f" at {error.json_path}" if error.path else ""
        yield Finding(code, f"{what} breaks its schema{where}: {cut(error.message)}")
