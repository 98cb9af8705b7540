"""Limits shared by processes on one store: the arithmetic, with a clock of its own."""

from __future__ import annotations

import asyncio
import random

import pytest

from inlay.engine.lanesharing import IDLE, SEEN_S, SHARE_S, LaneSharing, share_of
from inlay.engine.limits import Lane
from inlay.errors import RateLimited
from inlay.stores.memory import MemoryStore
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
    assert pressed.requests.level == pressed.requests.capacity < 2, "what is saved up belongs to all"
    pressed.divide(1)
    assert pressed.requests.rate == pytest.approx(10 * 0.985)
    assert pressed.requests.level < 2
    assert pressed.requests.capacity == 600


def test_one_that_comes_later_waits_until_it_was_seen_and_shares_equally() -> None:
    clock = Clock()
    pressed = lane(clock, requests_per_second=100)
    mine = LaneSharing({"l": pressed}, wall=clock)
    notes = mine.notes(["l"], clock.now)
    assert [note.busy for note in notes] == [True], "nobody knows yet: it will have calls to make"
    mine.heard(notes, {"l": (BUSY,)})
    assert pressed.share == 0.5
    assert pressed.gate_until == clock.now + SEEN_S
    mine.heard(mine.notes(["l"], clock.now), {"l": (BUSY,)})
    assert pressed.share < 0.03, "it has nothing to do"


def test_who_takes_more_waits_a_look_and_who_takes_less_does_not() -> None:
    clock = Clock()
    pressed = lane(clock, requests_per_second=100)
    mine = LaneSharing({"l": pressed}, wall=clock)
    taken = []
    for others in ((), (BUSY,), (), (), (BUSY, BUSY), (QUIET, BUSY), (QUIET, BUSY)):
        pressed.begun += 1
        mine.heard(mine.notes(["l"], clock.now), {"l": others})
        taken.append(round(pressed.share, 2))
    assert taken == [1, 0.5, 0.5, 1, 0.33, 0.33, 0.5]


def test_shares_never_add_up_to_more_than_one_while_runners_come_and_go() -> None:
    clock = Clock()
    rng = random.Random(4)
    store = MemoryStore(clock=clock, alive=lambda runner, expires, now: expires > now)
    lanes = {name: lane(clock, requests_per_second=100) for name in "abcd"}
    sides = {name: LaneSharing({"l": one}, wall=clock) for name, one in lanes.items()}
    looking: set[str] = set()
    for _ in range(400):
        for name in "abcd":  # each looks once a second
            clock.now += SHARE_S / 4
            pressed = lanes[name]
            if name not in looking and rng.random() < 0.8:
                looking.add(name)
                pressed.divide(1)
                sides[name] = LaneSharing({"l": pressed}, wall=clock)
            if name in looking:
                pressed.begun += rng.random() < 0.5
                notes = sides[name].notes(["l"], clock.now)
                sides[name].heard(notes, store.share_lanes(name, notes))
                if rng.random() < 0.03:
                    store.share_lanes(name, [])
                    looking.discard(name)
            begins = [lanes[one] for one in looking if lanes[one].gate_until <= clock.now]
            assert sum(one.share for one in begins) <= 1 + IDLE * len(begins)


def test_limits_that_headers_told_one_runner_reach_the_others() -> None:
    clock = Clock()
    one, other = lane(clock), lane(clock)
    teller, hearer = LaneSharing({"l": one}, wall=clock), LaneSharing({"l": other}, wall=clock)
    told = {"x-ratelimit-limit-requests": "600", "x-ratelimit-limit-tokens": "60000"}
    one.succeeded(clock.now, {**told, "x-ratelimit-remaining-requests": "18"})
    clock.now += 3
    [said] = teller.notes(["l"], clock.now)
    assert (said.requests_per_minute, said.tokens_per_minute, said.told_at) == (600, 60000, clock.now - 3)
    older = LaneNote("l", True, requests_per_minute=6, told_at=clock.now - 9)
    hearer.heard(hearer.notes(["l"], clock.now), {"l": (older, said, BUSY)})
    assert other.requests is not None
    assert other.tokens is not None
    assert other.requests.rate == pytest.approx(10 * 0.985 / 4)
    assert other.requests.capacity < 2
    assert other.tokens.rate == other.tokens.capacity == pytest.approx(1000 * 0.985 / 4)
    assert hearer.notes(["l"], clock.now)[0].told_at == 0, "what was heard is not said again"
    other.succeeded(clock.now, {"x-ratelimit-limit-requests": "1200"})
    teller.heard([said], {"l": hearer.notes(["l"], clock.now)})
    assert other.requests.rate == pytest.approx(20 * 0.985 / 4), "its own headers count for more"
    assert one.told_requests == 600


def test_a_declared_limit_stands_whatever_others_were_told() -> None:
    clock = Clock()
    pressed = lane(clock, requests_per_second=100, tokens_per_minute=6000)
    pressed.hear(600, 60)
    assert pressed.requests is not None
    assert pressed.tokens is not None
    assert (pressed.requests.rate, pressed.tokens.rate) == (100, 100)


def test_a_429_beside_others_slows_a_told_rate_a_little_and_success_brings_it_back() -> None:
    clock = Clock()
    pressed = lane(clock)
    pressed.divide(0.5)
    headers = {"x-ratelimit-limit-requests": "600"}
    pressed.succeeded(clock.now, headers)
    assert pressed.requests is not None
    full = pressed.requests.rate
    for _ in range(2):  # the first one only makes it go evenly
        clock.now += 1
        pressed.failed(RateLimited("slow down"), clock.now)
    assert pressed.requests.rate == pytest.approx(full * 0.97)
    for _ in range(160):
        pressed.succeeded(clock.now, headers)
    assert pressed.requests.rate == pytest.approx(full)


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
