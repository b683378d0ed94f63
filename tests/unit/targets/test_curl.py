"""Tests of `pytest_release.targets.curl`: a shell and curl do what the case did."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import Multipart, Request
from pytest_release.config.environment import Environment
from pytest_release.targets.outgoing import build, describe
from tests.unit.targets.conftest import Serve, environment_at
from tests.unit.targets.scripted import at_once, plain

NASTY = 'it\'s "$HOME" `id` \\ 水 ;&|\n@<x'


def command(environment: Environment | None = None, **request: Any) -> list[str]:  # noqa: ANN401
    """The words of the command for a GET of ``/v1``, unless said otherwise."""
    environment = environment or environment_at("http://a.example")
    asked = Request(**{"method": "GET", "path": "/v1", **request})
    return shlex.split(describe(asked, build(asked, environment, {}), environment, {}).curl)


PLAIN = ["curl", "-sS", "-N", "-i", "--max-time", "10"]
IDENTITY = ["-H", "accept-encoding: identity"]
URL = "http://a.example/v1"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, [*PLAIN, *IDENTITY, URL]),
        ({"timeout_s": 0.5}, [*PLAIN[:-1], "0.5", *IDENTITY, URL]),
        ({"method": "HEAD"}, [*PLAIN, "--head", *IDENTITY, URL]),
        ({"method": "DELETE"}, [*PLAIN, "-X", "DELETE", *IDENTITY, URL]),
        ({"method": "POST"}, [*PLAIN, "-X", "POST", *IDENTITY, URL]),
        (
            {"method": "POST", "json": {"a": NASTY}},
            [
                *PLAIN,
                *(*IDENTITY, "-H", "content-type: application/json"),
                *("--data-raw", json.dumps({"a": NASTY}, ensure_ascii=False), URL),
            ],
        ),
        (
            {"json": 1},
            [
                *(*PLAIN, "-X", "GET", *IDENTITY, "-H", "content-type: application/json"),
                *("--data-raw", "1", URL),
            ],
        ),
        (
            {"headers": {"Accept": "text/event-stream"}, "follow_redirects": True},
            [
                *(*PLAIN, "-L", "--max-redirs", "5", "-H", "accept: text/event-stream"),
                *(*IDENTITY, URL),
            ],
        ),
        (
            {"accept_encoding": "gzip", "params": {"a": "b c"}},
            [*PLAIN, "--compressed", "-H", "accept-encoding: gzip", f"{URL}?a=b+c"],
        ),
    ],
)
def test_a_command(request_: dict[str, Any], words: list[str]) -> None:
    """What the case asks for, and nothing that curl does by itself."""
    made = command(**request_)

    assert made == words


@pytest.mark.parametrize(
    ("verify", "http2", "words"),
    [
        (True, False, ["--http1.1"]),
        (True, True, ["--http2"]),
        (False, False, ["--http1.1", "-k"]),
        ("/etc/ca.pem", False, ["--http1.1", "--cacert", "/etc/ca.pem"]),
    ],
)
def test_a_command_over_tls(verify: bool | str, http2: bool, words: list[str]) -> None:
    """The version that is offered, the certificates that are believed."""
    environment = environment_at("https://a.example", verify_tls=verify)

    made = command(environment, http2=http2)

    assert made[len(PLAIN) : len(PLAIN) + len(words)] == words


def test_bytes_that_no_command_can_hold_are_piped_into_it() -> None:
    """As base64, and the content type of their parts is named."""
    parts = "multipart/form-data; boundary=b"
    made = command(method="POST", raw=b"--b\x00", headers={"Content-Type": parts})

    assert made[:6] == ["echo", "LS1iAA==", "|", "base64", "-d", "|"]
    assert made[-3:-1] == ["--data-binary", "@-"]
    assert f"content-type: {parts}" in made


def test_a_body_that_is_too_long_comes_from_a_file() -> None:
    """A command that cuts it would not send the same."""
    made = command(method="POST", json="x" * 10_000)

    assert made[-3:-1] == ["--data-binary", "@a-file-with-the-body-of-10002-characters"]


@pytest.mark.needs("curl")
@pytest.mark.parametrize("body", ["json", "form", "multipart", "none", "text", "bytes"])
def test_curl_sends_the_same(serve: Serve, tmp_path: Path, body: str) -> None:
    """Run by a shell, against a server that keeps what it got."""
    (tmp_path / "a file.png").write_bytes(b"\x89PNG")
    bodies: dict[str, dict[str, Any]] = {
        "json": {"json": {"a": NASTY}},
        "form": {"form": {"a": NASTY}},
        "multipart": {"multipart": Multipart({"a": NASTY}, {"i": tmp_path / "a file.png"})},
        "none": {},
        "text": {"raw": NASTY.encode()},
        "bytes": {"raw": bytes(range(256))},
    }
    server = serve(at_once(plain(b"the answer")))
    environment = environment_at(server.url)
    request = Request("POST", "/v1", headers={"X-A": "$HOME 'x'"}, **bodies[body])
    made = build(request, environment, {})

    run = describe(request, made, environment, {}).curl
    done = subprocess.run(["/bin/sh", "-c", run], capture_output=True, check=True)

    assert done.stdout.endswith(b"the answer")
    head, _, content = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1 HTTP/1.1\r\n")
    assert b"x-a: $HOME 'x'" in head
    if body == "json":
        assert json.loads(content) == {"a": NASTY}
    elif body == "multipart":
        assert {*_texts(content)} >= {NASTY.encode(), b"\x89PNG"}
    else:
        assert content == made.read()


def _texts(content: bytes) -> list[bytes]:
    boundary = content.partition(b"\r\n")[0]
    parts = content.split(boundary)[1:-1]
    return [part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for part in parts]
