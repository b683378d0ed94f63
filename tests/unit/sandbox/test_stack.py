"""The sandbox's stack: what it says when it cannot be made or spoilt, and what it leaves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox.rooms import _stack
from pytest_release.sandbox.rooms._git import run_git
from pytest_release.sandbox.rooms._stack import Stack


def test_it_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files nor a socket, wherever temporary files are kept, and also when it fails."""
    stack = Stack()
    assert stack.socket.parent == stack.root
    stack.stop()
    assert not stack.root.exists()

    monkeypatch.setattr(_stack, "LONGEST_SOCKET", 5)
    made: list[Stack] = []
    with pytest.raises(SandboxError, match=r"^the sandbox's compose\.yaml does not say 'nothing'$"):
        Stack([made.append, lambda each: each.replace("compose.yaml", "nothing", "")])
    assert made[0].socket.parent != made[0].root
    assert not made[0].root.exists()
    assert not made[0].socket.parent.exists()


def test_its_engine_can_be_stopped() -> None:
    """Nobody answers then, and the rest goes on."""
    stack = Stack([Stack.stop_engine])
    try:
        with socket.socket(socket.AF_UNIX) as client:
            assert client.connect_ex(str(stack.socket)) != 0
    finally:
        stack.stop()


def test_credentials_are_made_anew_and_secret() -> None:
    """Reports must not show them."""
    one, other = Stack(), Stack()
    one.stop()
    other.stop()

    assert one.secrets.isdisjoint(other.secrets)
    assert len(one.secrets) == 4


def test_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no repository; and none where git refuses."""
    with pytest.raises(SandboxError, match=r"^the sandbox's repository cannot be made: .*git"):
        run_git(tmp_path, "no-such-command")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match=r"needs git, which is not installed$"):
        run_git(tmp_path, "status")
