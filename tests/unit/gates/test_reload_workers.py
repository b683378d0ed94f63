"""All workers behind one address: how many there are, how sure that is, and what they run."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, count, repeat
from typing import Any

import pytest

from pytest_release.evidence import Finding
from pytest_release.gates._reload_workers import (
    Asking,
    Census,
    Followed,
    Worker,
    answers_needed,
    check_census,
    check_same_workers,
    check_workers,
    doubt,
    read_worker,
    take_census,
)

A, B = Worker("11", 2, success=True, running=True), Worker("12", 2, success=True, running=True)
STATUS = {
    "worker_id": "11",
    "running": True,
    "last_signal_version": 2,
    "last_reload_success": True,
}
QUICK = Asking(seconds=5.0)


def asking(answers: Iterator[Worker | Finding]) -> Callable[[], Worker | Finding]:
    """Answers in this order."""
    return lambda: next(answers)


def codes(findings: Iterator[Finding]) -> list[str]:
    """Without the gate's name."""
    return [finding.code.removeprefix("hot_reload.") for finding in findings]


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        STATUS | {"worker_id": None},
        STATUS | {"worker_id": "1" * 65},
        STATUS | {"worker_id": ["1"]},
        STATUS | {"last_signal_version": True},
        STATUS | {"last_signal_version": "2"},
        STATUS | {"last_reload_success": 1},
        STATUS | {"running": None},
    ],
)
def test_an_answer_that_names_no_worker(status: Any) -> None:  # noqa: ANN401 - any JSON value
    """Every part of it is needed, and of its kind."""
    finding = read_worker({"success": True, "status": status})

    assert isinstance(finding, Finding)
    assert finding.message == (
        "worker_id, running, last_signal_version and last_reload_success were expected"
    )


def test_an_answer_that_names_a_worker() -> None:
    """An id may be a number; before the first reload there is no success, nor a failure."""
    assert read_worker({"status": STATUS}) == A
    assert read_worker({"status": STATUS | {"worker_id": 11}}) == A
    assert read_worker({"status": STATUS | {"last_reload_success": None}}) == replace(
        A, success=None
    )


def test_the_doubt_is_what_the_formula_says() -> None:
    """Two seen, twenty answers: three times two thirds to the twentieth."""
    assert doubt(2, 20) == pytest.approx(3 * (2 / 3) ** 20)
    assert doubt(0, 100) == 1.0
    assert doubt(3, 0) == 1.0
    assert answers_needed(2, 0.999) == 20
    assert doubt(2, 19) > 0.001 >= doubt(2, 20)


def test_the_doubt_bounds_how_often_a_worker_is_missed() -> None:
    """With connections spread evenly, of many tries no more miss one than the bound allows."""
    chance, tries, workers = random.Random(1), 3000, 3
    answers = answers_needed(workers - 1, 0.95)
    missed = sum(
        len({chance.randrange(workers) for _ in range(answers)}) < workers for _ in range(tries)
    )

    assert missed / tries <= 0.05


def test_asking_goes_on_until_the_doubt_is_small() -> None:
    """Two in turn need the twenty answers that two need."""
    census = take_census(asking(iter(chain(*repeat([A, B], 50)))), QUICK)

    assert census.settled
    assert sum(census.answers.values()) == 20
    assert census.statement() == (
        "2 workers in 20 answers (11: 10, 12: 10); one more, if connections spread evenly, would "
        "have been missed with a probability of at most 0.0009"
    )
    assert list(check_census(census, QUICK)) == []


def test_a_worker_that_is_seen_late_makes_it_ask_on() -> None:
    """Each further one needs more answers."""
    census = take_census(asking(chain(repeat(A, 10), iter([B]), repeat(A))), QUICK)

    assert sum(census.answers.values()) == 20


def test_who_is_behind_may_follow() -> None:
    """Answers count from the last one that was behind; when that was is known."""
    old = replace(B, version=1)
    answers = chain([old, A, old], chain(*repeat([A, B], 50)))
    census = take_census(asking(iter(answers)), QUICK, Followed(newer_than=1))

    assert census.settled
    assert census.good == 20
    assert census.behind_until is not None
    assert census.latest == {"11": A, "12": B}


