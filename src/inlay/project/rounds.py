"""The rounds of a run: plan, ask, order, wait, apply, and plan again until nothing is left to do.

A live run is one round. With batches, what the answers of one round make possible (passes that read them, fields that
are asked again) goes out in the next. What stays true: a round that brings nothing in ends the run rather than being
repeated; every round takes the rows of the first one, however few these were to be.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inlay.batches import Batch, BatchState
from inlay.engine.batch.applying import Settled
from inlay.engine.batch.files import Folder
from inlay.engine.events import BudgetWarning, Event, Listener, Stopping
from inlay.engine.tally import PassTally, Tally
from inlay.errors import BudgetReached, ProviderUnusable, RunStopped, SpecError, TooManyFailures
from inlay.planning.decide import Rule
from inlay.planning.plan import Plan
from inlay.planning.planner import Planner
from inlay.project.batching import Batching, Waited, batchable, fewest, fillings, refuse_without
from inlay.project.running import Interrupts, RunOptions, _drive, in_loop
from inlay.project.session import Session
from inlay.types import Budget, PassRef, RunRecord, usd

# No source has more rows; a plan that is not to be capped has this limit.
EVERY_ROW = 2**53


def planned(
    session: Session, refs: Sequence[PassRef], rules: Sequence[Rule], *, limit: int | None, mode: str | None = None
) -> Planner:
    """A plan in the mode that was asked for (None: the declaration's); the session's passes go out as it says.

    `auto` takes batches for all that can go into them, where they are many calls. Passes whose calls are too few for
    their provider's batches, or for `batch.fewest`, go out live. Raises SpecError where no pass can have batches.
    """
    mode = mode or session.enrichment.mode
    if mode == "batch":
        refuse_without(session)
    can = batchable(session) if mode != "live" else []
    session.into_batches(can if mode == "batch" else [])
    planner = session.planner(refs, rules, limit=limit)
    chosen = can
    if mode == "auto" and sum(planner.plan.passes[index].calls for index in can) <= session.enrichment.batch.above:
        chosen = []
    chosen = _enough(session, planner.plan, chosen)
    if frozenset(chosen) != session.batched:
        planner.close()
        session.into_batches(chosen)
        planner = session.planner(refs, rules, limit=limit)
    if session.batched.issuperset(index for index, part in enumerate(planner.plan.passes) if part.calls):
        planner.plan = replace(planner.plan, minutes=None)  # how long it takes is the provider's own affair
    try:
        fillings(session)  # what a provider needs is asked for before anything is sent
    except SpecError:
        planner.close()
        raise
    return planner


def _enough(session: Session, plan: Plan, chosen: Sequence[int]) -> list[int]:
    """The passes among these whose models have calls enough for a batch, or none to make."""
    calls: dict[str, int] = {}
    for index in chosen:
        lane = session.steps[index][0].model.lane
        calls[lane] = calls.get(lane, 0) + plan.passes[index].calls
    out = []
    for index in chosen:
        model = session.steps[index][0].model
        least = session.enrichment.batch.fewest
        if least is None:
            least = fewest(model)
        if calls[model.lane] >= least or not calls[model.lane]:
            out.append(index)
    return out


def waiting_notes(session: Session) -> list[str]:
    """What is to be said of cells that wait in batches."""
    journal = session.store().journal
    open_ = journal.batches(session.enrichment.name)
    if not open_:
        return []
    cells = sum(journal.waiting(session.enrichment.name).values())
    batches = f"{len(open_)} batch" + ("es" if len(open_) > 1 else "")
    return [f"{cells} cells wait in {batches}: they are not asked again, and any run collects them"]


def collect(session: Session, runner: str, options: RunOptions, *, order: bool = True) -> list[str]:
    """Take on what earlier runs have ordered, as far as it goes now, before anything is planned; what to tell of it.

    Never raises for a batch that cannot be reached: it stays as it is. Without `order` it costs nothing.
    """
    store = session.store(write=True)
    if not store.journal.batches(session.enrichment.name):
        return []

    async def look() -> Waited:
        async with Batching(session, runner, listener=options.listener, order=order) as batching:
            return await _held(batching.look, batching.stop, options)

    try:
        seen = in_loop(look)
    except (RunStopped, SpecError) as error:
        return [error.message]
    if seen.stopped is not None:
        raise seen.stopped
    return _told(seen)


async def _held(
    work: Callable[[], Coroutine[Any, Any, Waited]], stop: Callable[[RunStopped], None], options: RunOptions
) -> Waited:
    """Do it, stopped by whatever may stop a run."""
    if options.control is not None:
        options.control.bind(stop)
    try:
        with Interrupts(stop, enabled=options.interrupts):
            return await work()
    finally:
        if options.control is not None:
            options.control.release()


def _told(seen: Waited) -> list[str]:
    notes = []
    if seen.settled:
        notes.append(f"{seen.settled} answers of earlier batches were collected first")
    return notes + [error.message for error in seen.blocked]


@dataclass(slots=True)
class Rounds:
    """All rounds of one run. `waiting` is how many batches are open when it has ended."""

    session: Session
    refs: Sequence[PassRef]
    record: RunRecord
    runner: str
    budget: Budget | None
    options: RunOptions
    waiting: int = 0
    _tally: Tally | None = None
    _warned: bool = False
    _tell: Listener | None = None
    _held_back: Stopping | None = None

    def run(self, planner: Planner, rules: Any) -> tuple[Tally, RunStopped | None]:
        """Until nothing is left to do, or the run has stopped. Costs money."""
        session, options = self.session, self.options
        if session.batched and options.listener is not None:
            self._tell = options.listener
            options = self.options = replace(options, listener=self._hear)
        works = session.works(self.refs, rules)
        tally = self._tally = Tally([PassTally(work.name) for work in works])
        capped = planner.plan.rows_taken < planner.plan.rows_to_do
        only: set[str] | None = set() if capped and session.batched else None
        stopped, made = _drive(session, works, planner, self.record, self.budget, options, tally, seen=only)
        batched = bool(session.batched)
        while batched:
            if stopped is not None and not isinstance(stopped, BudgetReached):
                break
            if not made and not any(part.in_batch for part in tally.passes):
                break
            waited = self._wait()
            self._warn()
            stopped = waited.stopped or self._failures() or (stopped if not waited.settled else None)
            if stopped is not None or not options.wait:
                break
            if not waited.settled and not self._freed(waited):
                stopped = next(iter(waited.blocked), None) or self._nothing(waited)
                break
            stopped, made = self._again(only)
        if self._held_back is not None and isinstance(stopped, BudgetReached) and self._tell is not None:
            self._tell(self._held_back)
        for part in tally.passes:
            part.planned = max(part.planned, part.settled)
        whole = stopped is None and not any(part.planned > part.settled for part in tally.passes)
        tally.rows_done = tally.rows_planned if whole else min(tally.rows_done, tally.rows_planned)
        if batched:
            open_ = {batch.submission for batch in session.store().journal.batches(session.enrichment.name)}
            Folder(session.batch_folder).sweep(open_.__contains__)
        self.waiting = len(session.store().journal.batches(session.enrichment.name))
        return tally, stopped

    def notes(self) -> list[str]:
        """What is to be said of batches that go on."""
        return waiting_notes(self.session)

    # --- parts

    def _again(self, only: Container[str] | None) -> tuple[RunStopped | None, int]:
        """One more round, over what is to be done now."""
        session = self.session
        rules = session.rules(self.refs, self.options.refresh)
        limit = None if only is None else EVERY_ROW
        planner = planned(session, self.refs, rules, limit=limit, mode="batch")
        assert self._tally is not None
        try:
            again = session.works(self.refs, rules)
            return _drive(
                session, again, planner, self.record, self.budget, self.options, self._tally, only=only, again=True
            )
        finally:
            planner.close()

    def _wait(self) -> Waited:
        """Order what is prepared, and wait for it where that is wanted."""

        async def work() -> Waited:
            async with Batching(
                self.session, self.runner, listener=self.options.listener, note=self._landed, run=True
            ) as batching:
                return await _held(batching.wait if self.options.wait else batching.look, batching.stop, self.options)

        try:
            waited = in_loop(work)
        except RunStopped as error:
            return Waited(stopped=error)
        if waited.stopped is not None and waited.stopped.kind == "interrupted":
            waited.stopped.remedy = "batches that are ordered go on; the same command collects them"
        return waited

    def _landed(self, batch: Batch, settled: Settled) -> None:
        tally = self._tally
        assert tally is not None
        tally.batch_lines += 1
        tally.answers += 1
        tally.add_usage(settled.usage)
        tally.cost_nusd += settled.cost_nusd
        if settled.estimated:
            tally.estimated_nusd += settled.cost_nusd
        index = next((number for number, ref in enumerate(self.refs) if ref.pass_id == settled.pass_id), None)
        if index is None:
            return
        for place, key in enumerate(settled.keys):
            tally.landed(index, key, settled.state, settled.kind, reused=place > 0)
        part = tally.passes[index]
        for answer in settled.fields.values():
            if answer.confidence is not None and answer.value is not None:
                part.confidence_sum += answer.confidence
                part.confidence_n += 1

    def _hear(self, event: Event) -> None:
        """Pass events on; that the budget covers no more calls ends a round, and only perhaps the run."""
        if isinstance(event, Stopping) and event.kind == BudgetReached.kind:
            self._held_back = event
        elif self._tell is not None:
            self._tell(event)

    def _warn(self) -> None:
        """Tell once that four fifths of the budget are spent."""
        budget = self.budget
        if budget is None or self._warned or self.options.listener is None:
            return
        spent = self.session.store().spending(self.record, budget.per).spent_nusd
        if spent * 5 >= budget.cap_nusd * 4:
            self._warned = True
            self.options.listener(BudgetWarning(usd(spent), usd(budget.cap_nusd)))

    def _failures(self) -> RunStopped | None:
        """Whether more cells have failed than may."""
        tally, rule = self._tally, self.session.enrichment.failures
        assert tally is not None
        if tally.settled < rule.min_cells or tally.failed * 100 <= rule.max_percent * tally.settled:
            return None
        return TooManyFailures(
            f"{tally.failed} of {tally.settled} cells failed, more than failures.max_percent {rule.max_percent:g}",
            remedy="look at `inlay status`; then mend it, or raise failures.max_percent, and run again",
        )

    def _freed(self, waited: Waited) -> bool:
        """Whether an order of an earlier run was found never to have arrived: its rows can be asked now. One of this
        run's own that does not arrive ends it, since the next might not either."""
        return any(batch.state is BatchState.ABSENT and batch.run_id != self.record.run_id for batch in waited.closed)

    @staticmethod
    def _nothing(waited: Waited) -> RunStopped | None:
        """Why a wait has brought nothing in."""
        refused = next((batch for batch in waited.closed if batch.state is BatchState.FAILED), None)
        if refused is not None:
            return ProviderUnusable(
                f"batch {refused.submission} was refused: {refused.message or refused.remote_state}",
                remedy="mend what it says, or use mode: live; nothing of it was paid",
            )
        if waited.closed:
            last = waited.closed[-1]
            return ProviderUnusable(
                f"batch {last.submission} brought nothing: {last.message or last.remote_state}",
                remedy="its rows are asked again by the next run; mode: live asks them at once",
            )
        return None
