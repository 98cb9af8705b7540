"""The store in plain dictionaries: for trying things, for immediate mode, and the oracle that other stores are
tested against.

What stays true: it keeps every promise of `contracts.Store` but durability, written in the most obvious way and not
in the fastest; a method that fails changed nothing. Nothing outlives the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.errors import StoreError
from inlay.fingerprint import address, recipe_digest
from inlay.stores import liveness
from inlay.stores.accounts import (
    ASKED_AGAIN,
    TERMINAL_REASONS,
    correction_kept,
    correction_place,
    refuse_twice,
    scope_of,
    values_match,
    young_enough,
)
from inlay.stores.books import Books
from inlay.stores.lanes import LANE_MS
from inlay.stores.memory_journal import MemoryJournal
from inlay.stores.records import (
    AttemptRecord,
    CellRecord,
    clear_records,
    forget_records,
    ledger_of,
    prune_records,
    scan_batches,
)
from inlay.types import (
    Attempt,
    Budget,
    CellEvent,
    CellState,
    Claim,
    ClaimResult,
    Correction,
    Known,
    LaneNote,
    NewAnswer,
    PassRecord,
    PassRef,
    RunRecord,
    Settlement,
    Spending,
    StoredAnswer,
    StoredCell,
    Unaffordable,
    Usage,
)

if TYPE_CHECKING:
    import pyarrow as pa

_UNWHOLE = (CellState.PARTIAL, CellState.FAILED)


class MemoryStore:
    """A `contracts.Store` that lives and dies with this object. Safe for threads, not for processes."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        alive: Callable[[str, int, int], bool] = liveness.alive,
    ) -> None:
        self._clock = clock
        self._alive = alive
        self._books = Books(alive)
        self._lock = threading.RLock()
        self._closed = False
        self._passes: dict[tuple[str, str], int] = {}
        self._recipes: list[PassRecord] = []
        self._recipes_of: dict[int, set[int]] = {}  # pass_id to recipe_ids
        self._answers: dict[int, tuple[StoredAnswer, NewAnswer]] = {}
        self._cells: dict[tuple[int, str], CellRecord] = {}
        self._history: dict[tuple[int, str], list[CellEvent]] = {}
        self._corrections: dict[str, list[Correction]] = {}  # of each enrichment, oldest first
        self._last: dict[str, int] = {}
        self.journal = MemoryJournal(
            self._books,
            self._lock,
            now_ms=self._now,
            alive=alive,
            commit=self.commit,
            changed=lambda pass_id, key: cell.updated_at if (cell := self._cells.get((pass_id, key))) else 0,
        )
        self._lanes: dict[tuple[str, str], tuple[int, LaneNote]] = {}

    def close(self) -> None:
        self._closed = True

    def _now(self) -> int:
        if self._closed:
            raise StoreError("this store in memory was closed", remedy="make a new one")
        return int(self._clock() * 1000)

    def _number(self, counter: str) -> int:
        self._last[counter] = self._last.get(counter, 0) + 1
        return self._last[counter]

    # passes and runs

    def register(self, passes: Sequence[PassRecord]) -> list[PassRef]:
        for record in passes:
            if recipe_digest(record.recipe) != record.recipe_digest:
                raise StoreError(
                    f"the recipe of pass {record.name!r} does not have the digest that came with it",
                    remedy="compute it with inlay.fingerprint.recipe_digest",
                )
        with self._lock:
            return [self._register(record) for record in passes]

    def _register(self, record: PassRecord) -> PassRef:
        digests = [known.recipe_digest for known in self._recipes]
        if record.recipe_digest not in digests:
            self._recipes.append(record)
            digests.append(record.recipe_digest)
        pass_id = self._passes.setdefault((record.enrichment, record.name), len(self._passes) + 1)
        recipe_id = digests.index(record.recipe_digest) + 1
        self._recipes_of.setdefault(pass_id, set()).add(recipe_id)
        return PassRef(pass_id, recipe_id)

    def recipe(self, recipe_id: int) -> str:
        if not 0 < recipe_id <= len(self._recipes):
            raise StoreError(f"recipe {recipe_id} is not in this store", remedy="register its pass first")
        return self._recipes[recipe_id - 1].recipe

    def recipes(self, pass_id: int) -> dict[int, str]:
        with self._lock:
            return {number: self.recipe(number) for number in sorted(self._recipes_of.get(pass_id, ()))}

    def passes(self, enrichment: str) -> dict[str, int]:
        with self._lock:
            return {name: number for (owner, name), number in self._passes.items() if owner == enrichment}

    def begin_run(self, enrichment: str, *, runner: str, fresh_budget: bool = False) -> RunRecord:
        with self._lock:
            run = self._books.begin_run(enrichment, runner, fresh_budget, self._now())
        liveness.keep(runner)
        return run

    def heartbeat(self, runner: str) -> None:
        with self._lock:
            self._books.runners[runner] = self._now() + liveness.LEASE_MS

    def share_lanes(self, runner: str, notes: Sequence[LaneNote]) -> dict[str, tuple[LaneNote, ...]]:
        now = self._now()
        with self._lock:
            self._lanes = {
                place: (expires, note)
                for place, (expires, note) in self._lanes.items()
                if place[1] != runner or notes
                if self._alive(place[1], expires, now)
            }
            self._lanes |= {(note.lane, runner): (now + LANE_MS, note) for note in notes}
            return {
                mine.lane: tuple(
                    note for (lane, who), (_, note) in self._lanes.items() if lane == mine.lane and who != runner
                )
                for mine in notes
            }

    def end_run(self, run_id: int, *, outcome: str, summary: Mapping[str, Any]) -> None:
        with self._lock:
            self._books.end_run(run_id, outcome, summary, self._now())
            gone = self._books.run(run_id).runner
            self._lanes = {place: noted for place, noted in self._lanes.items() if place[1] != gone}

    def runs(self, enrichment: str, limit: int = 20) -> list[RunRecord]:
        with self._lock:
            return [run for run in reversed(self._books.runs) if run.enrichment == enrichment][:limit]

    # the hot path

    def claim(self, claims: Sequence[Claim], *, run: RunRecord, budget: Budget | None) -> list[ClaimResult]:
        if not claims:
            return []
        refuse_twice([wish.fingerprint for wish in claims])
        with self._lock:
            now = self._now()
            self._books.run(run.run_id)
            found = self.find_answers([wish.fingerprint for wish in claims])
            known = {wish.fingerprint: found[wish.fingerprint] for wish in claims if young_enough(found, wish)}
            wanted = [wish.fingerprint for wish in claims if wish.fingerprint not in known]
            held = {fingerprint: self._books.held(fingerprint, run, now) for fingerprint in wanted}
            results: list[ClaimResult] = []
            stopped: Unaffordable | None = None
            for wish in claims:
                result: ClaimResult | None = held.get(wish.fingerprint) or stopped
                if wish.fingerprint in known:
                    result = Known(known[wish.fingerprint])
                if result is None:
                    result = stopped = self._books.unaffordable(wish.reserve_nusd, run, budget, now)
                results.append(result or self._books.claim(wish, run, now))
            return results

    def release(self, attempt_ids: Sequence[int]) -> None:
        with self._lock:
            for number in attempt_ids:
                self._books.release(number, self._now())

    def extend(
        self, attempt_id: int, *, outcome: str, cost_nusd: int, run: RunRecord, budget: Budget | None
    ) -> int | None:
        with self._lock:
            return self._books.extend(
                attempt_id, outcome=outcome, cost=cost_nusd, run=run, budget=budget, now=self._now()
            )

    def commit(self, settlements: Sequence[Settlement], *, run: RunRecord) -> list[int | None]:
        with self._lock:
            now = self._now()
            wanted = [s.attempt_id for s in settlements if s.attempt_id is not None]
            if len(set(wanted)) != len(wanted):
                raise StoreError("one attempt was settled twice in one commit", remedy="settle each attempt once")
            for settlement in settlements:
                for write in settlement.cells:
                    if write.answer_id is not None and write.answer_id not in self._answers:
                        raise StoreError(
                            f"a cell refers to answer {write.answer_id}, which is not in this store",
                            remedy="it was pruned or cleared meanwhile; run the same command again",
                        )
                    CellRecord.check(write)
            self._books.run(run.run_id)
            return [self._settle(settlement, run, now) for settlement in settlements]

    def _settle(self, settlement: Settlement, run: RunRecord, now: int) -> int | None:
        number = None
        if (new := settlement.answer) is not None:
            number = self._number("answer")
            stored = StoredAnswer(
                number,
                new.fingerprint,
                new.recipe_id,
                new.state,
                new.payload,
                new.values_hash,
                new.error_kind,
                new.error_message,
                new.served_model,
                new.cost_nusd,
                run.run_id,
                now / 1000,
            )
            self._answers[number] = (stored, new)
        attempt = self._books.attempt(settlement.attempt_id)
        if attempt is None and (settlement.attempt_id is not None or new is not None or settlement.cost_nusd):
            pass_id = settlement.cells[0].pass_id if settlement.cells else 0
            address_ = new.fingerprint if new is not None else b""
            attempt = AttemptRecord(
                self._books.number(), address_, pass_id, run.run_id, run.runner, 0, now, closed_at=now
            )
        if attempt is not None:
            self._books.close(attempt, now, **AttemptRecord.closing(settlement, number, attempt))
        for write in settlement.cells:
            place = (write.pass_id, write.key)
            record = CellRecord.after(self._cells.get(place), write, number, now, self._number("history"))
            self._cells[place] = record
            answer_id = None if record.kept else record.answer_id
            event = CellEvent(
                record.last_seq, now / 1000, run.run_id, write.state, write.reason, write.message, answer_id
            )
            self._history.setdefault(place, []).append(event)
        return number

    # reading

    def find_answers(self, fingerprints: Sequence[bytes]) -> dict[bytes, StoredAnswer]:
        with self._lock:
            wanted = set(fingerprints)
            return {
                stored.fingerprint: stored  # a later number overwrites an earlier one
                for stored, _ in self._answers.values()
                if stored.fingerprint in wanted and stored.state == CellState.DONE
            }

    def answers(self, answer_ids: Sequence[int]) -> dict[int, StoredAnswer]:
        with self._lock:
            return {number: self._answers[number][0] for number in answer_ids if number in self._answers}

    def _new_answer(self, answer_id: int) -> NewAnswer:
        if answer_id not in self._answers:
            raise StoreError(f"answer {answer_id} is not in this store", remedy="it may have been pruned or cleared")
        return self._answers[answer_id][1]

    def answer_input(self, answer_id: int) -> bytes:
        return self._new_answer(answer_id).input

    def answer_raw(self, answer_id: int) -> bytes | None:
        return self._new_answer(answer_id).raw

    def scan_cells(self, pass_id: int, columns: Sequence[str] = CELL_SCAN_COLUMNS) -> Iterator[pa.RecordBatch]:
        with self._lock:
            rows = [
                cell.scan_row(None if cell.answer_id is None else self._answers[cell.answer_id][0])
                for cell in self._cells.values()
                if cell.pass_id == pass_id
            ]
        return (batch.select(list(columns)) for batch in scan_batches(rows))

    def _stored(self, cell: CellRecord) -> StoredCell:
        return cell.stored(None if cell.answer_id is None else self._answers[cell.answer_id][0])

    def read_cells(self, pass_id: int, keys: Sequence[str]) -> dict[str, StoredCell]:
        with self._lock:
            return {key: self._stored(self._cells[pass_id, key]) for key in keys if (pass_id, key) in self._cells}

    def history(self, pass_id: int, key: str) -> list[CellEvent]:
        with self._lock:
            return list(self._history.get((pass_id, key), ()))

    def events(self, pass_id: int, *, after: int = 0, limit: int = 5000) -> list[tuple[str, CellEvent]]:
        with self._lock:
            found = [
                (key, event)
                for (number, key), events in self._history.items()
                if number == pass_id
                for event in events
                if event.seq > after
            ]
        return sorted(found, key=lambda line: line[1].seq)[:limit]

    def counts(self, pass_id: int) -> dict[tuple[str, str], int]:
        counts: dict[tuple[str, str], int] = {}
        with self._lock:
            for cell in self._cells.values():
                if cell.pass_id == pass_id:
                    place = (cell.state.value, cell.reason)
                    counts[place] = counts.get(place, 0) + 1
        return counts

    def stale(self, pass_id: int, recipe_id: int) -> int:
        with self._lock:
            done = [c for c in self._cells.values() if c.pass_id == pass_id and c.state == CellState.DONE]
            return sum(cell.recipe_id != recipe_id for cell in done)

    def failures(self, pass_id: int, *, kind: str | None = None, limit: int = 100) -> list[StoredCell]:
        with self._lock:
            chosen = [
                cell
                for cell in self._cells.values()
                if cell.pass_id == pass_id and cell.state in _UNWHOLE and kind in (None, cell.reason)
            ]
            chosen.sort(key=lambda cell: (cell.updated_at, cell.last_seq), reverse=True)
            return [self._stored(cell) for cell in chosen[:limit]]

    def reset_tries(
        self, pass_id: int, *, kinds: Sequence[str] | None = None, keys: Sequence[str] | None = None
    ) -> int:
        with self._lock:
            chosen = [
                (place, cell)
                for place, cell in self._cells.items()
                if cell.pass_id == pass_id
                and cell.state in _UNWHOLE
                and (kinds is None or cell.reason in kinds)
                and (keys is None or cell.key in keys)
            ]
            for place, cell in chosen:
                reason = ASKED_AGAIN if cell.reason in TERMINAL_REASONS else cell.reason
                self._cells[place] = replace(cell, tries=0, reason=reason)
            return len(chosen)

    def spending(self, run: RunRecord, per: str) -> Spending:
        with self._lock:
            return self._books.sum(run.enrichment, scope_of(per, run.budget_run, self._now()))

    def ledger(self, enrichment: str, *, run_id: int | None = None, days: bool = False) -> list[dict[str, Any]]:
        with self._lock:
            runs = {
                run.run_id for run in self._books.runs if run.enrichment == enrichment and run_id in (None, run.run_id)
            }
            names = {number: name for (_, name), number in self._passes.items()}
            return ledger_of(
                (a for a in self._books.attempts.values() if a.run_id in runs and not a.is_open), names, days=days
            )

    def attempts(self, fingerprints: Sequence[bytes]) -> list[Attempt]:
        with self._lock:
            self._now()
            wanted = set(fingerprints)
            found = [a for a in self._books.attempts.values() if a.fingerprint in wanted and a.is_detail]
            return [attempt.closed() for attempt in sorted(found, key=lambda attempt: attempt.attempt_id)]

    def recent_usage(self, pass_id: int, recipe_id: int, limit: int = 500) -> list[Usage]:
        with self._lock:
            self._now()
            found: list[Usage] = []
            for attempt in reversed(self._books.attempts.values()):
                answer = self._answers.get(attempt.answer_id or 0)
                mine = attempt.pass_id == pass_id and attempt.is_detail and attempt.usage.input_tokens
                if mine and answer is not None and answer[0].recipe_id == recipe_id and len(found) < limit:
                    found.append(attempt.usage)
            return found

    # what people say

    def correct(self, enrichment: str, corrections: Sequence[Correction]) -> None:
        with self._lock:
            now = self._now()
            given = [correction_kept(correction, now) for correction in corrections]
            self._corrections.setdefault(enrichment, []).extend(given)

    def corrections(
        self, enrichment: str, *, keys: Sequence[str] | None = None, history: bool = False
    ) -> list[Correction]:
        with self._lock:
            self._now()
            wanted = None if keys is None else set(keys)
            found = [c for c in self._corrections.get(enrichment, ()) if wanted is None or c.key in wanted]
        last = {correction_place(correction): number for number, correction in enumerate(found)}
        if not history:
            found = [found[number] for number in sorted(last.values()) if not found[number].withdrawn]
        return deepcopy(found)

    # care

    def stats(self) -> dict[str, Any]:
        with self._lock:
            times = [stored.created_at for stored, _ in self._answers.values()]
            closed = sum(not attempt.is_open for attempt in self._books.attempts.values())
            return {
                "passes": len(self._passes),
                "recipes": len(self._recipes),
                "runs": len(self._books.runs),
                "runners": len(self._books.runners),
                "leases": len(self._books.attempts) - closed,
                "attempts": closed,
                "answers": len(self._answers),
                "cells": len(self._cells),
                "history": sum(map(len, self._history.values())),
                "batches": self.journal.count(),
                "corrections": sum(map(len, self._corrections.values())),
                "oldest_answer": min(times, default=None),
                "newest_answer": max(times, default=None),
            }

    def verify(self) -> list[str]:
        problems: list[str] = []
        with self._lock:
            for number, (stored, new) in self._answers.items():
                digest = self._recipes[stored.recipe_id - 1].recipe_digest if stored.recipe_id else b""
                if address(digest, new.input) != stored.fingerprint:
                    problems.append(f"the address of answer {number} does not follow from its recipe and input")
                if not values_match(stored.payload, stored.values_hash):
                    problems.append(f"the values of answer {number} do not match their hash")
        return problems

    def prune(self, *, enrichment: str, dry_run: bool = False, keep_days: float = 0) -> dict[str, int]:
        with self._lock:
            before = self._now() - int(keep_days * 86_400_000)
            runs = {run.run_id for run in self._books.runs if run.enrichment == enrichment}
            return prune_records(self._answers, self._cells, self._history, self._books.attempts, runs, before, dry_run)

    def clear(
        self, *, enrichment: str, pass_name: str | None = None, keys: Sequence[str] | None = None
    ) -> dict[str, int]:
        with self._lock:
            known = self.passes(enrichment)
            if pass_name is not None and pass_name not in known:
                raise StoreError(
                    f"the store knows no pass {pass_name!r} of enrichment {enrichment!r}",
                    remedy=f"choose one of: {', '.join(known)}" if known else "nothing of it has been run yet",
                )
            passes = set(known.values()) if pass_name is None else {known[pass_name]}
            return clear_records(self._answers, self._cells, self._history, passes, keys)

    def forget(self, enrichment: str, keys: Sequence[str]) -> dict[str, int]:
        with self._lock:
            now = self._now()
            passes = set(self.passes(enrichment).values())
            lines, gone = self.journal.forget(passes, set(keys), now)
            said = self._corrections.get(enrichment, [])
            kept = [correction for correction in said if correction.key not in keys]
            self._corrections[enrichment] = kept
            runs = {run.run_id for run in self._books.runs if run.enrichment == enrichment}
            counts = forget_records(
                self._answers, self._cells, self._history, self._books.attempts, passes, set(keys), runs, gone
            )
            return {**counts, "corrections": len(said) - len(kept), "batch_lines": lines}
