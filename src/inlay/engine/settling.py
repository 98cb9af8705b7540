"""Settling: outcomes go to the store, then to every cell that waits for them, and their rows advance.

What stays true: a cell is settled exactly once a run and only after its outcome is durable; identical inputs share one
flight, and a row that joins while the answer is being written gets it too; a failure is remembered for later rows with
the same input, so that it is not paid once a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from inlay.engine.events import BudgetWarning, FirstFailure, Listener
from inlay.engine.given import RULE
from inlay.engine.passwork import PassWork
from inlay.engine.rows import Cells
from inlay.engine.tally import Tally
from inlay.engine.work import Answered, Ask, Outcome, Row, Target
from inlay.engine.writer import Writer
from inlay.errors import RunStopped, StoreError, TooManyFailures
from inlay.payload import decode_fields, encode_fields, values_hash
from inlay.spec.model import FailuresSpec
from inlay.types import Budget, CellState, CellWrite, FieldAnswer, Known, NewAnswer, NullReason, Settlement, usd

# So many failures, and so many answers that rules gave, are remembered in a run.
REMEMBERED = 20_000


class Settling:
    """The settling half of a run. The Runner hands in what happens next to rows and targets."""

    def __init__(
        self,
        cells: Cells,
        tally: Tally,
        writer: Writer,
        *,
        failures: FailuresSpec,
        budget: Budget | None,
        spent_before_nusd: int,
        listener: Listener,
        stop: Callable[[RunStopped], None],
        start: Callable[[PassWork, Target, Outcome | None], None],
        step: Callable[[Row], None],
    ) -> None:
        self.cells = cells
        self.tally = tally
        self.writer = writer
        self.flights: dict[bytes, Ask] = {}  # address -> the ask that is under way
        self.failures: dict[bytes, Outcome] = {}  # address -> how it failed, wholly or in part, in this run
        self._ruled: dict[bytes, int] = {}  # address -> the answer that rules gave in this run
        self.open_claims = 0  # claimed by us and not closed
        self.unaffordable = False  # a claim found no room under the cap; closing another may make some
        self._rule = failures
        self._budget = budget
        self._spent_before = spent_before_nusd
        self._warned = False
        self._listener = listener
        self._stop = stop
        self._start = start
        self._step = step

    def book(self, cost_nusd: int, *, estimated: bool = False) -> None:
        """Count money that this run spent (`estimated`: a worst case whose truth is unknown)."""
        self.tally.cost_nusd += cost_nusd
        if estimated:
            self.tally.estimated_nusd += cost_nusd
        if self._budget is not None and not self._warned:
            spent = self._spent_before + self.tally.cost_nusd
            if spent * 5 >= self._budget.cap_nusd * 4 and cost_nusd:
                self._warned = True
                self._listener(BudgetWarning(usd(spent), usd(self._budget.cap_nusd)))

    # --- settling

    async def settle(
        self, ask: Ask, answer: NewAnswer, fields: dict[str, FieldAnswer], settlement: Settlement, *, final: bool
    ) -> None:
        """Keep an outcome for every cell that waits for it; returns when it is durable."""
        part = ask.work
        targets = tuple(ask.targets)
        state = answer.state
        answered = Answered(fields, answer.values_hash, state is CellState.DONE) if fields else None
        kind = "" if state is CellState.DONE else answer.error_kind or ""
        outcome = Outcome(state, kind, answer.error_message or "", None, answered)
        if final and part.following is not None and not suffices(part, outcome):
            outcome.answer_id = await self.keep(replace(settlement, answer=answer))
            self._escalate(ask, outcome)
            return
        best = better(ask.before, outcome) if final else outcome
        writes = tuple(
            self.cells.write(part, ask, target, best.state, best.kind, best.message, answer_id=best.answer_id)
            for target in targets
        )
        number = await self.keep(replace(settlement, cells=writes))
        if not final:
            return
        outcome.answer_id = number
        # Cells that joined while the write was under way get theirs now.
        late = self._landed(ask, targets)
        self._remember(ask, outcome)
        for waiting in late:
            self._start(*waiting)
        for place, target in enumerate(targets):
            self._ended(part, target, best, reused=place > 0)
        self._check_failures()

    def _landed(self, ask: Ask, targets: tuple[Target, ...]) -> list[tuple[PassWork, Target, Outcome | None]]:
        """The flight is over: the cells that joined it after these targets were written, and those of other passes."""
        self.flights.pop(ask.fingerprint, None)
        late = [(ask.work, target, ask.before) for target in ask.targets[len(targets) :]]
        return [*late, *ask.others]

    def _remember(self, ask: Ask, outcome: Outcome) -> None:
        if outcome.state is not CellState.DONE and len(self.failures) < REMEMBERED:
            self.failures[ask.fingerprint] = outcome

    def _escalate(self, ask: Ask, outcome: Outcome) -> None:
        """The answer is kept and does not suffice: the next model of the cascade is asked for the same cells."""
        part = ask.work
        assert part.following is not None
        self._remember(ask, outcome)
        targets = tuple(ask.targets)
        self.tally.passes[part.index].escalated += len(targets)
        best = better(ask.before, outcome)
        others = self._landed(ask, targets)
        for target in targets:
            self._start(part.following, target, best)
        for waiting in others:
            self._start(*waiting)

    async def keep(self, settlement: Settlement) -> int | None:
        """Keep a settlement; returns, with its answer's number, when it is durable."""
        try:
            return await self.writer.keep(settlement)
        finally:
            if settlement.attempt_id:
                self.closed()

    def closed(self) -> None:
        """A claim of ours is closed: its reservation has become a cost, which may leave room under the cap."""
        self.open_claims -= 1
        self.unaffordable = False
        self.writer.nudge()

    def _ended(self, part: PassWork, target: Target, outcome: Outcome, *, reused: bool, ruled: bool = False) -> None:
        tally = self.tally.passes[part.index]
        row, state, answered = target.row, outcome.state, outcome.answered
        row.answered(part.index, answered)
        if answered is not None:
            for answer in answered.fields.values():
                if answer.confidence is not None and answer.value is not None:
                    tally.confidence_sum += answer.confidence
                    tally.confidence_n += 1
        row.state[part.index] = state
        if state is CellState.DONE:
            if ruled:
                tally.ruled += 1
            elif reused:
                tally.reused += 1
            else:
                tally.done += 1
        elif state is CellState.PARTIAL:
            tally.partial += 1
        else:
            tally.failed[outcome.kind] += 1
            if tally.failed[outcome.kind] == 1:
                self._listener(FirstFailure(part.name, outcome.kind))
        self._step(row)

    async def rule(self, ask: Ask) -> None:
        """Rules give every field: keep that as the answer, for free."""
        part = ask.work
        fields = {name: ask.known[name] for name in part.fields}
        hashed = values_hash(fields)
        number = self._ruled.get(ask.fingerprint)
        answer = None
        if number is None:
            answer = NewAnswer(
                fingerprint=ask.fingerprint,
                recipe_id=part.answer_recipe_id,
                state=CellState.DONE,
                payload=encode_fields(fields),
                values_hash=hashed,
                input=ask.input,
                served_model=RULE,
            )
        outcome = Outcome(CellState.DONE, "", "", number, Answered(fields, hashed, True))
        number = await self._give(ask, outcome, answer, ruled=True)
        if number is not None and len(self._ruled) < REMEMBERED:
            self._ruled[ask.fingerprint] = number

    async def reuse(self, ask: Ask, known: Known) -> None:
        """The answer was there already: give it to the cells that wait."""
        answer = known.answer
        answered = Answered(decode_fields(answer.payload), answer.values_hash, True)
        outcome = Outcome(CellState.DONE, "", "", answer.answer_id, answered)
        if ask.work.following is not None and not suffices(ask.work, outcome):
            self._escalate(ask, outcome)
            return
        await self._give(ask, outcome, reused=True)

    async def fail(self, ask: Ask, outcome: Outcome) -> None:
        """A cell that fails, wholly or in part, without a call."""
        if ask.work.following is not None and outcome.answer_id is not None:
            self._escalate(ask, outcome)
            return
        await self._give(ask, better(ask.before, outcome))

    async def _give(
        self,
        ask: Ask,
        outcome: Outcome,
        answer: NewAnswer | None = None,
        *,
        reused: bool = False,
        ruled: bool = False,
    ) -> int | None:
        """Write an outcome that no call of this run brought to the cells that wait; its answer's number, if durable."""
        part = ask.work
        targets = tuple(ask.targets)
        writes = tuple(
            self.cells.write(
                part, ask, target, outcome.state, outcome.kind, outcome.message, answer_id=outcome.answer_id
            )
            for target in targets
        )
        try:
            number = await self.writer.keep(Settlement(answer=answer, cells=writes)) or outcome.answer_id
        except StoreError:
            return None
        late = self._landed(ask, targets)
        for waiting in late:
            self._start(*waiting)
        for target in targets:
            self._ended(part, target, outcome, reused=reused, ruled=ruled)
        return number

    async def keep_write(self, row: Row, write: CellWrite) -> None:
        """A cell that needs no answer: only its state is written."""
        try:
            await self.writer.keep(Settlement(cells=(write,)))
        except StoreError:
            return
        self._step(row)

    def _check_failures(self) -> None:
        rule = self._rule
        failed, settled = self.tally.failed, self.tally.settled
        if settled >= rule.min_cells and failed * 100 > rule.max_percent * settled:
            kinds: dict[str, int] = {}
            for part in self.tally.passes:
                for kind, count in part.failed.items():
                    kinds[kind] = kinds.get(kind, 0) + count
            worst = max(kinds, key=lambda kind: kinds[kind])
            self._stop(
                TooManyFailures(
                    f"{failed} of {settled} cells failed, more than failures.max_percent {rule.max_percent:g}"
                    f" (mostly {worst}: {kinds[worst]})",
                    remedy="look at `inlay status`; then mend it, or raise failures.max_percent, and run again",
                )
            )


def suffices(work: PassWork, outcome: Outcome) -> bool:
    """Whether an answer of a cascade is good enough: every field valid, none ambiguous, and where confidence is asked,
    as high as the declaration wants it. What rules gave suffices."""
    if outcome.state is not CellState.DONE or outcome.answered is None:
        return False
    least = work.spec.suffices_from
    for name, answer in outcome.answered.fields.items():
        if answer.source is not None:
            continue
        if answer.null_reason is NullReason.AMBIGUOUS:
            return False
        spec = work.fields.get(name)
        if spec is not None and spec.confidence and (answer.confidence is None or answer.confidence < least):
            return False
    return True


_RANK = {CellState.DONE: 2, CellState.PARTIAL: 1}


def better(before: Outcome | None, now: Outcome) -> Outcome:
    """Of two steps of a cascade the one to publish: the more whole one, and among equals the later model's."""
    if before is None or _RANK.get(now.state, 0) >= _RANK.get(before.state, 0):
        return now
    return before
