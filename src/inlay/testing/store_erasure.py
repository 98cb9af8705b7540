"""The part of the store contract about history told in order, and about rows that are forgotten for good: see
`inlay.testing.store_contract`."""

from __future__ import annotations

from pathlib import Path

from inlay.batches import BatchLine, LineCell, custom_id
from inlay.fingerprint import short_hash
from inlay.testing.store_batches import ONE, BatchesContract
from inlay.testing.store_scene import Scene, kinds
from inlay.types import CellState, Correction, NewAnswer, Settlement

NOTHING = {"cells": 0, "history": 0, "corrections": 0, "answers": 0, "batch_lines": 0, "attempts": 0}


class ErasureContract(BatchesContract):
    """What `events` tells, and what `forget` takes."""

    def test_the_history_of_a_pass_is_told_from_any_line_on(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        other = Scene(scene.store, scene.clock, name="other")
        run = scene.begin()
        assert scene.store.events(scene.ref.pass_id) == []
        for key, text in (("b", "x"), ("a", "y"), ("b", "z")):
            scene.ask(run, key, text)
            scene.store.commit([Settlement(cells=(other.cell(key, text, CellState.SKIPPED),))], run=run)
        told = scene.store.events(scene.ref.pass_id)
        assert [key for key, _ in told] == ["b", "a", "b"]
        assert [event for key, event in told if key == "b"] == scene.store.history(scene.ref.pass_id, "b")
        first, second, third = told
        assert scene.store.events(scene.ref.pass_id, limit=2) == [first, second]
        assert scene.store.events(scene.ref.pass_id, after=second[1].seq, limit=2) == [third]
        assert scene.store.events(scene.ref.pass_id, after=third[1].seq) == []
        assert len(scene.store.events(other.ref.pass_id)) == 3

    def test_a_row_that_is_forgotten_takes_all_of_its_answers_along(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        numbers = [scene.ask(run, "1", text) for text in ("旧姓", "改姓", "改姓")]
        scene.ask(run, "2", "other")
        said = [Correction("nationality", key, "nationality", "日本") for key in ("1", "1", "2")]
        scene.store.correct("tenants", [*said, Correction("nationality", "1", "nationality", None, withdrawn=True)])
        money, ledger = scene.money(run), scene.store.ledger("tenants")
        gone = {"cells": 1, "history": 3, "corrections": 3, "answers": 3, "batch_lines": 0, "attempts": 3}
        assert scene.store.forget("other", ["1"]) == NOTHING
        assert scene.store.forget("tenants", ["1", "1", "not there"]) == gone
        assert scene.store.forget("tenants", ["1"]) == NOTHING
        assert scene.store.forget("tenants", []) == NOTHING
        assert scene.store.answers(numbers) == {}
        assert set(scene.store.read_cells(scene.ref.pass_id, ["1", "2"])) == {"2"}
        assert scene.store.history(scene.ref.pass_id, "1") == []
        assert [correction.key for correction in scene.store.corrections("tenants", history=True)] == ["2"]
        assert scene.store.attempts([scene.address("旧姓"), scene.address("改姓")]) == []
        assert len(scene.store.attempts([scene.address("other")])) == 1
        assert (scene.money(run), scene.store.ledger("tenants")) == (money, ledger)
        assert kinds(scene.claim(run, "旧姓", "改姓", "other")) == ["Claimed", "Claimed", "Known"]
        assert scene.store.verify() == []

    def test_what_another_row_refers_to_stays_with_that_row(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        other = Scene(scene.store, scene.clock, enrichment="other")
        run = scene.begin()
        shared = scene.ask(run, "1", "同名")
        scene.store.commit([Settlement(cells=(other.cell("1", "同名", answer_id=shared),))], run=run)
        assert scene.store.forget("tenants", ["1"]) == {**NOTHING, "cells": 1, "history": 1}
        assert other.read("1").answer is not None
        assert kinds(scene.claim(run, "同名")) == ["Known"]
        assert scene.store.forget("other", ["1"]) == {**NOTHING, "cells": 1, "history": 1, "answers": 1, "attempts": 1}
        assert kinds(scene.claim(run, "同名")) == ["Claimed"]
        assert scene.store.verify() == []

    def test_a_failed_answer_that_no_row_names_goes_along(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "1", "x")
        [claimed] = scene.claim(run, "new name")
        note = scene.cell("1", "new name", CellState.FAILED, reason="invalid_output", keep_answer=True)
        bad: NewAnswer = scene.answer("new name", None, CellState.FAILED, raw=b"new name?")
        [number] = scene.store.commit([Settlement(claimed.attempt_id, answer=bad, cells=(note,))], run=run)
        assert number is not None
        assert scene.store.forget("tenants", ["1"])["answers"] == 2
        assert scene.store.answers([number]) == {}
        assert scene.store.verify() == []

    def test_what_waits_in_a_batch_is_forgotten_and_counts_as_spent(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        claimed = scene.claim(run, "alone", "two of one name", "stays")
        rows = (("1",), ("2", "3"), ("4",))
        lines = [
            BatchLine(
                custom_id=custom_id(ONE, number),
                attempt_id=result.attempt_id,
                fingerprint=scene.address(text),
                pass_id=scene.ref.pass_id,
                recipe_id=scene.ref.recipe_id,
                input=scene.input(text),
                cells=tuple(LineCell(key, short_hash(text.encode())) for key in keys),
                reserve_nusd=100,
            )
            for number, (text, keys, result) in enumerate(
                zip(("alone", "two of one name", "stays"), rows, claimed, strict=True)
            )
        ]
        scene.store.journal.prepare(self.batch(scene, run, 3, ONE, "a"), lines, run=run)
        gone = scene.store.forget("tenants", ["1", "2"])
        assert gone == {**NOTHING, "batch_lines": 2, "attempts": 1}
        assert scene.money(run) == (100, 200)
        left = scene.store.journal.lines(ONE, [line.custom_id for line in lines])
        assert [[cell.key for cell in line.cells] for line in left.values()] == [["3"], ["4"]]
        assert scene.store.journal.waiting("tenants") == {scene.ref.pass_id: 2}
        late = [self.answered(scene, line, text) for line, text in zip(lines, ("alone", "b", "stays"), strict=True)]
        assert scene.store.journal.settle(ONE, [late[0], late[2]]) == [False, True]
        assert scene.store.forget("tenants", ["1"]) == NOTHING
        assert scene.store.verify() == []
