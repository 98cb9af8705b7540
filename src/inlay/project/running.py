"""One run from plan to published table: the only place where money is spent.

    plan → may we? → begin_run → lanes and workers → end_run → publish

What stays true: nothing is sent before the plan was priced and allowed; whatever ends the run (the last row, the
budget, a signal, an error) it is closed in the store, and what was answered is published; the same call again goes
on where it stopped.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Container, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from inlay.engine.events import Listener, RunFinished, RunPlanned, RunStarted, TablePublished
from inlay.engine.passwork import PassWork
from inlay.engine.tally import Tally
from inlay.engine.work import Answered, Row
from inlay.errors import Interrupted, PlanError, RunStopped, SpecError
from inlay.payload import by_cell, decode_fields
from inlay.planning.plan import Plan
from inlay.planning.planner import PlannedRow, Planner
from inlay.project.altered import InputChange, Teller
from inlay.project.batching import fillings
from inlay.project.control import Control
from inlay.project.probes import learning
from inlay.project.publishing import look, prepare, publish_declared
from inlay.project.rates import TARGETS
from inlay.project.report import Report
from inlay.project.session import Session
from inlay.providers.price_table import PROVIDERS as PRICED_PROVIDERS
from inlay.spec.model import Enrichment
from inlay.types import NANO, Budget, Reason, RunRecord, usd

# Without a budget, a run estimated above this asks first.
ASK_ABOVE_USD = 1.0
# Who sends SIGTERM (docker, systemd, Airflow) mostly kills ten seconds later: a clean end comes before that.
TERMINATED_S = 8.0

# How a run ends whose batches go on at their providers; the next one has what is left of its budget.
WAITING = "stopped: waiting"

T = TypeVar("T")
Confirm = Callable[[Plan], bool]


@dataclass(frozen=True, slots=True)
class Gauges:
    """What a display may read at any time, from any thread, while a run is going.

    `spent_before_nusd` is what the budget's scope had spent when the run began; `in_flight()` counts open calls.
    """

    tally: Tally
    plan: Plan
    budget: Budget | None
    spent_before_nusd: int
    in_flight: Callable[[], int]


Watch = Callable[[Gauges], None]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run. `refresh` names reasons that are asked beside the usual ones (only "stale" makes sense).

    `budget_usd` overrides the declaration's budget. `confirm` is asked when a run without a budget may cost more than
    a dollar; None refuses. `interrupts` handles Ctrl-C and SIGTERM (the main thread only); `control` lets another
    thread stop the run. `watch` receives the live figures once, before the first call. `mode` (live, batch, auto)
    overrides the declaration's; without `wait` a run returns once its batches are ordered: a later one collects them.
    With `on_error="warn"` an error is logged, and given as `Report.error` in place of being raised. `dry_run` plans
    alone. `if_running` says what to do while another run of this enrichment is going on this store: join it (both
    share the work, as ever), wait for its end for `wait_for_s`, or exit. `on_change` is called for each row that was
    asked again because its input had changed, once the answers are kept.
    """

    limit: int | None = None
    refresh: frozenset[Reason] = frozenset()
    budget_usd: float | None = None
    yes: bool = False
    confirm: Confirm | None = None
    listener: Listener | None = None
    watch: Watch | None = None
    interrupts: bool = False
    publish: bool = True
    fresh_budget: bool = False
    control: Control | None = None
    mode: str | None = None
    wait: bool = True
    on_error: str = "raise"
    dry_run: bool | None = None
    if_running: str | None = None
    wait_for_s: float = 600.0
    on_change: Callable[[InputChange], None] | None = None


