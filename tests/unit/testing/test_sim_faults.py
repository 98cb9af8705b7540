"""Each fault as a raw client sees it, and the rules that say when one strikes."""

from __future__ import annotations

import json
import time

import pytest

from inlay.errors import SpecError
from inlay.testing import FAULTS, Simulator

ERRORS = {
    "http_500": (500, "server_error", None),
    "http_503": (503, "server_error", "server_overloaded"),
    "http_529": (529, "server_error", "server_overloaded"),
    "http_429": (429, "requests", "rate_limit_exceeded"),
    "http_429_quota": (429, "insufficient_quota", "insufficient_quota"),
    "http_401": (401, "invalid_request_error", "invalid_api_key"),
    "http_403": (403, "invalid_request_error", "unsupported_country_region_territory"),
    "http_404": (404, "invalid_request_error", "model_not_found"),
    "http_400_schema": (400, "invalid_request_error", None),
    "http_400_context": (400, "invalid_request_error", "context_length_exceeded"),
    "http_400_filter": (400, "invalid_request_error", "content_filter"),
    "http_413": (413, "invalid_request_error", "request_too_large"),
}
TRANSPORT = {
    "timeout",
    "slow_headers",
    "dribble",
    "stall_mid_body",
    "reset",
    "reset_mid_body",
    "hang_up",
    "garbage_chunk",
}
RIGHT = {"sentiment": {"evidence": "とても静か", "value": "Negative", "confidence": 0.5}, "stars": 3, "nulls": []}


def spoilt(client, fault: str, right=RIGHT):
    """What a client gets under this fault; the books must say so."""
    with Simulator(lambda request: right, faults=[{"fault": fault}]) as sim:
        answer = client.ask(sim.endpoint)
        assert sim.ledger.by_fault == {fault: 1}
        return answer, sim.ledger


@pytest.mark.parametrize("fault", ERRORS)
def test_errors_have_status_and_openai_body_and_cost_nothing(client, fault):
    answer, books = spoilt(client, fault)
    status, kind, code = ERRORS[fault]
    assert answer.status == status
    error = answer.json["error"]
    assert (error["type"], error["code"]) == (kind, code)
    assert error["message"]
    assert books.billed_nusd == 0


def test_retry_after_is_what_the_rule_says(client):
    with Simulator(faults=[{"fault": "http_429", "retry_after_s": 2.25}]) as sim:
        headers = client.ask(sim.endpoint).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("3", "2250")


def test_redirect_points_to_another_host(client):
    answer, _ = spoilt(client, "redirect")
    assert answer.status == 302
    assert answer.headers["location"].startswith("http://elsewhere.invalid/")


@pytest.mark.parametrize(
    ("fault", "data", "content_type"),
    [("empty_200", b"", "json"), ("null_body", b"null", "json"), ("html_200", b"<!doctype html>", "text/html")],
)
def test_bodies_that_are_no_completion(client, fault, data, content_type):
    answer, books = spoilt(client, fault)
    assert answer.status == 200
    assert answer.data.startswith(data)
    assert bool(answer.data) == bool(data)
    assert content_type in answer.headers["content-type"]
    assert books.billed_nusd > 0


def test_no_choices(client):
    assert spoilt(client, "no_choices")[0].json["choices"] == []


def test_an_error_inside_a_200(client):
    answer, books = spoilt(client, "error_in_200")
    assert (answer.status, answer.json["error"]["type"]) == (200, "server_error")
    assert books.billed_nusd > 0


def test_bytes_and_surrogates(client):
    data = spoilt(client, "bad_utf8")[0].data
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    outer = spoilt(client, "lone_surrogate_outer")[0]
    assert "\ud83d" in outer.choice["message"]["content"]
    inner = spoilt(client, "lone_surrogate")[0]
    assert "\\ud83d" in inner.choice["message"]["content"]
    assert inner.content["sentiment"]["value"] == "\ud83d"


def content(client, fault: str, right=RIGHT) -> str:
    return spoilt(client, fault, right)[0].choice["message"]["content"]


