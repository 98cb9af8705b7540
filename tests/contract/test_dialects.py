"""One contract for every wire: what a request is, and that each answer means the same, whoever gave it."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import orjson
import pytest
from dialect_scene import CASES, OUTCOMES, WIRES, Wire, body_of, kind_of, usage_of
from hypothesis import given
from hypothesis import strategies as st

from inlay import errors
from inlay.errors import ProviderError, RunError, SpecError, Transient, Unreadable
from inlay.types import Completion

each_wire = pytest.mark.parametrize("wire", WIRES, ids=repr)
SURE = ("RateLimited", "Overloaded", "ProviderTimeout", "TooLong", "InvalidRequest", "ContentFiltered")
SURE = (*SURE, "AuthenticationFailed", "SpendLimitReached", "ModelNotFound", "SchemaRejected")


# --- what the files hold


@each_wire
def test_a_wire_shows_every_outcome(wire: Wire) -> None:
    shown = {case["shows"] for case in wire.cases}
    without = set(wire.data.get("without", {}))
    assert shown <= set(OUTCOMES)
    assert without <= set(OUTCOMES)
    assert shown | without == set(OUTCOMES)
    assert not shown & without
    assert len({case["name"] for case in wire.cases}) == len(wire.cases)


@each_wire
def test_a_wire_shows_every_class_of_error(wire: Wire) -> None:
    shown = {case["error"] for case in wire.cases if "error" in case}
    assert set(SURE) <= shown


# --- requests


@each_wire
def test_a_request_goes_to_the_wires_own_place_and_holds_the_record_once(wire: Wire) -> None:
    record = 'She said "いいね" 😀\n\x07'
    request = wire.dialect().encoder(wire.shape())(record)
    assert request.url == wire.data["url"]
    assert request.method == "POST"
    assert dict(request.headers)["content-type"] == "application/json"
    texts = list(_strings(orjson.loads(request.body)))
    assert sum(record in text for text in texts) == 1
    assert any("レコードだけ" in text for text in texts)


@each_wire
def test_all_but_the_record_is_the_same_for_every_call_of_a_pass(wire: Wire) -> None:
    encode = wire.dialect().encoder(wire.shape(user_prefix="Read this: "))
    first, second = encode("Read this: AAAA").body, encode("Read this: BBBB").body
    assert first.replace(b"AAAA", b"BBBB") == second
    assert encode("Read this: AAAA") == wire.dialect().encoder(wire.shape(user_prefix="Read this: "))("Read this: AAAA")
    assert first.index(b"Answer from") < first.index(b"AAAA")


@each_wire
def test_a_request_carries_the_cap_and_no_temperature_of_its_own(wire: Wire) -> None:
    dialect = wire.dialect()
    plain = orjson.loads(dialect.encoder(wire.shape(max_output_tokens=317))("x").body)
    assert 317 in list(_leaves(plain))
    assert "temperature" not in list(_keys(plain))


@each_wire
def test_the_secret_is_in_the_headers_of_the_transport_alone(wire: Wire) -> None:
    dialect = wire.dialect()
    headers = dialect.auth("key-7c1f4d")
    assert any("key-7c1f4d" in value for _, value in headers)
    request = dialect.encoder(wire.shape())("x")
    assert "key-7c1f4d" not in repr(request) + repr(dialect) + str(vars(dialect))


@each_wire
def test_options_that_inlay_writes_itself_are_refused_by_name(wire: Wire) -> None:
    assert wire.data["own"]
    for key, value in wire.data["own"].items():
        with pytest.raises(SpecError) as caught:
            wire.dialect().encoder(wire.shape(options={key: value}))
        assert caught.value.key == f"options.{key}"
        assert caught.value.remedy


@each_wire
def test_an_option_that_is_no_json_is_refused(wire: Wire) -> None:
    with pytest.raises(SpecError, match="JSON"):
        wire.dialect().encoder(wire.shape(options={"metadata": {"a": object()}}))


@each_wire
@given(text=st.text(alphabet=st.characters(exclude_categories=[]), max_size=60))
def test_any_text_makes_a_sound_request_and_arrives_unchanged(wire: Wire, text: str) -> None:
    body = orjson.loads(wire.dialect().encoder(wire.shape())(f"<<{text}>>").body)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert any(sent.endswith(f"<<{whole}>>") for sent in _strings(body))


# --- answers


@pytest.mark.parametrize(("wire", "case"), CASES, ids=[f"{wire.name}-{case['name']}" for wire, case in CASES])
def test_an_answer_means_what_its_fixture_says(wire: Wire, case: dict[str, Any]) -> None:
    headers = case.get("headers", {})
    if "error" not in case:
        found = wire.dialect().read(case["status"], headers, body_of(case))
        assert found.text == case["text"]
        for key, value in (
            ("usage", found.usage),
            ("truncated", found.truncated),
            ("served", found.served_model),
            ("request_id", found.request_id),
        ):
            if key in case:
                assert value == (usage_of(case) if key == "usage" else case[key]), key
        return
    with pytest.raises(ProviderError) as caught:
        wire.dialect().read(case["status"], headers, body_of(case))
    error = caught.value
    assert type(error) is kind_of(case)
    assert case.get("says", "") in error.message
    assert error.status == case.get("told_status", case["status"])
    if "usage" in case:
        assert error.usage == usage_of(case)
    if "possibly_paid" in case:
        assert error.possibly_paid is case["possibly_paid"]
    if "retry_after_s" in case:
        assert isinstance(error, Transient)
        assert error.retry_after_s == pytest.approx(case["retry_after_s"])
    if "request_id" in case:
        assert error.request_id == case["request_id"]
    if isinstance(error, RunError):
        assert error.remedy
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.usage) == (type(error), error.message, error.usage)


@each_wire
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"true",
        b"[]",
        b"{}",
        b'"text"',
        b"7",
        b"NaN",
        b"{",
        b"\xff\xfe",
        b'{"a": "\xff\xfe"}',
        b"<!doctype html><html><body>Sign in</body></html>",
        b"data: {}\n\ndata: [DONE]\n\n",
        b'{"choices": [], "output": null, "content": [], "stop_reason": null}',
        b'{"choices": null, "output": {}, "content": null}',
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
    ],
    ids=lambda body: repr(body[:16]),
)
def test_a_200_without_an_answer_is_unreadable_and_may_be_paid(wire: Wire, body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        wire.dialect().read(200, {}, body)
    assert caught.value.possibly_paid is True
    assert len(str(caught.value)) < 500


@each_wire
@pytest.mark.parametrize("extra", [math.nan, math.inf, "\ud83d", {"new": [1, None]}, 10**400])
def test_what_stands_beside_an_answer_never_loses_it(wire: Wire, extra: Any) -> None:
    case = wire.shows("done")
    body = json.dumps({**case["body"], "brand_new": extra}).encode()
    assert wire.dialect().read(200, {}, body).text == case["text"]


@each_wire
def test_an_answers_own_lone_surrogate_does_not_lose_it(wire: Wire) -> None:
    case = wire.shows("done")
    body = json.dumps(case["body"]).replace(json.dumps(case["text"])[1:-1], '{\\"a\\":\\"\\ud83d\\"}').encode()
    assert b"\\ud83d" in body
    assert wire.dialect().read(200, {}, body).text == '{"a":"\ud83d"}'


@each_wire
def test_a_key_that_a_server_repeats_is_hidden(wire: Wire) -> None:
    for status in (400, 401, 429, 500):
        body = {"error": {"message": "wrong key sk-abcdefghijkl1234"}, "message": "wrong key sk-abcdefghijkl1234"}
        with pytest.raises(ProviderError) as caught:
            wire.dialect().read(status, {}, json.dumps(body).encode())
        assert "abcdefghijkl" not in str(caught.value)


@each_wire
@given(body=st.binary(max_size=200), status=st.sampled_from([200, 201, 204, 302, 400, 404, 429, 500, 529, 999]))
def test_any_bytes_are_an_answer_or_a_provider_error(wire: Wire, body: bytes, status: int) -> None:
    _must_read(wire, status, {"retry-after": "soon"}, body)


@each_wire
@given(data=st.data())
def test_any_change_of_a_real_answer_is_an_answer_or_a_provider_error(wire: Wire, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([case for case in wire.cases if isinstance(case["body"], dict)]))
    body = copy.deepcopy(case["body"])
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=6,
    )
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(_places(body))
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(anything)
    status = data.draw(st.sampled_from([case["status"], 200, 400, 500]))
    _must_read(wire, status, case.get("headers", {}), json.dumps(body).encode())


def _must_read(wire: Wire, status: int, headers: dict[str, str], body: bytes) -> None:
    found = _outcome(wire, status, headers, body)
    if isinstance(found, ProviderError):
        assert type(found).__name__ in errors.__all__
        assert found.message
        assert len(str(found)) < 1000
        assert found.status is not None
        return
    assert isinstance(found.text, str)
    assert isinstance(found.served_model, str)
    assert isinstance(found.truncated, bool)
    assert 200 <= status < 300


def _outcome(wire: Wire, status: int, headers: dict[str, str], body: bytes) -> Completion | ProviderError:
    try:
        return wire.dialect().read(status, headers, body)
    except ProviderError as error:
        return error


def _places(node: Any) -> Any:
    """Every (holder, key) inside a JSON value."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield node, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _leaves(node: Any) -> Any:
    if isinstance(node, (dict, list)):
        for holder, key in _places(node):
            if not isinstance(holder[key], (dict, list)):
                yield holder[key]


def _strings(node: Any) -> Any:
    return (leaf for leaf in _leaves(node) if isinstance(leaf, str))


def _keys(node: Any) -> Any:
    return (key for holder, key in _places(node) if isinstance(holder, dict))
