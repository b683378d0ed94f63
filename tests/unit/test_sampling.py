"""Tests of `pytest_release.sampling`."""

from __future__ import annotations

import math
import random
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_release.errors import EvidenceError
from pytest_release.sampling import (
    Decision,
    Estimate,
    Sample,
    at_least,
    binomial_tail,
    decide,
    mean_estimate,
    percentile,
    percentile_estimate,
    percentile_interval,
    proportion_estimate,
    ranks,
    student_t,
)

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: critical values for 1 to 30 degrees
STUDENT = {
    0.90: "6.314 2.920 2.353 2.132 2.015 1.943 1.895 1.860 1.833 1.812 1.796 1.782 1.771 1.761"
    " 1.753 1.746 1.740 1.734 1.729 1.725 1.721 1.717 1.714 1.711 1.708 1.706 1.703 1.701 1.699"
    " 1.697",
    0.95: "12.706 4.303 3.182 2.776 2.571 2.447 2.365 2.306 2.262 2.228 2.201 2.179 2.160 2.145"
    " 2.131 2.120 2.110 2.101 2.093 2.086 2.080 2.074 2.069 2.064 2.060 2.056 2.052 2.048 2.045"
    " 2.042",
    0.99: "63.657 9.925 5.841 4.604 4.032 3.707 3.499 3.355 3.250 3.169 3.106 3.055 3.012 2.977"
    " 2.947 2.921 2.898 2.878 2.861 2.845 2.831 2.819 2.807 2.797 2.787 2.779 2.771 2.763 2.756"
    " 2.750",
}


def exactly(*values: float) -> list[Sample]:
    """Samples without an error of their own."""
    return [Sample(value, value, value) for value in values]


@pytest.mark.parametrize(("value", "low", "high"), [(1, 1, 1), (0, -1, 1), (-2.5, -3, 1e9)])
def test_a_sample_lies_in_its_interval(value: float, low: float, high: float) -> None:
    """Both ends included."""
    sample = Sample(value, low, high)

    assert (sample.low, sample.value, sample.high) == (low, value, high)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (1, 2, 3),
        (4, 2, 3),
        (2, 3, 2),
        (math.nan, 0, 1),
        (0, math.nan, 1),
        (0, 0, math.nan),
        (1, 0, math.inf),
        (1, -math.inf, 1),
        (math.inf, math.inf, math.inf),
    ],
)
def test_a_sample_outside_its_interval_is_no_evidence(
    value: float, low: float, high: float
) -> None:
    """Nor is one that is not finite."""
    message = (
        f"a sample must satisfy low <= value <= high and be finite, got {low} <= {value} <= {high}"
    )

    with pytest.raises(EvidenceError, match=f"^{re.escape(message)}$"):
        Sample(value, low, high)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        # https://en.wikipedia.org/wiki/Percentile, the nearest-rank method
        ([15, 20, 35, 40, 50], {0.05: 15, 0.3: 20, 0.4: 20, 0.5: 35, 1: 50}),
        ([3, 6, 7, 8, 8, 10, 13, 15, 16, 20], {0.25: 7, 0.5: 8, 0.75: 15, 1: 20}),
        ([3, 6, 7, 8, 8, 9, 10, 13, 15, 16, 20], {0.25: 7, 0.5: 9, 0.75: 15, 1: 20}),
        ([7], {1e-9: 7, 0.5: 7, 0.95: 7, 1: 7}),
        # 0.95 * 20 and 0.07 * 100 are no whole numbers in binary
        (list(range(1, 21)), {0.95: 19, 0.951: 20, 0.9: 18}),
        (list(range(1, 101)), {0.07: 7, 0.29: 29, 0.57: 57, 0.99: 99, 0.999: 100}),
    ],
)
def test_a_percentile_is_the_nearest_rank(
    values: list[float], expected: dict[float, float]
) -> None:
    """One of the values itself, whatever order they come in."""
    random.Random(7).shuffle(values)

    assert {share: percentile(values, share) for share in expected} == expected


