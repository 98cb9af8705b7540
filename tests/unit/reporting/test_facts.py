"""The facts of a report against the published table, the store and the simulator's ledger."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import inlay
from inlay import errors, project
from inlay.project.session import Session
from inlay.reporting.columns import FieldColumns, PassColumns, errors_of, traits_of
from inlay.reporting.facts import PARTS, Facts, Field
from inlay.reporting.remedies import OTHERWISE, remedy
from inlay.reporting.tallies import Counter as FieldCounter
from inlay.reporting.tallies import Tallies
from inlay.spec.fields import FieldSpec
from inlay.spec.model import PassSpec
from inlay.testing import Simulator
from inlay.types import Correction

if TYPE_CHECKING:
    from .conftest import Place

COLUMN = "guest's text"


def field(facts: Facts, column: str) -> Field:
    return next(found for part in facts.passes for found in part.fields if found.column == column)


def adds_up(facts: Facts) -> None:
    """Every row once in every line."""
    for part in facts.passes:
        assert sum(part.states.values()) == facts.totals.rows, part.name
        for found in part.fields:
            assert sum(found.parts.values()) == facts.totals.rows, found.column
            assert set(found.parts) == set(PARTS)
            assert sum(found.sources.values()) == found.parts["value"]
            assert sum(found.reasons.values()) == facts.totals.rows - found.parts["value"]


def test_counts_are_those_of_the_published_table(place: Place) -> None:
    place.run()
    facts, table = place.facts(), place.table()
    adds_up(facts)
    for name in ("mood", "stars", "price", "day", "at", "nice", "tags", "note", "place"):
        there = [row[f"rv_{name}"] for row in table if row[f"rv_{name}"] is not None]
        assert field(facts, f"rv_{name}").parts["value"] == len(there) > 0, name
    mood = field(facts, "rv_mood").distributions[0]
    expected = Counter(row["rv_mood"] for row in table if row["rv_mood"] is not None)
    assert {bar.text: bar.count for bar in mood.bars} == expected
    assert [bar.count for bar in mood.bars] == sorted(expected.values(), reverse=True)
    price = field(facts, "rv_price").distributions[0]
    prices = [row["rv_price"] for row in table if row["rv_price"] is not None]
    assert (price.low, price.high) == (min(prices), max(prices))
    assert price.mean == pytest.approx(sum(prices) / len(prices))
    assert sum(bar.count for bar in price.bars) + price.others == len(prices)
    stars = field(facts, "rv_stars").distributions[0]
    assert {bar.low: bar.count for bar in stars.bars if bar.count} == Counter(
        row["rv_stars"] for row in table if row["rv_stars"] is not None
    )
    tags = field(facts, "rv_tags").distributions
    items = Counter(tag for row in table for tag in row["rv_tags"] or ())
    assert tags[0].counted == sum(items.values())
    assert {bar.text: bar.count for bar in tags[0].bars}.items() <= items.items()
    assert tags[1].kind == "lengths"
    note = field(facts, "rv_note").distributions[0]
    assert note.high == max(len(row["rv_note"]) for row in table if row["rv_note"] is not None)
    day = field(facts, "rv_day").distributions[0]
    days = [row["rv_day"] for row in table if row["rv_day"] is not None]
    assert (day.first, day.last) == (min(days), max(days))
    assert sum(bar.count for bar in day.bars) == len(days)
    assert [one.label for one in field(facts, "rv_place").distributions] == ["city", "far"]


def test_what_the_declaration_leaves_out_of_the_table_is_counted_all_the_same(place: Place) -> None:
    place.run()
    facts = place.facts()
    assert "rv_mood_confidence" not in place.table()[0]
    mood = field(facts, "rv_mood")
    assert mood.confidence is not None
    assert mood.confidence.counted == sum(mood.confidence.bins) == mood.parts["value"]
    assert mood.evidence_found + mood.evidence_missed > 0
    assert set(mood.reasons) <= {"not_stated", "ambiguous", "not_applicable"}
    assert sum(mood.reasons.values()) > 0


def test_rows_that_were_not_reached_not_selected_or_edited_are_told_apart(place: Place) -> None:
    place.declare(select={"where": "id <> 'r00'"})
    place.run(limit=10)
    texts = [(f"r{index:02}", f"row {index}{' edited' if index == 1 else ''}") for index in range(24)]
    place.rows(texts)
    place.run(limit=10)
    place.rows([(key, text + (" again" if key == "r05" else "")) for key, text in texts])
    facts = place.facts()
    adds_up(facts)
    states = facts.passes[0].states
    assert states["not_selected"] == 1
    assert states["input_changed"] == 1
    assert states["done"] + states["pending"] == 22
    assert facts.totals.selected_rows == 23
    assert field(facts, "rv_mood").parts["waiting"] == states["pending"] + 1


def test_before_any_run_everything_is_pending(place: Place) -> None:
    facts = place.facts()
    adds_up(facts)
    assert facts.passes[0].states == {"pending": 24}
    assert (facts.runs, facts.samples, facts.changes, facts.failures) == ((), (), None, ())
    assert not (place.folder / ".inlay").exists(), "a report writes nothing into the store"


def test_money_and_tokens_are_those_of_the_ledger(place: Place, sim: Simulator) -> None:
    place.run(limit=8)
    place.run()
    facts = place.facts()
    assert facts.totals.calls == len(sim.ledger) == 48
    assert facts.totals.input_tokens == sum(run.input_tokens for run in facts.runs) > 0
    assert facts.totals.cost_usd == pytest.approx(sim.ledger.billed_nusd / 1e9)
    assert facts.totals.cost_usd == pytest.approx(sum(run.cost_usd for run in facts.runs))
    assert [run.run_id for run in facts.runs] == [2, 1]
    assert facts.totals.priced
    assert facts.passes[0].models == {"compatible:sim": 24}
    assert not facts.local


def test_failures_are_grouped_with_their_keys_and_a_remedy(place: Place, sim: Simulator) -> None:
    sim.control(faults=[{"fault": "refusal", "record": "Mediocre"}])
    place.run()
    facts = place.facts()
    adds_up(facts)
    assert facts.totals.failed_cells == 8
    by_pass = {failure.pass_name: failure for failure in facts.failures}
    assert (by_pass["read"].kind, by_pass["read"].state, by_pass["read"].count) == ("refused", "failed", 4)
    assert by_pass["read"].examples[0][0] == "r03"
    assert "declined" in by_pass["read"].examples[0][1]
    assert "reword" in by_pass["read"].remedy
    assert (by_pass["judge"].kind, by_pass["judge"].count) == ("upstream", 4)
    assert any("something failed" in sample.why for sample in facts.samples)


def test_every_kind_of_failure_has_a_remedy_of_its_own() -> None:
    def kinds(root: type[errors.InlayError]) -> set[str]:
        return {root.kind}.union(*(kinds(child) for child in root.__subclasses__()))

    for kind in kinds(errors.Transient) | kinds(errors.CellError) | kinds(errors.OutputInvalid) | {"upstream", "lost"}:
        assert remedy(kind) != OTHERWISE, kind
    assert remedy("of a later version") == OTHERWISE


def test_the_last_run_is_compared_with_what_stood_there(place: Place) -> None:
    place.run()
    before = {row["id"]: row for row in place.table()}
    place.rows([(f"r{index:02}", f"Another text ({index})") for index in range(8)])
    place.run()
    after = {row["id"]: row for row in place.table()}
    changes = place.facts().changes
    assert changes is not None
    assert (changes.run_id, changes.idle_runs) == (2, 0)
    assert changes.looked_at == changes.cells == changes.new + changes.changed + changes.same == 16
    assert changes.new == 0
    values = [f"rv_{name}" for name in ("mood", "stars", "price", "day", "at", "nice", "tags", "note", "place")]
    expected = Counter(name for key in after for name in values if before[key][name] != after[key][name])
    assert {name: count for name, count in changes.fields.items() if name.startswith("rv_")} == expected
    for change in changes.examples:
        if change.pass_name == "read" and change.field in ("mood", "stars"):
            old = before[change.key][f"rv_{change.field}"]
            assert change.before == ("" if old is None else str(old))
            assert bool(change.before_reason) == (old is None)


def test_a_first_run_is_all_new_and_later_idle_runs_are_counted(place: Place) -> None:
    place.run()
    place.run()
    changes = place.facts().changes
    assert changes is not None
    assert (changes.run_id, changes.idle_runs) == (1, 1)
    assert (changes.new, changes.changed, changes.same) == (48, 0, 0)


def test_an_edited_prompt_shows_as_stale(place: Place) -> None:
    place.run()
    declared = json.loads(place.declaration.read_text(encoding="utf-8"))
    declared["passes"][0]["prompt"] += " Be brief."
    place.declaration.write_text(json.dumps(declared), encoding="utf-8")
    assert [part.stale for part in place.facts().passes] == [24, 0]


def test_the_word_matcher_is_no_model_and_makes_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text("id,text\n1,good and clean\n2,bad\n", encoding="utf-8")
    spec = {
        "name": "words",
        "source": {"files": "t.csv", "key": "id"},
        "passes": [{"name": "p", "model": "lexical:1", "prompt": "{{ text }}", "fields": {"mood": "good|bad"}}],
    }
    (tmp_path / "inlay.yaml").write_text(json.dumps(spec), encoding="utf-8")
    inlay.run(tmp_path / "inlay.yaml")
    # Who answered is told by the answers, not by what `model: auto` would be now.
    spec["passes"][0]["model"] = "auto"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0000")
    (tmp_path / "inlay.yaml").write_text(json.dumps(spec), encoding="utf-8")
    facts = project.report_facts(tmp_path / "inlay.yaml")
    assert facts.local
    assert facts.passes[0].models == {"lexical:1": 2}
    assert (facts.totals.calls, facts.totals.cost_usd, facts.totals.done_cells) == (0, 0.0, 2)


def test_samples_are_the_same_every_time_and_show_the_quotes_where_they_stand(place: Place) -> None:
    place.run()
    first, second = place.facts(), place.facts()
    assert first.samples == second.samples
    assert len(first.samples) == 12 == len({sample.key for sample in first.samples})
    marked = 0
    for sample in first.samples:
        text = next(one for one in sample.texts if one.column == COLUMN)
        for value in sample.values:
            if value.mark is not None:
                quoted = "".join(piece.text for piece in text.pieces if value.mark in piece.marks)
                assert quoted.strip() == (value.evidence or "").strip()
                assert value.verified
                marked += 1
    assert marked > 10
    assert len(place.facts(samples=3).samples) == 3
    assert place.facts(samples=0).samples == ()


def test_keys_of_several_columns_read_like_a_list(place: Place, sim: Simulator) -> None:
    (place.folder / "reviews.csv").write_text(
        '\ufeffland "x",nr,guest\'s text\r\n' + "".join(f"日本,{n},とても静か {n}\r\n" for n in range(4)),
        encoding="utf-8",
    )
    place.declare(source={"files": "reviews.csv", "key": ['land "x"', "nr"]})
    sim.control(faults=[{"fault": "refusal", "record": "静か 2"}])
    place.run()
    facts = place.facts()
    assert {sample.key for sample in facts.samples} == {f'["日本", "{n}"]' for n in range(4)}
    assert facts.failures[0].examples[0][0] == '["日本", "2"]'
    assert all(sample.texts[0].pieces for sample in facts.samples)


def test_people_the_source_rules_models_and_defaults_are_told_apart(place: Place, sim: Simulator) -> None:
    (place.folder / "reviews.csv").write_text(
        "id,text,mood\n" + "".join(f"{n},text {n},{'own' if n < 2 else ''}\n" for n in range(10)), encoding="utf-8"
    )
    mood = {"type": "string", "original": "mood", "default": "その他", "confidence": True}
    read = {
        "name": "read",
        "prefix": "x_",
        "model": "compatible:sim",
        "endpoint": place.endpoint,
        "prompt": "{{ text }}",
        "rules": [{"when": "id IN ('2', '3', '4')", "set": {"mood": "ruled"}}],
        "fields": {"mood": mood},
    }
    place.declare(source={"files": "reviews.csv", "key": "id"}, passes=[read])
    sim.control(null_share=0)
    sim.control(table={"text 9": {"mood": {"value": None, "confidence": 0.2}, "nulls": []}})
    place.run()
    with Session(place.declaration) as session:
        session.store(write=True).correct("reviews", [Correction("read", "8", "mood", "said", author="me")])
    facts = place.facts()
    adds_up(facts)
    found = field(facts, "x_mood")
    assert found.sources == {"model:compatible:sim": 3, "rule": 3, "original": 2, "human": 1, "default": 1}
    assert facts.passes[0].models == {"compatible:sim": 3}
    assert found.confidence is not None
    assert found.confidence.counted == 3, "neither a default nor a person has the model's confidence"
    sample = next(one for one in facts.samples if "corrected by hand" in one.why)
    assert (sample.key, sample.values[0].value, sample.values[0].source) == ("8", "said", "human")
    page = project.report_html(place.declaration)
    for words in ("corrected by hand", "already in the source", "default of the declaration"):
        assert words in page


def test_a_column_of_sources_is_counted_where_the_table_has_one() -> None:
    spec = PassSpec(name="p", prompt="{{ t }}", inputs=("t",), fields={"mood": FieldSpec()})
    batch = pa.record_batch(
        {
            "mood": pa.array(["a", "b", "b", None]),
            "mood_null_reason": pa.array([None, None, None, "not_stated"]),
            "mood_source": pa.array(["human", "rule", "model:openai:x", None]),
            "p_success": pa.array([True] * 4),
            "p_model": pa.array(["openai:x"] * 4),
            "enrichment_errors": pa.nulls(4, pa.string()),
        }
    )
    with Tallies() as tallies:
        columns = FieldColumns(
            "p", "mood", spec.fields["mood"], "mood", FieldCounter(tallies, FieldSpec(), ("v",)), tallies
        )
        part = PassColumns(spec, [columns], tallies)
        part.add(batch, errors_of(batch))
        tallies.flush()
        assert tallies.texts("source", "p", "mood") == {"human": 1, "model:openai:x": 1, "rule": 1}
        traits = list(traits_of(batch, [part], errors_of(batch)))
    assert [one.human for one in traits] == [True, False, False, False]
    assert [one.filled for one in traits] == [1, 1, 1, 0]
    assert part.states == {"done": 4}


def test_facts_are_plain_values(place: Place) -> None:
    place.run()
    document: dict[str, Any] = json.loads(json.dumps(place.facts().to_json()))
    assert set(document) == {
        "enrichment",
        "enrichment_version",
        "source",
        "made_at",
        "version",
        "totals",
        "passes",
        "failures",
        "runs",
        "more_runs",
        "changes",
        "samples",
        "costs",
        "savings",
    }
