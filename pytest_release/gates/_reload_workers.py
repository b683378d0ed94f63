"""All workers behind one address, found by asking again and again. Pure but for the asking.

Whichever worker takes the connection answers, so that nobody can be asked by name. Let k workers
have been seen, and the last n answers have been as they should. Were there one worker more, and
connections spread evenly, then a given worker would have been missed by all n answers with the
probability (k / (k + 1)) ** n, and some worker of the k + 1 with no more than k + 1 times that
(Boole's inequality). Asking ends when this `doubt` is small enough, or after a bounded number.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut
from pytest_release.gates._reload_answers import shown, wrong

MOST_IDS = 64  # different workers of one node; more are no workers
LONGEST_ID = 64
PAUSE_S = 0.05  # between questions while a worker is behind: it must not be kept busy


@dataclass(frozen=True)
class Worker:
    """One answer of worker-sync.

    Attributes:
        id: Of the process.
        version: Of the last signal it followed.
        success: Whether its last reload succeeded; None when it never made one.
        running: Whether it waits for signals.
    """

    id: str
    version: int
    success: bool | None
    running: bool


def read_worker(value: Mapping[str, Any]) -> Worker | Finding:
    """The worker that answered, or what is wrong with its answer."""
    status = value.get("status")
    status = status if isinstance(status, dict) else {}
    name, version = status.get("worker_id"), status.get("last_signal_version")
    success, running = status.get("last_reload_success"), status.get("running")
    if (
        not isinstance(name, str | int)
        or len(str(name)) > LONGEST_ID
        or isinstance(version, bool)
        or not isinstance(version, int)
        or not isinstance(success, bool | None)
        or not isinstance(running, bool)
    ):
        message = "worker_id, running, last_signal_version and last_reload_success were expected"
        return wrong("hot_reload.malformed", message, received=shown(value))
    return Worker(str(name), version, success, running)


def doubt(seen: int, answers: int) -> float:
    """A bound of the probability that a worker was missed; see the top of this module."""
    if seen < 1:
        return 1.0
    return float(min(1.0, (seen + 1) * (seen / (seen + 1)) ** answers))


def answers_needed(seen: int, confidence: float) -> int:
    """How many answers it takes until `doubt` is no more than 1 - confidence."""
    count = 1
    while doubt(seen, count) > 1 - confidence:
        count += 1
    return count


@dataclass(frozen=True)
class Asking:
    """How long to go on.

    Attributes:
        confidence: That no worker was missed, between 0 and 1.
        most: Answers at most.
        seconds: At most.
        count: Workers that there are; None when nobody said.
    """

    confidence: float = 0.999
    most: int = 500
    seconds: float = 15.0
    count: int | None = None


class Followed:
    """Whether a worker has followed the newest signal that any worker knows of, and reloaded well.

    Args:
        newer_than: The version before the reload.
    """

    def __init__(self, newer_than: int) -> None:
        self._before = self._newest = newer_than

    def __call__(self, worker: Worker) -> bool:
        """Take one answer into account, and judge it."""
        self._newest = max(self._newest, worker.version)
        return worker.version == self._newest > self._before and worker.success is True


@dataclass
class Census:
    """What asking came to.

    Attributes:
        latest: Of each worker, by its id.
        answers: Of each worker.
        good: Answers in a row that were as they should, at the end.
        problems: Answers that could not be read, at most one of each code.
        behind_until: When the last answer came that was not as it should; None when all were.
        settled: Nothing was left to ask.
    """

    latest: dict[str, Worker] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    good: int = 0
    problems: dict[str, Finding] = field(default_factory=dict)
    behind_until: float | None = None
    settled: bool = False

    @property
    def doubt(self) -> float:
        """That a worker was missed."""
        return doubt(len(self.latest), self.good)

    def statement(self) -> str:
        """Who was seen how often, and how sure it is that this is everyone."""
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(self.answers.items())[:10])
        total = sum(self.answers.values())
        return (
            f"{len(self.latest)} workers in {total} answers ({counts}); one more, if connections "
            f"spread evenly, would have been missed with a probability of at most {self.doubt:.1g}"
        )


def take_census(
    ask: Callable[[], Worker | Finding],
    asking: Asking,
    expected: Callable[[Worker], bool] = lambda _: True,
) -> Census:
    """Ask until every worker has been seen and every one is as expected.

    Args:
        ask: One question; a finding where the answer cannot be read.
        asking: When to stop.
        expected: Whether a worker is as it should be; one that is not may become so.
    """
    census = Census()
    ends = time.monotonic() + asking.seconds
    for _ in range(asking.most):
        worker = ask()
        now = time.monotonic()
        if isinstance(worker, Worker):
            census.latest[worker.id] = worker
            census.answers[worker.id] += 1
        good = isinstance(worker, Worker) and expected(worker)
        if isinstance(worker, Finding):
            census.problems.setdefault(worker.code, worker)
        census.good = census.good + 1 if good else 0
        census.behind_until = census.behind_until if good else now
        census.settled = (
            all(map(expected, census.latest.values()))
            and len(census.latest) >= (asking.count or 1)
            and census.doubt <= 1 - asking.confidence
        )
        if census.settled or now > ends or len(census.latest) > MOST_IDS:
            break
        if not good:
            time.sleep(min(PAUSE_S, max(ends - now, 0.0)))
    return census


def check_census(census: Census, asking: Asking) -> Iterator[Finding]:
    """Whether everyone was seen, and as many as there should be."""
    seen = len(census.latest)
    if seen > MOST_IDS:
        message = f"more than {MOST_IDS} different worker ids answered: these name no workers"
        yield wrong("hot_reload.workers", message, received=cut(", ".join(census.latest)))
        return
    if asking.count is not None and seen != asking.count:
        message = f"{seen} workers answered, {asking.count} were expected: {census.statement()}"
        yield wrong("hot_reload.workers", message, str(asking.count), str(seen))
    elif not seen:
        yield wrong("hot_reload.workers", "not one worker answered worker-sync")
    elif census.doubt > 1 - asking.confidence and not _unlike(census.latest.values()):
        message = f"it could not be shown that every worker was seen: {census.statement()}"
        yield wrong("hot_reload.workers", message, f"doubt at most {1 - asking.confidence:.1g}")


def check_workers(workers: Sequence[Worker], newer_than: int | None) -> Iterator[Finding]:
    """Each worker waits for signals, reloaded well, and all are on one version, a new one.

    Args:
        workers: In their last answers.
        newer_than: The version before the reload; None where none was made.
    """
    for worker in workers:
        if not worker.running:
            message = f"worker {worker.id} does not wait for signals: running is false"
            yield wrong("hot_reload.not-running", message, expected="true", received="false")
        if worker.success is False or (newer_than is not None and worker.success is None):
            word = "failed" if worker.success is False else "never happened"
            message = f"the last reload of worker {worker.id} {word}"
            yield wrong("hot_reload.reload-failed", message, "true", shown(worker.success))
    newest = max((worker.version for worker in workers), default=0)
    if newer_than is not None and workers and newest <= newer_than:
        message = f"every worker is still on version {newest}: the reload reached none of them"
        yield wrong("hot_reload.not-new", message, f"above {newer_than}", str(newest))
    for worker in workers:
        if worker.version != newest:
            message = f"worker {worker.id} is on version {worker.version}, the others on {newest}"
            yield wrong("hot_reload.stale-worker", message, str(newest), str(worker.version))


def check_same_workers(before: Sequence[Worker], after: Sequence[Worker]) -> Iterator[Finding]:
    """A hot reload restarts nobody: the same processes as before."""
    old, new = {worker.id for worker in before}, {worker.id for worker in after}
    if gone := sorted(old - new):
        came = sorted(new - old)
        instead = f", and {', '.join(came[:5])} came instead" if came else ""
        message = f"worker {', '.join(gone[:5])} is gone{instead}: a hot reload restarts nobody"
        yield wrong("hot_reload.restarted", message, ", ".join(sorted(old)[:10]))


def _unlike(workers: Iterable[Worker]) -> bool:
    """Whether they are on different versions, which says enough about why asking did not end."""
    return len({worker.version for worker in workers}) > 1