@pytest.mark.parametrize("share", [0, -0.1, 1.1, 95, math.nan, math.inf])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    """95 is no share."""
    message = re.escape(f"a percentile's share must be in (0, 1], got {share}")

    with pytest.raises(EvidenceError, match=f"^{message}$"):
        percentile([1], share)


def test_statistics_of_nothing_do_not_exist() -> None:
    """They are no zeros."""
    with pytest.raises(EvidenceError, match=r"^a percentile of no values does not exist$"):
        percentile([], 0.5)
    with pytest.raises(EvidenceError, match=r"^a percentile of no values does not exist$"):
        percentile_estimate([], 0.5)
    with pytest.raises(EvidenceError, match=r"^a mean of no samples does not exist$"):
        mean_estimate([], 0.95)


@pytest.mark.parametrize("confidence", STUDENT)
def test_student_agrees_with_the_published_table(confidence: float) -> None:
    """For 1 to 30 degrees of freedom, to the three digits that are printed."""
    published = [float(text) for text in STUDENT[confidence].split()]

    assert len(published) == 30
    assert [round(student_t(confidence, n), 3) for n in range(1, 31)] == published


@pytest.mark.parametrize(
    ("confidence", "degrees", "expected"),
    [
        (0.5, 1, 1.0),  # exactly: the quartiles of Cauchy's distribution
        (0.95, 194, 1.9723),  # the handbook's example, 1.3.5.2
        (0.95, 999, 1.9623),
        (0.999, 10, 4.5869),
        (0.9999999, 1, 2 / math.pi * 1e7),
    ],
)
def test_student_far_from_the_table(confidence: float, degrees: int, expected: float) -> None:
    """Many degrees approach the normal distribution; one has heavy tails."""
    assert student_t(confidence, degrees) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("confidence", [0, 1, -1, 95, math.nan])
def test_a_confidence_out_of_range_is_refused(confidence: float) -> None:
    """Whatever the number of samples."""
    message = re.escape(f"a confidence must be in (0, 1), got {confidence}")

    with pytest.raises(EvidenceError, match=f"^{message}$"):
        student_t(confidence, 3)
    with pytest.raises(EvidenceError, match=f"^{message}$"):
        mean_estimate(exactly(1), confidence)


def test_student_needs_a_degree_of_freedom() -> None:
    """One sample has no spread."""
    expected = "^Student's t needs at least 1 degree of freedom, got 0$"

    with pytest.raises(EvidenceError, match=expected):
        student_t(0.95, 0)


@pytest.mark.parametrize(
    ("samples", "confidence", "expected"),
    [
        (exactly(5), 0.95, (5, 5, 5)),
        ([Sample(5, 4, 7)], 0.95, (5, 4, 7)),
        (exactly(4, 4, 4), 0.95, (4, 4, 4)),
        # s = 1.58114, t = 2.77645
        (exactly(1, 2, 3, 4, 5), 0.95, (3, 3 - 1.96324, 3 + 1.96324)),
        # s = 1.41421, t = 6.31375
        (exactly(12, 14), 0.9, (13, 13 - 6.31375, 13 + 6.31375)),
        ([Sample(12, 11, 14), Sample(14, 13, 14)], 0.9, (13, 12 - 6.31375, 14 + 6.31375)),
        # no sample can be negative, so neither can their mean
        (exactly(2, 4), 0.9, (3, 0, 3 + 6.31375)),
        ([Sample(2, -1, 2), Sample(4, 4, 4)], 0.9, (3, 1.5 - 6.31375, 3 + 6.31375)),
    ],
)
def test_a_mean_has_students_interval(
    samples: list[Sample], confidence: float, expected: tuple[float, float, float]
) -> None:
    """Widened by what the clocks could not tell."""
    estimate = mean_estimate(samples, confidence)

    assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected, abs=1e-5)


