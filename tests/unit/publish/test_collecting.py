"""Python's search for cycles is rare while rows are published, and as the program set it afterwards."""

from __future__ import annotations

import gc

import pytest

from inlay.publish.collecting import rare_collections


@pytest.fixture
def threshold():
    """A setting of the program's own, put back in the end."""
    before = gc.get_threshold()
    gc.set_threshold(701, 11, 12)
    yield (701, 11, 12)
    gc.set_threshold(*before)


def test_the_search_is_rare_until_the_last_publisher_is_through(threshold):
    with rare_collections():
        with rare_collections():
            assert gc.get_threshold()[0] > 100_000
        assert gc.get_threshold()[0] > 100_000
    assert gc.get_threshold() == threshold


def test_the_setting_is_back_after_an_error(threshold):
    with pytest.raises(KeyError), rare_collections():
        raise KeyError
    assert gc.get_threshold() == threshold


@pytest.mark.parametrize("first", [0, 10_000_000])
def test_a_program_that_searches_never_or_more_rarely_is_left_alone(threshold, first):
    gc.set_threshold(first, 11, 12)
    with rare_collections():
        assert gc.get_threshold() == (first, 11, 12)
    assert gc.get_threshold() == (first, 11, 12)
