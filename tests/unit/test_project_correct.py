"""Corrections: read like answers, checked as a whole, kept in one transaction or not at all, and listed."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inlay import project
from inlay.errors import SourceError, SpecError
from inlay.project import correcting
from inlay.project.corrected import Fix
from inlay.project.fixes import read_fixes
from inlay.spec.load import load
from inlay.types import NullReason

FIELDS: dict[str, Any] = {
    "mood": {"type": "enum", "values": ["good", "so-so", "bad"]},
    "stars": {"type": "integer", "min": 1, "max": 5},
    "price": {"type": "number"},
    "open": "boolean",
    "built": "date",
    "seen": "datetime",
    "name": {"type": "string", "max_length": 12},
    "tags": {"type": "list", "max_items": 3},
    "place": {"type": "object", "fields": {"city": "string", "floor": "integer"}},
    "sure": {"type": "integer", "nullable": False},
}


class Shop:
    """A folder whose passes are answered by the built-in model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "inlay.yaml"
        self.rows("id,text\nr1,a good day\nr2,良い日\nr3,يوم سيئ\n")
        self.declare()

    def rows(self, text: str) -> None:
        (self.folder / "rows.csv").write_text(text, encoding="utf-8")

    def declare(self, fields: dict[str, Any] | None = None, **changes: Any) -> None:
        read = {"name": "read", "model": "lexical", "prompt": "{{ text }}", "fields": fields or FIELDS}
        note = {"name": "note", "model": "lexical", "prompt": "{{ passes.read.mood }}{{ text }}", "prefix": "n_"}
        note["fields"] = {"stars": "integer", "why": "text"}
        document = {"name": "shop", "source": {"files": "rows.csv", "key": "id"}, "passes": [read, note], **changes}
        self.file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")

    def correct(self, *fixes: Fix) -> list[Any]:
        return list(project.correct(self.file, fixes).corrections)

    def kept(self, **named: Any) -> list[tuple[str, str, Any]]:
        found = project.corrections(self.file, **named).corrections
        return [(one.key, f"{one.pass_name}.{one.field}", one.value) for one in found]

    def fixes(self, name: str, data: str | bytes) -> list[Fix]:
        path = self.folder / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return list(read_fixes(load(self.file), path, note="a note", author="ana"))


@pytest.fixture
def shop(tmp_path) -> Shop:
    return Shop(tmp_path)


# --- values


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("mood", "good", "good"),
        ("mood", " SO SO ", "so-so"),
        ("stars", "4", 4),
        ("stars", 4.0, 4),
        ("stars", "٤", 4),
        ("price", "1,5", 1.5),
        ("price", Decimal("2.50"), 2.5),
        ("open", "yes", True),
        ("open", False, False),
        ("built", "2024-02-29", "2024-02-29"),
        ("built", dt.date(2024, 2, 29), "2024-02-29"),
        ("name", "日本\u3000🏨", "日本\u3000🏨"),
        ("tags", '["spa", "gym"]', ["spa", "gym"]),
        ("tags", [], []),
        ("place", '{"city": "大阪", "floor": 3}', {"city": "大阪", "floor": 3}),
        ("sure", "7", 7),
    ],
)
def test_a_value_is_read_like_an_answer(shop, field, given, expected):
    (one,) = shop.correct(Fix("r1", field, given))
    assert (one.value, one.null_reason, one.new) == (expected, None, True)
    assert shop.kept() == [("r1", f"read.{field}", expected)]


def test_a_time_keeps_its_moment(shop):
    (one,) = shop.correct(Fix("r1", "seen", dt.datetime(2024, 1, 2, 3, 4, 5)))
    assert one.value.startswith("2024-01-02T03:04:05")


