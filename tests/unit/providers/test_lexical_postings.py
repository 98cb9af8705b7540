"""The example: forty-eight postings, three passes, read by the lexical model as a user's first run would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inlay.engine.answer import AnswerReader
from inlay.engine.ask import answer_schema, system_prompt
from inlay.providers.lexical import Lexical
from inlay.spec.load import load
from inlay.spec.model import Enrichment, PassSpec
from inlay.types import CallShape, CellState, FieldAnswer

EXAMPLE = Path(__file__).parents[3] / "examples" / "job_postings"


@pytest.fixture(scope="module")
def postings() -> list[dict[str, str]]:
    return [json.loads(line) for line in (EXAMPLE / "postings.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def example() -> Enrichment:
    return load(EXAMPLE / "inlay.yaml", env={})


def read(spec: PassSpec, posting: dict[str, str]) -> dict[str, FieldAnswer]:
    shape = CallShape("lexical", system_prompt(spec.fields), answer_schema(spec.fields), spec.name, 2000)
    texts = {name: posting[name] for name in spec.inputs}
    reading = AnswerReader(spec.fields).read(Lexical().answerer(shape)(texts).text, texts)
    assert reading.state is CellState.DONE, reading.error_message
    return dict(reading.fields)


def test_the_postings_are_long_whole_and_different(postings: list[dict[str, str]]) -> None:
    assert len(postings) == 48
    assert len({posting["job_id"] for posting in postings}) == 48
    assert len({posting["company"] for posting in postings}) == 48
    columns = {"job_id", "title", "company", "location", "posted_at", "description"}
    assert all(set(posting) == columns and all(posting.values()) for posting in postings)
    assert all(1200 <= len(posting["description"]) <= 3500 for posting in postings)
    openings = {posting["description"][:40] for posting in postings}
    assert len(openings) == 48


def test_the_declaration_shows_every_kind_of_field(example: Enrichment) -> None:
    fields = [field for spec in example.passes for field in spec.fields.values()]
    kinds = {field.type for field in fields}
    assert kinds >= {"string", "text", "integer", "number", "boolean", "date", "enum", "list", "object"}
    assert 20 <= len(fields) <= 24
    assert [spec.prefix for spec in example.passes] == ["ext_", "inf_", "anl_"]
    assert example.passes[1].upstream_passes == ("extract",)
    assert set(example.passes[2].upstream_passes) == {"extract", "infer"}


def test_every_posting_is_read_whole_and_every_quote_is_found(
    example: Enrichment, postings: list[dict[str, str]]
) -> None:
    quotes = 0
    for spec in example.passes:
        for posting in postings:
            for name, answer in read(spec, posting).items():
                assert (answer.value is None) == (answer.null_reason is not None), (posting["job_id"], name)
                if answer.evidence is not None:
                    assert answer.evidence.verified, (posting["job_id"], name, answer.evidence.quote)
                    quotes += 1
    assert quotes > 150


@pytest.mark.parametrize(
    ("job_id", "wanted"),
    [
        (
            "JP-0001",
            {"work_model": "hybrid", "visa_sponsorship": False, "salary_min": 138_000, "salary_period": "year"},
        ),
        ("JP-0003", {"salary_max": 68.35, "salary_period": "hour", "visa_sponsorship": False}),
        (
            "JP-0005",
            {"work_model": "remote", "salary_min": 70_000, "salary_currency": "EUR", "years_experience_min": 5},
        ),
        (
            "JP-0010",
            {"work_model": "remote", "salary_max": 9_000_000, "salary_currency": "JPY", "visa_sponsorship": True},
        ),
        ("JP-0011", {"work_model": "hybrid", "salary_min": 7_500_000, "salary_period": "month"}),
        ("JP-0012", {"work_model": "onsite", "years_experience_min": 3, "salary_currency": "EUR"}),
        ("JP-0016", {"work_model": "remote", "salary_currency": "BRL", "employment_type": "permanent"}),
        ("JP-0029", {"employment_type": "freelance", "start_date": "2025-11-03", "salary_period": "hour"}),
    ],
)
def test_what_the_postings_state_is_found(
    example: Enrichment, postings: list[dict[str, str]], job_id: str, wanted: dict[str, Any]
) -> None:
    posting = next(one for one in postings if one["job_id"] == job_id)
    answers = read(example.get_pass("extract"), posting)
    assert {name: answers[name].value for name in wanted} == wanted
