"""An OpenAPI document: read within bounds, and what is wrong with it by itself.

- Nothing that it refers to is fetched: a reference leads into the document, or it is a finding.
- A document that `flaws` calls unusable is never given to the engine.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from pytest_release.errors import PackageError
from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut

MAX_BYTES = 8 * 1024 * 1024
MAX_VALUES = 500_000  # values in the document, each alias of YAML counted again
MAX_DEPTH = 100
MAX_OPERATIONS = 5_000
SHOWN = 10  # flaws of one kind that are listed
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
VERSION = re.compile(r"(2\.0|3\.[0-2]\.\d+)\Z")
STATUS = re.compile(r"([1-5](\d\d|XX)|default)\Z")
PARAMETER = re.compile(r"{([^{}]+)}")


class NoDocumentError(Exception):
    """The bytes are no document; the text says why."""


@dataclass(frozen=True)
class Operation:
    """One documented endpoint.

    Attributes:
        method: Upper case.
        path: As documented, with the document's own prefix in front.
        detail: The operation object.
    """

    method: str
    path: str
    template: str
    detail: Mapping[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        """As the engine and the reports name it: without the prefix."""
        return f"{self.method} {self.template}"

    @cached_property
    def streams(self) -> bool:
        """Whether one of its answers is an event stream."""
        return "text/event-stream" in json.dumps(self.detail.get("responses", {}))


@dataclass(frozen=True)
class Document:
    """A document that could be read.

    Attributes:
        value: The JSON object.
        source: Where it came from, for messages.
        base_path: Path of the environment's own address; what it ends with is no prefix again.
    """

    value: Mapping[str, Any] = field(repr=False)
    source: str
    base_path: str = ""

    @cached_property
    def prefix(self) -> str:
        """The path of its first server, under which its operations stand; without a last slash."""
        servers = self.value.get("servers")
        first = servers[0] if isinstance(servers, list) and servers else None
        url = first.get("url") if isinstance(first, Mapping) else self.value.get("basePath")
        if not isinstance(url, str) or "{" in url:
            return ""
        path = f"/{urlsplit(url).path.strip('/')}".rstrip("/")
        return "" if self.base_path.rstrip("/").endswith(path) else path

    @cached_property
    def version(self) -> str:
        """Of the API, as it says itself; empty when it does not."""
        version = _mapping(self.value.get("info")).get("version")
        return version if isinstance(version, str) else ""

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All documented endpoints, in the order of the document."""
        return tuple(
            Operation(method.upper(), self.prefix + path, path, _mapping(item[method]))
            for path, given in _mapping(self.value.get("paths")).items()
            if path.startswith("/")
            for item in (self.followed(given),)
            for method in METHODS
            if method in item
        )

    def resolve(self, pointer: str) -> Any:  # noqa: ANN401 - any JSON value
        """What a reference within the document leads to.

        Raises:
            LookupError: It leads nowhere.
        """
        found: Any = self.value
        for part in unquote(pointer).removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found[int(key)] if isinstance(found, list) and key.isdigit() else found[key]
        return found

    def followed(self, value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
        """An object, or what its reference leads to; empty where that is none."""
        reference = value.get("$ref") if isinstance(value, Mapping) else None
        if not isinstance(reference, str):
            return _mapping(value)
        try:
            return _mapping(self.resolve(reference))
        except (LookupError, TypeError, ValueError):
            return {}

    def parameters(self, operation: Operation) -> list[Mapping[str, Any]]:
        """Those of the path, then those of the operation itself."""
        item = self.followed(_mapping(self.value.get("paths")).get(operation.template))
        listed = (*_list(item.get("parameters")), *_list(operation.detail.get("parameters")))
        return [self.followed(parameter) for parameter in listed]


def parse(data: bytes, source: str, *, as_yaml: bool = False) -> Document:
    """A document from its bytes.

    Raises:
        NoDocumentError: They are no JSON object, or one too large or too deep.
    """
    if len(data) > MAX_BYTES:
        raise NoDocumentError(f"it has more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        value = yaml.safe_load(text) if as_yaml else json.loads(text, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise NoDocumentError(f"it is not UTF-8: byte {data[error.start]:#04x}") from None
    except yaml.YAMLError as error:
        raise NoDocumentError(f"it is not YAML: {cut(str(error).splitlines()[0])}") from None
    except ValueError as error:
        raise NoDocumentError(f"it is not JSON: {error}") from None
    except RecursionError:
        raise NoDocumentError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise NoDocumentError(f"it is {type(value).__name__}, not an object")
    _measure(value)
    return Document(value, source)


def read(file: Path) -> Document:
    """A document that lies beside its case.

    Raises:
        NoDocumentError: It is none.
        PackageError: It cannot be read.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PackageError(f"{file}: cannot be read: {error.strerror}") from None
    return parse(data, file.name, as_yaml=file.suffix in (".yaml", ".yml"))


def _refuse(word: str) -> None:
    message = f"{word} is no JSON"
    raise ValueError(message)


def _measure(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Refuse what would keep others busy; YAML's aliases make much of little."""
    count = 0
    waiting = [(value, 0)]
    while waiting:
        here, depth = waiting.pop()
        count += 1
        if count > MAX_VALUES or depth > MAX_DEPTH:
            raise NoDocumentError(
                f"it has more than {MAX_VALUES} values, or is nested deeper than {MAX_DEPTH}"
            )
        children = here.values() if isinstance(here, dict) else here
        if isinstance(here, dict | list):
            waiting += [(child, depth + 1) for child in children]


def flaws(document: Document) -> list[Finding]:
    """What is wrong with a document by itself."""
    return [*_form(document), *_references(document), *_twins(document)]


def _form(document: Document) -> Iterator[Finding]:
    wrong = list(_wrong(document))
    shown = "; ".join(wrong[:SHOWN])
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    if wrong:
        message = f"{document.source} is no valid OpenAPI document: {shown}{more}"
        yield Finding("contract.invalid", message, received=f"{len(wrong)} flaws")


def _wrong(document: Document) -> Iterator[str]:
    value = document.value
    stated = value.get("openapi", value.get("swagger"))
    if not (isinstance(stated, str) and VERSION.match(stated)):
        yield f"openapi is {_shown(stated)}, expected 2.0 or 3.0.x to 3.2.x"
    info = _mapping(value.get("info"))
    yield from (
        f"info.{key} is {_shown(info.get(key))}, expected a text"
        for key in ("title", "version")
        if not isinstance(info.get(key), str)
    )
    if not isinstance(value.get("paths"), dict):
        yield f"paths is {_shown(value.get('paths'))}, expected an object"
        return
    for path, item in value["paths"].items():
        if not path.startswith("/"):
            yield f"the path {cut(path)!r} does not begin with a slash"
        elif not isinstance(item, dict):
            yield f"{cut(path)} is {_shown(item)}, expected an object"
    if len(document.operations) > MAX_OPERATIONS:
        yield f"it documents more than {MAX_OPERATIONS} operations"
        return
    for operation in document.operations:
        yield from (f"{cut(operation.label)}: {said}" for said in _operation(document, operation))


def _operation(document: Document, operation: Operation) -> Iterator[str]:
    responses = operation.detail.get("responses")
    if not isinstance(responses, dict) or not responses:
        yield "no responses"
    else:
        for status, response in responses.items():
            if not STATUS.match(str(status)) and not str(status).startswith("x-"):
                yield f"the status {cut(str(status))!r} is none"
            if not isinstance(response, dict):
                yield f"the response {cut(str(status))} is {_shown(response)}"
    yield from _parameters(document, operation)


def _parameters(document: Document, operation: Operation) -> Iterator[str]:
    named = set()
    for parameter in document.parameters(operation):
        name, place = parameter.get("name"), parameter.get("in")
        if not isinstance(name, str) or not isinstance(place, str):
            yield "a parameter has no name or no place ('in')"
        elif place == "path":
            named.add(name)
            if parameter.get("required") is not True:
                yield f"the path parameter {cut(name)!r} is not required"
    wanted = set(PARAMETER.findall(operation.template))
    yield from (f"{{{cut(name)}}} is no parameter" for name in sorted(wanted - named))
    yield from (f"{cut(name)!r} is not in the path" for name in sorted(named - wanted))


def _references(document: Document) -> Iterator[Finding]:
    nowhere, outside = [], []
    for place, reference in _all_references(document.value, ""):
        if not reference.startswith("#"):
            outside.append(f"{cut(reference)} at {cut(place)}")
            continue
        try:
            document.resolve(reference)
        except (LookupError, TypeError, ValueError):
            nowhere.append(f"{cut(reference)} at {cut(place)}")
    for found, said in (
        (nowhere, "refers to what is not in it"),
        (outside, "refers to what lies outside, and nothing is fetched"),
    ):
        if found:
            message = f"{document.source} {said}: {'; '.join(found[:SHOWN])}"
            count = f"{len(found)} references"
            yield Finding("contract.reference", message, received=count)


def _all_references(value: Any, place: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    waiting = [(value, place)]
    while waiting:
        here, at = waiting.pop()
        if isinstance(here, dict):
            if isinstance(here.get("$ref"), str):
                yield at or "#", here["$ref"]
            waiting += [(child, f"{at}/{key}") for key, child in here.items()]
        elif isinstance(here, list):
            waiting += [(child, f"{at}/{index}") for index, child in enumerate(here)]


def _twins(document: Document) -> Iterator[Finding]:
    """Endpoints that nobody can tell apart, and names that are given twice."""
    shapes = Counter(f"{o.method} {PARAMETER.sub('{}', o.path)}" for o in document.operations)
    ids = Counter(
        str(o.detail["operationId"]) for o in document.operations if "operationId" in o.detail
    )
    twice = [name for name, count in (*shapes.items(), *ids.items()) if count > 1]
    if twice:
        message = f"{document.source} documents twice: {', '.join(map(cut, twice[:SHOWN]))}"
        yield Finding("contract.invalid", message, received=f"{len(twice)} names")


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, list) else []


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return "missing" if value is None else cut(json.dumps(value, ensure_ascii=False, default=str))
