"""Anthropic's wire: where it goes, what a declaration becomes, what the prompt cache is marked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import inlay
from inlay.errors import SpecError
from inlay.providers.abilities import abilities
from inlay.providers.anthropic import VERSION, AnthropicMessages
from inlay.providers.models import resolve
from inlay.testing import Simulator
from inlay.types import CallShape

SCHEMA = {
    "type": "object",
    "properties": {"stars": {"type": "integer", "minimum": 1}},
    "required": ["stars"],
    "additionalProperties": False,
}
LONG = "Read this review and fill in the fields. " * 300


def body(model: str = "claude-haiku-5-5", user: str = "x", **more: Any) -> Any:
    given: dict[str, Any] = {"abilities": abilities("anthropic", model), **more}
    shape = CallShape(model, given.pop("system", "Be exact."), SCHEMA, "read", 300, **given)
    return json.loads(AnthropicMessages().encoder(shape)(user).body)


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/v1/messages"])
def test_an_endpoint_may_end_where_people_end_it(base: str) -> None:
    assert AnthropicMessages("https://proxy.example/a" + base).url("m") == "https://proxy.example/a/v1/messages"


def test_the_key_goes_in_anthropics_own_header_with_a_version() -> None:
    found = resolve("anthropic:claude-haiku-5-5", env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"})
    assert found.auth_headers == (("x-api-key", "sk-ant-0123456789"),)
    assert found.dialect is not None
    request = found.dialect.encoder(CallShape("claude-haiku-5-5", "", SCHEMA, "read", 300))("x")
    assert dict(request.headers)["anthropic-version"] == VERSION
    with pytest.raises(SpecError, match="not sent to"):
        resolve("anthropic:m", "https://evil.example", env={"ANTHROPIC_API_KEY": "sk-ant-0123456789"})
    env = {"ANTHROPIC_API_KEY": "sk-ant-0123456789", "ANTHROPIC_BASE_URL": "https://gateway.example"}
    assert resolve("anthropic:m", env=env).auth_headers


def test_a_gateway_gets_the_key_both_ways() -> None:
    found = resolve("compatible:m", "http://127.0.0.1:1/v1", "GATEWAY_KEY", {"GATEWAY_KEY": "k-0123"}, wire="messages")
    assert found.auth_headers == (("x-api-key", "k-0123"), ("authorization", "Bearer k-0123"))


def test_a_model_thinks_as_little_as_it_can_unless_options_say_how_much() -> None:
    assert body()["thinking"] == {"type": "disabled"}
    assert body("claude-sonnet-5-5")["thinking"] == {"type": "between_tools"}
    assert body("claude-opus-5-5")["output_config"]["effort"] == "low"
    assert "thinking" not in body("claude-sonnet-4-5")
    for options in ({"effort": "high"}, {"reasoning_effort": "high"}, {"output_config": {"effort": "high"}}):
        found = body(options=options)
        assert found["output_config"]["effort"] == "high"
        assert "thinking" not in found
        assert "reasoning_effort" not in found
    assert body(options={"thinking": {"type": "adaptive"}})["thinking"] == {"type": "adaptive"}


def test_what_a_model_refuses_is_an_error_before_anything_is_sent() -> None:
    refused: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"options": {"top_p": 0.5}},
        {"options": {"effort": "enormous"}},
    ]
    for more in refused:
        with pytest.raises(SpecError):
            body(**more)
    assert body("claude-sonnet-4-5", temperature=0.5)["temperature"] == 0.5
    with pytest.raises(SpecError, match="from 0 to 1"):
        body("claude-sonnet-4-5", temperature=1.5)


def test_a_cap_above_what_a_model_writes_is_brought_down() -> None:
    able = abilities("anthropic", "claude-3-haiku-20240307")
    shape = CallShape("claude-3-haiku-20240307", "", SCHEMA, "read", 9000, abilities=able)
    assert json.loads(AnthropicMessages().encoder(shape)("x").body)["max_tokens"] == 4096


def test_a_forced_tool_stands_in_where_the_model_knows_no_schema() -> None:
    found = body("claude-sonnet-4-20250514")
    assert found["tool_choice"] == {"type": "tool", "name": "read", "disable_parallel_tool_use": True}
    assert "output_config" not in found
    asked = body("claude-sonnet-4-20250514", options={"thinking": {"type": "enabled", "budget_tokens": 1024}})
    assert "tools" not in asked
    assert "JSON Schema" in asked["system"][0]["text"]


def test_marks_stand_on_the_system_message_and_where_every_user_message_begins() -> None:
    mark = {"type": "ephemeral"}
    found = body(user=LONG + "日本", system=LONG, user_prefix=LONG)
    assert found["system"] == [{"type": "text", "text": LONG, "cache_control": mark}]
    assert found["messages"][0]["content"] == [
        {"type": "text", "text": LONG, "cache_control": mark},
        {"type": "text", "text": "日本"},
    ]


def test_what_is_too_short_for_the_cache_or_not_worth_it_is_not_marked() -> None:
    for more in ({}, {"user_prefix": "Read: "}, {"system": LONG, "cache": False}):
        assert "cache_control" not in json.dumps(body(**more))
    assert "cache_control" not in json.dumps(body("m", system=LONG))  # a model that nothing is known of
    half = "word " * 900
    assert "cache_control" in json.dumps(body("claude-opus-5", system=half))
    assert "cache_control" not in json.dumps(body("claude-haiku-4-5", system=half))


def test_a_message_that_is_only_its_beginning_or_has_another_one_is_sent_whole() -> None:
    for user in (LONG, LONG + " \n", "something else"):
        assert body(user=user, user_prefix=LONG)["messages"] == [{"role": "user", "content": user}]


def declaration(folder: Path, **of_pass: Any) -> Path:
    (folder / "rows.csv").write_text("id,text\n1,good\n", "utf-8")
    one = {"name": "read", "prompt": "{{ text }}", "fields": {"mood": "good|bad"}, **of_pass}
    one = {"prices": {"input_per_million": 1, "output_per_million": 5}, **one}
    file = folder / "inlay.yaml"
    file.write_text(
        json.dumps({"name": "r", "source": {"files": "rows.csv", "key": "id"}, "passes": [one]}, indent=1), "utf-8"
    )
    return file


def test_a_declared_temperature_that_is_refused_names_its_line_and_asks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    with Simulator() as sim:
        given = {"model": "anthropic:claude-haiku-5-5", "endpoint": sim.endpoints["anthropic"], "temperature": 0}
        file = declaration(tmp_path, **given)
        for act in (inlay.plan, lambda file: inlay.run(file, yes=True)):
            with pytest.raises(SpecError) as caught:
                act(file)
            assert caught.value.key == "passes[0].temperature"
            assert caught.value.line == next(
                number for number, line in enumerate(file.read_text().splitlines(), 1) if '"temperature"' in line
            )
            assert "remove `temperature`" in caught.value.remedy
        assert not sim.ledger.calls
        # The declaration's own word goes first; the service, which knows better, is then heard.
        file = declaration(tmp_path, **given, abilities={"temperature": True})
        assert inlay.run(file, yes=True).exit_code != 0
        assert {call.status for call in sim.ledger.calls} == {400}


def test_abilities_are_no_part_of_an_answers_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    with Simulator() as sim:
        given = {"model": "anthropic:claude-haiku-5-5", "endpoint": sim.endpoints["anthropic"]}
        assert inlay.run(declaration(tmp_path, **given), yes=True).summary["calls"] == 1
        changed = declaration(tmp_path, **given, abilities={"structured": "forced_tool"})
        assert inlay.plan(changed).calls == 0
