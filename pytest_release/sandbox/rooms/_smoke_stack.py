"""The stack of the sandbox's engine: a service a process, and what can go wrong with each.

It has the services of an Odoo stack: ``odoo`` is the sandbox's workers, ``db`` its PostgreSQL;
``ocr`` and ``store`` are processes that answer over HTTP, ``migrate`` is one that ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from pytest_release.sandbox.changes import HOSTILE

REGISTRY = "registry.invalid/seisei"
POLL_S = 0.1  # within which a process notices that the engine is gone
PROBE_S = 0.5  # that a health check waits
TICKS = os.sysconf("SC_CLK_TCK")


def digest(service: str, build: str = "released") -> str:
    """Of the image of a service: 64 hex digits, the same in every sandbox."""
    return sha256(f"{service} {build}".encode()).hexdigest()


@dataclass
class Container:
    """What the engine tells of one process.

    Attributes:
        service: Of the project.
        name: Of the container.
        state: As Docker's inspect has it.
        check: Its health check was configured.
        restarts: By the engine.
        build: Of its image.
        registry: That knows the image; empty for none.
        life: Which of several containers of that name it is.
    """

    service: str
    name: str
    project: str
    state: dict[str, Any]
    check: bool = False
    restarts: int = 0
    build: str = "released"
    registry: str = REGISTRY
    life: int = 0

    @property
    def id(self) -> str:
        """64 hex digits."""
        return sha256(f"{self.project} {self.name} {self.life}".encode()).hexdigest()

    @property
    def image(self) -> str:
        """The reference that it was made from."""
        return f"{self.registry or 'local'}/{self.service}:18"

    @property
    def image_id(self) -> str:
        """Of the image's configuration."""
        named = f"{self.registry} {self.service} {self.build}"
        return f"sha256:{sha256(named.encode()).hexdigest()}"

    @property
    def repo_digests(self) -> list[str]:
        """What the registry calls the image."""
        named = f"{self.registry}/{self.service}@sha256:{digest(self.service, self.build)}"
        return [named] if self.registry else []

    @property
    def labels(self) -> Mapping[str, str]:
        """As compose sets them."""
        return {
            "com.docker.compose.project": self.project,
            "com.docker.compose.service": self.service,
            "com.docker.compose.oneoff": "False",
        }

    def inspected(self) -> Mapping[str, Any]:
        """As much of Docker's answer as anybody reads."""
        checked = {"Healthcheck": {"Test": ["CMD", "probe"]}} if self.check else {}
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "Image": self.image_id,
            "RestartCount": self.restarts,
            "Config": {"Image": self.image, "Labels": self.labels, **checked},
            "State": self.state,
        }


@dataclass
class Process:
    """A container's process, started by this one.

    Attributes:
        run: What it does; gives its exit code.
    """

    run: Callable[[], int]
    pid: int = 0
    started: float = 0.0
    restarts: int = 0
    exit_code: int | None = None

    def start(self) -> None:
        """Fork."""
        self.started, self.exit_code = time.time(), None
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            with contextlib.suppress(BaseException):
                code = self.run()
            os._exit(code)

    def tend(self) -> None:
        """Learn of its end."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self.exit_code = code if code >= 0 else 128 - code

    def crash(self) -> None:
        """End it, and start it again, as a restart policy has it."""
        self.stop()
        self.restarts += 1
        self.start()

    def stop(self) -> None:
        """End it."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.exit_code = 137

    @property
    def state(self) -> dict[str, Any]:
        """As Docker's inspect has it."""
        status = "running" if self.exit_code is None else "exited"
        return _state(status, self.started, self.exit_code or 0)


