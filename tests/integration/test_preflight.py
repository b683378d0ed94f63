"""The preflight gate's questions, to a real registry and a real container engine."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.sandbox.rooms._stack import TAG, Stack
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.networks import read_networks
from pytest_release.targets.registry import Image, read_manifest
from tests.integration.test_registry import Registry, digest
from tests.integration.test_registry import registry as registry  # noqa: PLC0414 - a fixture

PATIENCE_S = 20.0


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack to be changed."""
    made = Stack()
    yield made
    made.stop()


def made(stack: Stack, name: str, socket_: Path | None = None) -> Evidence:
    """One check of a stack in production."""
    services = {key: dict(value) for key, value in stack.services.items()}
    services["compose"]["socket"] = str(socket_ or stack.socket)
    here = Environment(
        "here",
        "production",
        "seisei",
        "http://127.0.0.1:9",
        Path("here"),
        "",
        {},
        services=services,
    )
    case = CheckCase(f"preflight/{name}", "preflight", name, Path("here"), 1, check=name)
    return check(case, GatePolicy(), Scene(here, HttpTarget(here)))


def pushed(stack: Stack, registry: Registry) -> None:
    """The stack's images, in a real registry, and the stack that names them there."""
    stack.set("REGISTRY", registry.host)
    for name in ("odoo", "ocr", "postgres"):
        manifest = registry.image(f"seisei/{name}", TAG, name.encode())
        stack.set(f"{name.upper()}_DIGEST", digest(manifest))


@pytest.mark.needs("docker-registry", "setpriv")
def test_a_real_registry_has_what_is_pinned(registry: Registry, stack: Stack) -> None:
    """By digest and by tag; when it is pushed again, the tag has moved; an unknown one is lost."""
    pushed(stack, registry)
    assert made(stack, "digests").findings == ()

    registry.image("seisei/odoo", TAG, b"built again")
    (moved,) = made(stack, "digests").failures
    assert moved.code == "preflight.tag-moved"
    assert "it was pushed again" in moved.message

    stack.set("OCR_DIGEST", "0" * 64)
    codes = [finding.code for finding in made(stack, "digests").failures]
    assert codes == ["preflight.unresolvable", "preflight.tag-moved"]


@pytest.mark.needs("docker-registry", "setpriv")
def test_a_real_registry_says_what_it_lacks(registry: Registry) -> None:
    """A digest that nobody pushed."""
    with pytest.raises(
        TargetError, match=f"sha256:{'0' * 64} answers 404, a manifest was expected$"
    ):
        read_manifest(Image(registry.host, "seisei/odoo"), f"sha256:{'0' * 64}")


@pytest.fixture
def engine() -> Iterator[tuple[Path, list[str]]]:
    """podman's API at a socket of its own, and the words to command that podman."""
    with TemporaryDirectory(prefix="p-", dir="/tmp") as folder:  # podman refuses long paths
        yield from served(Path(folder))


def served(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """The same in a folder, where everything of it is kept."""
    path = folder / "engine.sock"
    folders = {"root": "root", "runroot": "run", "network-config-dir": "networks", "tmpdir": "tmp"}
    where = [f"--{option}={folder / name}" for option, name in folders.items()]
    podman = ["podman", *where, "--storage-driver=vfs", "--cgroup-manager=cgroupfs"]
    serve = ["setpriv", "--pdeathsig", "TERM", *podman, "system", "service", "-t", "0"]
    with subprocess.Popen([*serve, f"unix://{path}"], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + PATIENCE_S
        while not answers(path):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "podman does not answer"
            time.sleep(0.02)
        yield path, podman
        process.terminate()
        process.communicate()


def answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(str(path)) == 0


@pytest.mark.needs("podman", "setpriv")
def test_a_real_engine_s_networks(engine: tuple[Path, list[str]], stack: Stack) -> None:
    """The edge network is missing, and then it is made."""
    path, podman = engine
    (missing,) = made(stack, "networks", path).failures
    assert missing.code == "preflight.no-network"
    assert missing.message.startswith("there is no network edge, which compose.yaml expects")

    subprocess.run([*podman, "network", "create", "edge"], check=True, capture_output=True)

    assert "edge" in read_networks(path)
    assert made(stack, "networks", path).findings == ()
