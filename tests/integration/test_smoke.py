"""The smoke gate against a real engine: podman behind Docker's API, and a real registry.

The cases are those of seisei; the containers run busybox, which nothing but this machine provides.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy, ReleaseSource
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.targets.engine import Engine
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.registry import resolve_image

pytestmark = pytest.mark.needs("podman", "runc", "busybox", "docker-registry", "setpriv")

CONFIGURATION = """\
[containers]
default_ulimits=["nofile=1024:1024","nproc=1024:1024"]
[engine]
runtime="runc"
cgroup_manager="cgroupfs"
"""
REGISTRY = """\
version: 0.1
log: {{accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:0"}}
"""
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
IMAGE = """\
FROM scratch
COPY busybox /bin/busybox
COPY index.html /www/index.html
LABEL build="{build}"
"""
PAGE = "<html><title>Seisei</title><h1>Seisei, Odoo 18</h1></html>"
STACK = """\
services:
  odoo:
    image: {host}/seisei/odoo:18
    network_mode: host
    pull_policy: never
    command: [/bin/busybox, httpd, -f, -p, "127.0.0.1:{port}", -h, /www]
  db:
    image: {host}/seisei/odoo:18
    network_mode: host
    pull_policy: never
    restart: always
    command: [/bin/busybox, sh, -c, "{db}"]
    healthcheck: {{test: [CMD, /bin/busybox, "true"], interval: 1h}}
  ocr:
    image: {host}/seisei/odoo:18
    network_mode: host
    pull_policy: never
    command: [/bin/busybox, sleep, "600"]
    stop_signal: SIGKILL
"""
UP = "exec /bin/busybox sleep 600"
CRASHING = "/bin/busybox sleep 0.05; exit 3"
PROJECT = "odoo18-here"
PATIENCE_S = 60.0
SHIPPED = load_casebook(Path(__file__).parents[2] / "fixtures", "seisei", {})
CASES = {case.id: case for case in SHIPPED.cases if isinstance(case, CheckCase)}
UP_AND_STAYS = CASES["smoke/odoo-and-its-database-are-up-and-stay-up"]
IMAGES = CASES["smoke/containers-run-the-images-of-the-release"]
DOMAIN = CASES["smoke/the-domain-shows-our-page"]


@dataclass(frozen=True)
class Podman:
    """An engine of its own: nothing of the machine's is seen or touched.

    Attributes:
        folder: Of everything it keeps.
        host: Of a registry.
        port: For the page.
    """

    folder: Path
    host: str
    port: int

    @property
    def docker_host(self) -> str:
        """Where it listens."""
        return f"unix://{self.folder / 'engine.sock'}"

    def run(self, *arguments: str) -> str:
        """A command of podman; gives what it printed."""
        return _said(self.command(*arguments), self.environment)

    def command(self, *arguments: str) -> list[str]:
        """Its arguments, with where it keeps things."""
        places = (f"--{name}={self.folder / name}" for name in ("root", "runroot", "tmpdir"))
        # vfs mounts nothing, and nothing that is mounted can stay behind
        return ["podman", "--storage-driver=vfs", *places, *arguments]

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables."""
        own = {"CONTAINERS_CONF": str(self.folder / "containers.conf")}
        return {**os.environ, **own, "DOCKER_HOST": self.docker_host}

    def build(self, build: str) -> str:
        """An image of this build, pushed and tagged; gives its reference."""
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        shutil.copy(shutil.which("busybox") or "", context / "busybox")
        (context / "index.html").write_text(PAGE)
        (context / "Dockerfile").write_text(IMAGE.format(build=build))
        name = f"{self.host}/seisei/odoo:18"
        here = f"{name}-{build.replace(' ', '-')}"  # the tag moves in the registry alone
        self.run("build", "--quiet", "--format=docker", "--tag", here, str(context))
        self.run("push", "--quiet", "--tls-verify=false", here, name)
        return name

    def pull(self, name: str) -> None:
        """Have an image as the registry has it: pushing has compressed it."""
        self.run("pull", "--quiet", "--tls-verify=false", name)

    @contextmanager
    def up(self, db: str = UP) -> Iterator[None]:
        """The stack, by docker compose, as long as the block lasts."""
        file = self.folder / "compose.yaml"
        file.write_text(STACK.format(host=self.host, port=self.port, db=db))
        try:
            self.compose("up", "-d")
            yield
        finally:
            self.compose("down", "-t", "0")

    def compose(self, *arguments: str, status: int = 0) -> None:
        """A command of docker compose about the stack."""
        program = str(Path(sys.executable).with_name("docker-compose"))
        file = str(self.folder / "compose.yaml")
        _said([program, "-p", PROJECT, "-f", file, *arguments], self.environment, status)

    def environment_of(self, *images: str) -> Environment:
        """As a user's file would have it."""
        return Environment(
            name="here",
            role="production",
            system="seisei",
            base_url=f"http://127.0.0.1:{self.port}",
            source=Path("here.yaml"),
            digest="",
            gates={},
            release=ReleaseSource("/web/health", images=images),
            services={"engine": {"docker_host": self.docker_host}, "compose": {"project": PROJECT}},
        )


def _said(command: list[str], environment: Mapping[str, str], status: int = 0) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


@contextmanager
def _registry(folder: Path) -> Iterator[str]:
    folder.mkdir()
    (folder / "config.yml").write_text(REGISTRY.format(folder=folder))
    serve = ["docker-registry", "serve", str(folder / "config.yml")]
    command = ["setpriv", "--pdeathsig", "TERM", *serve]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listening = next(filter(None, map(LISTENING.search, process.stderr)))
        reader = threading.Thread(target=deque, args=(process.stderr, 0))
        reader.start()
        try:
            yield listening[1]
        finally:
            process.terminate()
            reader.join()


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """Its service, and an image of this week in a registry."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with ExitStack() as leaving:  # podman takes no runroot of more than 50 characters
        folder = Path(leaving.enter_context(TemporaryDirectory(prefix="smoke-")))
        (folder / "containers.conf").write_text(CONFIGURATION)
        engine = Podman(folder, leaving.enter_context(_registry(folder / "registry")), port)
        engine.pull(engine.build("of this week"))
        serve = engine.command("system", "service", "--time=0", engine.docker_host)
        command = ["setpriv", "--pdeathsig", "TERM", *serve]
        service = subprocess.Popen(command, env=engine.environment)
        leaving.callback(engine.run, "rm", "--all", "--force", "--time=0")
        leaving.callback(service.wait)
        leaving.callback(service.terminate)
        deadline = time.monotonic() + PATIENCE_S
        while not (folder / "engine.sock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield engine


Smoked = Callable[..., Evidence]


@pytest.fixture
def smoked(podman: Podman) -> Smoked:
    """``smoked(case, *images, tries=4)``: what the gate makes of the stack."""

    def smoked(case: CheckCase, *images: str, **options: Any) -> Evidence:  # noqa: ANN401
        environment = podman.environment_of(*images)
        policy = GatePolicy(options={"interval_s": 0.05, "window_s": 0.2, "tries": 3, **options})
        return check(case, policy, Scene(environment, HttpTarget(environment)))

    return smoked


def codes(evidence: Evidence) -> list[str]:
    """Of its failures, each once."""
    return list(dict.fromkeys(finding.code for finding in evidence.failures))


def test_a_stack_is_well_when_each_of_its_containers_is(podman: Podman, smoked: Smoked) -> None:
    """A health check that has not run yet is none that passed; then all is well."""
    with podman.up():
        starting = smoked(UP_AND_STAYS)
        podman.run("healthcheck", "run", f"{PROJECT}-db-1")
        well = smoked(UP_AND_STAYS)
        shown = smoked(replace(DOMAIN, expect={**DOMAIN.expect, "tls": False}))

    assert codes(starting) == ["smoke.unhealthy", "smoke.not-steady"]
    assert "db-1 (service db) is running and starting" in starting.failures[0].message
    assert (well.findings, shown.findings) == ((), ())
    figures = {each.name: each.estimate.value for each in well.measurements}
    assert (figures["containers"], figures["restarts"], figures["tries"]) == (3, 0, 3)
    assert figures["waited_ms"] >= 200


def test_one_that_was_killed_is_found_though_its_neighbour_is_up(
    podman: Podman, smoked: Smoked
) -> None:
    """And looking at it does not start it again."""
    with podman.up():
        podman.run("healthcheck", "run", f"{PROJECT}-db-1")
        podman.run("kill", f"{PROJECT}-odoo-1")
        podman.run("wait", f"{PROJECT}-odoo-1")
        evidence = smoked(UP_AND_STAYS)
        after = podman.run("inspect", "--format={{.State.Status}}", f"{PROJECT}-odoo-1")

    assert codes(evidence) == ["smoke.not-running", "smoke.not-steady"]
    assert "odoo-1 (service odoo) is exited, with exit code 137" in evidence.failures[0].message
    assert after == "exited\n"


def test_one_that_is_removed_is_missing(podman: Podman, smoked: Smoked) -> None:
    """What is there is named."""
    with podman.up():
        podman.run("rm", "--force", "--time=0", f"{PROJECT}-db-1")
        evidence = smoked(UP_AND_STAYS)

    assert codes(evidence) == ["smoke.missing-service", "smoke.not-steady"]
    assert "no container of the service db; there are: ocr, odoo" in evidence.failures[0].message


def test_one_that_is_restarted_again_and_again_is_found(podman: Podman, smoked: Smoked) -> None:
    """Whether it is up at the moment of a look, or not."""
    with podman.up(CRASHING):
        evidence = smoked(UP_AND_STAYS, tries=12, deadline_s=10)

    seen = {"smoke.restarted", "smoke.restarting", "smoke.not-running", "smoke.unhealthy"}
    assert seen & set(codes(evidence))
    assert "smoke.not-steady" in codes(evidence)


def test_what_runs_is_what_the_registry_has(podman: Podman, smoked: Smoked) -> None:
    """By digest: a tag that was moved behind the deployment is another release."""
    case = replace(IMAGES, options={})
    name = podman.build("of this week")
    with podman.up():
        same = smoked(case, name)
        pinned = smoked(case, f"{podman.host}/seisei/odoo@sha256:{resolve_image(name)}")
        was = resolve_image(name)
        podman.build("of next week")
        moved = smoked(case, name)
        other = smoked(case, name.replace("seisei/odoo", "elsewhere/odoo") + f"@sha256:{'a' * 64}")

    assert (same.findings, pinned.findings) == ((), ())
    assert codes(moved) == ["smoke.other-image", "smoke.not-steady"]
    assert f"sha256:{was}" in moved.failures[0].message
    assert f"the release names sha256:{resolve_image(name)}" in moved.failures[0].message
    assert codes(other)[:1] == ["smoke.unattested-image"]


def test_a_command_of_its_own_is_no_container_of_the_stack(podman: Podman) -> None:
    """``compose run`` leaves containers with the project's label."""
    with podman.up():
        podman.compose("run", "--name=once", "odoo", "/bin/busybox", "false", status=1)
        with Engine.connect({"docker_host": podman.docker_host}) as engine:
            names = [each.name for each in engine.containers(PROJECT)]
        podman.run("rm", "once")

    services = ("db", "ocr", "odoo")
    assert names == [f"{PROJECT}-{service}-1" for service in services]
