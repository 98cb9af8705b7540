"""The part of the store contract that is about runs, claims and money: see `inlay.testing.store_contract`."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from inlay.fingerprint import recipe_digest
from inlay.testing.store_scene import RECIPE, StoreOpening, kinds, refused
from inlay.types import (
    Budget,
    CellState,
    Claim,
    Claimed,
    Held,
    Known,
    RunRecord,
    Settlement,
    Unaffordable,
)


class ClaimsContract(StoreOpening):
    """What claiming, settling and dying mean."""

    # passes and runs

    def test_registering_twice_changes_nothing(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        changed = replace(scene.record, recipe=RECIPE + " ", recipe_digest=recipe_digest(RECIPE + " "))
        other = replace(scene.record, name="地域")
        [again, edited, second] = scene.store.register([scene.record, changed, other])
        assert again == scene.ref
        assert edited.pass_id == scene.ref.pass_id
        assert edited.recipe_id != scene.ref.recipe_id
        assert second.pass_id != scene.ref.pass_id
        assert second.recipe_id == scene.ref.recipe_id
        assert scene.store.passes("tenants") == {"nationality": scene.ref.pass_id, "地域": second.pass_id}
        assert scene.store.passes("unknown") == {}
        assert scene.store.recipe(scene.ref.recipe_id) == RECIPE
        assert scene.store.recipes(scene.ref.pass_id) == {scene.ref.recipe_id: RECIPE, edited.recipe_id: RECIPE + " "}
        assert scene.store.recipes(second.pass_id) == {scene.ref.recipe_id: RECIPE}
        assert scene.store.recipes(999) == {}
        refused(lambda: scene.store.recipe(999))
        refused(lambda: scene.store.register([replace(scene.record, recipe="{}")]))

    def test_a_run_shares_the_budget_of_one_that_stopped_or_died(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        first = scene.begin("a")
        assert (first.budget_run, first.outcome, first.ended_at) == (first.run_id, "", None)
        scene.store.end_run(first.run_id, outcome="stopped: budget", summary={"done": 1})
        second = scene.begin("b")
        assert second.budget_run == first.run_id
        dead.add("b")
        third = scene.begin("c")
        assert third.budget_run == first.run_id
        assert scene.store.runs("tenants")[1].outcome == "stopped: lost"
        scene.store.end_run(third.run_id, outcome="done", summary={"行": [1, 2]})
        fourth = scene.begin("d")
        assert fourth.budget_run == fourth.run_id
        assert scene.begin("e", fresh_budget=True).budget_run != fourth.run_id
        latest = scene.store.runs("tenants", limit=3)
        assert [run.run_id for run in latest] == [fourth.run_id + 1, fourth.run_id, third.run_id]
        assert latest[2].summary == {"行": [1, 2]}
        assert latest[2].outcome == "done"
        assert scene.store.runs("other") == []
        refused(lambda: scene.store.end_run(999, outcome="done", summary={}))

    # claims

    def test_an_address_is_asked_once(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        a, b = scene.begin("a"), scene.begin("b")
        [claimed] = scene.claim(a, "田中")
        assert scene.claim(b, "田中") == [Held("a")]
        assert scene.claim(a, "田中", fresh=True) == [Held("a")]
        number = scene.settle(a, claimed.attempt_id, "1", "田中", "日本")
        [known] = scene.claim(b, "田中")
        assert isinstance(known, Known)
        assert known.answer.answer_id == number
        assert known.answer.fingerprint == scene.address("田中")
        assert known.answer.run_id == a.run_id
        assert known.answer.created_at == scene.clock.now
        assert scene.store.answer_input(known.answer.answer_id) == scene.input("田中")
        assert kinds(scene.claim(b, "田中", fresh=True)) == ["Claimed"]

    def test_only_an_answer_young_enough_makes_a_claim_unnecessary(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        [claimed] = scene.claim(run, "田中")
        scene.settle(run, claimed.attempt_id, "1", "田中", "日本")
        given = scene.clock.now
        scene.clock.now += 100.0
        wish = Claim(scene.address("田中"), scene.ref.pass_id, 0, given)
        assert kinds(scene.store.claim([wish], run=run, budget=None)) == ["Known"]
        later = Claim(scene.address("田中"), scene.ref.pass_id, 0, given + 1.0)
        assert kinds(scene.store.claim([later], run=run, budget=None)) == ["Claimed"]

    def test_one_address_twice_in_a_call_is_an_error(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        refused(lambda: scene.claim(run, "x", "y", "x"))
        assert kinds(scene.claim(run, "x", "y")) == ["Claimed", "Claimed"]
        assert scene.money(run) == (0, 200)

    def test_only_whole_answers_are_known_and_the_newest_of_them(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        raw = "Entschuldigung, 無理です".encode()
        for state in (CellState.FAILED, CellState.PARTIAL):
            [claimed] = scene.claim(run, "x")
            answer = scene.answer("x", None, state, error_kind="refused", error_message="無理", raw=raw)
            [number] = scene.store.commit(
                [Settlement(claimed.attempt_id, "refused", 10, answer=answer, cells=(scene.cell("1", "x", state),))],
                run=run,
            )
            assert number is not None
            assert scene.store.find_answers([scene.address("x")]) == {}
            assert scene.store.answer_raw(number) == raw
            kept = scene.read("1").answer
            assert kept is not None
            assert (kept.state, kept.error_kind, kept.error_message) == (state, "refused", "無理")
        first, second = scene.ask(run, "1", "x", "日本"), scene.ask(run, "1", "x", "中国")
        found = scene.store.find_answers([scene.address("x"), scene.address("y"), scene.address("x")])
        assert {answer.answer_id for answer in found.values()} == {second}
        assert set(scene.store.answers([first, second, 999])) == {first, second}
        assert scene.store.answer_raw(first) is None
        refused(lambda: scene.store.answer_input(999))

    def test_threads_never_lease_an_address_twice_nor_pass_the_cap(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        runs = [scene.begin(f"runner {number}") for number in range(4)]
        runs = [replace(run, budget_run=runs[0].run_id) for run in runs]
        won: list[str] = []
        lock = threading.Lock()

        def work(run: RunRecord) -> None:
            for text in map(str, range(30)):
                for result in scene.claim(run, text, budget=Budget(2000)):
                    if isinstance(result, Claimed):
                        with lock:
                            won.append(text)

        threads = [threading.Thread(target=work, args=(run,)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == len(set(won)) == 20
        assert scene.store.spending(runs[0], "total").reserved_nusd == 2000

    # money

    def test_the_cap_counts_what_is_spent_and_what_is_reserved(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run, budget = scene.begin(), Budget(250)
        scene.ask(run, "0", "known", cost=0)
        results = scene.claim(run, "a", "b", "c", "known", "d", budget=budget)
        assert kinds(results) == ["Claimed", "Claimed", "Unaffordable", "Known", "Unaffordable"]
        assert results[2] == results[4] == Unaffordable(0, 200)
        scene.settle(run, results[0].attempt_id, "1", "a", "日本", cost=40)
        assert scene.money(run) == (40, 100)
        assert kinds(scene.claim(run, "c", budget=budget, reserve=111)) == ["Unaffordable"]
        [exact] = scene.claim(run, "c", budget=budget, reserve=110)
        scene.store.release([results[1].attempt_id, exact.attempt_id])
        assert scene.money(run) == (40, 0)
        assert kinds(scene.claim(run, "b", "c", budget=None, reserve=10**15)) == ["Claimed", "Claimed"]
        assert kinds(scene.claim(run, "e", budget=budget, reserve=0)) == ["Unaffordable"]
        refused(lambda: scene.claim(run, "f", budget=Budget(1, per="week")))

    def test_a_try_is_extended_on_the_same_lease(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run, other, budget = scene.begin("a"), scene.begin("b"), Budget(250)
        [first] = scene.claim(run, "x", budget=budget)
        second = scene.store.extend(first.attempt_id, outcome="timeout", cost_nusd=100, run=run, budget=budget)
        assert second not in (None, first.attempt_id)
        assert scene.money(run) == (100, 100)
        assert scene.claim(other, "x") == [Held("a")]
        assert second is not None
        assert scene.store.extend(second, outcome="timeout", cost_nusd=100, run=run, budget=budget) is None
        assert scene.money(run) == (200, 0)
        assert kinds(scene.claim(other, "x")) == ["Claimed"]
        refused(lambda: scene.store.extend(999, outcome="timeout", cost_nusd=0, run=run, budget=None))

    def test_money_stays_in_the_day_and_month_of_its_reservation(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        [claimed] = scene.claim(run, "x", budget=Budget(100, per="day"))
        assert scene.money(run, "day") == scene.money(run, "month") == (0, 100)
        scene.clock.now += 86_400
        assert scene.money(run, "day") == (0, 0)
        scene.settle(run, claimed.attempt_id, "1", "x", "日本", cost=70)
        assert scene.money(run, "day") == (0, 0)
        assert scene.money(run, "month") == scene.money(run, "total") == scene.money(run) == (70, 0)
        assert kinds(scene.claim(run, "y", budget=Budget(100, per="day"))) == ["Claimed"]
        assert kinds(scene.claim(run, "z", budget=Budget(100, per="month"))) == ["Unaffordable"]
        scene.clock.now += 20 * 86_400
        assert scene.money(run, "month") == (0, 0)
        assert scene.money(run, "total") == (70, 100)

    # runners that die

    def test_a_dead_runner_is_replaced_and_its_attempt_counts_in_full(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        a, b = scene.begin("a"), scene.begin("b")
        [lost] = scene.claim(a, "x", reserve=100)
        dead.add("a")
        assert kinds(scene.claim(b, "x", reserve=30)) == ["Claimed"]
        assert scene.money(a) == (100, 30)
        assert scene.claim(a, "x") == [Held("b")]
        # The late answer was paid for: it is kept, and the books learn the truth.
        assert scene.settle(a, lost.attempt_id, "1", "x", "日本", cost=60) is not None
        assert scene.money(a) == (60, 30)
        assert kinds(scene.claim(b, "x")) == ["Known"]

    def test_a_silent_heartbeat_is_death_and_a_fresh_one_is_life(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        a, b = scene.begin("a"), scene.begin("b")
        scene.claim(a, "x", "y")
        scene.clock.now += 50
        scene.store.heartbeat("a")
        scene.clock.now += 50
        assert scene.claim(b, "x") == [Held("a")]
        scene.clock.now += 11
        assert kinds(scene.claim(b, "x")) == ["Claimed"]
        assert kinds(scene.claim(b, "y")) == ["Claimed"]

    def test_after_a_takeover_nothing_is_leased_twice(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        a, b = scene.begin("a"), scene.begin("b")
        [first, unsent] = scene.claim(a, "x", "y")
        dead.add("a")
        [taken] = scene.claim(b, "x")
        following = scene.store.extend(first.attempt_id, outcome="timeout", cost_nusd=90, run=a, budget=None)
        assert following is not None
        assert scene.money(b) == (190, 200)
        scene.store.release([unsent.attempt_id])
        assert scene.money(b) == (90, 200)
        scene.settle(a, following, "1", "x", "日本", cost=80)
        assert scene.claim(b, "x", fresh=True) == [Held("b")]
        scene.settle(b, taken.attempt_id, "1", "x", "日本", cost=70)
        assert scene.money(b) == (240, 0)

    def test_beginning_a_run_buries_the_dead_and_ending_one_frees_its_leases(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        a = scene.begin("a")
        scene.claim(a, "x")
        dead.add("a")
        b = scene.begin("b")
        assert scene.money(b) == (100, 0)
        scene.claim(b, "x", "y")
        scene.store.end_run(b.run_id, outcome="stopped: interrupted", summary={})
        assert scene.money(b) == (300, 0)
        c = scene.begin("c")
        assert kinds(scene.claim(c, "x", "y")) == ["Claimed", "Claimed"]
        assert [line["outcome"] for line in scene.store.ledger("tenants")] == ["lost", "lost"]
