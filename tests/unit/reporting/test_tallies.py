"""Counts and bins: exact, whatever the values."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.reporting import tallies as module
from inlay.reporting.facts import Distribution
from inlay.reporting.tallies import Counter, Tallies
from inlay.spec.fields import FieldSpec


def counted(spec: FieldSpec, *batches: pa.Array) -> tuple[Distribution, ...]:
    with Tallies() as tallies:
        counter = Counter(tallies, spec, ("x",))
        for batch in batches:
            counter.add(batch)
            tallies.flush()
        return counter.distributions()


def whole(found: Distribution) -> int:
    return sum(bar.count for bar in found.bars) + found.others


def test_the_most_frequent_values_come_first_and_the_rest_is_counted() -> None:
    values = [f"v{index:02}" for index in range(30) for _ in range(index + 1)]
    (found,) = counted(FieldSpec(), pa.array(values), pa.array([None, "v00"]))
    assert (found.counted, found.distinct, len(found.bars)) == (466, 30, 20)
    assert (found.bars[0].text, found.bars[0].count) == ("v29", 30)
    assert whole(found) == 466


def test_counts_are_summed_up_before_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MERGE_ABOVE", 5)
    (found,) = counted(FieldSpec(), *[pa.array(["a", "b", f"n{index}"]) for index in range(20)])
    assert found.counted == 60
    assert [(bar.text, bar.count) for bar in found.bars[:2]] == [("a", 20), ("b", 20)]


def test_few_whole_numbers_have_a_bin_each() -> None:
    (found,) = counted(FieldSpec(type="integer"), pa.array([3, 3, 5, None, 7]))
    assert [(bar.low, bar.high, bar.count) for bar in found.bars] == [
        (3, 3, 2),
        (4, 4, 0),
        (5, 5, 1),
        (6, 6, 0),
        (7, 7, 1),
    ]


def test_numbers_over_many_decades_get_bins_by_decade() -> None:
    (found,) = counted(FieldSpec(type="number"), pa.array([0.5, 2.0, 30.0, 400.0, 5_000.0, 60_000.0, 1e6]))
    edges = [bar.low for bar in found.bars]
    assert all(later > edge for edge, later in pairwise(edges))
    assert whole(found) == 7
    assert len(found.bars) <= 20


def test_a_value_far_out_does_not_press_the_others_into_one_bin() -> None:
    (found,) = counted(FieldSpec(type="number"), pa.array([float(n % 50) - 25 for n in range(500)] + [1e9]))
    assert found.high == 1e9
    assert found.others >= 1
    assert sum(bar.count > 0 for bar in found.bars) > 5
    assert whole(found) == 501


@given(st.lists(st.floats(-1e300, 1e300, allow_nan=False), min_size=1, max_size=60))
def test_no_number_is_lost(values: list[float]) -> None:
    (found,) = counted(FieldSpec(type="number"), pa.array(values))
    assert whole(found) == found.counted == len(values)
    assert 1 <= len(found.bars) <= 40


@given(st.lists(st.dates(), min_size=1, max_size=40))
def test_no_day_is_lost(values: list[dt.date]) -> None:
    (found,) = counted(FieldSpec(type="date"), pa.array(values, pa.date32()))
    assert whole(found) == len(values)
    assert (found.first, found.last) == (min(values).isoformat(), max(values).isoformat())
    assert 1 <= len(found.bars) <= 40


def test_moments_are_counted_by_day_month_or_year() -> None:
    def bars(*moments: dt.datetime) -> list[str]:
        (found,) = counted(FieldSpec(type="datetime"), pa.array(moments, pa.timestamp("us", "UTC")))
        return [bar.text for bar in found.bars]

    first = dt.datetime(2026, 1, 30, 23, 59, tzinfo=dt.UTC)
    assert bars(first, dt.datetime(2026, 2, 1, tzinfo=dt.UTC)) == ["2026-01-30", "2026-01-31", "2026-02-01"]
    assert bars(first, dt.datetime(2026, 4, 1, tzinfo=dt.UTC)) == ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert bars(first, dt.datetime(2030, 4, 1, tzinfo=dt.UTC)) == ["2026", "2027", "2028", "2029", "2030"]


def test_lists_count_their_items_and_objects_their_parts() -> None:
    tags, lengths = counted(FieldSpec(type="list"), pa.array([["a", "b"], ["a"], [], None]))
    assert {bar.text: bar.count for bar in tags.bars} == {"a": 2, "b": 1}
    assert (lengths.counted, lengths.low, lengths.high) == (3, 0, 2)
    spec = FieldSpec(type="object", fields={"city": FieldSpec(), "far": FieldSpec(type="boolean")})
    city, far = counted(spec, pa.array([{"city": "東京", "far": True}, {"city": None, "far": False}, None]))
    assert (city.label, [(bar.text, bar.count) for bar in city.bars]) == ("city", [("東京", 1)])
    assert (far.label, far.counted) == ("far", 2)


def test_confidence_has_ten_bins_and_a_mean() -> None:
    with Tallies() as tallies:
        tallies.add_numbers(tallies.slot("c"), pa.array([0.0, 0.1, 0.3, 0.99, 1.0, None]))
        tallies.flush()
        found = tallies.confidence("c")
        assert tallies.confidence("nothing") is None
    assert found is not None
    assert found.bins == (1, 1, 0, 1, 0, 0, 0, 0, 0, 2)
    assert (found.counted, found.mean) == (5, pytest.approx(0.478))
