"""Lanes: how hard one provider, endpoint and model is pressed.

A lane hands ready calls to its workers while four things allow it: the number in flight (adaptive: additive up,
multiplicative down), the request and token buckets (declared, or learnt from the provider's headers), the shared
gate that a 429 or an overload closes for everybody at once, and the opening rule: one single call first, the rest
when it came back. What stays true: a call counts as in flight until its answer is durably kept; the clock is
monotonic; nothing here knows what a call contains.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from inlay.engine.buckets import LATE_S, Bucket, paced
from inlay.errors import RateLimited, Transient

Work = TypeVar("Work")

# Waits that a provider asks for are believed within these bounds (seconds).
MIN_WAIT_S, MAX_WAIT_S = 0.5, 120.0
# Without a declared concurrency a lane starts here, doubles while all goes well, and stays below the ceiling.
START_CONCURRENCY, CEILING = 16, 256
# A lane that learnt its rate stays a little under it: the provider's clock and ours differ.
SAFETY = 0.985
# A lane beside others on the same store saves up no more than this many seconds of its share (and one call): together
# they go evenly.
EVEN_S, EVEN_TOKENS_S = 0.1, 1.0
# A 429 all the same: so much slower, and back to the full rate over some hundred and fifty successes.
SLOWER, RECOVERY = 0.97, 0.0002
# Failures are seldom while fewer than this share of recent calls failed: the call is retried, the lane goes on.
SELDOM = 0.15
# This many transient failures in a row (and no success) turn a lane to probing with one call at a time.
PROBE_AFTER = 24


class Lane(Generic[Work]):
    """The queue of ready calls of one provider, endpoint and model, and all that holds them back.

    `spawn` starts one more worker; workers call `take()` for the next call, then `finish(...)` once it is settled.
    """

    def __init__(
        self,
        name: str,
        *,
        spawn: Callable[[Lane[Work]], None],
        clock: Callable[[], float],
        concurrency: int | None = None,
        requests_per_second: float | None = None,
        tokens_per_minute: float | None = None,
        opening: bool = True,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._spawn = spawn
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 (jitter, not cryptography)
        now = clock()
        self.fixed = concurrency is not None
        self.ceiling = concurrency or CEILING
        self.declared_concurrency = concurrency or CEILING
        self.limit: float = concurrency or START_CONCURRENCY
        self.share = 1.0  # of what the provider allows; the rest is for other processes on the same store
        self.slow_start = not self.fixed
        self.requests = paced(requests_per_second, now) if requests_per_second else None
        self.declared_rate = requests_per_second
        self.tokens = Bucket(tokens_per_minute / 60, tokens_per_minute / 6, now) if tokens_per_minute else None
        self.declared_tokens = tokens_per_minute is not None
        self.opening = opening
        self.active = 0
        self.back = 0  # of the active ones, those whose reply is there and being kept
        self.workers = 0
        self.gate_until = 0.0
        self.told_to_wait_until = 0.0  # the part of the gate that the provider asked of this process
        self.cut_at = -1.0
        self.told_requests = 0.0  # a minute, as headers told this process or another one; 0: not yet
        self.told_tokens = 0.0
        self.told_at: float | None = None  # when headers told this process
        self.begun = 0  # calls handed out so far
        self.paced_by_429 = False
        self._slowed = 1.0  # the part of the told rate that is used
        self.learnt_by_429 = False
        self._done_at: deque[float] = deque(maxlen=200)
        self.failures_in_row = 0
        self.trouble = 0.0  # share of recent calls that failed for now, smoothed over about twenty
        self.troubled_since = now  # when the present row of failures began
        self.closed = False
        self._ready: deque[Work] = deque()
        self._later: list[tuple[float, int, Work]] = []
        self._sequence = 0
        self._idle: deque[asyncio.Future[Work | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._cost: Callable[[Work], float] = lambda work: 0.0

    def weigh(self, tokens_of: Callable[[Work], float]) -> None:
        """Tell the lane how many tokens a call is expected to use (for the token bucket)."""
        self._cost = tokens_of

    # --- work in, work out

    @property
    def waiting(self) -> int:
        """Calls that are ready and not yet handed out."""
        return len(self._ready) + len(self._later)

    @property
    def ahead(self) -> int:
        """How many ready calls are enough to keep the workers busy between two writes to the store."""
        return max(8, math.ceil(self._soon() * 0.25))

    @property
    def room(self) -> int:
        """How many more calls may be made ready now; the places of replies that are being kept count as free soon."""
        return int(self._soon()) + self.ahead + self.back - self.active - len(self._ready)

    @property
    def stocked(self) -> bool:
        """Whether enough calls are ready for now. A claim is a transaction: few large ones delay the answers less."""
        return bool(self._ready) and self.room <= self.ahead // 2

    def add(self, work: Work) -> None:
        """Make a call ready."""
        self._ready.append(work)
        self.pump()

    def add_later(self, work: Work, delay_s: float) -> None:
        """Make a call ready after a wait."""
        self._sequence += 1
        heapq.heappush(self._later, (self._clock() + delay_s, self._sequence, work))
        self.pump()

    async def take(self) -> Work | None:
        """The next call for this worker, as soon as everything allows it; None when the lane is closed."""
        if self.closed:
            return None
        future: asyncio.Future[Work | None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        self.pump()
        return await future

    def returned(self) -> None:
        """A call's reply is there, or its failure: once it is kept, `finish` frees its place."""
        self.back += 1

    def finish(self) -> None:
        """A call is settled (its answer durably kept, or given back): its place is free."""
        self.active -= 1
        if self.back:
            self.back -= 1
        self.pump()

    def drain(self) -> list[Work]:
        """Take back every call that was not handed out yet."""
        left = [*self._ready, *(work for _, _, work in self._later)]
        self._ready.clear()
        self._later.clear()
        return left

    def close(self) -> None:
        """No more calls: idle workers end."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._idle:
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)

    def _soon(self) -> float:
        """How many may be in flight as soon as the first call has come back: they are made ready meanwhile."""
        return self.limit if self.opening else self._allowed()

    def _allowed(self) -> float:
        return 1.0 if self.opening or self.failures_in_row >= PROBE_AFTER else self.limit

    def pump(self) -> None:
        """Hand out as many calls as may go now; set a timer for the next."""
        if self.closed:
            return
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        ready = self._ready
        allowed = self._allowed()
        delay = self._later[0][0] - now if self._later else math.inf
        while ready and self.active < allowed:
            wait = self.gate_until - now
            if wait <= 0 and self.requests is not None:
                wait = self.requests.wait(1, now)
            weight = 0.0
            if wait <= 0 and self.tokens is not None:
                weight = self._cost(ready[0])
                wait = self.tokens.wait(weight, now)
            if wait > 0:
                delay = min(delay, wait)
                break
            while self._idle and self._idle[0].done():  # a worker that was cancelled
                self._idle.popleft()
            if not self._idle:
                if self.workers < allowed:
                    self.workers += 1
                    self._spawn(self)
                break
            if self.requests is not None:
                self.requests.take(1)
            if self.tokens is not None:
                self.tokens.take(weight)
            self.active += 1
            self.begun += 1
            self._idle.popleft().set_result(ready.popleft())
        if delay is not math.inf:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(max(delay, 0.0005), self.pump)

    # --- what other processes take

    def divide(self, share: float) -> None:
        """From now on this process may use this share (above 0, to 1) of what the provider allows. Idempotent."""
        share = min(1.0, max(share, 0.001))
        ratio, self.share = share / self.share, share
        if ratio == 1.0:
            return
        now = self._clock()
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.wait(0, now)
                bucket.rate *= ratio
                bucket.capacity = max(1.0, bucket.capacity * ratio)
                bucket.level = min(bucket.level, bucket.level * ratio, bucket.capacity)
        self._fit()
        if self.fixed:
            self.ceiling = max(1, math.floor(self.declared_concurrency * share))
            self.limit = self.ceiling
        self.pump()

    def wait_for_others(self, seconds: float) -> None:
        """Begin no call for so long: another process was told to wait, or has yet to see that this one is here."""
        self.gate_until = max(self.gate_until, self._clock() + min(seconds, MAX_WAIT_S))

    def hear(self, requests_per_minute: float, tokens_per_minute: float) -> None:
        """Another process was told these limits of the whole lane (0: none). What headers say here counts for more."""
        if self.told_at is not None:
            return
        now = self._clock()
        if requests_per_minute and self.declared_rate is None:
            self._told_requests(requests_per_minute, None, now)
        if tokens_per_minute and not self.declared_tokens:
            self._told_tokens(tokens_per_minute, None, now)

    # --- what answers teach

    def succeeded(self, sent_at: float, headers: Mapping[str, str]) -> None:
        """A call came back whole: open up, and believe the provider's headers as hints."""
        self.opening = False
        self.failures_in_row = 0
        self.trouble *= 0.95
        now = self._clock()
        if self.limit < self.ceiling:
            # Slow start doubles once a round trip; after the first overload it is one more a round trip.
            self.limit = min(self.ceiling, self.limit + (1.0 if self.slow_start else 1.0 / max(self.limit, 1.0)))
        self._done_at.append(now)
        if self.learnt_by_429 and self.requests is not None:
            # Half a percent a second: feel for more, seldom enough to stay near 1% 429s. After a long quiet it was a
            # storm and no limit: grow ever faster.
            self.requests.rate += 0.005 * (1.0 + ((now - self.cut_at) / 8.5) ** 4)
            self.requests.capacity = max(1.0, self.requests.rate * 0.1)
        self._slowed = min(1.0, self._slowed + RECOVERY)
        self._learn(headers, now)

    def _learn(self, headers: Mapping[str, str], now: float) -> None:
        if self.declared_rate is None and (limit := _positive(headers.get("x-ratelimit-limit-requests"))) is not None:
            self.told_at = now
            self._told_requests(limit, _positive(headers.get("x-ratelimit-remaining-requests"), zero=True), now)
        if not self.declared_tokens and (limit := _positive(headers.get("x-ratelimit-limit-tokens"))) is not None:
            self.told_at = now
            self._told_tokens(limit, _positive(headers.get("x-ratelimit-remaining-tokens"), zero=True), now)

    def _told_requests(self, limit: float, remaining: float | None, now: float) -> None:
        self.told_requests = limit
        left = None if remaining is None else remaining * self.share
        if self.requests is None:
            self.requests = Bucket(1.0, 1.0, now, level=max(0.0, (limit * self.share if left is None else left) - 1.0))
            self._fit()
            return
        self._fit()
        # Someone else uses the same key: believe the smaller number, but not its rounding.
        if not self.paced_by_429 and left is not None and left < self.requests.level - self.requests.rate - 2:
            self.requests.level = left

    def _told_tokens(self, limit: float, remaining: float | None, now: float) -> None:
        self.told_tokens = limit
        left = None if remaining is None else remaining * self.share
        if self.tokens is None:
            self.tokens = Bucket(1.0, 1.0, now, level=limit * self.share if left is None else left)
        elif left is not None and left < self.tokens.level * 0.5:
            self.tokens.level = left
        self._fit()

    def _fit(self) -> None:
        """Bring the buckets of declared and told rates up to date with the limit, the share and the pace."""
        alone = self.share == 1.0
        if self.requests is not None and self.declared_rate is not None:
            rate = self.declared_rate * self.share
            self.requests.change(rate, 1.0 + rate * LATE_S)
        elif self.requests is not None and self.told_requests and not self.learnt_by_429:
            limit = self.told_requests * self.share
            rate = limit / 60 * SAFETY * self._slowed
            even = self.paced_by_429 or not alone
            self.requests.change(rate, 1.0 + rate * EVEN_S if even else limit)
        if self.tokens is not None and self.told_tokens:
            limit = self.told_tokens * self.share
            rate = limit / 60 * SAFETY
            self.tokens.change(rate, limit if alone else max(1.0, rate * EVEN_TOKENS_S))

    def used_tokens(self, expected: float, actual: float) -> None:
        """Correct the token bucket once the real usage is known."""
        if self.tokens is not None:
            self.tokens.take(actual - expected)

    def failed(self, error: Transient, sent_at: float) -> float:
        """A call failed for now: slow everybody down once, and say how long this call should wait (seconds)."""
        now = self._clock()
        if self.failures_in_row == 0:
            self.troubled_since = now
        self.failures_in_row += 1
        self.trouble += 0.05 * (1.0 - self.trouble)
        limited = isinstance(error, RateLimited)
        asked = error.retry_after_s
        wait = None if asked is None else min(max(asked, MIN_WAIT_S), MAX_WAIT_S)
        if sent_at > self.cut_at and (limited or self.trouble > SELDOM):
            # One cut for a whole burst: calls sent before the last cut knew nothing of it.
            self.cut_at = now
            self.slow_start = False
            if limited:
                self._slow_rate(now)
                self.told_to_wait_until = now + (wait or 1.0) * self._rng.uniform(1.0, 1.1)
                self.gate_until = max(self.gate_until, self.told_to_wait_until)
            if not limited or self.requests is None:
                self.limit = max(1.0, self.limit * 0.7)
        if self.failures_in_row >= PROBE_AFTER:
            backoff = min(30.0, 0.5 * 2 ** min(6, (self.failures_in_row - PROBE_AFTER) // 2))
            self.gate_until = max(self.gate_until, now + backoff * self._rng.uniform(0.7, 1.0))
        return wait * self._rng.uniform(1.0, 1.25) if wait is not None else 0.0

    def _slow_rate(self, now: float) -> None:
        if self.requests is None or self.learnt_by_429:
            # No header tells the rate: what came through lately is what the provider allows.
            recent = [at for at in self._done_at if at > now - 10]
            if len(recent) >= 10 and recent[-1] > recent[0]:
                rate = (len(recent) - 1) / (recent[-1] - recent[0])
                if self.requests is not None:
                    rate = max(
                        rate, self.requests.rate * 0.7
                    )  # a storm lets nothing through; it says little of the limit
                self.requests = Bucket(rate * 0.98, max(1.0, rate * 0.1), now, level=0.0)
                self.learnt_by_429 = True
        elif self.declared_rate is None:
            # The provider counts in smaller windows than its header says: go evenly from now on.
            self.requests.level = min(self.requests.level, 0.0)
            if self.paced_by_429:
                self._slowed *= SLOWER
            self.paced_by_429 = True
            self._fit()

    def quiet_for(self) -> float:
        """For how many seconds there have been failures and no success."""
        return self._clock() - self.troubled_since if self.failures_in_row else 0.0


def _positive(text: str | None, *, zero: bool = False) -> float | None:
    """A header number if it makes sense; -1, text and absence are no hint."""
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and (value > 0 or (zero and value == 0)) else None
