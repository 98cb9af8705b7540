"""Lanes on a clock of their own: pacing, adapting, opening, and the one gate that a 429 closes for everybody."""

from __future__ import annotations

import asyncio
import random

import pytest

from inlay.engine.buckets import Bucket, paced
from inlay.engine.limits import PROBE_AFTER, Lane
from inlay.errors import Overloaded, RateLimited


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock, **options) -> Lane[int]:
    return Lane("test", spawn=lambda lane: None, clock=clock, rng=random.Random(1), **options)


async def handed_out(lane: Lane[int], workers: int) -> list[asyncio.Task[int | None]]:
    tasks = [asyncio.create_task(lane.take()) for _ in range(workers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [task for task in tasks if task.done()]


def test_a_bucket_refills_evenly_and_never_above_its_capacity():
    bucket = Bucket(2.0, 4.0, 0.0)
    bucket.take(4)
    assert bucket.wait(1, 0.0) == pytest.approx(0.5)
    assert bucket.wait(1, 0.5) == 0.0
    assert bucket.wait(4, 100.0) == 0.0
    bucket.take(4)
    assert bucket.wait(1, 100.0) == pytest.approx(0.5)


def test_more_than_the_capacity_goes_when_the_bucket_is_full():
    bucket = Bucket(1.0, 10.0, 0.0)
    assert bucket.wait(50, 0.0) == 0.0
    bucket.take(50)
    assert bucket.wait(1, 0.0) == pytest.approx(41.0)


def test_a_declared_rate_allows_no_burst():
    bucket = paced(5.0, 0.0)
    assert bucket.wait(1, 0.0) == 0.0
    bucket.take(1)
    assert bucket.wait(1, 0.0) == pytest.approx(0.2)


async def _opening():
    clock = Clock()
    lane = make(clock, concurrency=10)
    for number in range(10):
        lane.add(number)
    assert len(await handed_out(lane, 10)) == 1
    lane.succeeded(clock.now, {})
    lane.finish()
    await asyncio.sleep(0)
    assert lane.active == 9
    lane.close()
    await asyncio.sleep(0)


def test_one_call_first_then_all_of_the_declared_concurrency():
    asyncio.run(_opening())


async def _slow_start():
    clock = Clock()
    lane = make(clock)
    lane.opening = False
    first = lane.limit
    for _ in range(int(first)):
        lane.succeeded(clock.now, {})
    assert lane.limit == first * 2
    lane.active = 3
    before = lane.limit
    lane.failed(Overloaded("busy"), clock.now)
    assert lane.limit == before  # a single failure costs its own call, nobody else
    lane.trouble = 0.3
    clock.now += 1
    lane.failed(Overloaded("busy"), clock.now)
    assert lane.limit == pytest.approx(before * 0.7)
    # A call of the same burst does not cut again; a later one does.
    lane.failed(Overloaded("busy"), clock.now - 1)
    assert lane.limit == pytest.approx(before * 0.7)
    clock.now += 5
    lane.failed(Overloaded("busy"), clock.now)
    assert lane.limit == pytest.approx(before * 0.49)
    after = lane.limit
    lane.succeeded(clock.now, {})
    assert after < lane.limit <= after + 1
    lane.close()


def test_concurrency_doubles_while_all_is_well_and_is_cut_once_a_burst():
    asyncio.run(_slow_start())


async def _gate():
    clock = Clock()
    lane = make(clock, concurrency=4, opening=False)
    lane.failed(RateLimited("slow down", retry_after_s=10.0), clock.now)
    for number in range(4):
        lane.add(number)
    assert await handed_out(lane, 4) == []
    clock.now += 11.5
    lane.pump()
    await asyncio.sleep(0)
    assert lane.active > 0
    lane.close()
    await asyncio.sleep(0)


def test_a_429_closes_the_gate_for_everybody():
    asyncio.run(_gate())


@pytest.mark.parametrize("asked", [0.0, -1.0, 86400.0, None])
def test_lying_retry_after_is_clamped(asked):
    clock = Clock()
    lane = make(clock, concurrency=4, opening=False)
    wait = lane.failed(RateLimited("x", retry_after_s=asked), clock.now)
    if asked is None:
        assert wait == 0.0
    else:
        assert 0.5 <= wait <= 150.0
    assert 0.5 <= lane.gate_until - clock.now <= 140.0


@pytest.mark.parametrize("value", ["-1", "0", "soon", "", "nan", "inf"])
def test_headers_that_make_no_sense_are_no_hint(value):
    clock = Clock()
    lane = make(clock, concurrency=4)
    lane.succeeded(clock.now, {"x-ratelimit-limit-requests": value, "x-ratelimit-remaining-requests": value})
    assert lane.requests is None


def test_a_true_header_sets_the_rate_and_the_level():
    clock = Clock()
    lane = make(clock, concurrency=50)
    lane.succeeded(clock.now, {"x-ratelimit-limit-requests": "600", "x-ratelimit-remaining-requests": "5"})
    assert lane.requests is not None
    assert 9.5 <= lane.requests.rate <= 10.0
    assert lane.requests.level == 4


def test_a_lane_without_success_probes_with_one_call():
    clock = Clock()
    lane = make(clock, concurrency=50, opening=False)
    for _ in range(PROBE_AFTER):
        clock.now += 1
        lane.failed(Overloaded("down"), clock.now)
    assert lane.room <= 1 + lane.ahead
    assert lane.gate_until > clock.now
    lane.succeeded(clock.now, {})
    assert lane.failures_in_row == 0


def test_a_rate_learnt_from_429s_is_felt_for_slowly_and_forgotten_after_a_storm():
    clock = Clock()
    lane = make(clock, concurrency=50, opening=False)
    for _ in range(30):
        clock.now += 0.1
        lane.succeeded(clock.now, {})
    lane.failed(RateLimited("slow down"), clock.now)
    assert lane.requests is not None
    learnt = lane.requests.rate
    assert learnt == pytest.approx(9.8, rel=0.05)
    for _ in range(50):
        clock.now += 0.1
        lane.succeeded(clock.now, {})
    assert learnt < lane.requests.rate < learnt * 1.1
    for _ in range(300):
        clock.now += 0.1
        lane.succeeded(clock.now, {})
    assert lane.requests.rate > learnt * 5
    before = lane.requests.rate
    clock.now += 20
    lane.failed(RateLimited("slow down"), clock.now)
    assert lane.requests.rate >= before * 0.65


async def _kept():
    clock = Clock()
    lane = make(clock, concurrency=16, opening=False)
    for number in range(16):
        lane.add(number)
    assert len(await handed_out(lane, 16)) == 16
    full = lane.room
    for _ in range(10):
        lane.returned()
    assert lane.room == full + 10
    assert lane.active == 16
    lane.add(16)
    assert len(await handed_out(lane, 1)) == 0  # their places are free only once they are kept
    for _ in range(10):
        lane.finish()
    await asyncio.sleep(0)
    assert (lane.active, lane.back) == (7, 0)
    assert lane.waiting == 0
    lane.close()
    await asyncio.sleep(0)


def test_a_reply_that_is_being_kept_makes_room_for_a_claim_and_not_for_a_call():
    asyncio.run(_kept())


def test_a_lane_is_stocked_only_with_calls_that_are_ready():
    clock = Clock()
    lane = make(clock, concurrency=16, opening=False)
    assert not lane.stocked
    for number in range(16 + lane.ahead):
        lane.add(number)
    assert lane.stocked
    lane.drain()
    assert not lane.stocked
