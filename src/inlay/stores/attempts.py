"""Attempts and money in an SQL store: leases, reservations, their settlement, and what became of dead runners.

Every function works inside the caller's write transaction. What stays true: an address has at most one lease, an
open attempt stands in `leases` and a closed one in `attempts`, and each change of an attempt's reserved or spent
money changes the sums of its four scopes in the same transaction, so that checking a budget reads one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from inlay.batches import HOLDING
from inlay.batches import RUNNER as BATCH
from inlay.errors import StoreError
from inlay.stores.accounts import LOST, STOPPED_LOST, refuse_twice, scope_of, scopes, young_enough
from inlay.stores.liveness import LEASE_MS
from inlay.stores.rows import ANSWER_COLUMNS, chunks, line_sum, rows_in, stored_answer, write_rows
from inlay.stores.transactions import Con, is_file, on_server
from inlay.types import (
    Budget,
    Claim,
    Claimed,
    ClaimResult,
    Held,
    Known,
    RunRecord,
    StoredAnswer,
    Unaffordable,
)

Alive = Callable[[str, int, int], bool]

LEASE_COLUMNS = "attempt_id, fingerprint, pass_id, run_id, runner, reserved, opened_at"
INSERT_LEASE = f"INSERT INTO leases (lease, {LEASE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_ATTEMPT = (
    f"INSERT INTO attempts ({LEASE_COLUMNS}, closed_at, outcome, cost, estimated, input_tokens, output_tokens, "
    f"cached_tokens, cache_write_tokens, reasoning_tokens, model, latency_ms, answer_id, mode, sharing, "
    f"saved_cache, saved_shared, saved_batch) VALUES ({','.join('?' * 24)})"
)
NO_TOKENS = (0, 0, 0, 0, 0, "", None, None, "live", 1, 0, 0, 0)


class Money:
    """Changes of spent and reserved money, gathered during a transaction and written once a scope."""

    def __init__(self, con: Con) -> None:
        self._con = con
        self._runs: dict[int, tuple[str, int]] = {}
        self._changes: dict[tuple[str, str], list[int]] = {}
        self._cached: dict[tuple[int, int], list[list[int]]] = {}

    def book(self, run_id: int, opened_at: int, spent: int, reserved: int) -> None:
        """Note a change for an attempt of this run that was opened then."""
        place = (run_id, opened_at // 3_600_000)  # an hour lies in one day
        lists = self._cached.get(place)
        if lists is None:
            enrichment, budget_run = self._run(run_id)
            names = scopes(budget_run, opened_at)
            lists = self._cached[place] = [self._changes.setdefault((enrichment, name), [0, 0]) for name in names]
        for change in lists:
            change[0] += spent
            change[1] += reserved

    def write(self) -> None:
        """Write all changes, inside the caller's transaction."""
        rows = [(*scope, *change) for scope, change in self._changes.items() if change[0] or change[1]]
        self._con.executemany(
            "INSERT INTO spending (enrichment, scope, spent, reserved) VALUES (?, ?, ?, ?) ON CONFLICT "
            "(enrichment, scope) DO UPDATE SET spent = spent + excluded.spent, reserved = reserved + excluded.reserved",
            rows,
        )
        self._changes.clear()
        self._cached.clear()

    def _run(self, run_id: int) -> tuple[str, int]:
        known = self._runs.get(run_id)
        if known is None:
            row = self._con.execute("SELECT enrichment, budget_run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise StoreError(f"run {run_id} is not in this store", remedy="begin a run before claiming")
            known = self._runs[run_id] = (row[0], row[1])
        return known


def take_numbers(con: Con, counter: str, count: int) -> int:
    """The first of `count` fresh numbers. Numbers are never given out twice, not even after a prune."""
    if not is_file(con):
        return on_server(con).take_numbers(counter, count)
    con.execute("UPDATE counters SET last = last + ? WHERE name = ?", (count, counter))
    return con.execute("SELECT last FROM counters WHERE name = ?", (counter,)).fetchone()[0] - count + 1


def spending_row(con: Con, run: RunRecord, per: str, now_ms: int) -> tuple[int, int]:
    """(spent, reserved) of the scope that a budget `per` this period looks at, now."""
    scope = scope_of(per, run.budget_run, now_ms)
    row = con.execute(
        "SELECT spent, reserved FROM spending WHERE enrichment = ? AND scope = ?", (run.enrichment, scope)
    ).fetchone()
    return row or (0, 0)


def newest_done(con: Con, fingerprints: Iterable[bytes]) -> dict[bytes, StoredAnswer]:
    """The newest whole answer of each address that has one, checked."""
    wanted = set(fingerprints)
    newest: dict[bytes, tuple[Any, ...]] = {}
    query = f"SELECT {ANSWER_COLUMNS} FROM answers WHERE substr(fingerprint, 1, 8) IN (%s) AND state = 'done'"
    for row in rows_in(con, query, [fingerprint[:8] for fingerprint in wanted]):
        present = newest.get(row[1])
        if row[1] in wanted and (present is None or present[0] < row[0]):
            newest[row[1]] = row
    return {fingerprint: stored_answer(row) for fingerprint, row in newest.items()}


# --- claiming ------------------------------------------------------------------------------------------------------


def claim(
    con: Con,
    claims: Sequence[Claim],
    *,
    run: RunRecord,
    budget: Budget | None,
    now_ms: int,
    alive: Alive,
) -> list[ClaimResult]:
    """See `contracts.Store.claim`. Known and Held need no money: they are decided before the budget is looked at."""
    refuse_twice([wish.fingerprint for wish in claims])
    found = newest_done(con, [wish.fingerprint for wish in claims])
    known = {wish.fingerprint: found[wish.fingerprint] for wish in claims if young_enough(found, wish)}
    wanted = [wish.fingerprint for wish in claims if wish.fingerprint not in known]
    holders = _holders(con, wanted, run.runner, now_ms, alive)
    money = Money(con)
    money.book(run.run_id, now_ms, 0, 0)  # an unknown run is refused even where nothing is claimed
    spent, reserved = (0, 0) if budget is None else spending_row(con, run, budget.per, now_ms)
    room = None if budget is None else budget.cap_nusd - spent - reserved
    stopped: Unaffordable | None = None
    first = take_numbers(con, "attempt", len(wanted)) if wanted else 0
    total = 0
    rows: list[tuple[Any, ...]] = []
    results: list[ClaimResult] = []
    for wish in claims:
        address = wish.fingerprint
        answer = known.get(address)
        holder = holders.get(address)
        if answer is not None:
            results.append(Known(answer))
        elif holder is not None:
            results.append(Held(holder))
        elif stopped is not None:
            results.append(stopped)
        elif room is not None and total + wish.reserve_nusd > room:
            stopped = Unaffordable(spent, reserved + total)
            results.append(stopped)
        else:
            number = first + len(rows)
            total += wish.reserve_nusd
            rows.append((address, number, address, wish.pass_id, run.run_id, run.runner, wish.reserve_nusd, now_ms))
            results.append(Claimed(number))
    write_rows(con, INSERT_LEASE, rows)
    money.book(run.run_id, now_ms, 0, total)
    money.write()
    return results


def _holders(con: Con, fingerprints: list[bytes], own: str, now_ms: int, alive: Alive) -> dict[bytes, str]:
    """Who holds these addresses. Dead holders are buried on the way, which frees theirs."""
    held = dict(rows_in(con, "SELECT lease, runner FROM leases WHERE lease IN (%s)", fingerprints))
    dead = _dead(con, set(held.values()) - {own}, now_ms, alive)
    if dead:
        bury(con, dead, now_ms)
        held = {address: runner for address, runner in held.items() if runner not in dead}
    return held


def _dead(con: Con, runners: set[str], now_ms: int, alive: Alive) -> set[str]:
    if not runners:
        return set()
    expires = dict(con.execute("SELECT runner, expires_at FROM runners"))
    batches = {runner for runner in runners if runner.startswith(BATCH)}
    holding = holders(con) if batches else set()
    return {
        runner
        for runner in runners
        if (runner not in holding if runner in batches else not alive(runner, expires.get(runner, 0), now_ms))
    }


def holders(con: Con) -> set[str]:
    """The names under which open batches hold leases: no process has to live for them."""
    query = f"SELECT submission FROM batches WHERE state IN ({','.join('?' * len(HOLDING))})"
    return {BATCH + row[0] for row in con.execute(query, [each.value for each in HOLDING])}


def extend_lease(con: Con, runner: str, now_ms: int) -> None:
    """Note that a runner lives now."""
    con.execute(
        "INSERT INTO runners (runner, expires_at) VALUES (?, ?) "
        "ON CONFLICT (runner) DO UPDATE SET expires_at = excluded.expires_at",
        (runner, now_ms + LEASE_MS),
    )


def bury_the_dead(con: Con, own: str, now_ms: int, alive: Alive) -> None:
    """Recognise every runner that died and close what it left open."""
    known = {row[0] for row in con.execute("SELECT runner FROM runners UNION SELECT runner FROM leases")}
    bury(con, _dead(con, known - {own}, now_ms, alive), now_ms)


def bury(con: Con, runners: set[str], now_ms: int) -> None:
    """Close the dead runners' attempts as lost, each counted as spent in full, and their runs as stopped."""
    if not runners:
        return
    close_as_lost(con, rows_in(con, f"SELECT {LEASE_COLUMNS} FROM leases WHERE runner IN (%s)", runners), now_ms)
    for runner in runners:
        row = con.execute("SELECT expires_at FROM runners WHERE runner = ?", (runner,)).fetchone()
        seen = now_ms if row is None else min(now_ms, row[0] - LEASE_MS)  # its last heartbeat
        for run in con.execute("SELECT * FROM runs WHERE runner = ? AND ended_at IS NULL", (runner,)).fetchall():
            write_run_end(con, run, max(seen, run[4]), STOPPED_LOST, run[7])
        con.execute("DELETE FROM runners WHERE runner = ?", (runner,))


def write_run_end(con: Con, run: Sequence[Any], at_ms: int, outcome: str, summary: str) -> None:
    """End a run, given its row as it stands."""
    row = (*run[:5], at_ms, outcome, summary)
    con.execute(
        "UPDATE runs SET ended_at = ?, outcome = ?, summary = ?, check_sum = ? WHERE run_id = ?",
        (at_ms, outcome, summary, line_sum(row), run[0]),
    )


def close_as_lost(con: Con, leases: Iterable[tuple[Any, ...]], now_ms: int) -> None:
    """Close open attempts (LEASE_COLUMNS) whose fate is unknown: they may have been paid for in full."""
    money = Money(con)
    rows: list[tuple[Any, ...]] = [(*row, now_ms, LOST, row[5], 1, *NO_TOKENS) for row in leases]
    for row in rows:
        money.book(row[3], row[6], row[5], -row[5])
    write_rows(con, INSERT_ATTEMPT, rows)
    delete_leases(con, [row[0] for row in rows])
    money.write()


# --- giving back and trying again ----------------------------------------------------------------------------------


def open_attempts(con: Con, numbers: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """The open ones of these attempts, as LEASE_COLUMNS and `lease`."""
    query = f"SELECT {LEASE_COLUMNS}, lease FROM leases WHERE attempt_id IN (%s)"
    return {row[0]: row for row in rows_in(con, query, numbers)}


def closed_attempts(con: Con, numbers: Iterable[int]) -> dict[int, tuple[Any, ...]]:
    """The closed ones of these attempts, as LEASE_COLUMNS, `cost` and `outcome`."""
    query = f"SELECT {LEASE_COLUMNS}, cost, outcome FROM attempts WHERE attempt_id IN (%s)"
    return {row[0]: row for row in rows_in(con, query, numbers)}


def delete_leases(con: Con, numbers: Iterable[int]) -> None:
    """Take attempts out of `leases`; their addresses are free."""
    for marks, part in chunks(list(numbers)):
        con.execute(f"DELETE FROM leases WHERE attempt_id IN ({marks})", part)


def release(con: Con, numbers: Sequence[int]) -> None:
    """See `contracts.Store.release`. One that was taken over meanwhile is no longer counted as spent either."""
    money = Money(con)
    opened = open_attempts(con, numbers)
    for row in opened.values():
        money.book(row[3], row[6], 0, -row[5])
    delete_leases(con, opened)
    closed = closed_attempts(con, [number for number in numbers if number not in opened])
    lost = {number: row for number, row in closed.items() if row[8] == LOST}  # what was settled stays settled
    for row in lost.values():
        money.book(row[3], row[6], -row[7], 0)
    con.executemany("DELETE FROM attempts WHERE attempt_id = ?", [(number,) for number in lost])
    money.write()


def extend(
    con: Con,
    number: int,
    *,
    outcome: str,
    cost: int,
    run: RunRecord,
    budget: Budget | None,
    now_ms: int,
) -> int | None:
    """See `contracts.Store.extend`. Where the lease was taken over meanwhile, the next try goes on without one."""
    money = Money(con)
    row = open_attempts(con, [number]).get(number)
    if row is not None:
        lease = row[7]
        con.execute("DELETE FROM leases WHERE attempt_id = ?", (number,))
        con.execute(INSERT_ATTEMPT, (*row[:7], now_ms, outcome, cost, 0, *NO_TOKENS))
        money.book(row[3], row[6], cost, -row[5])
    else:
        row = closed_attempts(con, [number]).get(number)
        if row is None or row[1] is None:  # released, or forgotten with the row it was for
            raise StoreError(f"attempt {number} is not in this store", remedy="claim the address again")
        taken = con.execute("SELECT 1 FROM leases WHERE lease = ?", (row[1],)).fetchone()
        lease = None if taken else row[1]
        con.execute(
            "UPDATE attempts SET outcome = ?, cost = ?, estimated = 0, closed_at = ? WHERE attempt_id = ?",
            (outcome, cost, now_ms, number),
        )
        money.book(row[3], row[6], cost - row[7], 0)
    money.write()
    reserve = row[5]
    if budget is not None:
        spent, reserved = spending_row(con, run, budget.per, now_ms)
        if spent + reserved + reserve > budget.cap_nusd:
            return None
    following = take_numbers(con, "attempt", 1)
    con.execute(INSERT_LEASE, (lease, following, row[1], row[2], run.run_id, run.runner, reserve, now_ms))
    money.book(run.run_id, now_ms, 0, reserve)
    money.write()
    return following