def run_session(session: Session, options: RunOptions) -> Report:
    """Plan, run and publish. Costs money; safe to call again at any time. See `inlay.run`."""
    from inlay.project.rounds import Rounds, collect, planned
    from inlay.stores.liveness import new_runner

    started = time.monotonic()
    tell = options.listener or (lambda event: None)
    budget = _budget(session.enrichment, options.budget_usd)
    session.check()
    if options.publish:
        look(session)
    refs = session.register()
    store = session.store(write=True)
    runner = new_runner()
    notes = collect(session, runner, options)
    rules = session.rules(refs, options.refresh)
    planner = planned(session, refs, rules, limit=options.limit, mode=options.mode)
    try:
        plan = planner.plan
        _may_spend(session, plan, budget, options)
        if options.publish:
            prepare(session)
        tell(_planned(plan, budget))
        record = store.begin_run(session.enrichment.name, runner=runner, fresh_budget=options.fresh_budget)
        tell(RunStarted(record.run_id))
        teller = Teller(session, refs, record, options.on_change)
        outcome = "stopped: error"
        summary: Mapping[str, Any] = {}
        stopped: RunStopped | None = None
        try:
            rounds = Rounds(session, refs, record, runner, budget, options)
            tally, stopped = rounds.run(planner, rules)
            summary = tally.summary()
            pending = rounds.waiting or (not options.wait and tally.planned > tally.settled)
            outcome = WAITING if pending and stopped is None else _outcome(tally, stopped)
        except KeyboardInterrupt:
            outcome = "stopped: interrupted"
            raise
        finally:
            kept = {**summary, TARGETS: plan.rows_selected}
            store.end_run(record.run_id, outcome=outcome, summary={**kept, **teller.facts()})
        report = Report(
            enrichment=session.enrichment.name,
            run_id=record.run_id,
            plan=plan,
            summary=summary,
            seconds=0.0,
            stopped=stopped,
            notes=(*session.notes(), *notes, *rounds.notes()),
            declaration=session.enrichment,
        )
    finally:
        planner.close()
    done = publish_declared(session, refs) if options.publish else None
    if done is not None:
        report = replace(report, published=done.place, published_rows=done.rows, publication=done)
        tell(TablePublished(done.place, done.rows, done.new, done.changed, done.unchanged))
    if teller.wanted:
        report = replace(report, notes=(*report.notes, *teller.tell()))
        store.end_run(record.run_id, outcome=outcome, summary={**kept, **teller.facts()})
    report = replace(report, seconds=time.monotonic() - started)
    tell(RunFinished(outcome, report.exit_code, round(report.seconds, 3), summary))
    return report


def _planned(plan: Plan, budget: Budget | None) -> RunPlanned:
    return RunPlanned(
        rows_source=plan.rows_source,
        rows_selected=plan.rows_selected,
        rows=plan.rows_taken,
        cells=sum(part.asked for part in plan.passes),
        calls=plan.calls,
        cost_usd=plan.cost_usd,
        worst_usd=plan.worst_usd,
        budget_usd=None if budget is None else usd(budget.cap_nusd),
        models=tuple(dict.fromkeys(part.model for part in plan.passes)),
    )


def _budget(enrichment: Enrichment, override_usd: float | None) -> Budget | None:
    spec = enrichment.budget
    if override_usd is not None:
        return Budget(int(override_usd * NANO), spec.per if spec is not None else "run")
    return None if spec is None else Budget(int(spec.usd * NANO), spec.per)


def _may_spend(session: Session, plan: Plan, budget: Budget | None, options: RunOptions) -> None:
    """Refuse a run whose price is unknown under a budget, or unconfirmed above a dollar without one."""
    unpriced = [
        step.model.full_name
        for steps, part in zip(session.steps, plan.passes, strict=True)
        for step in steps
        if step.price is None and step.model.local is None and part.asked
    ]
    if unpriced and budget is not None:
        raise SpecError(
            f"there is a budget, but the price of {', '.join(dict.fromkeys(unpriced))} is not known",
            file=session.enrichment.file,
            key="budget",
            remedy="give the pass `prices: {input_per_million: …, output_per_million: …}` or `priced_as: …`, "
            "or remove the budget",
        )
    known = [name for name in dict.fromkeys(unpriced) if name.partition(":")[0] in PRICED_PROVIDERS]
    if known and not options.yes:
        if options.confirm is not None and options.confirm(plan):
            return
        raise PlanError(
            f"the price of {', '.join(known)} is not known, so nobody can say what this run would cost",
            remedy="give the pass `prices: {input_per_million: …, output_per_million: …}` or `priced_as: …`, "
            "or go ahead with --yes (yes=True)",
        )
    cost = plan.cost_usd
    if budget is None and cost is not None and cost > ASK_ABOVE_USD and not options.yes:
        if options.confirm is not None and options.confirm(plan):
            return
        raise PlanError(
            f"this run would cost about ${cost:.2f} and no budget is set",
            remedy="set a budget (`budget: {usd: …}`, --budget, budget_usd=…), or go ahead with --yes (yes=True)",
        )


