"""The care of the store: answers taken over, unsure ones asked again, orphans, people who want to be forgotten, and
what it all saves; judged by the simulator's ledger, the store's own bytes and the published table."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from durable_scene import Scene, texts

from inlay import project
from inlay.cli.main import cli
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.errors import PlanError, SpecError
from inlay.project.warming import Warmth
from inlay.testing import Simulator

MOOD = {"mood": {"type": "enum", "values": ["good", "bad"], "confidence": True}}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def moods(scene: Scene) -> Scene:
    scene.rows(texts(10))
    scene.declare(passes=[scene.one_pass(fields=MOOD)])
    return scene


# --- warm


def test_what_is_taken_over_is_never_asked(moods: Scene, sim: Simulator) -> None:
    lines = [{"id": f"k{n:05d}", "old": "good", "sure": 0.91} for n in range(6)]
    lines[1]["old"], lines[2]["old"], lines[3]["sure"] = "", "excellent!", 91
    lines.append({"id": "nobody", "old": "bad", "sure": 0.5})
    old = write(moods.folder / "old.csv", lines)
    given = Warmth({"mood": "old"}, file=old, confidences={"mood": "sure"}, named="legacy")
    found = project.warm(moods.file, given, dry_run=True)
    assert (found.warmed, found.empty, found.unfit, found.absent, found.rows) == (3, 1, 2, 4, 7)
    assert any("excellent" in example for example in found.examples)
    assert not (moods.folder / ".inlay" / "store.db").exists()
    assert project.warm(moods.file, given).warmed == 3
    again = project.warm(moods.file, given)
    assert (again.warmed, again.answered) == (0, 3)
    assert moods.calls_of() == 7
    rows = {row["id"]: row for row in moods.rows_out()}
    assert rows["k00000"]["mood"] == "good"
    assert rows["k00000"]["mood_confidence"] == pytest.approx(0.91)
    assert rows["k00000"]["mood_source"] == "warm:legacy"
    assert rows["k00006"]["mood_source"] == "model:compatible:sim"
    moods.is_sound()
    # A changed text is asked: the answer that was taken over was for what the row said then.
    changed = texts(10)
    changed[0]["text"] = "now something else"
    moods.rows(changed)
    assert moods.calls_of() == 1


def test_a_part_of_the_fields_is_taken_over(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(4))
    scene.declare()
    old = write(scene.folder / "old.csv", [{"id": f"k{n:05d}", "s": "positive"} for n in range(4)])
    found = project.warm(scene.file, Warmth({"sentiment": "s"}, file=old))
    assert (found.warmed, found.partial) == (4, 4)
    assert scene.calls_of() == 4
    row = scene.rows_out()[0]
    assert (row["sentiment"], row["sentiment_source"]) == ("positive", "warm:old")
    assert row["stars_source"] in (None, "model:compatible:sim")
    assert scene.calls_of() == 0


def test_what_cannot_be_taken_over_is_said(scene: Scene, moods: Scene) -> None:
    old = write(moods.folder / "old.csv", [{"id": "k00000", "old": "good"}, {"id": "k00000", "old": "bad"}])
    with pytest.raises(PlanError, match="several lines for one key"):
        project.warm(moods.file, Warmth({"mood": "old"}, file=old))
    for given, says in (
        (Warmth({"moot": "old"}, file=old), "not fields of one pass"),
        (Warmth({"mood": "odl"}, file=old), "no column odl"),
        (Warmth({"mood": "old"}, table="t"), "names no database"),
        (Warmth({"mood": "old"}, file=old, pass_name="raed"), "no pass 'raed'"),
        (Warmth({}, file=old), "no field"),
    ):
        with pytest.raises(SpecError, match=says):
            project.warm(moods.file, given)
    moods.declare(passes=moods.three_passes())
    with pytest.raises(SpecError, match="reads the answers of earlier passes"):
        project.warm(moods.file, Warmth({"grade": "old"}, file=old))


# --- clear --below


def test_unsure_answers_are_asked_again(moods: Scene, sim: Simulator) -> None:
    moods.run()
    rows = moods.rows_out()
    low = sorted(row["id"] for row in rows if row["mood_confidence"] is not None and row["mood_confidence"] < 0.8)
    assert 0 < len(low) < 10
    found = project.unsure(moods.file, 0.8)
    assert sorted(found.keys["read"]) == low
    assert found.cost_usd > 0
    assert project.clear_unsure(moods.file, found)["cells"] == len(low)
    assert moods.calls_of() == len(low)
    with pytest.raises(SpecError, match="no field 'moot'"):
        project.unsure(moods.file, 0.8, fields=["moot"])
    with pytest.raises(SpecError, match="no confidence"):
        project.unsure(moods.file, 70)


# --- orphans and forgetting, with a table in a database


@pytest.fixture
def published(moods: Scene, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("TARGET_URL", database_url)
    moods.declare(output={"connection": "${TARGET_URL}", "table": "answers", "prefix": "llm_", "history": True})
    return moods


def held(url: str, table: str) -> list[str]:
    with Database(parse(url, Path())).connect() as con:
        return sorted({row[0] for row in con.execute(f"SELECT id FROM {table}").fetchall()})


def test_rows_that_are_gone_from_the_source(published: Scene, database_url: str, sim: Simulator) -> None:
    published.run()
    assert len(held(database_url, "answers")) == len(held(database_url, "answers_history")) == 10
    published.rows(texts(8))
    found = project.orphans(published.file)
    assert (found.keys, found.rows, found.known, found.many) == (("k00008", "k00009"), 8, 10, False)
    gone = project.prune_orphans(published.file, found)
    assert (gone["cells"], gone["published"], gone["published_history"]) == (2, 2, 2)
    assert held(database_url, "answers") == held(database_url, "answers_history") == [f"k{n:05d}" for n in range(8)]
    assert project.orphans(published.file).keys == ()
    assert published.calls_of() == 0
    for left in (0, 3):  # a load that failed must not wipe what was paid for
        published.rows(texts(left))
        found = project.orphans(published.file)
        with pytest.raises(PlanError, match="a load that failed, so nothing was deleted"):
            project.prune_orphans(published.file, found)
    assert len(held(database_url, "answers")) == 8
    assert project.prune_orphans(published.file, found, even_many=True)["cells"] == 5


def test_a_person_is_forgotten(published: Scene, database_url: str, sim: Simulator) -> None:
    rows = texts(5)
    rows[2]["text"] = "Zaphod Beeblebrox の感想 🧠"
    published.rows(rows)
    published.run()
    project.correct(published.file, [project_fix("k00002", "mood", "bad")])
    del rows[2]
    published.rows(rows)  # the row is gone, what was kept of it is not
    gone = project.forget(published.file, ["k00002"])
    assert gone.deleted["cells"] == gone.deleted["answers"] == gone.deleted["corrections"] == 1
    assert gone.deleted["published"] == 1
    assert gone.still_there == ()
    store = published.folder / ".inlay"
    assert not any(b"Beeblebrox" in path.read_bytes() for path in store.iterdir() if path.is_file())
    assert "k00002" not in held(database_url, "answers") + held(database_url, "answers_history")
    assert project.corrections(published.file).corrections == []
    assert published.calls_of() == 0
    again = project.forget(published.file, ["k00002", "k00003"])
    assert again.deleted["cells"] == 1
    assert again.still_there == ("k00003",)
    assert "the next run asks again" in " ".join(again.notes)
    assert published.calls_of() == 1


def project_fix(key: str, field: str, value: str) -> Any:
    from inlay.project.corrected import Fix

    return Fix(key, field, value)


# --- rates and comparison


def test_the_hit_rate_counts_present_inputs_alone(moods: Scene, sim: Simulator) -> None:
    moods.run()
    rows = texts(12)
    rows[0]["text"] = rows[1]["text"] = "changed"
    moods.rows(rows)
    rates = project.status(moods.file, targets=True).targets
    assert rates is not None
    (rate,) = rates
    assert (rate.targets, rate.hits, rate.percent) == (12, 8, 66.67)
    state = project.status(moods.file)
    assert state.targets is None
    assert [(day.answers, day.calls) for day in state.days] == [(10, 10.0)]
    assert json.loads(json.dumps(state.to_json(), default=str))["days"][0]["answers"] == 10


def test_what_asking_every_time_would_have_cost(moods: Scene, sim: Simulator) -> None:
    sim.control(null_share=0)
    moods.run()
    for added in (1, 0, 2):
        moods.rows(texts(10 + added))
        moods.run()
    found = project.compare_costs(moods.file)
    assert (found.runs, found.unknown, found.paid.calls) == (4, 0, 12.0)
    assert found.without.calls == 10 + 11 + 10 + 12
    assert found.paid.cost_usd == pytest.approx(sim.ledger.billed_nusd / 1e9)
    assert found.without.cost_usd == pytest.approx(43 * found.per_answer_usd)
    assert found.paid.year_calls == pytest.approx(10 + 365 * 2 / 3)
    assert found.without.year_calls == pytest.approx(365 * 43 / 4)
    assert found.saved_percent == pytest.approx(100 * (1 - 12 / 43), abs=0.1)


# --- the same by command


def test_the_commands_of_care(moods: Scene, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(moods.folder)

    def inlay(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli, words, prog_name="inlay")
        assert done.exit_code == code, done.output
        return done.output

    old = [{"id": f"k{n:05d}", "old": "good" if n else "great"} for n in range(3)]
    write(moods.folder / "old.csv", old)
    said = inlay("store", "warm", "old.csv", "--field", "mood=old", "--dry-run")
    assert "would take over 2 answers of 3 lines" in said
    assert "1 with a value that does not fit" in said
    assert "7 not among the lines" in said
    assert "took over 2 answers" in inlay("store", "warm", "old.csv", "--field", "mood=old")
    inlay("store", "warm", "--field", "mood=old", code=2)
    moods.run()
    assert "100.00%" in inlay("status", "--targets")
    moods.run()
    said = inlay("costs", "--without-store")
    assert "2 runs so far" in said
    assert "of one run a day" in said
    low = json.loads(inlay("store", "clear", "--below", "0.8", "--field", "mood", "--yes", "--json"))["deleted"][
        "cells"
    ]
    assert moods.calls_of() == low > 0
    assert "There is no terminal to ask on" in inlay("store", "clear", "--below", "1", code=2)
    moods.rows(texts(8))
    assert "would delete: 2 rows" in inlay("store", "prune", "--orphans", "--dry-run")
    assert "2 cells" in inlay("store", "prune", "--orphans", "--yes")
    moods.rows(texts(2))
    assert "looks like a load that failed" in inlay("store", "prune", "--orphans", code=2)
    inlay("forget", "k00000", code=2)  # nobody can be asked
    said = inlay("forget", "k00000", "--yes")
    assert "erased: 1 cell, " in said
    assert "still in the source: k00000" in said
