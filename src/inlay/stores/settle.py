"""Committing finished attempts in an SQL store: answers, cells, history and costs, a group at a time.

Works inside the caller's write transaction. This is the hot path: a few statements a group, whatever its size, and
nothing but tuples in between. What stays true: an answer row is inserted and never changed, each cell's present
state is the last line of its history, and an attempt that was already booked at its worst case is corrected to the
truth rather than counted twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inlay.errors import StoreError
from inlay.stores.accounts import ASKED_AGAIN, TERMINAL_REASONS
from inlay.stores.attempts import INSERT_ATTEMPT, Money, closed_attempts, delete_leases, open_attempts, take_numbers
from inlay.stores.rows import (
    CELL_COLUMNS,
    INSERT_ANSWER,
    INSERT_CELL,
    INSERT_HISTORY,
    STATE_TEXT,
    UPSERT_CELL,
    answer_row,
    cell_row,
    cell_sum,
    hash_or_null,
    history_sum,
    kept_row,
    rows_in,
    stored_cell,
    tokens_of,
    write_rows,
)
from inlay.stores.transactions import Con
from inlay.types import CellWrite, NewAnswer, RunRecord, Settlement

_Place = tuple[int, str]


def commit(con: Con, settlements: Sequence[Settlement], *, run: RunRecord, now_ms: int) -> list[int | None]:
    """See `contracts.Store.commit`."""
    numbers = _number_answers(con, settlements, run, now_ms)
    _close_attempts(con, settlements, numbers, run, now_ms)
    _write_cells(con, settlements, numbers, run, now_ms)
    return numbers


def _number_answers(con: Con, settlements: Sequence[Settlement], run: RunRecord, now_ms: int) -> list[int | None]:
    """Insert the answers of a group; the number of each settlement's answer."""
    count = sum(1 for settlement in settlements if settlement.answer is not None)
    if not count:
        return [None] * len(settlements)
    number = take_numbers(con, "answer", count)
    numbers: list[int | None] = []
    rows: list[tuple[Any, ...]] = []
    for settlement in settlements:
        if settlement.answer is None:
            numbers.append(None)
        else:
            rows.append(answer_row(number, settlement.answer, run.run_id, now_ms))
            numbers.append(number)
            number += 1
    write_rows(con, INSERT_ANSWER, rows)
    return numbers


# --- attempts ------------------------------------------------------------------------------------------------------


def _close_attempts(
    con: Con,
    settlements: Sequence[Settlement],
    numbers: Sequence[int | None],
    run: RunRecord,
    now_ms: int,
) -> None:
    wanted = [settlement.attempt_id for settlement in settlements if settlement.attempt_id is not None]
    if len(set(wanted)) != len(wanted):
        raise StoreError("one attempt was settled twice in one commit", remedy="settle each attempt once")
    opened = open_attempts(con, wanted)
    closed = closed_attempts(con, [number for number in wanted if number not in opened])
    money = Money(con)
    inserts: list[tuple[Any, ...]] = []
    for settlement, number in zip(settlements, numbers, strict=True):
        cost = settlement.cost_nusd
        attempt = settlement.attempt_id
        if attempt in opened:
            row = opened[attempt][:7]
            inserts.append((*row, now_ms, *_closing(settlement, number)))
            money.book(row[3], row[6], cost, -row[5])
        elif attempt in closed:  # taken over while it was under way: the booked worst case becomes the truth
            row = closed[attempt]
            _correct(con, settlement, number, now_ms)
            money.book(row[3], row[6], cost - row[7], 0)
        elif attempt is not None or settlement.answer is not None or cost:
            # Nothing was reserved, or the reservation is long gone: booked whole, here and now.
            fresh = take_numbers(con, "attempt", 1)
            address = None if settlement.answer is None else settlement.answer.fingerprint
            pass_id = settlement.cells[0].pass_id if settlement.cells else 0
            lease = (fresh, address, pass_id, run.run_id, run.runner, 0, now_ms)
            inserts.append((*lease, now_ms, *_closing(settlement, number)))
            money.book(run.run_id, now_ms, cost, 0)
    write_rows(con, INSERT_ATTEMPT, inserts)
    delete_leases(con, opened)
    money.write()


def _closing(settlement: Settlement, answer_id: int | None) -> tuple[Any, ...]:
    """The columns of INSERT_ATTEMPT that follow `closed_at`."""
    answer = settlement.answer
    return (
        settlement.outcome,
        settlement.cost_nusd,
        1 if settlement.estimated else 0,
        *tokens_of(settlement.usage),
        "" if answer is None else answer.served_model,
        None if answer is None else answer.latency_ms,
        answer_id,
        settlement.mode,
        settlement.sharing,
        settlement.saved.cache_nusd,
        settlement.saved.shared_nusd,
        settlement.saved.batch_nusd,
    )


def _correct(con: Con, settlement: Settlement, answer_id: int | None, now_ms: int) -> None:
    con.execute(
        "UPDATE attempts SET closed_at = ?, outcome = ?, cost = ?, estimated = ?, input_tokens = ?, "
        "output_tokens = ?, cached_tokens = ?, cache_write_tokens = ?, reasoning_tokens = ?, model = ?, "
        "latency_ms = ?, answer_id = coalesce(?, answer_id), mode = ?, sharing = ?, saved_cache = ?, "
        "saved_shared = ?, saved_batch = ? WHERE attempt_id = ?",
        (now_ms, *_closing(settlement, answer_id), settlement.attempt_id),
    )


