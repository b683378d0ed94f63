"""Tests of `pytest_release.targets.engine`: Docker's API as engines answer it, and as others do."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import engine as module
from pytest_release.targets.engine import Container, Engine, Health, whole
from pytest_release.targets.reach import reach

LABELS = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web"}
STATE = {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-02T03:04:05Z", "Error": ""}
WEB: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "/shop-web-1",
    "Image": f"sha256:{'1' * 64}",
    "RestartCount": 2,
    "Config": {"Image": "r.example/web:1", "Labels": LABELS},
    "State": STATE,
}
VERSION = {"ApiVersion": "1.44"}

Answers = dict[str, Any]
Speak = Callable[..., Engine]


class Listener(socketserver.ThreadingUnixStreamServer):
    """A server on a unix socket.

    Attributes:
        answers: JSON or bytes by the beginning of a path; the longest that fits counts.
        asked: Method and path of each request.
    """

    daemon_threads = True

    def __init__(self, path: str, answers: Answers) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []
        super().__init__(path, Handler)


class Handler(BaseHTTPRequestHandler):
    """Answers anything that is asked."""

    server: Listener

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def answer(self) -> None:
        """As the server was told."""
        self.server.asked.append((self.command, self.path))
        known = [path for path in self.server.answers if self.path.startswith(path)]
        value = self.server.answers[max(known, key=len)] if known else None
        content = (
            value if isinstance(value, bytes) else json.dumps(value or {"message": "no"}).encode()
        )
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        """A unix socket's client has none."""
        return ""

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
        """Nothing."""


@pytest.fixture
def speak(tmp_path: Path) -> Iterator[Callable[[Answers], tuple[Engine, Listener]]]:
    """An engine that answers so, and the client that asks it."""
    with ExitStack() as leaving:

        def speak(answers: Answers) -> tuple[Engine, Listener]:
            listener = leaving.enter_context(Listener(str(tmp_path / "engine.sock"), answers))
            thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
            thread.start()
            leaving.callback(thread.join)
            leaving.callback(listener.shutdown)
            options = {"docker_host": f"unix://{tmp_path / 'engine.sock'}"}
            return leaving.enter_context(Engine.connect(options)), listener

        yield speak


def listing(*containers: dict[str, Any]) -> Answers:
    """An engine with these containers."""
    described = {f"/v1.44/containers/{each['Id']}/json": each for each in containers}
    listed = [{"Id": each["Id"]} for each in containers]
    return {"/version": VERSION, "/v1.44/containers/json": listed, **described}


def test_a_container_is_described_as_the_engine_says(speak: Any) -> None:  # noqa: ANN401
    """The project is asked for by its label; nothing but GET is sent."""
    engine, listener = speak(listing(WEB))

    assert engine.containers("shop") == (
        Container(
            "a" * 64, "shop-web-1", "web", "r.example/web:1", f"sha256:{'1' * 64}", "running",
            0, "", "2026-01-02T03:04:05Z", 2, None,
        ),
    )  # fmt: skip
    assert {method for method, _ in listener.asked} == {"GET"}
    wanted = "filters=%7B%22label%22%3A%5B%22com.docker.compose.project%3Dshop%22%5D%7D"
    assert wanted in listener.asked[1][1]
    assert "all=1" in listener.asked[1][1]


def test_others_and_those_that_went_are_left_out(speak: Any) -> None:  # noqa: ANN401
    """An engine that does not filter is not believed; one may go while others are described."""
    other = WEB | {"Id": "b" * 64, "Config": {"Image": "x", "Labels": None}}
    once = WEB | {"Id": "c" * 64, "Config": {"Image": "x", "Labels": {
        **LABELS, "com.docker.compose.oneoff": "True"}}}  # fmt: skip
    answers = listing(WEB, other, once)
    answers["/v1.44/containers/json"].append({"Id": "d" * 64})
    engine, _ = speak(answers)

    assert [each.id for each in engine.containers("shop")] == ["a" * 64]


