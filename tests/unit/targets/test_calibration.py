"""Tests of `pytest_release.targets.calibration` and `clock`: a kernel that gives no stamps."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import calibration, clock, stamps
from pytest_release.targets.calibration import lateness_ms, process_clock
from pytest_release.targets.clock import KERNEL, Clock
from tests.unit.targets.conftest import Send, Serve
from tests.unit.targets.scripted import CHUNKED, chunks

NO_SUCH_OPTION = 9999


@pytest.fixture
def unknown() -> Iterator[None]:
    """The clock of this process is to be found out again, and so once more afterwards."""
    calibration._found.cache_clear()
    yield
    calibration._found.cache_clear()


@pytest.mark.usefixtures("unknown")
def test_the_kernel_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no time is spent on calibration."""
    found = process_clock()
    monkeypatch.setattr(clock, "refusal", lambda: "not asked again")

    assert found == process_clock() == Clock(kernel=True, uncertainty_ms=clock.MERGED_MS)
    assert found.name == KERNEL


@pytest.mark.usefixtures("unknown")
def test_a_kernel_that_refuses_costs_exactness_and_nothing_else(
    serve: Serve, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option is one that no kernel knows: the refusal is a real one."""
    monkeypatch.setattr(stamps, "SO_TIMESTAMPNS", NO_SUCH_OPTION)

    exchange = send(serve(CHUNKED, *chunks(b"one", b"two")))

    assert exchange.body == b"onetwo"
    assert exchange.ttfb.exact is False
    assert exchange.ttfb.clock.startswith("read() return, up to ")
    assert exchange.ttfb.clock.endswith(
        " ms late: SO_TIMESTAMPNS was refused (Protocol not available)"
    )
    assert exchange.ttfb.low < exchange.ttfb.value <= exchange.ttfb.high


def test_an_option_that_is_accepted_and_does_nothing_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a sandbox that only pretends to be Linux."""
    monkeypatch.setattr(stamps, "SO_TIMESTAMPNS", socket.SO_KEEPALIVE)
    monkeypatch.setattr(clock, "PATIENCE_S", 0.05)

    assert clock.refusal() == "no stamp came although SO_TIMESTAMPNS was accepted"


def test_a_busy_kernel_begins_to_stamp_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker of the kernel switches the stamps on when it comes to it."""
    receive, unstamped = stamps.receive, iter(range(150))

    def late(connection: socket.socket, most: int) -> tuple[bytes, int | None]:
        data, stamp = receive(connection, most)
        return data, stamp if next(unstamped, None) is None else None

    monkeypatch.setattr(stamps, "receive", late)

    assert clock.refusal() is None


def test_other_systems_have_no_such_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried there."""
    monkeypatch.setattr(sys, "platform", "darwin")

    assert clock.refusal() == "darwin has no SO_TIMESTAMPNS"


def test_lateness_is_measured_against_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an error, and so above zero; the process has ended afterwards."""
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def spy(*args: object, **settings: object) -> subprocess.Popen[str]:
        started.append(popen(*args, **settings))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", spy)

    assert lateness_ms() > 0
    assert [process.poll() is not None for process in started] == [True]


@pytest.mark.parametrize(
    ("line", "message"),
    [("", "its endpoint did not start"), ("http://127.0.0.1:1/", ".*Connection refused")],
)
def test_an_endpoint_that_does_not_answer_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, message: str
) -> None:
    """Whatever keeps this machine from talking to itself."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho {line}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))

    with pytest.raises(TargetError, match=f"^the clock cannot be calibrated: {message}"):
        lateness_ms()
