"""The part of the store contract that is about batches: see `inlay.testing.store_contract`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from inlay.batches import Batch, BatchLine, BatchState, LineCell, custom_id
from inlay.fingerprint import short_hash
from inlay.payload import encode_fields
from inlay.testing.store_scene import Scene, StoreOpening, refused
from inlay.types import CellState, Claimed, FieldAnswer, Held, Known, RunRecord, Settlement, Usage

ONE, TWO = "1" * 32, "2" * 32


class BatchesContract(StoreOpening):
    """What a batch holds, and what settling it means."""

    def prepared(
        self, scene: Scene, run: RunRecord, *texts: str, submission: str = ONE, account: str = "a", **more: Any
    ) -> list[BatchLine]:
        """Claim some texts and hand them to a batch; its lines."""
        claimed = scene.claim(run, *texts)
        assert all(isinstance(result, Claimed) for result in claimed)
        lines = [
            BatchLine(
                custom_id=custom_id(submission, number),
                attempt_id=result.attempt_id,
                fingerprint=scene.address(text),
                pass_id=scene.ref.pass_id,
                recipe_id=scene.ref.recipe_id,
                input=scene.input(text),
                cells=(LineCell(text, short_hash(text.encode())),),
                reserve_nusd=100,
            )
            for number, (text, result) in enumerate(zip(texts, claimed, strict=True))
        ]
        scene.store.journal.prepare(self.batch(scene, run, len(lines), submission, account), lines, run=run)
        return lines

    def batch(self, scene: Scene, run: RunRecord, requests: int, submission: str, account: str) -> Batch:
        """A batch of this enrichment."""
        return Batch(
            submission=submission,
            enrichment=scene.record.enrichment,
            run_id=run.run_id,
            provider="openai",
            model="gpt-6-luna",
            wire="",
            endpoint="https://api.example",
            region="",
            url="/v1/chat/completions",
            account=account,
            requests=requests,
            size=10,
            sha256="00",
            rates={"1": {"batch": None}},
            details={"file": "日本"},
        )

    def answered(self, scene: Scene, line: BatchLine, text: str, cost: int = 30) -> tuple[str, Settlement]:
        """A line's answer."""
        answer = scene.answer(text, "日本", usage=Usage(10, 2), cost_nusd=cost)
        return line.custom_id, Settlement(
            line.attempt_id,
            cost_nusd=cost,
            usage=Usage(10, 2),
            answer=answer,
            cells=(scene.cell(text, text),),
            mode="batch",
        )

    def test_a_batch_and_its_lines_come_back_as_they_were_given(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        texts = [key or "∅" for key in self.keys]
        [result, *_] = scene.claim(run, "語")
        whole = BatchLine(
            custom_id=custom_id(ONE, 0),
            attempt_id=result.attempt_id,
            fingerprint=scene.address("語"),
            pass_id=scene.ref.pass_id,
            recipe_id=scene.ref.recipe_id,
            input=b"\x00" * 5000,
            cells=tuple(LineCell(key, short_hash(key.encode()), b"\xff" * 16, 2, True) for key in texts),
            names=("nationality",),
            known=encode_fields({"x": FieldAnswer("日本")}),
            repair=1,
            reserve_nusd=100,
            cost_nusd=7,
        )
        batch = self.batch(scene, run, 1, ONE, "a")
        journal = scene.store.journal
        journal.prepare(batch, [whole], run=run)
        assert journal.lines(ONE, [whole.custom_id, "other"]) == {whole.custom_id: whole}
        assert journal.batch(ONE) == replace(batch, state=BatchState.PREPARED, made_at=scene.clock.now)
        assert journal.batch(TWO) is None
        assert journal.left(ONE) == 1
        assert journal.some(ONE, 5) == [whole.custom_id]
        assert journal.waiting("tenants") == {scene.ref.pass_id: len(texts)}
        assert journal.waiting("others") == {}
        assert scene.store.verify() == []
        assert scene.store.stats()["batches"] == 1

    def test_a_batch_keeps_its_leases_whatever_ends(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        run = scene.begin("a")
        self.prepared(scene, run, "x", "y")
        scene.store.end_run(run.run_id, outcome="stopped: waiting", summary={})
        scene.clock.now += 100_000
        dead.add("a")
        later = scene.begin("b")
        assert [result.runner for result in scene.claim(later, "x", "y") if isinstance(result, Held)] == [
            f"batch:{ONE}"
        ] * 2
        assert scene.money(later) == (0, 200)
        assert scene.store.verify() == []

    def test_only_what_is_ones_own_goes_into_a_batch(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        first = scene.begin("a")
        [mine] = scene.claim(first, "x")
        dead.add("a")
        scene.begin("b")
        line = BatchLine(custom_id(ONE, 0), mine.attempt_id, scene.address("x"), 1, 1, scene.input("x"), ())
        refused(lambda: scene.store.journal.prepare(self.batch(scene, first, 1, ONE, "a"), [line], run=first))
        assert scene.store.journal.batch(ONE) is None
        assert scene.store.journal.left(ONE) == 0

    def test_a_line_is_settled_once(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        x, y = self.prepared(scene, run, "x", "y")
        journal = scene.store.journal
        given = self.answered(scene, x, "x")
        assert journal.settle(ONE, [given, given, ("foreign", given[1])]) == [True, False, False]
        assert journal.settle(ONE, [given]) == [False]
        assert journal.left(ONE) == 1
        assert scene.read("x").state is CellState.DONE
        assert scene.money(run) == (30, 100)
        assert len(scene.store.attempts([scene.address("x")])) == 1
        [known] = scene.claim(run, "x")
        assert isinstance(known, Known)
        assert known.answer.run_id == run.run_id
        assert journal.settle(ONE, [self.answered(scene, y, "y")]) == [True]
        assert scene.money(run) == (60, 0)
        assert scene.store.verify() == []

    def test_what_a_batch_costs_belongs_to_the_run_that_made_it(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        [line] = self.prepared(scene, run, "x")
        scene.store.end_run(run.run_id, outcome="done", summary={})
        later = scene.begin("b")
        scene.store.journal.settle(ONE, [self.answered(scene, line, "x")])
        assert scene.money(later) == (0, 0)
        assert scene.store.ledger("tenants", run_id=run.run_id)[0]["cost_nusd"] == 30

    def test_a_cell_that_has_changed_since_is_left_alone(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        [line] = self.prepared(scene, run, "x")
        scene.clock.now += 10
        scene.settle(run, None, "x", "newer", "韓国")
        assert scene.store.journal.settle(ONE, [self.answered(scene, line, "x")]) == [True]
        stored = scene.read("x").answer
        assert stored is not None
        assert stored.fingerprint == scene.address("newer")
        assert isinstance(scene.claim(run, "x")[0], Known)  # it was paid for, and is there for whoever asks the same

    def test_lines_that_never_ran_are_given_back(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        x, y, _ = self.prepared(scene, run, "x", "y", "z")
        journal = scene.store.journal
        assert journal.give_back(ONE, [x.custom_id, "foreign"]) == 1
        assert journal.give_back(ONE, [x.custom_id]) == 0
        assert scene.money(run) == (0, 200)
        assert isinstance(scene.claim(run, "x")[0], Claimed)
        journal.settle(ONE, [self.answered(scene, y, "y")])
        assert journal.give_back(ONE) == 1
        assert journal.left(ONE) == 0
        assert scene.store.verify() == []

    def test_a_batch_that_was_never_made_gives_all_back(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        for submission, state in ((ONE, BatchState.ABSENT), (TWO, BatchState.FAILED)):
            self.prepared(scene, run, "x", "y", submission=submission)
            moved = scene.store.journal.move(submission, state, message="断られた")
            assert moved is not None
            assert (moved.state, moved.message, moved.is_open) == (state, "断られた", False)
            assert scene.money(run) == (0, 0)
        assert scene.store.journal.batches("tenants") == []
        assert len(scene.store.journal.batches("tenants", closed=True)) == 2
        assert scene.store.stats()["leases"] == 0
        assert scene.store.verify() == []

    def test_states_and_facts_are_kept(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        self.prepared(scene, run, "x")
        journal = scene.store.journal
        journal.move(ONE, BatchState.UPLOADED, details={"input_file": "f"})
        moved = journal.move(ONE, BatchState.SUBMITTED, remote_id="b1", remote_state="läuft", done=3, errors=1)
        assert moved == journal.batch(ONE)
        assert moved is not None
        assert (moved.remote_id, moved.remote_state, moved.done, moved.errors) == ("b1", "läuft", 3, 1)
        assert moved.details == {"input_file": "f"}
        refused(lambda: journal.move(TWO, BatchState.ENDED))

    def test_one_order_of_an_account_at_a_time(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin("a")
        self.prepared(scene, run, "x")
        self.prepared(scene, run, "y", submission=TWO)
        self.prepared(scene, run, "z", submission="3" * 32, account="another")
        journal = scene.store.journal
        assert journal.move(ONE, BatchState.SUBMITTING, alone=True) is not None
        assert journal.move(TWO, BatchState.SUBMITTING, alone=True) is None
        assert journal.move("3" * 32, BatchState.SUBMITTING, alone=True) is not None
        two = journal.batch(TWO)
        assert two is not None
        assert two.state is BatchState.PREPARED
        journal.move(ONE, BatchState.SUBMITTED)
        assert journal.move(TWO, BatchState.SUBMITTING, alone=True) is not None

    def test_one_runner_at_a_time_works_on_a_batch(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        run = scene.begin("a")
        self.prepared(scene, run, "x")
        journal = scene.store.journal
        taken = journal.take(ONE, "a")
        assert taken is not None
        assert taken.driver == "a"
        assert journal.take(ONE, "a") is not None
        assert journal.take(ONE, "b") is None
        dead.add("a")
        assert journal.take(ONE, "b") is not None
        journal.let_go("b")
        assert journal.take(ONE, "c") is not None
        scene.clock.now += 3600
        assert journal.take(ONE, "d") is not None
        assert journal.take(TWO, "d") is None
