"""Tests of `pytest_release.targets.outgoing`: what is sent, and what a report may show of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.cases import Multipart, Request
from pytest_release.config.environment import Auth, Environment
from pytest_release.errors import TargetError
from pytest_release.redaction import Redactor, Secret, basic_credentials
from pytest_release.targets._httpx import httpx
from pytest_release.targets.outgoing import AGENT, SHOWN_BODY, Sent, build, describe, fill
from tests.unit.targets.conftest import environment_at

BASE = "http://a.example/api"
SECRET = "hidden-token"
VALUES = {"id": 7, "name": "a b", "list": [1, 2], "flag": True, "none": None, "tricky": "x/?#&%{"}


def built(environment: Environment | None = None, **request: Any) -> httpx.Request:  # noqa: ANN401
    """A request to `BASE`, a GET of ``/v1`` unless said otherwise."""
    fields = {"method": "GET", "path": "/v1", **request}
    return build(Request(**fields), environment or environment_at(BASE), VALUES)


def sent(environment: Environment | None = None, **request: Any) -> Sent:  # noqa: ANN401
    """What a report shows of it."""
    environment = environment or environment_at(BASE)
    asked = Request(**{"method": "GET", "path": "/v1", **request})
    return describe(asked, build(asked, environment, VALUES), environment, VALUES)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{id}}", 7),
        (" {{ id }} ", 7),
        ("{{list}}", [1, 2]),
        ("{{none}}", None),
        ("n {{id}}, {{flag}}", "n 7, True"),
        ({"a": ["{{id}}", {"b": "{{flag}}"}]}, {"a": [7, {"b": True}]}),
        (Secret("t-{{id}}"), "t-7"),
        ([Secret("{{id}}")], [7]),
        ("{{Id}} {id} {{ id", "{{Id}} {id} {{ id"),
        ("{{tricky}}", "x/?#&%{"),
        (1.5, 1.5),
        (None, None),
    ],
)
def test_a_captured_value_keeps_its_type(template: object, expected: object) -> None:
    """Where the placeholder is the whole string; elsewhere it becomes part of the text."""
    assert fill(template, VALUES) == expected


def test_a_value_that_is_missing() -> None:
    """Its name, wherever it was wanted."""
    for request in ({"path": "/{{x}}"}, {"json": "{{x}}"}, {"headers": {"A": "{{x}}"}}):
        with pytest.raises(TargetError, match=r"^\{\{x\}\} has no value: no case captured it$"):
            built(**request)


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/v1/{{id}}", {}, "/api/v1/7"),
        ("/v1/{{name}}/x", {}, "/api/v1/a%20b/x"),
        ("/v1/{{tricky}}", {}, "/api/v1/x/%3F%23&%25%7B"),
        ("/v1", {"id": "{{id}}", "a": [1, 2], "b": True}, "/api/v1?id=7&a=1&a=2&b=true"),
        ("/v1?x=1", {"y": "{{tricky}}"}, "/api/v1?x=1&y=x%2F%3F%23%26%25%7B"),
        ("/v1?x=1", {}, "/api/v1?x=1"),
    ],
)
def test_an_address(path: str, params: dict[str, Any], expected: str) -> None:
    """What was captured from an answer cannot leave its place in the address."""
    assert built(path=path, params=params).url.raw_path.decode() == expected


def test_headers_are_the_cases_own_first() -> None:
    """Defaults only where the case says nothing; values in any language, as UTF-8."""
    plain = built(accept_encoding="gzip").headers
    own = built(headers={"Accept": "text/event-stream", "USER-AGENT": "me", "X-A": "水{{id}}"})

    assert (plain["accept"], plain["user-agent"]) == ("*/*", AGENT)
    assert plain["accept-encoding"] == "gzip"
    assert own.headers.get_list("accept") == ["text/event-stream"]
    assert own.headers.get_list("user-agent") == ["me"]
    assert (b"X-A", "水7".encode()) in own.headers.raw


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (Auth("bearer", token=Secret("t")), "authorization", "Bearer t"),
        (Auth("basic", username="u", password=Secret("p:ä")), "authorization", "Basic dTpwOsOk"),
        (Auth("header", token=Secret("t"), header="X-Key"), "x-key", "t"),
    ],
)
def test_the_environment_authorises(auth: Auth, name: str, value: str) -> None:
    """In each of the ways; not even the case's own header is stronger."""
    assert built(environment_at(BASE, auth=auth)).headers[name] == value


@pytest.mark.parametrize(
    ("user", "value"), [("u:p%3A@", "Basic dTpwOg=="), ("u@", "Basic dTo="), (":p@", "Basic OnA=")]
)
def test_the_address_authorises(user: str, value: str) -> None:
    """As curl has it; what the environment says of authorisation is stronger."""
    address = f"http://{user}a.example"

    assert built(environment_at(address)).headers["authorization"] == value
    auth = Auth("bearer", token="t")
    assert built(environment_at(address, auth=auth)).headers["authorization"] == "Bearer t"
    assert "authorization" not in built().headers


