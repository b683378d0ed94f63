"""Starts servers that nobody here wrote, and measures cases against them."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.targets.http import HttpTarget

HOST = "127.0.0.1"
PATIENCE = 20.0  # seconds for a server to give its first answer
SERVERS = Path(__file__).with_name("servers.py")
FIXTURES = Path(__file__).parents[2] / "fixtures"


@contextmanager
def serving(name: str) -> Iterator[str]:
    """A server of servers.py, from its first answer on; gives its base URL."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        descriptor = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, str(SERVERS), name, str(descriptor)],
            stdin=subprocess.PIPE,
            pass_fds=(descriptor,),
        )
    with process:  # its end closes standard input, and with that the server
        with closing(HTTPConnection(HOST, port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/")  # the socket listens already
            connection.getresponse()  # so this waits, and fails at once if the server has died
        yield f"http://{HOST}:{port}"


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], str]]:
    """Starts a server by its name in servers.py, to the end of the session; gives its base URL."""
    with ExitStack() as running:
        yield lambda name: running.enter_context(serving(name))


def environment_at(base_url: str, **settings: Any) -> Environment:  # noqa: ANN401 - its fields
    """An environment that is nothing but an address, and what else is given."""
    fields = {"role": "development", "system": "none", "digest": "", "gates": {}, **settings}
    return Environment(name="here", base_url=base_url, source=Path("here.yaml"), **fields)


@pytest.fixture(name="environment_at", scope="session")
def _environment_at() -> Callable[..., Environment]:
    """``environment_at(base_url, **settings)``: an environment for that address."""
    return environment_at


@pytest.fixture(scope="session")
def measure() -> Callable[..., Evidence]:
    """``measure(case, base_url, policy, **settings)``: what the case's gate makes of a server."""

    def measured(
        case: HttpCase,
        base_url: str,
        policy: GatePolicy | None = None,
        **settings: Any,  # noqa: ANN401 - fields of Environment
    ) -> Evidence:
        target = HttpTarget(environment_at(base_url, **settings))
        gate = import_module(f"pytest_release.gates.{case.gate}")
        evidence: Evidence
        evidence, _ = gate.measure(case, policy or GatePolicy(), target, {})
        return evidence

    return measured


@pytest.fixture(scope="session")
def hifate() -> Mapping[str, HttpCase]:
    """The shipped cases of hifate by id."""
    return {case.id: case for case in load_casebook(FIXTURES, "hifate", {}).requests}


@pytest.fixture(scope="session")
def patient_hifate(hifate: Mapping[str, HttpCase]) -> Mapping[str, HttpCase]:
    """The same without limits that depend on this machine."""
    return {name: without_limits(case) for name, case in hifate.items()}


def without_limits(case: HttpCase) -> HttpCase:
    """The case without limits of time."""
    return replace(case, expect={k: v for k, v in case.expect.items() if not k.endswith("_ms")})
