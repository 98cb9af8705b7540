"""Names and shapes beyond the plain case, built by dbt itself: odd columns, keys of two, typed fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import DbtProject

pytestmark = pytest.mark.dbt

ODD_KEY = 'キー "no" `x`'
ODD_TEXT = "名前 {{ config() }} %s ? 'q' \\"
ODD_OWN = "Größe; DROP TABLE x --"

SHAPES = """
name: shapes
source: {{connection: "${{NOT_SET}}", table: staging.顧客, key: [shop, {key}]}}
select: {{placeholders: ["N/A", "é"]}}
passes:
  - name: sizes
    model: openai:gpt-6-luna
    prompt: "{{{{ row[{text}] }}}}"
    normalize: [trim]
    fields:
      size: {{type: integer, min: 0, max: 100, original: {own}, default: 5}}
      tags: {{type: list, default: [a, "b'c"]}}
  - name: judged
    prefix: j_
    model: openai:gpt-6-luna
    prompt: "{{{{ passes.sizes.size }}}} {{{{ row[{text}] }}}}"
    fields:
      good: {{type: boolean, original: flag, default: false}}
      share: {{type: number, default: 0.5, confidence: true}}
      day: {{type: date, default: 2020-02-29}}
output: {{table: staging.回答, inputs: true}}
"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.postgresql
def test_odd_names_keys_of_two_and_typed_fields(dbt_project: Callable[[str], DbtProject], tmp_path: Path) -> None:
    project = dbt_project("postgresql")
    key, text, own = map(_quoted, (ODD_KEY, ODD_TEXT, ODD_OWN))
    rows = [("s", "1", "a", "7", 1), ("s", "3", "c ", "N/A", 1), ("t", "1", "d", "e\u0301", "NULL")]
    project.sql(
        "CREATE SCHEMA staging",
        f"CREATE TABLE staging.顧客 (shop VARCHAR(9), {key} VARCHAR(9), {text} VARCHAR(99), {own} VARCHAR(9), "
        "size_source INTEGER, flag SMALLINT)",
        *(f"INSERT INTO staging.顧客 VALUES ('{a}', '{b}', '{c}', '{d}', 1, {e})" for a, b, c, d, e in rows),
        f"CREATE TABLE staging.回答 (shop VARCHAR(9), {key} VARCHAR(9), size BIGINT, size_source TEXT, tags TEXT, "
        "j_good BOOLEAN, j_share DOUBLE PRECISION, j_share_confidence DECIMAL(5,4), "
        f"{_quoted('input_' + ODD_TEXT)} TEXT)",
        "INSERT INTO staging.回答 VALUES ('s', '3', 8, 'model:m', '[\"x\"]', true, 0.25, 0.9, ' c')",
        "INSERT INTO staging.回答 VALUES ('t', '1', 9, 'model:m', NULL, NULL, NULL, NULL, 'earlier')",
    )
    file = tmp_path / "inlay.yaml"
    single = ["'" + name.replace("'", "''") + "'" for name in (ODD_KEY, ODD_TEXT, ODD_OWN)]
    jinja = '"' + ODD_TEXT.replace("\\", "\\\\") + '"'
    file.write_text(SHAPES.format(key=single[0], text=jinja.replace("\\", "\\\\").replace('"', '\\"'), own=single[2]))
    assert project.write(file).model == "stg_顧客"
    assert project.write(file).files == ()
    result = project.dbt("build")
    statuses = {status for status, _ in result["nodes"].values()}
    assert statuses == {"pass", "success"}
    found = project.model(
        "stg_顧客",
        f"shop, {key}, {_quoted('original_size')}, size, size_source, llm_size, tags, j_good, j_share, j_day, {text}",
        "shop, 2",
    )
    assert [(*row[:9], str(row[9]), row[10]) for row in found] == [
        ("s", "1", "7", 7, "original", None, '["a", "b\'c"]', True, 0.5, "2020-02-29", "a"),
        # The first pass trims its input, so it is the same one; the second does not.
        ("s", "3", "N/A", 8, "model", 8, '["x"]', True, 0.5, "2020-02-29", "c "),
        ("t", "1", "e\u0301", 5, "default", None, '["a", "b\'c"]', False, 0.5, "2020-02-29", "d"),
    ]


def test_a_source_without_the_column_says_what_there_is(
    dbt_project: Callable[[str], DbtProject], tmp_path: Path
) -> None:
    project = dbt_project("duckdb")
    file = tmp_path / "inlay.yaml"
    file.write_text(
        "name: moods\n"
        'source: {connection: "${NOT_SET}", table: staging.reviews, key: id}\n'
        "select: {missing: mood}\n"
        "passes:\n"
        '  - {name: mood, model: "openai:gpt-6-luna", prompt: "{{ text }}", fields: {mood: good|bad}}\n'
        "output: {table: staging.answers}\n"
    )
    project.write(file)
    project.sql("CREATE SCHEMA staging", "CREATE TABLE staging.reviews (id INTEGER, text VARCHAR)")
    result = project.dbt("run", fails=True)
    assert "has no column mood; its columns are id, text" in result["nodes"]["stg_reviews"][1]