@pytest.mark.parametrize(
    ("field", "given", "said", "remedy"),
    [
        ("mood", "goood", "'goood' is not one of the 3 values", "did you mean `good`"),
        ("stars", "9", "above max 5", "whole number from 1 to 5"),
        ("stars", "many", "not a whole number", "whole number"),
        ("open", "perhaps", "neither true nor false", "true or false"),
        ("built", "03/04/2024", "not a date with one clear reading", "YYYY-MM-DD"),
        ("name", "x" * 13, "more than max_length 12", "12 characters"),
        ("tags", "spa, gym", "not a JSON list", "JSON list, for example"),
        ("tags", '["spa"', "not valid JSON", "JSON list"),
        ("tags", '["a","b","c","d"]', "4 items, more than max_items 3", "JSON list"),
        ("place", "Osaka", "not a JSON object", '{"city": null, "floor": null}'),
        ("name", b"\x00", "binary data", "one line of text"),
        ("sure", "", "must have a value", "whole number"),
        ("starz", "1", "no field `starz`", "did you mean `stars`"),
    ],
)
def test_a_wrong_value_is_refused_with_what_would_be_right(shop, field, given, said, remedy):
    with pytest.raises(SpecError) as caught:
        shop.correct(Fix("r1", field, given))
    assert said in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.key == "row r1"
    assert shop.kept() == []


@pytest.mark.parametrize("given", [None, "", "  ", "null"])
@pytest.mark.parametrize("field", ["stars", "name", "tags", "mood"])
def test_nothing_is_a_null_with_a_reason(shop, field, given):
    (one,) = shop.correct(Fix("r1", field, given))
    assert (one.value, one.null_reason) == (None, NullReason.NOT_STATED)
    (one,) = shop.correct(Fix("r1", field, given, null_reason="ambiguous"))
    assert one.null_reason is NullReason.AMBIGUOUS
    assert project.corrections(shop.file).corrections[0].null_reason is NullReason.AMBIGUOUS


def test_a_reason_beside_a_value_or_an_unknown_one_is_refused(shop):
    with pytest.raises(SpecError, match="reason for a null as well"):
        shop.correct(Fix("r1", "stars", "3", null_reason="ambiguous"))
    with pytest.raises(SpecError, match="`invalid` is no reason"):
        shop.correct(Fix("r1", "stars", None, null_reason="invalid"))


# --- which field, which row


def test_a_field_goes_by_path_column_or_name(shop):
    shop.correct(
        Fix("r1", "n_stars", "2"), Fix("r1", "read.stars", "3"), Fix("r1", "why", "so"), Fix("r2", "stars", "1")
    )
    assert sorted(shop.kept()) == [
        ("r1", "note.stars", 2),
        ("r1", "note.why", "so"),
        ("r1", "read.stars", 3),
        ("r2", "read.stars", 1),  # the column of that very name
    ]


def test_a_name_that_two_passes_have_is_refused_with_the_choices(shop):
    document = json.loads(shop.file.read_text(encoding="utf-8"))
    document["passes"][0]["prefix"] = "r_"
    shop.file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SpecError, match="field of several passes") as caught:
        shop.correct(Fix("r1", "stars", "2"))
    assert caught.value.remedy == "write one of: read.stars, note.stars"


def test_a_row_that_is_not_there_is_refused_with_the_nearest(shop):
    with pytest.raises(SpecError, match="has the key 'r4'") as caught:
        shop.correct(Fix("r1", "stars", "2"), Fix("r4", "stars", "2"))
    assert "nearest there: r1, r2, r3" in caught.value.remedy
    assert shop.kept() == []


def test_every_mistake_is_told_at_once_and_nothing_is_kept(shop):
    fixes = [Fix("r1", "stars", "2"), Fix("r1", "open", "?"), Fix("r9", "stars", "1"), Fix("r2", "nope", "1")]
    with pytest.raises(SpecError) as caught:
        shop.correct(*fixes)
    assert len(caught.value.problems) == 3
    assert "so nothing was kept" in caught.value.message
    assert not (shop.folder / ".inlay").exists()


def test_one_field_corrected_twice_differently_is_a_mistake(shop):
    with pytest.raises(SpecError, match="corrected twice, differently"):
        shop.correct(Fix("r1", "stars", "2"), Fix("r1", "read.stars", "3"))
    assert len(shop.correct(Fix("r1", "stars", "2"), Fix("r1", "stars", 2))) == 2
    assert len(shop.kept(history=True)) == 1


