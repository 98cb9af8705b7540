"""The store in an SQL database, whichever it is: every method of the contract, over `Transactions`.

What stays true: each method is one transaction, durable when it returns; a method that fails changed nothing; what
is read was checked on the way. Nothing is opened before the first use. Several processes and threads may share one
store; runners that died are recognised, so that nobody waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.errors import StoreDamaged, StoreError
from inlay.fingerprint import recipe_digest
from inlay.stores import attempts, care, lanes, liveness, rows, settle, verify
from inlay.stores.corrections import read_corrections, write_corrections
from inlay.stores.forgetting import forget
from inlay.stores.journal import SqlJournal
from inlay.stores.ledger import attempts_for, ledger_rows, usage_of
from inlay.stores.passes import add_pass, find_pass, recipe_text
from inlay.stores.transactions import Con, Transactions
from inlay.types import (
    Attempt,
    Budget,
    CellEvent,
    Claim,
    ClaimResult,
    Correction,
    LaneNote,
    PassRecord,
    PassRef,
    RunRecord,
    Settlement,
    Spending,
    StoredAnswer,
    StoredCell,
    Usage,
)

if TYPE_CHECKING:
    import pyarrow as pa

_RUN = "run_id, enrichment, runner, budget_run, started_at, ended_at, outcome, summary, check_sum"
_JOINED = (
    f"SELECT {', '.join('c.' + name for name in rows.CELL_COLUMNS.split(', '))}, "
    f"{', '.join('a.' + name for name in rows.ANSWER_COLUMNS.split(', '))} "
    "FROM cells c LEFT JOIN answers a ON a.answer_id = c.answer_id WHERE c.pass_id = ? "
)


class SqlStore:
    """A `contracts.Store` over a database; what each method promises stands there.

    `clock` gives seconds since the epoch. `alive(runner, expires_ms, now_ms)` judges whether a runner still works;
    both are replaced in tests only. A subclass says what `_db` is.
    """

    _db: Transactions

    def __init__(self, *, clock: Callable[[], float] = time.time, alive: attempts.Alive = liveness.alive) -> None:
        self._clock = clock
        self._alive = alive
        self._runners: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._db.place!r})"

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def close(self) -> None:
        """Release all connections. Leases stay; but nobody in this process works as the runners that began here."""
        for runner in self._runners:
            liveness.retire(runner)
        self._runners.clear()
        self._db.close()

    # passes and runs

    def register(self, passes: Sequence[PassRecord]) -> list[PassRef]:
        for record in passes:
            if recipe_digest(record.recipe) != record.recipe_digest:
                raise StoreError(
                    f"the recipe of pass {record.name!r} does not have the digest that came with it",
                    remedy="compute it with inlay.fingerprint.recipe_digest",
                )
        known = self._db.look(lambda con: [find_pass(con, record) for record in passes])
        refs = [ref for ref in known if ref is not None]
        if len(refs) < len(passes):
            refs = self._db.write("register", lambda con: [add_pass(con, record) for record in passes])
        return [PassRef(pass_id, recipe_id) for pass_id, recipe_id in refs]

    def recipe(self, recipe_id: int) -> str:
        row = self._one("SELECT recipe_id, recipe, digest FROM recipes WHERE recipe_id = ?", recipe_id)
        if row is None:
            raise StoreError(
                f"recipe {recipe_id} is not in the store {self._db.place}", remedy="run `inlay store verify`"
            )
        return recipe_text(row)

    def recipes(self, pass_id: int) -> dict[int, str]:
        found = self._all(
            "SELECT r.recipe_id, r.recipe, r.digest FROM pass_recipes p JOIN recipes r "
            "ON r.recipe_id = p.recipe_id WHERE p.pass_id = ? ORDER BY r.recipe_id",
            pass_id,
        )
        return {row[0]: recipe_text(row) for row in found}

    def passes(self, enrichment: str) -> dict[str, int]:
        return dict(self._all("SELECT name, pass_id FROM passes WHERE enrichment = ? ORDER BY pass_id", enrichment))

    def begin_run(self, enrichment: str, *, runner: str, fresh_budget: bool = False) -> RunRecord:
        row = self._db.write("begin_run", lambda con: self._begun(con, enrichment, runner, fresh_budget))
        liveness.keep(runner)
        self._runners.add(runner)
        return _run_record(row)

    def _begun(self, con: Con, enrichment: str, runner: str, fresh_budget: bool) -> tuple[Any, ...]:
        now = self._now()
        attempts.bury_the_dead(con, runner, now, self._alive)
        query = f"SELECT {_RUN} FROM runs WHERE enrichment = ? ORDER BY run_id DESC LIMIT 1"
        last = con.execute(query, (enrichment,)).fetchone()
        run_id = attempts.take_numbers(con, "run", 1)
        budget_run = run_id
        if last is not None and not fresh_budget and (last[5] is None or last[6].startswith("stopped")):
            budget_run = last[3]
        row = (run_id, enrichment, runner, budget_run, now, None, "", "{}")
        con.execute(f"INSERT INTO runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*row, rows.line_sum(row)))
        attempts.extend_lease(con, runner, now)
        return row

    def heartbeat(self, runner: str) -> None:
        self._db.write("heartbeat", lambda con: attempts.extend_lease(con, runner, self._now()))

    def share_lanes(self, runner: str, notes: Sequence[LaneNote]) -> dict[str, tuple[LaneNote, ...]]:
        return self._db.write(
            "share_lanes", lambda con: lanes.share_lanes(con, runner, notes, now_ms=self._now(), alive=self._alive)
        )

    def end_run(self, run_id: int, *, outcome: str, summary: Mapping[str, Any]) -> None:
        text = orjson.dumps(dict(summary), default=str).decode()
        self._db.write("end_run", lambda con: self._ended(con, run_id, outcome, text))

    def _ended(self, con: Con, run_id: int, outcome: str, summary: str) -> None:
        now = self._now()
        row = con.execute(f"SELECT {_RUN} FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if row is None:
            raise StoreError(f"run {run_id} is not in the store {self._db.place}", remedy="begin a run first")
        # What waits in a batch outlives its run.
        leases = con.execute(
            f"SELECT {attempts.LEASE_COLUMNS} FROM leases WHERE run_id = ? "
            f"AND substr(runner, 1, {len(attempts.BATCH)}) <> ?",
            (run_id, attempts.BATCH),
        )
        attempts.close_as_lost(con, leases.fetchall(), now)
        attempts.write_run_end(con, row, now, outcome, summary)
        lanes.leave(con, row[2])
        con.execute(
            "DELETE FROM runners WHERE runner = ? AND NOT EXISTS "
            "(SELECT 1 FROM runs WHERE runner = ? AND ended_at IS NULL)",
            (row[2], row[2]),
        )

    def runs(self, enrichment: str, limit: int = 20) -> list[RunRecord]:
        query = f"SELECT {_RUN} FROM runs WHERE enrichment = ? ORDER BY run_id DESC LIMIT ?"
        found = self._all(query, enrichment, limit)
        for row in found:
            if rows.line_sum(row[:8]) != row[8]:
                raise rows.damaged(f"run {row[0]}")
        return [_run_record(row) for row in found]

    # the hot path

    def claim(self, claims: Sequence[Claim], *, run: RunRecord, budget: Budget | None) -> list[ClaimResult]:
        if not claims:
            return []
        return self._db.write(
            "claim",
            lambda con: attempts.claim(con, claims, run=run, budget=budget, now_ms=self._now(), alive=self._alive),
        )

    def release(self, attempt_ids: Sequence[int]) -> None:
        if attempt_ids:
            self._db.write("release", lambda con: attempts.release(con, attempt_ids))

    def extend(
        self, attempt_id: int, *, outcome: str, cost_nusd: int, run: RunRecord, budget: Budget | None
    ) -> int | None:
        return self._db.write(
            "extend",
            lambda con: attempts.extend(
                con, attempt_id, outcome=outcome, cost=cost_nusd, run=run, budget=budget, now_ms=self._now()
            ),
        )

    def commit(self, settlements: Sequence[Settlement], *, run: RunRecord) -> list[int | None]:
        if not settlements:
            return []
        return self._db.write("commit", lambda con: settle.commit(con, settlements, run=run, now_ms=self._now()))

    # reading

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.look(lambda con: con.execute(query, values).fetchone())

    def _all(self, query: str, *values: Any) -> list[Any]:
        return self._db.look(lambda con: con.execute(query, values).fetchall())

    def find_answers(self, fingerprints: Sequence[bytes]) -> dict[bytes, StoredAnswer]:
        return self._db.look(lambda con: attempts.newest_done(con, fingerprints))

    def answers(self, answer_ids: Sequence[int]) -> dict[int, StoredAnswer]:
        query = f"SELECT {rows.ANSWER_COLUMNS} FROM answers WHERE answer_id IN (%s)"
        found = self._db.look(lambda con: list(rows.rows_in(con, query, answer_ids)))
        return {row[0]: rows.stored_answer(row) for row in found}

    def answer_input(self, answer_id: int) -> bytes:
        return self._content(answer_id)[0]

    def answer_raw(self, answer_id: int) -> bytes | None:
        return self._content(answer_id)[1]

    def _content(self, answer_id: int) -> tuple[bytes, bytes | None]:
        row = self._one(rows.SELECT_CONTENT + " WHERE answer_id = ?", answer_id)
        if row is None:
            raise StoreError(
                f"answer {answer_id} is not in the store {self._db.place}", remedy="it may have been pruned or cleared"
            )
        return rows.content_of(row)

    def scan_cells(self, pass_id: int, columns: Sequence[str] = CELL_SCAN_COLUMNS) -> Iterator[pa.RecordBatch]:
        return self._db.scan(pass_id, columns)

    def read_cells(self, pass_id: int, keys: Sequence[str]) -> dict[str, StoredCell]:
        self._db.check_keys(keys)
        query = _JOINED + "AND c.key IN (%s)"
        found = self._db.look(lambda con: list(rows.rows_in(con, query, keys, pass_id)))
        return {row[1]: rows.cell_with_answer(row) for row in found}

    def history(self, pass_id: int, key: str) -> list[CellEvent]:
        lines = self._all(
            "WITH RECURSIVE line AS (SELECT * FROM history WHERE seq = (SELECT last_seq FROM cells "
            "WHERE pass_id = ? AND key = ?) UNION ALL SELECT h.* FROM history h JOIN line ON h.seq = line.prev_seq "
            f"AND h.seq < line.seq) SELECT {rows.HISTORY_COLUMNS} FROM line ORDER BY seq",
            pass_id,
            key,
        )
        if (lines and lines[0][1] is not None) or any((row[2], row[3]) != (pass_id, key) for row in lines):
            raise StoreDamaged(
                f"the history of row {key!r} in pass {pass_id} is broken", remedy="run `inlay store verify`"
            )
        return [rows.cell_event(row) for row in lines]

    def events(self, pass_id: int, *, after: int = 0, limit: int = 5000) -> list[tuple[str, CellEvent]]:
        query = f"SELECT {rows.HISTORY_COLUMNS} FROM history WHERE seq > ? AND pass_id = ? ORDER BY seq LIMIT ?"
        return [(row[3], rows.cell_event(row)) for row in self._all(query, after, pass_id, limit)]

    def counts(self, pass_id: int) -> dict[tuple[str, str], int]:
        query = "SELECT state, reason, count(*) FROM cells WHERE pass_id = ? GROUP BY state, reason"
        found = self._all(query, pass_id)
        return {(state, reason): count for state, reason, count in found}

    def stale(self, pass_id: int, recipe_id: int) -> int:
        query = "SELECT count(*) FROM cells WHERE pass_id = ? AND state = 'done' AND recipe_id <> ?"
        return self._one(query, pass_id, recipe_id)[0]

    def failures(self, pass_id: int, *, kind: str | None = None, limit: int = 100) -> list[StoredCell]:
        of_kind, values = ("", ()) if kind is None else ("AND c.reason = ? ", (kind,))
        query = (
            f"{_JOINED}AND c.state IN ('partial', 'failed') {of_kind}"
            "ORDER BY c.updated_at DESC, c.last_seq DESC LIMIT ?"
        )
        return [rows.cell_with_answer(row) for row in self._all(query, pass_id, *values, limit)]

    def reset_tries(
        self, pass_id: int, *, kinds: Sequence[str] | None = None, keys: Sequence[str] | None = None
    ) -> int:
        return self._db.write("reset_tries", lambda con: settle.reset_tries(con, pass_id, kinds, keys))

    def spending(self, run: RunRecord, per: str) -> Spending:
        return Spending(*self._db.look(lambda con: attempts.spending_row(con, run, per, self._now())))

    def ledger(self, enrichment: str, *, run_id: int | None = None, days: bool = False) -> list[dict[str, Any]]:
        return self._db.look(lambda con: ledger_rows(con, enrichment, run_id, days=days), snapshot=True)

    def recent_usage(self, pass_id: int, recipe_id: int, limit: int = 500) -> list[Usage]:
        return self._db.look(lambda con: usage_of(con, pass_id, recipe_id, limit))

    def attempts(self, fingerprints: Sequence[bytes]) -> list[Attempt]:
        return self._db.look(lambda con: attempts_for(con, fingerprints))

    # what people say

    def correct(self, enrichment: str, corrections: Sequence[Correction]) -> None:
        if corrections:
            self._db.check_keys(correction.key for correction in corrections)
            self._db.write("correct", lambda con: write_corrections(con, enrichment, corrections, self._now()))

    def corrections(
        self, enrichment: str, *, keys: Sequence[str] | None = None, history: bool = False
    ) -> list[Correction]:
        self._db.check_keys(keys or ())
        return self._db.look(lambda con: read_corrections(con, enrichment, keys, history))

    # batches

    @property
    def journal(self) -> SqlJournal:
        return SqlJournal(self._db, now_ms=self._now, alive=self._alive)

    # care

    def stats(self) -> dict[str, Any]:
        return self._db.look(lambda con: {**self._db.size(con), **care.counts(con)})

    def verify(self) -> list[str]:
        return self._db.look(verify.verify, snapshot=True)

    def prune(self, *, enrichment: str, dry_run: bool = False, keep_days: float = 0) -> dict[str, int]:
        before = self._now() - int(keep_days * 86_400_000)
        return self._db.write("prune", lambda con: care.prune(con, enrichment, before), undo=dry_run)

    def clear(
        self, *, enrichment: str, pass_name: str | None = None, keys: Sequence[str] | None = None
    ) -> dict[str, int]:
        return self._db.write("clear", lambda con: care.clear(con, enrichment, pass_name, keys))

    def forget(self, enrichment: str, keys: Sequence[str]) -> dict[str, int]:
        return self._db.erase("forget", lambda con: forget(con, enrichment, keys, self._now()))


def _run_record(row: Sequence[Any]) -> RunRecord:
    return RunRecord(
        row[0],
        row[1],
        row[2],
        row[4] / 1000,
        None if row[5] is None else row[5] / 1000,
        row[6],
        row[3],
        orjson.loads(row[7]),
    )