def test_who_never_follows_is_named() -> None:
    """Within bounds, and without asking without a pause."""
    asked = count()
    old = replace(B, version=1)

    def ask() -> Worker:
        return old if next(asked) % 2 else A

    limited = Asking(seconds=0.2)
    census = take_census(ask, limited, Followed(newer_than=1))
    findings = list(check_workers(tuple(census.latest.values()), 1))

    assert not census.settled
    assert next(asked) < 20
    assert list(check_census(census, limited)) == []
    assert [f.message for f in findings] == ["worker 12 is on version 1, the others on 2"]


def test_a_number_of_answers_is_enough() -> None:
    """However the time is; and then it could not be shown."""
    few = Asking(most=5, seconds=60.0)
    census = take_census(asking(repeat(A)), few)
    (finding,) = check_census(census, few)

    assert sum(census.answers.values()) == 5
    assert finding.message.startswith("it could not be shown that every worker was seen: 1 workers")


def test_other_workers_than_there_should_be() -> None:
    """Fewer, or more: an old process that nobody stopped."""
    one, three = replace(QUICK, count=1), replace(QUICK, count=3, most=30)
    both = [take_census(asking(iter(chain(*repeat([A, B], 50)))), each) for each in (one, three)]

    assert [
        next(check_census(c, a)).message[:36] for c, a in zip(both, (one, three), strict=True)
    ] == [
        "2 workers answered, 1 were expected:",
        "2 workers answered, 3 were expected:",
    ]


def test_ids_without_end_are_given_up() -> None:
    """A server that invents them costs 65 answers."""
    census = take_census(lambda: replace(A, id=str(next(NUMBERS))), QUICK)
    (finding,) = check_census(census, QUICK)

    assert len(census.latest) == 65
    assert finding.message.startswith("more than 64 different worker ids answered")


NUMBERS = count()


def test_answers_that_cannot_be_read_are_said_once() -> None:
    """And make nobody believe that all was seen."""
    limited = Asking(seconds=0.1)
    census = take_census(lambda: Finding("hot_reload.status", "status 502"), limited)

    assert [f.message for f in census.problems.values()] == ["status 502"]
    assert [f.message for f in check_census(census, limited)] == [
        "not one worker answered worker-sync"
    ]


@pytest.mark.parametrize(
    ("workers", "newer_than", "expected"),
    [
        ([A, B], 1, []),
        ([A, B], None, []),
        ([A, B], 2, ["not-new"]),
        ([A, replace(B, version=1)], 1, ["stale-worker"]),
        ([replace(A, running=False), B], 1, ["not-running"]),
        ([replace(A, success=False), B], 1, ["reload-failed"]),
        ([replace(A, success=None), B], 1, ["reload-failed"]),
        ([replace(A, success=None), B], None, []),
        ([], 1, []),
    ],
)
def test_what_is_wrong_with_workers(
    workers: list[Worker], newer_than: int | None, expected: list[str]
) -> None:
    """Each way of not being on the new code; without a reload nobody must have made one."""
    assert codes(check_workers(workers, newer_than)) == expected


def test_a_restart_is_no_hot_reload() -> None:
    """Who is gone is named, and who came instead; who came beside them was missed before."""
    other = replace(A, id="13")
    (finding,) = check_same_workers([A, B], [B, other])

    assert finding.message == "worker 11 is gone, and 13 came instead: a hot reload restarts nobody"
    assert next(check_same_workers([A, B], [B])).message.startswith("worker 11 is gone: a hot")
    assert list(check_same_workers([A], [A, B])) == []


def test_an_empty_census_is_not_good() -> None:
    """Nothing seen is nothing shown."""
    assert codes(check_census(Census(), QUICK)) == ["workers"]
    assert re.match("0 workers in 0 answers", Census().statement())