@pytest.mark.parametrize("fault", ["malformed", "truncated", "fenced", "reasoning_prefix", "two_objects", "filtered"])
def test_content_that_does_not_parse_strictly(client, fault):
    with pytest.raises(ValueError):
        json.loads(content(client, fault))


def test_truncated_is_cut_inside_a_string_with_its_reason(client):
    answer, books = spoilt(client, "truncated")
    choice = answer.choice
    text = choice["message"]["content"]
    assert choice["finish_reason"] == "length"
    assert json.dumps(RIGHT, ensure_ascii=False, separators=(",", ":")).startswith(text)
    assert text.count('"') % 2 == 1
    assert books.calls[0].completion_tokens == -(-len(text) // 4)


def test_what_surrounds_a_right_answer(client):
    plain = json.dumps(RIGHT, ensure_ascii=False, separators=(",", ":"))
    assert content(client, "fenced") == f"```json\n{plain}\n```"
    reasoned = content(client, "reasoning_prefix")
    assert reasoned.startswith("<reasoning>")
    assert reasoned.endswith("</reasoning>" + plain)
    assert content(client, "two_objects").endswith("}\n" + plain)
    assert json.loads(content(client, "wrapped")) == {"answer": RIGHT}


def test_answers_that_do_not_fit(client):
    wrong = json.loads(content(client, "wrong_schema"))
    assert list(wrong) == list(RIGHT)
    assert wrong["sentiment"]["value"] == {"unexpected": 12345}
    assert isinstance(wrong["stars"], str)
    assert json.loads(content(client, "missing_key")) == {"stars": 3, "nulls": []}
    assert set(json.loads(content(client, "extra_key"))) == {*RIGHT, "unexpected_extra"}
    assert json.loads(content(client, "enum_case"))["sentiment"]["value"] == "nEGATIVE"
    assert json.loads(content(client, "flattened")) == {"sentiment": "Negative", "stars": 3, "nulls": []}
    assert json.loads(content(client, "flattened", {"answer": {"stars": 1}})) == {"stars": 1}


def test_answers_that_are_barely_json(client):
    nan = json.loads(content(client, "nan"))
    assert nan["sentiment"]["confidence"] != nan["sentiment"]["confidence"]
    pairs = json.loads(content(client, "duplicate_keys"), object_pairs_hook=list)
    assert [name for name, _ in pairs] == ["sentiment", "sentiment", "stars", "nulls"]
    assert pairs[0][1] != pairs[1][1]
    assert content(client, "deep_nesting").count("[") > 10_000
    assert len(spoilt(client, "huge_body")[0].data) > 10_000_000


def test_endings_without_an_answer(client):
    assert content(client, "empty_content") == ""
    nothing = spoilt(client, "null_content")[0].choice
    assert (nothing["message"]["content"], nothing["message"]["refusal"]) == (None, None)
    refused, books = spoilt(client, "refusal")
    message = refused.choice["message"]
    assert message["content"] is None
    assert message["refusal"].startswith("I'm sorry")
    assert refused.choice["finish_reason"] == "stop"
    assert books.billed_nusd > 0
    assert spoilt(client, "filtered")[0].choice["finish_reason"] == "content_filter"


@pytest.mark.parametrize("fault", sorted(TRANSPORT))
def test_broken_transport(client, fault):
    settings = {"faults": [{"fault": fault}], "dribble_interval_s": 0.01}
    with Simulator(lambda request: "ok", **settings) as sim:
        with client.dial(sim.endpoint, timeout=0.4) as sock:
            sock.sendall(client.raw())
            got, ended = b"", ""
            start = time.monotonic()
            while time.monotonic() - start < 0.4 and not ended:
                try:
                    part = sock.recv(65_536)
                    ended = "" if part else "closed"
                    got += part
                except ConnectionResetError:
                    ended = "reset"
                except TimeoutError:
                    ended = "silent"
        while sim.summary()["open"]:
            time.sleep(0.005)
        (call,) = sim.ledger.calls
    seen = {
        "timeout": ("silent", got == b"", 0, "abandoned"),
        "slow_headers": ("", got.count(b"x-slow-") > 3 and b"\r\n\r\n" not in got, 200, "abandoned"),
        "dribble": ("", got.startswith(b"HTTP/1.1") and len(got) < 200, 200, "abandoned"),
        "stall_mid_body": ("silent", b"\r\n\r\n{" in got, 200, "abandoned"),
        "reset": ("reset", got == b"", 0, "broken"),
        "reset_mid_body": ("reset", b"\r\n\r\n{" in got, 200, "broken"),
        "hang_up": ("closed", got == b"", 0, "broken"),
        "garbage_chunk": ("closed", b"not-a-size" in got, 200, "broken"),
    }[fault]
    assert (ended, True, call.status, call.outcome) == seen
    assert call.cost_nusd > 0  # the answer was generated


def test_dribble_gives_the_right_answer_in_the_end(client):
    settings = {"faults": [{"fault": "dribble"}], "dribble_interval_s": 0.0001}
    with Simulator(lambda request: "ゆっくり", **settings) as sim:
        answer = client.ask(sim.endpoint)
        assert answer.choice["message"]["content"] == "ゆっくり"
        assert sim.ledger.by_outcome == {"answered": 1}


def test_every_fault_is_tested_and_says_what_it_does():
    others = {"redirect", "empty_200", "null_body", "html_200", "no_choices", "bad_utf8", "lone_surrogate"}
    others |= {"lone_surrogate_outer", "malformed", "truncated", "fenced", "reasoning_prefix", "two_objects"}
    others |= {"filtered", "wrapped", "wrong_schema", "missing_key", "extra_key", "enum_case", "flattened", "nan"}
    others |= {
        "duplicate_keys",
        "deep_nesting",
        "huge_body",
        "empty_content",
        "null_content",
        "refusal",
        "error_in_200",
    }
    assert set(FAULTS) == set(ERRORS) | TRANSPORT | others
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert fault.sentence.endswith(".")
        assert "\n" not in fault.sentence


# --- when a fault strikes -------------------------------------------------------------------------------------------


def statuses(client, users, **settings) -> list[int]:
    with Simulator(**settings) as sim:
        return [client.ask(sim.endpoint, client.body(user)).status for user in users]


def test_by_number_record_and_try(client):
    assert statuses(client, "abcd", faults=[{"fault": "http_500", "calls": [2, 4]}]) == [200, 500, 200, 500]
    assert statuses(client, ["猫", "犬"], faults=[{"fault": "http_500", "record": "犬"}]) == [200, 500]
    tries = [{"fault": "http_503", "first_tries": 2}]
    assert statuses(client, "aabab", faults=tries) == [503, 503, 503, 200, 503]


def test_first_rule_that_holds_strikes(client):
    rules = [{"fault": "http_500", "calls": [1]}, {"fault": "http_404", "first_tries": 1}]
    assert statuses(client, "aab", faults=rules) == [500, 200, 404]


def test_share_is_drawn_from_seed_message_and_try(client):
    users = [f"record {index}" for index in range(300)]
    rule = [{"fault": "http_500", "share": 0.3}]
    first = statuses(client, users, faults=rule, seed=5)
    again = statuses(client, users[::-1], faults=rule, seed=5)
    assert first == again[::-1]
    assert 60 <= first.count(500) <= 120
    assert statuses(client, users, faults=rule, seed=6) != first


def test_window_counts_from_the_first_call(client):
    with Simulator(faults=[{"fault": "http_500", "window": (0.0, 0.25)}]) as sim:
        time.sleep(0.3)
        assert client.ask(sim.endpoint).status == 500
        time.sleep(0.3)
        assert client.ask(sim.endpoint).status == 200
        sim.clear()
        assert client.ask(sim.endpoint).status == 500


def test_faults_change_while_it_runs(client, sim):
    sim.control(faults=[{"fault": "http_500"}])
    assert client.ask(sim.endpoint).status == 500
    sim.control(faults=[])
    assert client.ask(sim.endpoint).status == 200


def test_unknown_fault_names_the_nearest():
    with pytest.raises(SpecError, match="did you mean timeout"):
        Simulator(faults=[{"fault": "time_out"}])
