"""A steady stream: sent when it is due, whatever became of what was sent before."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_release.config.cases import HttpCase, Request
from pytest_release.config.environment import Environment
from pytest_release.gates import _steady, basic
from pytest_release.gates._reload_api import Node
from pytest_release.gates._steady import Shot, Steady
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
OK = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 17\r\n"
    b'connection: close\r\n\r\n{"success": true}'
)
RATE = 50.0
PATIENCE = 10.0  # seconds for what must happen


@contextmanager
def serving(answer: Callable[[socket.socket, int], None]) -> Iterator[tuple[str, list[float]]]:
    """A server that hands each connection with its number to `answer`, and when they came."""
    came: list[float] = []
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:

        def serve(connection: socket.socket, number: int) -> None:
            with connection:
                connection.recv(4096)
                answer(connection, number)

        def accept() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    came.append(time.monotonic())
                    threading.Thread(target=serve, args=(connection, len(came))).start()
            except OSError:
                return

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def ask(name: str = "status", timeout_s: float = 5.0) -> HttpCase:
    """A request whose answer must say success."""
    request = Request("GET", f"/{name}", timeout_s=timeout_s)
    expect = {"success": True}
    return HttpCase("h/a", "hot_reload", name, HERE, 1, expect=expect, request=request)


def node(address: str, name: str = "one") -> Node:
    """With a target of its own."""
    return Node(name, HttpTarget(Environment("here", "staging", "x", address, HERE, "", {})))


def wait_for(came: list[float], number: int) -> None:
    """Until so many came."""
    ends = time.monotonic() + PATIENCE
    while len(came) < number:
        assert time.monotonic() < ends, f"only {len(came)} of {number} came"
        time.sleep(0.005)


def test_requests_take_turns_and_are_answered() -> None:
    """Each kind in its turn, over both nodes, each timed."""
    with serving(lambda connection, _: connection.sendall(OK)) as (address, came):
        steady = Steady([node(address), node(address, "two")], [ask(), ask("other")], RATE)
        steady.start()
        wait_for(came, 5)
        shots = steady.stop()

    assert [shot.kind for shot in shots[:5]] == [
        "status of one",
        "status of two",
        "other of one",
        "other of two",
        "status of one",
    ]
    assert [shot.wrong for shot in shots if shot.wrong] == []
    assert all(shot.latency is not None and 0 < shot.latency.value == shot.ms for shot in shots)


def test_slow_answers_do_not_slow_down_the_sending() -> None:
    """While the first request waits for its answer, as many come as if it had none."""
    released = threading.Event()

    def answer(connection: socket.socket, _number: int) -> None:
        released.wait(PATIENCE)
        connection.sendall(OK)

    with serving(answer) as (address, came):
        steady = Steady([node(address)], [ask()], RATE)
        steady.start()
        wait_for(came, 12)
        released.set()
        shots = steady.stop()

    due = [shot.due_s for shot in shots]
    assert due == pytest.approx([due[0] + number / RATE for number in range(len(due))])
    assert shots[0].ms > 10 / RATE * 1000  # a connection may be there before its time
    assert [shot.wrong for shot in shots if shot.wrong] == []


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (b"HTTP/1.1 503 updating\r\ncontent-length: 0\r\n\r\n", "status 503 instead of 200"),
        (OK.replace(b"true", b"null"), "'success' is null instead of true"),
        (b"", "closed the connection without an answer"),
    ],
)
def test_what_went_wrong_is_kept(said: bytes, wrong: str) -> None:
    """In the words of the basic gate."""
    with serving(lambda connection, _: connection.sendall(said)) as (address, came):
        steady = Steady([node(address)], [ask()], RATE)
        steady.start()
        wait_for(came, 2)
        shots = steady.stop()

    assert all(wrong in shot.wrong for shot in shots)


def test_no_answer_is_waited_for_only_so_long() -> None:
    """The request's own time; stopping waits no longer than that."""
    gone = threading.Event()
    with serving(lambda *_: (gone.wait(PATIENCE), None)[1]) as (address, came):
        steady = Steady([node(address)], [ask(timeout_s=0.2)], RATE)
        steady.start()
        wait_for(came, 1)
        began = time.monotonic()
        shots = steady.stop()
        took = time.monotonic() - began
        gone.set()

    assert took < PATIENCE / 2
    assert "timed out after 0.2 s" in shots[0].wrong
    assert shots[0].latency is None
    assert shots[0].ms >= 200


def test_too_many_without_an_answer_are_recorded_not_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Memory and threads are bounded, and nothing is lost."""
    monkeypatch.setattr(_steady, "MOST_UNDER_WAY", 2)
    released = threading.Event()
    with serving(lambda *_: (released.wait(PATIENCE), None)[1]) as (address, came):
        steady = Steady([node(address)], [ask()], RATE)
        steady.start()
        wait_for(came, 2)
        ends = time.monotonic() + PATIENCE
        while not steady._shots and time.monotonic() < ends:
            time.sleep(0.005)
        released.set()
        shots = steady.stop()

    assert shots[2].wrong == "was not sent: 2 requests before it had no answer yet"


def test_a_bug_of_ours_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that could not be made counts as failed."""

    def broken(*_: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr(basic, "measure", broken)
    steady = Steady([node("http://127.0.0.1:1")], [ask()], RATE)
    steady.start()
    ends = time.monotonic() + PATIENCE
    while not steady._shots and time.monotonic() < ends:
        time.sleep(0.005)
    shots = steady.stop()

    assert {shot.wrong for shot in shots} == {"could not be made: RuntimeError: oops"}


def test_it_can_be_stopped_twice_and_before_it_began() -> None:
    """Whoever cleans up need not know."""
    steady = Steady([node("http://127.0.0.1:1")], [ask()], RATE)

    assert steady.stop() == steady.stop() == ()
    assert Shot("a", 0.0, 0.0, None, 0.5).ms == 500
