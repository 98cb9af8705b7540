"""Golden table: what each field type makes of the values that models give."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from inlay.engine.answer import AnswerReader
from inlay.engine.coerce import MAX_TEXT, compile_field
from inlay.engine.salvage import Unreadable
from inlay.engine.scalars import Unfit
from inlay.errors import SpecError
from inlay.spec.fields import FieldSpec
from inlay.types import NullReason

INTEGER = FieldSpec(type="integer")
NUMBER = FieldSpec(type="number")
BOOLEAN = FieldSpec(type="boolean")
DATE = FieldSpec(type="date")
DATETIME = FieldSpec(type="datetime")
STRING = FieldSpec()
LONG = FieldSpec(type="text")
COUNTRY = FieldSpec(type="enum", values=("日本", "Côte d'Ivoire", "united_kingdom", "N/A", "مصر", "ＵＳ-West"))
LABELS = FieldSpec(type="list", items=FieldSpec(type="enum", values=("wi-fi", "sea_view", "朝食")), max_items=2)
PLACE = FieldSpec(
    type="object",
    fields={"city": FieldSpec(nullable=False), "zip_code": FieldSpec(), "floor": FieldSpec(type="integer")},
)

FITS: list[tuple[FieldSpec, Any, Any]] = [
    (INTEGER, 3, 3),
    (INTEGER, 3.0, 3),
    (INTEGER, "3", 3),
    (INTEGER, " 1,234 ", 1234),
    (INTEGER, "１２３", 123),
    (INTEGER, "١٢٣", 123),
    (INTEGER, "-12", -12),
    (INTEGER, "$120,000", 120000),
    (INTEGER, "1.234.567", 1234567),
    (INTEGER, "12,34,567", 1234567),
    (INTEGER, [7], 7),
    (INTEGER, "3.0", 3),
    (NUMBER, 3, 3.0),
    (NUMBER, "1,234.5", 1234.5),
    (NUMBER, "1.234,5", 1234.5),
    (NUMBER, "1,5", 1.5),
    (NUMBER, "1.234", 1.234),
    (NUMBER, "0,123", 0.123),
    (NUMBER, "1 234,5", 1234.5),
    (NUMBER, "1\u202f234", 1234.0),
    (NUMBER, "1’234.50", 1234.5),
    (NUMBER, "€ 50,000", 50000.0),
    (NUMBER, "50 €", 50.0),
    (NUMBER, "-¥3", -3.0),
    (NUMBER, "١٬٢٣٤٫٥", 1234.5),
    (NUMBER, "−2.5e3", -2500.0),
    (BOOLEAN, True, True),
    (BOOLEAN, "Yes", True),
    (BOOLEAN, "no", False),
    (BOOLEAN, "ＴＲＵＥ", True),
    (BOOLEAN, 0, False),
    (BOOLEAN, 1.0, True),
    (BOOLEAN, "0", False),
    (DATE, "2024-03-12", "2024-03-12"),
    (DATE, "2024/3/12", "2024-03-12"),
    (DATE, "20240312", "2024-03-12"),
    (DATE, "12 March 2024", "2024-03-12"),
    (DATE, "March 12th, 2024", "2024-03-12"),
    (DATE, "Tue, 12 Mar 2024", "2024-03-12"),
    (DATE, "2024年3月12日", "2024-03-12"),
    (DATE, "２０２４-０３-１２", "2024-03-12"),
    (DATE, "13/04/2024", "2024-04-13"),
    (DATE, "04/13/2024", "2024-04-13"),
    (DATE, "2024-03-12T23:30:00-05:00", "2024-03-12"),
    (DATETIME, "2024-03-12T10:00:00+09:00", "2024-03-12T01:00:00Z"),
    (DATETIME, "2024-03-12T10:00:00Z", "2024-03-12T10:00:00Z"),
    (DATETIME, "2024-03-12 10:00", "2024-03-12T10:00:00"),
    (DATETIME, "2024-03-12", "2024-03-12T00:00:00"),
    (DATETIME, "12 March 2024 at 9:05 UTC", "2024-03-12T09:05:00Z"),
    (DATETIME, "2024-03-12T10:00:00.250Z", "2024-03-12T10:00:00.250000Z"),
    (STRING, "  two\n lines ", "two lines"),
    (STRING, "tab\there", "tab\there"),
    (STRING, "a\x00b\x1b[0m", "ab[0m"),
    (STRING, 42, "42"),
    (STRING, 3.0, "3"),
    (STRING, True, "true"),
    (STRING, ["one"], "one"),
    (STRING, "👨‍👩‍👧 مرحبا", "👨‍👩‍👧 مرحبا"),
    (LONG, "two\r\n\r\nlines ", "two\n\nlines"),
    (COUNTRY, "日本", "日本"),
    (COUNTRY, " 日本\n", "日本"),
    (COUNTRY, "cÔte D'ivoire", "Côte d'Ivoire"),
    (COUNTRY, "United Kingdom", "united_kingdom"),
    (COUNTRY, "united-kingdom.", "united_kingdom"),
    (COUNTRY, '"US West"', "ＵＳ-West"),
    (COUNTRY, "مصر ", "مصر"),
    (COUNTRY, "n/a", "N/A"),
    (COUNTRY, ["مصر"], "مصر"),
    (FieldSpec(type="enum", values=("1", "2")), 2, "2"),
    (FieldSpec(type="enum", values=("1", "2")), 2.0, "2"),
    (FieldSpec(type="enum", values=("true", "false")), True, "true"),
    (FieldSpec(type="enum", values=("None", "Some")), "none", "None"),
    (LABELS, ["WiFi", "sea view"], ["wi-fi", "sea_view"]),
    (LABELS, ["朝食", None, "", "朝食", "wifi", "sea_view"], ["朝食", "wi-fi"]),
    (LABELS, "朝食", ["朝食"]),
    (LABELS, "朝食、Wi-Fi", ["朝食", "wi-fi"]),
    (LABELS, '["wi-fi"]', ["wi-fi"]),
    (LABELS, [], []),
    (FieldSpec(type="list"), "one, two", ["one, two"]),
    (FieldSpec(type="list"), ["b", "a", "b"], ["b", "a"]),
    (FieldSpec(type="list", items=INTEGER), ["1", 1.0, 2], [1, 2]),
    (FieldSpec(type="list", items=PLACE), {"city": "x"}, [{"city": "x", "zip_code": None, "floor": None}]),
    (PLACE, {"city": "東京", "zip_code": 1000001, "floor": "3"}, {"city": "東京", "zip_code": "1000001", "floor": 3}),
    (PLACE, {"City": "x", "ZIP code": "n/a", "extra": 1}, {"city": "x", "zip_code": None, "floor": None}),
    (PLACE, '{"city": "x"}', {"city": "x", "zip_code": None, "floor": None}),
]


@pytest.mark.parametrize(("spec", "raw", "value"), FITS, ids=lambda part: repr(part)[:40])
def test_a_value_that_fits(spec: FieldSpec, raw: Any, value: Any):
    got, reason = compile_field("x", spec).settle(raw)
    assert got == value
    assert type(got) is type(value)
    assert reason is None


UNFIT: list[tuple[FieldSpec, Any, str]] = [
    (INTEGER, 3.5, "3.5 is not a whole number"),
    (INTEGER, "3.5", "'3.5' is not a whole number"),
    (INTEGER, True, "true is not a whole number"),
    (INTEGER, "1.000", "'1.000' is not a whole number"),  # one, or a thousand
    (INTEGER, "three", "'three' is not a whole number"),
    (INTEGER, "3 years", "'3 years' is not a whole number"),
    (INTEGER, "4-5", "'4-5' is not a whole number"),
    (INTEGER, [1, 2], "a list of 2 is not a whole number"),
    (INTEGER, {"a": 1}, "an object is not a whole number"),
    (INTEGER, 1e20, "1e+20 is not a whole number"),
    (INTEGER, 2**64, "does not fit 64 bits"),
    (INTEGER, "9" * 5000, "is not a whole number"),
    (INTEGER, Unreadable("was given twice"), "was given twice"),
    (NUMBER, "12%", "'12%' is not a number"),
    (NUMBER, "€1.500", "'€1.500' is not a number"),
    (NUMBER, "$5 $6", "is not a number"),
    (NUMBER, "120k", "'120k' is not a number"),
    (NUMBER, "", "'' is not a number"),
    (NUMBER, "1,23,4", "is not a number"),
    (NUMBER, "1e999", "is not a number"),
    (NUMBER, float("inf"), "is not a finite number"),
    (NUMBER, 10**400, "is not a finite number"),
    (NUMBER, False, "false is not a number"),
    (BOOLEAN, "maybe", "'maybe' is neither true nor false"),
    (BOOLEAN, 2, "2 is neither true nor false"),
    (DATE, "03/04/2024", "'03/04/2024' is not a date with one clear reading"),
    (DATE, "2024", "'2024' is not a date"),
    (DATE, "March 2024", "'March 2024' is not a date"),
    (DATE, "2024-02-30", "'2024-02-30' is not a date"),
    (DATE, "12/03/24", "'12/03/24' is not a date"),
    (DATE, 1710201600, "1710201600 is not a date"),
    (DATETIME, "2024-03-12T25:00", "is not a time with one clear reading"),
    (DATETIME, "0001-01-01T00:00+09:00", "is not a time with one clear reading"),
    (DATETIME, "tomorrow", "'tomorrow' is not a time"),
    (STRING, ["a", "b"], "a list of 2 is not text"),
    (STRING, {"a": 1}, "an object is not text"),
    (STRING, "x\ud800", "holds broken Unicode"),
    (STRING, 1e300, "lost digits"),
    (STRING, "x" * (MAX_TEXT + 1), "more than any answer may have"),
    (FieldSpec(max_length=3), "長い文字", "has 4 characters, more than max_length 3"),
    (FieldSpec(pattern="[0-9]{3}"), "1234", "'1234' does not match the pattern"),
    (FieldSpec(nullable=False), "  ", "is empty, but must have a value"),
    (FieldSpec(nullable=False), None, "is null, but must have a value"),
    (COUNTRY, "Japan", "'Japan' is not one of the 6 values"),
    (COUNTRY, ["日本", "مصر"], "a list of 2 is not one of the 6 values"),
    (FieldSpec(type="enum", values=("a b", "a_b")), "A B", "'A B' is not one of the 2 values"),  # could be either
    (LABELS, ["wi-fi", "pool"], "item 2: 'pool' is not one of the 3 values"),
    (LABELS, "wi-fi, pool", "item 2: 'pool' is not one of the 3 values"),
    (LABELS, ["wi-fi", Unreadable("is NaN or infinite")], "item 2: is NaN or infinite"),
    (FieldSpec(type="list", items=INTEGER), ["1", "x"], "item 2: 'x' is not a whole number"),
    (FieldSpec(type="integer", min=1, max=5), 6, "6 is above max 5"),
    (FieldSpec(type="integer", min=1, max=5), "0", "0 is below min 1"),
    (FieldSpec(type="number", min=0, max=1), 1.01, "1.01 is above max 1"),
    (FieldSpec(type="date", min=dt.date(2020, 1, 1)), "2019-12-31", "is before min 2020-01-01"),
    (FieldSpec(type="datetime", max=dt.datetime(2020, 1, 1)), "2020-01-01T00:00:01Z", "is after max 2020-01-01"),
    (PLACE, {"zip_code": "1"}, "city: is null, but must have a value"),
    (PLACE, {"city": "x", "floor": "first"}, "floor: 'first' is not a whole number"),
    (PLACE, {"town": "x"}, "holds none of its fields"),
    (PLACE, "Tokyo", "'Tokyo' is not an object"),
]


@pytest.mark.parametrize(("spec", "raw", "problem"), UNFIT, ids=lambda part: repr(part)[:40])
def test_a_value_that_does_not_fit_says_why(spec: FieldSpec, raw: Any, problem: str):
    part = compile_field("x", spec.model_copy(update={"nullable": False}))
    with pytest.raises(Unfit) as caught:
        part.settle(raw)
    assert problem in str(caught.value)


NULL_WORDS: list[tuple[FieldSpec, str, NullReason]] = [
    (STRING, "null", NullReason.NOT_STATED),
    (STRING, " None ", NullReason.NOT_STATED),
    (STRING, "N/A", NullReason.NOT_STATED),
    (STRING, "", NullReason.NOT_STATED),
    (STRING, "not applicable", NullReason.NOT_APPLICABLE),
    (LONG, "Not stated", NullReason.NOT_STATED),
    (INTEGER, "n/a", NullReason.NOT_STATED),
    (INTEGER, "ambiguous", NullReason.AMBIGUOUS),
    (DATE, "not_stated", NullReason.NOT_STATED),
    (BOOLEAN, "null", NullReason.NOT_STATED),
    (LABELS, "none", NullReason.NOT_STATED),
    (PLACE, "null", NullReason.NOT_STATED),
    (COUNTRY, "null", NullReason.NOT_STATED),
]


@pytest.mark.parametrize(("spec", "raw", "reason"), NULL_WORDS, ids=lambda part: repr(part)[:40])
def test_words_for_null(spec: FieldSpec, raw: str, reason: NullReason):
    assert compile_field("x", spec).settle(raw) == (None, reason)


def test_words_for_null_are_values_where_they_are_declared_or_nothing_may_be_null():
    assert compile_field("x", COUNTRY).settle("N/A") == ("N/A", None)
    assert (
        compile_field("x", FieldSpec(type="enum", values=("ambiguous", "clear"))).settle("Ambiguous")[0] == "ambiguous"
    )
    assert compile_field("x", FieldSpec(nullable=False)).settle("None") == ("None", None)
    assert compile_field("x", STRING).settle("ambiguous") == ("ambiguous", None)


CONFIDENCES: list[tuple[Any, float | None]] = [
    (0.9, 0.9),
    (1, 1.0),
    (0, 0.0),
    ("0.9", 0.9),
    ("90%", 0.9),
    ("９０％", 0.9),
    (90, 0.9),
    ("90", 0.9),
    (100, 1.0),
    (8, None),
    (1.5, None),
    (-0.1, None),
    (101, None),
    ("high", None),
    ("150%", None),
    (True, None),
    (None, None),
    ([0.9], None),
    ({}, None),
]


@pytest.mark.parametrize(("raw", "confidence"), CONFIDENCES, ids=repr)
def test_a_confidence_never_costs_the_value(raw: Any, confidence: float | None):
    reader = AnswerReader({"x": FieldSpec(confidence=True)})
    answer = reader.read(json.dumps({"x": {"value": "v", "confidence": raw}}), {}).fields["x"]
    assert answer.value == "v"
    assert answer.confidence == confidence


@pytest.mark.parametrize(
    "spec",
    [
        FieldSpec(type="enum", values_file="countries.txt"),
        FieldSpec(type="date", min=3),
        FieldSpec(type="integer", max=dt.date(2020, 1, 1)),
        FieldSpec(type="list", items=FieldSpec(type="enum", values_file="x.txt")),
    ],
)
def test_limits_that_cannot_be_applied_are_refused_with_the_name_of_the_field(spec: FieldSpec):
    with pytest.raises(SpecError) as caught:
        AnswerReader({"size": spec})
    assert "size" in str(caught.value)
    assert caught.value.remedy
