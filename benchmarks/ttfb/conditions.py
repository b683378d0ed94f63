"""What is sent, how much of it at once, and what else the machine has to do meanwhile."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

LIMIT_MS = 100.0  # what the verdicts are about
MIX = {0: 12, 5: 12, 50: 8, 95: 6, 105: 4}  # delay in ms -> how often, in each mode
AROUND_LIMIT = {0: 2, 5: 2, 50: 4, 95: 12, 105: 12}
EVERYONE = ("ours", "pycurl", "curl -w", "httpx", "requests")

# `python -I`: nothing but the loop. It looks for its parent, so that it cannot outlive it.
SPIN = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while os.getppid() == int(sys.argv[2]):
    for _ in range(1_000_000): pass
"""


@dataclass(frozen=True)
class Script:
    """One request: delays in ms from its arrival to the head and to the first event."""

    head_ms: int
    first_ms: int
    events: int = 1
    gap_ms: int = 0

    def path(self, number: int) -> str:
        """The path that asks for it."""
        return f"/s/{number}/{self.head_ms}/{self.first_ms}/{self.events}/{self.gap_ms}"


@dataclass(frozen=True)
class Condition:
    """One row of circumstances.

    Attributes:
        name: As given to ``--condition``.
        title: For people.
        at_once: Requests under way at a time, in one process.
        rounds: How often each client gets a batch; the order of clients is drawn in each.
        scripts: A batch, in any order.
        quick: The same for ``--quick``, which has one round.
        clients: Who takes part.
        busy: A spin loop runs on every core.
    """

    name: str
    title: str
    at_once: int
    rounds: int
    scripts: tuple[Script, ...]
    quick: tuple[Script, ...]
    clients: tuple[str, ...] = field(default=EVERYONE)
    busy: bool = False

    def batch(self, quick: bool, randomness: random.Random) -> list[Script]:
        """A batch in random order."""
        scripts = list(self.quick if quick else self.scripts)
        randomness.shuffle(scripts)
        return scripts

    @contextmanager
    def circumstances(self) -> Iterator[None]:
        """What else is going on, for as long as the block runs."""
        with spinning() if self.busy else nullcontext():
            yield


def _mixed(weights: Mapping[int, int], times: float) -> tuple[Script, ...]:
    """Each delay in both modes: the head at once and the event late; both late."""
    return tuple(
        Script(head, delay)
        for delay, weight in weights.items()
        for head in (0, delay)
        for _ in range(max(round(weight * times), 1))
    )


CONDITIONS = (
    Condition("alone", "one at a time", 1, 5, _mixed(MIX, 1), _mixed(MIX, 0.25)),
    Condition("sixteen", "16 at once", 16, 5, _mixed(MIX, 4), _mixed(MIX, 1)),
    Condition(
        "busy",
        "every core busy, 2 at once",
        2,
        8,
        _mixed(AROUND_LIMIT, 1),
        _mixed(AROUND_LIMIT, 0.25),
        busy=True,
    ),
    Condition(
        "streams",
        "16 streams x 200 events, 10 ms apart",
        16,
        5,
        (Script(0, 10, 200, 10),) * 16,
        (Script(0, 10, 100, 10),) * 16,
        clients=tuple(name for name in EVERYONE if name != "curl -w"),
    ),
)


@contextmanager
def spinning() -> Iterator[None]:
    """A process that does nothing but count, pinned to each core that we may use."""
    with ExitStack() as stack:
        for core in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, "-I", "-c", SPIN, str(core), str(os.getpid())]
            process = subprocess.Popen(command, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