def test_bodies(tmp_path: Path) -> None:
    """JSON, a form, parts; with captured values."""
    (tmp_path / "pixel.png").write_bytes(b"\x89PNG")
    json_body = built(method="POST", json={"a": "{{id}}", "水": None})
    form = built(method="POST", form={"a": "{{id}}", "b": [1, 2]})
    files = {"image": tmp_path / "pixel.png"}
    parts = built(method="POST", multipart=Multipart({"a": "{{list}}", "b": Secret("s")}, files))

    assert json.loads(json_body.read()) == {"a": 7, "水": None}
    assert form.read() == b"a=7&b=1&b=2"
    body = parts.read()
    assert body.count(b"Content-Disposition: form-data") == 3
    assert b'name="a"\r\n\r\n[1, 2]\r\n' in body
    assert b'name="b"\r\n\r\ns\r\n' in body
    assert b'name="image"; filename="pixel.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG' in body


def test_parts_without_files_are_parts_all_the_same() -> None:
    """A multipart body is one, whatever it holds."""
    request = built(method="POST", multipart=Multipart({"a": "1"}, {}))

    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize("empty", [{"json": {}}, {"json": []}, {"json": ""}, {"json": 0}])
def test_an_empty_json_is_a_body(empty: dict[str, Any]) -> None:
    """Anything but null."""
    assert json.loads(built(method="POST", **empty).read()) == empty["json"]


def test_an_environment_without_an_address() -> None:
    """It has its sandbox still to start."""
    with pytest.raises(TargetError, match="the environment here has no base_url"):
        built(environment_at(None))


@pytest.mark.parametrize(
    ("base_url", "request_", "message"),
    [
        ("http://a b:c", {}, "GET /v1 cannot be sent: Invalid port: 'c'"),
        (BASE, {"headers": {"A": "\ud800"}}, "GET /v1 cannot be sent: 'utf-8' codec can't encode"),
        (BASE, {"json": "\ud800"}, "GET /v1 cannot be sent: 'utf-8' codec can't encode"),
        (BASE, {"json": float("nan")}, "GET /v1 cannot be sent: Out of range float values"),
    ],
)
def test_what_cannot_be_sent(base_url: str, request_: dict[str, Any], message: str) -> None:
    """No foreign exception, and no traceback."""
    with pytest.raises(TargetError, match=f"^{re.escape(message)}"):
        built(environment_at(base_url), **request_)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    """It was there when the cases were read."""
    parts = Multipart({}, {"image": tmp_path / "gone.png"})

    with pytest.raises(TargetError, match=r"gone\.png cannot be sent: No such file or directory"):
        built(method="POST", multipart=parts)


SECRETIVE = environment_at(
    f"http://me:{SECRET}@a.example",
    auth=Auth("header", token=Secret(SECRET), header="X-Key"),
    redactor=Redactor(frozenset({SECRET, basic_credentials("me", SECRET)})),
)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"params": {"key": SECRET}},
        {"headers": {"X-Other": SECRET, "Cookie": "session=1234"}},
        {"headers": {"X-Mine": Secret("known to nobody")}},
        {"method": "POST", "json": {"key": SECRET}},
        {"method": "POST", "form": {"key": Secret(SECRET)}},
        {"method": "POST", "multipart": Multipart({"key": SECRET}, {})},
    ],
)
def test_nothing_that_is_shown_holds_a_secret(request_: dict[str, Any]) -> None:
    """Address, headers, body and command; what is sent holds it all the same."""
    shown = sent(SECRETIVE, **request_)

    for text in (repr(shown), shown.url, shown.curl, shown.body):
        assert SECRET not in text
        assert "session=1234" not in text
        assert "known to nobody" not in text
    assert ("x-key", "***") in shown.headers
    assert built(SECRETIVE, **request_).headers["x-key"] == SECRET


def test_what_is_shown_is_readable(tmp_path: Path) -> None:
    """JSON with its characters, parts a line each, all with captured values."""
    (tmp_path / "a.png").write_bytes(b"\x89")

    assert sent(method="POST", json={"水": "{{id}}"}).body == '{"水": 7}'
    parts = Multipart({"a": "{{id}}"}, {"image": tmp_path / "a.png"})
    assert sent(method="POST", multipart=parts).body == f"a=7\nimage=@{tmp_path / 'a.png'}"
    assert sent().body == ""
    assert len(sent(method="POST", json="x" * 10_000).body) == SHOWN_BODY


def test_a_signed_body_is_sent_as_it_is() -> None:
    """No value is filled in: its signature would be wrong."""
    request = Request("POST", "/", raw=b'{"a":  "{{id}}"}')

    assert build(request, environment_at(BASE), VALUES).content == request.raw


@given(st.dictionaries(st.sampled_from(sorted(VALUES)), st.text(max_size=20)), st.text(max_size=20))
def test_any_captured_text_can_be_sent_or_is_refused(values: dict[str, str], text: str) -> None:
    """Whatever an answer brought; it never changes where the request goes."""
    request = Request("POST", "/v1/{{id}}", params={"a": "{{id}}"}, json={"b": "{{id}}"})
    try:
        made = build(request, environment_at(BASE), {"id": text, **values})
    except TargetError:
        return

    assert (made.url.host, made.url.path.startswith("/")) == ("a.example", True)
    assert [*made.url.params] == ["a"]
