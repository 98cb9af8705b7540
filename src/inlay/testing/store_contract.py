"""The contract suite of `inlay.contracts.Store`: what every store must do, ours and anybody else's.

A store joins with one class in a pytest file:

    class TestMyStore(StoreContract):
        def open_store(self, place, *, clock, alive):
            return MyStore(place / "store", clock=clock, alive=alive)

`place` is an empty folder of the test. `clock()` gives seconds since the epoch; `alive(runner, expires_ms, now_ms)`
judges runners. What stays true: the suite sees a store through the contract alone, and moves time itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.fingerprint import short_hash
from inlay.testing.store_claims import ClaimsContract
from inlay.testing.store_corrections import CorrectionsContract
from inlay.testing.store_erasure import ErasureContract
from inlay.testing.store_lanes import LanesContract
from inlay.testing.store_scene import Scene, kinds, refused
from inlay.types import (
    CellState,
    Savings,
    Settlement,
    StoredCell,
    Usage,
)


class StoreContract(ClaimsContract, CorrectionsContract, ErasureContract, LanesContract):
    """Inherit, say how a store is opened, and pytest runs the rest. This part: commits, reading and care."""

    # commits

    def test_a_failed_commit_changes_nothing(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        [x, y] = scene.claim(run, "x", "y")
        good = Settlement(x.attempt_id, answer=scene.answer("x", "日本"), cells=(scene.cell("1", "x"),))
        dangling = Settlement(y.attempt_id, cells=(scene.cell("2", "y", answer_id=999),))
        short = Settlement(y.attempt_id, cells=(scene.cell("2", "y", source_hash=b"abc"),))
        for bad in (dangling, short, good):
            refused(lambda bad=bad: scene.store.commit([good, bad], run=run))
        assert scene.store.read_cells(scene.ref.pass_id, ["1", "2"]) == {}
        assert scene.store.find_answers([scene.address("x")]) == {}
        assert scene.store.history(scene.ref.pass_id, "1") == []
        assert scene.money(run) == (0, 200)

    def test_cells_take_the_settled_a_known_or_no_answer(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        number = scene.ask(run, "1", "x")
        skipped = scene.cell("3", "z", CellState.SKIPPED, reason="budget", message="上限", tries=2)
        scene.clock.now += 10
        assert scene.store.commit(
            [Settlement(cells=(scene.cell("2", "x", answer_id=number),)), Settlement(cells=(skipped,))], run=run
        ) == [None, None]
        second, third = scene.read("2"), scene.read("3")
        assert second.answer == scene.read("1").answer
        assert second.answer is not None
        assert third.answer is None
        assert (third.state, third.reason, third.message, third.tries) == (CellState.SKIPPED, "budget", "上限", 2)
        assert third.updated_at == scene.clock.now
        assert third.source_hash == short_hash(b"z")
        assert third.upstream_hash == b""
        assert scene.store.commit([], run=run) == []
        assert scene.money(run) == (60, 0)

    def test_a_failed_refresh_keeps_the_answer(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        number = scene.ask(run, "1", "x")
        before = scene.read("1")
        note = scene.cell(
            "1", "new text", CellState.FAILED, recipe_id=77, reason="timeout", message="遅い", tries=3, keep_answer=True
        )
        unseen = scene.cell("2", "y", CellState.FAILED, reason="timeout", keep_answer=True)
        scene.clock.now += 10
        scene.store.commit([Settlement(cells=(note, unseen))], run=run)
        assert scene.read("1") == before._replace(reason="timeout", message="遅い", tries=3, updated_at=scene.clock.now)
        assert scene.read("2").state == CellState.FAILED
        events = scene.store.history(scene.ref.pass_id, "1")
        assert [(event.state, event.answer_id) for event in events] == [
            (CellState.DONE, number),
            (CellState.FAILED, None),
        ]

    def test_history_is_told_in_order(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        writes = [scene.cell(key, "x", CellState.FAILED, reason=f"{key}{n}") for n in range(3) for key in ("あ", "b")]
        scene.store.commit([Settlement(cells=tuple(writes[:4]))], run=run)
        scene.clock.now += 5
        scene.store.commit([Settlement(cells=tuple(writes[4:]))], run=run)
        for key in ("あ", "b"):
            events = scene.store.history(scene.ref.pass_id, key)
            assert [event.reason for event in events] == [f"{key}{n}" for n in range(3)]
            assert [scene.clock.now - event.at for event in events] == [5, 5, 0]
            assert sorted(event.seq for event in events) == [event.seq for event in events]
            assert scene.read(key).reason == f"{key}2"
        assert scene.store.history(scene.ref.pass_id, "c") == []

    def test_row_keys_in_every_script_stay_apart(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        for place, key in enumerate(self.keys):
            scene.ask(run, key, f"text {place}", value=f"{key} ✓")
        cells = scene.store.read_cells(scene.ref.pass_id, [*self.keys, "not there"])
        assert set(cells) == set(self.keys)
        for key, cell in cells.items():
            assert cell.answer is not None
            assert cell.answer.payload == scene.answer("", f"{key} ✓").payload
            assert len(scene.store.history(scene.ref.pass_id, key)) == 1
        assert {row["key"] for row in self.scan(scene)} == set(self.keys)
        assert scene.store.verify() == []

    def test_long_answers_and_inputs_come_back_whole(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        text, value = "職務内容 " * 200_000, "🙂é" * 200_000
        number = scene.ask(run, "1", text, value)
        cell = scene.read("1")
        assert cell.answer is not None
        assert cell.answer.payload == scene.answer(text, value).payload
        assert scene.store.answer_input(number) == scene.input(text)

    # reading

    @staticmethod
    def scan(scene: Scene) -> list[dict[str, Any]]:
        """The rows of scan_cells, in key order."""
        rows: list[dict[str, Any]] = []
        for batch in scene.store.scan_cells(scene.ref.pass_id):
            assert tuple(batch.schema.names) == CELL_SCAN_COLUMNS
            rows += batch.to_pylist()
        return sorted(rows, key=lambda row: row["key"])

    def test_a_scan_sees_what_reading_sees(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        assert self.scan(scene) == []
        scene.ask(run, "a", "x")
        upstream = scene.cell("b", "y", upstream_hash=short_hash(b"up"))
        failed = scene.cell("c", "z", CellState.FAILED, reason='odd, "reason"', tries=4)
        scene.store.commit([Settlement(answer=scene.answer("y", "中国"), cells=(upstream,))], run=run)
        assert [row["upstream_hash"] for row in self.scan(scene)] == ["", short_hash(b"up").hex()]
        scene.store.commit([Settlement(cells=(failed,))], run=run)
        assert self.scan(scene) == [self.scan_row(scene.read(key)) for key in "abc"]

    @staticmethod
    def scan_row(cell: StoredCell) -> dict[str, Any]:
        """What scan_cells says of a cell."""
        answer = cell.answer
        return {
            "key": cell.key,
            "source_hash": cell.source_hash.hex(),
            "upstream_hash": cell.upstream_hash.hex(),
            "values_hash": "" if answer is None else answer.values_hash.hex(),
            "recipe_id": cell.recipe_id,
            "state": cell.state.value,
            "reason": cell.reason,
            "tries": cell.tries,
            "answered_at": 0 if answer is None else int(answer.created_at),
        }

    def test_failures_are_counted_listed_and_reopened(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "ok", "x")
        for key, state, reason in (
            ("1", CellState.FAILED, "refused"),
            ("2", CellState.PARTIAL, "invalid_output"),
            ("3", CellState.FAILED, "timeout"),
            ("4", CellState.SKIPPED, "budget"),
        ):
            scene.clock.now += 1
            scene.store.commit([Settlement(cells=(scene.cell(key, key, state, reason=reason, tries=3),))], run=run)
        store, pass_id = scene.store, scene.ref.pass_id
        assert store.counts(pass_id) == {
            ("done", ""): 1,
            ("failed", "refused"): 1,
            ("partial", "invalid_output"): 1,
            ("failed", "timeout"): 1,
            ("skipped", "budget"): 1,
        }
        assert store.stale(pass_id, scene.ref.recipe_id) == store.stale(999, 1) == 0
        assert store.stale(pass_id, scene.ref.recipe_id + 1) == 1
        assert [cell.key for cell in store.failures(pass_id)] == ["3", "2", "1"]
        assert [cell.key for cell in store.failures(pass_id, limit=1)] == ["3"]
        assert [cell.key for cell in store.failures(pass_id, kind="refused")] == ["1"]
        assert store.reset_tries(pass_id, kinds=["timeout"], keys=["1", "4"]) == 0
        assert store.reset_tries(pass_id, keys=["1", "4", "ok"]) == 1
        assert (scene.read("1").tries, scene.read("1").reason) == (0, "asked_again")
        assert (scene.read("4").tries, scene.read("3").tries) == (3, 3)
        assert store.reset_tries(pass_id) == 3
        assert (scene.read("3").tries, scene.read("3").reason) == (0, "timeout")
        assert store.verify() == []

    def test_the_ledger_adds_up_to_what_was_spent(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "1", "x", cost=60)
        scene.ask(run, "2", "y", cost=50)
        [claimed] = scene.claim(run, "z")
        scene.store.commit([Settlement(claimed.attempt_id, "timeout", 100, estimated=True)], run=run)
        scene.claim(run, "open")
        lines = scene.store.ledger("tenants")
        [answered] = [line for line in lines if line["outcome"] == "answered"]
        [timeout] = [line for line in lines if line["outcome"] == "timeout"]
        assert answered == {
            "run_id": run.run_id,
            "pass": "nationality",
            "model": "sim-1",
            "outcome": "answered",
            "mode": "live",
            "attempts": 2,
            "calls": 2.0,
            "cached_tokens": 0,
            "cache_write_tokens": 0,
            "reasoning_tokens": 0,
            "saved_cache_nusd": 0,
            "saved_shared_nusd": 0,
            "saved_batch_nusd": 0,
            "input_tokens": 20,
            "output_tokens": 4,
            "cost_nusd": 110,
            "answers": 2,
            "latency_ms": 500.0,
        }
        assert (timeout["outcome"], timeout["cost_nusd"], timeout["answers"]) == ("timeout", 100, 0)
        assert scene.money(run) == (210, 100)
        assert scene.store.ledger("tenants", run_id=run.run_id) == lines
        assert scene.store.ledger("tenants", run_id=999) == scene.store.ledger("other") == []
        assert scene.store.verify() == []

    def test_the_ledger_tells_batches_shared_calls_and_savings(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        for text in ("x", "y", "z"):
            [claimed] = scene.claim(run, text)
            usage = Usage(30, 6, 10, 5, 4)
            saved = Savings(cache_nusd=-3, shared_nusd=7, batch_nusd=20)
            done = Settlement(claimed.attempt_id, "refused", 20, usage, mode="batch", sharing=3, saved=saved)
            scene.store.commit([done], run=run)
        scene.clock.now += 86_400
        scene.ask(run, "1", "live", cost=60)
        live, batch = sorted(scene.store.ledger("tenants"), key=lambda line: line["mode"] == "batch")
        assert (live["mode"], live["calls"], live["attempts"]) == ("live", 1.0, 1)
        assert (batch["mode"], batch["calls"], batch["attempts"], batch["cost_nusd"]) == ("batch", 1.0, 3, 60)
        assert (batch["cached_tokens"], batch["cache_write_tokens"], batch["reasoning_tokens"]) == (30, 15, 12)
        sums = [batch[f"saved_{name}_nusd"] for name in ("cache", "shared", "batch")]
        assert sums == [-9, 21, 60]
        days = scene.store.ledger("tenants", days=True)
        assert len({line["day"] for line in days}) == len(days) == 2
        assert scene.store.prune(enrichment="tenants")["attempts"] == 3
        assert scene.store.ledger("tenants", days=True) == days, "what was pruned keeps its day and its savings"
        assert scene.store.verify() == []

    def test_recent_usage_is_that_of_answers_under_one_recipe(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "1", "x")
        scene.ask(run, "2", "y")
        [claimed] = scene.claim(run, "z")
        scene.store.commit([Settlement(claimed.attempt_id, "refused", 5, Usage(99, 9))], run=run)
        pass_id, recipe_id = scene.ref.pass_id, scene.ref.recipe_id
        found = scene.store.recent_usage(pass_id, recipe_id)
        assert [(one.input_tokens, one.output_tokens) for one in found] == [(10, 2), (10, 2)]
        assert len(scene.store.recent_usage(pass_id, recipe_id, 1)) == 1
        assert scene.store.recent_usage(pass_id, recipe_id + 1) == scene.store.recent_usage(999, recipe_id) == []

    # care

    def test_prune_deletes_what_no_cell_uses_and_keeps_the_sums(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        old = scene.ask(run, "1", "x", "古い")
        newer = scene.ask(run, "1", "x", "新しい")
        [claimed] = scene.claim(run, "y")
        scene.store.commit([Settlement(claimed.attempt_id, "timeout", 100)], run=run)
        scene.clock.now += 86_400
        latest = scene.ask(run, "1", "x", "最新")
        ledger, money = scene.store.ledger("tenants"), scene.money(run)
        expected = {"answers": 2, "history": 2, "attempts": 3}
        assert scene.store.prune(enrichment="other") == {"answers": 0, "history": 0, "attempts": 0}
        assert scene.store.prune(enrichment="tenants", keep_days=2) == {"answers": 0, "history": 0, "attempts": 0}
        assert scene.store.prune(enrichment="tenants", dry_run=True) == expected
        assert set(scene.store.answers([old, newer, latest])) == {old, newer, latest}
        assert scene.store.prune(enrichment="tenants", keep_days=0.5) == expected
        assert set(scene.store.answers([old, newer, latest])) == {latest}
        assert [event.answer_id for event in scene.store.history(scene.ref.pass_id, "1")] == [latest]
        assert (scene.store.ledger("tenants"), scene.money(run)) == (ledger, money)
        assert scene.ask(run, "2", "z") > latest
        assert scene.store.verify() == []

    def test_history_stays_linked_when_lines_in_its_middle_go(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        for state in (CellState.SKIPPED, CellState.DONE, CellState.DONE, CellState.SKIPPED):
            if state == CellState.DONE:
                scene.ask(run, "1", "x")
            else:
                scene.store.commit([Settlement(cells=(scene.cell("1", "x", state, reason="budget"),))], run=run)
        assert scene.store.prune(enrichment="tenants")["history"] == 2
        assert [event.state for event in scene.store.history(scene.ref.pass_id, "1")] == [CellState.SKIPPED] * 2
        scene.ask(run, "1", "x")
        assert len(scene.store.history(scene.ref.pass_id, "1")) == 3
        assert scene.store.verify() == []

    def test_clear_makes_cells_new_again(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        other = Scene(scene.store, scene.clock, enrichment="other")
        run = scene.begin()
        for key, text in (("1", "x"), ("1", "x"), ("2", "y"), ("3", "z")):
            scene.ask(run, key, text)
        shared = scene.ask(run, "4", "shared")
        scene.store.commit([Settlement(cells=(other.cell("9", "shared", answer_id=shared),))], run=run)
        refused(lambda: scene.store.clear(enrichment="tenants", pass_name="nationalty"))  # noqa: S106
        assert scene.store.clear(enrichment="unknown")["cells"] == 0
        gone = scene.store.clear(enrichment="tenants", pass_name="nationality", keys=["1", "2", "2", "no"])  # noqa: S106
        assert gone == {"cells": 2, "answers": 3, "history": 3}
        assert kinds(scene.claim(run, "x", "y", "z")) == ["Claimed", "Claimed", "Known"]
        assert scene.store.history(scene.ref.pass_id, "1") == []
        assert scene.store.clear(enrichment="tenants") == {"cells": 2, "answers": 1, "history": 2}
        assert kinds(scene.claim(run, "z", "shared")) == ["Claimed", "Known"]
        assert other.read("9").answer is not None
        assert scene.store.counts(scene.ref.pass_id) == {}
        assert scene.store.verify() == []

    def test_stats_count_everything(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        empty = scene.store.stats()
        assert (empty["answers"], empty["oldest_answer"], empty["newest_answer"]) == (0, None, None)
        run = scene.begin()
        started = scene.clock.now
        scene.ask(run, "1", "x")
        scene.clock.now += 100
        scene.ask(run, "2", "y")
        scene.claim(run, "z")
        stats = scene.store.stats()
        counted: Sequence[str] = ("passes", "runs", "leases", "attempts", "answers", "cells", "history", "corrections")
        assert [stats[name] for name in counted] == [1, 1, 1, 2, 2, 2, 2, 0]
        assert (stats["oldest_answer"], stats["newest_answer"]) == (started, scene.clock.now)

    def test_closing_twice_is_fine_and_using_a_closed_store_is_not(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.store.close()
        scene.store.close()
        refused(lambda: scene.claim(run, "x"))
        refused(lambda: scene.begin())
