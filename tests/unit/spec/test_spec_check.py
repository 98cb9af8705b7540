"""A declaration against the columns of its source."""

from __future__ import annotations

import pytest

from inlay.errors import SpecError
from inlay.spec.check import check_columns
from inlay.spec.load import load_text
from inlay.spec.model import Enrichment
from inlay.spec.resolve import resolve

TEXT = """\
name: a
source:
  files: a.csv
  key: [tenant, id]
  types: {"first name": text}
select: {missing: nationality}
passes:
  - name: read
    prompt: "{{ text }} {{ 名前 }}"
    fields: {stars: integer}
    prefix: r_
  - name: tone
    prompt: "{{ text }}"
    inputs: [text, lang]
    fields: {mood: {type: a|b, confidence: true}}
"""
COLUMNS = dict.fromkeys(["tenant", "id", "first name", "nationality", "text", "名前", "lang", "stars"], "VARCHAR")


def problems(text: str, columns: dict[str, str]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check_columns(load_text(text, file="a.yaml", env={}), columns)
    return [str(problem) for problem in caught.value.problems]


def without(*names: str) -> dict[str, str]:
    return {name: kind for name, kind in COLUMNS.items() if name not in names}


def test_everything_is_there() -> None:
    enrichment = load_text(TEXT, env={})
    check_columns(enrichment, COLUMNS)
    assert enrichment.passes[0].inputs == ("text", "名前")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("id", "a.yaml:4: source.key[1]: the key `id` is not a column of the source"),
        ("first name", 'a.yaml:5: source.types["first name"]: the typed column `first name` is not a column'),
        ("nationality", "a.yaml:6: select.missing: the column `nationality` is not a column of the source"),
        ("名前", "a.yaml:9: passes[0].prompt: the input `名前` is not a column of the source"),
        ("lang", "a.yaml:14: passes[1].inputs[1]: the input `lang` is not a column of the source"),
    ],
)
def test_a_column_that_is_not_there(missing: str, message: str) -> None:
    (found,) = problems(TEXT, without(missing))
    assert found.startswith(message)


def test_the_nearest_column_is_named() -> None:
    (found,) = problems(TEXT, without("nationality") | {"Nationality": "VARCHAR"})
    assert "\n  → did you mean `Nationality`? (columns: tenant, id, " in found


def test_every_mistake_at_once() -> None:
    found = problems(TEXT, without("id", "text", "lang"))
    assert [line.split(":")[1] for line in found] == ["4", "9", "14", "14"]


@pytest.mark.parametrize(
    ("column", "line", "remedy"),
    [
        ("mood", 15, "give the pass a prefix, for example `prefix: ton_`, or leave `mood` out of `output.columns`"),
        ("MOOD", 15, "give the pass a prefix, for example `prefix: ton_`, or leave `MOOD` out of `output.columns`"),
        ("mood_confidence", 15, "give the pass a prefix"),
        ("r_stars", 10, "give the pass a prefix"),
        ("read_success", 8, "rename the pass, or leave `read_success` out of `output.columns`"),
        ("enriched_at", None, "leave `enriched_at` out of `output.columns`"),
        ("Enriched_At", None, "leave `Enriched_At` out of `output.columns`"),
    ],
)
def test_a_published_column_may_not_take_the_name_of_a_source_column(
    column: str, line: int | None, remedy: str
) -> None:
    (found,) = problems(TEXT, COLUMNS | {column: "VARCHAR"})
    assert f"`{column}`" in found
    assert remedy in found
    assert found.startswith("a.yaml: " if line is None else f"a.yaml:{line}: passes[")


def test_a_source_column_that_stays_behind_collides_with_nothing() -> None:
    enrichment = load_text(TEXT + "output: {columns: [tenant, id]}\n", env={})
    columns = COLUMNS | dict.fromkeys(("mood", "enriched_at"), "VARCHAR")
    check_columns(enrichment, columns)
    assert enrichment.output.columns == ("tenant", "id")
    (found,) = problems(TEXT + "output: {columns: [tenant, idd]}\n", COLUMNS)
    assert found.startswith("a.yaml:16: output.columns[1]: the column `idd` is not a column of the source")


def test_a_declaration_in_python_has_keys_but_no_lines() -> None:
    direct = Enrichment.model_validate(
        {
            "name": "a",
            "source": {"files": "a.csv", "key": "id"},
            "passes": [{"name": "p", "prompt": "{{ txt }}", "fields": {"f": {}}}],
        }
    )
    resolved = resolve(direct)
    assert resolved.passes[0].inputs == ("txt",)
    assert resolve(resolved).model_dump() == resolved.model_dump()
    with pytest.raises(SpecError) as caught:
        check_columns(resolved, {"id": "BIGINT", "text": "VARCHAR"})
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        "passes[0].inputs[0]: the input `txt` is not a column of the source\n  → did you mean"
    )


def test_mistakes_of_a_declaration_in_python() -> None:
    one = {"name": "p", "prompt": "{{ a b }}", "fields": {"f": {}}, "endpoint": "http://u:p@h"}
    direct = Enrichment.model_validate({"name": "a", "source": {"files": "a.csv", "key": "id"}, "passes": [one, one]})
    with pytest.raises(SpecError) as caught:
        resolve(direct)
    assert [problem.key for problem in caught.value.problems] == [
        "passes[0].endpoint",
        "passes[0].prompt",
        "passes[1].name",
        "passes[1].endpoint",
        "passes[1].prompt",
    ]
