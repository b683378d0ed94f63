"""Rollouts of a compose stack: the real docker compose, a real engine, a real registry."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pytest_release.rollout.folders import Shelf
from pytest_release.rollout.state import ROLLED_BACK, STOPPED, SUCCESS
from pytest_release.targets._httpx import httpx
from tests.integration.engine import PROGRAMS, Engine, running
from tests.unit.rollout.conftest import ENVIRONMENT, Yard

pytestmark = pytest.mark.needs(*PROGRAMS)

STACK = """\
services:
  web:
    image: ${{IMAGE}}
    command: [httpd, -f, -p, "127.0.0.1:{port}", -h, /www]
    network_mode: host
    stop_signal: SIGKILL
"""
SERVICES = """
services:
  compose: {{directory: releases/current, project: shop, socket: {socket}}}
"""
LOST = "0" * 64
BACK = {"root": "releases"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """podman and a registry, for the tests of this module."""
    with TemporaryDirectory(prefix="e-", dir="/tmp") as folder, running(Path(folder)) as made:
        yield made


@pytest.fixture(scope="module")
def images(engine: Engine) -> dict[str, str]:
    """By version the reference of its image; 3.0 says that it is another one."""
    told = {"1.0": "1.0", "2.0": "2.0", "3.0": "wrong"}
    return {version: engine.image(f"shop:{version}", {"health": f'{{"version":"{says}"}}'})
            for version, says in told.items()}  # fmt: skip


class Stack:
    """A stack of one web server, and the plan that rolls it out."""

    def __init__(self, yard: Yard, engine: Engine, port: int) -> None:
        self.yard, self.engine, self.port = yard, engine, port

    def write(self, image: str) -> None:
        """Make this image the source's."""
        source = self.yard.folder / "source"
        source.mkdir(exist_ok=True)
        (source / "compose.yaml").write_text(STACK.format(port=self.port))
        (source / ".env").write_text(f"IMAGE={image}\n")

    def plan(self) -> None:
        """Copy, check, back up, pull, switch, up, health; back by folder."""
        back = [
            _step("switch", "deploy", folder={"do": "switch", **BACK}),
            _step("up", "deploy", compose={"do": "up"}),
            _step("health", "gate", http=self._health()),
        ]
        new = "{{copy.path}}"
        steps = [
            _step("copy", "preflight", folder={"do": "copy", "source": "source", **BACK}),
            _step("check", "preflight", compose={"do": "check", "directory": new}),
            _step("backup", "backup",
                  backup={"root": "backups", "directory": new, "database": False}),
            _step("pull", "preflight", compose={"do": "pull", "directory": new}),
            *({**step, "on_failure": "rollback"} for step in back),
            {"name": "good", "type": "record"},
        ]  # fmt: skip
        self.yard.plan(*steps, rollback=back)

    def _health(self) -> dict[str, Any]:
        return {"path": "/health", "expect": {"json": {"version": "{{release}}"}},
                "consecutive": 2, "tries": 20, "every_s": 0.05}  # fmt: skip

    @property
    def answers(self) -> str:
        """What the page says now."""
        with httpx.Client(trust_env=False) as client:
            return client.get(f"http://127.0.0.1:{self.port}/health").text


def _step(name: str, kind: str, **action: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"name": name, "type": kind, "with": action, "timeout_s": 30}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Iterator[Stack]:
    """One that nobody started yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE", "another:latest")  # of the driver: wins over nothing
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    yard = Yard(tmp_path, base_url=f"http://127.0.0.1:{port}")
    for name in ("here", "there"):
        yard.environment(name, ENVIRONMENT + SERVICES.replace("{socket}", str(engine.socket)))
    made = Stack(yard, engine, port)
    made.plan()
    yield made
    engine.clean()
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "releases"], check=False)


def test_a_release_goes_out_and_comes_back(stack: Stack, images: dict[str, str]) -> None:
    """By digest; one that is not well is followed by the old one, which is well again."""
    for version in ("1.0", "2.0"):
        stack.write(images[version])
        result = stack.yard.run(version, pause=_pause)
        assert result.status == SUCCESS, result.why
        assert version in stack.answers

    stack.write(images["3.0"])
    result = stack.yard.run("3.0", pause=_pause)

    assert result.status == ROLLED_BACK, result.why
    assert "2.0" in stack.answers
    current = Shelf(stack.yard.folder / "releases").current()
    assert current is not None
    assert current.release == "2.0"
    assert stack.yard.told[-1] == ("here", "rollback", "2.0", "success")


def test_a_pull_that_fails_changes_nothing(stack: Stack, images: dict[str, str]) -> None:
    """A digest that is missing, a registry that is down: the old release runs and is in use."""
    stack.write(images["1.0"])
    assert stack.yard.run("1.0", pause=_pause).status == SUCCESS
    repository = images["1.0"].partition("@")[0]

    stack.write(f"{repository}@sha256:{LOST}")
    missing = stack.yard.run("2.0", pause=_pause)
    stack.engine.registry.stop()
    stack.write(images["2.0"])
    down = stack.yard.run("2.1", pause=_pause)
    stack.engine.registry.start()

    assert missing.status == down.status == STOPPED
    assert missing.why.startswith("pull: compose pull: exit status 1: ")
    assert "manifest unknown" in missing.why
    assert "connection refused" in down.why
    assert "1.0" in stack.answers
    current = Shelf(stack.yard.folder / "releases").current()
    assert current is not None
    assert current.release == "1.0"


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("shop:latest", "service web runs shop:latest: expected repository@sha256:..., since"),
        ("shop@sha256:12", "service web runs shop@sha256:12: expected repository@sha256:"),
    ],
)
def test_a_tag_is_refused(stack: Stack, image: str, said: str) -> None:
    """Before anything is pulled."""
    stack.write(image)

    result = stack.yard.run("1.0")

    assert result.status == STOPPED
    assert said in result.why


def test_what_runs_is_compared(stack: Stack, images: dict[str, str]) -> None:
    """A container of another image, one that ended, and none at all: each is said."""
    stack.write(images["1.0"])
    assert stack.yard.run("1.0", pause=_pause).status == SUCCESS
    link = stack.yard.folder / "releases" / "current"
    stack.write(images["2.0"])
    look = {"compose": {"do": "running", "directory": "source"}}
    stack.yard.plan({"name": "look", "type": "preflight", "with": look}, name="look")

    other = stack.yard.run("2.0", "look")
    stack.engine.podman("kill", "--all")
    dead = stack.yard.run("2.0", "look")
    stack.yard.plan({"name": "down", "type": "deploy", "with": {"compose": {"do": "down"}}},
                    {"name": "gate", "type": "gate", "with": {"command": {"argv": ["true"]}}},
                    name="down")  # fmt: skip
    down = stack.yard.run("2.0", "down", pause=_pause)
    none = stack.yard.run("2.0", "look")

    assert link.is_symlink()
    wanted, runs = images["2.0"].partition("@")[2][:19], images["1.0"].partition("@")[2][:19]
    assert f"runs {runs} of " in other.why
    assert f"asked was {wanted}" in other.why
    assert "is exited, exit code" in dead.why
    assert down.status == SUCCESS, down.why
    assert none.why == "look: service web has no container"


def _pause(_: float) -> None:
    """A short one, for real."""
    from time import sleep

    sleep(0.05)
