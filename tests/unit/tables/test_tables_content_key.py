"""`key: "*"`: a row is known by what stands in it, wherever it stands."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from inlay.errors import InlayError, PlanError, SpecError
from inlay.spec.load import load_text
from inlay.spec.model import CONTENT_KEY, SourceSpec
from inlay.tables.files import FileSource
from inlay.tables.sql import connect

ROWS = [("1", "ok"), ("2", "駅から遠い"), ("1", "ok"), ("3", 'say "no", twice'), ("1", "ok"), ("", "خدمة")]


def keys(folder: Path, rows: list[tuple[str, str]], header: str = "id,text", **more: object) -> list[str]:
    quoted = (",".join('"' + part.replace('"', '""') + '"' for part in row) for row in rows)
    (folder / "a.csv").write_text("\n".join([header, *quoted]) + "\n", encoding="utf-8")
    source = FileSource(SourceSpec.model_validate({"files": "a.csv", "key": "*", **more}), folder)
    assert list(source.columns())[-1] == CONTENT_KEY
    con = connect(threads=2)
    try:
        found = con.execute(f"SELECT * FROM {source.attach(con)}").fetchall()
    finally:
        con.close()
    assert [row[:2] for row in found] == rows, "rows keep their order"
    return [row[-1] for row in found]


def test_a_key_is_sixteen_digits_and_equal_rows_are_numbered(tmp_path: Path) -> None:
    found = keys(tmp_path, ROWS)
    assert all(len(key.partition("-")[0]) == 16 for key in found)
    assert (found[2], found[4]) == (f"{found[0]}-2", f"{found[0]}-3")
    assert len(set(found)) == len(found)


def test_order_and_company_make_no_difference(tmp_path: Path) -> None:
    before = dict(zip(ROWS, keys(tmp_path, ROWS), strict=True))
    shuffled = random.Random(7).sample(ROWS, len(ROWS))
    assert sorted(keys(tmp_path, shuffled)) == sorted(keys(tmp_path, ROWS))
    more = [("new", "first"), *ROWS]
    after = dict(zip(more, keys(tmp_path, more), strict=True))
    assert {row: after[row] for row in before} == before


def test_the_order_of_columns_makes_no_difference(tmp_path: Path) -> None:
    turned = [(text, number) for number, text in ROWS]
    assert keys(tmp_path, turned, "text,id") == keys(tmp_path, ROWS)


def test_twins_in_other_forms_of_unicode_are_equal_rows(tmp_path: Path) -> None:
    first, second = keys(tmp_path, [("1", "caf\u00e9"), ("1", "cafe\u0301")])
    assert second == f"{first}-2"


@pytest.mark.parametrize("name", ["inlay_key", "INLAY_KEY"])
def test_a_column_of_that_name_is_not_overwritten(tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError) as caught:
        keys(tmp_path, ROWS, f"id,{name}")
    assert f"key: {name}" in caught.value.remedy


def test_a_file_without_a_byte_has_nothing_to_be_known_by(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"")
    with pytest.raises(InlayError, match="no columns"):
        FileSource(SourceSpec.model_validate({"files": "a.csv", "key": "*"}), tmp_path).columns()


def test_a_table_without_rows_has_the_column(tmp_path: Path) -> None:
    assert keys(tmp_path, []) == []


def declared(source: str) -> SourceSpec:
    rest = "passes: [{name: read, prompt: '{{ text }}', fields: {a: string}}]"
    return load_text(f"name: a\nsource: {source}\n{rest}\n", env={}).source


def test_the_file_says_it_with_a_star() -> None:
    for written in ('"*"', '["*"]'):
        spec = declared(f"{{files: a.csv, key: {written}}}")
        assert (spec.key, spec.content_key) == ((CONTENT_KEY,), True)
    assert not declared("{files: a.csv, key: inlay_key}").content_key


@pytest.mark.parametrize("source", ['{files: a.csv, key: ["*", id]}', "{files: a.csv, key: id, content_key: true}"])
def test_a_star_stands_alone_and_nothing_else_says_it(source: str) -> None:
    with pytest.raises(SpecError):
        declared(source)
