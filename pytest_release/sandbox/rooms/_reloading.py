"""How a worker of the sandbox changes its code while it runs.

- The code is a module of Python in a file: `Disk` holds what was deployed before, which a worker
  runs from its start on, and what has been pulled since. A reload imports the latter anew.
- Both files are open and have no name, like the workers' shared state: nothing stays behind. The
  workers reach them through /proc, as files of the process that opened them.
- With a tree (``Sandbox(tree=...)``) the code is `TREE_FILE` in a working tree of git instead, and
  what a worker runs is of the commit that was checked out when it loaded it.
- A reload-all signals the others through the shared state and does not wait for them; each worker
  looks for a signal every `LOOKS_S`, and follows.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from tempfile import TemporaryFile
from types import CodeType, ModuleType
from typing import Any

from pytest_release.sandbox.endpoint import Setting

ORDER = ("config", "rules", "content", "source", "singleton", "microservice", "cache")
WRONG_ORDER = ("config", "singleton", "rules", "content", "source", "microservice", "cache")
LOOKS_S = 0.1  # between two looks for a signal
UPSET_S = 0.4  # for how long a faulty worker is upset by a reload
KEPT = 20  # reloads in the history
MODULE = "pytest_release_sandbox_code"
TREE_FILE = "release.py"
ENDPOINTS = (
    "/bazi/interface",
    "/bazi/pan/display",
    "/bazi/fortune/display",
    "/bazi/shengong-minggong",
    "/bazi/rizhu-liujiazi",
    "/daily-fortune-calendar/query",
    "/daily-fortune-calendar/stream",
    "/bazi/wuxing-proportion/stream",
    "/bazi/xishen-jishen/stream",
    "/bazi/marriage-analysis/stream",
    "/career-wealth/stream",
    "/children-study/stream",
    "/health/stream",
    "/general-review/stream",
    "/annual-report/stream",
    "/smart-fortune/smart-analyze-stream",
    "/face/analyze/stream",
    "/desk-fengshui/analyze/stream",
    "/homepage/contents",
    "/payment/providers",
    "/payment/unified/create",
    "/payment/unified/verify",
)
CODE = '''"""The sandbox's code, build {build}."""

BUILD = {build!r}
ENDPOINTS = {endpoints!r}


class PaymentClient:
    """Made anew by the step singleton, from the code that runs then."""

    build = BUILD
