"""One row's story: the plan's own reason, what changed, where a value comes from, and nothing written or paid."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inlay import project
from inlay.errors import SpecError
from inlay.fingerprint import canonical
from inlay.project.changes import changed_recipe, inputs_of
from inlay.project.corrected import Fix
from inlay.project.explanation import Explanation, PassStory
from inlay.project.story import quoted
from inlay.testing import FaultRule, Simulator
from inlay.types import CellState, Evidence, Reason

ROWS = [
    {"id": "r1", "text": "Lovely place. Very clean rooms, and quiet! We will return."},
    {"id": "r2", "text": "駅から遠いが静か。とても清潔。"},
    {"id": "r3", "text": "خدمة سيئة للغاية"},
]


class Place:
    """A folder with JSONL rows, a declaration of two passes, and a simulated provider."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.folder, self.sim = folder, sim
        self.file = folder / "inlay.yaml"
        self.rows(ROWS)
        self.declare()

    def rows(self, rows: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (self.folder / "rows.jsonl").write_text(text, encoding="utf-8")

    def one(self, name: str, prompt: str, fields: dict[str, Any], **more: Any) -> dict[str, Any]:
        prices = {"input_per_million": 1, "output_per_million": 2}
        shape = {"name": name, "model": "compatible:sim", "endpoint": self.sim.endpoint, "prompt": prompt}
        return {**shape, "fields": fields, "prices": prices, **more}

    def declare(self, prompt: str = "Read: {{ text }}", **changes: Any) -> None:
        read = self.one("read", prompt, {"mood": {"type": "enum", "values": ["good", "bad"], "evidence": True}})
        judge = self.one("judge", "A {{ passes.read.mood }} review: {{ text }}", {"reply": "boolean"}, prefix="j_")
        document: dict[str, Any] = {
            "name": "places",
            "source": {"files": "rows.jsonl", "key": "id"},
            "passes": [read, judge],
            "output": {"files": "out.jsonl"},
        }
        self.file.write_text(json.dumps({**document, **changes}, ensure_ascii=False), encoding="utf-8")

    def explain(self, key: Any, **named: Any) -> Explanation:
        return project.explain(self.file, key, **named)

    def story(self, key: Any, index: int = 0, **named: Any) -> PassStory:
        return self.explain(key, **named).passes[index]


@pytest.fixture
def sim():
    with Simulator(null_share=0) as running:
        yield running


@pytest.fixture
def place(tmp_path, sim) -> Place:
    return Place(tmp_path, sim)


def test_a_row_that_no_run_has_reached(place, sim):
    told = place.explain("r1")
    assert (told.in_source, told.selected, told.row["text"]) == (True, True, ROWS[0]["text"])
    read, judge = told.passes
    assert (read.state, read.reason, read.asked, read.answer) == (CellState.PENDING, Reason.NEW, True, None)
    assert (judge.reason, judge.waits_for) == (Reason.NEW, ("read",))
    assert read.worst_usd is not None
    assert read.cost_usd is not None
    assert 0 < read.cost_usd < read.worst_usd
    assert not (place.folder / ".inlay").exists(), "explaining writes nothing"
    assert len(sim.ledger) == 0


def test_an_answered_row_has_values_evidence_calls_and_cost(place):
    project.run(place.file)
    before = (place.folder / ".inlay" / "store.db").read_bytes()
    told = place.explain("r2")
    read, judge = told.passes
    assert [part.reason for part in told.passes] == [Reason.CACHED, Reason.CACHED]
    (mood,) = read.fields
    assert (mood.column, mood.source, mood.value) == ("mood", "model:compatible:sim", told.published["mood"])
    assert mood.evidence is not None
    assert mood.evidence.verified
    sentence = mood.evidence.before + mood.evidence.quote + mood.evidence.after
    assert mood.evidence.quote
    assert sentence.strip() in ROWS[1]["text"]
    assert read.answer is not None
    assert read.answer.cost_usd > 0
    (call,) = read.attempts
    assert (call["outcome"], call["cost_usd"]) == ("answered", read.answer.cost_usd)
    assert call["input_tokens"] > 0
    assert call["output_tokens"] > 0
    assert judge.fields[0].column == "j_reply"
    assert (place.folder / ".inlay" / "store.db").read_bytes() == before


def test_the_reason_is_the_plans_own(place):
    project.run(place.file)
    rows = [{**ROWS[0], "text": "Changed"}, *ROWS[1:], {"id": "r4", "text": "New"}]
    place.rows(rows)
    place.declare("Read now: {{ text }}")
    planned = project.plan(place.file)
    for index, part in enumerate(planned.passes):
        told = [place.story(row["id"], index).reason for row in rows]
        for reason in Reason:
            assert told.count(reason) == part.reasons.get(reason, 0), (index, reason)
    assert place.story("r2").reason is Reason.STALE
    assert place.story("r1").reason is Reason.INPUT_CHANGED


def test_what_changed_is_told_before_and_after(place):
    project.run(place.file)
    place.rows([{**ROWS[0], "text": "Lovely place. Very filthy rooms, and quiet! We will return."}, *ROWS[1:]])
    told = place.explain("r1")
    read, judge = told.passes
    (change,) = read.inputs_changed
    assert (read.reason, change.what, change.kind) == (Reason.INPUT_CHANGED, "text", "changed")
    assert (change.before, change.after) == (ROWS[0]["text"], told.row["text"])
    assert read.recipe_changed == ()
    assert (judge.reason, judge.waits_for) == (Reason.UPSTREAM, ("read",))
    assert [one.what for one in judge.inputs_changed] == ["text"], "read.mood is not known before read is asked"
    assert told.published["mood"] is None
    assert read.fields[0].value is not None, "kept, and not published"


def test_a_changed_upstream_answer_is_an_input_that_changed(place):
    project.run(place.file)
    (mood,) = place.story("r1").fields
    other = "bad" if mood.value == "good" else "good"
    project.correct(place.file, [Fix("r1", "mood", other)])
    changes = place.story("r1", 1).inputs_changed
    assert [(one.what, one.before, one.after) for one in changes] == [("read.mood", mood.value, other)]


def test_an_edited_recipe_is_told_part_by_part(place):
    project.run(place.file)
    fields = {"mood": {"type": "enum", "values": ["good", "so", "bad"], "evidence": True}, "stars": "integer"}
    judge = place.one("judge", "{{ passes.read.mood }}: {{ text }}", {"answer": "boolean"}, temperature=0)
    place.declare(passes=[place.one("read", "Look: {{ text }}", fields), judge])
    told = place.explain("r1")
    changes = {one.what: one for one in told.passes[0].recipe_changed}
    assert list(changes) == ["prompt", "fields.mood", "fields.stars"]
    assert (changes["prompt"].before, changes["prompt"].after) == ("Read: {{ text }}", "Look: {{ text }}")
    assert changes["fields.stars"].kind == "added"
    below = {one.what: one.kind for one in told.passes[1].recipe_changed}
    assert below == {
        "prompt": "changed",
        "temperature": "changed",
        "fields.answer": "added",
        "fields.reply": "removed",
    }
    gone = next(story for story in told.passes[1].fields if story.name == "reply")
    assert not gone.declared
    assert gone.value is not None


def test_an_earlier_answer_is_told_where_it_differs(place):
    project.run(place.file)
    first = place.story("r1").fields[0]
    fields = {"mood": {"type": "enum", "values": ["cheerful", "gloomy"], "evidence": True}}
    judge = place.one("judge", "A {{ passes.read.mood }} review: {{ text }}", {"reply": "boolean"})
    place.declare(passes=[place.one("read", "Look: {{ text }}", fields), judge])
    project.run(place.file, refresh=["stale"])
    story = place.story("r1")
    (earlier,) = story.earlier
    assert earlier.fields == {"mood": (first.value, None)}
    assert earlier.run_id == 1
    assert story.answer is not None
    assert story.answer.run_id == 2
    assert len(story.attempts) == 2
    assert [event["state"] for event in story.history] == ["done", "done"]


def test_a_failure_comes_with_its_kind_its_calls_and_the_raw_answer(tmp_path):
    with Simulator(null_share=0, faults=[FaultRule(fault="wrong_schema", record="خدمة")]) as sim:
        place = Place(tmp_path, sim)
        project.run(place.file)
        story, judge = place.explain("r3", prompt=True).passes
    assert (story.state, story.kind, story.reason) == (CellState.FAILED, "invalid_output", Reason.RETRY)
    assert story.message
    assert story.raw
    assert story.attempts
    assert (judge.state, judge.kind) == (CellState.SKIPPED, "upstream")
    assert judge.unsendable


def test_the_request_is_the_one_that_is_sent(place, sim):
    told = place.explain("r2", prompt=True)
    request = told.passes[0].request
    assert request is not None
    assert request.body is not None
    assert request.user == f"Read: {ROWS[1]['text']}"
    assert told.passes[1].request is None
    assert "read, which the next run asks first" in told.passes[1].unsendable
    project.run(place.file)
    told = place.explain("r2", prompt=True)
    judge = told.passes[1].request
    assert judge is not None
    sent = {call.user_sha256 for call in sim.ledger.calls}
    for made in (request, judge):
        message = made.body["messages"][-1]["content"]
        assert message == made.user
        assert hashlib.sha256(message.encode()).hexdigest() in sent
        assert made.body["messages"][0]["content"] == made.system
    assert request.url == f"{sim.endpoint}/chat/completions"


def test_no_secret_is_in_a_request(place, monkeypatch):
    monkeypatch.setenv("SECRET_FOR_TESTS", "sk-never-shown")
    place.declare(passes=[place.one("read", "{{ text }}", {"mood": "good|bad"}, api_key_env="SECRET_FOR_TESTS")])
    told = place.explain("r1", prompt=True)
    assert told.passes[0].request is not None
    assert "sk-never-shown" not in json.dumps(told.to_json(), default=str)


def test_a_row_outside_the_selection_says_which_part_leaves_it_out(place):
    project.run(place.file)
    place.declare(select={"where": "id <> 'r1'"})
    told = place.explain("r1")
    assert (told.selected, told.left_out, told.passes[0].reason) == (False, "where", None)
    assert told.passes[0].fields[0].value == told.published["mood"]
    place.declare(select={"missing": "text"})
    assert place.explain("r1").left_out == "missing"


def test_a_row_that_is_gone_is_still_told_from_the_store(place):
    project.run(place.file)
    place.rows(ROWS[1:])
    told = place.explain("r1", prompt=True)
    assert (told.in_source, told.selected, told.row, told.published) == (False, False, {}, {})
    assert told.passes[0].fields[0].value in ("good", "bad")
    assert told.passes[0].request is None


@pytest.mark.parametrize(("key", "near"), [("r11", "r1"), ("R2", "r2"), (" r3", "r3")])
def test_an_unknown_key_names_the_nearest(place, key, near):
    with pytest.raises(SpecError, match=r"no row of rows\.jsonl has the key") as caught:
        place.explain(key)
    assert caught.value.remedy.startswith(f"nearest there: {near}")


def test_a_key_like_no_other_has_no_suggestion(place):
    with pytest.raises(SpecError) as caught:
        place.explain("👻" * 300)
    assert caught.value.remedy == "check the key (the column id)"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("key", ["日本 語", "a'b\"c", "x;--", "مفتاح", "🏨", "a\\b", "%", "e\u0301"])
def test_keys_in_any_script_with_any_sign(place, key):
    place.rows([{"id": key, "text": "one"}, {"id": key + "x", "text": "two"}])
    assert place.explain(key).row["text"] == "one"


def test_keys_of_several_columns_and_columns_with_spaces(place):
    rows = [{"the land": "JP", "n": 7, 'what they "said"': "良い"}, {"the land": "JP", "n": 8, 'what they "said"': "x"}]
    place.rows(rows)
    read = place.one("read", "{{ row['what they \"said\"'] }}", {"mood": "good|bad"})
    place.declare(source={"files": "rows.jsonl", "key": ["the land", "n"]}, passes=[read])
    told = place.explain(["JP", 7])
    assert told.key == '["JP", "7"]'
    assert list(told.row.values()) == ["良い"]
    with pytest.raises(SpecError, match="is not a key of the columns the land, n"):
        place.explain("JP")
    with pytest.raises(SpecError) as caught:
        place.explain(["JP", 9])
    assert '["JP", "7"]' in caught.value.remedy


def test_a_correction_stands_before_the_models_value(place):
    project.run(place.file)
    was = place.story("r1").fields[0].value
    other = "bad" if was == "good" else "good"
    project.correct(place.file, [Fix("r1", "mood", other, note="gelesen", author="ana")])
    story = place.story("r1").fields[0]
    assert (story.value, story.source, story.given) == (other, "human", was)
    assert (story.note, story.author) == ("gelesen", "ana")
    assert story.corrected_at


def test_what_rules_give_is_told_and_not_asked(place, sim):
    rules = [{"when": "text LIKE 'Lovely%'", "set": {"mood": "good"}}]
    place.declare(passes=[place.one("read", "{{ text }}", {"mood": "good|bad", "stars": "integer"}, rules=rules)])
    story = place.story("r1", prompt=True)
    assert not story.ruled
    assert story.request is not None
    assert story.request.fields == ("stars",)
    project.run(place.file)
    mood, stars = place.story("r1").fields
    assert (mood.value, mood.source, stars.source) == ("good", "rule", "model:compatible:sim")

    rules[0]["set"] = {"mood": "bad", "stars": 1}
    place.declare(passes=[place.one("read", "{{ text }}", {"mood": "good|bad", "stars": "integer"}, rules=rules)])
    story = place.story("r1", prompt=True)
    assert (story.reason, story.ruled, story.request) == (Reason.INPUT_CHANGED, True, None)
    assert story.unsendable == "rules give every field, so nothing is sent"
    (change,) = story.inputs_changed
    assert (change.what, change.before) == ("given by rules", '{"mood":{"v":"good"}}')
    assert place.story("r2").reason is Reason.CACHED


def test_a_row_that_people_filled_by_hand_is_not_asked(place):
    project.correct(place.file, [Fix("r1", "mood", "bad")])
    read, judge = place.explain("r1", prompt=True).passes
    assert (read.state, read.reason, read.asked) == (CellState.PENDING, Reason.CACHED, False)
    assert judge.request is not None
    assert judge.request.user == f"A bad review: {ROWS[0]['text']}"


def test_one_row_of_many_is_told_in_little_memory(place):
    rows = [{"id": f"k{number}", "text": "word " * 60 + str(number)} for number in range(40_000)]
    place.rows(rows)
    place.declare(passes=[place.one("read", "{{ text }}", {"mood": "good|bad"})])
    code = (
        "from inlay import project; "
        f"told = project.explain({str(place.file)!r}, 'k39999'); "
        "assert told.row['text'].endswith('39999'); "
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert int(done.stdout) < 400_000, "kilobytes"


# --- the parts


def test_inputs_are_named_in_the_order_of_their_bytes():
    recipe = {"inputs": ["b", "a"], "upstream": ["a-b.x", "a.z"]}
    data = canonical(["A", None]) + b"|" + canonical(["pass a", "pass a-b"])
    assert inputs_of(recipe, data) == {
        "a": ("s", "A"),
        "b": None,
        "a.z": ("s", "pass a"),
        "a-b.x": ("s", "pass a-b"),
    }


def test_the_order_of_fields_is_a_change():
    def text(*names: str) -> str:
        return json.dumps({"fields": [[name, {}] for name in names], "prompt": "p"})

    (change,) = changed_recipe(text("a", "b"), text("b", "a"))
    assert (change.what, change.before, change.after) == ("fields", ["a", "b"], ["b", "a"])
    assert changed_recipe(text("a"), text("a")) == ()


@pytest.mark.parametrize(
    ("text", "quote", "before", "after"),
    [
        ("One. Two is here! Three.", "is", "Two ", " here!"),
        ("駅から遠い。とても静かで快適。また来る。", "静か", "とても", "で快適。"),
        ("no end", "no", "", " end"),
        ("a" * 500 + "HERE" + "b" * 500, "HERE", "…" + "a" * 160, "b" * 160 + "…"),
        ("line one\nline two\nline three", "two", "line ", ""),
    ],
)
def test_a_quote_stands_in_its_sentence(text, quote, before, after):
    start = text.index(quote)
    evidence = Evidence(quote, True, "text", start, start + len(quote))
    found = quoted(evidence, {"text": ("s", text)})
    assert (found.before, found.quote, found.after) == (before, quote, after)


def test_a_quote_that_was_not_found_has_no_place():
    found = quoted(Evidence("made up"), {"text": ("s", "other")})
    assert (found.verified, found.quote, found.before, found.after) == (False, "made up", "", "")