# --- cells ---------------------------------------------------------------------------------------------------------


def _write_cells(
    con: Con,
    settlements: Sequence[Settlement],
    numbers: Sequence[int | None],
    run: RunRecord,
    now_ms: int,
) -> None:
    writes = [
        (write, settlement.answer, number)
        for settlement, number in zip(settlements, numbers, strict=True)
        for write in settlement.cells
    ]
    if not writes:
        return
    places = {(write.pass_id, write.key) for write, _, _ in writes}
    last = _last_lines(con, places)
    keeping = {(write.pass_id, write.key) for write, _, _ in writes if write.keep_answer}
    kept = _present_rows(con, keeping)
    referred = _referred(con, [write.answer_id for write, _, _ in writes if write.answer_id is not None])
    seq = take_numbers(con, "history", len(writes))
    fresh: list[tuple[Any, ...]] = []  # a plain insert seeks once, an upsert twice
    cells: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    for write, answer, number in writes:
        place = (write.pass_id, write.key)
        present = kept.get(place) if write.keep_answer else None
        if present is not None:
            row = kept_row(present, write, now_ms, seq)
            answer_id = None
        else:
            answer_id, answered_at, values = _answer_of(write, answer, number, referred, now_ms)
            row = cell_row(write, answer_id, answered_at, values, now_ms, seq)
        if place in keeping:
            kept[place] = row  # another write of this group may keep it
        line = (
            seq,
            last.get(place),
            write.pass_id,
            write.key,
            now_ms,
            run.run_id,
            STATE_TEXT[write.state],
            write.reason,
            row[5],
            answer_id,
        )
        lines.append((*line, history_sum(line)))
        (cells if place in last else fresh).append(row)
        last[place] = seq
        seq += 1
    write_rows(con, INSERT_HISTORY, lines)
    write_rows(con, INSERT_CELL, fresh)
    write_rows(con, UPSERT_CELL, cells)


def _answer_of(
    write: CellWrite,
    answer: NewAnswer | None,
    number: int | None,
    referred: dict[int, tuple[bytes, int]],
    now_ms: int,
) -> tuple[int | None, int, bytes | None]:
    """(answer_id, answered_at, values_hash) of the answer that a write refers to; nothing where there is none."""
    if write.answer_id is not None:
        values, answered_at = referred[write.answer_id]
        return write.answer_id, answered_at, hash_or_null(values)
    if answer is None:
        return None, 0, None
    return number, now_ms, hash_or_null(answer.values_hash)


def _referred(con: Con, numbers: list[int]) -> dict[int, tuple[bytes, int]]:
    """answer_id to (values_hash, created_at) of answers that are in the store already."""
    query = "SELECT answer_id, values_hash, created_at FROM answers WHERE answer_id IN (%s)"
    found = {row[0]: (row[1], row[2]) for row in rows_in(con, query, numbers)}
    missing = [number for number in numbers if number not in found]
    if missing:
        raise StoreError(
            f"a cell refers to answer {missing[0]}, which is not in this store",
            remedy="it was pruned or cleared meanwhile; run the same command again",
        )
    return found


def _by_pass(places: set[_Place]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for pass_id, key in places:
        groups.setdefault(pass_id, []).append(key)
    return groups


def _last_lines(con: Con, places: set[_Place]) -> dict[_Place, int]:
    query = "SELECT key, last_seq FROM cells WHERE pass_id = ? AND key IN (%s)"
    return {
        (pass_id, key): seq
        for pass_id, keys in _by_pass(places).items()
        for key, seq in rows_in(con, query, keys, pass_id)
    }


def _present_rows(con: Con, places: set[_Place]) -> dict[_Place, tuple[Any, ...]]:
    """The rows of cells whose answer is to be kept, checked, so that damage is not signed anew."""
    query = f"SELECT {CELL_COLUMNS} FROM cells WHERE pass_id = ? AND key IN (%s)"
    rows: dict[_Place, tuple[Any, ...]] = {}
    for pass_id, keys in _by_pass(places).items():
        for row in rows_in(con, query, keys, pass_id):
            stored_cell(row, None)
            rows[pass_id, row[1]] = row
    return rows


# --- asking again --------------------------------------------------------------------------------------------------


def reset_tries(con: Con, pass_id: int, kinds: Sequence[str] | None, keys: Sequence[str] | None) -> int:
    """See `contracts.Store.reset_tries`."""
    query = f"SELECT {CELL_COLUMNS} FROM cells WHERE pass_id = ? AND state IN ('partial', 'failed')"
    if keys is None:
        found = con.execute(query, (pass_id,)).fetchall()
    else:
        found = list(rows_in(con, query + " AND key IN (%s)", keys, pass_id))
    chosen = [row for row in found if kinds is None or row[4] in kinds]
    changed: list[tuple[Any, ...]] = []
    for row in chosen:
        stored_cell(row, None)  # damage is not signed anew
        reason = ASKED_AGAIN if row[4] in TERMINAL_REASONS else row[4]
        new = (*row[:4], reason, row[5], 0, *row[7:15])
        changed.append((reason, cell_sum(new), row[0], row[1]))
    con.executemany("UPDATE cells SET reason = ?, tries = 0, check_sum = ? WHERE pass_id = ? AND key = ?", changed)
    return len(chosen)
