"""Tests of `pytest_release.targets.registry`: references as docker reads them, and logins."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.redaction import Secret
from pytest_release.targets.registry import HUB, Image, Login, read_image, read_manifest

BODY = b'{"schemaVersion":2,"layers":[]}'
DIGEST = sha256(BODY).hexdigest()
HEX = "a" * 64
REFERENCES = {
    "postgres": Image(HUB, "library/postgres"),
    "postgres:16": Image(HUB, "library/postgres", "16"),
    "bitnami/redis:7": Image(HUB, "bitnami/redis", "7"),
    "docker.io/odoo:18": Image(HUB, "library/odoo", "18"),
    f"docker.io/bitnami/redis@sha256:{HEX}": Image(HUB, "bitnami/redis", "", HEX),
    f"registry.example/a/b:1@sha256:{HEX}": Image("registry.example", "a/b", "1", HEX),
    "localhost/a": Image("localhost", "a"),
    "localhost:5000/a:1": Image("localhost:5000", "a", "1"),
    "registry.example/a:latest": Image("registry.example", "a", "latest"),
}


@pytest.mark.parametrize(("reference", "image"), REFERENCES.items())
def test_a_reference_is_read_as_docker_reads_it(reference: str, image: Image) -> None:
    """A first part with a dot or a colon is a registry; one word is in docker's own library."""
    assert read_image(reference) == image


@pytest.mark.parametrize(
    "reference", ["", ":1", "A", "a b", "registry.example/", "a@sha256:1", "a:", "a\n"]
)
def test_what_is_no_reference(reference: str) -> None:
    """Is none, whatever compose thinks of it."""
    assert read_image(reference) is None


def test_which_images_say_nothing() -> None:
    """No tag is latest; a digest says all."""
    moves = {"a": True, "a:latest": True, "a:1": False, f"a:latest@sha256:{HEX}": False}

    for reference, expected in moves.items():
        image = read_image(reference)
        assert image is not None
        assert image.moves is expected


class Handler(BaseHTTPRequestHandler):
    """A registry with a login; what it wants stands in the server's `wants`."""

    server: Registry

    def do_GET(self) -> None:
        """A manifest for whoever may have it, and tokens for whoever asks."""
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        if self.path.startswith("/token"):
            self._send(self.server.token_status, self.server.token)
        elif self.headers.get("Authorization") == self.server.wants:
            self._send(200, BODY)
        else:
            self._send(401, b"{}", self.server.challenge)

    def _send(self, status: int, body: bytes, challenge: str = "") -> None:
        self.send_response(status)
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
        """Nothing."""


class Registry(ThreadingHTTPServer):
    """With what it wants, and what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.asked: list[tuple[str, str]] = []
        self.wants = "Bearer t0ken"
        self.token, self.token_status = json.dumps({"token": "t0ken"}).encode(), 200
        scope = "repository:a/b:pull"
        realm = f"http://{self.host}/token"
        self.challenge = f'Bearer realm="{realm}",service="registry.example",scope="{scope}"'


@pytest.fixture
def registry() -> Iterator[Registry]:
    """One that serves."""
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def pair(user: str, password: str) -> str:
    """As basic authorisation sends them."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def test_a_public_registry_wants_a_token_of_nobody(registry: Registry) -> None:
    """Asked for once, with the scope that the registry named."""
    digest, body = read_manifest(Image(registry.host, "a/b"), "1")

    assert (digest, body) == (DIGEST, BODY)
    paths = [path for path, _ in registry.asked]
    query = "service=registry.example&scope=repository%3Aa%2Fb%3Apull"
    assert paths == ["/v2/a/b/manifests/1", f"/token?{query}", "/v2/a/b/manifests/1"]
    assert registry.asked[1][1] == ""


def test_a_private_registry_is_told_who_asks(registry: Registry) -> None:
    """By the token's server, or by the registry itself."""
    login = Login(registry.host, "ci", Secret("hunter2"))
    read_manifest(Image(registry.host, "a/b"), "1", login)
    assert registry.asked[1][1] == pair("ci", "hunter2")

    registry.challenge, registry.wants = 'Basic realm="r"', pair("ci", "hunter2")
    assert read_manifest(Image(registry.host, "a/b"), f"sha256:{DIGEST}", login)[0] == DIGEST


def test_nobody_else_is_told_the_password(registry: Registry) -> None:
    """A login for another registry is none here."""
    login = Login("registry.example", "ci", Secret("hunter2"))
    read_manifest(Image(registry.host, "a/b"), "1", login)

    assert {sent for _, sent in registry.asked} == {"", "Bearer t0ken"}
    assert "hunter2" not in repr(login)


def test_a_login_that_is_refused(registry: Registry) -> None:
    """Is asked for once, and not in a circle."""
    registry.wants = "nothing"
    image = Image(registry.host, "a/b")
    refused = f"^the registry of {registry.host}/a/b asks for a login: "

    with pytest.raises(TargetError, match=f"{refused}name the image by its digest$"):
        read_manifest(image, "1")
    with pytest.raises(TargetError, match=f"{refused}its login is refused$"):
        read_manifest(image, "1", Login(registry.host, "ci", Secret("hunter2")))
    assert len(registry.asked) == 6


@pytest.mark.parametrize(
    "challenge",
    ["", "Bearer", "Basic realm=x", 'Negotiate realm="x"', 'Bearer realm="file:///etc/passwd"'],
)
def test_a_challenge_that_cannot_be_answered(registry: Registry, challenge: str) -> None:
    """Is a login that we do not have."""
    registry.challenge = challenge

    with pytest.raises(TargetError, match=r"asks for a login: name the image by its digest$"):
        read_manifest(Image(registry.host, "a/b"), "1")
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    "token", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b"[" * 99999]
)
def test_a_token_that_is_none(registry: Registry, token: bytes) -> None:
    """Is said, and not sent."""
    registry.token = token

    with pytest.raises(TargetError, match=r"gives a token that is none$"):
        read_manifest(Image(registry.host, "a/b"), "1")


def test_no_token(registry: Registry) -> None:
    """With what the server answers instead."""
    registry.token_status = 403

    with pytest.raises(TargetError, match=r"gives no token: 403$"):
        read_manifest(Image(registry.host, "a/b"), "1")


def test_other_bytes_than_the_digest_says(registry: Registry) -> None:
    """Are not what was asked for."""
    url = f"http://{registry.host}/v2/a/b/manifests/sha256:{HEX}"

    with pytest.raises(TargetError, match=f"^{re.escape(url)} sends sha256:{DIGEST}$"):
        read_manifest(Image(registry.host, "a/b"), f"sha256:{HEX}")


def test_nobody_answers() -> None:
    """With the image that was to be found."""
    with pytest.raises(TargetError, match=r"^the registry of 127\.0\.0\.1:9/a cannot be asked: "):
        read_manifest(Image("127.0.0.1:9", "a"), "1")
