"""Tests of `pytest_release.targets.ownership`: whose socket it is."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_release.targets.ownership import served_by_this_process

LISTEN = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("127.0.0.1", "http://localhost:{}/api"),
        ("0.0.0.0", "http://127.0.0.1:{}"),
        ("::1", "http://[::1]:{}"),
    ],
)
def test_a_listener_of_this_process(address: str, url: str) -> None:
    """By whatever name it is reached; not after it has been closed."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as listener:
        place = url.format(listener.getsockname()[1])
        assert served_by_this_process(place)
    assert not served_by_this_process(place)


def test_a_listener_of_another_process() -> None:
    """Though it is a child of this one."""
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())

        assert not served_by_this_process(f"http://127.0.0.1:{port}")


def test_an_address_elsewhere_is_not_looked_up() -> None:
    """Another machine's port may be one that this process listens to as well."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        assert not served_by_this_process(f"http://192.0.2.1:{port}")
        assert not served_by_this_process(f"http://no.such.name.invalid:{port}")
        assert not served_by_this_process(f"unix://127.0.0.1/{port}")


def test_where_it_cannot_be_told_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, as on other systems."""

    def missing(*_: object) -> str:
        raise FileNotFoundError

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(Path, "read_text", missing)

        assert not served_by_this_process(url)
