"""What the store in memory keeps of an attempt and of a cell, and the plain rules that change them.

What stays true: a record is never changed in place, so whoever holds one keeps what it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.errors import StoreError
from inlay.stores.ledger import DAY_MS, MILLION, ledger_lines
from inlay.types import (
    Attempt,
    CellEvent,
    CellState,
    CellWrite,
    NewAnswer,
    Savings,
    Settlement,
    StoredAnswer,
    StoredCell,
    Usage,
)

if TYPE_CHECKING:
    import pyarrow as pa

_NO_USAGE = Usage()
_NO_SAVINGS = Savings()


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One attempt, open until `closed_at` is set. Times in milliseconds, money in nano-dollars."""

    attempt_id: int
    fingerprint: bytes
    pass_id: int
    run_id: int
    runner: str
    reserved: int
    opened_at: int
    closed_at: int | None = None
    outcome: str = ""
    cost: int = 0
    estimated: bool = False
    usage: Usage = _NO_USAGE
    model: str = ""
    latency_ms: int | None = None
    answer_id: int | None = None
    mode: str = "live"
    sharing: int = 1
    saved: Savings = _NO_SAVINGS
    folded: bool = False  # pruned: only its sums count

    @property
    def is_open(self) -> bool:
        """Whether it is still under way."""
        return self.closed_at is None

    def closed(self) -> Attempt:
        """The attempt as a store gives it out, once it is closed."""
        assert self.closed_at is not None
        return Attempt(
            self.attempt_id,
            self.fingerprint,
            self.run_id,
            self.opened_at / 1000,
            self.closed_at / 1000,
            self.outcome,
            self.cost,
            self.estimated,
            self.usage,
            self.model,
            self.latency_ms,
            self.answer_id,
            self.mode,
            self.sharing,
            self.saved,
        )

    @property
    def is_detail(self) -> bool:
        """Whether it is closed and was not pruned into sums."""
        return not self.is_open and not self.folded

    @staticmethod
    def closing(settlement: Settlement, number: int | None, attempt: AttemptRecord) -> dict[str, Any]:
        """What a settlement changes of an attempt."""
        answer = settlement.answer
        return {
            "outcome": settlement.outcome,
            "cost": settlement.cost_nusd,
            "estimated": settlement.estimated,
            "usage": settlement.usage,
            "model": "" if answer is None else answer.served_model,
            "latency_ms": None if answer is None else answer.latency_ms,
            "answer_id": attempt.answer_id if number is None else number,
            "mode": settlement.mode,
            "sharing": settlement.sharing,
            "saved": settlement.saved,
        }


@dataclass(frozen=True, slots=True)
class CellRecord:
    """The present state of a cell. `kept`: its last line noted a failed refresh and left the answer in place."""

    pass_id: int
    key: str
    recipe_id: int
    state: CellState
    reason: str
    message: str
    tries: int
    answer_id: int | None
    source_hash: bytes
    input_hash: bytes
    upstream_hash: bytes
    updated_at: int
    last_seq: int
    kept: bool = False

    @staticmethod
    def check(write: CellWrite) -> None:
        """Raise a StoreError for a write that no store takes."""
        for value in (write.source_hash, write.input_hash, write.upstream_hash):
            if len(value) not in (0, 16):
                raise StoreError(
                    f"a cell's hash has {len(value)} bytes instead of 16", remedy="use inlay.fingerprint.short_hash"
                )

    @classmethod
    def after(cls, present: CellRecord | None, write: CellWrite, number: int | None, now: int, seq: int) -> CellRecord:
        """The cell after a write, given what it was; `number` is the answer of the settlement around it."""
        if write.keep_answer and present is not None:
            return replace(
                present,
                reason=write.reason,
                message=write.message,
                tries=write.tries,
                updated_at=now,
                last_seq=seq,
                kept=True,
            )
        return cls(
            write.pass_id,
            write.key,
            write.recipe_id,
            write.state,
            write.reason,
            write.message,
            write.tries,
            write.answer_id if write.answer_id is not None else number,
            write.source_hash,
            write.input_hash,
            write.upstream_hash,
            now,
            seq,
        )

    def stored(self, answer: StoredAnswer | None) -> StoredCell:
        """The cell as a store gives it out."""
        return StoredCell(
            self.pass_id,
            self.key,
            self.recipe_id,
            self.source_hash,
            self.input_hash,
            self.upstream_hash,
            self.state,
            self.reason,
            self.message,
            self.tries,
            self.updated_at / 1000,
            answer,
        )

    def scan_row(self, answer: StoredAnswer | None) -> tuple[Any, ...]:
        """The cell as CELL_SCAN_COLUMNS."""
        return (
            self.key,
            self.source_hash.hex(),
            self.upstream_hash.hex(),
            "" if answer is None else answer.values_hash.hex(),
            self.recipe_id,
            self.state.value,
            self.reason,
            self.tries,
            0 if answer is None else int(answer.created_at),
        )


