"""The journal of batches of the store in memory: `contracts.Journal`, in the most obvious way.

What stays true: the caller's lock is held around every method; a line is there as long as its attempt is open.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from inlay.batches import HOLDING, Batch, BatchLine, BatchState
from inlay.errors import StoreError
from inlay.stores.books import Books
from inlay.stores.liveness import LEASE_MS
from inlay.types import RunRecord, Settlement


class MemoryJournal:
    """The batches of one MemoryStore. Given are its `commit`, and when a cell last `changed` (milliseconds)."""

    def __init__(
        self,
        books: Books,
        lock: threading.RLock,
        *,
        now_ms: Callable[[], int],
        alive: Callable[[str, int, int], bool],
        commit: Callable[..., Any],
        changed: Callable[[int, str], int],
    ) -> None:
        self._books = books
        self._lock = lock
        self._now = now_ms
        self._alive = alive
        self._commit = commit
        self._changed = changed
        self._batches: dict[str, Batch] = {}
        self._lines: dict[str, dict[str, BatchLine]] = {}
        self._until: dict[str, int] = {}

    def prepare(self, batch: Batch, lines: Sequence[BatchLine], *, run: RunRecord) -> None:
        with self._lock:
            now = self._now()
            found = [self._books.attempt(line.attempt_id) for line in lines]
            own = [each for each in found if each is not None and each.is_open and each.runner == run.runner]
            if len({each.attempt_id for each in own}) != len(lines):
                raise StoreError(
                    f"{len(lines) - len(own)} of the {len(lines)} calls of a batch are not this run's own any more",
                    remedy="run the same command again",
                )
            for each in own:
                self._books.attempts[each.attempt_id] = replace(each, runner=batch.runner)
            self._batches[batch.submission] = replace(batch, state=BatchState.PREPARED, made_at=now / 1000, driver="")
            self._lines[batch.submission] = {line.custom_id: line for line in lines}
            self._books.batches.add(batch.runner)

    def batch(self, submission: str) -> Batch | None:
        with self._lock:
            return self._batches.get(submission)

    def batches(self, enrichment: str, *, closed: bool = False) -> list[Batch]:
        with self._lock:
            found = [batch for batch in self._batches.values() if batch.enrichment == enrichment]
        found.sort(key=lambda batch: (batch.made_at, batch.submission))
        return [batch for batch in found if closed or batch.is_open]

    def take(self, submission: str, driver: str) -> Batch | None:
        with self._lock:
            now = self._now()
            batch = self._batches.get(submission)
            if batch is None:
                return None
            if batch.driver not in ("", driver) and self._alive(batch.driver, self._until.get(submission, 0), now):
                return None
            self._until[submission] = now + LEASE_MS
            batch = self._batches[submission] = replace(batch, driver=driver)
            return batch

    def let_go(self, driver: str) -> None:
        with self._lock:
            for name, batch in self._batches.items():
                if batch.driver == driver:
                    self._batches[name] = replace(batch, driver="")

    def move(self, submission: str, state: BatchState, *, alone: bool = False, **facts: Any) -> Batch | None:
        with self._lock:
            batch = self._found(submission)
            others = (each for each in self._batches.values() if each.submission != submission)
            if alone and any(e.account == batch.account and e.state is BatchState.SUBMITTING for e in others):
                return None
            batch = self._batches[submission] = replace(batch, state=state, **facts)
            if state in (BatchState.FAILED, BatchState.ABSENT):
                self.give_back(submission)
            if state not in HOLDING:
                self._books.batches.discard(batch.runner)
            return batch

    def lines(self, submission: str, custom_ids: Sequence[str]) -> dict[str, BatchLine]:
        with self._lock:
            there = self._lines.get(submission, {})
            return {name: there[name] for name in custom_ids if name in there}

    def left(self, submission: str) -> int:
        with self._lock:
            return len(self._lines.get(submission, {}))

    def some(self, submission: str, most: int) -> list[str]:
        with self._lock:
            return sorted(self._lines.get(submission, {}))[:most]

    def settle(self, submission: str, settlements: Sequence[tuple[str, Settlement]]) -> list[bool]:
        with self._lock:
            batch = self._found(submission)
            there = self._lines[submission]
            made = int(batch.made_at * 1000 + 0.5)
            counted: list[bool] = []
            taken: list[tuple[str, Settlement]] = []
            for name, settlement in settlements:
                own = name in there and all(name != other for other, _ in taken)
                counted.append(own)
                if own:
                    cells = tuple(cell for cell in settlement.cells if self._changed(cell.pass_id, cell.key) <= made)
                    taken.append((name, replace(settlement, cells=cells)))
            run = replace(self._books.run(batch.run_id), runner=batch.runner)
            self._commit([settlement for _, settlement in taken], run=run)
            for name, _ in taken:
                del there[name]
            return counted

    def give_back(self, submission: str, custom_ids: Sequence[str] | None = None) -> int:
        with self._lock:
            there = self._lines.get(submission, {})
            chosen = (
                list(there) if custom_ids is None else [name for name in dict.fromkeys(custom_ids) if name in there]
            )
            for name in chosen:
                self._books.release(there.pop(name).attempt_id, self._now())
            return len(chosen)

    def waiting(self, enrichment: str) -> dict[int, int]:
        with self._lock:
            out: dict[int, int] = {}
            for name, lines in self._lines.items():
                if self._batches[name].enrichment == enrichment:
                    for line in lines.values():
                        out[line.pass_id] = out.get(line.pass_id, 0) + len(line.cells)
            return out

    def forget(self, passes: set[int], keys: set[str], now: int) -> tuple[int, set[bytes]]:
        """Take rows out of the lines that wait: how many lines changed, and the addresses of those that are gone."""
        changed = 0
        addresses: set[bytes] = set()
        for lines in self._lines.values():
            for name, line in list(lines.items()):
                cells = tuple(cell for cell in line.cells if cell.key not in keys)
                if line.pass_id not in passes or len(cells) == len(line.cells):
                    continue
                changed += 1
                if cells:
                    lines[name] = replace(line, cells=cells)
                    continue
                del lines[name]
                addresses.add(line.fingerprint)
                attempt = self._books.attempt(line.attempt_id)
                if attempt is not None and attempt.is_open:
                    self._books.lose(attempt, now)
        return changed, addresses

    def count(self) -> int:
        """How many batches there are, open and closed."""
        return len(self._batches)

    def _found(self, submission: str) -> Batch:
        if submission not in self._batches:
            raise StoreError(f"there is no batch {submission} in this store", remedy="`inlay batch list` shows them")
        return self._batches[submission]
