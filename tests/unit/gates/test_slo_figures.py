"""What a load came to: figures, own faults, limits, and when it is stopped."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from pytest_release.config.cases import Request
from pytest_release.evidence import Measurement
from pytest_release.gates._slo_figures import Figures
from pytest_release.gates._slo_limits import broken
from pytest_release.gates._slo_plan import Wish
from pytest_release.gates._slo_record import Record
from pytest_release.gates._slo_watch import Watch
from pytest_release.sampling import Decision, Estimate, Sample
from pytest_release.targets.load import Ask, Plan, Shot, Told

ASKS = tuple(Ask(path, Request("GET", path, timeout_s=2.0)) for path in ("/a", "/b"))
RATE = 100.0


def record(
    shots: Sequence[Shot], seconds: float = 10.0, warm_up_s: float = 0.0, arrivals: str = "constant"
) -> Record:
    """A load of which these shots are known."""
    plan = Plan(ASKS, RATE, seconds, arrivals)
    made = Record(Wish(plan, warm_up_s, 0.1, {1: 50.0}))
    made.hear(Told(0, tuple(shots), at_s=seconds, cpu_s=seconds / 2, planned=len(shots)))
    return made


def steady(count: int, took: float = 0.01, **given: object) -> list[Shot]:
    """Shots that are due at the rate."""
    return [Shot(number / RATE, 0.0, took, number % 2) for number in range(count)]


def measured(made: Record, **limits: float) -> dict[str, Measurement]:
    """The figures by name."""
    return {each.name: each for each in Figures(made, limits, 0.95).all()}


def test_a_good_load() -> None:
    """Every figure has its value, its interval and the number of its observations."""
    found = measured(record(steady(1000)), p95_ms=500, min_rps=50, min_availability=0.95)

    assert found["p95_ms"].estimate == Estimate(10.0, 10.0, 10.0)
    assert found["error_rate"].estimate.high == pytest.approx(0.00383, abs=1e-4)
    assert found["min_rps"].estimate.value == pytest.approx(100, abs=1)
    assert (found["min_availability"].estimate.value, found["min_availability"].count) == (1.0, 100)
    assert found["request2.p95_ms"].decision is Decision.KEPT
    assert {n for n, m in found.items() if m.decision is Decision.KEPT} == {
        "p95_ms", "min_rps", "min_availability", "request2.p95_ms",
    }  # fmt: skip


def test_an_error_is_never_quick() -> None:
    """Quick failures count as if they had been waited for: P95 is that of patience."""
    shots = steady(1000)
    shots[::10] = [Shot(s.due, 0.0, 0.001, s.ask, "status 503") for s in shots[::10]]
    found = measured(record(shots), p95_ms=500, error_rate=0.01)

    assert found["p95_ms"].estimate.value == 2000.0
    assert found["p95_ms"].decision is found["error_rate"].decision is Decision.BROKEN
    assert found["error_rate"].estimate.value == 0.1


def test_an_outage_is_found_in_time() -> None:
    """By its slots, however many requests fell into them; and where the longest was."""
    shots = steady(1000)
    shots[300:400] = [Shot(s.due, 0.0, 0.0, s.ask, "status 503") for s in shots[300:400]]
    shots[700] = Shot(7.0, 0.0, 0.0, 0, "status 503")
    made = record(shots)

    assert measured(made)["min_availability"].estimate.value == 0.89
    assert Figures(made, {}, 0.95).outage() == pytest.approx((3.0, 4.0))
    assert Figures(record(steady(10)), {}, 0.95).outage() is None
    assert made.wrong(made.measured) == "51 times status 503 (/a); 50 times status 503 (/b)"


def test_the_warm_up_is_not_measured() -> None:
    """Slow and wrong answers in it are none of the deployment's levels."""
    shots = steady(1000)
    shots[:100] = [Shot(s.due, 0.0, 1.9, s.ask, "status 503") for s in shots[:100]]
    made = record(shots, warm_up_s=1.0)
    found = measured(made)

    assert "The first 100, due within 1 s, warm up and are not measured." in made.summary
    assert found["p99_ms"].estimate.value == 10.0
    assert found["error_rate"].count == 900
    assert found["min_rps"].estimate.value == pytest.approx(100, abs=1)


def test_nothing_is_no_figure() -> None:
    """A load without requests measures nothing."""
    assert measured(record([])) == {}


def test_answers_a_second_are_right_ones_in_time() -> None:
    """Those that come behind the end, and wrong ones, do not count."""
    slow = measured(record(steady(1000, took=5.0)))
    wrong = measured(record([Shot(s.due, 0, s.took, 0, "no") for s in steady(1000)]))

    assert slow["min_rps"].estimate.value == pytest.approx(50, abs=1)
    assert wrong["min_rps"].estimate.value == 0.0


