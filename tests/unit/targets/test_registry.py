"""Tests of `pytest_release.targets.registry` against registries that misbehave."""

from __future__ import annotations

import gzip
import re
import socket
from contextlib import closing
from hashlib import sha256
from itertools import count

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import registry
from pytest_release.targets.registry import LARGEST, resolve_image
from tests.unit.targets.conftest import Serve
from tests.unit.targets.scripted import (
    CHUNKED,
    Connection,
    Server,
    Talk,
    at_once,
    chunk,
    chunks,
    plain,
)

MANIFEST = b'{"schemaVersion":2}'
DIGEST = sha256(MANIFEST).hexdigest()


def image(server: Server, rest: str = "shop/web:1.4.2") -> str:
    """A reference to what a server has."""
    return f"{server.url.removeprefix('http://')}/{rest}"


def test_the_digest_is_that_of_the_bytes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whatever manifest or index the tag names; no proxy is asked, and nothing told of us."""
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = serve(at_once(plain(MANIFEST)))

    assert resolve_image(image(server)) == DIGEST
    (asked,) = server.requests
    assert asked.startswith(b"GET /v2/shop/web/manifests/1.4.2 HTTP/1.1\r\n")
    assert asked.count(b"+json") == 4
    assert b"image.index.v1+json" in asked
    assert b"authorization" not in asked.lower()


def test_what_the_registry_says_of_it_must_be_so(serve: Serve) -> None:
    """The header names the digest of what it sends, by the same algorithm, or is not there."""
    right = serve(at_once(plain(MANIFEST, f"Docker-Content-Digest: sha256:{DIGEST}")))
    assert resolve_image(image(right)) == DIGEST

    for named in (f"sha256:{'0' * 64}", f"sha512:{'0' * 128}", DIGEST, ""):
        wrong = serve(at_once(plain(MANIFEST, f"Docker-Content-Digest: {named}")))
        expected = f"manifests/1.4.2 says it sends {named!r}, and sends sha256:{DIGEST}"
        with pytest.raises(TargetError, match=f"{re.escape(expected)}$"):
            resolve_image(image(wrong))


def test_a_reference_by_digest_is_not_asked_for(serve: Serve) -> None:
    """With a tag beside it or not: the digest is what counts."""
    server = serve(at_once(plain(b"something else")))

    assert resolve_image(image(server, f"shop@sha256:{DIGEST}")) == DIGEST
    assert resolve_image(image(server, f"shop:1.4.2@sha256:{DIGEST}")) == DIGEST
    assert server.requests == []


def endless(connection: Connection) -> None:
    """A manifest without an end."""
    connection.socket.sendall(CHUNKED)
    connection.flood(chunk(b"x" * 65536))


ZIPPED = gzip.compress(b"\0" * (LARGEST + 1))
UNFIT: dict[str, tuple[Talk, str]] = {
    "a login": (
        at_once(plain(b"", "WWW-Authenticate: Bearer", status=401)),
        "the registry of {image} asks for a login: name the image by its digest",
    ),
    "no such tag": (
        at_once(plain(b"{}", status=404)),
        "{url} answers 404, a manifest was expected",
    ),
    "a redirection": (
        at_once(plain(b"", "Location: http://127.0.0.1:9/", status=307)),
        "{url} answers 307, a manifest was expected",
    ),
    "another success": (
        at_once(plain(MANIFEST, status=203)),
        "{url} answers 203, a manifest was expected",
    ),
    "a failure": (
        at_once(plain(b"", status=500)),
        "{url} answers 500, a manifest was expected",
    ),
    "an endless body": (endless, f"{{url}} answers more than {LARGEST} bytes"),
    "a body that unfolds": (
        at_once(plain(ZIPPED, "Content-Encoding: gzip")),
        f"{{url}} answers more than {LARGEST} bytes",
    ),
    "a body cut short": (
        at_once(plain(MANIFEST)[:-1]),
        "the registry of {image} cannot be asked: peer closed connection without sending complete",
    ),
    "a bad encoding": (
        at_once(plain(MANIFEST, "Content-Encoding: gzip")),
        "the registry of {image} cannot be asked: Error -3 while decompressing data",
    ),
    "another protocol": (
        at_once(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        "the registry of {image} cannot be asked: illegal status line",
    ),
    "nothing": (
        at_once(b""),
        "the registry of {image} cannot be asked: Server disconnected without sending a response",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_is_no_manifest_is_refused(serve: Serve, what: str) -> None:
    """With the reference, or the address that was asked, and what came instead."""
    talk, message = UNFIT[what]
    server = serve(talk)
    asked = f"{server.url}/v2/shop/web/manifests/1.4.2"
    expected = message.format(image=image(server), url=asked)

    with pytest.raises(TargetError, match=f"^{re.escape(expected)}"):
        resolve_image(image(server))


def test_a_silent_registry_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds; here after a fifth of one."""
    monkeypatch.setattr(registry, "TIMEOUT_S", 0.2)
    server = serve(Connection.hang)
    expected = f"the registry of {image(server)} cannot be asked: timed out"

    with pytest.raises(TargetError, match=f"^{re.escape(expected)}$"):
        resolve_image(image(server))


