"""The lease of an environment that several machines drive: a file on a host that they all reach.

- ``ENV.TOKEN.owner`` says who asks; to hold the lease is to have linked it to ``ENV.lease``. The
  host's kernel lets exactly one link win.
- Its time is the file's, by that host's own clock, and every renewal touches it. Nobody compares
  the clocks of two machines.
- One that was not renewed for as long as its owner said is stale, and so is one whose owner was a
  process of this machine that is gone. Taking it over is to remove that very file, if nobody has
  renewed it since, under a lock of that host's kernel, and then to link as everybody does.
- Whoever cannot renew stops before the time is over, by this machine's monotonic clock: it has
  stopped when another may begin.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.config.environment import Environment, LeasePlace
from pytest_release.errors import RolloutError
from pytest_release.hostile import one_line
from pytest_release.rollout.adapters.command import SSH_FAILED, over_ssh
from pytest_release.rollout.lock import Owner, owner_from
from pytest_release.rollout.process import Command, Ran, run
from pytest_release.rollout.processes import boot_id

ANSWER_S = 20.0  # most that one question to the host takes
RENEWALS = 3  # in the time of a lease
SURE = 0.8  # of its time, after which whoever could not renew stops
LONGEST_S = 3600  # of a lease: what a file says beyond that is not believed
TRIES = 5  # to link; another's comes between only where many ask at once


@dataclass(frozen=True)
class Host:
    """Where the lease is."""

    place: LeasePlace

    def do(self, *argv: str, given: str | None = None) -> Ran:
        """Run a program there.

        Raises:
            RolloutError: The host was not reached, or did not answer in time.
        """
        seconds = min(ANSWER_S, self.place.lease_s / 2)
        data = None if given is None else given.encode()
        ran = run(Command(self.line(argv), None, {}, data), time.monotonic() + seconds)
        if ran.status is None or ran.status == SSH_FAILED:
            why = one_line(ran.output.last_line) or f"no answer in {seconds:g} s"
            raise RolloutError(f"{self.place.ssh} was not reached for its lease: {why}")
        return ran

    def line(self, argv: tuple[str, ...]) -> tuple[str, ...]:
        """What is run on this machine."""
        return over_ssh(self.place.ssh, self.place.ssh_config, argv)


class Lease:
    """The lease of one environment.

    Args:
        host: Where it is.
        environment: Its name.
        owner: This process.
    """

    def __init__(self, host: Host, environment: str, owner: Owner) -> None:
        folder = host.place.directory.rstrip("/")
        self._host, self._owner, self._environment = host, owner, environment
        self._folder = folder or "/"
        self._lease = f"{folder}/{environment}.lease"
        self._guard = f"{folder}/{environment}.guard"
        self._own = f"{folder}/{environment}.{secrets.token_hex(8)}.owner"
        self._confirmed = 0.0
        self._lost = ""
        self._why = "no answer yet"
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> Owner | None:
        """Take it, and go on renewing it.

        Returns:
            Whose stale lease it removed; None when it removed none.

        Raises:
            RolloutError: Another holds it, or the host does not let us.
        """
        name = self._own.rpartition("/")[2]
        told = {"owner": asdict(self._owner), "lease_s": self._host.place.lease_s, "file": name}
        self._confirmed = time.monotonic()
        self._must("mkdir", "-p", "--", self._folder)
        self._must("tee", "--", self._own, given=canonical_json(told).decode())
        try:
            before = self._link()
        except BaseException:
            with suppress(RolloutError):
                self._host.do("rm", "-f", "--", self._own)
            raise
        self._thread = threading.Thread(target=self._go_on, name="lease", daemon=True)
        self._thread.start()
        return before

    def _must(self, *argv: str, given: str | None = None) -> None:
        ran = self._host.do(*argv, given=given)
        if ran.status:
            raise RolloutError(self._refused(ran))

    def _refused(self, ran: Ran) -> str:
        said = one_line(ran.output.last_line)
        return f"the lease {self._lease} cannot be taken on {self._host.place.ssh}: {said}"

    def _link(self) -> Owner | None:
        before: Owner | None = None
        for _ in range(TRIES):
            self._must("touch", "-c", "--", self._own)
            self._confirmed = time.monotonic()
            ran = self._host.do("ln", "--", self._own, self._lease)
            if ran.status == 0:
                return before
            times = self._host.do("stat", "-c", "%i %Y", "--", self._own, self._lease)
            if times.status == 0:  # it is there still
                before = self._displaced(*_numbers(times.output.text))
        raise RolloutError(self._refused(ran))

    def _displaced(self, inode: int, seen: int, now: int) -> Owner | None:
        """Remove a lease that is stale, whoever else is doing the same."""
        owner, lease_s, file = self._holder()
        age = now - seen
        if age <= lease_s and not _gone(owner):
            by = one_line(str(owner)) if owner else "another driver"
            raise RolloutError(
                f"{self._environment} is being driven by {by}, as {self._lease} on "
                f"{self._host.place.ssh} says: renewed {max(0, age)} s ago by that host's clock, "
                f"stale after {lease_s:g} s"
            )
        limit = f"{self._own}.limit"
        self._must("touch", "-d", f"@{seen + 1}", "--", limit)
        this = ("-maxdepth", "0", "-inum", str(inode))
        self._host.do("flock", self._guard, "find", self._lease, *this, "!", "-newer", limit,
                      "-delete")  # fmt: skip
        if file:  # under its own name it stays, if it is the lease still
            self._host.do("find", f"{self._folder}/{file}", *this, "-links", "1", "-delete")
        self._must("rm", "-f", "--", limit)
        return owner

    def _holder(self) -> tuple[Owner | None, float, str]:
        """Who holds it, for how long without renewal, and the name of their own file.

        What cannot be read is as ours is.
        """
        text = self._host.do("cat", "--", self._lease).output.text
        try:
            value: Any = json.loads(text)
            owner, lease_s = owner_from(value["owner"]), float(value["lease_s"])
            file = str(value["file"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return None, self._host.place.lease_s, ""
        known = re.fullmatch(re.escape(self._environment) + r"\.[0-9a-f]{16}\.owner", file)
        within = lease_s if 0 < lease_s <= LONGEST_S else self._host.place.lease_s
        return owner, within, file if known else ""

    # -- while it is held

    def _go_on(self) -> None:
        pause = self._host.place.lease_s / RENEWALS
        while not self._lost and not self._ended.wait(pause):
            began = time.monotonic()
            try:
                if self._renewed():
                    self._confirmed = began
                else:
                    self._lost = "another driver has taken it over"
            except (RolloutError, OSError) as error:
                self._why = str(error)

    def _renewed(self) -> bool:
        """Touch our own file, if that is the lease still: never another's."""
        ran = self._host.do("find", self._own, "-links", "2", "-exec", "touch", "-c", "{}", "+",
                            "-print")  # fmt: skip
        return ran.status == 0 and self._own in ran.output.text.splitlines()

    def check(self) -> None:
        """Nothing, while it is ours.

        Raises:
            RolloutError: It is not, or it could not be renewed for too long.
        """
        silent = time.monotonic() - self._confirmed
        if not self._lost and silent <= SURE * self._host.place.lease_s:
            return
        why = self._lost or f"it could not be renewed for {silent:.0f} s ({self._why})"
        raise RolloutError(
            f"the lease of {self._environment} on {self._host.place.ssh} is lost: {why}; nothing "
            f"more is begun; pytest-release rollout resume, when it may be"
        )

    def give_back(self, *, finished: bool) -> None:
        """Remove it; of what is not finished it stays, stale, and says who left it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(RolloutError):  # it runs out by itself
            if not finished:
                self._host.do("touch", "-c", "-d", "@0", "--", self._own)
                return
            times = self._host.do("stat", "-c", "%i", "--", self._own)
            if times.status == 0:
                inode = str(_numbers(times.output.text)[0])
                self._host.do("flock", self._guard, "find", self._lease, self._own,
                              "-maxdepth", "0", "-inum", inode, "-delete")  # fmt: skip


def _gone(owner: Owner | None) -> bool:
    """It was a process of this machine, since whose start that is no more."""
    if owner is None or owner.elsewhere or owner.boot != boot_id():
        return False
    return not owner.lives


def _numbers(text: str) -> tuple[int, ...]:
    """Of the lines of stat: the times of ours first. Inode of the last, its time, our time."""
    try:
        lines = [[int(word) for word in line.split()] for line in text.splitlines()]
        return (lines[0][0],) if len(lines) == 1 else (lines[1][0], lines[1][1], lines[0][1])
    except (ValueError, IndexError):
        raise RolloutError(
            f"stat answered something else: {one_line(text[:200].strip())}"
        ) from None


class Leases:
    """The leases of a rollout's environments.

    Attributes:
        told: Of each that was taken over, a sentence.
        begun: Something is done under them.
        finished: Nothing is left to be done.
    """

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.told: list[str] = []
        self.begun = self.finished = False

    def check(self) -> None:
        """Nothing, while all are ours.

        Raises:
            RolloutError: One is not.
        """
        for lease in self.leases:
            lease.check()


@contextmanager
def leased(
    environments: Iterable[Environment], owner: Owner, redact: Callable[[str], str]
) -> Iterator[Leases]:
    """Hold the leases of those environments that have one, taken in one order.

    Raises:
        RolloutError: Another holds one; none is held then.
    """
    held = Leases()
    try:
        for environment in sorted(environments, key=lambda e: e.name):
            if environment.lock is not None:
                lease = Lease(Host(environment.lock), environment.name, owner)
                before = lease.take()
                held.leases.append(lease)
                if before is not None:
                    held.told.append(_taken_over(environment.name, before))
        yield held
    except RolloutError as error:
        raise RolloutError(redact(str(error))) from error
    finally:
        for lease in held.leases:
            lease.give_back(finished=held.finished or not held.begun)


def _taken_over(environment: str, before: Owner) -> str:
    return one_line(
        f"the stale lease of {environment} was taken over from {before}; what that rollout left is "
        f"told by its journal, on that machine"
    )
