"""A process of the sandbox: it lives no longer than the one that started it.

The parent holds the other end of its standard input and never writes to it: the end of that pipe
is the end of the parent, however it came. A child calls `leave_with_parent` first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from tempfile import TemporaryFile
from typing import Any

STOP_LIMIT = 3.0  # seconds a child has to leave before it is killed
LAST_LINES = 15  # of a dead child's standard error


class Child:
    """A module of Python, run with one argument: a JSON object.

    Args:
        module: Run as ``python -m``.
        options: Its argument.
        descriptors: Open files that it inherits.
    """

    def __init__(
        self, module: str, options: Mapping[str, Any], descriptors: Sequence[int] = ()
    ) -> None:
        self._log = TemporaryFile()  # noqa: SIM115 - closed in join()
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-P", "-m", module, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            pass_fds=descriptors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is the controller's to handle
        )
        self.pid = self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:])

    def let_go(self) -> None:
        """Close the pipe, at whose end it leaves."""
        if self._process.stdin:
            self._process.stdin.close()

    def join(self) -> None:
        """Wait until it has left; kill it when it does not."""
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def leave_with_parent() -> None:
    """End this process, at once, when its standard input ends."""
    threading.Thread(target=_leave, daemon=True).start()


def _leave() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
