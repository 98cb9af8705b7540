"""Answers that are not simply the object that was asked for, class by class."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from inlay.engine.answer import LONGEST_MESSAGE, AnswerReader, Reading
from inlay.spec.fields import FieldSpec
from inlay.types import CellState, NullReason

TEXT = "部屋はとても広かった。The staff was kind, الإفطار ممتاز 👍. Three nights for 450 euros."
TEXTS = {"review": TEXT}
FIELDS = {
    "sentiment": FieldSpec(type="enum", values=("positive", "neutral", "negative"), evidence=True, confidence=True),
    "stars": FieldSpec(type="integer", min=1, max=5),
    "summary": FieldSpec(max_length=100),
}
READER = AnswerReader(FIELDS)
GOOD: dict[str, Any] = {
    "sentiment": {"evidence": "部屋はとても広かった", "value": "positive", "confidence": 0.9},
    "stars": 4,
    "summary": "広い部屋 👍",
    "nulls": [],
}
CLEAN = json.dumps(GOOD, ensure_ascii=False)


def values(reading: Reading) -> dict[str, Any]:
    return {name: answer.value for name, answer in reading.fields.items()}


def read(text: str, *, truncated: bool = False) -> Reading:
    return READER.read(text, TEXTS, truncated=truncated)


def test_a_clean_answer_is_done():
    reading = read(CLEAN)
    assert reading.state is CellState.DONE
    assert (reading.error_kind, reading.error_message, reading.missing) == (None, None, ())
    assert list(reading.fields) == list(FIELDS)
    assert values(reading) == {"sentiment": "positive", "stars": 4, "summary": "広い部屋 👍"}
    sentiment = reading.fields["sentiment"]
    assert sentiment.confidence == 0.9
    assert sentiment.evidence is not None
    assert sentiment.evidence.verified
    assert TEXT[sentiment.evidence.start : sentiment.evidence.end] == "部屋はとても広かった"


WHOLE = {
    "code fence": f"```json\n{CLEAN}\n```",
    "fence without a language": f"```\n{CLEAN}```",
    "prose around": f"Here you are: {CLEAN}\nI hope that helps :)",
    "prose with braces and an odd quote": f'The set {{a, b}} has 5" things. {CLEAN} {{done}}',
    "reasoning block": f'<reasoning>{{"stars": 1}} so </reasoning>\n{CLEAN}',
    "think block with a draft of all": f"<think>\n{CLEAN.replace('positive', 'negative')}\n</think>{CLEAN}",
    "reasoning that was opened in the prompt": f"{CLEAN.replace('4', '2')} hm.</think>\n{CLEAN}",
    "reasoning that never closes": f"<think>Let me see. {CLEAN}",
    "two objects": CLEAN.replace('"positive"', '"negative"') + "\n" + CLEAN,
    "an outer wrapper": json.dumps({"answer": GOOD}),
    "a wrapper in a wrapper": json.dumps({"result": {"data": [GOOD]}}),
    "a wrapper beside a remark": json.dumps({"note": "done", "hotel_reviews": GOOD}),
    "a list of one object": json.dumps([GOOD]),
    "encoded twice": json.dumps(CLEAN),
    "byte order mark": "\ufeff" + CLEAN,
    "single quotes": CLEAN.replace('"', "'"),
    "typographic quotes": CLEAN.replace('"stars"', "“stars”").replace('"summary"', "“summary”"),
    "unquoted keys": "{sentiment: {value: 'positive', evidence: '広い'}, stars: 4, summary: '広い部屋 👍'}",
    "trailing commas": CLEAN.replace('"nulls": []}', '"nulls": [],}').replace("0.9}", "0.9,}"),
    "Python literals": "{'sentiment': {'evidence': None, 'value': 'positive'}, 'stars': 4,"
    " 'summary': '広い部屋 👍', 'x': True}",
    "case of keys": CLEAN.replace('"sentiment"', '"Sentiment"').replace('"stars"', '"STARS"'),
    "extra key": CLEAN.replace('"stars"', '"extra": [1, {"a": 2}], "stars"'),
    "equal doubled key": CLEAN.replace('"stars": 4', '"stars": 4, "stars": 4'),
    "enum in other case": CLEAN.replace('"positive"', '" Positive "'),
    "number as text": CLEAN.replace("4", '"4"'),
    "raw line break in a string": CLEAN.replace("広い部屋 👍", "広い部屋\n👍"),
    "quotes inside a quote": CLEAN.replace("部屋はとても広かった", 'the "room" is'),
    "escaped emoji": json.dumps(GOOD, ensure_ascii=True),
    "missing last brace": CLEAN[:-1],
    "comments": CLEAN.replace('"stars": 4,', '"stars": 4, // of five\n'),
    "markup in a value": CLEAN.replace("広い部屋 👍", "広い部屋 👍").replace("[]", '["</think>"]'),
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
def test_harmless_faults_cost_nothing(text: str):
    reading = read(text)
    assert values(reading) == {"sentiment": "positive", "stars": 4, "summary": "広い部屋 👍"}
    assert reading.state is CellState.DONE


# text, the fields that are lost, and the values of the others
PARTIAL = {
    "wrong type": (CLEAN.replace("4", '["a"]'), "stars"),
    "missing key": (json.dumps({"sentiment": GOOD["sentiment"], "summary": GOOD["summary"]}), "stars"),
    "NaN": (CLEAN.replace("4", "NaN"), "stars"),
    "Infinity": (CLEAN.replace("4", "-Infinity"), "stars"),
    "overflowing number": (CLEAN.replace("4", "4e999"), "stars"),
    "doubled key": (CLEAN.replace('"stars": 4', '"stars": 4, "stars": 5'), "stars"),
    "doubled key, spaced": (CLEAN.replace('"stars": 4', '"stars" : 4, "stars" :5'), "stars"),
    "doubled key by escape": (CLEAN.replace('"stars": 4', '"stars": 4, "st\\u0061rs": 5'), "stars"),
    "doubled value inside": (
        CLEAN.replace('"value": "positive"', '"value": "positive", "value": "negative"'),
        "sentiment",
    ),
    "lone surrogate": (CLEAN.replace("広い部屋 👍", "x\\ud800y"), "summary"),
    "lone surrogate in the text": (CLEAN.replace("広い部屋 👍", "x\udc80y"), "summary"),
    "range": (CLEAN.replace("4", "7"), "stars"),
    "too long": (CLEAN.replace("広い部屋 👍", "長" * 101), "summary"),
    "10-MB string": (CLEAN.replace("広い部屋 👍", "x" * 10_000_000), "summary"),
    "two values in words": (CLEAN.replace("4", "4 or 5"), "stars"),
    "enum not in the list": (CLEAN.replace('"positive"', '"great"'), "sentiment"),
    "no value in the wrapper": (CLEAN.replace('"value": "positive", ', ""), "sentiment"),
    "repair would guess": (CLEAN.replace('"value": "positive"', "'value': 3 stars"), "sentiment"),
    "two loose keys disagree": (CLEAN.replace('"stars": 4', '"Stars": 4, "STARS": 5'), "stars"),
}


@pytest.mark.parametrize(("text", "lost"), PARTIAL.values(), ids=PARTIAL)
def test_a_bad_field_costs_only_itself(text: str, lost: str):
    reading = read(text)
    assert reading.state is CellState.PARTIAL
    assert reading.error_kind == "invalid_output"
    assert reading.missing == (lost,)
    whole = values(read(CLEAN))
    assert values(reading) == {**whole, lost: None}
    assert reading.fields[lost].null_reason is NullReason.INVALID
    assert reading.fields[lost].problem
    assert reading.error_message is not None
    assert reading.error_message.startswith(f"1 of 3 fields: {lost} ")


FAILED = {
    "empty": "",
    "blank": " \n\t ",
    "null": "null",
    "a number": "4",
    "a bare label": '"positive"',
    "HTML": "<!DOCTYPE html><html><body onload='x()'>502 {error: 1} Bad Gateway</body></html>",
    "bad UTF-8, replaced": "\ufffd\ufffd\x00\x01",
    "a refusal in prose": "I cannot help with that.",
    "another object": '{"error": "overloaded"}',
    "the schema itself": json.dumps({"type": "object", "properties": {"sentiment": {"type": "string"}}}),
    "several objects in a list": json.dumps([GOOD, {**GOOD, "stars": 2}]),
    "several objects in a fenced list": "```json\n" + json.dumps([GOOD, {**GOOD, "stars": 2}]) + "\n```",
    "10,000-deep list": "[" * 10_000 + "]" * 10_000,
    "10,000-deep object": '{"stars":' * 10_000 + "4" + "}" * 10_000,
    "900-deep object": '{"a":' * 900 + "1" + "}" * 900,
    "10-MB of one letter": "x" * 10_000_000,
    "10-MB broken string": '{"summary": "' + "x" * 10_000_000,
}


@pytest.mark.parametrize("text", FAILED.values(), ids=FAILED)
def test_unreadable_answers_fail_with_a_kind_and_a_message(text: str):
    reading = read(text)
    assert reading.state is CellState.FAILED
    assert reading.error_kind == "invalid_output"
    assert reading.missing == tuple(FIELDS)
    assert list(reading.fields) == list(FIELDS)
    assert all(answer.null_reason is NullReason.INVALID and answer.problem for answer in reading.fields.values())
    assert reading.error_message
    assert len(reading.error_message) <= LONGEST_MESSAGE
    assert reading.error_message.isprintable()


# --- cut off ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("truncated", [True, False])
@pytest.mark.parametrize("prefix", ["", "```json\n", '{"answer": '])
def test_no_prefix_of_an_answer_gives_a_wrong_value(prefix: str, truncated: bool):
    whole = values(read(CLEAN))
    seen: set[CellState] = set()
    for end in range(len(CLEAN) - 1):
        reading = read(prefix + CLEAN[:end], truncated=truncated)
        seen.add(reading.state)
        for name, value in values(reading).items():
            assert value in (None, whole[name]), CLEAN[:end]
        # A number is accepted only once something follows it.
        assert ("stars" in reading.missing) is (end <= CLEAN.index("4") + 1)
    assert seen == {CellState.FAILED, CellState.PARTIAL, CellState.DONE}


def test_a_truncated_answer_says_so_and_keeps_its_whole_fields():
    reading = read(CLEAN[: CLEAN.index("広い部屋") + 2], truncated=True)
    assert reading.state is CellState.PARTIAL
    assert reading.error_kind == "truncated"
    assert reading.missing == ("summary",)
    assert reading.fields["summary"].problem == "was cut off"


def test_a_cut_number_may_have_had_more_digits():
    reader = AnswerReader({"a": FieldSpec(type="integer"), "b": FieldSpec(type="integer")})
    assert reader.read('{"a": 1, "b": 12', {}, truncated=True).missing == ("b",)
    assert reader.read('{"a": 1, "b": 12', {}).missing == ("b",)
    assert reader.read('{"a": 1, "b": 12 ,', {}).missing == ()


def test_a_cut_string_that_ends_in_an_escaped_quote_is_not_whole():
    reader = AnswerReader({"a": FieldSpec(type="integer"), "b": FieldSpec()})
    for cut in ('{"a": 1, "b": "say \\"hi\\"', '{"a": 1, "b": "say \\"hi\\"}'):
        assert reader.read(cut, {}).missing == ("b",)
        assert reader.read(cut, {}, truncated=True).missing == ("b",)


def test_truncated_while_reasoning_holds_only_drafts():
    reading = read(f"<think>Perhaps {CLEAN}, or else", truncated=True)
    assert reading.state is CellState.FAILED
    assert reading.error_kind == "truncated"


def test_a_truncated_answer_that_is_whole_is_done():
    assert read(CLEAN + " \n" * 1000, truncated=True).state is CellState.DONE


def test_whole_null_reasons_survive_a_cut_in_the_last():
    reader = AnswerReader({"a": FieldSpec(), "b": FieldSpec()})
    text = '{"a": null, "b": null, "nulls": [{"field": "a", "reason": "ambiguous"}, {"field": "b", "rea'
    reading = reader.read(text, {}, truncated=True)
    assert reading.state is CellState.DONE
    assert reading.fields["a"].null_reason is NullReason.AMBIGUOUS
    assert reading.fields["b"].null_reason is NullReason.NOT_STATED


# --- wrappers of fields ----------------------------------------------------------------------------------------------


def test_a_wrapped_field_may_come_plain():
    reading = read('{"sentiment": "positive", "stars": 4, "summary": "ok", "nulls": []}')
    assert reading.state is CellState.DONE
    assert reading.fields["sentiment"].confidence is None
    assert reading.fields["sentiment"].evidence is None


def test_parts_of_a_field_may_stand_beside_it():
    reading = read(
        '{"sentiment": "positive", "sentiment_confidence": "80%", "sentiment_evidence": "staff was kind",'
        ' "stars": 4, "summary": "ok"}'
    )
    sentiment = reading.fields["sentiment"]
    assert sentiment.confidence == 0.8
    assert sentiment.evidence is not None
    assert sentiment.evidence.verified


def test_a_plain_field_may_come_wrapped():
    reading = read(json.dumps({**GOOD, "stars": {"value": 4, "confidence": 0.5}}))
    assert reading.fields["stars"].value == 4
    assert reading.fields["stars"].confidence is None


def test_the_parts_of_the_only_field_may_come_bare():
    reader = AnswerReader({"origin": FieldSpec(confidence=True)})
    reading = reader.read('{"value": "日本", "confidence": 0.7}', {})
    assert (reading.fields["origin"].value, reading.fields["origin"].confidence) == ("日本", 0.7)
    reader = AnswerReader({"place": FieldSpec(type="object", fields={"city": FieldSpec(), "zip": FieldSpec()})})
    assert reader.read('{"city": "القاهرة", "zip": null}', {}).fields["place"].value == {"city": "القاهرة", "zip": None}


def test_an_object_field_with_a_part_called_value():
    spec = FieldSpec(type="object", fields={"value": FieldSpec(type="number"), "unit": FieldSpec()}, confidence=True)
    reader = AnswerReader({"size": spec})
    inner = {"value": 3, "unit": "m"}
    wrapped = reader.read(json.dumps({"size": {"value": inner, "confidence": 0.5}}), {})
    plain = reader.read(json.dumps({"size": inner}), {})
    assert wrapped.fields["size"].value == plain.fields["size"].value == {"value": 3.0, "unit": "m"}
    assert wrapped.fields["size"].confidence == 0.5


def test_keys_with_spaces_hyphens_and_full_width():
    reader = AnswerReader({"job_title": FieldSpec(), "is_remote": FieldSpec(type="boolean"), "pay": FieldSpec()})
    reading = reader.read('{"Job Title": "nurse", "is-remote": true, "ｐａｙ": "1"}', {})
    assert values(reading) == {"job_title": "nurse", "is_remote": True, "pay": "1"}


def test_names_that_differ_only_loosely_are_never_mixed_up():
    reader = AnswerReader({"a_b": FieldSpec(), "ab": FieldSpec()})
    assert values(reader.read('{"a_b": "1", "ab": "2"}', {})) == {"a_b": "1", "ab": "2"}
    assert reader.read('{"A_B": "1", "ab": "2"}', {}).missing == ("a_b",)
    assert values(reader.read("{'a_b': '1', 'ab': '2',}", {})) == {"a_b": "1", "ab": "2"}


# --- nulls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nulls", "reason"),
    [
        ([{"field": "stars", "reason": "ambiguous"}], NullReason.AMBIGUOUS),
        ([{"field": "Stars", "reason": "Not Applicable"}], NullReason.NOT_APPLICABLE),
        ({"stars": "ambiguous"}, NullReason.AMBIGUOUS),
        ([{"field": "stars", "reason": "who knows"}], NullReason.NOT_STATED),
        ([{"field": "stars", "reason": "refused"}], NullReason.NOT_STATED),
        ([{"field": "nobody", "reason": "ambiguous"}], NullReason.NOT_STATED),
        ([1, None, {"reason": "ambiguous"}, {"field": 3}], NullReason.NOT_STATED),
        ("stars", NullReason.NOT_STATED),
        ([], NullReason.NOT_STATED),
    ],
)
def test_a_null_has_a_reason(nulls: Any, reason: NullReason):
    reading = read(json.dumps({**GOOD, "stars": None, "nulls": nulls}))
    assert reading.state is CellState.DONE
    assert (reading.fields["stars"].value, reading.fields["stars"].null_reason) == (None, reason)


def test_a_reason_for_a_field_that_has_a_value_is_passed_over():
    reading = read(json.dumps({**GOOD, "nulls": [{"field": "stars", "reason": "ambiguous"}]}))
    assert (reading.fields["stars"].value, reading.fields["stars"].null_reason) == (4, None)


def test_a_field_left_out_with_a_reason_is_null():
    text = json.dumps({"sentiment": "neutral", "summary": "x", "nulls": [{"field": "stars", "reason": "ambiguous"}]})
    reading = read(text)
    assert reading.state is CellState.DONE
    assert reading.fields["stars"].null_reason is NullReason.AMBIGUOUS


def test_a_wrapper_keeps_nulls_that_stand_beside_it():
    text = json.dumps({"answer": {**GOOD, "stars": None}, "nulls": [{"field": "stars", "reason": "ambiguous"}]})
    text = text.replace('"nulls": []', '"remark": 1', 1)
    assert read(text).fields["stars"].null_reason is NullReason.AMBIGUOUS


def test_a_null_where_none_may_be_is_invalid():
    reader = AnswerReader({"a": FieldSpec(nullable=False), "b": FieldSpec()})
    reading = reader.read('{"a": null, "b": null}', {})
    assert reading.missing == ("a",)
    assert reading.fields["a"].problem == "is null, but must have a value"


def test_a_field_called_nulls_is_an_ordinary_field():
    reader = AnswerReader({"nulls": FieldSpec(type="integer"), "b": FieldSpec()})
    reading = reader.read('{"nulls": 3, "b": null, "nulls_": [{"field": "b", "reason": "ambiguous"}]}', {})
    assert reading.fields["nulls"].value == 3
    assert reading.fields["b"].null_reason is NullReason.AMBIGUOUS


# --- messages and size -----------------------------------------------------------------------------------------------


def test_a_message_is_one_short_line_whatever_the_values_hold():
    fields = {f"field_{n}": FieldSpec(type="integer") for n in range(30)}
    text = json.dumps(dict.fromkeys(fields, "\x1b[31mred\n\u202eoverride\u0000" * 20))
    message = AnswerReader(fields).read(text, {}).error_message
    assert message is not None
    assert message.startswith("30 of 30 fields: field_0 '\\x1b[31mred\\n\\u202e")
    assert message.isprintable()
    assert len(message) == LONGEST_MESSAGE


def test_an_8_mb_answer_stays_within_100_mb():
    text = CLEAN.replace("広い部屋 👍", "あ" * 2_500_000) + "}"
    tracemalloc.start()
    try:
        read(text)
        read(CLEAN.replace("4", "NaN").replace("広い部屋 👍", "a " * 4_000_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.parametrize(
    "text",
    [
        '{"stars":' * 50_000,
        '{"stars": "' * 50_000,
        "<think>" * 50_000,
        "<think></think>" * 50_000,
        '{"stars": 1}' * 50_000,
        '{"stars": 1,' * 50_000,
        '{"stars": 1' + "\n" * 500_000,
        '{"stars": ' + '"a" ' * 100_000,
        "[" * 300_000 + '{"stars": 1}',
        '{"summary": "' + '\\"' * 200_000,
        "{'stars': [" + "1, " * 10_000,
        "{\n" * 200_000 + '"stars": 1',
        " " * 900_000 + "{",
    ],
    ids=lambda text: repr(text[:16]),
)
def test_hostile_text_ends_in_a_reading(text: str):
    # Each of these would take minutes if any step were quadratic.
    for truncated in (False, True):
        reading = read(text, truncated=truncated)
        assert reading.state in (CellState.PARTIAL, CellState.FAILED)
        assert reading.fields["stars"].value in (1, None)


def test_a_declared_field_is_never_taken_for_a_part_of_another():
    fields = {"mood": FieldSpec(confidence=True), "mood_confidence": FieldSpec(type="number")}
    reading = AnswerReader(fields).read('{"mood": "calm", "mood_confidence": 0.3}', {})
    assert reading.fields["mood"].confidence is None
    assert reading.fields["mood_confidence"].value == 0.3


def test_a_field_that_a_cut_answer_never_reached_is_not_null_whatever_its_nulls_say():
    reader = AnswerReader({"a": FieldSpec(), "b": FieldSpec()})
    reading = reader.read('{"nulls": [{"field": "b", "reason": "ambiguous"}], "a": "x", "b', {}, truncated=True)
    assert reading.missing == ("b",)
