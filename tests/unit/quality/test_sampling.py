"""Which known rows are asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import PlanError
from inlay.quality.sampling import Taken, allocation, read_rows, take
from inlay.spec.model import SelectSpec, SourceSpec
from inlay.tables.frames import FrameSource
from inlay.tables.keys import OfKeys

SPEC = SourceSpec(files=("f",), key=("id",))


def source_of(labels: list[str | None]) -> FrameSource:
    ids = [f"k{place:04}" for place in range(len(labels))]
    return FrameSource(pa.table({"id": ids, "label": pa.array(labels, pa.string()), "n": range(len(labels))}), SPEC)


MANY = source_of([*["日本"] * 900, *["中国"] * 80, *["ミャンマー"] * 3, None, "", "  ", *["レソト"] * 14])
SELECT = SelectSpec(placeholders=("レソト",))


def taken(source: FrameSource = MANY, n: int = 50, **more: Any) -> Taken:
    return take(source, ("id",), more.pop("select", SELECT), more.pop("columns", ["label"]), n, **more)


def labels_of(sample: Taken, source: FrameSource = MANY) -> Counter[str | None]:
    narrow = OfKeys(source, ("id",), sample.weights)
    rows = [row for batch in read_rows(narrow, ("id",), ["label"], ["n"], ["レソト"]) for row in batch]
    assert {row.key for row in rows} == set(sample.weights)
    return Counter(row.truths["label"] for row in rows)


def test_missing_values_and_placeholders_are_never_truth() -> None:
    sample = taken(n=5_000)
    assert (sample.known, len(sample.weights)) == (983, 983)
    assert set(labels_of(sample)) == {"日本", "中国", "ミャンマー"}
    assert set(sample.weights.values()) == {1.0}


def test_rare_values_are_seen_and_reckoned_back() -> None:
    sample = taken()
    seen = labels_of(sample)
    assert len(sample.weights) == 50
    assert (seen["ミャンマー"], sample.strata, sample.labels) == (2, 3, 3)
    assert seen["日本"] < 45
    assert sum(sample.weights.values()) == pytest.approx(983)


def test_proportional_takes_them_as_they_come() -> None:
    sample = taken(n=100, method="proportional")
    assert set(sample.weights.values()) == {9.83}
    assert labels_of(sample)["日本"] > 80


def test_the_same_seed_takes_the_same_rows_and_more_keeps_them() -> None:
    assert taken() == taken()
    assert set(taken().weights) != set(taken(seed=1).weights)
    for method in ("stratified", "proportional"):
        few = set(taken(n=30, method=method).weights)
        assert few < set(taken(n=200, method=method).weights)


def test_more_values_than_rows_still_stand_for_all() -> None:
    source = source_of([f"v{place}" for place in range(500)] + ["often"] * 500)
    sample = taken(source, 20)
    assert len(sample.weights) == 20
    assert sum(sample.weights.values()) == pytest.approx(1000)
    assert labels_of(sample, source)["often"] >= 1


def test_where_narrows_and_an_empty_sample_says_why() -> None:
    assert taken(select=SelectSpec(where="n < 10"), n=100).known == 10
    with pytest.raises(PlanError, match="no selected row has a known value in label") as error:
        taken(select=SelectSpec(where="n < 0"))
    assert "--where" in error.value.remedy


def test_any_of_several_columns_makes_a_row_known() -> None:
    table = pa.table({"id": ["1", "2", "3"], "a": ["x", None, ""], "b": [None, "y", ""]})
    sample = take(FrameSource(table, SPEC), ("id",), SelectSpec(), ["a", "b"], 10)
    assert set(sample.weights) == {"1", "2"}


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40), st.integers(1, 500))
def test_parts_add_up_and_nothing_is_left_out(sizes: list[int], n: int) -> None:
    parts = allocation(sizes, n)
    assert all(0 <= part <= size for part, size in zip(parts, sizes, strict=True))
    if len(sizes) <= n:
        assert sum(parts) == min(n, sum(sizes))
        assert all(parts)
