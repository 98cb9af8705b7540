"""The journal of batches in an SQL store: `contracts.Journal`.

What stays true: handing leases to a batch, settling its lines and giving them back each happen in the transaction that
says so; a line is there exactly as long as its attempt is open; a batch that is over holds no lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import orjson

from inlay.batches import HOLDING, Batch, BatchLine, BatchState, LineCell
from inlay.batches import RUNNER as BATCH
from inlay.errors import StoreDamaged, StoreError
from inlay.stores import attempts, settle
from inlay.stores.liveness import LEASE_MS
from inlay.stores.rows import chunks, damaged, has_table, line_sum, pack, rows_in, unpack, write_rows
from inlay.stores.transactions import Con, Transactions
from inlay.types import RunRecord, Settlement

_BATCH = "submission, enrichment, run_id, account, state, made_at, facts, check_sum, driver"
_LINE = "custom_id, attempt_id, pass_id, recipe_id, fingerprint, facts, cells, check_sum, known, input"
_COLUMNS = ("submission", "enrichment", "run_id", "account", "state", "made_at", "driver")
_FACTS = tuple(each.name for each in fields(Batch) if each.name not in _COLUMNS)


class SqlJournal:
    """The batches of one SQL store; made anew at each use, since it holds nothing itself."""

    def __init__(self, db: Transactions, *, now_ms: Callable[[], int], alive: attempts.Alive) -> None:
        self._db = db
        self._now = now_ms
        self._alive = alive

    def prepare(self, batch: Batch, lines: Sequence[BatchLine], *, run: RunRecord) -> None:
        self._db.write("prepare", lambda con: _prepare(con, batch, lines, run, self._now()))

    def batch(self, submission: str) -> Batch | None:
        query = f"SELECT {_BATCH} FROM batches WHERE submission = ?"
        row = self._db.look(lambda con: con.execute(query, (submission,)).fetchone() if there(con) else None)
        return None if row is None else _batch(row)

    def batches(self, enrichment: str, *, closed: bool = False) -> list[Batch]:
        query = f"SELECT {_BATCH} FROM batches WHERE enrichment = ? ORDER BY made_at, submission"
        rows = self._db.look(lambda con: con.execute(query, (enrichment,)).fetchall() if there(con) else [])
        return [batch for batch in map(_batch, rows) if closed or batch.is_open]

    def take(self, submission: str, driver: str) -> Batch | None:
        def work(con: Con) -> Batch | None:
            now = self._now()
            query = "SELECT driver, driver_until FROM batches WHERE submission = ?"
            row = con.execute(query, (submission,)).fetchone()
            if row is None or (row[0] not in ("", driver) and self._alive(row[0], row[1], now)):
                return None
            con.execute(
                "UPDATE batches SET driver = ?, driver_until = ? WHERE submission = ?",
                (driver, now + LEASE_MS, submission),
            )
            return _find(con, submission)

        return self._db.write("take", work)

    def let_go(self, driver: str) -> None:
        statement = "UPDATE batches SET driver = '', driver_until = 0 WHERE driver = ?"
        self._db.write("let_go", lambda con: con.execute(statement, (driver,)) and None)

    def move(self, submission: str, state: BatchState, *, alone: bool = False, **facts: Any) -> Batch | None:
        return self._db.write(state.value, lambda con: _move(con, submission, state, alone, facts))

    def lines(self, submission: str, custom_ids: Sequence[str]) -> dict[str, BatchLine]:
        query = f"SELECT {_LINE} FROM batch_lines WHERE submission = ? AND custom_id IN (%s)"
        found = self._db.look(lambda con: list(rows_in(con, query, custom_ids, submission)))
        return {row[0]: _line(submission, row) for row in found}

    def left(self, submission: str) -> int:
        query = "SELECT count(*) FROM batch_lines WHERE submission = ?"
        return self._db.look(lambda con: con.execute(query, (submission,)).fetchone()[0])

    def some(self, submission: str, most: int) -> list[str]:
        query = "SELECT custom_id FROM batch_lines WHERE submission = ? ORDER BY custom_id LIMIT ?"
        return self._db.look(lambda con: [row[0] for row in con.execute(query, (submission, most)).fetchall()])

    def settle(self, submission: str, settlements: Sequence[tuple[str, Settlement]]) -> list[bool]:
        return self._db.write("apply", lambda con: _settle(con, submission, settlements, self._now()))

    def give_back(self, submission: str, custom_ids: Sequence[str] | None = None) -> int:
        return self._db.write("give_back", lambda con: _give_back(con, submission, custom_ids))

    def waiting(self, enrichment: str) -> dict[int, int]:
        query = (
            "SELECT l.pass_id, sum(l.cells) FROM batch_lines l JOIN batches b ON b.submission = l.submission "
            "WHERE b.enrichment = ? GROUP BY l.pass_id"
        )
        return self._db.look(lambda con: dict(con.execute(query, (enrichment,)).fetchall()) if there(con) else {})


def there(con: Con) -> bool:
    """Whether this store can hold batches: an older file that may only be read was never migrated."""
    return has_table(con, "batches")


def problems(con: Con) -> Iterator[str]:
    """One sentence for each batch or line that is not what was written, or that fits no attempt."""
    if not there(con):
        return
    holding: set[str] = set()
    known: set[str] = set()
    for row in con.execute(f"SELECT {_BATCH} FROM batches"):
        known.add(row[0])
        try:
            batch = _batch(row)
        except StoreDamaged as error:
            yield error.message
            continue
        if batch.state in HOLDING:
            holding.add(batch.runner)
    for row in con.execute(f"SELECT submission, {_LINE} FROM batch_lines"):
        try:
            _line(row[0], row[1:])
        except StoreDamaged as error:
            yield error.message
        if row[0] not in known:
            yield f"line {row[1]} belongs to batch {row[0]}, which is not there"
    query = (
        "SELECT l.attempt_id, l.runner, b.custom_id FROM leases l LEFT JOIN batch_lines b "
        f"ON b.submission = substr(l.runner, {len(BATCH) + 1}) AND b.attempt_id = l.attempt_id "
        f"WHERE substr(l.runner, 1, {len(BATCH)}) = ?"
    )
    for number, runner, line in con.execute(query, (BATCH,)):
        if runner not in holding:
            yield f"attempt {number} is held by {runner}, which is no open batch"
        elif line is None:
            yield f"attempt {number} is held by {runner}, which has no line for it"


# --- inside a transaction ------------------------------------------------------------------------------------------


def _prepare(con: Con, batch: Batch, lines: Sequence[BatchLine], run: RunRecord, now_ms: int) -> None:
    numbers = [line.attempt_id for line in lines]
    moved = sum(
        con.execute(
            f"UPDATE leases SET runner = ? WHERE runner = ? AND attempt_id IN ({marks})",
            (batch.runner, run.runner, *part),
        ).rowcount
        for marks, part in chunks(numbers)
    )
    if moved != len(set(numbers)) or moved != len(lines):
        raise StoreError(
            f"{len(lines) - moved} of the {len(lines)} calls of a batch are not this run's own any more",
            remedy="run the same command again",
        )
    batch = replace(batch, state=BatchState.PREPARED, made_at=now_ms / 1000)
    con.execute(f"INSERT INTO batches ({_BATCH}, driver_until) VALUES ({','.join('?' * 10)})", (*_row(batch), "", 0))
    write_rows(
        con,
        f"INSERT INTO batch_lines (submission, {_LINE}) VALUES ({','.join('?' * 11)})",
        [(batch.submission, *_line_row(batch.submission, line)) for line in lines],
    )


def _move(con: Con, submission: str, state: BatchState, alone: bool, facts: Mapping[str, Any]) -> Batch | None:
    batch = _find(con, submission)
    if alone:
        busy = con.execute(
            "SELECT 1 FROM batches WHERE account = ? AND state = ? AND submission <> ? LIMIT 1",
            (batch.account, BatchState.SUBMITTING.value, submission),
        ).fetchone()
        if busy:
            return None
    batch = replace(batch, state=state, **facts)
    row = _row(batch)
    con.execute(
        "UPDATE batches SET state = ?, facts = ?, check_sum = ? WHERE submission = ?",
        (row[4], row[6], row[7], submission),
    )
    if state in (BatchState.FAILED, BatchState.ABSENT):
        _give_back(con, submission, None)
    return batch


def _settle(con: Con, submission: str, settlements: Sequence[tuple[str, Settlement]], now_ms: int) -> list[bool]:
    batch = _find(con, submission)
    query = "SELECT custom_id FROM batch_lines WHERE submission = ? AND custom_id IN (%s)"
    left = {row[0] for row in rows_in(con, query, [name for name, _ in settlements], submission)}
    counted: list[bool] = []
    taken: list[Settlement] = []
    for name, settlement in settlements:
        counted.append(name in left)
        if name in left:
            left.discard(name)
            taken.append(replace(settlement, cells=_untouched(con, settlement, int(batch.made_at * 1000 + 0.5))))
    # Money, answers and history belong to the run that asked.
    run = RunRecord(batch.run_id, batch.enrichment, batch.runner, 0.0, None, "", batch.run_id, {})
    settle.commit(con, taken, run=run, now_ms=now_ms)
    _delete_lines(con, submission, [name for (name, _), own in zip(settlements, counted, strict=True) if own])
    return counted


def _find(con: Con, submission: str) -> Batch:
    row = con.execute(f"SELECT {_BATCH} FROM batches WHERE submission = ?", (submission,)).fetchone()
    if row is None:
        raise StoreError(f"there is no batch {submission} in this store", remedy="`inlay batch list` shows them")
    return _batch(row)


def _untouched(con: Con, settlement: Settlement, made_ms: int) -> tuple[Any, ...]:
    """The writes of a settlement without those to cells that have changed since."""
    changed: set[tuple[int, str]] = set()
    by_pass: dict[int, list[str]] = {}
    for write in settlement.cells:
        by_pass.setdefault(write.pass_id, []).append(write.key)
    for pass_id, keys in by_pass.items():
        query = "SELECT key FROM cells WHERE pass_id = ? AND updated_at > ? AND key IN (%s)"
        changed.update((pass_id, key) for (key,) in rows_in(con, query, keys, pass_id, made_ms))
    return tuple(write for write in settlement.cells if (write.pass_id, write.key) not in changed)


def _give_back(con: Con, submission: str, custom_ids: Sequence[str] | None) -> int:
    if custom_ids is None:
        found = con.execute(
            "SELECT custom_id, attempt_id FROM batch_lines WHERE submission = ?", (submission,)
        ).fetchall()
    else:
        query = "SELECT custom_id, attempt_id FROM batch_lines WHERE submission = ? AND custom_id IN (%s)"
        found = list(rows_in(con, query, custom_ids, submission))
    attempts.release(con, [number for _, number in found])
    _delete_lines(con, submission, [name for name, _ in found])
    return len(found)


def _delete_lines(con: Con, submission: str, custom_ids: Sequence[str]) -> None:
    for marks, part in chunks(custom_ids):
        con.execute(f"DELETE FROM batch_lines WHERE submission = ? AND custom_id IN ({marks})", (submission, *part))


def lines_of(con: Con, passes: Iterable[int]) -> list[tuple[str, BatchLine]]:
    """(submission, line) of everything that waits for an answer to one of these passes."""
    query = f"SELECT submission, {_LINE} FROM batch_lines WHERE pass_id IN (%s)"
    return [(row[0], _line(row[0], row[1:])) for row in rows_in(con, query, passes)]


def rewrite(con: Con, submission: str, line: BatchLine) -> None:
    """Write a line anew, for other cells than before."""
    row = _line_row(submission, line)
    con.execute(
        "UPDATE batch_lines SET facts = ?, cells = ?, check_sum = ? WHERE submission = ? AND custom_id = ?",
        (*row[5:8], submission, line.custom_id),
    )


# --- rows and values -----------------------------------------------------------------------------------------------


def _ms(seconds: float) -> int:
    return int(seconds * 1000 + 0.5)


def _row(batch: Batch) -> tuple[Any, ...]:
    """The columns of a batch up to its checksum."""
    facts = orjson.dumps({name: getattr(batch, name) for name in _FACTS}).decode()
    made = _ms(batch.made_at)
    row = (batch.submission, batch.enrichment, batch.run_id, batch.account, batch.state.value, made, facts)
    return (*row, line_sum(row))


def _batch(row: Sequence[Any]) -> Batch:
    try:
        if line_sum(row[:7]) == row[7]:
            facts: Mapping[str, Any] = orjson.loads(row[6])
            named = dict(zip(_COLUMNS, (*row[:4], BatchState(row[4]), row[5] / 1000, row[8]), strict=True))
            return Batch(**named, **{name: facts[name] for name in _FACTS if name in facts})
    except (ValueError, TypeError):
        pass
    raise damaged(f"batch {row[0]}")


def _line_row(submission: str, line: BatchLine) -> tuple[Any, ...]:
    cells = [[c.key, c.source_hash.hex(), c.upstream_hash.hex(), c.tries, c.keeps] for c in line.cells]
    facts = {
        "cells": cells,
        "names": line.names,
        "repair": line.repair,
        "reserve": line.reserve_nusd,
        "cost": line.cost_nusd,
    }
    text = orjson.dumps(facts).decode()
    known, given = pack(line.known), pack(line.input)
    row = (line.custom_id, line.attempt_id, line.pass_id, line.recipe_id, line.fingerprint, text, len(cells))
    return (*row, line_sum((submission, *row, known, given)), known, given)


def _line(submission: str, row: Sequence[Any]) -> BatchLine:
    try:
        if line_sum((submission, *row[:7], row[8], row[9])) == row[7]:
            facts = orjson.loads(row[5])
            cells = tuple(
                LineCell(key, bytes.fromhex(source), bytes.fromhex(upstream), tries, keeps)
                for key, source, upstream, tries, keeps in facts["cells"]
            )
            return BatchLine(
                custom_id=row[0],
                attempt_id=row[1],
                fingerprint=row[4],
                pass_id=row[2],
                recipe_id=row[3],
                input=unpack(row[9]),
                cells=cells,
                names=tuple(facts["names"]),
                known=unpack(row[8]),
                repair=facts["repair"],
                reserve_nusd=facts["reserve"],
                cost_nusd=facts["cost"],
            )
    except (ValueError, TypeError, KeyError):
        pass
    raise damaged(f"line {row[0]} of batch {submission}")
