"""What the table says of models: families by any spelling of their names, the declaration's word before it."""

from __future__ import annotations

import datetime as dt
import json
import re
from importlib.resources import files

import pytest

from inlay.errors import SpecError
from inlay.providers.abilities import (
    THINKING_TOKENS,
    abilities,
    check_effort,
    check_temperature,
    room_for_thinking,
    thinks,
)
from inlay.spec.model import AbilitiesSpec
from inlay.testing.anthropic_wire import takes_forced_tool, takes_temperature
from inlay.types import Abilities

CLAUDES = [
    "claude-3-haiku-20240307",
    "claude-3-5-sonnet-20241022",
    "claude-3-7-sonnet-20250219",
    "claude-sonnet-4-20250514",
    "claude-opus-4-20250514",
    "claude-opus-4-1-20250805",
    "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5",
    "claude-opus-4-5-20251101",
    "claude-opus-4-6",
    "claude-opus-4.7",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-sonnet-5-20260410",
    "claude-opus-5",
    "claude-fable-5",
    "claude-fable-5-1",
    "claude-mythos-5.1",
    "claude-haiku-5-5",
    "claude-sonnet-5-5-20260901",
    "claude-opus-5-5",
]


@pytest.mark.parametrize("name", CLAUDES)
def test_every_claude_is_known_by_every_way_of_writing_its_name(name: str) -> None:
    found = abilities("anthropic", name)
    assert found.as_of
    assert found.cache_marks
    for provider, spelling in (
        ("bedrock", f"anthropic.{name}-v1:0"),
        ("bedrock", f"eu.anthropic.{name}"),
        ("bedrock", f"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.{name}"),
        ("compatible", f"anthropic/{name.title()}"),
    ):
        assert abilities(provider, spelling) == found


@pytest.mark.parametrize("name", CLAUDES)
def test_the_table_and_the_simulator_agree_on_what_a_claude_refuses(name: str) -> None:
    found = abilities("anthropic", name)
    if name.startswith("claude-3"):
        return
    assert found.temperature is takes_temperature(name)
    assert ("forced_tool" in found.structured) is takes_forced_tool(name)


def test_a_date_in_a_name_is_no_version() -> None:
    assert abilities("anthropic", "claude-sonnet-4-20250514").structured[0] == "forced_tool"
    assert abilities("anthropic", "claude-sonnet-4-5-20250929").structured[0] == "json_schema"
    assert abilities("anthropic", "claude-opus-5-20260601").thinking == "default"


def test_an_unknown_model_is_trusted_with_everything() -> None:
    assert abilities("compatible", "llama3:8b") == Abilities()
    assert abilities("openai", "gpt-9").temperature


def test_a_family_that_one_provider_serves_otherwise_is_its_alone() -> None:
    assert not abilities("bedrock", "openai.gpt-5.6-luna").temperature
    assert abilities("openai", "gpt-5.6-luna").temperature
    assert abilities("bedrock", "openai.gpt-oss-120b-1:0").efforts == ("low", "medium", "high")


def test_the_declaration_goes_before_the_table_key_by_key() -> None:
    table = abilities("anthropic", "claude-opus-5-5")
    found = abilities("anthropic", "claude-opus-5-5", AbilitiesSpec(temperature=True, structured="forced_tool"))
    assert (found.temperature, found.structured) == (True, ("forced_tool",))
    assert (found.thinking, found.cache_min_tokens) == (table.thinking, table.cache_min_tokens)


def test_a_temperature_that_is_refused_says_to_remove_it() -> None:
    able = abilities("anthropic", "claude-haiku-5-5")
    with pytest.raises(SpecError) as caught:
        check_temperature("anthropic:claude-haiku-5-5", 0.0, able)
    assert caught.value.key == "temperature"
    assert "remove `temperature`" in caught.value.remedy
    check_temperature("x", None, able)
    check_temperature("x", 0.0, Abilities())


def test_an_effort_that_a_model_does_not_have_is_named_with_those_it_has() -> None:
    able = abilities("bedrock", "openai.gpt-oss-20b-1:0")
    with pytest.raises(SpecError, match="none") as caught:
        check_effort("bedrock:openai.gpt-oss-20b-1:0", "none", able, key="options.reasoning_effort")
    assert "low, medium, high" in caught.value.remedy
    check_effort("x", "low", able, key="k")
    check_effort("x", "anything", Abilities(), key="k")


def test_there_is_room_for_thinking_where_it_cannot_be_off_or_was_asked_for() -> None:
    opus, haiku = abilities("anthropic", "claude-opus-5-5"), abilities("anthropic", "claude-haiku-5-5")
    assert room_for_thinking(opus, {}) == THINKING_TOKENS
    assert room_for_thinking(haiku, {}) == 0
    assert thinks(haiku, {"effort": "high"})
    assert thinks(haiku, {"thinking": {"type": "adaptive"}})
    assert not thinks(haiku, {"thinking": {"type": "disabled"}, "effort": "high"})
    assert thinks(haiku, {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}})
    assert not thinks(Abilities(), {"effort": "high"})


def test_the_table_is_dated_sourced_and_sound() -> None:
    data = json.loads((files("inlay") / "data" / "abilities.json").read_text("utf-8"))
    dt.date.fromisoformat(data["as_of"])
    assert data["sources"]
    for entry in data["models"]:
        assert re.compile(entry["pattern"])
        given = {key: value for key, value in entry.items() if key not in ("pattern", "providers")}
        Abilities(**given)
        assert set(given.get("structured", ())) <= {"json_schema", "forced_tool", "prompt"}
        assert given["structured"][-1] == "prompt"
        AbilitiesSpec(**{key: value for key, value in given.items() if key not in ("structured", "cache_ttls")})
