"""Limits shared by processes on one store: the arithmetic, with a clock of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inlay.contracts import Store
from inlay.engine.lanesharing import SHARE_S, LaneSharing, share_of
from inlay.engine.limits import Lane
from inlay.errors import RateLimited
from inlay.stores.memory import MemoryStore
from inlay.stores.sqlite import SqliteStore
from inlay.types import LaneNote

BUSY, QUIET = LaneNote("l", True), LaneNote("l", False)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lane(clock: Clock, **limits: float) -> Lane[int]:
    return Lane("l", spawn=lambda lane: None, clock=clock, **limits)  # type: ignore[arg-type]


def test_shares_add_up_to_one_and_the_quiet_leave_theirs() -> None:
    assert share_of(True, ()) == 1
    assert share_of(True, (BUSY, BUSY, BUSY)) == 0.25
    assert share_of(True, (QUIET,)) > 0.97
    assert share_of(True, (BUSY, QUIET)) * 2 + share_of(False, (BUSY, BUSY)) == pytest.approx(1)


def test_a_share_divides_every_limit_and_comes_back_whole() -> None:
    clock = Clock()
    pressed = lane(clock, requests_per_second=100, tokens_per_minute=6000, concurrency=8)
    assert pressed.requests is not None
    assert pressed.tokens is not None
    pressed.divide(0.25)
    pressed.divide(0.25)
    assert (pressed.requests.rate, pressed.tokens.rate, pressed.limit) == (25, 25, 2)
    pressed.divide(1)
    assert (pressed.requests.rate, pressed.tokens.rate, pressed.limit) == (100, 100, 8)


def test_what_headers_say_is_divided_too() -> None:
    clock = Clock()
    pressed = lane(clock)
    pressed.divide(0.5)
    pressed.succeeded(clock.now, {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "500"})
    assert pressed.requests is not None
    assert pressed.requests.rate == pytest.approx(0.5 * 10 * 0.985)
    assert pressed.requests.level == 249


def test_one_that_comes_later_waits_until_it_was_seen_and_shares_equally() -> None:
    clock = Clock()
    pressed = lane(clock, requests_per_second=100)
    mine = LaneSharing({"l": pressed}, wall=clock)
    notes = mine.notes(["l"], clock.now)
    assert [note.busy for note in notes] == [False]
    mine.heard(notes, {"l": (BUSY,)})
    assert pressed.share == 0.5
    assert pressed.gate_until == clock.now + SHARE_S
    mine.heard(notes, {"l": (BUSY,)})
    assert pressed.share < 0.03, "it has nothing to do"


def test_a_wait_of_the_provider_reaches_the_others_once() -> None:
    async def told() -> None:
        clock = Clock()
        one, other = lane(clock, requests_per_second=10), lane(clock, requests_per_second=10)
        one.failed(RateLimited("slow", retry_after_s=20.0), clock.now)
        said = LaneSharing({"l": one}, wall=clock).notes(["l"], clock.now)
        assert 20 <= said[0].gate_until - clock.now <= 22
        heard = LaneSharing({"l": other}, wall=clock)
        heard.heard(heard.notes(["l"], clock.now), {"l": tuple(said)})
        assert other.gate_until == pytest.approx(said[0].gate_until)
        assert heard.notes(["l"], clock.now)[0].gate_until == 0, "what was heard is not said again"

    asyncio.run(told())


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
def test_a_store_keeps_notes_of_living_runners(tmp_path: Path, kind: str) -> None:
    clock = Clock()
    dead: set[str] = set()

    def alive(runner: str, expires: int, now: int) -> bool:
        return expires > now and runner not in dead

    store: Store = (
        SqliteStore(tmp_path / "s.db", clock=clock, alive=alive)
        if kind == "sqlite"
        else MemoryStore(clock=clock, alive=alive)
    )
    gated = LaneNote("l", True, 1010.5)
    assert store.share_lanes("a", [gated]) == {"l": ()}
    assert store.share_lanes("b", [QUIET, LaneNote("他", True)]) == {"l": (gated,), "他": ()}
    assert store.share_lanes("a", [BUSY]) == {"l": (QUIET,)}
    dead.add("b")
    assert store.share_lanes("a", [BUSY]) == {"l": ()}
    dead.clear()
    assert store.share_lanes("c", [BUSY]) == {"l": (BUSY,)}
    store.share_lanes("a", [])
    assert store.share_lanes("c", [BUSY]) == {"l": ()}
    clock.now += 60
    assert store.share_lanes("d", [BUSY]) == {"l": ()}
    store.close()
