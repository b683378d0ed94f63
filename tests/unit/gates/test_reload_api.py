"""What a policy forbids is refused before a request; what is answered is read."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates import hot_reload
from pytest_release.gates._reload_api import (
    Api,
    ForbiddenError,
    Node,
    nodes_of,
    plain_path,
    refuse_forbidden,
)
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Secret
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
PRODUCTION = Environment("hifate", "production", "hifate", "http://127.0.0.1:1", HERE, "", {})
STEADY = {"requests": [{"path": "/api/v1/payment/providers"}], "rate_per_s": 6}
CHECKS: list[tuple[str, dict[str, Any]]] = [
    ("one_worker", {}),
    ("reload", STEADY),
    ("endpoints", {"calls": [{"path": "/api/v1/Hot-Reload/%63heck/"}]}),
]


@contextmanager
def listening() -> Iterator[tuple[str, list[int]]]:
    """An address that counts who comes, and answers nobody."""
    came: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    came.append(1)
                    connection.close()
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def checked(
    check: str, options: dict[str, Any], environment: Environment, policy: GatePolicy
) -> Evidence:
    """The evidence of one check."""
    case = CheckCase("hot_reload/a", "hot_reload", "a", HERE, 1, check=check, options=options)
    return hot_reload.measure(case, policy, Scene(environment, HttpTarget(environment)))


@pytest.mark.parametrize(("check", "options"), CHECKS)
def test_production_is_refused_before_the_request(check: str, options: dict[str, Any]) -> None:
    """The one finding says so, and nobody came to the address."""
    with listening() as (address, came):
        evidence = checked(check, options, replace(PRODUCTION, base_url=address), GatePolicy())

    assert [finding.code for finding in evidence.failures] == ["hot_reload.forbidden"]
    assert "nothing was sent" in evidence.failures[0].message
    assert came == []


def test_elsewhere_the_same_check_is_sent() -> None:
    """The test above would see a request."""
    with listening() as (address, came):
        staging = replace(PRODUCTION, role="staging", base_url=address)
        evidence = checked("one_worker", {}, staging, GatePolicy())

    assert [finding.code for finding in evidence.failures] == ["hot_reload.no-answer"]
    assert len(came) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/hot-reload/check",
        "/api/v1/hot-reload/check/",
        "/api/v1/hot-reload/check?module_name=source",
        "/api/v1/hot-reload/CHECK",
        "/api/v1//hot-reload///check",
        "/api/v1/hot-reload/x/../check",
        "/api/v1/hot-reload/%2563heck",
        "/api/v1/hot-reload\\check",
        "/api/v1/hot-reload/check;a=1",
        "/api/v1/hot-reload/check%20",
    ],
)
def test_whichever_way_it_is_written(path: str) -> None:
    """A server may take all of these for one path."""
    with pytest.raises(ForbiddenError, match=re.escape(f"{path} is forbidden in the production")):
        refuse_forbidden(PRODUCTION, GatePolicy(), [path])

    assert plain_path(path) == "/api/v1/hot-reload/check"


def test_what_production_needs_leave_for() -> None:
    """A reload, and requests beside it; with leave, both are fine, but no more than that."""
    paths = ["/api/v1/hot-reload/reload-all"]
    leave = GatePolicy(options={"allow_reload": True})
    with pytest.raises(ForbiddenError, match=r"needs gates\.hot_reload\.allow_reload: true"):
        refuse_forbidden(PRODUCTION, GatePolicy(), paths)
    with pytest.raises(ForbiddenError, match=r"hifate allows 0 steady requests a second .*sends 6"):
        refuse_forbidden(PRODUCTION, leave, paths, rate_per_s=6)
    limited = GatePolicy(options={"allow_reload": True, "max_rate_per_s": 6})

    refuse_forbidden(PRODUCTION, limited, paths, rate_per_s=6)
    with pytest.raises(ForbiddenError, match=r"allows 6 steady requests a second .*sends 7"):
        refuse_forbidden(PRODUCTION, limited, paths, rate_per_s=7)


def test_a_policy_may_forbid_more() -> None:
    """In any role."""
    policy = GatePolicy(options={"forbid": ["/unified/create"], "max_rate_per_s": 1})
    staging = replace(PRODUCTION, role="staging")
    with pytest.raises(ForbiddenError, match="create is forbidden in the staging environment hif"):
        refuse_forbidden(staging, policy, ["/api/v1/payment/unified/create"])
    with pytest.raises(ForbiddenError, match="hifate allows 1 steady requests a second"):
        refuse_forbidden(staging, policy, [], rate_per_s=2)

    refuse_forbidden(staging, policy, ["/api/v1/hot-reload/check"], rate_per_s=1)


def test_nodes_are_the_environment_and_those_it_names() -> None:
    """In this order; an address that came from a variable is used and not shown."""
    policy = GatePolicy(options={"nodes": {"node2": {"base_url": Secret("http://b.example/")}}})
    nodes = nodes_of(Scene(PRODUCTION, HttpTarget(PRODUCTION)), policy)

    assert [node.name for node in nodes] == ["hifate", "node2"]
    assert nodes[1].target.describe(Request("GET", "/x"), {}).url == "http://b.example/x"


@pytest.fixture
def serve() -> Iterator[Callable[[int, bytes], str]]:
    """``serve(status, body)``: a server that answers with that; gives its address."""
    servers = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (502, b'{"success": true}', "status", "status 502 instead of 200"),
        (302, b"", "status", "status 302 instead of 200"),
        (200, b"", "empty-answer", "the answer is empty"),
        (200, b" \n", "empty-answer", "the answer is empty"),
        (200, b"<html>", "not-json", "the answer is not JSON"),
        (200, b'{"success": true', "not-json", "the answer is not JSON"),
        (200, b'"\xff"', "not-json", "the answer is not JSON"),
        (200, b"[" * 100_000, "not-json", "the answer is not JSON"),
        (200, b"[true]", "not-json", "the answer is a list of 1, an object was expected"),
        (200, b" " * 1_100_000, "broken", "its body has more than 1048576 bytes"),
    ],
)
def test_that_somebody_answers_is_not_enough(
    serve: Callable[[int, bytes], str], status: int, body: bytes, code: str, said: str
) -> None:
    """Status and body are read; the finding names method, path and node."""
    environment = replace(PRODUCTION, base_url=serve(status, body))
    reply = Api(timeout_s=5.0).ask(Node("node2", HttpTarget(environment)), "GET", "versions")
    (finding,) = reply.findings

    assert reply.value is None
    assert finding.code == f"hot_reload.{code}"
    assert finding.message == f"GET /api/v1/hot-reload/versions of node2: {said}"


def test_a_good_answer_is_given_to_the_check(serve: Callable[[int, bytes], str]) -> None:
    """Under the prefix that was asked for."""
    environment = replace(PRODUCTION, base_url=serve(200, json.dumps({"a": 1}).encode()))
    reply = Api("/hot").ask(Node("node2", HttpTarget(environment)), "GET", "versions")

    assert (reply.value, reply.findings) == ({"a": 1}, ())
