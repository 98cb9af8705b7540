"""`provider:name` resolved: places, keys, `auto`, and where a key may not go."""

from __future__ import annotations

from typing import Any

import pytest

from inlay.errors import AuthenticationFailed, SpecError
from inlay.providers.models import resolve
from inlay.types import CallShape

KEY = {"OPENAI_API_KEY": "sk-canary-123456"}
SHAPE = CallShape("m", "", {"type": "object", "properties": {}, "additionalProperties": False}, "a", 50)


def url_of(resolved: Any) -> str:
    return resolved.dialect.encoder(SHAPE)("x").url


def test_openai_at_its_own_place_with_its_own_key() -> None:
    found = resolve("openai:gpt-6-luna", env=KEY)
    assert (found.provider, found.name, found.full_name) == ("openai", "gpt-6-luna", "openai:gpt-6-luna")
    assert found.endpoint is not None
    assert found.endpoint.url == "https://api.openai.com/v1"
    assert url_of(found) == "https://api.openai.com/v1/chat/completions"
    assert found.auth_headers == (("authorization", "Bearer sk-canary-123456"),)
    assert found.local is None
    assert "canary" not in repr(found)


def test_a_compatible_server_needs_a_place_and_no_key() -> None:
    found = resolve("compatible:qwen3:8b", "http://127.0.0.1:8000/v1/", env=KEY)
    assert (found.name, found.auth_headers) == ("qwen3:8b", ())
    assert url_of(found) == "http://127.0.0.1:8000/v1/chat/completions"
    keyed = resolve("compatible:q", "https://gate.example.com/v1", "GATE_KEY", {"GATE_KEY": "k-1"})
    assert keyed.auth_headers == (("authorization", "Bearer k-1"),)
    with pytest.raises(SpecError, match="needs an `endpoint`") as caught:
        resolve("compatible:qwen3", env={})
    assert caught.value.key == "endpoint"


def test_the_base_url_of_the_environment_is_honoured_and_the_declaration_wins() -> None:
    env = {**KEY, "OPENAI_BASE_URL": "https://gateway.example.com/openai/v1/"}
    found = resolve("openai:gpt-6-luna", env=env)
    assert url_of(found) == "https://gateway.example.com/openai/v1/chat/completions"
    assert found.auth_headers
    declared = resolve("openai:gpt-6-luna", "https://eu.api.openai.com/v1", env=env)
    assert url_of(declared) == "https://eu.api.openai.com/v1/chat/completions"
    with pytest.raises(SpecError) as caught:
        resolve("openai:gpt-6-luna", env={**KEY, "OPENAI_BASE_URL": "http://169.254.169.254/v1"})
    assert caught.value.key == "OPENAI_BASE_URL"


@pytest.mark.parametrize("place", ["https://evil.example/v1", "https://notopenai.com/v1", "http://10.0.0.9/v1"])
def test_a_declaration_cannot_send_this_machines_key_elsewhere(place: str) -> None:
    with pytest.raises(SpecError, match="is not sent to") as caught:
        resolve("openai:gpt-6-luna", place, env=KEY)
    assert "api_key_env: OPENAI_API_KEY" in caught.value.remedy
    assert resolve("openai:gpt-6-luna", place, "OPENAI_API_KEY", KEY).auth_headers
    assert resolve("openai:gpt-6-luna", "http://127.0.0.1:9/v1", env=KEY).auth_headers


def test_a_missing_key_is_named_and_planning_needs_none() -> None:
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY is not set"):
        resolve("openai:gpt-6-luna", env={})
    with pytest.raises(AuthenticationFailed, match="MY_KEY is not set"):
        resolve("openai:gpt-6-luna", None, "MY_KEY", KEY)
    assert resolve("openai:gpt-6-luna", env={}, need_key=False).auth_headers == ()


def test_auto_takes_openai_where_there_is_a_key() -> None:
    found = resolve("auto", env=KEY)
    assert found.full_name == "openai:gpt-6-luna"
    assert "OPENAI_API_KEY is set" in found.why
    behind = resolve("auto", env={**KEY, "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})
    assert "http://127.0.0.1:1/v1" in behind.why
    assert resolve("auto", None, "MY_KEY", {"MY_KEY": "k"}).auth_headers == (("authorization", "Bearer k"),)


def test_auto_takes_lexical_where_there_is_none_and_says_so() -> None:
    for env in ({}, {"OPENAI_API_KEY": ""}, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}):
        found = resolve("auto", env=env)
        assert found.full_name == "lexical:1"
        assert found.local is not None
        assert found.dialect is None
        assert "OPENAI_API_KEY" in found.why
        assert "no language model" in found.why
    with pytest.raises(SpecError, match="auto"):
        resolve("auto", "http://127.0.0.1:1/v1", env={})


def test_lexical_by_name() -> None:
    assert resolve("lexical", env={}).full_name == "lexical:1"
    assert resolve("lexical:1", env={}).full_name == "lexical:1"
    with pytest.raises(SpecError, match="no lexical:2"):
        resolve("lexical:2", env={})
    with pytest.raises(SpecError, match="no `endpoint`"):
        resolve("lexical:1", "http://127.0.0.1:1/v1", env={})
    with pytest.raises(SpecError, match="no `api_key_env`"):
        resolve("lexical:1", None, "X", env={})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gpt-6-luna", "write openai:gpt-6-luna"),
        ("opanai:gpt-6-luna", "did you mean `openai`"),
        ("llama3:8b", "compatible:llama3:8b"),
        ("anthropic", "write anthropic:NAME"),
        ("bedrock:", "names no model"),
        ("azure", "write azure:NAME"),
        ("openai:", "names no model"),
        ("openai", "names no model"),
        ("openai: gpt", "names no model"),
        ("openai:g\x1bpt", "names no model"),
        ("", "has no provider"),
    ],
)
def test_a_model_that_cannot_be_found(model: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        resolve(model, env=KEY)
    assert caught.value.key == "model"
    assert said in str(caught.value)
    assert caught.value.remedy


AZURE = {
    "AZURE_OPENAI_API_KEY": "canary-1",
    "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
    "AZURE_OPENAI_DEPLOYMENT": "mine",
}


def test_auto_takes_the_first_whole_offer() -> None:
    found = resolve("auto", env=AZURE)
    assert found.full_name == "azure:mine"
    assert found.why == "AZURE_OPENAI_API_KEY is set, so azure:mine answers"
    assert resolve("auto", env={**AZURE, **KEY}).provider == "openai"
    assert "canary" not in repr(found)


def test_auto_says_what_an_offer_lacks() -> None:
    half = {name: value for name, value in AZURE.items() if name != "AZURE_OPENAI_DEPLOYMENT"}
    found = resolve("auto", env=half)
    assert found.full_name == "lexical:1"
    assert "AZURE_OPENAI_API_KEY is set, but not AZURE_OPENAI_DEPLOYMENT" in found.why
