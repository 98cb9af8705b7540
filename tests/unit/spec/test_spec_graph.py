"""The order of passes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.spec.graph import find_cycle, ordered
from inlay.spec.model import PassSpec


def one(name: str, *reads: str) -> PassSpec:
    upstream = tuple((other, "f") for other in reads)
    return PassSpec.model_validate({"name": name, "prompt": "x", "fields": {"f": {}}, "upstream": upstream})


def names(*passes: PassSpec) -> list[str]:
    return [spec.name for spec in ordered(passes)]


def test_what_is_read_comes_first_and_the_rest_keeps_its_order() -> None:
    assert names(one("c", "a"), one("b"), one("a"), one("d", "c", "b")) == ["b", "a", "c", "d"]
    assert names(one("z"), one("y"), one("x")) == ["z", "y", "x"]


def test_circles_are_named() -> None:
    assert find_cycle((one("a", "b"), one("b", "c"), one("c", "b"))) == ("b", "c", "b")
    assert find_cycle((one("a", "a"),)) == ("a", "a")
    with pytest.raises(SpecError, match="in a circle: a → b → a") as caught:
        ordered((one("z"), one("a", "b"), one("b", "a")))
    assert caught.value.remedy


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 8).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1), max_size=3), min_size=n, max_size=n))
)
def test_an_order_or_a_true_circle(edges: list[set[int]]) -> None:
    passes = [one(f"p{index}", *(f"p{other}" for other in sorted(others))) for index, others in enumerate(edges)]
    reads = {spec.name: set(spec.upstream_passes) for spec in passes}
    cycle = find_cycle(passes)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in reads[before] for before, after in itertools.pairwise(cycle))
    else:
        order = names(*passes)
        assert sorted(order) == sorted(reads)
        assert all(order.index(other) < order.index(name) for name, others in reads.items() for other in others)
