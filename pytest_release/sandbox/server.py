"""Starts and stops the sandbox: worker processes on one free loopback port.

- Ready means that every worker has answered over HTTP.
- Stopped means that no worker is left, whichever way the block was left.
- A killed controller takes its workers along: each reads a pipe that ends with this process.
- Nothing has a name on disk, so nothing stays behind.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pytest_release.config.system import System
from pytest_release.errors import SandboxError
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.data_faults import damage
from pytest_release.sandbox.faults import switches
from pytest_release.sandbox.room import Part, Running
from pytest_release.sandbox.rooms import parts
from pytest_release.sandbox.rooms._reloading import tree_told

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

HOST = "127.0.0.1"
WORKER = "pytest_release.sandbox.worker"
START_LIMIT = 15.0  # seconds until every worker must have answered
KNOCK = b"GET /api/v1/health/live HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n"


class Sandbox:
    """The reference deployment, running while the ``with`` block lasts.

    Args:
        workers: Processes that serve, at least 1.
        faults: Names of fault switches, see `pytest_release.sandbox.faults`.
        stream_seconds: From a stream's first event to its last.
        port: 0 for a free one.
        stores: The system whose files are deployed in a PostgreSQL; None for no stores.
        gates: What is going to run: the parts that these gates need are started; None for all.
        tree: A working tree of git with the code that the workers load, see `rooms._reloading`.

    Raises:
        SandboxError: A fault is unknown, or there would be no worker.
    """

    def __init__(
        self,
        workers: int = 2,
        faults: Sequence[str] = (),
        stream_seconds: float = 0.3,
        port: int = 0,
        stores: System | None = None,
        gates: Collection[str] | None = (),
        tree: Path | None = None,
    ) -> None:
        if workers < 1:
            raise SandboxError(f"the sandbox needs at least 1 worker, got {workers}")
        switches(faults)
        self._count = workers
        self._faults = tuple(faults)
        self._options: dict[str, Any] = {
            "faults": list(faults),
            "stream_seconds": stream_seconds,
            "dsn": None,
            "parts": {},
        }
        self._system = stores
        self._stores: Stores | None = None
        self._port = port
        self._tree = tree
        self._workers: list[Child] = []
        self._parts = [part for part in parts() if gates is None or part.gates & set(gates)]
        self._running: dict[str, Running] = {}

    @property
    def base_url(self) -> str:
        """Address of the running sandbox, without a trailing slash.

        Raises:
            SandboxError: It is not running.
        """
        if not self._workers:
            raise SandboxError("the sandbox is not running: start() it first")
        return f"http://{HOST}:{self._port}"

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers; empty when it is not running."""
        return tuple(worker.pid for worker in self._workers)

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """Stores and parts as an environment names them; none when there are none.

        Several parts may say something of one service, each its own keys.
        """
        found = dict(self._stores.services) if self._stores else {}
        for part in self._running.values():
            for name, options in part.services.items():
                found[name] = {**found.get(name, {}), **options}
        return found

    @property
    def secrets(self) -> frozenset[str]:
        """Values in `services` that no report may show."""
        return frozenset().union(*(part.secrets for part in self._running.values()))

    def start(self) -> Self:
        """Start stores and parts, then the workers, and wait until each has answered.

        Raises:
            SandboxError: uvicorn is missing, the port is taken, or a worker died or kept silent.
        """
        if find_spec("uvicorn") is None:
            raise SandboxError(
                "the sandbox needs uvicorn, which is not installed: "
                "pip install 'pytest-release[sandbox]'"
            )
        try:
            self._furnish()
            self._spawn()
            self._await_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every worker, part and store; does nothing when none is running."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.let_go()
        for worker in workers:
            worker.join()
        while self._running:
            self._running.popitem()[1].stop()
        stores, self._stores = self._stores, None
        if stores is not None:
            stores.stop()

    def watch(self) -> None:
        """Raise as soon as a worker has died.

        Raises:
            SandboxError: Names the worker and its last words.
        """
        while True:
            self._refuse_dead()
            time.sleep(0.2)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _furnish(self) -> None:
        """Stores and parts, at the same time where a part does not need the stores."""
        with ThreadPoolExecutor(max(len(self._parts), 1)) as pool:
            early = {
                part.name: pool.submit(self._begin, part) for part in self._parts if not part.stores
            }
            try:
                if self._system is not None:
                    self._stores = _open_stores(self._system)
                    self._options["dsn"] = self._stores.dsn
                    damage(self._stores, self._faults)
            finally:  # what has started must be known, so that it can be stopped
                self._running |= {name: f.result() for name, f in early.items() if _good(f)}
        for future in early.values():
            future.result()
        for part in self._parts:
            if part.stores:
                self._running[part.name] = self._begin(part)
        self._options["parts"] = {n: dict(part.told) for n, part in self._running.items()}
        if self._tree is not None:
            self._options["parts"]["hot_reload"] = tree_told(self._tree)

    def _begin(self, part: Part) -> Running:
        return part.start(frozenset(self._faults), self._stores if part.stores else None)

    def _spawn(self) -> None:
        with ExitStack() as ours:  # the workers inherit their own copies
            state = ours.enter_context(TemporaryFile())
            for listener in _listeners(self._port, self._count):
                ours.enter_context(listener)
                self._port = listener.getsockname()[1]
                shared = {"listener": listener.fileno(), "state": state.fileno()}
                asked = {**self._options, **shared}
                self._workers.append(Child(WORKER, asked, tuple(shared.values())))

    def _await_answers(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        silent = {str(pid) for pid in self.pids}
        while silent:
            self._refuse_dead()
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"the sandbox did not start: no answer within {START_LIMIT:g} s "
                    f"from worker {', '.join(sorted(silent))} at {self.base_url}"
                )
            silent.discard(_knock(self._port))

    def _refuse_dead(self) -> None:
        for worker in self._workers:
            if worker.exit_status is not None:
                raise SandboxError(
                    f"worker {worker.pid} of the sandbox ended with status {worker.exit_status}; "
                    f"its last words: {worker.last_words() or 'none'}"
                )


def _good(future: Future[Running]) -> bool:
    return future.exception() is None


def _open_stores(system: System) -> Stores:
    try:
        from pytest_release.sandbox.stores import open_stores  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SandboxError(
            f"the sandbox needs {error.name}, which is not installed: "
            "pip install 'pytest-release[sandbox]'"
        ) from None
    return open_stores(system)


def _listeners(port: int, count: int) -> Iterator[socket.socket]:
    """Listeners on one port, among which the kernel spreads connections by SO_REUSEPORT."""
    try:
        if port:  # with SO_REUSEPORT alone, a second sandbox would share the port of the first
            socket.create_server((HOST, port)).close()
        for _ in range(count):
            listener = socket.create_server((HOST, port), backlog=1024, reuse_port=True)
            port = listener.getsockname()[1]
            yield listener
    except OSError as error:
        raise SandboxError(
            f"the sandbox cannot listen on {HOST}:{port}: {error.strerror}; "
            f"choose another port, or 0 for a free one"
        ) from None


def _knock(port: int) -> str:
    """Which worker answers a new connection; empty when none does."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            connection.sendall(KNOCK)
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return ""
    name = re.search(rb"\r\nx-worker: (\d+)\r\n", answer)
    return name[1].decode() if name else ""
