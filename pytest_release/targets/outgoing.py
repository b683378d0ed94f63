"""A case's request -> the bytes that are sent, and the curl command that sends the same."""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pytest_release import __version__
from pytest_release.config.casebook import PLACEHOLDER
from pytest_release.config.cases import Multipart, Request
from pytest_release.config.environment import Auth, Environment
from pytest_release.errors import TargetError
from pytest_release.redaction import MASK, Secret, reveal
from pytest_release.targets._httpx import httpx

AGENT = f"pytest-release/{__version__}"
SHOWN_BODY = 4_000  # characters of a request's body that a report shows


@dataclass(frozen=True)
class Sent:
    """A request as reports show it, without secrets.

    Attributes:
        url: Without user and password.
        headers: In the order they are sent; authorisation masked.
        body: Readable form of the body, cut.
        curl: A command that sends the same.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str
    curl: str


def build(request: Request, environment: Environment, values: Mapping[str, Any]) -> httpx.Request:
    """The request with its captured values and authorisation filled in.

    Raises:
        TargetError: The environment has no address, or the address cannot be used.
    """
    if environment.base_url is None:
        raise TargetError(f"the environment {environment.name} has no base_url")
    headers = {name: _plain(value, values) for name, value in request.headers.items()}
    defaults = {"accept": "*/*", "user-agent": AGENT, "accept-encoding": request.accept_encoding}
    given = {name.lower() for name in headers}
    headers |= {name: value for name, value in defaults.items() if name not in given}
    headers |= _authorisation(environment.auth)
    try:
        return httpx.Request(
            request.method,
            environment.base_url + _plain(request.path, values),
            params=fill(request.params, values) or None,
            headers=headers,
            **_body(request, values),
        )
    except (httpx.InvalidURL, ValueError) as error:
        shown = environment.redactor(str(error))
        raise TargetError(f"{request.method} {request.path} cannot be sent: {shown}") from None


def _body(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    if request.json is not None:
        return {"json": fill(request.json, values)}
    if request.form is not None:
        return {"data": fill(request.form, values)}
    if request.multipart is not None:
        return _multipart(request.multipart, values)
    return {}


def _multipart(multipart: Multipart, values: Mapping[str, Any]) -> dict[str, Any]:
    files = {name: (path.name, path.read_bytes()) for name, path in multipart.files.items()}
    return {"data": fill(multipart.fields, values), "files": files}


def fill(value: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """A JSON value with ``{{name}}`` replaced and secrets revealed.

    A string that is nothing but ``{{name}}`` becomes the captured value with its type.
    """
    if isinstance(value, Mapping):
        return {name: fill(child, values) for name, child in value.items()}
    if isinstance(value, list):
        return [fill(child, values) for child in value]
    if not isinstance(value, str | Secret):
        return value
    text = reveal(value)
    whole = PLACEHOLDER.fullmatch(text.strip())
    return values[whole[1]] if whole else _plain(text, values)


def _plain(value: Any, values: Mapping[str, Any]) -> str:  # noqa: ANN401 - str, Secret or number
    text = reveal(value) if isinstance(value, str | Secret) else str(value)
    return PLACEHOLDER.sub(lambda match: str(values[match[1]]), text)


def _authorisation(auth: Auth | None) -> dict[str, str]:
    if auth is None:
        return {}
    if auth.scheme == "basic":
        pair = f"{reveal(auth.username or '')}:{reveal(auth.password or '')}"
        return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if auth.scheme == "header":
        return {auth.header or "authorization": reveal(auth.token or "")}
    return {"authorization": f"Bearer {reveal(auth.token or '')}"}


def describe(request: Request, built: httpx.Request, environment: Environment) -> Sent:
    """What a report shows of a request."""
    redact = environment.redactor
    hidden = set(_authorisation(environment.auth)) | {"authorization", "cookie"}
    headers = tuple(
        (name, MASK if name.lower() in hidden else redact(value))
        for name, value in built.headers.multi_items()
        if name.lower() != "content-length"
    )
    url = redact(without_user(str(built.url)))
    body = redact(_readable(request, built))
    return Sent(built.method, url, headers, body, _curl(request, url, headers, body))


def without_user(url: str) -> str:
    """An address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _readable(request: Request, built: httpx.Request) -> str:
    if request.multipart is not None:
        fields = [f"{name}={reveal(v)}" for name, v in request.multipart.fields.items()]
        files = [f"{name}=@{path}" for name, path in request.multipart.files.items()]
        return "\n".join((*fields, *files))
    content = built.read()
    if request.json is not None:
        content = json.dumps(json.loads(content), ensure_ascii=False).encode()
    return content.decode(errors="replace")[:SHOWN_BODY]


def _curl(request: Request, url: str, headers: tuple[tuple[str, str], ...], body: str) -> str:
    words = ["curl", "-sS", "-N", "-i"]
    words += ["-X", request.method] if request.method not in ("GET", "POST") else []
    for name, value in headers:
        if name.lower() not in _OF_CURL and not _boundary(name, value):
            words += ["-H", f"{name}: {value}"]
    if request.multipart is not None:
        for line in body.splitlines():
            words += ["-F", line]
    elif body:
        words += ["--data-raw", body]
    elif request.method == "POST":
        words += ["-X", "POST"]
    return shlex.join([*words, url])


_OF_CURL = frozenset({"host", "accept", "user-agent", "connection"})


def _boundary(name: str, value: str) -> bool:
    return name.lower() == "content-type" and re.match(r"multipart/", value) is not None
