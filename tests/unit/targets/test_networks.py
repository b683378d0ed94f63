"""Tests of `pytest_release.targets.networks` against engines that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.sandbox.rooms._stack_servers import Server, network_answers
from pytest_release.targets import networks
from pytest_release.targets.networks import read_networks

Serve = Callable[[bytes], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """An engine that answers some bytes to whatever it is asked."""
    with ExitStack() as ending:

        def serve(answer: bytes) -> Path:
            path = tmp_path / "engine.sock"
            listener = ending.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            listener.listen()
            thread = threading.Thread(target=_answer, args=(listener, answer))
            thread.start()
            ending.callback(thread.join)
            return path

        yield serve


def _answer(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        try:
            connection.sendall(answer)
        except OSError:  # it hung up, having seen enough
            return


def http(body: bytes, status: str = "200 OK") -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_networks_by_their_names(tmp_path: Path) -> None:
    """As the engine lists them."""
    server = Server(network_answers(["bridge", "edge"]), tmp_path / "engine.sock")
    try:
        assert read_networks(tmp_path / "engine.sock") == {"bridge", "edge"}
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http(b"[]", "500 No"), "answers 500 to GET /networks"),
        (http(b"no"), "answers no list of networks"),
        (http(b'[{"Id": "1"}]'), "answers no list of networks"),
        (http(b"3"), "answers no list of networks"),
        (http(b"[" * 100_000), "answers no list of networks"),
        (b"", "cannot be asked for its networks: Remote end closed connection without response"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
            "cannot be asked for its networks: ",
        ),
    ],
)
def test_answers_that_are_none(serve: Serve, answer: bytes, message: str) -> None:
    """With the socket that was asked."""
    path = serve(answer)

    with pytest.raises(TargetError, match=f"^the engine at {path} {message}"):
        read_networks(path)


def test_nobody_at_the_socket(tmp_path: Path) -> None:
    """No file, or nobody behind it; nothing stays open."""
    with pytest.raises(TargetError, match="cannot be asked for its networks: No such file"):
        read_networks(tmp_path / "none.sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    with pytest.raises(TargetError, match="cannot be asked for its networks: Connection refused"):
        read_networks(tmp_path / "left.sock")


def test_an_answer_without_end(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in size nor in time."""
    monkeypatch.setattr(networks, "LARGEST", 1000)
    path = serve(http(b"x" * 5000))

    with pytest.raises(TargetError, match="answers more than 1000 bytes"):
        read_networks(path)


def test_an_answer_that_is_slow(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it has its time."""
    monkeypatch.setattr(networks, "TIMEOUT_S", 5.0)
    monkeypatch.setattr(networks, "monotonic", iter([0.0, 6.0]).__next__)
    path = serve(http(b"[]"))

    with pytest.raises(TargetError, match="has not told its networks within 5 s"):
        read_networks(path)