def test_there_is_a_limit_to_how_many_are_held_at_once(shop, monkeypatch):
    monkeypatch.setattr(correcting, "MAX_FIXES", 3)
    endless = (Fix("r1", "stars", "2") for _ in iter(int, 1))
    with pytest.raises(SpecError, match="more than 3 corrections at once"):
        project.correct(shop.file, endless)


# --- keeping, taking back, listing


def test_the_same_again_changes_nothing_and_another_value_counts_from_then_on(shop):
    assert shop.correct(Fix("r1", "stars", "2", note="n"))[0].new
    assert not shop.correct(Fix("r1", "stars", 2, note="n"))[0].new
    assert shop.correct(Fix("r1", "stars", "3", note="n"))[0].new
    assert shop.kept() == [("r1", "read.stars", 3)]
    assert [value for _, _, value in shop.kept(history=True)] == [2, 3]


def test_a_correction_is_taken_back_even_when_its_row_and_field_are_gone(shop):
    shop.correct(Fix("r1", "stars", "2"), Fix("r1", "name", "x"))
    shop.rows("id,text\nr2,x\n")
    shop.declare({"mood": FIELDS["mood"]})
    problems = [one.problem for one in project.corrections(shop.file).corrections]
    assert problems == ["pass read has no field stars any more", "pass read has no field name any more"]
    (one,) = shop.correct(Fix("r1", "read.stars", withdrawn=True))
    assert one.withdrawn
    shop.correct(Fix("r1", "name", withdrawn=True))
    assert shop.kept() == []
    assert len(shop.kept(history=True)) == 4
    with pytest.raises(SpecError, match="no correction that could be taken back"):
        shop.correct(Fix("r1", "name", withdrawn=True))


def test_the_list_has_the_models_value_beside_and_says_what_no_longer_fits(shop):
    project.run(shop.file)
    given = project.explain(shop.file, "r1").passes[0].fields[0]
    shop.correct(Fix("r1", "mood", "so-so", note="nota", author="ana"), Fix("r2", "stars", 5), Fix("r3", "n_why", "x"))
    one, two, three = project.corrections(shop.file).corrections
    assert (one.given, one.given_null_reason, one.given_by) == (given.value, given.null_reason, given.source)
    assert (one.note, one.author, one.read_by, one.problem) == ("nota", "ana", ("note",), "")
    assert one.at > 1e9
    shop.declare(
        {**FIELDS, "mood": {"type": "enum", "values": ["good", "bad"]}, "stars": {"type": "integer", "max": 4}}
    )
    shop.rows("id,text\nr1,a good day\nr2,x\n")
    one, two, three = project.corrections(shop.file).corrections
    assert one.problem == "mood 'so-so' is not one of the 2 values"
    assert two.problem == "stars 5 is above max 4"
    assert three.problem == "the source has no such row any more"


def test_corrections_outlive_clearing_and_an_edited_prompt(shop):
    project.run(shop.file)
    shop.correct(Fix("r1", "stars", "2"))
    project.clear(shop.file)
    assert shop.kept() == [("r1", "read.stars", 2)]
    assert project.corrections(shop.file).corrections[0].given_by == ""


def test_keys_of_several_columns(shop):
    shop.rows("land,n,text\nJP,7,x\nJP,8,y\n")
    shop.declare(source={"files": "rows.csv", "key": ["land", "n"]})
    shop.correct(Fix(["JP", 7], "stars", "2"))
    assert shop.kept() == [('["JP", "7"]', "read.stars", 2)]
    (fix,) = shop.fixes("f.csv", "n,land,stars\n8,JP,5\n")
    shop.correct(fix)
    assert shop.kept()[1] == ('["JP", "8"]', "read.stars", 5)


# --- files


