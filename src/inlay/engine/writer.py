"""The one writer: groups what wants to be kept into few transactions, and claims addresses in the same breath.

Settlements wait at most GROUP_S (or until GROUP_SIZE are there); then one thread commits them, claims what the lanes
have room for, and the waiting tasks go on. What stays true: a settlement's future resolves only once it is durable;
one store call is under way at a time; a store error reaches every task that waited for that write, and stops the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from inlay.contracts import Store
from inlay.engine.work import Ask
from inlay.errors import StoreError
from inlay.types import Budget, Claim, ClaimResult, RunRecord, Settlement

GROUP_S = 0.004
GROUP_SIZE = 100
CLAIM_SIZE = 256


_Waiting: TypeAlias = tuple[Settlement, "asyncio.Future[int | None]"]


class Writer:
    """Group commit over a Store.

    `pick` says which asks to claim next (at most so many), `claimed` receives the results on the loop.
    """

    def __init__(
        self,
        store: Store,
        run: RunRecord,
        budget: Budget | None,
        *,
        pick: Callable[[int], list[Ask]],
        claimed: Callable[[list[Ask], list[ClaimResult]], None],
        broken: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._run = run
        self._budget = budget
        self._pick = pick
        self._claimed = claimed
        self._broken = broken
        self._pending: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inlay-store")
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._error: StoreError | None = None

    def start(self) -> None:
        """Begin; call once, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._loop())

    def keep(self, settlement: Settlement) -> asyncio.Future[int | None]:
        """Queue a settlement; the future gives its answer's number once it is durable."""
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            future.set_exception(self._error)
            return future
        self._pending.append((settlement, future))
        self._wake.set()
        if len(self._pending) >= GROUP_SIZE:
            self._full.set()
        return future

    def nudge(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    async def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Run a store call in the writer's thread, between two groups. A StoreError stops the run, too."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: function(*args, **named))
        except StoreError as error:
            self._broken(error)
            raise

    async def extend(self, attempt_id: int, *, outcome: str, cost_nusd: int) -> int | None:
        """Store.extend in the writer's thread."""
        return await self.call(
            self._store.extend,
            attempt_id,
            outcome=outcome,
            cost_nusd=cost_nusd,
            run=self._run,
            budget=self._budget,
        )

    async def close(self) -> None:
        """Keep all that is pending, then end. Idempotent."""
        self._closing = True
        self._wake.set()
        self._full.set()
        if self._task is not None:
            await self._task
            self._task = None
        self._thread.shutdown(wait=True)

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._pending and len(self._pending) < GROUP_SIZE and not self._closing:
                self._full.clear()
                try:
                    async with asyncio.timeout(GROUP_S):
                        await self._full.wait()
                except TimeoutError:
                    pass
            group, self._pending = self._pending, []
            asks = [] if self._closing else self._pick(CLAIM_SIZE)
            if group or asks:
                results, error = await loop.run_in_executor(self._thread, self._write, group, asks, loop)
                for _, future in group:  # those that were kept have their results by now
                    _fail(future, error or StoreError("the store did not answer"))
                if error is not None:
                    self._error = error
                    for _, future in self._pending:
                        _fail(future, error)
                    self._pending.clear()
                    self._broken(error)
                    return
                if asks:
                    self._claimed(asks, results)
            if self._closing and not self._pending:
                return
            if self._pending:
                self._wake.set()

    def _write(
        self, group: list[_Waiting], asks: list[Ask], loop: asyncio.AbstractEventLoop
    ) -> tuple[list[ClaimResult], StoreError | None]:
        """One group and one claim, in the writer's thread. Who waits for the group goes on while the claim is made."""
        results: list[ClaimResult] = []
        try:
            if group:
                numbers = self._store.commit([settlement for settlement, _ in group], run=self._run)
                loop.call_soon_threadsafe(_kept, group, numbers)
            if asks:
                claims = [Claim(ask.fingerprint, ask.work.ref.pass_id, ask.reserve_nusd, ask.since) for ask in asks]
                results = self._store.claim(claims, run=self._run, budget=self._budget)
        except StoreError as error:
            return results, error
        return results, None


def _kept(group: list[_Waiting], numbers: list[int | None]) -> None:
    """The group is durable: everyone who waited for it goes on."""
    for (_, future), number in zip(group, numbers, strict=True):
        if not future.done():
            future.set_result(number)


def _fail(future: asyncio.Future[int | None], error: StoreError) -> None:
    """Pass the error on; it counts as seen, since the run stops by `broken` and not by each waiter."""
    if not future.done():
        future.set_exception(error)
        future.exception()
