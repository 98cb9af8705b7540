"""The part of the store contract that is about people's corrections and single attempts: see
`inlay.testing.store_contract`."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from inlay.testing.store_scene import Scene, StoreOpening, refused
from inlay.types import Attempt, Correction, NullReason, Settlement, Usage

# Values of every JSON kind, as answers have them too.
VALUES: tuple[Any, ...] = (
    '日本\u200f👩‍👩‍👧‍👦\n"quoted"',
    "",
    0,
    -(2**63),
    0.1,
    True,
    False,
    [],
    ["東京", 1, 2.5, None, [True]],
    {"名": "محمد", "nested": {"a": [1]}, "": None},
)
UNFIT: tuple[Any, ...] = (math.nan, [math.inf], (1, 2), {1: "x"}, 2**70, b"x", "half \ud83d", dt.date(2026, 1, 2))


class CorrectionsContract(StoreOpening):
    """What a correction means, and what the ledger tells of one address."""

    def test_of_several_corrections_of_a_field_the_last_one_counts(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        store, began = scene.store, scene.clock.now
        first = Correction("nationality", "1", "nationality", "日本", note="通帳で確認", author="花子")
        other = Correction("nationality", "2", "nationality", None, NullReason.AMBIGUOUS)
        store.correct("tenants", [first, other])
        scene.clock.now += 10
        second = Correction("nationality", "1", "nationality", "中国", at=5.0)
        store.correct("tenants", [second])
        second, was = replace(second, at=began + 10), [replace(first, at=began), replace(other, at=began)]
        assert store.corrections("tenants") == [was[1], second]
        assert store.corrections("tenants", history=True) == [*was, second]
        assert store.corrections("tenants", keys=["1"]) == [second]
        assert store.corrections("tenants", keys=["1"], history=True) == [was[0], second]
        twice = [replace(first, value="a"), replace(first, value="b")]
        store.correct("tenants", twice)
        assert [one.value for one in store.corrections("tenants", keys=["1"])] == ["b"]
        scene.clock.now -= 1000  # a clock that is set back does not bring an earlier one back
        store.correct("tenants", [replace(first, value="c")])
        assert [one.value for one in store.corrections("tenants")] == [None, "c"]
        assert store.verify() == []

    def test_corrections_of_other_fields_passes_rows_and_enrichments_stay_apart(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        places = [(p, k, f) for p in ("a", "名 前") for k in ("1", "'1'") for f in ("x", "x y")]
        given = [Correction(*place, value=number) for number, place in enumerate(places)]
        scene.store.correct("tenants", given)
        scene.store.correct("他", [replace(one, value="other") for one in given[:1]])
        assert [one.value for one in scene.store.corrections("tenants")] == list(range(8))
        assert [one.value for one in scene.store.corrections("tenants", keys=["'1'"])] == [2, 3, 6, 7]
        assert [one.value for one in scene.store.corrections("他")] == ["other"]
        assert scene.store.corrections("nobody") == scene.store.corrections("nobody", keys=["1"], history=True) == []

    def test_a_withdrawn_correction_is_history(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        given = Correction("nationality", "1", "nationality", "日本")
        back = replace(given, value=None, withdrawn=True, note="間違い")
        scene.store.correct("tenants", [given, replace(given, key="2")])
        scene.store.correct("tenants", [back])
        assert [one.key for one in scene.store.corrections("tenants")] == ["2"]
        assert scene.store.corrections("tenants", keys=["1"]) == []
        now = scene.clock.now
        assert scene.store.corrections("tenants", keys=["1"], history=True) == [
            replace(given, at=now),
            replace(back, at=now),
        ]
        scene.store.correct("tenants", [replace(given, value="中国")])
        assert [one.value for one in scene.store.corrections("tenants", keys=["1"])] == ["中国"]

    def test_every_json_value_and_reason_comes_back_as_it_was(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        given = [Correction("p", str(number), "f", value) for number, value in enumerate(VALUES)]
        given += [Correction("p", reason.value, "f", None, reason) for reason in NullReason]
        scene.store.correct("tenants", given)
        found = scene.store.corrections("tenants")
        assert [(one.key, one.value, one.null_reason) for one in found] == [
            (one.key, one.value, one.null_reason) for one in given
        ]
        assert [type(one.value) for one in found] == [type(one.value) for one in given]
        found[8].value.append("changed by whoever holds it")
        assert scene.store.corrections("tenants", keys=["8"])[0].value == VALUES[8]
        assert scene.store.verify() == []

    def test_what_is_no_plain_json_is_refused_and_nothing_is_kept(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        good = Correction("p", "1", "f", "x")
        for value in UNFIT:
            bad = replace(good, key="行", value=value)
            error = refused(lambda bad=bad: scene.store.correct("tenants", [good, bad]))
            assert "'行'" in error.message
        assert scene.store.corrections("tenants", history=True) == []

    def test_a_value_has_no_reason_and_a_null_has_one(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        good = Correction("p", "1", "f", "x")
        refused(lambda: scene.store.correct("tenants", [good, replace(good, value=None)]))
        refused(lambda: scene.store.correct("tenants", [replace(good, null_reason=NullReason.INVALID), good]))
        assert scene.store.corrections("tenants", history=True) == []
        scene.store.correct("tenants", [])
        assert scene.store.stats()["corrections"] == 0

    def test_rows_are_corrected_in_every_script_and_number(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        many = [str(number) for number in range(2500)]
        given = [Correction(key, key, key, key, note=key, author=key) for key in (*self.keys, *many) if key != "1"]
        scene.store.correct(self.keys[1], given)
        now = scene.clock.now
        expected = [replace(one, at=now) for one in given]
        assert scene.store.corrections(self.keys[1]) == expected
        assert (
            scene.store.corrections(self.keys[1], keys=[*reversed(many), *self.keys, *self.keys, "not there"])
            == expected
        )
        assert scene.store.corrections(self.keys[1], keys=[]) == []
        assert scene.store.verify() == []

    def test_corrections_outlive_clearing_and_pruning(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "1", "x")
        given = Correction("nationality", "1", "nationality", "中国")
        scene.store.correct("tenants", [replace(given, value="韓国"), given])
        scene.store.clear(enrichment="tenants", keys=["1"])
        scene.store.clear(enrichment="tenants")
        scene.store.prune(enrichment="tenants")
        assert scene.store.corrections("tenants") == [replace(given, at=scene.clock.now)]
        assert len(scene.store.corrections("tenants", history=True)) == scene.store.stats()["corrections"] == 2
        assert scene.store.verify() == []

    # attempts

    def test_attempts_tell_what_was_paid_for_an_address(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        opened = scene.clock.now
        [first, other] = scene.claim(run, "x", "y")
        scene.clock.now += 2
        second = scene.store.extend(first.attempt_id, outcome="timeout", cost_nusd=100, run=run, budget=None)
        assert second is not None
        scene.clock.now += 3
        assert self.attempts(scene, "x") == [
            Attempt(
                first.attempt_id,
                scene.address("x"),
                run.run_id,
                opened,
                opened + 2,
                "timeout",
                100,
                False,
                Usage(),
                "",
                None,
                None,
            )
        ]
        answer = scene.answer("x", "日本", usage=Usage(10, 2, 3, 4, 5), latency_ms=700)
        settled = Settlement(second, cost_nusd=60, usage=answer.usage, estimated=True, answer=answer)
        [number] = scene.store.commit([settled], run=run)
        [_, last] = self.attempts(scene, "x")
        assert last == Attempt(
            second,
            scene.address("x"),
            run.run_id,
            opened + 2,
            opened + 5,
            "answered",
            60,
            True,
            Usage(10, 2, 3, 4, 5),
            "sim-1",
            700,
            number,
        )
        assert self.attempts(scene, "y") == []  # still open
        scene.store.end_run(run.run_id, outcome="done", summary={})
        [lost] = self.attempts(scene, "y")
        assert (lost.attempt_id, lost.outcome, lost.cost_nusd, lost.estimated) == (other.attempt_id, "lost", 100, True)

    @staticmethod
    def attempts(scene: Scene, *texts: str) -> list[Attempt]:
        """The attempts for the answers of some texts."""
        return scene.store.attempts([scene.address(text) for text in texts])

    def test_attempts_are_of_these_very_addresses_and_in_order(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        for number in range(30):
            scene.clock.now += 1
            scene.ask(run, str(number), str(number % 15))
        found = self.attempts(scene, *(str(number) for number in range(14, 4, -1)), "5", "unknown")
        wanted = {scene.address(str(number)) for number in range(5, 15)}
        assert {attempt.fingerprint for attempt in found} == wanted
        assert len(found) == 20
        times = [attempt.opened_at for attempt in found]
        assert times == sorted(times)
        assert scene.store.attempts([]) == scene.store.attempts([scene.address("1")[:8], b""]) == []

    def test_what_was_pruned_into_sums_or_released_is_no_attempt_any_more(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run = scene.begin()
        scene.ask(run, "1", "x", "古い")
        latest = scene.ask(run, "1", "x", "最新")
        [claimed] = scene.claim(run, "y")
        scene.store.release([claimed.attempt_id])
        assert self.attempts(scene, "y") == []
        assert len(self.attempts(scene, "x")) == 2
        scene.store.prune(enrichment="tenants")
        assert [attempt.answer_id for attempt in self.attempts(scene, "x")] == [latest]
