"""The pump: rows in, cells through their passes, answers kept, in bounded memory.

    feed      rows come in batches, only as many as the lanes can use
    advance   a row's next cells become asks, once the passes they read have answered
    share     asks become calls: mostly one each, several where passes are fused or records packed (sharing.py)
    claim     the writer leases addresses and reserves money for the calls that lanes have room for
    ask       the lanes' workers (asking.py)
    park      what goes into a batch is written down instead (batch/lane.py), and its row goes on in a later run
    settle    answers go out to every cell that waits for them, and their rows advance

What stays true: identical inputs are one ask (single flight); a cell is settled exactly once a run; stopping takes no
new calls, saves all that is in flight and gives back all that never left; nothing here prints.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from inlay.batches import RUNNER as BATCH
from inlay.batches import Batch, BatchLine
from inlay.contracts import Store
from inlay.engine.asking import Asking
from inlay.engine.batch.lane import BatchLane, Filling
from inlay.engine.events import LaneOpened, Listener, Stopping
from inlay.engine.host import Sender, Waiting
from inlay.engine.lanesharing import SHARE_S, LaneSharing
from inlay.engine.limits import Lane
from inlay.engine.passwork import PassWork
from inlay.engine.rows import Cells, plan_cells
from inlay.engine.settling import Settling
from inlay.engine.sharing import Sharing
from inlay.engine.tally import PassTally, Tally
from inlay.engine.together import Record
from inlay.engine.work import Ask, Call, Outcome, Row, Target
from inlay.engine.writer import Writer
from inlay.errors import BudgetReached, InlayError, InvalidRequest, RunStopped, StoreError, Truncated
from inlay.spec.model import Enrichment, LimitsSpec
from inlay.types import (
    Budget,
    CellState,
    Claimed,
    ClaimResult,
    Held,
    Known,
    RunRecord,
    usd,
)

HEARTBEAT_S = 5.0
HELD_AGAIN_S = 0.5


class Runner:
    """One run over a store. Build it, then `await run(rows)`.

    `senders` gives each lane its transport (None for local models), `filling` says how the batches of a lane are made.
    `prepared` are the batches that this run has journalled.
    """

    def __init__(
        self,
        enrichment: Enrichment,
        passes: Sequence[PassWork],
        store: Store,
        run: RunRecord,
        *,
        senders: Mapping[str, Sender | None],
        filling: Mapping[str, Filling] | None = None,
        budget: Budget | None = None,
        listener: Listener | None = None,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
        spent_before_nusd: int = 0,
        patience: Waiting | None = None,
        tally: Tally | None = None,
        limits: Mapping[str, LimitsSpec] | None = None,
    ) -> None:
        self.enrichment = enrichment
        self._limits = limits or {}
        self.passes = list(passes)
        self.patience = patience or Waiting()
        self.tally = tally or Tally([PassTally(part.name) for part in self.passes])
        self.stopping: RunStopped | None = None
        self._store = store
        self._run = run
        self._budget = budget
        self._listener = listener or (lambda event: None)
        self._clock = clock
        self._rng = random.Random(seed)  # noqa: S311 (jitter, not cryptography)
        self._senders = senders
        self._filling = filling or {}
        self.prepared: list[Batch] = []
        self._batches: dict[str, BatchLane] = {}
        self._lanes: dict[str, Lane[Call]] = {}
        self._asking: dict[str, Asking] = {}
        self._lane_sharing = LaneSharing(self._lanes)
        self._claims: dict[str, deque[Record]] = {}  # lane -> what waits to be claimed, a row's asks together
        self._sharing = Sharing(self.passes)
        self._rows_open = 0
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._fed = False
        self._workers: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._broken: StoreError | None = None
        self.cells = Cells(self.passes)
        self.writer = Writer(
            store,
            run,
            budget,
            pick=self._pick,
            claimed=self._claimed,
            broken=self._store_broken,
        )
        self.settling = Settling(
            self.cells,
            self.tally,
            self.writer,
            failures=enrichment.failures,
            budget=budget,
            spent_before_nusd=spent_before_nusd,
            listener=self._listener,
            stop=self.stop,
            start=self._start,
            step=self._step,
        )

    @property
    def in_flight(self) -> int:
        """Calls that have left and are not durably settled yet. May be read from any thread."""
        return sum(lane.active for lane in list(self._lanes.values()))

    # --- the whole run

    async def run(self, batches: AsyncIterator[list[Row]]) -> Tally:
        """Take every row through its passes. Returns when all is settled or the run has stopped (`stopping`).

        Costs money. Everything answered is durable when this returns; a StoreError is raised when the store broke.
        """
        self._open_lanes()
        self.writer.start()
        await self._share_lanes()
        heartbeat = asyncio.create_task(self._heartbeat())
        feeding = asyncio.create_task(self._feed(batches))
        try:
            await self._idle.wait()
            await self._wind_down(feeding)
        except asyncio.CancelledError:
            for task in (feeding, *self._workers):
                task.cancel()
            await asyncio.gather(feeding, *self._workers, return_exceptions=True)
            if dropped := self._dropped():
                await self.writer.call(self._store.release, dropped)
            await self.writer.close()
            raise
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
        if self._broken is not None:
            raise self._broken
        error = feeding.exception() if feeding.done() and not feeding.cancelled() else None
        if error is not None:
            raise error
        return self.tally

    def stop(self, error: RunStopped) -> None:
        """End the run cleanly: nothing new leaves, what is in flight is kept. The first reason counts."""
        if self.stopping is None:
            self.stopping = error
            cause = error.__cause__
            self._listener(Stopping(error.kind, error.message, cause.kind if isinstance(cause, InlayError) else ""))
        self._idle.set()

    def _open_lanes(self) -> None:
        for step in (step for part in self.passes for step in part.steps()):
            key = step.lane
            if key in self._lanes or key in self._batches:
                continue
            if step.batch:
                self._batches[key] = BatchLane(key, self._filling[key], self._run, journal=self._journal)
                self._claims[key] = deque()
                continue
            limits = self._limits.get(key, self.enrichment.limits)
            rates = [limits.requests_per_second, limits.requests_per_minute and limits.requests_per_minute / 60]
            rate = min((value for value in rates if value), default=None)
            local = self._senders[key] is None
            lane: Lane[Call] = Lane(
                key,
                spawn=self._spawn,
                clock=self._clock,
                concurrency=64 if local else limits.concurrency,
                requests_per_second=None if local else rate,
                tokens_per_minute=None if local else limits.tokens_per_minute,
                opening=not local,
                rng=self._rng,
            )
            lane.weigh(lambda call: call.tokens)
            self._lanes[key] = lane
            self._claims[key] = deque()
            self._asking[key] = Asking(self, self.settling, lane, self._senders[key], self._clock, self._rng)
            self._listener(LaneOpened(key, step.model.full_name, limits.concurrency))

    def _spawn(self, lane: Lane[Call]) -> None:
        task = asyncio.get_running_loop().create_task(self._asking[lane.name].work())
        self._workers.add(task)
        task.add_done_callback(self._workers.discard)

    async def _wind_down(self, feeding: asyncio.Task[None]) -> None:
        """Give back what never left, wait for what did, keep it all."""
        if not feeding.done():
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        unsent = self._unsent()
        for lane in self._lanes.values():
            lane.close()
        while self._workers:
            await asyncio.wait(self._workers)
            # A call that was to be tried again later has gone back to its lane meanwhile.
            unsent += self._unsent()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._broken is None and (self.stopping is None or isinstance(self.stopping, BudgetReached)):
            for batch in self._batches.values():
                batch.flush()
            while self._tasks:
                await asyncio.wait(self._tasks)
        unsent += self._dropped()
        if unsent and self._broken is None:
            await self.writer.call(self._store.release, unsent)
        if self._broken is None:
            await self.writer.call(self._store.share_lanes, self._run.runner, [])
        await self.writer.close()

    def _unsent(self) -> list[int]:
        """The claims of calls that are taken back from the lanes."""
        calls = (call for lane in self._lanes.values() for call in lane.drain())
        return [ask.attempt_id for call in calls for ask in call.asks if ask.attempt_id]

    def _dropped(self) -> list[int]:
        """The claims of what was to go into a batch and was not journalled."""
        return [number for batch in self._batches.values() for number in batch.drop()]

    async def _heartbeat(self) -> None:
        beat = self._clock()
        while self._broken is None:
            await asyncio.sleep(SHARE_S)
            await self._share_lanes()
            if self._clock() - beat < HEARTBEAT_S:
                continue
            beat = self._clock()
            try:
                await self.writer.call(self._store.heartbeat, self._run.runner)
            except StoreError as error:
                self._store_broken(error)

    async def _share_lanes(self) -> None:
        """Tell other runners on this store of the lanes that go over the wire, and take this runner's share of each."""
        remote = [key for key, sender in self._senders.items() if sender is not None]
        notes = self._lane_sharing.notes(remote, self._clock())
        if not notes:
            return
        try:
            self._lane_sharing.heard(notes, await self.writer.call(self._store.share_lanes, self._run.runner, notes))
        except StoreError as error:
            self._store_broken(error)

    def _store_broken(self, error: StoreError) -> None:
        self._broken = self._broken or error
        self.stop(RunStopped(error.message, remedy=error.remedy))

    # --- feeding and advancing rows

    async def _feed(self, batches: AsyncIterator[list[Row]]) -> None:
        try:
            async for batch in batches:
                for row in batch:
                    while self._rows_open >= self._pipeline() and self.stopping is None:
                        self._room.clear()
                        await self._room.wait()
                    if self.stopping is not None:
                        return
                    self._rows_open += 1
                    self.advance(row)
        finally:
            self._fed = True
            self.writer.nudge()  # what waited for company goes as it is
            if self._rows_open == 0:
                self._idle.set()

    def _pipeline(self) -> int:
        """How many rows may be under way: enough for every lane, and no more."""
        parked = sum(lane.limit for lane in self._batches.values())
        return (
            parked
            + 64
            + int(sum((lane.limit + 2 * lane.ahead) * self._sharing.most(key) for key, lane in self._lanes.items()))
        )

    def advance(self, row: Row) -> None:
        """Start every cell of this row whose turn it is; a row without any is through."""
        row.open += 1  # this call itself, so that a cell that settles at once does not end the row twice
        together: dict[int, Record] = {}
        for part, write, target in plan_cells(self.cells, row, self.tally):
            row.open += 1
            if write is not None:
                self._track(self.settling.keep_write(row, write))
                continue
            assert target is not None
            ask = self._open(part, target)
            if ask is None:
                continue
            if part.fuse is None:
                self.again([ask])
            else:
                together.setdefault(part.fuse, []).append(ask)
        for record in together.values():
            self.again(record)
        self._row_step(row)

    def _step(self, row: Row) -> None:
        """A cell of this row is settled: start what waited for it."""
        self.advance(row)
        self._row_step(row)

    def _row_step(self, row: Row) -> None:
        row.open -= 1
        if row.open == 0:
            self._rows_open -= 1
            self.tally.rows_done += CellState.IN_FLIGHT not in row.state.values()  # the rest waits in a batch
            self._room.set()
            if self._fed and self._rows_open == 0:
                self._idle.set()

    def _start(self, part: PassWork, target: Target, before: Outcome | None = None) -> None:
        """A cell wants an answer of this pass, or of this step of its cascade."""
        ask = self._open(part, target, before)
        if ask is not None:
            self.again([ask])

    def _open(self, part: PassWork, target: Target, before: Outcome | None = None) -> Ask | None:
        """A cell wants an answer: join the flight to its address, or open one; what is returned has to be claimed."""
        cell = self.cells.open(part, target)
        cell.before = before
        if part.batch and self._batches[part.lane].join(part, cell.fingerprint, target):
            self._parked(part, target)
            return None
        flights = self.settling.flights
        if (flight := flights.get(cell.fingerprint)) is not None:
            if flight.work is part:
                flight.targets.append(target)
            else:
                flight.others.append((part, target, before))
            return None
        if (known := self.settling.failures.get(cell.fingerprint)) is not None:
            self._track(self.settling.fail(cell, known))
            return None
        flights[cell.fingerprint] = cell
        if cell.ruled:
            self._track(self.settling.rule(cell))
            return None
        stored = target.row.stored.get(part.index)
        if part.batch and stored is not None and stored.reason == Truncated.kind:
            cell.repair = 1  # room for what was cut off; a live call would have been asked again at once
        try:
            self.cells.prepare(part, cell)
        except InvalidRequest as error:
            self._track(self.settling.fail(cell, Outcome(CellState.FAILED, error.kind, error.message, None, None)))
            return None
        return cell

    def _track(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- claims

    def again(self, asks: Record) -> None:
        """Queue asks of one lane to be claimed, and to go out together where they may."""
        if self.stopping is not None:
            return
        self._claims[asks[0].work.lane].append(asks)
        self.writer.nudge()

    def _pick(self, most: int) -> list[Ask]:
        """Asks to claim next, in the calls that they are to be: as many calls as the lanes have room for."""
        if self.stopping is not None or self.settling.unaffordable:
            return []
        picked: list[Ask] = []
        for key, queue in self._claims.items():
            lane = self._lanes.get(key) or self._batches[key]
            if not queue or lane.stocked:
                continue
            room = lane.room
            idle = self._fed or not lane.active
            while queue and room > 0 and len(picked) < most:
                records = self._sharing.take(key, queue, idle=idle)
                if not records:
                    break  # more of them are on their way
                room -= 1
                call = Call(records)
                for ask in call.asks:
                    ask.call = call
                picked += call.asks
        return picked

    def _claimed(self, asks: list[Ask], results: list[ClaimResult]) -> None:
        ready: list[Record] = []
        place = 0
        while place < len(asks):
            call = asks[place].call
            assert call is not None
            for record in call.records:
                mine = [ask for ask in record if self._is_claimed(ask, results[place + record.index(ask)])]
                place += len(record)
                if mine:
                    ready.append(mine)
            for out in self._sharing.calls(ready):
                self._send(out)
            ready.clear()
        if self.settling.unaffordable and self.settling.open_claims == 0:
            self._budget_gone()

    def _send(self, call: Call) -> None:
        """Hand a claimed call to its lane."""
        key = call.asks[0].work.lane
        if (live := self._lanes.get(key)) is not None:
            live.add(call)
            return
        for ask in call.asks:
            try:
                self._batches[key].add(ask.work, ask)
            except StoreError as error:
                self._store_broken(error)
                self._track(self._release(ask))
                continue
            finally:
                self.settling.open_claims -= 1  # it is closed by whoever applies the batch
            self._left(ask)

    def _left(self, ask: Ask) -> None:
        """An ask that a batch brings back: for this run its cells are through."""
        self.settling.flights.pop(ask.fingerprint, None)
        for target in ask.targets:
            self._parked(ask.work, target)
        for other in ask.others:
            self._start(*other)
        self.writer.nudge()  # there is room for the next

    def _parked(self, part: PassWork, target: Target) -> None:
        self.tally.parked(part.index, target.row.key)
        self._row_step(target.row)

    def _journal(self, batch: Batch, lines: Sequence[BatchLine]) -> None:
        self._track(self._keep_batch(batch, lines))

    async def _keep_batch(self, batch: Batch, lines: Sequence[BatchLine]) -> None:
        try:
            await self.writer.call(self._store.journal.prepare, batch, lines, run=self._run)
        except StoreError as error:
            self._store_broken(error)
        else:
            self.tally.calls += len(lines)
            self.prepared.append(batch)

    def _is_claimed(self, ask: Ask, result: ClaimResult) -> bool:
        """See to the result of one claim; True where the ask is to be sent now."""
        ask.call = None
        if isinstance(result, Claimed):
            ask.attempt_id = result.attempt_id
            self.settling.open_claims += 1
            if self.stopping is None:
                return True
            self._track(self._release(ask))
        elif isinstance(result, Known):
            self._track(self.settling.reuse(ask, result))
        elif isinstance(result, Held) and result.runner.startswith(BATCH):
            self._left(ask)
        elif isinstance(result, Held):
            self.tally.waiting_for_others += 1
            asyncio.get_running_loop().call_later(HELD_AGAIN_S, self._held_again, ask)
        else:
            # No room under the cap now; calls in flight usually cost less than was reserved for them.
            self._claims[ask.work.lane].append([ask])
            self.settling.unaffordable = True
        return False

    def _held_again(self, ask: Ask) -> None:
        self.tally.waiting_for_others -= 1
        self.again([ask])

    async def _release(self, ask: Ask) -> None:
        await self.writer.call(self._store.release, [ask.attempt_id])

    def _budget_gone(self) -> None:
        cap = self._budget.cap_nusd if self._budget is not None else 0
        per = self._budget.per if self._budget is not None else "run"
        self.stop(
            BudgetReached(
                f"the next call might exceed the budget of ${usd(cap):.4f} per {per}",
                remedy="everything answered is saved; raise `budget.usd` (or pass --budget) and run the same command",
            )
        )