def _outcome(tally: Tally, stopped: RunStopped | None) -> str:
    if stopped is not None:
        return f"stopped: {stopped.kind}"
    return "failures" if tally.failed or tally.partial else "done"


def _drive(
    session: Session,
    works: list[PassWork],
    planner: Planner,
    record: RunRecord,
    budget: Budget | None,
    options: RunOptions,
    tally: Tally,
    *,
    only: Container[str] | None = None,
    seen: set[str] | None = None,
    again: bool = False,
) -> tuple[RunStopped | None, int]:
    """Run the engine in a loop of its own (uvloop where present): why it stopped, how many batches it made.

    `only` are the keys of the rows to take, `seen` receives those that were; `again`: this run has planned before.
    """
    if not again:
        tally.rows_planned = planner.plan.rows_taken
        for part, planned in zip(tally.passes, planner.plan.passes, strict=True):
            part.planned = planned.asked
    if planner.plan.nothing_to_do:
        return None, 0
    return in_loop(lambda: _drive_async(session, works, planner, record, budget, options, tally, only, seen, again))


def in_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in an event loop of its own; the second Ctrl-C, which cancels it, is a KeyboardInterrupt."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as loop:
            return loop.run(work())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _drive_async(
    session: Session,
    works: list[PassWork],
    planner: Planner,
    record: RunRecord,
    budget: Budget | None,
    options: RunOptions,
    tally: Tally,
    only: Container[str] | None,
    seen: set[str] | None,
    again: bool,
) -> tuple[RunStopped | None, int]:
    from inlay.engine.runner import Runner

    store = session.store(write=True)
    senders = _senders(session)
    spending = store.spending(record, budget.per) if budget is not None else None
    runner = Runner(
        session.enrichment,
        works,
        store,
        record,
        senders=senders,
        filling=fillings(session),
        limits={step.model.lane: step.limits for steps in reversed(session.steps) for step in steps},
        budget=budget,
        listener=options.listener,
        spent_before_nusd=0 if spending is None else spending.spent_nusd - tally.cost_nusd,
        tally=tally,
    )
    if options.watch is not None and not again:
        before = 0 if spending is None else spending.spent_nusd
        options.watch(Gauges(runner.tally, planner.plan, budget, before, lambda: runner.in_flight))
    if options.control is not None:
        options.control.bind(runner.stop)
    try:
        with Interrupts(runner.stop, enabled=options.interrupts):
            await runner.run(_feed(planner, works, store, session, only, seen))
    finally:
        if options.control is not None:
            options.control.release()
        for sender in senders.values():
            if sender is not None:
                await sender.close()
    return runner.stopping, len(runner.prepared)


def _senders(session: Session) -> dict[str, Any]:
    """One transport a lane; None for models inside this process."""
    senders: dict[str, Any] = {}
    for step in (step for steps in session.steps for step in steps):
        model, limits = step.model, step.limits
        key = model.lane
        if key in senders:
            continue
        if model.local is not None:
            senders[key] = None
            continue
        assert model.endpoint is not None
        from inlay.engine.limits import CEILING
        from inlay.providers.transport import Transport

        transport = Transport(
            model.endpoint,
            model.auth_headers,
            concurrency=limits.concurrency or CEILING,
            timeout_s=limits.timeout_s,
            provider=model.provider,
            signer=model.signer,
        )
        senders[key] = learning(session, model, transport)
    return senders


