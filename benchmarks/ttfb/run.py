"""Runs a condition: rounds of batches, clients in random order, truths beside the answers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.ttfb.clients import Answer
from benchmarks.ttfb.conditions import Condition, Script
from benchmarks.ttfb.server import Server, Truth
from benchmarks.ttfb.worker import Worker


@dataclass(frozen=True)
class Row:
    """One request: what was asked for, what a client said, what the server knows."""

    number: int
    script: Script
    answer: Answer
    truth: Truth


@dataclass
class Outcome:
    """What a client did under a condition.

    Attributes:
        rows: Requests that were answered whole.
        cpu_us: CPU per event, one value a round, microseconds.
        errors: In words, of requests that were not.
    """

    rows: list[Row] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Runner:
    """Holds the server, the clients' processes, and the counter that tells requests apart."""

    def __init__(
        self, server: Server, workers: Mapping[str, Worker], randomness: random.Random
    ) -> None:
        self._server = server
        self._workers = workers
        self._randomness = randomness
        self._numbers = itertools.count(1)

    def run(self, condition: Condition, quick: bool) -> dict[str, Outcome]:
        """All rounds of a condition; outcomes by client."""
        outcomes = {name: Outcome() for name in condition.clients}
        with condition.circumstances():
            for name in self._turns(condition, 1 if quick else condition.rounds):
                self._batch(condition, quick, name, outcomes[name])
        return outcomes

    def _turns(self, condition: Condition, rounds: int) -> Iterator[str]:
        for _ in range(rounds):
            yield from self._randomness.sample(condition.clients, len(condition.clients))

    def _batch(self, condition: Condition, quick: bool, name: str, outcome: Outcome) -> None:
        scripts = dict(zip(self._numbers, condition.batch(quick, self._randomness), strict=False))
        paths = {number: script.path(number) for number, script in scripts.items()}
        batch = self._workers[name].run(paths, condition.at_once)
        truths = self._server.truths()
        events = 0
        for number, script in scripts.items():
            answer, truth = batch.answers.get(number), truths.get(number)
            if answer is None or truth is None:
                outcome.errors.append(batch.errors.get(number, "the server knows nothing of it"))
            elif answer.events is not None and len(answer.events) != len(truth.events):
                outcome.errors.append(f"{len(answer.events)} of {len(truth.events)} events")
            else:
                outcome.rows.append(Row(number, script, answer, truth))
                events += len(truth.events)
        if events:
            outcome.cpu_us.append(batch.cpu_s / events * 1e6)
