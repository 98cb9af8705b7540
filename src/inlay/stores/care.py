"""Looking after an SQL store: its size, and how answers leave it.

What stays true: only `prune` and `clear` ever delete answers, each in one transaction; sums of money outlive every
detail, and what people said outlives everything; a cell that stays never loses the answer it refers to; the lines of
a cell's history stay linked.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from inlay.errors import StoreError
from inlay.stores import corrections, journal, rows
from inlay.stores.ledger import LEDGER_PLACE, LEDGER_SUMS, SUM_ATTEMPTS, SUM_COLUMNS

TABLES = ("passes", "recipes", "runs", "runners", "leases", "attempts", "answers", "cells", "history")

_OF_ENRICHMENT = "run_id IN (SELECT run_id FROM runs WHERE enrichment = ?)"


def stats(con: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Rows of each table, bytes on disk (and which of them are free for reuse), oldest and newest answer."""

    def number(query: str) -> Any:
        return con.execute(query).fetchone()[0]

    wal = path.with_name(path.name + "-wal")
    oldest, newest = con.execute("SELECT min(created_at), max(created_at) FROM answers").fetchone()
    return {
        "path": str(path),
        "schema_version": number("SELECT max(version) FROM schema_version"),
        "bytes": path.stat().st_size,
        "wal_bytes": wal.stat().st_size if wal.exists() else 0,
        "free_bytes": number("PRAGMA freelist_count") * number("PRAGMA page_size"),
        **{table: number(f"SELECT count(*) FROM {table}") for table in TABLES},
        "corrections": number("SELECT count(*) FROM corrections") if corrections.there(con) else 0,
        "batches": number("SELECT count(*) FROM batches") if journal.there(con) else 0,
        "oldest_answer": None if oldest is None else oldest / 1000,
        "newest_answer": None if newest is None else newest / 1000,
    }


def prune(con: sqlite3.Connection, enrichment: str, before_ms: int) -> dict[str, int]:
    """Delete what `contracts.Store.prune` says, up to this moment, in the caller's transaction."""
    _temporary(con, "doomed_answers", "answer_id INTEGER PRIMARY KEY")
    con.execute(
        f"INSERT INTO doomed_answers SELECT answer_id FROM answers WHERE {_OF_ENRICHMENT} AND created_at <= ? "
        "AND answer_id NOT IN (SELECT answer_id FROM cells WHERE answer_id IS NOT NULL)",
        (enrichment, before_ms),
    )
    history = _delete_lines(con)
    answers = con.execute("DELETE FROM answers WHERE answer_id IN (SELECT answer_id FROM doomed_answers)").rowcount
    attempts = _fold_attempts(con, enrichment, before_ms)
    _drop(con, "doomed_answers")
    return {"answers": answers, "history": history, "attempts": attempts}


def _fold_attempts(con: sqlite3.Connection, enrichment: str, before_ms: int) -> int:
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


def _delete_lines(con: sqlite3.Connection) -> int:
    """Delete the history lines of doomed answers, and link the lines around them to one another.

    The last line of a cell never goes: it is about the answer that the cell refers to, or about none.
    """
    chosen = "answer_id IN (SELECT answer_id FROM doomed_answers)"
    doomed: dict[int, int | None] = dict(con.execute(f"SELECT seq, prev_seq FROM history WHERE {chosen}"))
    after = con.execute(
        f"SELECT {rows.HISTORY_COLUMNS} FROM history WHERE prev_seq IN (SELECT seq FROM history WHERE {chosen})"
    )
    linked: list[tuple[int | None, int, int]] = []
    for row in after:
        previous = row[1]
        while previous in doomed:
            previous = doomed[previous]
        linked.append((previous, rows.history_sum((row[0], previous, *row[2:])), row[0]))
    con.executemany("UPDATE history SET prev_seq = ?, check_sum = ? WHERE seq = ?", linked)
    con.execute(f"DELETE FROM history WHERE {chosen}")
    return len(doomed)


def clear(
    con: sqlite3.Connection, enrichment: str, pass_name: str | None, keys: Sequence[str] | None
) -> dict[str, int]:
    """Delete what `contracts.Store.clear` says, in the caller's transaction."""
    _temporary(con, "cleared_passes", "pass_id INTEGER PRIMARY KEY")
    _fill(con, "cleared_passes", _chosen_passes(con, enrichment, pass_name))
    chosen = "pass_id IN (SELECT pass_id FROM cleared_passes)"
    if keys is not None:
        _temporary(con, "cleared_keys", "key TEXT PRIMARY KEY")
        _fill(con, "cleared_keys", dict.fromkeys(keys))
        chosen += " AND key IN (SELECT key FROM cleared_keys)"
    # Every answer at the same address goes, not the newest alone: an older one would be found by the next run.
    _temporary(con, "doomed_answers", "answer_id INTEGER PRIMARY KEY")
    con.execute(
        "INSERT INTO doomed_answers SELECT DISTINCT b.answer_id FROM answers a JOIN answers b "
        "ON substr(b.fingerprint, 1, 8) = substr(a.fingerprint, 1, 8) AND b.fingerprint = a.fingerprint "
        f"WHERE a.answer_id IN (SELECT answer_id FROM cells WHERE {chosen})"
    )
    history = con.execute(f"DELETE FROM history WHERE {chosen}").rowcount
    cells = con.execute(f"DELETE FROM cells WHERE {chosen}").rowcount
    answers = con.execute(
        "DELETE FROM answers WHERE answer_id IN (SELECT answer_id FROM doomed_answers) AND answer_id NOT IN "
        "(SELECT answer_id FROM cells WHERE answer_id IS NOT NULL)"
    ).rowcount
    _drop(con, "doomed_answers", "cleared_passes", *(() if keys is None else ("cleared_keys",)))
    return {"cells": cells, "answers": answers, "history": history}


def _chosen_passes(con: sqlite3.Connection, enrichment: str, pass_name: str | None) -> list[int]:
    known: dict[str, int] = dict(
        con.execute("SELECT name, pass_id FROM passes WHERE enrichment = ? ORDER BY pass_id", (enrichment,))
    )
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


def _temporary(con: sqlite3.Connection, table: str, columns: str) -> None:
    con.execute(f"CREATE TEMP TABLE {table} ({columns})")


def _fill(con: sqlite3.Connection, table: str, values: Iterable[Any]) -> None:
    con.executemany(f"INSERT INTO {table} VALUES (?)", [(value,) for value in values])


def _drop(con: sqlite3.Connection, *tables: str) -> None:
    for table in tables:
        con.execute(f"DROP TABLE temp.{table}")
