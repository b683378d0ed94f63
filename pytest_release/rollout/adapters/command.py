"""Runs a program: here, or on another host through the system's own ssh.

- There is no shell here; over ssh the other side's reads one line, in which every word is quoted.
- ssh asks for nothing (BatchMode) and notices a connection that is gone (ServerAlive...).
- A secret belongs into ``input``: arguments and variables can be seen in lists of processes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_release.errors import RolloutError
from pytest_release.redaction import MASK, Secret, reveal
from pytest_release.rollout.process import Command, Ran
from pytest_release.rollout.stage import Order, Outcome, Stage

SSH_FAILED = 255  # ssh's own status
ALIVE_S, ALIVE_TRIES, CONNECT_S = 5, 3, 10
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")  # nothing that ssh takes for an option
SSH = (
    "ssh",
    *("-T", "-o", "BatchMode=yes"),
    *("-o", "LogLevel=ERROR"),  # a banner, or a host that is new, is no output of the program
    *("-o", f"ConnectTimeout={CONNECT_S}"),
    *("-o", f"ServerAliveInterval={ALIVE_S}"),
    *("-o", f"ServerAliveCountMax={ALIVE_TRIES}"),
)


def describe(options: Mapping[str, Any]) -> str:
    """The command line, as one would type it; secrets masked."""
    words = (MASK if isinstance(word, Secret) else str(word) for word in options["argv"])
    line = shlex.join(words)
    return f"{options['ssh']}: {line}" if "ssh" in options else line


def repeatable(options: Mapping[str, Any]) -> bool:
    """Nobody knows what a program does when it is run twice."""
    return False


def act(order: Order, stage: Stage) -> Outcome:
    """Run it, and judge its exit status and what was expected of its output."""
    options = order.options
    return judged(stage.run(order, command_of(options)), options)


def check(order: Order, stage: Stage) -> Outcome | None:
    """Nobody can tell of a program; a step's ``verify`` can."""
    return None


def command_of(options: Mapping[str, Any]) -> Command:
    """What is run for these options.

    Raises:
        RolloutError: Variables would have to travel over ssh.
    """
    argv = tuple(str(reveal(word)) if not isinstance(word, int | float) else str(word)
                 for word in options["argv"])  # fmt: skip
    directory = reveal(options["directory"]) if "directory" in options else None
    given = reveal(options["input"]).encode() if "input" in options else None
    env = {name: str(_plain(value)) for name, value in options.get("env", {}).items()}
    if not _far(options):
        return Command(argv, Path(directory) if directory else None, env, given)
    if env:
        raise RolloutError(
            f"{', '.join(env)}: variables do not travel over ssh; give them with 'input'"
        )
    config = str(reveal(options["ssh_config"])) if "ssh_config" in options else None
    return Command(over_ssh(reveal(options["ssh"]), config, argv, directory), None, {}, given)


def _far(options: Mapping[str, Any]) -> bool:
    """On another host; a value of the plan may leave it open, and be empty for this one.

    Raises:
        RolloutError: What the value names is no host.
    """
    host = str(reveal(options.get("ssh", "")))
    if host and not HOST.fullmatch(host):
        raise RolloutError(f"{host!a} is no host for ssh")
    return bool(host)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a scalar
    return value.reveal() if isinstance(value, Secret) else value


def over_ssh(
    host: str, config: str | None, argv: tuple[str, ...], directory: str | None = None
) -> tuple[str, ...]:
    """What is run here to run `argv` there."""
    line = shlex.join(argv)
    if directory:
        line = f"cd -- {shlex.quote(directory)} && exec {line}"
    return (*SSH, *(("-F", config) if config else ()), "--", host, line)


def judged(ran: Ran, options: Mapping[str, Any]) -> Outcome:
    """What came of a program."""

    def outcome(why: str, *, done: bool = False) -> Outcome:
        return Outcome(done, why, ran.status, ran.output)

    if ran.status is None:
        return outcome(f"its time was over after {ran.seconds:.1f} s; it was ended")
    if _far(options) and ran.status == SSH_FAILED:
        return outcome(f"the connection failed, or was lost: {ran.output.last_line}")
    if ran.status not in options.get("statuses", (0,)):
        said = f": {ran.output.last_line}" if ran.output.last_line else ""
        return outcome(f"{_ending(ran.status)}{said}")
    expect = options.get("expect", {})
    found = ran.output.text.strip()
    if "output" in expect and found != (wanted := reveal(expect["output"]).strip()):
        return outcome(f"expected the output {wanted!r}, got {_short(found)}")
    if "contains" in expect and (part := reveal(expect["contains"])) not in ran.output.text:
        return outcome(f"expected {part!r} in the output, got {_short(found)}")
    return outcome(_ending(ran.status), done=True)


def _ending(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _short(text: str) -> str:
    return repr(text) if len(text) <= 200 else f"{text[:200]!r}..."