@pytest.mark.parametrize(
    ("told", "configured", "health"),
    [
        (None, None, None),
        ({"Status": "none"}, {"Test": ["NONE"]}, None),
        ({"Status": "healthy", "FailingStreak": 0, "Log": None}, {"Test": ["CMD", "x"]},
         Health("healthy")),
        ({"Status": "unhealthy", "FailingStreak": 3, "Log": [{"Output": "a\x1b[31m\n"}]},
         {"Test": ["CMD", "x"]}, Health("unhealthy", 3, "a\\x1b[31m")),
        (None, {"Test": ["CMD", "x"]}, Health("")),
        ("fine", {"Test": ["CMD", "x"]}, Health("")),
    ],
)  # fmt: skip
def test_a_health_check_of_which_nothing_is_said_is_no_good_sign(
    speak: Any,  # noqa: ANN401
    told: Any,  # noqa: ANN401
    configured: Any,  # noqa: ANN401
    health: Health | None,
) -> None:
    """Only one that was not configured is none; what a check printed is made harmless."""
    config = {**WEB["Config"], "Healthcheck": configured}
    engine, _ = speak(listing(WEB | {"Config": config, "State": STATE | {"Health": told}}))

    (container,) = engine.containers("shop")
    assert container.health == health


def test_why_a_container_ended_is_kept(speak: Any) -> None:  # noqa: ANN401
    """Out of memory, or the engine's own words."""
    killed = WEB | {"State": STATE | {"Status": "exited", "ExitCode": 137, "OOMKilled": True}}
    refused = WEB | {"Id": "b" * 64, "Name": "/x", "State": STATE | {"Error": "no such file"}}
    engine, _ = speak(listing(killed, refused))

    troubles = [each.trouble for each in engine.containers("shop")]
    assert troubles == ["it ran out of memory", "no such file"]


def test_digests_are_by_repository(speak: Any) -> None:  # noqa: ANN401
    """Docker Hub's short names are written out; an image without any has none."""
    names = [f"redis@sha256:{'1' * 64}", f"r.example/web@sha256:{'2' * 64}",
             f"r.example/web@sha256:{'3' * 64}", "r.example/web@md5:1", "nonsense"]  # fmt: skip
    image = f"/v1.44/images/sha256:{'1' * 64}/json"
    engine, listener = speak({"/version": VERSION, image: {"RepoDigests": names}})

    assert engine.digests(f"sha256:{'1' * 64}") == {
        "docker.io/library/redis": {"1" * 64},
        "r.example/web": {"2" * 64, "3" * 64},
    }
    listener.answers[image] = {"RepoDigests": None}
    assert engine.digests(f"sha256:{'1' * 64}") == {}
    listener.answers[image] = {"RepoDigests": "all"}
    with pytest.raises(TargetError, match="gives no list of digests of the image sha256:111"):
        engine.digests(f"sha256:{'1' * 64}")


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("redis", "docker.io/library/redis"),
        ("shop/web", "docker.io/shop/web"),
        ("index.docker.io/shop/web", "docker.io/shop/web"),
        ("localhost/web", "localhost/web"),
        ("localhost:5000/web", "localhost:5000/web"),
    ],
)
def test_a_short_name_is_docker_hubs(short: str, long: str) -> None:
    """As docker pull has it."""
    assert whole(short) == long


def without(*path: str) -> dict[str, Any]:
    """The container without one member."""
    value = json.loads(json.dumps(WEB))
    *there, last = path
    inner = value
    for step in there:
        inner = inner[step]
    del inner[last]
    return dict(value)


DEEP = b"[" * 100_000
SHORT = f"the container {'a' * 12}"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/version": b"<html>"}, "does not answer with JSON to /version: it is no Docker engine"),
        ({"/version": DEEP}, "does not answer with JSON to /version: it is no Docker engine"),
        ({"/version": b'"1.44"'}, "does not answer with JSON to /version: it is no Docker engine"),
        ({"/version": {"ApiVersion": "../x"}},
         "names no version of its API: it is no Docker engine"),
        ({}, "answers 404 to /version: no"),
        ({"/version": VERSION, "/v1.44/containers/json": {}},
         "does not answer with a list of containers"),
        ({"/version": VERSION, "/v1.44/containers/json": ["x"]},
         "describes a container without Id"),
        (listing(WEB) | {f"/v1.44/containers/{'a' * 64}/json": without("State")},
         f"{SHORT} without State"),
        (listing(WEB) | {f"/v1.44/containers/{'a' * 64}/json": without("State", "Status")},
         f"describes {SHORT} without Status"),
        (listing(WEB | {"RestartCount": True}), f"describes {SHORT} without RestartCount"),
    ],
)  # fmt: skip
def test_what_is_no_engine_is_said(speak: Any, answers: Answers, words: str) -> None:  # noqa: ANN401
    """With the socket that it listens on."""
    engine, _ = speak(answers)

    with pytest.raises(TargetError, match=f"^the engine at unix:///.*{re.escape(words)}"):
        engine.containers("shop")


