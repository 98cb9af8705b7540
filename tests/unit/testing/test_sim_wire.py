"""The shape of answers, errors and connections on the OpenAI chat wire."""

from __future__ import annotations

import json
import threading
import warnings

import pytest

from inlay.errors import InlayError, SpecError
from inlay.testing import Simulator


def test_completion_has_openai_shape(client, sim):
    answer = client.ask(sim.endpoint)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "req_sim00000001"
    body = answer.json
    assert body["object"] == "chat.completion"
    assert body["model"] == "gpt-sim"
    assert [choice["finish_reason"] for choice in body["choices"]] == ["stop"]
    message = body["choices"][0]["message"]
    assert (message["role"], message["refusal"]) == ("assistant", None)
    usage = body["usage"]
    chars = len("Answer.") + len(client.text) + len(json.dumps(client.schema, separators=(",", ":")))
    assert usage["prompt_tokens"] == -(-chars // 4)
    assert usage["completion_tokens"] == -(-len(message["content"]) // 4)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 0
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}},
            "response_format.json_schema.name",
        ),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"stream": True}, "stream"),
    ],
)
def test_wrong_request_is_a_400_that_names_the_parameter(client, sim, change, param):
    answer = client.ask(sim.endpoint, client.body(**change))
    assert answer.status == 400
    error = answer.json["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert sim.ledger.billed_nusd == 0


def test_body_that_is_no_json_is_a_400(client, sim):
    for data in (b"", b"{", b"[]", b'{"model": "\xff"}'):
        assert client.ask(sim.endpoint, data).status == 400
    assert sim.ledger.by_status == {400: 4}


def test_content_parts_and_developer_role(client, sim):
    messages = [
        {"role": "developer", "content": "規則"},
        {"role": "user", "content": [{"type": "text", "text": "مرحبا "}, {"type": "text", "text": "👋"}]},
    ]
    assert client.ask(sim.endpoint, client.body(messages=messages)).status == 200
    (call,) = sim.ledger.calls_for("مرحبا 👋")
    assert call.number == 1


def test_unknown_paths_and_methods_are_404(client, sim):
    assert client.ask(sim.endpoint, path="/v1/embeddings").json["error"]["code"] == "unknown_url"
    assert client.ask(sim.endpoint, method="GET").status == 404
    assert client.ask(sim.endpoint, path="/v1/models", method="GET").json["data"][0]["object"] == "model"
    assert len(sim.ledger) == 0


def test_keys_are_checked_and_never_kept(client, tmp_path):
    books = tmp_path / "books.jsonl"
    with Simulator(api_keys={"sk-canary-77"}, ledger_file=books) as sim:
        assert client.ask(sim.endpoint).json["error"]["code"] == "invalid_api_key"
        refused = client.ask(sim.endpoint, authorization="Bearer sk-other-88")
        assert refused.status == 401
        assert b"sk-other-88" not in refused.data
        assert client.ask(sim.endpoint, authorization="Bearer sk-canary-77").status == 200
        assert client.ask(sim.endpoint, api_key="sk-canary-77").status == 200
        control = client.ask(sim.endpoint, path="/control", method="GET")
        assert b"latency" in control.data
        kept = control.data + repr(sim.ledger).encode() + books.read_bytes()
    assert b"sk-canary" not in kept
    assert b"sk-other" not in kept


def test_models_parameters_and_context_are_held_to(client):
    settings = {"models": ["gpt-sim"], "reject_parameters": ["temperature"], "context_tokens": 500}
    with Simulator(**settings) as sim:
        assert client.ask(sim.endpoint, client.body(model="gpt-none")).json["error"]["code"] == "model_not_found"
        assert client.ask(sim.endpoint, client.body(temperature=0)).json["error"]["code"] == "unsupported_parameter"
        long = client.ask(sim.endpoint, client.body("文" * 4000))
        assert (long.status, long.json["error"]["code"]) == (400, "context_length_exceeded")
        assert client.ask(sim.endpoint).status == 200


def test_answer_function_sees_the_request_and_gives_the_answer(client):
    seen = []

    def answer(request):
        seen.append(request)
        return {"stars": 4, "who": "田中"} if request.number == 1 else "plain words"

    with Simulator(answer) as sim:
        assert client.ask(sim.endpoint).content == {"stars": 4, "who": "田中"}
        assert client.ask(sim.endpoint).choice["message"]["content"] == "plain words"
    first, second = seen
    assert (first.system, first.user, first.model) == ("Answer.", client.text, "gpt-sim")
    assert first.schema == client.schema
    assert [(r.number, r.tries) for r in (first, second)] == [(1, 1), (2, 2)]


def test_answer_function_that_raises_is_a_500_and_an_error_at_the_end(client):
    def answer(request):
        raise KeyError("stars")

    simulator = Simulator(answer).start()
    assert client.ask(simulator.endpoint).status == 500
    with pytest.raises(InlayError, match="KeyError"):
        simulator.stop()


def test_table_answers_by_message(client):
    table = {"breakfast": {"stars": 5}, "(?i)noise": "not json"}
    with Simulator(table=table) as sim:
        assert client.ask(sim.endpoint).content == {"stars": 5}
        assert client.ask(sim.endpoint, client.body("NOISE")).choice["message"]["content"] == "not json"
        assert set(client.ask(sim.endpoint, client.body("else")).content) == {"sentiment", "stars", "nulls"}


def test_answer_is_cut_at_the_token_cap(client):
    with Simulator(lambda request: "x" * 1000) as sim:
        answer = client.ask(sim.endpoint, client.body(max_completion_tokens=20))
        assert answer.choice["finish_reason"] == "length"
        assert len(answer.choice["message"]["content"]) == 80
        assert answer.json["usage"]["completion_tokens"] == 20


def test_pipelined_requests_are_answered_in_order(client):
    with Simulator(lambda request: request.user, latency="uniform:0,0.004") as sim, client.dial(sim.endpoint) as sock:
        users = [f"番号{index}" for index in range(120)]
        sock.sendall(b"".join(client.raw(client.body(user, schema=None)) for user in users))
        stream = sock.makefile("rb")
        said = []
        for _ in users:
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                if line.startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            said.append(json.loads(stream.read(length))["choices"][0]["message"]["content"])
        stream.close()
        assert said == users
        assert sim.ledger.max_concurrency == 1


def test_chunked_requests_large_bodies_and_chunked_answers(client):
    with Simulator(lambda request: str(len(request.user)), chunked=True) as sim, client.dial(sim.endpoint) as sock:
        data = json.dumps(client.body("あ" * 2_000_000, schema=None)).encode()
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: s\r\ntransfer-encoding: chunked\r\n")
        sock.sendall(b"connection: close\r\n\r\n")
        for start in range(0, len(data), 65_536):
            part = data[start : start + 65_536]
            sock.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        sock.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
        assert b"transfer-encoding: chunked" in answer
        assert answer.endswith(b"0\r\n\r\n")
        assert b"2000000" in answer
        plain = client.ask(sim.endpoint, client.body("ab", schema=None))
        assert plain.choice["message"]["content"] == "2"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "("},
        {"type": "object", "properties": 5},
        {"type": "array", "minItems": "many"},
        {"allOf": [{"$ref": "#"}]},
        {"enum": 7},
        {"type": {}},
    ],
)
def test_schemas_that_are_none_are_a_400(client, sim, schema):
    for strict in (True, False):
        answer = client.ask(sim.endpoint, client.body(schema=schema, strict=strict))
        assert (answer.status, answer.json["error"]["param"]) == (400, "response_format")
    assert sim.summary()["open"] == 0


def test_garbage_is_a_400_and_the_server_lives(client, sim):
    with client.dial(sim.endpoint) as sock:
        sock.sendall(b"\x16\x03\x01 no http at all\r\n\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 400")
    assert client.ask(sim.endpoint).status == 200


def test_start_and_stop_leave_nothing_behind(client):
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            with Simulator(latency=30) as sim:
                idle, busy = client.dial(sim.endpoint), client.dial(sim.endpoint)
                busy.sendall(client.raw())
                while sim.summary()["open"] == 0:
                    pass
            assert sim.ledger.by_outcome == {"cut": 1}
            idle.close()
            busy.close()
            with pytest.raises(ConnectionRefusedError):
                client.dial(sim.endpoint)
    assert threading.active_count() == before


def test_misuse_is_a_clear_error(sim):
    port = int(sim.endpoint.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(SpecError, match="cannot listen"):
        Simulator(port=port).start()
    with pytest.raises(SpecError, match="running already"):
        sim.start()
    with pytest.raises(SpecError, match="not been started"):
        _ = Simulator().ledger
