"""Looking after an SQL store: its size, and how answers leave it.

What stays true: only `prune` and `clear` ever delete answers, each in one transaction; sums of money outlive every
detail, and what people said outlives everything; a cell that stays never loses the answer it refers to; the lines of
a cell's history stay linked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from inlay.errors import StoreError
from inlay.stores import corrections, journal, rows
from inlay.stores.ledger import LEDGER_PLACE, LEDGER_SUMS, SUM_ATTEMPTS, SUM_COLUMNS
from inlay.stores.transactions import Con

TABLES = ("passes", "recipes", "runs", "runners", "leases", "attempts", "answers", "cells", "history")

_OF_ENRICHMENT = "run_id IN (SELECT run_id FROM runs WHERE enrichment = ?)"


def counts(con: Con) -> dict[str, Any]:
    """Rows of each table, oldest and newest answer."""

    def number(table: str) -> int:
        return con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    oldest, newest = con.execute("SELECT min(created_at), max(created_at) FROM answers").fetchone()
    return {
        **{table: number(table) for table in TABLES},
        "corrections": number("corrections") if corrections.there(con) else 0,
        "batches": number("batches") if journal.there(con) else 0,
        "oldest_answer": None if oldest is None else oldest / 1000,
        "newest_answer": None if newest is None else newest / 1000,
    }


def prune(con: Con, enrichment: str, before_ms: int) -> dict[str, int]:
    """Delete what `contracts.Store.prune` says, up to this moment, in the caller's transaction."""
    doomed = (
        f"{_OF_ENRICHMENT} AND created_at <= ? AND answer_id NOT IN "
        "(SELECT answer_id FROM cells WHERE answer_id IS NOT NULL)"
    )
    chosen = (enrichment, before_ms)
    history = _delete_lines(con, f"answer_id IN (SELECT answer_id FROM answers WHERE {doomed})", chosen)
    answers = con.execute(f"DELETE FROM answers WHERE {doomed}", chosen).rowcount
    attempts = _fold_attempts(con, enrichment, before_ms)
    return {"answers": answers, "history": history, "attempts": attempts}


def _fold_attempts(con: Con, enrichment: str, before_ms: int) -> int:
    """Turn closed attempts that belong to no answer that is left into sums."""
    where = (
        f"{_OF_ENRICHMENT} AND closed_at <= ? AND (answer_id IS NULL OR answer_id NOT IN "
        "(SELECT answer_id FROM answers))"
    )
    chosen = (enrichment, before_ms)
    con.executemany(
        f"INSERT INTO attempt_sums ({SUM_COLUMNS}) VALUES ({', '.join('?' * len(LEDGER_PLACE + LEDGER_SUMS))}) "
        f"ON CONFLICT ({', '.join(LEDGER_PLACE)}) DO UPDATE SET "
        + ", ".join(f"{name} = {name} + excluded.{name}" for name in LEDGER_SUMS),
        con.execute(SUM_ATTEMPTS.format(where=where), chosen).fetchall(),
    )
    return con.execute(f"DELETE FROM attempts WHERE {where}", chosen).rowcount


def _delete_lines(con: Con, chosen: str, values: Sequence[Any]) -> int:
    """Delete chosen history lines, and link the lines around them to one another.

    The last line of a cell never goes: it is about the answer that the cell refers to, or about none.
    """
    doomed: dict[int, int | None] = dict(
        con.execute(f"SELECT seq, prev_seq FROM history WHERE {chosen}", values).fetchall()
    )
    after = con.execute(
        f"SELECT {rows.HISTORY_COLUMNS} FROM history WHERE prev_seq IN (SELECT seq FROM history WHERE {chosen})", values
    )
    linked: list[tuple[int | None, int, int]] = []
    for row in after:
        previous = row[1]
        while previous in doomed:
            previous = doomed[previous]
        linked.append((previous, rows.history_sum((row[0], previous, *row[2:])), row[0]))
    con.executemany("UPDATE history SET prev_seq = ?, check_sum = ? WHERE seq = ?", linked)
    con.execute(f"DELETE FROM history WHERE {chosen}", values)
    return len(doomed)


