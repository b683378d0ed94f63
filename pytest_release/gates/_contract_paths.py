"""Documented endpoints and those that are there, compared both ways.

An endpoint is looked for with OPTIONS, which changes nothing and needs no body: where nothing is,
the answer is 404; where something is, another. What the deployment answers where surely nothing is
says whether that can be told at all: behind a login page or a proxy that answers everything, it
cannot.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from pytest_release.config.cases import Request
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._answer import MissingPathError, cut, lookup
from pytest_release.gates._contract_document import PARAMETER, Document, Operation
from pytest_release.redaction import reveal
from pytest_release.targets.http import Exchange, HttpTarget

NOWHERE = "/nothing-is-here-8c1f27"
GONE = frozenset({404, 410, 501})
AT_ONCE = 8
MAX_LISTED = 10_000  # entries of a list of endpoints that are read
MAX_BYTES = 4 * 1024 * 1024  # of such a list
SHAPES = re.compile(r"{[^{}]*}|<[^<>]*>|(?<=/):[A-Za-z_]\w*")  # {id}, <int:id>, :id


@dataclass(frozen=True)
class Endpoint:
    """A method and a path, as a list names them.

    Attributes:
        method: Upper case; empty for any.
        path: Its parameters as ``{}``.
    """

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}".strip()

    def matches(self, other: Endpoint) -> bool:
        """Whether it stands for another: ``*`` for any text, ``?`` for any character."""
        return fnmatchcase(other.path, self.path) and self.method in ("", other.method)


def endpoint(text: str) -> Endpoint:
    """``POST /orders/{id}`` or ``/orders/{id}``, in any framework's spelling."""
    method, _, path = text.strip().rpartition(" ")
    return Endpoint(method.strip().upper(), SHAPES.sub("{}", path))


def of(operation: Operation) -> Endpoint:
    """A documented endpoint, as a list would name it."""
    return Endpoint(operation.method, PARAMETER.sub("{}", operation.path))


@dataclass(frozen=True)
class Probe:
    """Asks what is there.

    Attributes:
        http: The deployment.
        parameters: Values of path parameters by their name.
        timeout_s: For each request.
        deadline: When to stop, on the clock of `time.monotonic`.
    """

    http: HttpTarget
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    timeout_s: float = 10.0
    deadline: float = math.inf

    def ask(self, method: str, path: str) -> Exchange | str:
        """The answer, or why there was none.

        Raises:
            TargetError: There is no time left.
        """
        if time.monotonic() > self.deadline:
            raise TargetError(f"the time is over before {method} {cut(path)} was asked")
        request = Request(method, path, timeout_s=self.timeout_s, max_bytes=MAX_BYTES)
        try:
            return self.http.send(request, on_chunk=lambda _data, _at: 0)
        except TargetError as error:
            return str(error)

    def path(self, document: Document, operation: Operation) -> str:
        """A path of an operation, with something for each parameter."""
        found = {str(p.get("name")): p for p in document.parameters(operation)}

        def value(match: re.Match[str]) -> str:
            name = match[1]
            given = self.parameters.get(name)
            stated = _example(found.get(name, {})) if given is None else reveal(given)
            return quote(str(stated), safe="")

        return PARAMETER.sub(value, operation.path)


def _example(parameter: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    schema = parameter.get("schema", parameter)
    if not isinstance(schema, Mapping):
        return "x"
    for key in ("example", "default"):
        if key in parameter or key in schema:
            return parameter.get(key, schema.get(key))
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if schema.get("format") == "uuid":
        return "00000000-0000-4000-8000-000000000000"
    return 1 if schema.get("type") in ("integer", "number") else "x"


def compare(document: Document, listed: Iterable[Endpoint], source: str) -> Iterator[Finding]:
    """A list without patterns against the document: the deployment's own."""
    documented, there = [of(operation) for operation in document.operations], list(listed)
    known = {*documented, *(Endpoint("", each.path) for each in documented)}
    yield from (_undocumented(each, source) for each in there if each not in known)
    said = set(there)
    yield from (
        _unlisted(each, source)
        for each in documented
        if each not in said and Endpoint("", each.path) not in said
    )


def compare_patterns(document: Document, patterns: Iterable[Endpoint]) -> Iterator[Finding]:
    """A list with patterns against the document: the case's own."""
    documented, listed = [of(operation) for operation in document.operations], list(patterns)
    for each in listed:
        if not any(map(each.matches, documented)):
            yield _undocumented(each, "the case")
    for there in documented:
        if not any(each.matches(there) for each in listed):
            yield _unlisted(there, "the case")


def _undocumented(each: Endpoint, source: str) -> Finding:
    message = f"{cut(str(each))} is listed by {source} and not documented"
    return Finding("contract.undocumented", message, expected="a documented endpoint")


def _unlisted(each: Endpoint, source: str) -> Finding:
    message = f"{cut(str(each))} is documented and not listed by {source}"
    return Finding("contract.unlisted", message, expected="an entry of the list")


def registry(http: HttpTarget, option: Mapping[str, Any]) -> tuple[list[Endpoint], list[Finding]]:
    """The deployment's own list of its endpoints.

    Raises:
        TargetError: It does not answer.
    """
    method, path = reveal(option.get("method", "GET")), reveal(option["path"])
    exchange = http.send(Request(method, path, max_bytes=MAX_BYTES))
    source = f"{method} {path}"
    if exchange.status != 200 or exchange.broken:
        reason = exchange.broken or f"answers {exchange.status} instead of 200"
        return [], [Finding("contract.registry", f"{source} {reason}", expected="200")]
    try:
        entries = lookup(json.loads(exchange.body), option.get("list", "endpoints"))
        found = list(_entries(entries))
    except (MissingPathError, ValueError, RecursionError) as error:
        message = f"{source} holds no list of endpoints: {cut(str(error))}"
        return [], [Finding("contract.registry", message)]
    if not found:
        return [], [Finding("contract.registry", f"{source} lists no endpoint")]
    return found, []


def _entries(value: Any) -> Iterator[Endpoint]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, list) or len(value) > MAX_LISTED:
        message = f"expected a list of at most {MAX_LISTED}"
        raise ValueError(message)
    for entry in value:
        if isinstance(entry, str):
            yield endpoint(entry)
        elif isinstance(entry, dict) and isinstance(entry.get("path"), str):
            methods = entry.get("methods", [entry.get("method", "")])
            for method in methods if isinstance(methods, list) else [methods]:
                yield endpoint(f"{method} {entry['path']}")
        else:
            message = f"{cut(json.dumps(entry))} is no endpoint"
            raise ValueError(message)  # noqa: TRY004 - of the server's list, not of an argument


