"""Tests of `pytest_release.targets.redirects`: what is sent next, and where every chain ends."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config.cases import Request
from pytest_release.config.environment import Auth
from pytest_release.errors import TargetError
from pytest_release.redaction import Redactor, Secret
from pytest_release.targets._httpx import httpx
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.redirects import MOST_REDIRECTS, Trail
from tests.unit.targets.conftest import Send, Serve, environment_at
from tests.unit.targets.scripted import Connection, Talk, plain

STATUSES = (301, 302, 303, 307, 308)


def routes(**locations: str) -> Talk:
    """A step that redirects by path, without its slash, and answers anything else with itself."""

    def answer(connection: Connection) -> None:
        path = connection.request.split(b" ")[1].decode()
        location = locations.get(path.strip("/"))
        if location is None:
            connection.send(plain(path.encode()))
        else:
            connection.send(plain(b"", f"Location: {location}", status=302))

    return answer


def test_a_redirect_is_an_answer_unless_it_is_to_be_followed(serve: Serve, send: Send) -> None:
    """Its body, too."""
    server = serve(plain(b"moved", "Location: /b", status=301))

    exchange = send(server, "/a")

    assert (exchange.status, exchange.body) == (301, b"moved")
    assert dict(exchange.headers)["location"] == "/b"


def test_a_redirect_is_followed(serve: Serve, send: Send) -> None:
    """Relative and absolute addresses; the exchange is the last one."""
    server = serve(routes(a="b?x=1", b="/c"))

    exchange = send(server, "/a", follow_redirects=True)

    assert (exchange.status, exchange.body) == (200, b"/b?x=1")
    assert exchange.url == f"{server.url}/a"


def test_as_many_are_followed_as_allowed(serve: Serve, send: Send) -> None:
    """Five lead somewhere, the sixth does not."""
    paths = {f"p{n}": f"/p{n + 1}" for n in range(MOST_REDIRECTS)}
    assert send(serve(routes(**paths)), "/p0", follow_redirects=True).body == b"/p5"

    server = serve(routes(**paths, p5="/p6"))
    addresses = " -> ".join(f"{server.url}/p{n}" for n in range(7))
    message = f"GET {addresses}: redirected more than 5 times"
    with pytest.raises(TargetError, match=f"^{re.escape(message)}$"):
        send(server, "/p0", follow_redirects=True)


def test_a_loop_is_named(serve: Serve, send: Send) -> None:
    """With every step of it, as soon as it closes."""
    server = serve(routes(a="/b", b="/c", c="/b"))

    steps = " -> ".join(f"{server.url}/{step}" for step in "abcb")
    with pytest.raises(TargetError, match=f"^GET {re.escape(steps)}: redirected in a loop$"):
        send(server, "/a", follow_redirects=True)


def test_a_failure_behind_a_redirect_names_the_way_there(serve: Serve, send: Send) -> None:
    """Both addresses."""
    server = serve(routes(a="http://127.0.0.1:1/b"))

    message = f"GET {server.url}/a -> http://127.0.0.1:1/b: cannot be reached"
    with pytest.raises(TargetError, match=re.escape(message)):
        send(server, "/a", follow_redirects=True)


@pytest.mark.parametrize("status", [300, 304, 305])
def test_what_is_no_redirect_is_the_answer(serve: Serve, send: Send, status: int) -> None:
    """Even with an address."""
    server = serve(plain(b"", "Location: /b", status=status))

    assert send(server, follow_redirects=True).status == status


def test_a_redirect_to_nowhere_is_the_answer(serve: Serve, send: Send) -> None:
    """Without an address there is nothing to follow."""
    exchange = send(serve(plain(b"lost", status=302)), follow_redirects=True)

    assert (exchange.status, exchange.body) == (302, b"lost")


def trail(method: str = "POST", url: str = "http://a.example/a", **headers: str) -> Trail:
    """Where a chain begins: with a body, and a key."""
    headers = {"x-key": "hidden", "x-other": "1", **headers}
    content = b"body" if method != "GET" else None
    first = httpx.Request(method, url, headers=headers, content=content)
    return Trail(first, frozenset({"authorization", "x-key"}), Redactor(frozenset({"hidden"})))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("status", STATUSES)
def test_the_method_is_kept_or_not(method: str, status: int) -> None:
    """RFC 9110, 15.4: 303 asks for GET, 301 and 302 turn POST into it, 307 and 308 nothing."""
    step = trail(method)
    step.follow(status, "/b")
    turned = {303: method != "HEAD", 301: method == "POST", 302: method == "POST"}

    expected = "GET" if turned.get(status) else method
    assert step.request.method == expected
    assert step.request.read() == (b"" if turned.get(status) or method == "GET" else b"body")
    assert ("content-length" in step.request.headers) == (step.request.read() != b"")


@pytest.mark.parametrize(
    ("location", "own"),
    [
        ("/b", True),
        ("http://a.example:80/b", True),
        ("https://a.example/b", False),
        ("http://a.example:81/b", False),
        ("http://b.example/b", False),
        ("//b.example/b", False),
    ],
)
def test_secrets_stay_with_their_server(location: str, own: bool) -> None:
    """Another host, port or scheme sees neither the password nor the key, only the rest."""
    step = trail(authorization="Bearer hidden")
    step.follow(307, location)

    sent = step.request.headers
    assert ("x-key" in sent, "authorization" in sent) == (own, own)
    assert sent["x-other"] == "1"
    assert sent["host"] == step.request.url.netloc.decode()


def test_a_password_in_the_address_stays_there(serve: Serve) -> None:
    """It is sent to the first server and not to the second."""
    second = serve(plain(b"ok"))
    first = serve(routes(a=f"{second.url}/b"))
    target = HttpTarget(environment_at(first.url.replace("//", "//me:hidden@")))

    assert target.send(Request("GET", "/a", follow_redirects=True)).body == b"ok"
    assert b"authorization" in first.requests[0].lower()
    assert b"authorization" not in second.requests[0].lower()


def test_the_environments_key_stays_there(serve: Serve) -> None:
    """A header of any name."""
    second = serve(plain(b"ok"))
    first = serve(routes(a=f"{second.url}/b"))
    auth = Auth("header", token=Secret("hidden"), header="X-Key")
    target = HttpTarget(environment_at(first.url, auth=auth))

    target.send(Request("GET", "/a", follow_redirects=True))
    assert b"x-key: hidden" in first.requests[0].lower()
    assert b"x-key" not in second.requests[0].lower()


@pytest.mark.parametrize(
    "location",
    ["ftp://a.example/b", "javascript:alert(1)", "http://[::1", "http://a:b/"],
)
def test_an_address_that_is_none(location: str) -> None:
    """It is quoted."""
    message = f"POST http://a.example/a: redirected to {location!r}, which is no HTTP address"

    with pytest.raises(TargetError, match=f"^{re.escape(message)}$"):
        trail().follow(302, location)


def test_a_message_shows_no_secret_and_no_novel() -> None:
    """Whatever the server puts into its address."""
    with pytest.raises(TargetError, match="redirected to") as caught:
        trail().follow(302, "ftp://hidden/" + "x" * 100_000)
    assert "hidden" not in str(caught.value)
    assert len(str(caught.value)) < 500

    far = trail()
    far.follow(302, "http://me:secret@b.example/hidden/" + "x" * 10_000)
    assert "hidden" not in str(far)
    assert "secret" not in str(far)
    assert len(str(far)) < 700


@given(st.text(max_size=30).map(lambda text: text.encode(errors="replace").decode("latin-1")))
def test_any_address_leads_somewhere_or_is_refused(location: str) -> None:
    """No foreign exception, whatever stands there."""
    step = trail()
    try:
        followed = step.follow(302, location)
    except TargetError:
        followed = False

    assert followed == (step.request.method == "GET")
