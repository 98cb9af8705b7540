"""The tables of an SQL store, as numbered migrations that are only ever appended to.

What stays true: a migration that has been released is never edited, all that a store lacks is applied in one
transaction, and a store written by a newer Inlay is refused rather than guessed at; reading gets along with a store
that nobody may migrate. Money is whole nano-dollars, times are milliseconds since the epoch, hashes are raw bytes:
nothing here needs more than SQL that MySQL and PostgreSQL speak too.

Measured choices, with a million cells: `cells` is clustered by its key (no rowid), which reads a chunk of keys a
quarter faster and counts four times faster than a table beside an index, for a third more CPU at random insertion.
`history` is append-only and has no index: each line names the one before it and the cell names the last, since an
index in key order would cost a random page a line. Open attempts live in `leases`, so that `attempts` is
append-only as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from inlay.errors import StoreError

APPLICATION_ID = 0x494E4C59  # "INLY" in the file's header: no other database is mistaken for a store

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (  # 1
        "CREATE TABLE counters (name TEXT NOT NULL PRIMARY KEY, last BIGINT NOT NULL)",
        "INSERT INTO counters VALUES ('pass', 0), ('recipe', 0), ('run', 0), ('attempt', 0), ('answer', 0), "
        "('history', 0)",
        "CREATE TABLE passes (pass_id INTEGER NOT NULL PRIMARY KEY, enrichment TEXT NOT NULL, name TEXT NOT NULL, "
        "check_sum BIGINT NOT NULL, UNIQUE (enrichment, name))",
        "CREATE TABLE recipes (recipe_id INTEGER NOT NULL PRIMARY KEY, digest BLOB NOT NULL UNIQUE, "
        "recipe TEXT NOT NULL)",
        "CREATE TABLE pass_recipes (pass_id INTEGER NOT NULL, recipe_id INTEGER NOT NULL, "
        "PRIMARY KEY (pass_id, recipe_id))",
        "CREATE TABLE runs (run_id INTEGER NOT NULL PRIMARY KEY, enrichment TEXT NOT NULL, runner TEXT NOT NULL, "
        "budget_run BIGINT NOT NULL, started_at BIGINT NOT NULL, ended_at BIGINT, outcome TEXT NOT NULL, "
        "summary TEXT NOT NULL, check_sum BIGINT NOT NULL)",
        "CREATE INDEX runs_by_enrichment ON runs (enrichment, run_id)",
        "CREATE TABLE runners (runner TEXT NOT NULL PRIMARY KEY, expires_at BIGINT NOT NULL)",
        # `lease` is the address while this attempt holds it, and null once somebody else took it over.
        "CREATE TABLE leases (attempt_id INTEGER NOT NULL PRIMARY KEY, lease BLOB UNIQUE, fingerprint BLOB NOT NULL, "
        "pass_id INTEGER NOT NULL, run_id INTEGER NOT NULL, runner TEXT NOT NULL, reserved BIGINT NOT NULL, "
        "opened_at BIGINT NOT NULL)",
        "CREATE TABLE attempts (attempt_id INTEGER NOT NULL PRIMARY KEY, fingerprint BLOB, pass_id INTEGER NOT NULL, "
        "run_id INTEGER NOT NULL, runner TEXT NOT NULL, reserved BIGINT NOT NULL, opened_at BIGINT NOT NULL, "
        "closed_at BIGINT NOT NULL, outcome TEXT NOT NULL, cost BIGINT NOT NULL, estimated INTEGER NOT NULL, "
        "input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, "
        "cache_write_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, model TEXT NOT NULL, "
        "latency_ms BIGINT, answer_id BIGINT)",
        # What pruned attempts amounted to; the ledger adds it to what is still there in detail.
        "CREATE TABLE attempt_sums (run_id INTEGER NOT NULL, pass_id INTEGER NOT NULL, model TEXT NOT NULL, "
        "outcome TEXT NOT NULL, attempts BIGINT NOT NULL, input_tokens BIGINT NOT NULL, "
        "output_tokens BIGINT NOT NULL, cost BIGINT NOT NULL, answers BIGINT NOT NULL, latency_ms BIGINT NOT NULL, "
        "PRIMARY KEY (run_id, pass_id, model, outcome))",
        "CREATE TABLE spending (enrichment TEXT NOT NULL, scope TEXT NOT NULL, spent BIGINT NOT NULL, "
        "reserved BIGINT NOT NULL, PRIMARY KEY (enrichment, scope))",
        # What every read needs stands first, so that a long input is not read along with it.
        "CREATE TABLE answers (answer_id INTEGER NOT NULL PRIMARY KEY, fingerprint BLOB NOT NULL, "
        "recipe_id INTEGER NOT NULL, state TEXT NOT NULL, payload BLOB NOT NULL, values_hash BLOB NOT NULL, "
        "error_kind TEXT, error_message TEXT, model TEXT NOT NULL, cost BIGINT NOT NULL, run_id INTEGER NOT NULL, "
        "created_at BIGINT NOT NULL, check_sum BIGINT NOT NULL, input_tokens BIGINT NOT NULL, "
        "output_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, cache_write_tokens BIGINT NOT NULL, "
        "reasoning_tokens BIGINT NOT NULL, latency_ms BIGINT NOT NULL, input_sum BIGINT NOT NULL, "
        "input BLOB NOT NULL, raw BLOB)",
        # Eight of the 32 bytes tell addresses apart well enough: a third of the size, a fifth less CPU a commit.
        "CREATE INDEX answers_by_address ON answers (substr(fingerprint, 1, 8))",
        "CREATE TABLE cells (pass_id INTEGER NOT NULL, key TEXT NOT NULL, recipe_id INTEGER NOT NULL, "
        "state TEXT NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL, tries INTEGER NOT NULL, answer_id BIGINT, "
        "answered_at BIGINT NOT NULL, source_hash BLOB, input_hash BLOB, upstream_hash BLOB, values_hash BLOB, "
        "updated_at BIGINT NOT NULL, last_seq BIGINT NOT NULL, check_sum BIGINT NOT NULL, "
        "PRIMARY KEY (pass_id, key)) WITHOUT ROWID",
        "CREATE TABLE history (seq INTEGER NOT NULL PRIMARY KEY, prev_seq BIGINT, pass_id INTEGER NOT NULL, "
        "key TEXT NOT NULL, at BIGINT NOT NULL, run_id INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, "
        "message TEXT NOT NULL, answer_id BIGINT, check_sum BIGINT NOT NULL)",
    ),
    (  # 2
        # `value` is JSON. The pass is named, not numbered: people may speak before anything was asked. `next_id` is
        # the correction that took this one's place, so that an older one is never taken for the last one.
        "CREATE TABLE corrections (correction_id INTEGER NOT NULL PRIMARY KEY, enrichment TEXT NOT NULL, "
        "pass_name TEXT NOT NULL, key TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, null_reason TEXT, "
        "note TEXT NOT NULL, author TEXT NOT NULL, withdrawn INTEGER NOT NULL, at BIGINT NOT NULL, next_id BIGINT, "
        "check_sum BIGINT NOT NULL)",
        "CREATE INDEX corrections_by_row ON corrections (enrichment, key)",
        "INSERT INTO counters VALUES ('correction', 0)",
    ),
    (  # 3
        # How an attempt went out, with how many others in one call, and what that and the provider's cache saved.
        "ALTER TABLE attempts ADD COLUMN mode TEXT NOT NULL DEFAULT 'live'",
        "ALTER TABLE attempts ADD COLUMN sharing BIGINT NOT NULL DEFAULT 1",
        "ALTER TABLE attempts ADD COLUMN saved_cache BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE attempts ADD COLUMN saved_shared BIGINT NOT NULL DEFAULT 0",
        "ALTER TABLE attempts ADD COLUMN saved_batch BIGINT NOT NULL DEFAULT 0",
        # Sums are kept by day and mode too. Days count from the epoch, UTC; those of older sums are those of their run.
        # `calls` is in millionths: an attempt that shared its call with two others is a third of one.
        "CREATE TABLE attempt_sums_3 (run_id INTEGER NOT NULL, pass_id INTEGER NOT NULL, model TEXT NOT NULL, "
        "outcome TEXT NOT NULL, mode TEXT NOT NULL, day BIGINT NOT NULL, attempts BIGINT NOT NULL, "
        "input_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, cost BIGINT NOT NULL, answers BIGINT NOT NULL, "
        "latency_ms BIGINT NOT NULL, calls BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, "
        "cache_write_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, saved_cache BIGINT NOT NULL, "
        "saved_shared BIGINT NOT NULL, saved_batch BIGINT NOT NULL, "
        "PRIMARY KEY (run_id, pass_id, model, outcome, mode, day))",
        "INSERT INTO attempt_sums_3 SELECT s.run_id, s.pass_id, s.model, s.outcome, 'live', "
        "coalesce((SELECT started_at / 86400000 FROM runs r WHERE r.run_id = s.run_id), 0), s.attempts, "
        "s.input_tokens, s.output_tokens, s.cost, s.answers, s.latency_ms, s.attempts * 1000000, 0, 0, 0, 0, 0, 0 "
        "FROM attempt_sums s",
        "DROP TABLE attempt_sums",
        "ALTER TABLE attempt_sums_3 RENAME TO attempt_sums",
    ),
    (  # 4
        # What is searched for stands in columns, all else of a batch in `facts`, as JSON. A line goes when it is
        # settled: what is left of it is its attempt. `driver` works on the batch until `driver_until`.
        "CREATE TABLE batches (submission TEXT NOT NULL PRIMARY KEY, enrichment TEXT NOT NULL, "
        "run_id INTEGER NOT NULL, account TEXT NOT NULL, state TEXT NOT NULL, made_at BIGINT NOT NULL, "
        "facts TEXT NOT NULL, check_sum BIGINT NOT NULL, driver TEXT NOT NULL, driver_until BIGINT NOT NULL)",
        "CREATE INDEX batches_by_enrichment ON batches (enrichment, made_at)",
        "CREATE TABLE batch_lines (submission TEXT NOT NULL, custom_id TEXT NOT NULL, attempt_id INTEGER NOT NULL, "
        "pass_id INTEGER NOT NULL, recipe_id INTEGER NOT NULL, fingerprint BLOB NOT NULL, facts TEXT NOT NULL, "
        "cells INTEGER NOT NULL, check_sum BIGINT NOT NULL, known BLOB NOT NULL, input BLOB NOT NULL, "
        "PRIMARY KEY (submission, custom_id))",
    ),
    (  # 5: the lanes that runners work on now; `expires_at` is renewed about once a second
        "CREATE TABLE lanes (lane TEXT NOT NULL, runner TEXT NOT NULL, expires_at BIGINT NOT NULL, "
        "busy INTEGER NOT NULL, gate_until BIGINT NOT NULL, requests DOUBLE PRECISION NOT NULL, "
        "tokens DOUBLE PRECISION NOT NULL, told_at BIGINT NOT NULL, PRIMARY KEY (lane, runner)) WITHOUT ROWID",
    ),
)


def present_version(con: sqlite3.Connection, path: Path) -> int:
    """The schema version of an open database; 0 for an empty one. A database of somebody else is a StoreError."""
    tables = {row[0] for row in con.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "schema_version" in tables and _application_id(con) == APPLICATION_ID:
        return con.execute("SELECT max(version) FROM schema_version").fetchone()[0] or 0
    if tables:
        raise StoreError(
            f"{path} is an SQLite database, but not an Inlay store; nothing was written to it",
            remedy="choose another path for `store:`",
        )
    return 0


def migrate(con: sqlite3.Connection, path: Path, now_ms: int, migrations: Sequence[Sequence[str]] = MIGRATIONS) -> None:
    """Bring a database to the newest schema. One transaction, idempotent, safe when two processes do it at once.

    An older store that this user may only read is left as it is: what it holds can be read all the same.
    """
    newest = len(migrations)
    have = _refuse_newer(present_version(con, path), newest, path)
    if have == newest:
        return
    try:
        _apply(con, path, now_ms, migrations)
    except sqlite3.OperationalError as error:
        if not have or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise


def _apply(con: sqlite3.Connection, path: Path, now_ms: int, migrations: Sequence[Sequence[str]]) -> None:
    newest = len(migrations)
    con.execute("BEGIN IMMEDIATE")
    try:
        have = _refuse_newer(present_version(con, path), newest, path)  # somebody else may have been first
        if have == 0:
            con.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            con.execute(
                "CREATE TABLE schema_version (version INTEGER NOT NULL PRIMARY KEY, applied_at BIGINT NOT NULL)"
            )
        for number in range(have + 1, newest + 1):
            for statement in migrations[number - 1]:
                con.execute(statement)
            con.execute("INSERT INTO schema_version VALUES (?, ?)", (number, now_ms))
        con.execute("COMMIT")
    except BaseException:
        if con.in_transaction:
            con.execute("ROLLBACK")
        raise


def _application_id(con: sqlite3.Connection) -> int:
    return con.execute("PRAGMA application_id").fetchone()[0]


def _refuse_newer(have: int, newest: int, path: Path) -> int:
    if have > newest:
        raise StoreError(
            f"the store {path} has schema version {have}; this Inlay knows {newest} at most",
            remedy="upgrade Inlay (pip install -U inlay); an older version would misread newer answers",
        )
    return have
