"""Settling: outcomes go to the store, then to every cell that waits for them, and their rows advance.

What stays true: a cell is settled exactly once a run and only after its outcome is durable; identical inputs share one
flight, and a row that joins while the answer is being written gets it too; a failure is remembered for later rows with
the same input, so that it is not paid once a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inlay.engine.events import BudgetWarning, Listener
from inlay.engine.given import RULE
from inlay.engine.passwork import PassWork
from inlay.engine.rows import Cells
from inlay.engine.tally import Tally
from inlay.engine.work import Answered, Ask, Row, Target
from inlay.engine.writer import Writer
from inlay.errors import RunStopped, StoreError, TooManyFailures
from inlay.payload import decode_fields, encode_fields, values_hash
from inlay.spec.model import FailuresSpec
from inlay.types import Budget, CellState, CellWrite, FieldAnswer, Known, NewAnswer, Settlement, usd

# So many failures, and so many answers that rules gave, are remembered in a run.
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Failure:
    """How an address failed in this run, for later rows with the same input."""

    state: CellState
    kind: str
    message: str
    answer_id: int | None = None
    answered: Answered | None = None


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
        start: Callable[[PassWork, Target], None],
        step: Callable[[Row], None],
    ) -> None:
        self.cells = cells
        self.tally = tally
        self.writer = writer
        self.flights: dict[bytes, Ask] = {}  # address -> the ask that is under way
        self.failures: dict[bytes, Failure] = {}  # address -> how it failed, wholly or in part, in this run
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
        self, ask: Ask, answer: NewAnswer | None, fields: dict[str, FieldAnswer], settlement: Settlement, *, final: bool
    ) -> None:
        """Keep an outcome for every cell that waits for it; returns when it is durable."""
        part = self.cells.passes[ask.pass_index]
        targets = tuple(ask.targets)
        state = CellState.FAILED if answer is None else answer.state
        kind = "" if state is CellState.DONE or answer is None else answer.error_kind or ""
        message = "" if answer is None else answer.error_message or ""
        writes = tuple(self.cells.write(part, ask, target, state, kind, message) for target in targets)
        number = await self.keep(
            Settlement(
                settlement.attempt_id,
                settlement.outcome,
                settlement.cost_nusd,
                settlement.usage,
                settlement.estimated,
                settlement.answer,
                writes,
            )
        )
        if not final:
            return
        # Cells that joined while the write was under way get theirs now.
        late = ask.targets[len(targets) :]
        self.flights.pop(ask.fingerprint, None)
        answered = None
        if fields and answer is not None:
            answered = Answered(fields, answer.values_hash, state is CellState.DONE)
        if state is not CellState.DONE and len(self.failures) < REMEMBERED:
            self.failures[ask.fingerprint] = Failure(state, kind, message, number, answered)
        for target in late:
            self._start(part, target)
        for place, target in enumerate(targets):
            self._ended(part, target, state, kind, answered, reused=place > 0)
        self._check_failures()

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

    def _ended(
        self,
        part: PassWork,
        target: Target,
        state: CellState,
        kind: str,
        answered: Answered | None,
        *,
        reused: bool,
        ruled: bool = False,
    ) -> None:
        tally = self.tally.passes[part.index]
        row = target.row
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
            tally.failed[kind] += 1
        self._step(row)

    async def rule(self, ask: Ask) -> None:
        """Rules give every field: keep that as the answer, for free."""
        part = self.cells.passes[ask.pass_index]
        fields = {name: ask.known[name] for name in part.fields}
        hashed = values_hash(fields)
        number = self._ruled.get(ask.fingerprint)
        answer = None
        if number is None:
            answer = NewAnswer(
                fingerprint=ask.fingerprint,
                recipe_id=part.ref.recipe_id,
                state=CellState.DONE,
                payload=encode_fields(fields),
                values_hash=hashed,
                input=ask.input,
                served_model=RULE,
            )
        targets = tuple(ask.targets)
        writes = tuple(
            self.cells.write(part, ask, target, CellState.DONE, "", "", answer_id=number) for target in targets
        )
        try:
            number = await self.writer.keep(Settlement(answer=answer, cells=writes)) or number
        except StoreError:
            return
        if number is not None and len(self._ruled) < REMEMBERED:
            self._ruled[ask.fingerprint] = number
        late = ask.targets[len(targets) :]
        self.flights.pop(ask.fingerprint, None)
        for target in late:
            self._start(part, target)
        answered = Answered(fields, hashed, True)
        for target in targets:
            self._ended(part, target, CellState.DONE, "", answered, reused=False, ruled=True)

    async def reuse(self, ask: Ask, known: Known) -> None:
        """The answer was there already: give it to the cells that wait."""
        part = self.cells.passes[ask.pass_index]
        answer = known.answer
        targets = tuple(ask.targets)
        writes = tuple(
            self.cells.write(part, ask, target, CellState.DONE, "", "", answer_id=answer.answer_id)
            for target in targets
        )
        try:
            await self.writer.keep(Settlement(cells=writes))
        except StoreError:
            return
        late = ask.targets[len(targets) :]
        self.flights.pop(ask.fingerprint, None)
        for target in late:
            self._start(part, target)
        answered = Answered(decode_fields(answer.payload), answer.values_hash, True)
        for target in targets:
            self._ended(part, target, CellState.DONE, "", answered, reused=True)

    async def fail(self, part: PassWork, ask: Ask, failure: Failure) -> None:
        """A cell that fails, wholly or in part, without a call."""
        self.flights.pop(ask.fingerprint, None)
        targets = tuple(ask.targets)
        state, kind = failure.state, failure.kind
        writes = tuple(
            self.cells.write(part, ask, target, state, kind, failure.message, answer_id=failure.answer_id)
            for target in targets
        )
        try:
            await self.writer.keep(Settlement(cells=writes))
        except StoreError:
            return
        for target in targets:
            self._ended(part, target, state, kind, failure.answered, reused=False)

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