def test_a_trickle_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece in time, and the whole not within ten seconds; here they pass six a look."""
    monkeypatch.setattr(registry, "monotonic", count(0, 6.0).__next__)
    server = serve(at_once(CHUNKED + b"".join(chunks(b"{", b" ", b"}"))))
    expected = "/v2/shop/web/manifests/1.4.2 has not sent the whole manifest within 10 s"

    with pytest.raises(TargetError, match=f"^{re.escape(server.url + expected)}$"):
        resolve_image(image(server))


def test_a_registry_that_is_not_there() -> None:
    """The message names the image and says why."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    expected = rf"^the registry of {host}/shop:1 cannot be asked: \[Errno \d+\] Connection refused$"

    with pytest.raises(TargetError, match=expected):
        resolve_image(f"{host}/shop:1")


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("a..b", "too long"),
        (f"{'a' * 64}.example", "too long"),
        ("xn--", "(?:Malformed A-label|Name or service not known)"),  # httpx, httpx2
        ("999.999.999.999", "Invalid IPv4 address"),
    ],
)
def test_a_host_that_cannot_be(host: str, reason: str) -> None:
    """What the libraries raise of a name is said as of any other registry."""
    expected = rf"^the registry of {host}/x:1 cannot be asked: .*{reason}"

    with pytest.raises(TargetError, match=expected):
        resolve_image(f"{host}/x:1")


@pytest.mark.parametrize(
    "reference",
    [
        "", "shop", "shop:1", "registry.example/shop", "registry.example/shop:",
        "registry.example/Shop:1", "registry.example/shop:-1", "registry.example/shop:1:2",
        f"registry.example/shop:{'1' * 129}", "registry.example/shop@sha256:abc",
        f"registry.example/shop@sha512:{'a' * 128}", f"registry.example/shop@sha256:{'A' * 64}",
        "registry.example/shop:1\n", "registry.example /shop:1", "https://registry.example/shop:1",
        "me@registry.example/shop:1", "registry.example/shop:1?x", "registry.example/shop:\u0661",
        "r\u0435gistry.example/shop:1", "[::1]/shop:1",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(reference: str) -> None:
    """Before anything is asked; letters that only look right are shown for what they are."""
    expected = (
        f"{reference!a} is no image's reference: expected registry/name:tag or "
        "registry/name@sha256:DIGEST"
    )

    with pytest.raises(TargetError, match=f"^{re.escape(expected)}$"):
        resolve_image(reference)


@pytest.mark.parametrize(
    ("host", "scheme"),
    [
        ("localhost", "http"),
        ("localhost:5000", "http"),
        ("127.0.0.1:5000", "http"),
        ("127.1.2.3", "http"),
        ("registry.example", "https"),
        ("registry.example:5000", "https"),
        ("10.0.0.1:5000", "https"),
        ("localhost.example", "https"),
        ("127.0.0.1.example", "https"),
        ("1127.0.0.1", "https"),
    ],
)
def test_only_this_machine_is_asked_in_the_clear(
    monkeypatch: pytest.MonkeyPatch, host: str, scheme: str
) -> None:
    """Everything else must have a certificate."""
    asked: list[str] = []

    def digest(_: str, url: str) -> str:
        asked.append(url)
        return DIGEST

    monkeypatch.setattr(registry, "_digest", digest)

    assert resolve_image(f"{host}/a/b:1") == DIGEST
    assert asked == [f"{scheme}://{host}/v2/a/b/manifests/1"]