def test_the_generators_lateness_is_its_own() -> None:
    """More than a twentieth of the starts too late: nothing is shown."""
    late = [Shot(s.due, 0.3, 0.31, s.ask) for s in steady(60)]
    (finding,) = record([*steady(940), *late]).own_faults()

    assert finding.code == "slo.generator"
    assert finding.message == (
        "the generator was too slow: it was more than 100 ms late for 60 of 1000 requests (P99 300 "
        "ms), with 50% of a processor; nothing is shown: use more workers, or less load"
    )
    assert list(record([*steady(960), *late[:40]]).own_faults()) == []


def test_a_report_draws_some_of_many_requests() -> None:
    """From the first to the last."""
    course = record(steady(10_000), seconds=100.0).course(500.0)

    assert len(course.points) == 2000
    assert course.points[-1].at_ms > 99_000
    assert course.window is not None
    assert course.window.end_ms == 100_000


def told(made: Record, shots: Sequence[Shot], **limits: float) -> str:
    """What a watch says of shots."""
    return Watch(made, limits, 0.95).look(shots)


def test_a_load_that_keeps_its_limits_is_not_stopped() -> None:
    """In two hundred loads at their very limit, hardly one is stopped by chance."""
    stopped = 0
    for seed in range(200):
        chance = random.Random(seed)
        wrong = ["status 500" if chance.random() < 0.01 else "" for _ in range(1000)]
        shots = [Shot(s.due, 0, s.took, 0, w) for s, w in zip(steady(1000), wrong, strict=True)]
        stopped += told(record([]), shots, error_rate=0.01, p95_ms=500).startswith("error_rate")
    assert stopped <= 8


def test_a_load_is_stopped_when_nothing_can_change_the_verdict() -> None:
    """Of 1000 planned, 17 wrong ones cannot be within one percent, whatever comes."""
    shots = [Shot(s.due, 0, 0.01, 0, "status 500" if n % 60 == 0 else "")
             for n, s in enumerate(steady(1000))]  # fmt: skip
    said = told(record([]), shots, error_rate=0.01)

    assert said == "error_rate <= 0.01 is surely broken: 17 failed, whatever comes now"
    assert told(record([]), shots[:950], error_rate=0.01) == ""


def test_a_long_load_is_stopped_by_what_chance_does_not_explain() -> None:
    """An outage from the start of a soak of hours costs 32 requests."""
    shots = [Shot(s.due, 0, 0.01, 0, "status 503") for s in steady(100)]
    made = record([], seconds=7200.0, arrivals="poisson")

    assert told(made, shots, error_rate=0.01) == (
        "error_rate <= 0.01 is surely broken: 32 of 32 failed, 0.3 would be allowed"
    )
    assert told(made, steady(100, took=0.6), p95_ms=500, p50_ms=1000) == (
        "p95_ms <= 500 is surely broken: 32 of 32 took more than 500 ms, 1.6 would be allowed"
    )
    assert told(made, shots, min_rps=50) == ""


@pytest.mark.parametrize(
    ("name", "estimate", "limit", "said"),
    [
        ("p95_ms", Estimate(600, 550, 700), 500.0,
         "p95_ms is above the limit: 600 ms [550, 700] in 9 observations, at most 500 ms; why"),
        ("p95_ms", Estimate(9, 8, 700), 500.0,
         "p95_ms could not be shown to be at most 500 ms: 9 ms [8, 700] in 9 observations; why"),
        ("min_rps", Estimate(40, 39, 41), 50.0,
         "min_rps is below the limit: 40 [39, 41] in 9 observations, at least 50; why"),
        ("min_rps", Estimate(50, 49, 51), 50.0,
         "min_rps could not be shown to be at least 50: 50 [49, 51] in 9 observations; why"),
    ],
)  # fmt: skip
def test_a_limit_that_is_not_kept(name: str, estimate: Estimate, limit: float, said: str) -> None:
    """What, how much, and how many observations stand behind it."""
    least = name.startswith("min_")
    sides = (estimate.high < limit, estimate.low > limit)
    decision = Decision.BROKEN if sides[not least] else Decision.OPEN
    sample = Sample(estimate.value, estimate.low, estimate.high)
    (finding,) = broken(Measurement(name, (sample,), estimate, limit, decision, 9), "why")

    assert finding.message == said
    assert finding.code == f"slo.{'min-rps' if least else 'p95'}"
