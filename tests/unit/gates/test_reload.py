"""What a steady stream shows of a reload, and what it does not. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.evidence import SHOWN_POINTS, Finding, Span
from pytest_release.gates._reload import Story, draw, judge_steady, longest_gap, steady_cases
from pytest_release.gates._steady import Shot
from pytest_release.sampling import Sample

BEGAN, ENDED = 10.0, 12.0


def shot(due_s: float, wrong: str = "", ms: float = 5.0, late_s: float = 0.0) -> Shot:
    """A request; an answer that is known to a millisecond."""
    latency = None if wrong else Sample(ms, ms - 1, ms)
    return Shot("status", due_s, late_s, latency, ms / 1000, wrong)


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    """Codes without the gate's name, and messages."""
    return [(f.code.removeprefix("hot_reload."), f.message) for f in findings]


def test_nothing_wrong_is_nothing_to_say() -> None:
    """With and without a limit."""
    shots = [shot(9.0), shot(11.0), shot(13.0)]

    assert list(judge_steady(shots, BEGAN, None)) == []
    assert list(judge_steady(shots, BEGAN, 5.0)) == []


def test_one_failed_request_of_many_is_an_interruption() -> None:
    """Which, when, and why."""
    shots = [*(shot(9.0 + number / 100) for number in range(400)), shot(11.25, "status 503")]
    findings = list(judge_steady(shots, BEGAN, None))

    assert told(findings) == [
        (
            "interrupted",
            "1 of 401 requests failed: status, 1.25 s after the reload began: status 503",
        )
    ]


def test_what_failed_before_is_not_blamed_on_the_reload() -> None:
    """A request that was under way when it began may have been cut off by it."""
    early, cut_off = shot(9.0, "status 500"), shot(9.9, "was cut off", ms=200.0)

    assert told(list(judge_steady([early], BEGAN, None))) == [
        (
            "failed-before",
            "1 requests failed before the reload began: status, 1.00 s before it: status 500",
        )
    ]
    assert told(list(judge_steady([cut_off], BEGAN, None)))[0][0] == "interrupted"


def test_an_interruption_shows_its_first_examples() -> None:
    """Five of them; the sentence has one that was sent after the reload began."""
    shots = [shot(9.9 + n / 10, f"status 50{n}", ms=200.0) for n in range(9)]
    (finding,) = judge_steady(shots, BEGAN, None)

    assert finding.message.endswith("after the reload began: status 501")
    assert len(finding.received.splitlines()) == 5


def test_an_answer_that_took_too_long() -> None:
    """One is enough; what straddles the limit could not be shown."""
    (slow,) = judge_steady([shot(11.0, ms=150.0), shot(11.5)], BEGAN, 100.0)
    (open_,) = judge_steady([shot(11.0, ms=100.5)], BEGAN, 100.0)

    assert slow.code == open_.code == "hot_reload.slow"
    assert slow.message == (
        "1 of 2 answers took too long: status, 1.00 s after the reload began: took 150 ms"
    )
    assert open_.message.startswith("of 1 answers it could not be shown that they kept the limit")


@pytest.mark.parametrize(
    ("shots", "gap_ms"),
    [
        ([], 2000),
        ([shot(9.0)], 2000),
        ([shot(9.0), shot(13.0)], 2000),
        ([shot(10.0), shot(11.0), shot(12.0)], 1000),
        ([shot(10.5), shot(10.6)], 1400),
        ([shot(10.5), shot(10.6, late_s=0.4)], 1000),
    ],
)
def test_the_longest_time_without_a_request(shots: list[Shot], gap_ms: float) -> None:
    """Within the window, by when requests were really sent."""
    assert longest_gap(shots, BEGAN, ENDED)[0] == pytest.approx(gap_ms)


def test_each_kind_has_gaps_of_its_own() -> None:
    """Many requests of one kind do not show anything of another."""
    health = [Shot("health", 10 + n / 10, 0.0, None, 0.1) for n in range(21)]

    gap_ms, kind = longest_gap([*health, shot(10.2)], BEGAN, ENDED)

    assert (round(gap_ms), kind) == (1800, "status")


def test_the_picture_counts_from_the_first_request() -> None:
    """Points, the window, and what happened in it."""
    story = Story(BEGAN, BEGAN + 1, ENDED, [("reload-all 1 of demo", BEGAN, 10.5)])
    course = draw([shot(9.0), shot(11.0, "status 503")], 9.0, story, 100.0)

    assert course is not None
    assert [(point.at_ms, point.wrong) for point in course.points] == [
        (0.0, ""),
        (2000.0, "status 503"),
    ]
    assert course.window == Span(1000.0, 3000.0, "reload")
    assert course.spans == (Span(1000.0, 1500.0, "reload-all 1 of demo"),)
    assert draw([], 9.0, story, None) is None


def test_the_picture_is_bounded_and_keeps_what_failed() -> None:
    """Whatever was wrong is drawn before what was not."""
    shots = [shot(n / 50, "no" if n == 7777 else "") for n in range(20_000)]
    course = draw(shots, 0.0, Story(), None)

    assert course is not None
    assert len(course.points) <= SHOWN_POINTS
    assert sum(bool(point.wrong) for point in course.points) == 1


def test_steady_requests_are_cases_of_the_basic_kind() -> None:
    """With a body they are sent by POST; each has a time of its own."""
    options = {"requests": [{"path": "/a"}, {"path": "/b", "json": {"c": 1}, "timeout_s": 2}]}
    case = CheckCase("h/a", "hot_reload", "a", Path("a"), 1, check="reload", options=options)
    first, second = steady_cases(case)

    assert (first.name, first.request.timeout_s, first.request.stall_s) == ("GET /a", 5.0, 5.0)
    assert (second.name, second.request.timeout_s, second.request.stall_s) == ("POST /b", 2, 2)
