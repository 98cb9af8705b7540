"""One declaration over every wire that speaks OpenAI's shapes: the same table, the same bill, the same failures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from durable_scene import Scene, texts

import inlay
from inlay.errors import ProviderError, SpecError
from inlay.providers.abilities import abilities
from inlay.providers.models import resolve
from inlay.providers.transport import Transport
from inlay.testing import FAULTS, Simulator
from inlay.types import CallShape

KEYS = {
    "OPENAI_API_KEY": "sk-canary-0123456789",
    "AZURE_OPENAI_API_KEY": "azure-canary-012345",
    "ANTHROPIC_API_KEY": "sk-ant-canary-0123456789",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/canary/EXAMPLEKEY",
    "AWS_REGION": "eu-central-1",
}
DATED = {"OPENAI_API_VERSION": "2025-04-01-preview"}
BEARER = {"AWS_BEARER_TOKEN_BEDROCK": "bedrock-canary"}
# name: model, wire, the simulator's endpoint, more of the environment
WIRES: dict[str, tuple[str, str | None, str, dict[str, str]]] = {
    "chat": ("openai:gpt-6-luna", None, "openai", {}),
    "responses": ("openai:gpt-6-luna", "responses", "openai", {}),
    "azure": ("azure:gpt-6-luna", None, "azure", {}),
    "azure responses": ("azure:gpt-6-luna", "responses", "azure", {}),
    "azure dated": ("azure:gpt-6-luna", "chat", "azure-dated", DATED),
    "azure dated responses": ("azure:gpt-6-luna", "responses", "azure-dated", DATED),
    "compatible": ("compatible:gpt-6-luna", None, "compatible", {}),
    "compatible responses": ("compatible:gpt-6-luna", "responses", "compatible", {}),
    "compatible messages": ("compatible:claude-haiku-5-5", "messages", "anthropic", {}),
    "anthropic": ("anthropic:claude-haiku-5-5", None, "anthropic", {}),
    "anthropic tool": ("anthropic:claude-sonnet-4-20250514", "messages", "anthropic", {}),
    "bedrock": ("bedrock:eu.anthropic.claude-haiku-5-5-v1:0", None, "bedrock", {}),
    "bedrock tool": ("bedrock:anthropic.claude-sonnet-4-20250514-v1:0", "converse", "bedrock", {}),
    "bedrock open": ("bedrock:openai.gpt-oss-120b-1:0", None, "bedrock", {}),
    "bedrock invoke": ("bedrock:anthropic.claude-haiku-5-5", "invoke", "bedrock", {}),
    "bedrock invoke open": ("bedrock:openai.gpt-oss-120b-1:0", "invoke", "bedrock", {}),
    "bedrock bearer": ("bedrock:openai.gpt-oss-20b-1:0", None, "bedrock", BEARER),
}
ROWS = 'id,text\n1,Lovely and clean\n2,駅から遠いが静か\n3,خدمة سيئة للغاية\n4,"Mediocre 😐, ""at best"""\n'


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_VERSION", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def run(folder: Path, sim: Simulator, name: str, env: pytest.MonkeyPatch) -> tuple[list[dict[str, Any]], Any]:
    model, wire, at, more = WIRES[name]
    for variable, value in more.items():
        env.setenv(variable, value)
    folder.mkdir()
    (folder / "rows.csv").write_text(ROWS, encoding="utf-8")
    part: dict[str, Any] = {
        "name": "read",
        "model": model,
        "endpoint": sim.endpoints[at],
        "prompt": "Read this review: {{ text }}",
        "fields": {
            "mood": {"type": "enum", "values": ["good", "悪い"], "evidence": True, "confidence": True},
            "topics": "list[string]",
            "told": {"type": "boolean", "nullable": False},
        },
        "options": {"reasoning_effort": "low"},
        "prices": {"input_per_million": 1000, "output_per_million": 3000, "cached_input_per_million": 100},
    }
    if wire is not None:
        part["wire"] = wire
    source = {"files": "rows.csv", "key": "id"}
    file = folder / "inlay.yaml"
    file.write_text(json.dumps({"name": "r", "source": source, "passes": [part], "output": "out.parquet"}))
    report = inlay.run(file, yes=True)
    for variable in more:
        env.delenv(variable)
    assert report.exit_code == 0
    table = pq.read_table(folder / "out.parquet")
    rows = table.drop_columns(["enriched_at"]).to_pylist()
    # Who was asked is all that may differ.
    return json.loads(json.dumps(rows).replace(model, "MODEL")), report.summary


def test_the_same_declaration_gives_the_same_table_and_bill_over_every_wire(
    tmp_path: Path, env: pytest.MonkeyPatch
) -> None:
    with Simulator(null_share=0.2) as sim:
        found = {name: run(tmp_path / name.replace(" ", "_"), sim, name, env) for name in WIRES}
        calls = sim.ledger.calls
    table, summary = found["chat"]
    assert len(table) == 4
    assert summary["cost_usd"] > 0
    for name, (other, bill) in found.items():
        assert other == table, name
        assert (bill["calls"], bill["cost_usd"]) == (summary["calls"], summary["cost_usd"]), name
    assert len(calls) == 4 * len(WIRES)
    assert all(call.status == 200 for call in calls)


