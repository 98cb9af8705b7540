"""Servers that take schemas in their own way: what a run learns of one, what it costs, and how long it is believed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import inlay
from inlay.errors import AuthenticationFailed, ModelNotFound, ProviderUnusable
from inlay.project import probes
from inlay.providers.compatible import FORMS, CompatibleChat
from inlay.providers.models import ResolvedModel, resolve
from inlay.providers.probe import MAX_OUTPUT_TOKENS, QUESTION, Verdict, judge, probe
from inlay.providers.transport import Transport
from inlay.testing.answers import answer_by_schema
from inlay.types import CallShape, Usage

LITERAL = "[{'type': 'literal_error', 'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text'\"}]"
LLAMA_CPP_PYTHON = (500, {"error": {"message": LITERAL, "type": "internal_server_error", "code": None}})
UNKNOWN = (400, {"error": {"message": "response_format of this type is not supported", "code": None}})
EXTRA = (422, {"detail": [{"loc": ["body", "structured_outputs"], "msg": "Extra inputs are not permitted"}]})
ROWS = "id,text\n1,Lovely\n2,壊れていた\n3,سيئة 😐\n"


class Server:
    """A chat server. `does` says of each form: "enforces", "json" (any JSON), "ignores", or a (status, body)."""

    def __init__(self, **does: Any) -> None:
        self.does = {"prompt": "ignores", **does}
        self.asked: list[tuple[str, bool]] = []  # form, and whether it was the probe
        self.endpoint = ""

    def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
        form, schema = form_of(body)
        self.asked.append((form, body["messages"][-1]["content"] == QUESTION))
        behaviour = self.does[form]
        if not isinstance(behaviour, str):
            return behaviour
        text = "green"
        system = body["messages"][0]["content"]
        if behaviour == "ignores" and "JSON Schema" in system:
            behaviour, schema = "enforces", json.loads(system.splitlines()[-1])  # a model that does as it is told
        if behaviour == "enforces":
            text = answer_by_schema(schema, null_share=0)(zlib.crc32(json.dumps(body).encode()), "x")
        elif behaviour == "json":
            text = 'Here you are: {"colour": "green"}'
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": 30, "completion_tokens": 5}
        return 200, {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage}


def form_of(body: dict[str, Any]) -> tuple[str, Any]:
    wanted = body.get("response_format", {})
    if wanted.get("type") == "json_schema":
        return "json_schema", wanted["json_schema"]["schema"]
    if wanted.get("type") == "json_object":
        return "json_object", wanted["schema"]
    if "structured_outputs" in body:
        return "structured_outputs", body["structured_outputs"]["json"]
    return "prompt", None


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, said = server.answer(body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.endpoint = f"http://127.0.0.1:{listening.server_port}/v1"
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


def declare(folder: Path, server: Server, **more: Any) -> Path:
    (folder / "rows.csv").write_text(ROWS, encoding="utf-8")
    part = {
        "name": "read",
        "model": "compatible:qwen3",
        "endpoint": server.endpoint,
        "prompt": "Read: {{ text }}",
        "fields": {"mood": {"type": "enum", "values": ["good", "悪い"], "evidence": True}, "stars": "integer"},
        **more,
    }
    file = folder / "inlay.yaml"
    source = {"files": "rows.csv", "key": "id"}
    file.write_text(json.dumps({"name": "r", "source": source, "passes": [part], "output": "out.parquet"}))
    return file


def states(file: Path) -> dict[str, int]:
    return inlay.status(file).passes[0].states


# --- in a run


@pytest.mark.parametrize(
    ("does", "asked", "form"),
    [
        ({"json_schema": LLAMA_CPP_PYTHON, "json_object": "enforces"}, ["json_schema", "json_object"], "json_object"),
        (
            {"json_schema": UNKNOWN, "json_object": "json", "structured_outputs": "enforces"},
            ["json_schema", "json_object", "structured_outputs"],
            "structured_outputs",
        ),
        (
            {"json_schema": UNKNOWN, "json_object": UNKNOWN, "structured_outputs": EXTRA},
            ["json_schema", "json_object", "structured_outputs"],
            "prompt",
        ),
        (
            {"json_schema": UNKNOWN, "json_object": "json", "structured_outputs": "ignores"},
            ["json_schema", "json_object", "structured_outputs"],
            "prompt",
        ),
    ],
)
def test_a_refused_first_call_makes_the_run_learn_and_every_row_is_answered(
    tmp_path: Path, does: dict[str, Any], asked: list[str], form: str
) -> None:
    with serving(Server(**does)) as server:
        file = declare(tmp_path, server)
        report = inlay.run(file)
        assert report.exit_code == 0
        assert states(file) == {"done": 3}
        assert [name for name, probing in server.asked if probing] == asked
        calls = [name for name, probing in server.asked if not probing]
        assert calls == ["json_schema"] + [form] * 3
        (note,) = report.notes
        assert "refused the first call" in note
        assert f"asked for as {form}" in note
        assert "probes.json" in note
        assert "tokens, which the ledger does not hold" in note

        # The next run knows; a new row is asked in the right form at once.
        server.asked.clear()
        with (tmp_path / "rows.csv").open("a", encoding="utf-8") as rows:
            rows.write("4,Fine\n")
        again = inlay.run(file)
        assert server.asked == [(form, False)]
        assert again.notes == ()
    kept = json.loads((tmp_path / ".inlay" / "probes.json").read_text())["probes"]
    (name,) = kept
    assert name == f"compatible:qwen3 at {server.endpoint}"
    assert kept[name]["form"] == form


def test_a_form_is_no_part_of_an_answers_address(tmp_path: Path) -> None:
    server = Server(json_schema="enforces", json_object="enforces")
    with serving(server):
        file = declare(tmp_path, server)
        inlay.run(file)
        assert server.asked == [("json_schema", False)] * 3
        model = resolve("compatible:qwen3", server.endpoint, env={})
        probes.remember(tmp_path / ".inlay" / "probes.json", model, Verdict("json_object", {}, 0, None))
        assert inlay.plan(file).calls == 0
        inlay.run(file)
        assert len(server.asked) == 3


def test_a_server_that_takes_schemas_is_never_probed(tmp_path: Path) -> None:
    with serving(Server(json_schema="enforces")) as server:
        report = inlay.run(declare(tmp_path, server))
    assert (report.exit_code, report.notes) == (0, ())
    assert server.asked == [("json_schema", False)] * 3
    assert not (tmp_path / ".inlay" / "probes.json").exists()


def test_two_wires_of_one_server_share_a_lane_and_only_chat_is_probed(tmp_path: Path) -> None:
    class Both(Server):
        def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
            if "input" not in body:
                return super().answer(body)
            self.asked.append(("responses", body["input"] == QUESTION))
            return 400, {"error": {"message": "x", "code": "invalid_json_schema", "param": "text.format"}}

    with serving(Both(json_schema=UNKNOWN, json_object="enforces")) as server:
        file = declare(tmp_path, server)
        given = json.loads(file.read_text())
        other = {**given["passes"][0], "name": "other", "wire": "responses", "fields": {"stars_told": "boolean"}}
        chat = {**given["passes"][0], "prompt": "Tell: {{ id }}"}
        file.write_text(json.dumps({**given, "passes": [other, chat]}))
        first = inlay.run(file)
        assert isinstance(first.stopped, ProviderUnusable)
        assert server.asked[0] == ("responses", False)
        assert not any(probing for _, probing in server.asked)
        server.asked.clear()
        file.write_text(json.dumps({**given, "passes": [chat, other]}))
        both = inlay.run(file)
        assert isinstance(both.stopped, ProviderUnusable)
        assert ("json_schema", True) in server.asked
        assert ("responses", True) not in server.asked
        assert [part["failed"] for part in both.summary["passes"]] == [{}, {}]


def test_an_option_that_is_refused_stays_the_runs_error(tmp_path: Path) -> None:
    class Picky(Server):
        def answer(self, body: dict[str, Any]) -> tuple[int, Any]:
            if "top_k" in body:
                self.asked.append(("refused", False))
                return 400, {"error": {"message": "x", "code": "unsupported_parameter", "param": "top_k"}}
            return super().answer(body)

    with serving(Picky(json_schema="enforces")) as server:
        file = declare(tmp_path, server, options={"top_k": 5})
        report = inlay.run(file)
        assert report.exit_code != 0
        assert states(file) == {}
        assert server.asked == [("refused", False), ("json_schema", True)]


def test_a_store_in_memory_leaves_nothing_on_disk(tmp_path: Path) -> None:
    with serving(Server(json_schema=UNKNOWN, json_object="enforces")) as server:
        file = declare(tmp_path, server)
        given = json.loads(file.read_text())
        file.write_text(json.dumps({**given, "store": "memory"}))
        report = inlay.run(file)
        assert report.exit_code == 0
        assert "probes.json" not in "".join(report.notes)
    assert not (tmp_path / ".inlay").exists()


# --- the verdict


def ask(server: Server, dialect: Any = None) -> Verdict:
    async def scenario() -> Verdict:
        async with Transport(server.endpoint) as transport:
            return await probe(dialect or CompatibleChat(server.endpoint), transport, "qwen3")

    with serving(server):
        return asyncio.run(scenario())


def test_a_verdict_says_what_each_form_does_and_what_it_cost() -> None:
    found = ask(Server(json_schema="ignores", json_object="json", structured_outputs="enforces"))
    assert found.outcomes == {
        "json_schema": "ignored",
        "json_object": "accepted, not enforced",
        "structured_outputs": "enforced",
    }
    assert (found.form, found.enforced, found.calls) == ("structured_outputs", True, 3)
    assert found.usage == Usage(90, 15)
    assert found.sentence.startswith("json_schema is ignored, json_object is accepted, not enforced, ")
    first = ask(Server(json_schema="enforces"))
    assert (first.form, first.calls) == ("json_schema", 1)
    none = ask(Server(json_schema=UNKNOWN, json_object=LLAMA_CPP_PYTHON, structured_outputs=EXTRA))
    assert (none.form, none.enforced, none.usage) == ("prompt", False, Usage())
    assert set(none.outcomes.values()) == {"refused"}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [(401, {"error": {"message": "no"}}, AuthenticationFailed), (404, {"error": "model not found"}, ModelNotFound)],
)
def test_what_is_no_verdict_is_raised(status: int, body: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        ask(Server(json_schema=(status, body)))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('{"colour":"red"}', "enforced"),
        (' {"colour": "blue"}\n', "enforced"),
        ('<think>{"colour": "green"} would be …</think>```json\n{"colour": "red"}\n```', "enforced"),
        ('{"colour":"green"}', "accepted, not enforced"),
        ('{"colour":"red","more":1}', "accepted, not enforced"),
        ("{}", "accepted, not enforced"),
        ("green", "ignored"),
        ("", "ignored"),
        ("{colour: red}", "ignored"),
        ("red", "ignored"),
    ],
)
def test_an_answer_is_judged_by_what_the_schema_forbade(text: str, outcome: str) -> None:
    assert judge(text) == outcome


# --- the memory

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def model(place: str = "http://127.0.0.1:8000/v1", name: str = "qwen3") -> ResolvedModel:
    return resolve(f"compatible:{name}", place, env={})


def test_a_verdict_counts_for_its_model_at_its_endpoint_for_thirty_days(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "probes.json"
    probes.remember(file, model(), Verdict("json_object", {"json_schema": "refused"}, 2, None), now=NOW)
    probes.remember(file, model(name="日本"), Verdict("prompt", {}, 3, None), now=NOW)
    day = dt.timedelta(days=1)
    assert probes.recall(file, model(), now=NOW + 29 * day) == "json_object"
    assert probes.recall(file, model(), now=NOW + 31 * day) is None
    assert probes.recall(file, model(), now=NOW - 2 * day) is None
    assert probes.recall(file, model(name="日本"), now=NOW) == "prompt"
    assert probes.recall(file, model("http://127.0.0.1:8001/v1"), now=NOW) is None
    assert probes.recall(None, model(), now=NOW) is None
    assert [path.name for path in file.parent.iterdir()] == ["probes.json"]


@pytest.mark.parametrize("change", [{"inlay": "0.0.0"}, {"form": "yaml"}, {"at": "soon"}, {"at": None}, {"form": []}])
def test_what_another_version_or_hand_wrote_is_not_believed(tmp_path: Path, change: dict[str, Any]) -> None:
    file = tmp_path / "probes.json"
    probes.remember(file, model(), Verdict("json_object", {}, 1, None), now=NOW)
    data = json.loads(file.read_text())
    (name,) = data["probes"]
    data["probes"][name].update(change)
    file.write_text(json.dumps(data))
    assert probes.recall(file, model(), now=NOW) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"probes": []}', "\udcff", "[" * 100_000])
def test_a_file_that_cannot_be_read_is_no_knowledge(tmp_path: Path, text: str) -> None:
    file = tmp_path / "probes.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert probes.recall(file, model(), now=NOW) is None
    probes.remember(file, model(), Verdict("prompt", {}, 1, None), now=NOW)
    assert probes.recall(file, model(), now=NOW) == "prompt"


# --- the forms on the wire


def test_every_form_asks_for_the_same_and_can_be_recast_into_any_other() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    for system in ("Instructions 日本.", ""):
        shape = CallShape("qwen3", system, schema, "read", 99, 0.5, {"seed": 7})
        sent = {form: CompatibleChat("http://h/v1", structured=form).encoder(shape)('a "record" 😀') for form in FORMS}
        assert {form_of(json.loads(request.body))[0] for request in sent.values()} == set(FORMS)
        for request in (sent["json_schema"], sent["json_object"], sent["structured_outputs"]):
            for form in FORMS:
                found = CompatibleChat("http://h/v1", structured=form).recast(request)
                wanted = json.loads(sent[form].body)
                if form == "json_schema" and request is not sent["json_schema"]:
                    wanted["response_format"]["json_schema"]["name"] = "answer"  # the other forms carry no name
                assert json.loads(found.body) == wanted
                assert (found.url, found.headers) == (request.url, request.headers)


def test_an_encoder_follows_a_change_of_form() -> None:
    dialect = CompatibleChat("http://h/v1")
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    encode = dialect.encoder(CallShape("qwen3", "s", schema, "read", MAX_OUTPUT_TOKENS))
    for form in FORMS:
        dialect.structured = form
        assert form_of(json.loads(encode("x").body))[0] == form