def test_a_percentile_carries_its_samples_error() -> None:
    """Each end is the percentile of that end."""
    samples = [Sample(10, 9, 30), Sample(20, 1, 21), Sample(15, 15, 15)]

    assert percentile_estimate(samples, 0.5) == Estimate(15, 9, 21)
    assert percentile_estimate(samples, 1) == Estimate(20, 15, 30)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (90, 99.9, Decision.KEPT),
        (90, 100, Decision.KEPT),
        (100, 100, Decision.KEPT),
        (90, 100.1, Decision.OPEN),
        (100, 110, Decision.OPEN),
        (100.1, 110, Decision.BROKEN),
        (-math.inf, math.inf, Decision.OPEN),
        (math.nan, math.nan, Decision.OPEN),
    ],
)
def test_a_limit_is_kept_only_by_the_whole_interval(
    low: float, high: float, expected: Decision
) -> None:
    """The limit itself is still kept; what cannot be compared stays open."""
    assert decide(Estimate((low + high) / 2, low, high), 100) is expected


NUMBERS = st.floats(-1e9, 1e9)
SAMPLES = st.lists(
    st.tuples(NUMBERS, st.floats(0, 1e3), st.floats(0, 1e3)).map(
        lambda part: Sample(part[0], part[0] - part[1], part[0] + part[2])
    ),
    min_size=1,
    max_size=8,
)
CONFIDENCE = st.floats(0.01, 0.999)


@given(samples=SAMPLES, confidence=CONFIDENCE, share=st.floats(0.01, 1))
def test_an_estimate_lies_in_its_interval(
    samples: list[Sample], confidence: float, share: float
) -> None:
    """Mean and percentile; the interval is never narrower than the clocks' error."""
    for estimate in (mean_estimate(samples, confidence), percentile_estimate(samples, share)):
        assert estimate.low <= estimate.value <= estimate.high
        assert min(s.low for s in samples) <= estimate.value <= max(s.high for s in samples)


@given(samples=SAMPLES, confidence=CONFIDENCE, wider=st.floats(0.001, 1e3))
def test_uncertainty_only_grows(samples: list[Sample], confidence: float, wider: float) -> None:
    """With the clocks' error and with the confidence; it shrinks with more of the same samples."""
    blurred = [Sample(s.value, s.low - wider, s.high + wider) for s in samples]

    narrow = mean_estimate(samples, confidence)
    blurry = mean_estimate(blurred, confidence)
    surer = mean_estimate(samples, (1 + confidence) / 2)
    more = mean_estimate([*samples, *samples], confidence)

    assert blurry.low <= narrow.low <= narrow.high <= blurry.high
    assert surer.low <= narrow.low <= narrow.high <= surer.high
    assume(len(samples) > 1)
    width = narrow.high - narrow.low
    assert more.high - more.low <= width + 1e-9 * max(width, 1)


@given(values=st.lists(NUMBERS, min_size=1, max_size=20), share=st.floats(0.01, 1))
def test_enough_values_do_not_exceed_a_percentile(values: list[float], share: float) -> None:
    """At least the share of them, and no smaller value would do."""
    found = percentile(values, share)

    enough = share * len(values) - 1e-6
    assert found in values
    assert sum(value <= found for value in values) >= enough
    assert sum(value < found for value in values) < share * len(values)


@given(low=NUMBERS, width=st.floats(0, 1e6), limit=NUMBERS, looser=st.floats(0, 1e6))
def test_a_looser_limit_is_never_harder_to_keep(
    low: float, width: float, limit: float, looser: float
) -> None:
    """Decisions go from broken over open to kept as the limit grows."""
    order = [Decision.BROKEN, Decision.OPEN, Decision.KEPT]
    estimate = Estimate(low, low, low + width)

    tight, loose = decide(estimate, limit), decide(estimate, limit + looser)

    assert order.index(tight) <= order.index(loose)


