"""A case's request -> the bytes that are sent, and what reports show of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pytest_release import __version__
from pytest_release.config.casebook import PLACEHOLDER
from pytest_release.config.cases import Multipart, Request
from pytest_release.config.environment import Auth, Environment
from pytest_release.errors import TargetError
from pytest_release.redaction import MASK, Secret, basic_credentials, reveal
from pytest_release.targets import curl
from pytest_release.targets._httpx import httpx

AGENT = f"pytest-release/{__version__}"
SHOWN_BODY = 4_000  # characters of a request's body that a report shows
OF_A_PATH = "/:@!$&'()*+,;=~"  # what a captured value may bring into a path as it is


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

    A value that becomes part of the path is percent-encoded, but for its slashes.

    Raises:
        TargetError: The environment has no address, a value is missing, or what results cannot be
            sent.
    """
    if environment.base_url is None:
        raise TargetError(f"the environment {environment.name} has no base_url")
    path = PLACEHOLDER.sub(
        lambda match: quote(str(_value(match[1], values)), safe=OF_A_PATH), request.path
    )
    try:
        url = httpx.URL(environment.base_url + path)
        return httpx.Request(
            request.method,
            url.copy_merge_params(fill(request.params, values)) if request.params else url,
            headers=httpx.Headers(_headers(request, environment, values, url), encoding="utf-8"),
            **_body(request, values),
        )
    except OSError as error:
        raise TargetError(f"{error.filename} cannot be sent: {error.strerror}") from None
    except (httpx.InvalidURL, ValueError) as error:
        shown = environment.redactor(str(error))
        raise TargetError(f"{request.method} {request.path} cannot be sent: {shown}") from None


def _headers(
    request: Request, environment: Environment, values: Mapping[str, Any], url: httpx.URL
) -> dict[str, str]:
    own = {name: _text(value, values) for name, value in request.headers.items()}
    given = {name.lower() for name in own}
    defaults = {"accept": "*/*", "user-agent": AGENT, "accept-encoding": request.accept_encoding}
    rest = {name: value for name, value in defaults.items() if name not in given}
    return {**own, **rest, **_authorisation(environment.auth, url)}


def _authorisation(auth: Auth | None, url: httpx.URL) -> dict[str, str]:
    """What the environment says; else user and password of its address, as curl sends them."""
    if auth is None:
        pair = (url.username, url.password)
        return {"authorization": f"Basic {basic_credentials(*pair)}"} if any(pair) else {}
    if auth.scheme == "basic":
        pair = (reveal(auth.username or ""), reveal(auth.password or ""))
        return {"authorization": f"Basic {basic_credentials(*pair)}"}
    if auth.scheme == "header":
        return {auth.header or "authorization": reveal(auth.token or "")}
    return {"authorization": f"Bearer {reveal(auth.token or '')}"}


def private_headers(environment: Environment) -> frozenset[str]:
    """Lower-case names of headers that no report and no other server may see."""
    named = environment.auth.header if environment.auth else None
    return frozenset({"authorization", "cookie", (named or "authorization").lower()})


def _body(request: Request, values: Mapping[str, Any]) -> dict[str, Any]:
    if request.raw is not None:
        return {"content": request.raw}
    if request.json is not None:
        return {"json": fill(request.json, values)}
    if request.form is not None:
        return {"data": fill(request.form, values)}
    if request.multipart is not None:
        fields = [(name, (None, text)) for name, text in _fields(request.multipart, values)]
        files = [(n, (path.name, path.read_bytes())) for n, path in request.multipart.files.items()]
        return {"files": [*fields, *files]}
    return {}


def _fields(multipart: Multipart, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in multipart.fields.items():
        yield name, _text(value, values)


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
    whole = PLACEHOLDER.fullmatch(reveal(value).strip())
    return _value(whole[1], values) if whole else _text(value, values)


def _text(template: str | Secret, values: Mapping[str, Any]) -> str:
    return PLACEHOLDER.sub(lambda match: str(_value(match[1], values)), reveal(template))


def _value(name: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    if name not in values:
        raise TargetError(f"{{{{{name}}}}} has no value: no case captured it")
    return values[name]


def describe(
    request: Request, built: httpx.Request, environment: Environment, values: Mapping[str, Any]
) -> Sent:
    """What a report shows of a request that was built with these values."""
    redact = environment.redactor
    hidden = private_headers(environment)
    hidden |= {name.lower() for name, v in request.headers.items() if isinstance(v, Secret)}
    headers = tuple(
        (name, MASK if name.lower() in hidden else redact(value))
        for name, value in built.headers.multi_items()
        if name.lower() != "content-length"
    )
    if request.multipart is not None:
        fields = [f"{name}={redact(text)}" for name, text in _fields(request.multipart, values)]
        files = [f"{name}=@{path}" for name, path in request.multipart.files.items()]
        body, of_curl = "\n".join((*fields, *files)), curl.parts(fields, files)
    else:
        body = redact(_readable(request, built.read()))
        of_curl = curl.data(body, SHOWN_BODY)
    url = redact(without_user(built.url))
    telling = [(n, v) for n, v in headers if (n.lower(), v) not in _SENT_BY_CURL]
    command = curl.command(request, environment, url, telling, of_curl)
    return Sent(built.method, url, headers, body[:SHOWN_BODY], command)


_SENT_BY_CURL = {("accept", "*/*"), ("user-agent", AGENT)}  # the same, or as good


def _readable(request: Request, content: bytes) -> str:
    if request.json is not None:
        return json.dumps(json.loads(content), ensure_ascii=False)
    return content.decode(errors="replace")


def without_user(url: httpx.URL) -> str:
    """An address without user and password."""
    return str(url.copy_with(userinfo=b""))
