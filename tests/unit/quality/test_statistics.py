"""The figures, held against published values and against their definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.quality.statistics import Counts, calibration, largest_share, share, sign_test, wilson

weights = st.floats(0.1, 1000)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Wilson's interval as R's prop.test(correct=FALSE) and statsmodels' proportion_confint give it.
        (8, 10, 0.49016, 0.94332),
        (50, 100, 0.40383, 0.59617),
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        (15, 148, 0.06241, 0.16054),  # Newcombe 1998, method 3, gives 0.0624 and 0.1605
        (81, 263, 0.2553, 0.3662),  # the same paper
    ],
)
def test_wilson_is_as_published(right: int, n: int, low: float, high: float) -> None:
    found = wilson(right / n, n)
    assert found == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0.0, 0) == (0.0, 1.0)


@given(st.lists(st.tuples(weights, st.booleans()), min_size=1, max_size=60), st.floats(0.01, 100))
def test_a_share_lies_in_its_interval_and_does_not_change_with_the_unit_of_weights(
    judged: list[tuple[float, bool]], unit: float
) -> None:
    found = share(judged)
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx(sum(w for w, x in judged if x) / sum(w for w, _ in judged))
    scaled = share([(weight * unit, is_true) for weight, is_true in judged])
    assert scaled is not None
    assert scaled.value == pytest.approx(found.value)
    assert (scaled.low, scaled.high) == (pytest.approx(found.low), pytest.approx(found.high))


@given(st.integers(1, 200), st.integers(0, 200))
def test_equal_weights_are_no_weights(n: int, right: int) -> None:
    right = min(n, right)
    found = share([(7.0, place < right) for place in range(n)])
    assert found is not None
    assert (found.n, found.right) == (n, right)
    assert (found.low, found.high) == pytest.approx(wilson(right / n, n))


def test_a_share_of_nothing_is_none() -> None:
    assert share([]) is None
    assert calibration([]) is None
    assert largest_share({}) is None


def test_calibration_by_hand() -> None:
    found = calibration([(1, 0.95, True), (1, 0.95, False), (1, 0.15, False), (1, 1.0, True)])
    assert found is not None
    assert [(one.low, one.n) for one in found.bins] == [(0.1, 1), (0.9, 3)]
    assert found.brier == pytest.approx((0.05**2 + 0.95**2 + 0.15**2 + 0) / 4)
    assert found.ece == pytest.approx(1 / 4 * 0.15 + 3 / 4 * abs(2.9 / 3 - 2 / 3))


@given(st.lists(st.tuples(weights, st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_counts_everything_and_stays_in_bounds(judged: list[tuple[float, float, bool]]) -> None:
    found = calibration(judged)
    assert found is not None
    assert sum(one.n for one in found.bins) == found.n == len(judged)
    assert 0 <= found.ece <= 1 + 1e-9
    assert 0 <= found.brier <= 1 + 1e-9
    assert all(one.low - 1e-8 <= one.confidence <= one.high + 1e-8 for one in found.bins)


@pytest.mark.parametrize(("one", "other", "p"), [(1, 9, 0.021484375), (0, 5, 0.0625), (5, 5, 1.0), (0, 0, 1.0)])
def test_the_sign_test_is_the_exact_binomial(one: int, other: int, p: float) -> None:
    assert sign_test(one, other) == pytest.approx(p)


def test_the_sign_test_of_thousands_stays_a_number() -> None:
    assert 0 < sign_test(4_800, 5_200) < 1e-4
    assert math.isclose(sign_test(5_000, 5_000), 1.0)


def test_precision_recall_and_f1() -> None:
    counts = Counts(both=3, found=4, meant=6)
    assert (counts.precision, counts.recall, counts.f1) == (0.75, 0.5, pytest.approx(0.6))
    assert (Counts().precision, Counts().recall, Counts().f1) == (None, None, None)
    assert Counts(0, 0, 4).f1 == 0


def test_the_most_frequent_of_equals_is_the_first_by_name() -> None:
    assert largest_share({"b": 2, "a": 2, "c": 1}) == ("a", 0.4)
