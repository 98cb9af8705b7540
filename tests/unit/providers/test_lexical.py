"""The lexical model: labels, numbers, dates and texts in several scripts, negation, ties, reasons for nulls."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from inlay.contracts import LocalModel
from inlay.engine.ask import answer_schema, system_prompt
from inlay.providers.lexical import VERSION, Lexical
from inlay.spec.fields import FieldSpec
from inlay.types import CallShape, Usage


def ask(fields: Mapping[str, FieldSpec], texts: Mapping[str, str] | str) -> dict[str, Any]:
    record = {"text": texts} if isinstance(texts, str) else dict(texts)
    shape = CallShape("lexical", system_prompt(fields), answer_schema(fields), "answer", 1000)
    return json.loads(Lexical().answerer(shape)(record).text)


def one(text: str | Mapping[str, str], name: str = "x", **spec: Any) -> Any:
    return ask({name: FieldSpec(**spec)}, text)[name]


WORK_MODEL = {
    "type": "enum",
    "values": ("remote", "hybrid", "onsite"),
    "description": "Where it is done. remote: work from anywhere; hybrid: partly from home; onsite: on the premises",
}
SPONSORS = {"type": "boolean", "description": "Whether visas are sponsored, such as sponsor, sponsorship."}


def test_it_is_a_local_model_that_costs_nothing_and_names_itself() -> None:
    model: LocalModel = Lexical()
    assert model.name == "lexical"
    fields = {"mood": FieldSpec(type="enum", values=("happy", "sad"))}
    done = model.answerer(CallShape("lexical", "", answer_schema(fields), "a", 100))({"t": "I am happy"})
    assert (done.served_model, done.usage, done.truncated) == (VERSION, Usage(), False)
    assert json.loads(done.text) == {"mood": "happy", "nulls": []}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Fully remote within Portugal.", "remote"),
        ("You can work from anywhere you like.", "remote"),
        ("This is a HYBRID role in Leeds.", "hybrid"),
        ("The position is on-site in Cork.", "onsite"),
        ("The position is on site in Cork.", "onsite"),
        ("Visits to the building site are part of it.", None),
        ("Remote work is not possible; the job is on the premises.", "onsite"),
        ("We sell tea.", None),
        ("ｒｅｍｏｔｅ、東京", "remote"),
    ],
)
def test_labels_are_found_by_name_and_by_what_is_said_of_them(text: str, value: str | None) -> None:
    assert one(text, "work_model", **WORK_MODEL) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("We sponsor work visas.", True),
        ("Visa sponsorship is available.", True),
        ("No visa sponsorship.", False),
        ("We are unable to sponsor visas.", False),
        ("Visa sponsorship is not available for this post.", False),
        ("We can't sponsor drivers.", False),
        ("We don’t sponsor visas", False),
        ("Not only do we sponsor visas, we pay for the flight.", True),
        ("There is no parking; we sponsor visas.", True),
        ("Lunch is free.", None),
    ],
)
def test_negation_turns_a_boolean_round(text: str, value: bool | None) -> None:
    assert one(text, "visa_sponsorship", **SPONSORS) is value


def test_a_label_that_is_itself_negative_needs_the_negation() -> None:
    spec = {"type": "enum", "values": ("degree_required", "no_degree_needed")}
    assert one("A degree is required.", "education", **spec) == "degree_required"
    assert one("There is no degree needed here.", "education", **spec) == "no_degree_needed"


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("Salary: $120k - $150k plus bonus", 120_000, 150_000),
        ("The pay is €50,000 to €60,000.", 50_000, 60_000),
        ("Salary between £31,650 and £49,084 a year", 31_650, 49_084),
        ("Salario entre COP 7.500.000 y COP 9.800.000 mensuales", 7_500_000, 9_800_000),
        ("年収650万円〜900万円（経験による）", 6_500_000, 9_000_000),
        ("Pay 16 000 – 21 000 PLN gross", 16_000, 21_000),
        ("Pay: CHF 5’600–6’400 a month", 5_600, 6_400),
        ("<p>Salary: &euro;70,000&ndash;&euro;92,000</p>", 70_000, 92_000),
        ("salary up to $90,000", None, 90_000),
        ("salary from $90,000", 90_000, None),
        ("We sold 40,000 to 50,000 chairs.", None, None),
        ("Our salary is fair. A learning budget of $2,000 a year.", None, None),
    ],
)
def test_salaries(text: str, low: float | None, high: float | None) -> None:
    fields = {
        "salary_min": FieldSpec(type="number", description="Lowest pay"),
        "salary_max": FieldSpec(type="number", description="Highest pay"),
    }
    answer = ask(fields, text)
    assert (answer["salary_min"], answer["salary_max"]) == (low, high)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("- 3+ years of SQL", 3),
        ("You have at least five years of experience.", 5),
        ("4-6 years of experience with tea", 4),
        ("two to five years' experience", 2),
        ("Experience: 10 years or more", 10),
        ("・実務経験3年以上", 3),
        ("We are 12 people and 8 of them experienced.", None),
        ("60 years of experience", None),
    ],
)
def test_years_inside_the_bounds(text: str, value: int | None) -> None:
    assert one(text, "years_experience_min", type="integer", min=0, max=40) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Start: 1 September 2025", "2025-09-01"),
        ("Start date: September 1st, 2025.", "2025-09-01"),
        ("Start 2025-09-01 or later", "2025-09-01"),
        ("Start: 01.09.2025", "2025-09-01"),
        ("Start: 25/09/2025", "2025-09-25"),
        ("Start: 03/04/2025", None),
        ("Start: 31 February 2025", None),
        ("Inicio (start): 1 de septiembre de 2025", "2025-09-01"),
        ("start 2025年9月1日", "2025-09-01"),
        ("Founded on 1 May 1998 by two sisters", None),
    ],
)
def test_dates_that_can_be_read_in_one_way_only(text: str, value: str | None) -> None:
    assert one(text, "start_date", type="date") == value


def test_datetime_is_iso_8601_with_a_zone() -> None:
    assert one("Start: 12 March 2024 10:30 in the hall", "start", type="datetime") == "2024-03-12T10:30:00Z"


def test_a_tie_is_ambiguous_and_a_silence_is_not_stated() -> None:
    fields = {
        "colour": FieldSpec(type="enum", values=("red", "green", "blue"), evidence=True, confidence=True),
        "size": FieldSpec(type="enum", values=("small", "large")),
        "paid": FieldSpec(type="boolean", nullable=False),
    }
    answer = ask(fields, "The red door or the green door?")
    assert answer["nulls"] == [{"field": "colour", "reason": "ambiguous"}, {"field": "size", "reason": "not_stated"}]
    assert answer["colour"] == {"evidence": None, "value": None, "confidence": 0.0}
    assert answer["paid"] is False


def test_a_catch_all_label_is_taken_where_nothing_is_found() -> None:
    assert one("Tea", type="enum", values=("remote", "not_stated")) == "not_stated"
    assert one("Tea", type="enum", values=("remote", "other"), nullable=False) == "other"
    assert one("Tea", type="enum", values=("remote", "other")) is None


def test_enum_of_yes_and_no_is_judged_like_a_boolean() -> None:
    spec = {"type": "enum", "values": ("yes", "no", "unclear"), "description": "Whether parking is free."}
    assert [one(text, "free_parking", **spec) for text in ("Free parking!", "No free parking.", "Tea.")] == [
        "yes",
        "no",
        "unclear",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("田中太郎は日本の出身です。", "日本"),
        ("출신: 대한민국입니다", "대한민국"),
        ("وصل من المغرب أمس", "المغرب"),
        ("🇧🇷 brasileira", "🇧🇷"),
        ("Nothing of the kind", None),
    ],
)
def test_labels_in_other_scripts_are_found_inside_words(text: str, value: str | None) -> None:
    spec = FieldSpec(type="enum", values=("日本", "대한민국", "المغرب", "🇧🇷"), evidence=True)
    answer = ask({"origin": spec}, text)["origin"]
    assert answer["value"] == value
    assert answer["evidence"] is None or answer["evidence"] in text


def test_japanese_negation_follows_the_word() -> None:
    spec = {"type": "boolean", "description": "Remote work, also called リモート"}
    assert one("リモート可", "remote", **spec) is True
    assert one("リモート勤務はできません", "remote", **spec) is False


def test_lists_of_labels_keep_declared_order_and_limit() -> None:
    spec = FieldSpec(type="list", max_items=2, items=FieldSpec(type="enum", values=("pool", "gym", "wifi", "spa")))
    assert ask({"amenities": spec}, "A spa, a gym and fast wifi")["amenities"] in (["gym", "wifi"], ["gym", "spa"])
    unlimited = spec.model_copy(update={"max_items": None})
    assert ask({"amenities": unlimited}, "A spa, a gym and fast wifi")["amenities"] == ["gym", "wifi", "spa"]
    assert ask({"amenities": unlimited}, "A bed")["amenities"] is None


def test_lists_of_texts_come_from_the_section_of_that_name() -> None:
    text = "Our shop sells tea.\n\nRequirements\n- Python, SQL and dbt\n- Kafka\n\nWe offer\n- cake, fruit and tea\n"
    assert one(text, "requirements", type="list") == ["Python", "SQL", "dbt", "Kafka"]


def test_a_number_with_an_explained_scale_is_a_choice() -> None:
    spec = {
        "type": "integer",
        "min": 1,
        "max": 3,
        "description": "Noise. 1: silent, quiet; 2: some noise; 3: very loud",
    }
    assert [one(text, **spec) for text in ("A quiet room", "It was loud.", "Tea")] == [1, 3, None]


def test_numbers_that_only_look_like_a_scale_stay_inside_the_bounds() -> None:
    spec = {"type": "integer", "min": 0, "max": 0, "nullable": False, "description": "1: low; 2: high"}
    assert one("high", **spec) == 0


def test_texts_from_inputs_lines_patterns_and_currencies() -> None:
    record = {"city": "São Paulo", "text": "Contact: Ms Adeyemi\nYour order is ORD-1234.\nIt cost €12.50 in all."}
    fields = {
        "city": FieldSpec(),
        "contact": FieldSpec(),
        "order_id": FieldSpec(pattern=r"ORD-\d+"),
        "currency": FieldSpec(pattern="[A-Z]{3}"),
    }
    answer = ask(fields, record)
    assert answer == {
        "city": "São Paulo",
        "contact": "Ms Adeyemi",
        "order_id": "ORD-1234",
        "currency": "EUR",
        "nulls": [],
    }


def test_a_summary_is_cut_from_the_text_and_to_its_length() -> None:
    text = "The inn is old. The old inn has a garden. Breakfast in the garden of the inn is good. Bring a hat. " * 3
    summary = one(text, "summary", type="text", max_length=60)
    assert 0 < len(summary) <= 60
    assert summary in " ".join(text.split())


def test_objects_hold_what_was_found_for_each_part() -> None:
    parts = {"remote": FieldSpec(type="boolean"), "salary_min": FieldSpec(type="number")}
    spec = FieldSpec(type="object", fields=parts, evidence=True, confidence=True)
    found = ask({"terms": spec}, "Remote. Salary from $90,000.")["terms"]
    assert found["value"] == {"remote": True, "salary_min": 90_000}
    assert ask({"terms": spec}, "Tea.")["terms"]["value"] is None


def test_more_specific_words_give_more_confidence() -> None:
    spec = FieldSpec(type="enum", values=("card_arrival", "card_lost", "pin_blocked"), confidence=True)
    sure = ask({"intent": spec}, "my pin is blocked")["intent"]
    vague = ask({"intent": spec}, "the arrival of a lost thing with my blocked card")["intent"]
    assert sure["value"] == "pin_blocked"
    assert sure["confidence"] > vague["confidence"]


def test_the_same_text_in_another_process_with_another_hash_seed() -> None:
    script = (
        "import json\n"
        "from inlay.engine.ask import answer_schema\n"
        "from inlay.providers.lexical import Lexical\n"
        "from inlay.spec.fields import FieldSpec as F\n"
        "from inlay.types import CallShape\n"
        "fields = {'mood': F(type='enum', values=('very_happy', 'happy', 'sad'), evidence=True, confidence=True),"
        " 'skills': F(type='list', description='such as tools, languages'), 'summary': F(type='text')}\n"
        "ask = Lexical().answerer(CallShape('lexical', '', answer_schema(fields), 'a', 100))\n"
        "print(ask({'t': 'Very happy, sad too. Tools: Python, 日本語, العربية. Happy. 🎉 Languages: Go, C++'}).text)"
    )
    texts = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
        texts.add(done.stdout)
    assert len(texts) == 1
    assert "日本語".encode() in texts.pop()