def clear(con: Con, enrichment: str, pass_name: str | None, keys: Sequence[str] | None) -> dict[str, int]:
    """Delete what `contracts.Store.clear` says, in the caller's transaction."""
    passes = _chosen_passes(con, enrichment, pass_name)
    wanted = None if keys is None else list(dict.fromkeys(keys))
    numbers: set[int] = set()
    for pass_id in passes:
        numbers.update(row[0] for row in _of_cells(con, "answer_id", pass_id, wanted) if row[0] is not None)
    # Every answer at the same address goes, not the newest alone: an older one would be found by the next run.
    doomed = {
        row[0]
        for row in rows.rows_in(
            con,
            "SELECT b.answer_id FROM answers a JOIN answers b ON substr(b.fingerprint, 1, 8) = "
            "substr(a.fingerprint, 1, 8) AND b.fingerprint = a.fingerprint WHERE a.answer_id IN (%s)",
            numbers,
        )
    }
    counts = {"cells": 0, "answers": 0, "history": 0}
    for pass_id in passes:
        counts["history"] += _delete_history(con, pass_id, wanted)
        counts["cells"] += _delete_cells(con, pass_id, wanted)
    if doomed:
        for (kept,) in con.execute("SELECT DISTINCT answer_id FROM cells WHERE answer_id IS NOT NULL"):
            doomed.discard(kept)
    counts["answers"] = delete_in(con, "DELETE FROM answers WHERE answer_id IN (%s)", doomed)
    return counts


def _of_cells(con: Con, column: str, pass_id: int, keys: Sequence[str] | None) -> Iterable[tuple[Any, ...]]:
    query = f"SELECT {column} FROM cells WHERE pass_id = ?"
    if keys is None:
        return con.execute(query, (pass_id,))
    return rows.rows_in(con, query + " AND key IN (%s)", keys, pass_id)


def _delete_history(con: Con, pass_id: int, keys: Sequence[str] | None) -> int:
    """Delete the lines of these cells, broken ones too. No index leads to them: one look at all of them, at most."""
    if keys is None:
        return con.execute("DELETE FROM history WHERE pass_id = ?", (pass_id,)).rowcount
    if len(keys) <= rows.CHUNK:
        return delete_in(con, "DELETE FROM history WHERE pass_id = ? AND key IN (%s)", keys, pass_id)
    chosen = set(keys)
    lines = con.execute("SELECT seq, key FROM history WHERE pass_id = ?", (pass_id,))
    return delete_in(con, "DELETE FROM history WHERE seq IN (%s)", [seq for seq, key in lines if key in chosen])


def _delete_cells(con: Con, pass_id: int, keys: Sequence[str] | None) -> int:
    if keys is None:
        return con.execute("DELETE FROM cells WHERE pass_id = ?", (pass_id,)).rowcount
    return delete_in(con, "DELETE FROM cells WHERE pass_id = ? AND key IN (%s)", keys, pass_id)


def delete_in(con: Con, statement: str, values: Iterable[Any], *before: Any) -> int:
    """Run a statement with `IN (%s)` for these values, in chunks; how many rows it changed."""
    return sum(con.execute(statement % marks, (*before, *part)).rowcount for marks, part in rows.chunks(list(values)))


def _chosen_passes(con: Con, enrichment: str, pass_name: str | None) -> list[int]:
    query = "SELECT name, pass_id FROM passes WHERE enrichment = ? ORDER BY pass_id"
    known: dict[str, int] = dict(con.execute(query, (enrichment,)).fetchall())
    if pass_name is None:
        return list(known.values())
    if pass_name not in known:
        raise unknown_pass(enrichment, pass_name, known)
    return [known[pass_name]]


def unknown_pass(enrichment: str, pass_name: str, known: Iterable[str]) -> StoreError:
    """The error for a pass that an enrichment never registered."""
    names = ", ".join(known)
    return StoreError(
        f"the store knows no pass {pass_name!r} of enrichment {enrichment!r}",
        remedy=f"choose one of: {names}" if names else "nothing of this enrichment has been run with this store yet",
    )
