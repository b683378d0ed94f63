"""A process of the sandbox: it lives no longer than the one that started it.

The parent holds the other end of its standard input and never writes to it: the end of that pipe
is the end of the parent, however it came. A child calls `leave_with_parent` first.

Children are forked by a `nursery`, which has imported what they need; one serves all children of
this process, from the first on.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from tempfile import TemporaryFile
from typing import Any

from pytest_release.errors import SandboxError

NURSERY = "pytest_release.sandbox.nursery"
OURS = "pytest_release."  # modules that may be imported on a child's behalf: they do nothing then
STOP_LIMIT = 3.0  # seconds a child has to leave before it is killed
LAST_LINES = 15  # of a dead child's standard error


class Child:
    """A module of Python, run with one argument: a JSON object.

    A module that the nursery should import on its behalf, though it imports it late, it names in
    ``FIRST``.

    Args:
        module: Run as by ``python -m``.
        options: Its argument.
        descriptors: Open files that it inherits, by the same numbers.
    """

    def __init__(
        self, module: str, options: Mapping[str, Any], descriptors: Sequence[int] = ()
    ) -> None:
        self._log = TemporaryFile()  # noqa: SIM115 - closed in join()
        self._status: int | None = None
        theirs, self._held = os.pipe()
        asked = {
            "module": module,
            "ours": module.startswith(OURS),
            "options": json.dumps(options),
            "descriptors": list(descriptors),
            "folder": os.getcwd(),  # noqa: PTH109 - a text
            "environment": {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        }
        told = _NURSERY.bear(asked, (theirs, self._log.fileno()), descriptors)
        self._told = os.fdopen(told, "rb", buffering=0)
        os.close(theirs)
        self.pid = int(self._line() or 0)
        if not self.pid:
            self.let_go()
            self.join()
            raise SandboxError(f"{module} cannot be started: the sandbox's nursery has died")

    def _line(self) -> bytes:
        """The next line that the nursery tells; empty when it will tell no more."""
        return b"".join(iter(lambda: self._told.read(1).strip(b"\n"), b""))

    def _wait(self, seconds: float) -> bool:
        """Whether it ends within that time."""
        if self._status is None and select.select([self._told], [], [], seconds)[0]:
            self._status = int(self._line() or -signal.SIGKILL)
        return self._status is not None

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        self._wait(0)
        return self._status

    def last_words(self) -> str:
        """The end of what it wrote to standard error; until `join`."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    def let_go(self) -> None:
        """Close the pipe, at whose end it leaves."""
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)

    def join(self, seconds: float | None = None) -> None:
        """Wait until it has left, `STOP_LIMIT` or as long as is said; kill it when it does not."""
        if self.pid and not self._wait(STOP_LIMIT if seconds is None else seconds):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._wait(STOP_LIMIT)
        self._told.close()
        self._log.close()


class _Nursery:
    """The way to the nursery of this process; it is started when the first child is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def bear(
        self, asked: Mapping[str, Any], standard: Sequence[int], inherited: Sequence[int]
    ) -> int:
        """Ask for a child; gives the pipe on which its pid comes, and later how it ended."""
        with ExitStack() as ours, self._lock:
            order = ours.enter_context(TemporaryFile())
            order.write(json.dumps(asked).encode())
            order.flush()
            told, tells = os.pipe()
            ours.callback(os.close, tells)
            descriptors = [order.fileno(), *standard, tells, *inherited]
            socket.send_fds(self._running(), [b"+"], descriptors)
        return told

    def _running(self) -> socket.socket:
        if self._control is None or self._process is None or self._process.poll() is not None:
            self.close()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
                    [sys.executable, "-P", "-m", NURSERY, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                    start_new_session=True,  # Ctrl-C is the controller's to handle
                )
            atexit.register(self.close)
        return self._control

    def close(self) -> None:
        """The nursery leaves; its children do not depend on it."""
        atexit.unregister(self.close)
        if self._control is not None and self._process is not None:
            self._control.close()
            self._process.wait(STOP_LIMIT)


_NURSERY = _Nursery()


def leave_with_parent() -> None:
    """End this process, at once, when its standard input ends."""
    threading.Thread(target=_leave, daemon=True).start()


def _leave() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
