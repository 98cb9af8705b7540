"""Additions to YAML that somebody wrote: in it goes what is missing, and every other byte stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from inlay.errors import SpecError
from inlay.publish.dbt_yaml import YamlFile, jinja_safe, new_file

SOURCE = {"name": "staging"}
TABLE: dict[str, Any] = {
    "name": "cache",
    "description": "What Inlay answers.",
    "config": {"meta": {"inlay": "e"}},
    "columns": [
        {"name": "id", "description": "The key.", "data_tests": ["inlay_not_null", "inlay_unique"]},
        {
            "name": "llm_mood",
            "description": "The mood: good or bad.",
            "data_tests": [{"inlay_accepted_values": {"arguments": {"values": ["good", "bad"]}}}],
        },
    ],
}


def added(text: str, table: dict[str, Any] = TABLE, source: dict[str, Any] = SOURCE) -> str:
    file = YamlFile(text, Path("_sources.yml"))
    file.add_table(source, table)
    once = file.result()
    again = YamlFile(once, Path("_sources.yml"))
    again.add_table(source, table)
    assert again.result() == once, "a second time changes nothing"
    old, new = text.splitlines(), once.splitlines()
    rest = iter(new)
    assert all(line in rest for line in old) or "[" in text or "{" in text, "every line is still there, in its order"
    return once


def loaded(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def table_of(text: str, name: str = "cache") -> Any:
    (source,) = [each for each in loaded(text)["sources"] if each["name"] == "staging"]
    (table,) = [each for each in source["tables"] if each["name"] == name]
    return table


def test_a_new_file_is_plain_dbt() -> None:
    text = added(new_file("sources"))
    assert loaded(text) == {"version": 2, "sources": [{"name": "staging", "tables": [TABLE]}]}


def test_comments_order_quotes_and_blank_lines_stay() -> None:
    text = """# our sources
version: 2

sources:
  - name: 'staging'   # loaded every night
    description: >
      Straight from the dump,
      nothing cleaned.

    # tables, most important first
    tables:
      - name: tenants # 50k rows
        columns:
          - name: "id"
            tests: [unique]     # checked since 2024

  # another system
  - name: crm
    schema: 'crm_raw'
    tables:
      - name: people


models:
  - name: x
"""
    out = added(text)
    at = out.index("      - name: cache")
    assert out.index("# checked since 2024") < at < out.index("# another system"), "it goes where its source ends"
    assert table_of(out) == TABLE
    assert loaded(out)["sources"][1] == loaded(text)["sources"][1]


def test_what_is_there_is_completed_and_never_changed() -> None:
    text = """
sources:
- name: staging
  tables:
  - name: Cache
    description: ours, and it stays
    meta: {owner: us}
    columns:
    - name: ID
      tests:
      - inlay_unique:
          config: {severity: warn}
    - name: extra   # added by hand
