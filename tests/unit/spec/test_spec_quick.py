"""What a command line or a call leaves out is made up from names alone, so the next call makes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.errors import SpecError
from inlay.spec.field_lines import read_lines
from inlay.spec.fields import FieldSpec
from inlay.spec.prompt import Prompt
from inlay.spec.quick import Quick, in_words_of, made_prompt, name_for, quick_enrichment, reference, text_columns

FIELDS = read_lines(["mood: good|bad - how {{ happy }} the guest is", "topics: list[string]"])


def quick(**more: Any) -> Quick:
    return Quick(**{"fields": FIELDS, "files": ("reviews.csv",), **more})


def test_the_prompt_names_the_fields_and_reads_the_text() -> None:
    assert made_prompt(quick(key=("id",)), {"id": "BIGINT", "title": "VARCHAR", "text": "VARCHAR", "n": "BIGINT"}) == (
        "Read this record and say: mood (how { { happy }} the guest is); topics.\n"
        "\n"
        "title: {{ title }}\n"
        "text: {{ text }}\n"
    )


def test_one_text_stands_alone_and_a_hint_first() -> None:
    prompt = made_prompt(quick(hint="A hotel review."), {"text": "VARCHAR"})
    assert prompt.startswith("A hotel review.\n\nRead this record")
    assert prompt.endswith(".\n\n{{ text }}\n")


def test_ids_times_and_addresses_are_no_text() -> None:
    names = [
        "id",
        "user_id",
        "userId",
        "uuid",
        "created_at",
        "date",
        "url",
        "Unnamed: 0",
        "column0",
        "mood_null_reason",
    ]
    types = dict.fromkeys([*names, "text", "タイトル", "valid", "enrichment_errors"], "VARCHAR")
    assert text_columns(types) == ["text", "タイトル", "valid"]
    assert text_columns({"id": "VARCHAR", "n": "BIGINT"}, ["id"]) == ["n"]
    assert text_columns({"id": "VARCHAR"}) == ["id"]


COLUMN = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20)


@given(st.lists(COLUMN, min_size=1, max_size=5, unique=True))
@settings(max_examples=300, deadline=None)
def test_any_column_is_read_whatever_its_name(names: list[str]) -> None:
    types = dict.fromkeys(names, "VARCHAR")
    read = text_columns(types)
    prompt = Prompt.compile(made_prompt(quick(), types))
    assert prompt.columns == tuple(sorted(read))
    values = {name: f"<{place}>" for place, name in enumerate(names)}
    text = prompt.render(values)
    assert all(values[name] in text for name in read)


def test_a_name_that_python_reads_otherwise_is_quoted() -> None:
    assert reference("text") == "{{ text }}"
    assert reference("a b") == '{{ row["a b"] }}'
    assert reference("row") == '{{ row["row"] }}'
    assert reference('say "hi"') == "{{ row['say \"hi\"'] }}"


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(SpecError, match="no column to read"):
        made_prompt(quick(), {})


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("reviews.csv", "reviews"),
        ("data/reviews.csv.gz", "reviews"),
        ("2024 reviews.csv", "t_2024_reviews"),
        ("reviews/*.parquet", "table_684888c0"),
        ("レビュー.csv", "table_99bc96b0"),
    ],
)
def test_a_file_names_its_enrichment(file: str, name: str) -> None:
    assert name_for([file]) == name


def test_an_enriched_table_can_be_enriched_again() -> None:
    columns = dict.fromkeys(["text", "enriched_at", "enrichment_errors", "read_success"], "VARCHAR")
    made = quick_enrichment(quick(), columns, Path.cwd())
    assert made.output.columns == ("text",)
    assert made.passes[0].inputs == ("text",)
    assert made.source.content_key


def test_mistakes_are_in_the_words_of_the_caller() -> None:
    words = {"name": "--name", "passes[0].fields": "--field", "source.key": "--key"}
    with pytest.raises(SpecError) as caught, in_words_of(words):
        quick_enrichment(quick(name="ä b"), {"text": "VARCHAR"}, Path.cwd())
    assert str(caught.value).startswith("--name: 'ä b' is not a name")
    problems = (SpecError("x", key="passes[0].fields.mood"), SpecError("y", key="source.key[0]"), SpecError("z"))
    with pytest.raises(SpecError) as caught, in_words_of(words):
        raise SpecError("the declaration has 3 mistakes:", problems=problems)
    assert [problem.key for problem in caught.value.problems] == ["--field mood", "--key", None]
    assert str(caught.value).startswith("there are 3 mistakes:")


def test_remedies_are_too() -> None:
    with pytest.raises(SpecError) as caught, in_words_of({}, [(r"prefix: (\w+)", r"--prefix \1")]):
        raise SpecError("x", remedy="prefix: rea_")
    assert caught.value.remedy == "--prefix rea_"


def test_fields_may_be_specs() -> None:
    made = quick_enrichment(quick(fields={"a": FieldSpec(type="text")}), {"text": "VARCHAR"}, Path.cwd())
    assert made.passes[0].fields == {"a": FieldSpec(type="text")}