class Stack:
    """Everything that the engine knows.

    Args:
        asked: What the engine was asked to run.
        faults: Names of those that are on.
    """

    def __init__(self, asked: Mapping[str, Any], faults: frozenset[str]) -> None:
        self._workers = Path(asked["workers"])
        self._postmaster = int(asked["postmaster"])
        self._project = str(asked["project"])
        self._faults = faults
        self._life = 0
        ocr, store = (socket.socket(fileno=asked[name]) for name in ("ocr", "store"))
        self._ports = {"ocr": ocr.getsockname()[1], "store": store.getsockname()[1]}
        self._processes = {
            "ocr": Process(lambda: self._run(ocr, store, self._ocr)),
            "store": Process(lambda: self._run(store, ocr, self._store)),
            "migrate": Process(lambda: int("smoke.failed-migration" in faults)),
        }
        if "smoke.missing-service" in faults:
            del self._processes["store"]
        for process in self._processes.values():
            process.start()
        if "smoke.restart-loop" not in faults:  # a port of nobody must not take connections
            ocr.close()
        store.close()
        if "smoke.exited" in faults:
            os.kill(self._processes["ocr"].pid, signal.SIGKILL)

    def tend(self) -> None:
        """What an engine does by itself."""
        for process in self._processes.values():
            process.tend()

    def between(self) -> None:
        """What happens between two looks."""
        if "smoke.replaced" in self._faults:
            self._life += 1
        if "smoke.restart-loop" in self._faults:
            self._processes["ocr"].crash()

    def stop(self) -> None:
        """End what was started here."""
        for process in self._processes.values():
            process.stop()

    def containers(self) -> list[Container]:
        """All, as they are at this moment."""
        return [*self._odoo(), *self._db(), *self._own()]

    def _odoo(self) -> Iterator[Container]:
        pids = sorted(int(file.name) for file in self._workers.iterdir())
        for number, pid in enumerate(pids, 1):
            old = number == len(pids) and "smoke.old-image" in self._faults
            build = "of last week" if old else "released"
            yield self._container("odoo", _state_of(pid), number=number, build=build)
        if "smoke.orphan" in self._faults:
            yield self._container("odoo-old", _state_of(os.getpid()))

    def _db(self) -> Iterator[Container]:
        state = _state_of(self._postmaster)
        yield self._container("db", state, healthy=state["Running"], life=self._life)

    def _own(self) -> Iterator[Container]:
        for service, process in self._processes.items():
            state = process.state
            if service == "migrate":
                yield self._container(service, state)
                continue
            if service == "store" and "smoke.paused" in self._faults:
                state |= {"Status": "paused", "Paused": True}
            if service == "ocr" and "smoke.hostile-engine" in self._faults:
                state |= {"Status": "dead", "Error": HOSTILE}
            registry, build = REGISTRY, "released"
            if service == "store" and "smoke.foreign-image" in self._faults:
                registry = "mirror.invalid/somebody"
            if service == "ocr" and "smoke.local-image" in self._faults:
                registry = ""
            yield self._container(
                service,
                state,
                healthy=self._healthy(service),
                restarts=process.restarts,
                registry=registry,
                build=build,
            )

    def _container(
        self,
        service: str,
        state: dict[str, Any],
        *,
        number: int = 1,
        healthy: bool | None = None,
        **more: Any,  # noqa: ANN401 - fields of a container
    ) -> Container:
        name = f"{self._project}-{service}-{number}"
        check = healthy is not None and "smoke.no-health-check" not in self._faults
        if check:
            state["Health"] = self._health(service, healthy is True)
        return Container(service, name, self._project, state, check, **more)

    def _health(self, service: str, healthy: bool) -> Mapping[str, Any]:
        if service == "db" and "smoke.starting" in self._faults:
            return {"Status": "starting", "FailingStreak": 0, "Log": []}
        said = "" if healthy else "probe: the answer is not 200"
        log = [{"ExitCode": int(not healthy), "Output": said}]
        status = "healthy" if healthy else "unhealthy"
        return {"Status": status, "FailingStreak": 0 if healthy else 3, "Log": log}

    def _healthy(self, service: str) -> bool:
        """What a container's own health check would find."""
        path = "/health" if service == "ocr" else "/minio/health/live"
        try:
            with socket.create_connection(("127.0.0.1", self._ports[service]), PROBE_S) as probe:
                probe.settimeout(PROBE_S)
                probe.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                return b" 200 " in probe.recv(64)
        except OSError:
            return False

    def _run(
        self,
        listener: socket.socket,
        other: socket.socket,
        say: Callable[[str], tuple[int, bytes]],
    ) -> int:
        other.close()
        return _serve(listener, say)

    def _ocr(self, path: str) -> tuple[int, bytes]:
        if path != "/health":
            return 404, b""
        if "smoke.unhealthy" in self._faults:
            return 500, b"CUDA out of memory"
        degraded = "smoke.ocr-degraded" in self._faults
        value = {"status": "degraded" if degraded else "ok", "models": 0 if degraded else 2}
        return 200, json.dumps(value).encode()

    def _store(self, path: str) -> tuple[int, bytes]:
        if path not in ("/minio/health/live", "/minio/health/ready"):
            return 404, b""
        return (503 if "smoke.store-offline" in self._faults else 200), b""


def _state(status: str, started: float, exit_code: int = 0) -> dict[str, Any]:
    return {
        "Status": status,
        "Running": status == "running",
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "ExitCode": exit_code,
        "Error": "",
        "StartedAt": datetime.fromtimestamp(started, UTC).isoformat(),
    }


def _state_of(pid: int) -> dict[str, Any]:
    """Of a process that somebody else started; see proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return _state("exited", 0.0, 137)
    boot = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text().splitlines()
        if line.startswith("btime")
    )
    return _state("exited" if fields[0] == "Z" else "running", boot + int(fields[19]) / TICKS)


def _serve(listener: socket.socket, say: Callable[[str], tuple[int, bytes]]) -> int:
    """Answer over HTTP until the engine is gone."""
    parent = os.getppid()

    class Handler(BaseHTTPRequestHandler):
        timeout = PROBE_S

        def do_GET(self) -> None:
            status, content = say(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if content else "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
            """Nothing."""

    with socketserver.TCPServer(("127.0.0.1", 0), Handler, bind_and_activate=False) as server:
        server.socket.close()
        server.socket = listener
        server.timeout = POLL_S
        while os.getppid() == parent:
            server.handle_request()
    return 0