def test_a_switch_of_wire_asks_nothing_again(tmp_path: Path, env: pytest.MonkeyPatch) -> None:
    with Simulator() as sim:
        run(tmp_path / "a", sim, "chat", env)
        file = tmp_path / "a" / "inlay.yaml"
        data = json.loads(file.read_text())
        data["passes"][0]["wire"] = "responses"
        file.write_text(json.dumps(data))
        before = len(sim.ledger.calls)
        assert inlay.plan(file).calls == 0
        assert inlay.run(file, yes=True).summary["calls"] == 0
        assert len(sim.ledger.calls) == before


def test_a_wire_that_a_provider_does_not_have_is_named_with_those_it_has() -> None:
    with pytest.raises(SpecError) as caught:
        resolve("openai:x", env=KEYS, wire="converse")
    assert (caught.value.key, caught.value.remedy) == ("wire", "openai has chat, responses")


# What comes over every wire as the same class; how bytes travel is tested for one of them.
OUTCOMES = {
    "http_500": "overloaded",
    "http_503": "overloaded",
    "http_429": "rate_limited",
    "http_429_quota": "spend_limit",
    "http_401": "authentication",
    "http_403": "authentication",
    "http_404": "model_not_found",
    "http_400_schema": "schema_rejected",
    "http_400_context": "too_long",
    "http_400_filter": "content_filtered",
    "http_413": "too_long",
    "redirect": "run",
    "empty_200": "unreadable",
    "html_200": "unreadable",
    "null_body": "unreadable",
    "error_in_200": "overloaded",
    "bad_utf8": "unreadable",
    "refusal": "refused",
    "filtered": "content_filtered",
    "truncated": "truncated",
    "lone_surrogate": "answered",
    "lone_surrogate_outer": "answered",
    "null_content": "answered",
    "empty_content": "answered",
    "nan": "answered",
}
# What a wire has no word of its own for: Messages tells a filtered answer as a refusal, Converse the other way round.
OTHERWISE = {
    "anthropic": {"filtered": "refused"},
    "converse": {"refusal": "content_filtered"},
}


def expected(name: str) -> dict[str, str]:
    model, wire, at, _ = WIRES[name]
    if at == "anthropic" or (wire == "invoke" and "claude" in model):
        return {**OUTCOMES, **OTHERWISE["anthropic"]}
    return {**OUTCOMES, **OTHERWISE["converse"]} if at == "bedrock" and wire != "invoke" else OUTCOMES


SCHEMA = {
    "type": "object",
    "properties": {"mood": {"type": "string", "enum": ["good", "悪い"]}, "stars": {"type": "integer"}},
    "required": ["mood", "stars"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("name", WIRES)
def test_every_fault_is_of_the_same_class_over_every_wire(name: str) -> None:
    model, wire, at, more = WIRES[name]
    assert set(OUTCOMES) <= set(FAULTS)

    async def scenario() -> dict[str, str]:
        found = {}
        for fault in OUTCOMES:
            with Simulator(faults=[{"fault": fault}]) as sim:
                found[fault] = await once(sim.endpoints[at])
        return found

    async def once(endpoint: str) -> str:
        resolved = resolve(model, endpoint, env={**KEYS, **more}, wire=wire)
        assert resolved.dialect is not None
        assert resolved.endpoint is not None
        able = abilities(resolved.provider, resolved.name)
        encode = resolved.dialect.encoder(
            CallShape(resolved.name, "Be exact.", SCHEMA, "read", 300, abilities=able),
        )
        given = {"env": {}, "signer": resolved.signer}
        async with Transport(resolved.endpoint, resolved.auth_headers, **given) as transport:
            try:
                answer = resolved.dialect.read(*await transport.send(encode("これは good です")))
            except ProviderError as error:
                return error.kind if "canary" not in str(error) else "the key is shown"
        return "truncated" if answer.truncated else "answered"

    assert asyncio.run(scenario()) == expected(name)


def test_each_pass_is_asked_with_its_own_key(tmp_path: Path) -> None:
    with Simulator(api_keys=["key-one-111", "key-two-222"], keep_messages=True) as sim:
        scene = Scene(tmp_path, sim)
        scene.rows(texts(4))
        first = scene.one_pass(api_key_env="KEY_ONE")
        second = scene.one_pass("again", "Once more: {{ text }}", api_key_env="KEY_TWO")
        scene.declare(passes=[first, second | {"prefix": "again_"}])
        ended = scene.command_run(KEY_ONE="key-one-111", KEY_TWO="wrong")
        assert ended.code == 3, "the second key is wrong, and the first does not stand in for it"
        assert "KEY_TWO" in ended.err
        assert scene.command_run(KEY_ONE="key-one-111", KEY_TWO="key-two-222").code == 0
        scene.is_sound()
