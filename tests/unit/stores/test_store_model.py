"""Any mix of claims, settlements, deaths, refreshes, prunes and midnights: SQLite does what the dictionaries do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from inlay.errors import StoreError
from inlay.stores.memory import MemoryStore
from inlay.stores.sqlite import SqliteStore
from inlay.testing.store_scene import ManualClock, Scene
from inlay.types import (
    Attempt,
    Budget,
    CellState,
    Claimed,
    Correction,
    Held,
    Known,
    NullReason,
    RunRecord,
    Settlement,
    Unaffordable,
)

TEXTS = ["田中", "محمد", "🙂", "x", "y"]
ROWS = ["1", "二", "٣"]
RUNNERS = ["a", "b", "c"]
PERIODS = ["run", "day", "month", "total"]
budgets = st.none() | st.builds(Budget, st.integers(0, 1500), st.sampled_from(PERIODS))
Pair = tuple[int, int]


class TwoStores(RuleBasedStateMachine):
    """Each rule is done to both; what they give back must be the same, attempt numbers apart."""

    attempts = Bundle("attempts")

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.dead: set[str] = set()
        self.clock = ManualClock()

        def alive(runner: str, expires_ms: int, now_ms: int) -> bool:
            return runner not in self.dead and expires_ms > now_ms

        self.sqlite_options: dict[str, Any] = {"clock": self.clock, "alive": alive}
        self.scenes = [
            Scene(MemoryStore(clock=self.clock, alive=alive), self.clock),
            Scene(SqliteStore(self.folder / "s.db", **self.sqlite_options), self.clock),
        ]
        self.runs: dict[str, RunRecord] = {}
        self.attempted = False
        self.begin("a", False)

    def teardown(self) -> None:
        for scene in self.scenes:
            scene.store.close()
        shutil.rmtree(self.folder)

    def both(self, action: Callable[[Scene, int], Any]) -> list[Any]:
        """Do it to both; a StoreError counts as a result."""
        results: list[Any] = []
        for place, scene in enumerate(self.scenes):
            try:
                results.append(action(scene, place))
            except StoreError as error:
                results.append(type(error))
        return results

    def same(self, action: Callable[[Scene, int], Any]) -> Any:
        memory, sqlite = self.both(action)
        assert memory == sqlite
        return memory

    @rule(runner=st.sampled_from(RUNNERS), fresh=st.booleans())
    def begin(self, runner: str, fresh: bool) -> None:
        self.dead.discard(runner)
        self.runs[runner] = self.same(lambda scene, _: scene.begin(runner, fresh_budget=fresh))

    @rule(runner=st.sampled_from(RUNNERS), outcome=st.sampled_from(["done", "failures", "stopped: budget"]))
    def end(self, runner: str, outcome: str) -> None:
        if runner in self.runs:
            run = self.runs[runner]
            self.same(lambda scene, _: scene.store.end_run(run.run_id, outcome=outcome, summary={"行": 1}))

    @rule(runner=st.sampled_from(RUNNERS))
    def die(self, runner: str) -> None:
        self.dead.add(runner)

    @rule(runner=st.sampled_from(RUNNERS))
    def beat(self, runner: str) -> None:
        self.same(lambda scene, _: scene.store.heartbeat(runner))

    @rule(seconds=st.sampled_from([0.5, 31, 61, 86_400, 32 * 86_400]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(
        target=attempts,
        runner=st.sampled_from(RUNNERS),
        texts=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4),
        reserve=st.integers(0, 400),
        budget=budgets,
        fresh=st.booleans(),
    )
    def claim(self, runner: str, texts: list[str], reserve: int, budget: Budget | None, fresh: bool) -> Any:
        run = self.runs.get(runner)
        if run is None:
            return multiple()
        before = [scene.store.spending(run, budget.per) if budget is not None else None for scene in self.scenes]
        assert before[0] == before[1]
        memory, sqlite = self.both(
            lambda scene, _: scene.claim(run, *texts, reserve=reserve, budget=budget, fresh=fresh)
        )
        if memory is StoreError or sqlite is StoreError:
            assert memory == sqlite
            assert len(set(texts)) < len(texts)
            return multiple()
        won: list[Pair] = []
        for one, two in zip(memory, sqlite, strict=True):
            assert type(one) is type(two)
            if isinstance(one, Known | Held | Unaffordable):
                assert one == two
            else:
                assert isinstance(one, Claimed)
                won.append((one.attempt_id, two.attempt_id))
        if budget is not None and won and before[0] is not None:
            left = budget.cap_nusd - before[0].spent_nusd - before[0].reserved_nusd
            assert len(won) * reserve <= left
        self.attempted = self.attempted or bool(won)
        return multiple(*((pair, text) for pair, text in zip(won, self.won_texts(memory, texts), strict=True)))

    @staticmethod
    def won_texts(results: list[Any], texts: list[str]) -> list[str]:
        return [text for result, text in zip(results, texts, strict=True) if isinstance(result, Claimed)]

    @precondition(lambda self: self.attempted)
    @rule(
        chosen=st.lists(attempts, min_size=1, max_size=3),
        runner=st.sampled_from(RUNNERS),
        rows=st.lists(st.sampled_from(ROWS), max_size=3),
        state=st.sampled_from([CellState.DONE, CellState.PARTIAL, CellState.FAILED]),
        value=st.sampled_from(["日本", "中国", None]),
        cost=st.integers(0, 500),
        keep=st.booleans(),
    )
    def settle(
        self,
        chosen: list[tuple[Pair, str]],
        runner: str,
        rows: list[str],
        state: CellState,
        value: str | None,
        cost: int,
        keep: bool,
    ) -> None:
        run = self.runs.get(runner, self.runs["a"])

        def settlements(scene: Scene, place: int) -> list[int | None]:
            group: list[Settlement] = []
            for pair, text in chosen:
                answer = scene.answer(text, value, state, cost_nusd=cost, latency_ms=cost)
                cells = tuple(
                    scene.cell(row, text, state, reason="" if state == CellState.DONE else "refused", keep_answer=keep)
                    for row in rows
                )
                group.append(Settlement(pair[place], "answered", cost, answer=None if keep else answer, cells=cells))
            return scene.store.commit(group, run=run)

        self.same(settlements)

    @precondition(lambda self: self.attempted)
    @rule(attempt=attempts, runner=st.sampled_from(RUNNERS), cost=st.integers(0, 400), budget=budgets, target=attempts)
    def extend(self, attempt: tuple[Pair, str], runner: str, cost: int, budget: Budget | None) -> Any:
        run = self.runs.get(runner, self.runs["a"])
        memory, sqlite = self.both(
            lambda scene, place: scene.store.extend(
                attempt[0][place], outcome="timeout", cost_nusd=cost, run=run, budget=budget
            )
        )
        assert type(memory) is type(sqlite)
        return multiple(((memory, sqlite), attempt[1])) if isinstance(memory, int) else multiple()

    @precondition(lambda self: self.attempted)
    @rule(chosen=st.lists(attempts, min_size=1, max_size=2))
    def release(self, chosen: list[tuple[Pair, str]]) -> None:
        self.same(lambda scene, place: scene.store.release([pair[place] for pair, _ in chosen]))

    @rule(text=st.sampled_from(TEXTS), row=st.sampled_from(ROWS))
    def reuse(self, text: str, row: str) -> None:
        def share(scene: Scene, _: int) -> Any:
            found = scene.store.find_answers([scene.address(text)])
            cells = tuple(scene.cell(row, text, answer_id=answer.answer_id) for answer in found.values())
            return scene.store.commit([Settlement(cells=cells)], run=self.runs["a"])

        self.same(share)

    @rule(days=st.sampled_from([0, 1, 20]), dry=st.booleans())
    def prune(self, days: float, dry: bool) -> None:
        self.same(lambda scene, _: scene.store.prune(enrichment="tenants", keep_days=days, dry_run=dry))

    @rule(rows=st.none() | st.lists(st.sampled_from(ROWS), max_size=2))
    def clear(self, rows: list[str] | None) -> None:
        self.same(lambda scene, _: scene.store.clear(enrichment="tenants", keys=rows))

    @rule(rows=st.lists(st.sampled_from(ROWS), max_size=2))
    def forget(self, rows: list[str]) -> None:
        self.same(lambda scene, _: scene.store.forget("tenants", rows))

    @rule(rows=st.none() | st.lists(st.sampled_from(ROWS), max_size=2), kinds=st.sampled_from([None, ["refused"]]))
    def retry(self, rows: list[str] | None, kinds: list[str] | None) -> None:
        self.same(lambda scene, _: scene.store.reset_tries(scene.ref.pass_id, keys=rows, kinds=kinds))

    @rule(
        rows=st.lists(st.sampled_from(ROWS), min_size=1, max_size=3),
        field=st.sampled_from(["a", "b"]),
        value=st.sampled_from(["日本", ["中国"], None, float("nan")]),
        withdrawn=st.booleans(),
    )
    def correct(self, rows: list[str], field: str, value: Any, withdrawn: bool) -> None:
        reason = NullReason.NOT_STATED if value is None else None
        given = [Correction("nationality", row, field, value, reason, withdrawn=withdrawn) for row in rows]
        self.same(lambda scene, _: scene.store.correct("tenants", given))

    @rule()
    def reopen(self) -> None:
        self.scenes[1].store.close()
        self.scenes[1] = Scene(SqliteStore(self.folder / "s.db", **self.sqlite_options), self.clock)

    @invariant()
    def alike(self) -> None:
        self.same(lambda scene, _: scene.store.read_cells(scene.ref.pass_id, ROWS))
        self.same(lambda scene, _: [scene.store.history(scene.ref.pass_id, row) for row in ROWS])
        self.same(lambda scene, _: scene.store.events(scene.ref.pass_id))
        self.same(lambda scene, _: scene.store.find_answers([scene.address(text) for text in TEXTS]))
        for run in self.runs.values():
            for per in PERIODS:
                self.same(lambda scene, _, run=run, per=per: scene.store.spending(run, per))
        self.same(lambda scene, _: scene.store.runs("tenants", limit=99))
        self.same(lambda scene, _: scene.store.counts(scene.ref.pass_id))
        self.same(lambda scene, _: scene.store.failures(scene.ref.pass_id))
        self.same(lambda scene, _: scene.store.ledger("tenants"))
        self.same(lambda scene, _: self.attempts_of(scene))
        self.same(lambda scene, _: [scene.store.corrections("tenants", keys=[row]) for row in ROWS])
        for history in (False, True):
            self.same(lambda scene, _, history=history: scene.store.corrections("tenants", history=history))
        self.same(lambda scene, _: scene.store.verify())
        assert self.scenes[0].store.verify() == []
        ledger = sum(line["cost_nusd"] for line in self.scenes[0].store.ledger("tenants"))
        assert self.scenes[0].store.spending(self.runs["a"], "total").spent_nusd == ledger

    @staticmethod
    def attempts_of(scene: Scene) -> list[Attempt]:
        """What the ledger keeps in detail for each text, numbers apart."""
        found = [scene.store.attempts([scene.address(text)]) for text in TEXTS]
        return [replace(attempt, attempt_id=0) for attempts in found for attempt in attempts]


TwoStores.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoStores = TwoStores.TestCase


def test_the_machine_can_tell_two_stores_apart() -> None:
    """The comparison itself: a store that forgets a reservation does not pass."""
    machine = TwoStores()
    machine.open()
    try:
        run = machine.runs["a"]
        [claimed] = machine.scenes[1].claim(run, "x")
        assert machine.scenes[0].money(run) != machine.scenes[1].money(run)
        machine.scenes[1].store.release([claimed.attempt_id])
        machine.alike()
        assert replace(run) == machine.scenes[0].store.runs("tenants")[0]
    finally:
        machine.teardown()