"""
    out = added(text)
    table = table_of(out, "Cache")
    assert table["description"] == "ours, and it stays"
    assert table["meta"] == {"owner": "us"}
    assert table["config"] == {"meta": {"inlay": "e"}}
    assert [column["name"] for column in table["columns"]] == ["ID", "extra", "llm_mood"]
    assert table["columns"][0]["tests"] == [{"inlay_unique": {"config": {"severity": "warn"}}}, "inlay_not_null"]
    assert "data_tests" not in table["columns"][0], "dbt takes one of the two"
    assert "    - name: extra   # added by hand\n    - name: llm_mood\n" in out, "lists as they are written here"


@pytest.mark.parametrize(
    "text",
    [
        "sources: [{name: staging, tables: [{name: cache, columns: [{name: id, tests: [unique, ]}]}]}]\n",
        '{"sources": [{"name": "staging", "tables": []}]}\n',
        "sources: []",
        "sources:\n",
        "sources: ~  # none yet\nmodels: []\n",
        "sources:   # none yet\n\nmodels:\n  - name: x\n",
        "sources:\n  - name: staging\n",
        "sources:\n  - name: staging\n    tables:\n    # soon\n",
        "sources:\n  - {name: staging, tables: [{name: other}]}\n  - name: b\n",
        "sources:\n- name: staging\n  tables:\n  - name: cache\n    columns:\n    - name: id\n      data_tests:",
        "sources:\n  - name: staging\n    description: |\n      many\n\n      lines\n\n\n\nmodels: []\n",
        "version: 2",
        "# nothing but a comment\n",
        "",
    ],
)
def test_however_it_is_written(text: str) -> None:
    out = added(text)
    table = table_of(out)
    assert [column["name"] for column in table["columns"]] == ["id", "llm_mood"]
    known = table["columns"][0].get("tests", []) + table["columns"][0].get("data_tests", [])
    assert {"inlay_not_null", "inlay_unique"} <= set(known)
    for comment in ("# none yet", "# soon", "# nothing but a comment"):
        assert (comment in out) == (comment in text)


def test_arguments_of_our_tests_follow_the_declaration_and_their_config_is_the_users() -> None:
    text = added(new_file("sources"))
    text = text.replace(
        "values: [good, bad]\n", "values: [good, bad]  # two\n                  config: {severity: warn}\n"
    )
    changed = {
        **TABLE,
        "columns": [
            {
                "name": "llm_mood",
                "data_tests": [{"inlay_accepted_values": {"arguments": {"values": ["a, b", "no", "ö"]}}}],
            }
        ],
    }
    out = added(text.replace("[good, bad]", "\n                      - good\n                      - bad"), changed)
    test = table_of(out)["columns"][1]["data_tests"][0]["inlay_accepted_values"]
    assert test["arguments"] == {"values": ["a, b", "no", "ö"]}
    out = added(text, changed)
    test = table_of(out)["columns"][1]["data_tests"][0]["inlay_accepted_values"]
    assert test == {"arguments": {"values": ["a, b", "no", "ö"]}, "config": {"severity": "warn"}}
    assert "# two" in out


@pytest.mark.parametrize(
    "word",
    [
        "no",
        "1",
        "a: b",
        "# x",
        "- y",
        "é\u2028",
        "😀",
        "'",
        '"',
        "\\",
        "a,b",
        "[x]",
        "&a",
        "*b",
        " z ",
        "",
        "null",
        "0x1F",
        "2020-01-01",
        "x #y",
        "k:",
        "%d",
        "@at",
        "true",
        "1e3",
        "~",
        "!tag",
        "|",
        ">",
    ],
)
def test_every_text_comes_back(word: str) -> None:
    table = {
        **TABLE,
        "description": word,
        "columns": [
            {
                "name": word or "x",
                "data_tests": [{"inlay_accepted_values": {"arguments": {"values": [word, word + "b"]}}}],
            }
        ],
    }
    found = table_of(added("sources: []\n", table))
    assert found["description"] == word
    assert found["columns"][0]["data_tests"][0]["inlay_accepted_values"]["arguments"]["values"] == [word, word + "b"]


def test_long_lists_are_wrapped() -> None:
    values = [f"国 {number}" for number in range(200)]
    table = {
        **TABLE,
        "columns": [{"name": "x", "data_tests": [{"inlay_accepted_values": {"arguments": {"values": values}}}]}],
    }
    out = added(new_file("sources"), table)
    assert max(map(len, out.splitlines())) < 140
    assert table_of(out)["columns"][0]["data_tests"][0]["inlay_accepted_values"]["arguments"]["values"] == values


@pytest.mark.parametrize(
    ("text", "line"), [("a: [\n", 2), ("sources:\n\t- x\n", 2), ("sources: text\n", 1), ("sources:\n  staging: 1\n", 2)]
)
def test_what_cannot_be_added_to_is_an_error_with_its_line(text: str, line: int) -> None:
    with pytest.raises(SpecError) as caught:
        YamlFile(text, Path("_sources.yml")).add_table(SOURCE, TABLE)
    assert caught.value.line == line
    assert caught.value.remedy


def test_jinja_in_a_text_is_a_constant() -> None:
    assert jinja_safe("a {{ b }} {% c %} {# d #} {e}") == "a {{ '{' }}{ b }} {{ '{' }}% c %} {{ '{' }}# d #} {e}"