@pytest.mark.parametrize(
    ("low", "high", "decision"),
    [
        (50, 60, Decision.KEPT),
        (49.9, 60, Decision.OPEN),
        (40, 50, Decision.OPEN),
        (40, 49.9, Decision.BROKEN),
    ],
)
def test_a_limit_that_must_be_reached(low: float, high: float, decision: Decision) -> None:
    """Is kept only when the whole interval lies at or above it."""
    assert at_least("min_rps")
    assert not at_least("p95_ms")
    assert decide(Estimate(low, low, high), 50, least=True) is decision


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [
        (10, 0.5, (2, 9)),
        (100, 0.5, (40, 61)),
        (100, 0.95, (90, 100)),
        (72, 0.95, (64, 72)),
        (71, 0.95, (63, 72)),  # 0.95 ** 71 is above 0.025: no value is surely above
        (367, 0.99, (359, 368)),
        (368, 0.99, (360, 368)),
        (1, 0.5, (0, 2)),
    ],
)
def test_ranks_of_a_percentile(count: int, share: float, expected: tuple[int, int]) -> None:
    """Each misses it with a chance of 0.025 at most, and the next one inwards with more."""
    low, high = ranks(count, share, 0.95)

    assert (low, high) == expected
    assert high == count + 1 or binomial_tail(count, high, share) <= 0.025
    assert binomial_tail(count, high - 1, share) > 0.025
    assert 1 - binomial_tail(count, low, share) <= 0.025 + 1e-12
    assert 1 - binomial_tail(count, low + 1, share) > 0.025


def test_a_percentiles_interval_holds_it_as_often_as_it_says() -> None:
    """Whatever the distribution: here with a long tail."""
    held = 0
    for seed in range(1000):
        values = [random.Random(f"{seed}/{n}").expovariate(1) for n in range(100)]
        found = percentile_interval(values, 0.9, 0.95, 1e9)
        held += found.low <= -math.log(0.1) <= found.high

    assert held >= 940


def test_too_few_values_leave_a_percentile_open() -> None:
    """The interval ends where no value can be beyond, and begins at zero at most."""
    assert percentile_interval([3.0, 1.0, 2.0], 0.99, 0.95, 500.0) == Estimate(3.0, 2.0, 500.0)
    assert percentile_interval([600.0], 0.5, 0.95, 500.0) == Estimate(600.0, 0.0, 600.0)


@pytest.mark.parametrize(
    ("number", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Newcombe 1998, Statistics in Medicine 17, tables of Wilson's
        (15, 148, 0.0624, 0.1605),
        (81, 263, 0.2553, 0.3662),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_a_shares_interval(number: int, count: int, low: float, high: float) -> None:
    """As published, and exact at its ends."""
    found = proportion_estimate(number, count, 0.95)

    assert found.value == number / count
    assert [found.low, found.high] == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(("number", "count"), [(0, 0), (-1, 5), (6, 5)])
def test_a_share_that_is_none(number: int, count: int) -> None:
    """Of nothing, or of less."""
    with pytest.raises(EvidenceError, match=f"a share of {number} in {count} does not exist"):
        proportion_estimate(number, count, 0.95)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_an_interval_needs_a_confidence(confidence: float) -> None:
    """Between 0 and 1."""
    said = re.escape(f"a confidence must be in (0, 1), got {confidence}")
    with pytest.raises(EvidenceError, match=said):
        proportion_estimate(1, 2, confidence)
    with pytest.raises(EvidenceError, match=said):
        ranks(10, 0.5, confidence)


def test_tails_of_a_binomial_count() -> None:
    """Against the sum itself; and where there is nothing to sum."""
    exact = sum(math.comb(30, k) * 0.1**k * 0.9 ** (30 - k) for k in range(7, 31))

    assert binomial_tail(30, 7, 0.1) == pytest.approx(exact)
    assert binomial_tail(30, 0, 0.1) == 1.0
    assert binomial_tail(5, 5, 1.0) == 1.0
    assert binomial_tail(5, 1, 0.0) == 0.0
    assert binomial_tail(1_000_000, 10_500, 0.01) < 1e-6
