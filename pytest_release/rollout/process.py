"""A program that is run to its end or to its deadline, with all that it started.

- Its output is read as it comes and never fills memory; its standard input is a file.
- At the deadline its process group is ended, politely first; so is whatever else carries its mark.
- A process that goes on in the background keeps nothing waiting once the program itself has ended.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pytest_release.errors import RolloutError
from pytest_release.rollout.output import Keeper, Output

GRACE_S = 2.0  # between SIGTERM and SIGKILL
DRAIN_S = 0.5  # for what a program's own children still write after its end
TICK_S = 0.25
PIECE = 256 * 1024  # bytes read at once


@dataclass(frozen=True)
class Command:
    """A program and how it is run.

    Attributes:
        argv: The program and its arguments; no shell reads them.
        directory: Where; None for here.
        env: Added to the driver's own.
        input: Its standard input; None for nothing.
        alone: It gets `env` and none of the driver's own variables.
    """

    argv: tuple[str, ...] = field(repr=False)
    directory: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    input: bytes | None = field(default=None, repr=False)
    alone: bool = False

    def with_env(self, env: Mapping[str, str]) -> Command:
        """The same with these variables."""
        return replace(self, env=env)


@dataclass(frozen=True)
class Ran:
    """What became of a program.

    Attributes:
        status: Its exit status; negative for a signal; None when its time was over.
        output: Of both streams.
        seconds: How long it took.
    """

    status: int | None
    output: Output
    seconds: float


def run(
    command: Command,
    deadline: float,
    spawned: Callable[[int], None] = lambda _: None,
    tick: Callable[[float], None] = lambda _: None,
) -> Ran:
    """Run a program.

    Args:
        command: What is run.
        deadline: By `time.monotonic`.
        spawned: Is told its pid.
        tick: Is told now and then for how many seconds it has run.

    Raises:
        RolloutError: It cannot be started.
    """
    began = time.monotonic()
    with _started(command) as process:
        try:
            spawned(process.pid)
            keeper = Keeper()
            status = _follow(process, keeper, deadline, lambda: tick(time.monotonic() - began))
        except BaseException:
            end_group(process.pid)
            raise
        return Ran(status, keeper.output(), time.monotonic() - began)


@contextmanager
def _started(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    stdin = subprocess.DEVNULL
    if command.input is not None:
        stdin = os.memfd_create("input")
        os.write(stdin, command.input)
        os.lseek(stdin, 0, os.SEEK_SET)
    try:
        process = subprocess.Popen(  # noqa: S603 - a list of arguments, no shell
            command.argv,
            cwd=command.directory,
            env={**({} if command.alone else os.environ), **command.env},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        where = f" in {command.directory}" if command.directory else ""
        raise RolloutError(f"{command.argv[0]} cannot be started{where}: {reason}") from None
    finally:
        if stdin >= 0:
            os.close(stdin)
    try:
        yield process
    finally:
        if process.stdout:
            process.stdout.close()
        if process.poll() is None:
            end_group(process.pid)
        process.wait()


def _follow(
    process: subprocess.Popen[bytes], keeper: Keeper, deadline: float, tick: Callable[[], None]
) -> int | None:
    """Read until the program has ended; its status, or None when its time was over."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, selectors.EVENT_READ)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    end_group(process.pid)
                    _drain(pipe, keeper, 0.0)
                    return None
                ready = {key.fd for key, _ in selector.select(min(left, TICK_S))}
                if pipe in ready and not _read(pipe, keeper):
                    selector.unregister(pipe)
                if ended in ready:
                    _drain(pipe, keeper, DRAIN_S)
                    return process.wait()
                tick()
    finally:
        os.close(ended)


def _read(pipe: int, keeper: Keeper) -> bool:
    """Take what is there; False at the end."""
    try:
        data = os.read(pipe, PIECE)
    except BlockingIOError:
        return True
    keeper.take(data)
    return bool(data)


def _drain(pipe: int, keeper: Keeper, seconds: float) -> None:
    """Take what comes until the end, but no longer than that."""
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            if not _read(pipe, keeper) or time.monotonic() > until:
                return


def end_group(pid: int) -> None:
    """End a process group: SIGTERM, and SIGKILL for what is left of it."""
    if not _signal(pid, signal.SIGTERM):
        return
    until = time.monotonic() + GRACE_S
    while time.monotonic() < until:
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if not _alive(pid):
            return
        time.sleep(0.02)
    _signal(pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _alive(group: int) -> bool:
    """Whether anything but zombies is in the group."""
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - of Path's, an early end warns
        try:
            fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in ("Z", "X"):
            return True
    return False
