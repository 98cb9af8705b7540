"""The money side of the store in memory: runs, runners, attempts, leases, and what they add up to.

What stays true: sums are added up from the attempts each time they are asked for, so there is nothing to get out of
step; an address has at most one lease. The caller holds the lock and passes the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from inlay.batches import RUNNER as BATCH
from inlay.errors import StoreError
from inlay.stores import liveness
from inlay.stores.accounts import LOST, STOPPED_LOST, scope_of, scopes
from inlay.stores.records import AttemptRecord
from inlay.types import Budget, Claim, Claimed, Held, RunRecord, Spending, Unaffordable


class Books:
    """Runs and attempts. Times are milliseconds since the epoch, money nano-dollars."""

    def __init__(self, alive: Callable[[str, int, int], bool]) -> None:
        self._alive = alive
        self.runs: list[RunRecord] = []
        self.runners: dict[str, int] = {}
        self.attempts: dict[int, AttemptRecord] = {}
        self._leases: dict[bytes, int] = {}  # address to the open attempt that holds it
        self._last = 0
        self.batches: set[str] = set()  # the names under which open batches hold leases

    def run(self, run_id: int) -> RunRecord:
        """A run by its number."""
        if not 0 < run_id <= len(self.runs):
            raise StoreError(f"run {run_id} is not in this store", remedy="begin a run before claiming")
        return self.runs[run_id - 1]

    def begin_run(self, enrichment: str, runner: str, fresh_budget: bool, now: int) -> RunRecord:
        """See `contracts.Store.begin_run`."""
        holders = {attempt.runner for attempt in self.attempts.values() if attempt.is_open}
        self._bury({name for name in {*self.runners, *holders} - {runner} if not self._lives(name, now)}, now)
        number = len(self.runs) + 1
        mine = [run for run in self.runs if run.enrichment == enrichment]
        shared = mine and not fresh_budget and (mine[-1].ended_at is None or mine[-1].outcome.startswith("stopped"))
        run = RunRecord(number, enrichment, runner, now / 1000, None, "", mine[-1].budget_run if shared else number, {})
        self.runs.append(run)
        self.runners[runner] = now + liveness.LEASE_MS
        return run

    def end_run(self, run_id: int, outcome: str, summary: Mapping[str, Any], now: int) -> None:
        """See `contracts.Store.end_run`."""
        run = self.run(run_id)
        mine = [a for a in self.attempts.values() if a.is_open and a.run_id == run_id]
        self._lose([a for a in mine if not a.runner.startswith(BATCH)], now)  # a batch outlives its run
        self.runs[run_id - 1] = replace(run, ended_at=now / 1000, outcome=outcome, summary=dict(summary))
        if all(other.ended_at is not None for other in self.runs if other.runner == run.runner):
            self.runners.pop(run.runner, None)

    def _lives(self, runner: str, now: int) -> bool:
        if runner.startswith(BATCH):
            return runner in self.batches
        return self._alive(runner, self.runners.get(runner, 0), now)

    def _bury(self, runners: Iterable[str], now: int) -> None:
        for runner in runners:
            self._lose([a for a in self.attempts.values() if a.is_open and a.runner == runner], now)
            seen = self.runners.pop(runner, now + liveness.LEASE_MS) - liveness.LEASE_MS
            for place, run in enumerate(self.runs):
                if run.runner == runner and run.ended_at is None:
                    ended = max(min(now, seen) / 1000, run.started_at)
                    self.runs[place] = replace(run, ended_at=ended, outcome=STOPPED_LOST)

    def _lose(self, attempts: Iterable[AttemptRecord], now: int) -> None:
        for attempt in attempts:
            self.lose(attempt, now)

    def lose(self, attempt: AttemptRecord, now: int) -> None:
        """Close an attempt whose fate is unknown: it may have been paid for in full."""
        self.close(attempt, now, outcome=LOST, cost=attempt.reserved, estimated=True)

    # attempts

    def number(self) -> int:
        """A number for an attempt that was never given out before."""
        self._last += 1
        return self._last

    def open(self, fingerprint: bytes, pass_id: int, reserve: int, run: RunRecord, now: int) -> int:
        """Open an attempt; it takes the address's lease where that is free."""
        number = self.number()
        self.attempts[number] = AttemptRecord(number, fingerprint, pass_id, run.run_id, run.runner, reserve, now)
        self._leases.setdefault(fingerprint, number)
        return number

    def attempt(self, number: int | None) -> AttemptRecord | None:
        """An attempt by its number; None where it was never made, was released, or was pruned into sums."""
        found = None if number is None else self.attempts.get(number)
        return None if found is None or found.folded else found

    def close(self, attempt: AttemptRecord, now: int, **changes: Any) -> None:
        """Close an attempt (again), and free its lease."""
        if self._leases.get(attempt.fingerprint) == attempt.attempt_id:
            del self._leases[attempt.fingerprint]
        self.attempts[attempt.attempt_id] = replace(attempt, closed_at=now, **changes)

    def claim(self, wish: Claim, run: RunRecord, now: int) -> Claimed:
        """Lease an address that is free and affordable."""
        return Claimed(self.open(wish.fingerprint, wish.pass_id, wish.reserve_nusd, run, now))

    def held(self, fingerprint: bytes, run: RunRecord, now: int) -> Held | None:
        """Who else holds an address; a dead holder is buried on the way."""
        if fingerprint not in self._leases:
            return None
        holder = self.attempts[self._leases[fingerprint]].runner
        if holder == run.runner or self._lives(holder, now):
            return Held(holder)
        self._bury([holder], now)
        return None

    def unaffordable(self, reserve: int, run: RunRecord, budget: Budget | None, now: int) -> Unaffordable | None:
        """Why a reservation does not fit the budget; None where it does."""
        if budget is None:
            return None
        there = self.sum(run.enrichment, scope_of(budget.per, run.budget_run, now))
        if there.spent_nusd + there.reserved_nusd + reserve <= budget.cap_nusd:
            return None
        return Unaffordable(there.spent_nusd, there.reserved_nusd)

    def release(self, number: int, now: int) -> None:
        """Undo an attempt that was never sent; one that was settled meanwhile stays as it is."""
        attempt = self.attempt(number)
        if attempt is not None and (attempt.is_open or attempt.outcome == LOST):
            self.close(attempt, now)
            del self.attempts[number]

    def extend(
        self, number: int, *, outcome: str, cost: int, run: RunRecord, budget: Budget | None, now: int
    ) -> int | None:
        """See `contracts.Store.extend`. Where the lease was taken over meanwhile, the next try goes on without one."""
        attempt = self.attempt(number)
        if attempt is None or not attempt.fingerprint:  # released, or forgotten with the row it was for
            raise StoreError(f"attempt {number} is not in this store", remedy="claim the address again")
        self.run(run.run_id)
        leaseless = attempt.is_open and self._leases.get(attempt.fingerprint) != number
        self.close(attempt, now, outcome=outcome, cost=cost, estimated=False)
        if self.unaffordable(attempt.reserved, run, budget, now):
            return None
        following = self.open(attempt.fingerprint, attempt.pass_id, attempt.reserved, run, now)
        if leaseless and self._leases.get(attempt.fingerprint) == following:
            del self._leases[attempt.fingerprint]
        return following

    def sum(self, enrichment: str, scope: str) -> Spending:
        """What a scope has spent and reserved."""
        spent = reserved = 0
        for attempt in self.attempts.values():
            run = self.runs[attempt.run_id - 1]
            if run.enrichment == enrichment and scope in scopes(run.budget_run, attempt.opened_at):
                spent += attempt.cost
                reserved += attempt.reserved if attempt.is_open else 0
        return Spending(spent, reserved)
