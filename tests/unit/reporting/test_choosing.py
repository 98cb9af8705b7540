"""Which rows a report shows."""

from __future__ import annotations

import random

from inlay.reporting.choosing import Chooser, Traits

ROWS = {
    f"k{index}": Traits(
        failed=index % 97 == 0,
        low=(index % 10) / 10,
        mean=(index % 7) / 7,
        missed=index % 41 == 0,
        human=index == 500,
        filled=index % 3,
    )
    for index in range(1_000)
}


def chosen(keys: list[str], most: int) -> list[tuple[str, tuple[str, ...]]]:
    chooser = Chooser(most)
    for key in keys:
        chooser.offer(key, ROWS[key], lambda key=key: {"id": key})
    return [(one.key, one.why) for one in chooser.chosen() if one.row == {"id": one.key}]


def test_every_kind_is_there_and_no_more_than_asked_for() -> None:
    found = chosen(list(ROWS), 12)
    assert len(found) == 12 == len(dict(found))
    assert {word for _, why in found for word in why} == {
        "something failed",
        "lowest confidence",
        "a quote that is not in the text",
        "corrected by hand",
        "highest confidence",
        "taken from the rest",
    }
    for most in (0, 1, 2, 5, 50):
        assert len(chosen(list(ROWS), most)) == most


def test_the_order_of_the_rows_changes_nothing() -> None:
    shuffled = list(ROWS)
    random.Random(3).shuffle(shuffled)
    assert chosen(shuffled, 12) == chosen(list(ROWS), 12)


def test_rows_without_answers_are_not_shown() -> None:
    chooser = Chooser(12)
    chooser.offer("a", Traits(False, None, None, False, False, 0), dict)
    assert chooser.chosen() == []