def scan_batches(rows: list[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
    """What `CellRecord.scan_row` gave, as Arrow."""
    import pyarrow as pa

    types = [pa.string()] * 4 + [pa.int32(), pa.string(), pa.string(), pa.int32(), pa.int64()]
    for start in range(0, len(rows), 20_000):
        columns = zip(*rows[start : start + 20_000], strict=True)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
        yield pa.record_batch(arrays, names=list(CELL_SCAN_COLUMNS))


def ledger_of(attempts: Iterable[AttemptRecord], names: dict[int, str], *, days: bool) -> list[dict[str, Any]]:
    """Closed attempts summed by run, pass, model, outcome and mode, and by day where that is asked for."""
    return ledger_lines((_ledger_row(attempt) for attempt in attempts), names, days=days)


def _ledger_row(attempt: AttemptRecord) -> tuple[Any, ...]:
    """One attempt as `ledger.LEDGER_PLACE` and `LEDGER_SUMS`."""
    usage = attempt.usage
    return (
        attempt.run_id,
        attempt.pass_id,
        attempt.model,
        attempt.outcome,
        attempt.mode,
        attempt.opened_at // DAY_MS,
        1,
        usage.input_tokens,
        usage.output_tokens,
        attempt.cost,
        int(attempt.answer_id is not None),
        attempt.latency_ms or 0,
        (MILLION + attempt.sharing // 2) // attempt.sharing,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        attempt.saved.cache_nusd,
        attempt.saved.shared_nusd,
        attempt.saved.batch_nusd,
    )


def prune_records(
    answers: dict[int, tuple[StoredAnswer, NewAnswer]],
    cells: dict[tuple[int, str], CellRecord],
    history: dict[tuple[int, str], list[CellEvent]],
    attempts: dict[int, AttemptRecord],
    runs: set[int],
    before_ms: int,
    dry_run: bool,
) -> dict[str, int]:
    """`contracts.Store.prune` over the records of a store in memory; attempts that go are marked as folded."""
    used = {cell.answer_id for cell in cells.values()}
    gone = {
        number
        for number, (stored, _) in answers.items()
        if stored.run_id in runs and round(stored.created_at * 1000) <= before_ms and number not in used
    }
    lines = sum(line.answer_id in gone for events in history.values() for line in events)
    left = answers.keys() - gone
    folded = [
        attempt
        for attempt in attempts.values()
        if attempt.run_id in runs
        and not attempt.folded
        and attempt.closed_at is not None
        and attempt.closed_at <= before_ms
        and (attempt.answer_id is None or attempt.answer_id not in left)
    ]
    if not dry_run:
        for number in gone:
            del answers[number]
        for events in history.values():
            events[:] = [line for line in events if line.answer_id not in gone]
        for attempt in folded:
            attempts[attempt.attempt_id] = replace(attempt, folded=True)
    return {"answers": len(gone), "history": lines, "attempts": len(folded)}


def clear_records(
    answers: dict[int, tuple[StoredAnswer, NewAnswer]],
    cells: dict[tuple[int, str], CellRecord],
    history: dict[tuple[int, str], list[CellEvent]],
    passes: set[int],
    keys: Sequence[str] | None,
) -> dict[str, int]:
    """`contracts.Store.clear` over the records of a store in memory, for these passes."""
    doomed = [place for place in cells if place[0] in passes and (keys is None or place[1] in keys)]
    numbers = {cells[place].answer_id for place in doomed} - {None}
    addresses = {answers[number][0].fingerprint for number in numbers if number is not None}
    lines = sum(len(history.pop(place, ())) for place in doomed)
    for place in doomed:
        del cells[place]
    kept = {cell.answer_id for cell in cells.values()}
    gone = [number for number, (a, _) in answers.items() if a.fingerprint in addresses and number not in kept]
    for number in gone:
        del answers[number]
    return {"cells": len(doomed), "answers": len(gone), "history": lines}


def forget_records(
    answers: dict[int, tuple[StoredAnswer, NewAnswer]],
    cells: dict[tuple[int, str], CellRecord],
    history: dict[tuple[int, str], list[CellEvent]],
    attempts: dict[int, AttemptRecord],
    passes: set[int],
    keys: set[str],
    runs: set[int],
    addresses: set[bytes],
) -> dict[str, int]:
    """`contracts.Store.forget` over the records of a store in memory; `addresses` are of batch lines that went."""
    doomed = [place for place in history if place[0] in passes and place[1] in keys]
    events = [line for place in doomed for line in history.pop(place)]
    numbers = {line.answer_id for line in events}
    numbers.update(cells.pop(place).answer_id for place in doomed if place in cells)
    theirs = {answers[number][0].fingerprint for number in numbers if number in answers}
    kept = {cell.answer_id for cell in cells.values()}
    told = kept.union(line.answer_id for lines in history.values() for line in lines)
    gone = [
        number
        for number, (stored, _) in answers.items()
        if (stored.fingerprint in theirs and number not in kept)
        or (stored.run_id in runs and stored.state != CellState.DONE and number not in told)
    ]
    for number in gone:
        del answers[number]
    nobodys = (theirs | addresses) - {stored.fingerprint for stored, _ in answers.values()}
    unnamed = [attempt for attempt in attempts.values() if attempt.is_detail and attempt.fingerprint in nobodys]
    for attempt in unnamed:
        attempts[attempt.attempt_id] = replace(attempt, fingerprint=b"")
    return {"cells": len(doomed), "history": len(events), "answers": len(gone), "attempts": len(unnamed)}