def test_an_answer_is_bounded_in_size(speak: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """And a project in its containers."""
    monkeypatch.setattr(module, "LARGEST", 1000)
    monkeypatch.setattr(module, "MOST_CONTAINERS", 1)
    engine, listener = speak({"/version": b"1" * 2000})
    with pytest.raises(TargetError, match="answers more than 1000 bytes to /version"):
        engine.containers("shop")

    listener.answers = {"/version": VERSION, "/v1.44/containers/json": [{}, {}]}
    with pytest.raises(TargetError, match="lists more than 1 containers of shop"):
        engine.containers("shop")


def test_an_answer_is_bounded_in_time(tmp_path: Path) -> None:
    """A socket that nobody reads takes connections, and never answers."""
    path = tmp_path / "engine.sock"
    with (
        socketserver.UnixStreamServer(str(path), Handler),
        Engine.connect({"docker_host": f"unix://{path}"}) as engine,
        pytest.raises(TargetError, match=r"engine\.sock does not answer within 0\.05 s"),
    ):
        engine.containers("shop", 0.05)


def test_an_answer_that_trickles_ends_at_its_time(
    speak: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each piece comes in time, and the whole does not."""
    times = iter([0.0, 99.0])
    monkeypatch.setattr(module, "monotonic", lambda: next(times))
    engine, _ = speak({"/version": VERSION})

    with pytest.raises(TargetError, match="has not answered /version within 10 s"):
        engine.containers("shop")


def test_an_engine_that_does_not_speak_http_is_said(tmp_path: Path) -> None:
    """With what it was."""

    class Mail(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            """SMTP."""
            self.request.sendall(b"220 mail ESMTP\r\n")

    path = tmp_path / "engine.sock"
    with socketserver.UnixStreamServer(str(path), Mail) as listener:
        # the first is only a knock
        def twice() -> None:
            listener.handle_request()
            listener.handle_request()

        thread = threading.Thread(target=twice)
        thread.start()
        with (
            Engine.connect({"docker_host": f"unix://{path}"}) as engine,
            pytest.raises(TargetError, match="does not speak HTTP: "),
        ):
            engine.containers("shop")
        thread.join()


def test_nobody_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    """The system's words first."""
    words = "No such file or directory; see services.engine.docker_host, and that this user may"
    with (
        Engine.connect({"docker_host": f"unix://{tmp_path}/none.sock"}) as engine,
        pytest.raises(TargetError, match=f"cannot be reached: {re.escape(words)}"),
    ):
        engine.containers("shop")


@pytest.mark.parametrize("given", ["", "/var/run/docker.sock", "ssh://root@host", "tcp://host"])
def test_an_address_that_is_none_is_refused(given: str) -> None:
    """With what was expected; ssh is not spoken here."""
    got = f"got {given!r}: " if given else ""
    words = f"is no engine's address: {got}expected unix:///path/to/docker.sock or tcp://host:port"
    with pytest.raises(TargetError, match=re.escape(words)):
        Engine.connect({"docker_host": given})


def test_an_engine_may_be_asked_over_tcp() -> None:
    """Nobody listens there."""
    with (
        Engine.connect({"docker_host": "tcp://127.0.0.1:9"}) as engine,
        pytest.raises(
            TargetError, match=r"^the engine at tcp://127\.0\.0\.1:9 cannot be reached: "
        ),
    ):
        engine.containers("shop")


def test_an_engine_can_be_reached(tmp_path: Path) -> None:
    """As ``env check --connect`` tries it."""
    path = tmp_path / "engine.sock"
    options = {"docker_host": f"unix://{path}"}
    with socketserver.UnixStreamServer(str(path), Handler):
        assert reach("engine", options) == f"{path} accepts connections"
    path.unlink()
    with pytest.raises(
        TargetError, match=r"engine: .*engine\.sock cannot be reached: No such file"
    ):
        reach("engine", options)
    with pytest.raises(TargetError, match=r"engine: 127\.0\.0\.1:9 cannot be reached: "):
        reach("engine", {"docker_host": "tcp://127.0.0.1:9"})
