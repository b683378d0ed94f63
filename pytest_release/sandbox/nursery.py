"""Where the sandbox's processes are born: one process that has imported what they need, and forks.

An import costs half a second, a fork two hundredths. ``python -m pytest_release.sandbox.nursery``
is started once by whoever starts the first child (`sandbox.child`) and ends with it.

- A birth is one message on a socket: a descriptor of a file that says what to become, then the
  child's standard input and error, the pipe on which its pid and its end are told, and what else
  it inherits.
- What is asked for is imported here first, so that the second child of a kind has it already. A
  module that is not ours, cannot be imported, or starts a thread, is run by a new interpreter
  instead, as ``python -m`` would: a process with threads must not go on in a fork.
- A child is a process of its own: session, environment, folder, arguments and open files are those
  that were asked for. It runs its module as ``__main__``, and leaves without the exit handlers of
  this process.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

WORKER = "pytest_release.sandbox.worker"
HIGH = 512  # descriptors from here on are out of the way of those that a child is to have
MOST = 250  # descriptors in one message; Linux takes 253


class Nursery:
    """The one that forks.

    Args:
        control: The socket on which births are asked for; its end is the end of the nursery.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._told: dict[int, int] = {}  # pid -> descriptor of the pipe on which its end is told
        self._woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(waking)

    def run(self) -> None:
        """Until nobody can ask any more."""
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._bury()
            if self._control.fileno() in ready:
                _, descriptors, _, _ = socket.recv_fds(self._control, 1, MOST)
                if not descriptors:
                    return
                self._bear(descriptors)

    def _bear(self, descriptors: list[int]) -> None:
        order, standard_input, log, told, *inherited = descriptors
        with os.fdopen(order, "rb") as file:
            file.seek(0)
            asked = json.load(file)
        forkable = asked["ours"] and _imported(asked["module"])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(asked, [standard_input, log, *inherited], forkable=forkable)
        os.write(told, f"{pid}\n".encode())
        self._told[pid] = told
        for descriptor in (standard_input, log, *inherited):
            os.close(descriptor)

    def _bury(self) -> None:
        while self._told:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            told = self._told.pop(pid)
            with suppress(BrokenPipeError):  # whoever asked for it is gone
                os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(told)


def _imported(name: str) -> bool:
    """Whether a module is imported now, and a fork can go on with it."""
    try:
        module = importlib.import_module(name)
        for later in getattr(module, "FIRST", ()):
            with suppress(ImportError):  # an extra, which the child will miss by itself
                importlib.import_module(later)
    except Exception:  # noqa: BLE001 - the child is to say it with its last words
        return False
    gc.freeze()  # what is here already is no concern of the children's collector
    return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - counted, not opened


def _become(asked: dict[str, Any], descriptors: Sequence[int], *, forkable: bool) -> None:
    """Be the child that was asked for, to its end."""
    status = 1
    try:
        os.setsid()  # Ctrl-C is the controller's to handle
        _take(descriptors, asked["descriptors"])
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        arguments = [asked["module"], asked["options"]]
        if not forkable:
            os.execv(sys.executable, [sys.executable, "-P", "-m", *arguments])  # noqa: S606
        sys.argv = arguments
        sys.modules.pop(asked["module"], None)  # it is __main__ here, as under ``python -m``
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - its last words
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _take(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Have the descriptors as standard input, standard error and by the given numbers; no others.

    Numbers are kept because options name them.
    """
    wanted = [0, 2, *numbers]
    base = max(HIGH, *(number + 1 for number in wanted))
    moved = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, base) for one in descriptors]
    os.closerange(3, base)
    for one, number in zip(moved, wanted, strict=True):
        os.dup2(one, number)
        os.close(one)


def main() -> None:
    """Serve the socket that was inherited."""
    control = socket.socket(fileno=int(sys.argv[1]))
    with suppress(ImportError):  # without uvicorn nobody asks for a worker
        importlib.import_module(WORKER)
    nursery = Nursery(control)
    nursery.run()
    os._exit(0)


if __name__ == "__main__":
    main()