def look(document: Document, probe: Probe, absent: Iterable[str]) -> list[Finding]:
    """What is documented and gone, and what answers where nothing should.

    Raises:
        TargetError: The deployment does not answer, or there is no time left.
    """
    nowhere = document.prefix + NOWHERE
    control = probe.ask("GET", nowhere)
    if isinstance(control, str):
        raise TargetError(control)
    if control.status not in GONE:
        message = (
            f"GET {nowhere} answers {control.status} where nothing is: "
            "what is missing cannot be told from what is there"
        )
        received = _shown(control)
        return [Finding("contract.catch-all", message, expected="404", received=received)]
    return [*_documented(document, probe, nowhere), *_absent(probe, absent)]


def _documented(document: Document, probe: Probe, nowhere: str) -> Iterator[Finding]:
    control = probe.ask("OPTIONS", nowhere)
    telling = not isinstance(control, str) and control.status in GONE
    operations = [o for o in document.operations if telling or _askable(o)]
    if len(operations) < len(document.operations):
        count = len(document.operations) - len(operations)
        said = (
            control if isinstance(control, str) else f"OPTIONS {nowhere} answers {control.status}"
        )
        message = f"{count} documented endpoints could not be looked for: {said}"
        yield Finding("contract.unprobed", message, Severity.WARNING, expected="404")
    methods = [("OPTIONS" if telling else o.method, probe.path(document, o)) for o in operations]
    asked = list(dict.fromkeys(methods))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(asked, pool.map(lambda one: probe.ask(*one), asked), strict=True))
    for operation, (method, path) in zip(operations, methods, strict=True):
        yield from _gone(operation, method, answers[method, path])


def _askable(operation: Operation) -> bool:
    """Whether its own method may be sent instead, and 404 would mean that it is not there."""
    return operation.method in ("GET", "HEAD") and not PARAMETER.search(operation.path)


def _gone(operation: Operation, method: str, answer: Exchange | str) -> Iterator[Finding]:
    name = f"{operation.method} {operation.path}"
    if isinstance(answer, str):
        yield Finding("contract.gone", f"{name} is documented and cannot be asked: {answer}")
        return
    allowed = next((value for key, value in answer.headers if key == "allow"), None)
    if answer.status in GONE:
        message = f"{name} is documented, and nothing is there: {method} answers {answer.status}"
        yield Finding("contract.gone", message, expected="an endpoint", received=_shown(answer))
    elif allowed is not None and answer.status in (200, 204, 405):
        methods = {word.strip().upper() for word in allowed.split(",")}
        methods |= {"HEAD"} if "GET" in methods else set()
        if operation.method not in methods | {"OPTIONS"}:
            message = f"{name} is documented, and its path allows only {cut(allowed)}"
            yield Finding(
                "contract.gone", message, expected=operation.method, received=cut(allowed)
            )


def _absent(probe: Probe, absent: Iterable[str]) -> Iterator[Finding]:
    for path in absent:
        answer = probe.ask("GET", path)
        if isinstance(answer, str) or answer.status in GONE:
            continue
        message = f"GET {path} answers {answer.status}, and nothing should be there"
        yield Finding("contract.undocumented", message, expected="404", received=_shown(answer))


def _shown(answer: Exchange) -> str:
    return cut(f"{answer.status} {answer.body.decode(errors='replace')}")