'''


class Disk:
    """The code that the workers start with, and the code that was pulled since."""

    services: Mapping[str, Mapping[str, Any]] = {}
    secrets: frozenset[str] = frozenset()

    def __init__(self) -> None:
        self._files = {"running": _written("1"), "pulled": _written("2")}

    @property
    def told(self) -> Mapping[str, Any]:
        """Where the files are."""
        mine = f"/proc/{os.getpid()}/fd"
        return {name: f"{mine}/{file.fileno()}" for name, file in self._files.items()}

    def stop(self) -> None:
        """With their last descriptor the files are gone."""
        for file in self._files.values():
            file.close()


def tree_told(tree: Path) -> Mapping[str, str]:
    """What the part tells where the code is in a working tree."""
    file = str(tree / TREE_FILE)
    return {"running": file, "pulled": file, "tree": str(tree)}


class _Fresh(SourceFileLoader):
    """Compiles what is on disk now.

    A compiled file beside it counts as current while the source has the same size and second, and
    two checkouts may lie closer together than that.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Of the source."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _written(build: str) -> Any:  # noqa: ANN401 - a temporary file has no public type
    file = TemporaryFile()  # noqa: SIM115 - closed in stop()
    file.write(CODE.format(build=build, endpoints=list(ENDPOINTS)).encode())
    file.flush()
    return file


class Reloader:
    """The code of one worker process, and what it knows of signals.

    Args:
        setting: Of the worker; its part ``hot_reload`` says where the code is.

    Attributes:
        version: Of the last signal it followed.
        success: Whether its last reload succeeded; None before the first.
        failed: Modules of its last reload that did not load.
        running: Whether it looks for signals.
        commit: Of the code that runs; None where it is in no tree.
        endpoints: That are registered.
    """

    def __init__(self, setting: Setting) -> None:
        self._state, self._faults = setting.state, setting.faults
        self._disk = Path(setting.parts["hot_reload"]["pulled"])
        self._tree: str | None = setting.parts["hot_reload"].get("tree")
        self.commit: str | None = None
        self._lock = threading.Lock()
        self._left = threading.Event()
        self._upset_until = 0.0
        self._reloads = 0
        self.failed: list[str] = []
        self.version = 0
        self.success: bool | None = None
        self.running = False
        self._import(Path(setting.parts["hot_reload"]["running"]))
        self._make_clients()
        self.endpoints: list[str] = list(self._code.ENDPOINTS)

    @property
    def id(self) -> str:
        """Of this process."""
        restarted = "hot_reload.restarts" in self._faults and self._reloads
        return f"{os.getpid()}.{self._reloads}" if restarted else str(os.getpid())

    @property
    def upset(self) -> bool:
        """A reload has just begun."""
        return time.monotonic() < self._upset_until

    @property
    def versions(self) -> dict[str, dict[str, Any]]:
        """What is on disk, and what runs."""
        current, cached = _digest(self._disk), self._loaded
        return {"source": {"current": current, "cached": cached, "changed": current != cached}}

    @property
    def code(self) -> ModuleType:
        """That runs."""
        return self._code

    @property
    def clients_fit(self) -> bool:
        """The payment client was made from the code that runs."""
        return bool(self._client.build == self._code.BUILD)

    def follow(self) -> None:
        """Look for signals, in a thread of its own, as long as the process lives."""
        self.running = True
        self._follower = threading.Thread(target=self._follow, name="reload-follow", daemon=True)
        self._follower.start()

    def leave(self) -> None:
        """Look no longer."""
        self._left.set()
        self._follower.join()

    def _follow(self) -> None:
        while not ("hot_reload.not-running" in self._faults and self._reloads):
            with self._state.edit() as state:
                signal = state.get("reload_signal", 0)
            if signal > self.version and "hot_reload.stale-worker" not in self._faults:
                self.reload(signal)
                if "hot_reload.reload-failed" in self._faults:
                    self.success = False
            if self._left.wait(LOOKS_S):
                break
        self.running = False

    def reload_all(self) -> tuple[str, ...]:
        """Signal the others, reload, and record it; the others follow later."""
        order = WRONG_ORDER if "hot_reload.wrong-order" in self._faults else ORDER
        if "hot_reload.no-effect" in self._faults:
            return order
        with self._state.edit() as state:
            state["reload_signal"] = signal = state.get("reload_signal", 0) + 1
        began = time.monotonic()
        self.reload(signal, order)
        entry = {
            "timestamp": datetime.now(UTC).isoformat(),
            "worker_pid": os.getpid(),
            "elapsed_ms": round((time.monotonic() - began) * 1000, 3),
            "success_count": len(order) - len(self.failed),
            "failed_count": len(self.failed),
            "results": {module: module not in self.failed for module in order},
        }
        with self._state.edit() as state:
            state["reload_history"] = [*state.get("reload_history", []), entry][-KEPT:]
        return order

    def reload(self, signal: int, order: tuple[str, ...] = ORDER) -> None:
        """Every module in its order; those without a step here have nothing to reload."""
        steps: dict[str, Callable[[], object]] = {
            "source": lambda: self._import(self._disk),
            "singleton": self._make_clients,
            "microservice": self.register,
        }
        if "hot_reload.old-code" in self._faults:
            del steps["source"]
        with self._lock:
            if signal <= self.version:
                return
            self._upset_until = time.monotonic() + UPSET_S
            self.failed = [m for m in order if not _succeeds(steps.get(m, lambda: None))]
            self._reloads += 1
            self.version, self.success = signal, not self.failed

    def register(self) -> None:
        """Register the endpoints of the code that runs."""
        lost = 3 if "hot_reload.endpoint-lost" in self._faults else 0
        self.endpoints = list(self._code.ENDPOINTS)[lost:]

    def look(self) -> bool:
        """Import what is on disk, if it is not what runs; in this worker alone."""
        with self._lock:
            if changed := _digest(self._disk) != self._loaded:
                self._import(self._disk)
                self._make_clients()
        return changed

    def _import(self, file: Path) -> None:
        loader = _Fresh(MODULE, str(file))
        spec = spec_from_loader(MODULE, loader)
        assert spec is not None
        digest, commit = _digest(file), _commit(self._tree)
        code = module_from_spec(spec)
        loader.exec_module(code)  # what does not load leaves the old code running
        self._code: ModuleType = code
        self._loaded, self.commit = digest, commit

    def _make_clients(self) -> None:
        self._client = self._code.PaymentClient()


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()[:12]


def _succeeds(step: Callable[[], object]) -> bool:
    """Whatever a release's code raises while it loads."""
    try:
        step()
    except Exception:  # noqa: BLE001 - of code that is not ours
        return False
    return True


def _commit(tree: str | None) -> str | None:
    """That is checked out in a tree."""
    if tree is None:
        return None
    argv = ["git", "-C", tree, "rev-parse", "HEAD"]
    ran = subprocess.run(argv, capture_output=True, check=True, timeout=10, text=True)  # noqa: S603
    return ran.stdout.strip()