async def _feed(
    planner: Planner,
    works: list[PassWork],
    store: Any,
    session: Session,
    only: Container[str] | None,
    seen: set[str] | None,
) -> AsyncIterator[list[Row]]:
    """Planned rows with what the store holds of their cells, fetched in a thread so that the loop never waits."""
    rows = planner.rows()

    def fetch() -> list[Row] | None:
        batch = next(rows, None)
        if batch is not None and only is not None:
            batch = [row for row in batch if row.key in only]
        if batch is not None and seen is not None:
            seen.update(row.key for row in batch)
        if batch is not None and session.altered is not None:
            for work in works:
                changed = (row.key for row in batch if row.reasons[work.index] in _ALTERED)
                session.altered.setdefault(work.ref.pass_id, set()).update(changed)
        return None if batch is None else _with_stored(batch, works, store, session.enrichment.name)

    while (batch := await asyncio.to_thread(fetch)) is not None:
        yield batch


_ALTERED = frozenset((Reason.INPUT_CHANGED, Reason.UPSTREAM))
_LOOKED_UP = frozenset((Reason.RETRY, Reason.EXPIRED, Reason.STALE, Reason.UPSTREAM, Reason.INPUT_CHANGED))


def _with_stored(batch: list[PlannedRow], works: list[PassWork], store: Any, enrichment: str) -> list[Row]:
    rows = [Row(row.key, row.values, row.reasons, row.source_hashes, row.given) for row in batch]
    _lay_over(rows, works, store, enrichment)
    for work in works:
        readers = [other.index for other in works if work.index in other.upstream]
        wanted = []
        for row in rows:
            reason = row.reasons[work.index]
            # An idle pass matters where a pass that is asked reads it.
            idle_but_read = reason is None and any(row.reasons[index] is not None for index in readers)
            if reason in _LOOKED_UP or idle_but_read:
                wanted.append(row.key)
        if not wanted:
            continue
        found = store.read_cells(work.ref.pass_id, wanted)
        for row in rows:
            cell = found.get(row.key)
            if cell is None:
                if row.reasons[work.index] is None:
                    row.answered(work.index, None)  # perhaps people said it all
                continue
            row.stored[work.index] = cell
            if row.reasons[work.index] is None and cell.answer is not None and cell.answer.payload:
                fields = decode_fields(cell.answer.payload)
                row.answered(work.index, Answered(fields, cell.answer.values_hash, cell.state == "done"))
            elif row.reasons[work.index] is None:
                row.answered(work.index, None)
    return rows


def _lay_over(rows: list[Row], works: list[PassWork], store: Any, enrichment: str) -> None:
    """Note what people have said of these rows."""
    found = by_cell(store.corrections(enrichment, keys=[row.key for row in rows]))
    if not found:
        return
    for row in rows:
        for work in works:
            said = found.get((work.name, row.key), {})
            if known := {name: answer for name, answer in said.items() if name in work.fields}:
                row.human[work.index] = known


class Interrupts:
    """Ctrl-C once: stop cleanly, however long the calls in flight take. Twice: cancel now.

    SIGTERM is the same, but calls that are still in flight after TERMINATED_S are given up, and booked as paid.
    """

    def __init__(self, stop: Callable[[RunStopped], None], *, enabled: bool) -> None:
        self._stop = stop
        self._enabled = enabled and threading.current_thread() is threading.main_thread()
        self._count = 0
        self._task: asyncio.Task[Any] | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if not self._enabled:
            return
        self._task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._hit, number)

    def __exit__(self, *details: object) -> None:
        if not self._enabled:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        if self._deadline is not None:
            self._deadline.cancel()

    def _hit(self, number: int) -> None:
        self._count += 1
        if self._count == 1:
            self._stop(Interrupted("interrupted", remedy="everything answered is saved; run the same command to go on"))
            if number == signal.SIGTERM and self._task is not None:
                self._deadline = asyncio.get_running_loop().call_later(TERMINATED_S, self._task.cancel)
        elif self._task is not None:
            self._task.cancel()