def test_a_file_of_fixes_and_a_file_of_columns_say_the_same(shop):
    long = 'id,field,value,note,by\nr1,stars,2,"see\nline 2",bo\n\nr2,n_why,"a, b",,\nr2,stars,,,\n'
    first, second, third = shop.fixes("a.csv", long)
    assert (first.key, first.field, first.value, first.note, first.author, first.line) == (
        ["r1"],
        "stars",
        "2",
        "see\nline 2",
        "bo",
        2,
    )
    assert (second.value, second.note, second.author, second.line) == ("a, b", "a note", "ana", 5)
    assert (third.field, third.value, third.line) == ("stars", None, 6), "an empty value is a null"
    wide = "\ufeffid;stars;n_why;note\nr1;2;;x\nr2;;良い;\n"
    fixes = shop.fixes("b.csv", wide)
    assert [(fix.field, fix.value, fix.note) for fix in fixes] == [("stars", "2", "x"), ("n_why", "良い", "a note")]


def test_jsonl_and_parquet_keep_their_types(shop):
    lines = [{"id": "r1", "tags": ["spa"], "stars": None}, {"id": "r2", "place": {"city": "x", "floor": 1}}]
    fixes = shop.fixes("f.jsonl", "\n".join(json.dumps(line) for line in lines) + "\n\n")
    assert [(fix.field, fix.value, fix.line) for fix in fixes] == [
        ("tags", ["spa"], 1),
        ("place", {"city": "x", "floor": 1}, 2),
    ]
    shop.correct(*fixes)
    table = pa.table({"id": ["r3"], "built": [dt.date(2020, 1, 1)], "stars": pa.array([None], pa.int64())})
    pq.write_table(table, shop.folder / "f.parquet")
    (fix,) = read_fixes(load(shop.file), shop.folder / "f.parquet")
    shop.correct(fix)
    assert shop.kept()[-1] == ("r3", "read.built", "2020-01-01")


def test_every_mistake_of_a_file_has_its_line(shop):
    fixes = shop.fixes("f.csv", 'id,stars,mood\nr1,9,good\nr8,1,\nr2,,"go\nod!"\n')
    with pytest.raises(SpecError) as caught:
        shop.correct(*fixes)
    text = str(caught.value)
    assert text.startswith("f.csv: 3 mistakes, so nothing was kept:")
    assert "f.csv:2: row r1: stars 9 is above max 5" in text
    assert "f.csv:3: no row of rows.csv has the key 'r8'" in text
    assert "f.csv:4: row r2: mood " in text
    assert shop.kept() == []


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("f.csv", "id,starz\nr1,2\n", "column `starz` is no field\n  → did you mean `stars`?"),
        ("f.csv", "stars\n2\n", "the key column `id` is missing"),
        ("f.csv", "id,field,value,mood\nr1,stars,2,x\n", "column `mood` is no field"),
        ("f.jsonl", '{"id": "r1", "\\u001b[31m": 1}\n', "is no field"),
    ],
)
def test_a_column_that_means_nothing_is_refused(shop, name, data, said):
    with pytest.raises(SpecError) as caught:
        shop.fixes(name, data)
    assert said in str(caught.value)
    assert caught.value.file == name


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("f.csv", "id,stars\nr1,2,3\n", "line 2: 3 cells, but the header names 2"),
        ("f.csv", b"", "is empty"),
        ("f.csv", b"id,stars\nr1,\xff\n", "not UTF-8"),
        ("f.csv", 'id,stars\nr1,"2\n', "line 2"),
        ("f.csv.gz", b"no gzip", "cannot be unpacked"),
        ("f.jsonl", '{"id": "r1"}\n[1]\n', "line 2: not a JSON object"),
        ("f.jsonl", '{"id": \n', "line 1: not valid JSON"),
        ("f.parquet", b"PAR1 no", "cannot be read"),
        ("f.xlsx", b"x", "does not say its format"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(shop, name, data, said):
    with pytest.raises(SourceError) as caught:
        shop.fixes(name, data)
    assert said in str(caught.value)
    assert "source." not in str(caught.value)


def test_a_file_that_is_not_there_is_named(shop):
    with pytest.raises(SourceError, match="nothing matches") as caught:
        list(read_fixes(load(shop.file), shop.folder / "nope.csv"))
    assert "source" not in caught.value.message


def test_a_cell_of_a_megabyte_goes_through(shop):
    text = "良" * 350_000
    (fix,) = shop.fixes("f.csv", f"id,n_why\nr1,{text}\n")
    (one,) = shop.correct(fix)
    assert one.value == text
