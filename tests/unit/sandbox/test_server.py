"""Tests of `pytest_release.sandbox.server`: what keeps the sandbox from starting."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox import child, server
from pytest_release.sandbox.room import Part, Running
from pytest_release.sandbox.server import Sandbox
from pytest_release.sandbox.stores import Stores


def test_arguments_are_checked_before_anything_starts() -> None:
    """An unknown fault and a sandbox without workers are refused at once."""
    with pytest.raises(SandboxError, match=r"there is no fault 'basic\.typo'"):
        Sandbox(faults=["basic.typo"])
    with pytest.raises(SandboxError, match="needs at least 1 worker, got 0"):
        Sandbox(workers=0)


def test_without_uvicorn_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optional dependency is named with the extra that brings it."""
    monkeypatch.setattr(server, "find_spec", lambda _name: None)
    with pytest.raises(SandboxError, match=r"pip install 'pytest-release\[sandbox\]'"):
        Sandbox().start()


def test_an_address_needs_a_running_sandbox() -> None:
    """Before start() there is neither address nor process."""
    sandbox = Sandbox()

    assert sandbox.pids == ()
    with pytest.raises(SandboxError, match="not running: start"):
        _ = sandbox.base_url


def test_a_taken_port_is_refused() -> None:
    """A second sandbox does not silently share the port of the first."""
    with socket.create_server((server.HOST, 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=rf"cannot listen on 127.0.0.1:{port}: .*in use"):
            Sandbox(port=port).start()


def test_a_worker_that_dies_is_named_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit status and the end of standard error are in the message; nothing keeps running."""
    monkeypatch.setattr(server, "WORKER", "no_such_module")
    sandbox = Sandbox(workers=1)
    with pytest.raises(SandboxError, match=r"(?s)ended with status 1;.*named no_such_module"):
        sandbox.start()

    assert sandbox.pids == ()


def test_a_worker_that_keeps_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the silent workers, the time they had and the address."""
    monkeypatch.setattr(server, "START_LIMIT", 0.0)
    with pytest.raises(SandboxError, match=r"no answer within 0 s from worker \d+ at http://127"):
        Sandbox(workers=1).start()


def test_a_worker_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """stop() returns with no worker left even if one ignores the end of its pipe."""
    sandbox = Sandbox(workers=1).start()
    monkeypatch.setattr(child, "STOP_LIMIT", 0.0)
    sandbox.stop()

    assert sandbox.pids == ()


class Clock:
    """A part that notes when it stops."""

    services: ClassVar = {"clock": {"url": "http://127.0.0.1:9"}}
    secrets = frozenset({"tick-tock"})
    told: ClassVar = {"zone": "UTC"}

    def __init__(self, noted: list[str]) -> None:
        self.noted = noted

    def stop(self) -> None:
        """Note it."""
        self.noted.append("stopped")


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to two parts: a clock for the gate ``time``, and bells that do not start."""
    noted: list[str] = []

    def clock(faults: frozenset[str], stores: Stores | None) -> Running:
        noted.append(f"started with {sorted(faults)} and {stores}")
        return Clock(noted)

    def bells(_faults: frozenset[str], _stores: Stores | None) -> Running:
        raise SandboxError("the bells do not ring")

    parts = (Part("clock", frozenset({"time"}), clock), Part("bells", frozenset({"bells"}), bells))
    monkeypatch.setattr(server, "parts", lambda: parts)
    return noted


def test_a_part_is_started_for_its_gates_only(noted: list[str]) -> None:
    """It learns the faults, its services join the sandbox's, and it stops with it."""
    with Sandbox(1, ["basic.slow"], gates={"time", "basic"}) as sandbox:
        assert (dict(sandbox.services), sandbox.secrets) == (Clock.services, Clock.secrets)
    with Sandbox(1, gates={"basic"}) as sandbox:
        assert (dict(sandbox.services), sandbox.secrets) == ({}, frozenset())

    assert noted == ["started with ['basic.slow'] and None", "stopped"]


def test_a_part_that_does_not_start_takes_the_others_along(noted: list[str]) -> None:
    """What had started is stopped; the reason is the part's own."""
    with pytest.raises(SandboxError, match=r"^the bells do not ring$"):
        Sandbox(1, gates=None).start()

    assert noted == ["started with [] and None", "stopped"]


def test_parts_may_name_one_service_together() -> None:
    """Each its own keys: the engine that a stack runs on is not the one that has its folder."""
    first, second = _Named(), _Named()
    first.services = {"compose": {"directory": "/srv"}, "source": {"stack": "shop"}}
    second.services = {"compose": {"project": "shop"}}
    sandbox = Sandbox()
    sandbox._running = {"first": first, "second": second}

    assert sandbox.services == {
        "compose": {"directory": "/srv", "project": "shop"},
        "source": {"stack": "shop"},
    }


class _Named:
    services: Mapping[str, Mapping[str, Any]]
    secrets: frozenset[str] = frozenset()
    told: Mapping[str, Any] = MappingProxyType({})

    def stop(self) -> None:
        """Nothing runs."""
