"""API keys: where they come from, what is wrong with them, and that no message shows them."""

from __future__ import annotations

import pytest

from inlay.errors import AuthenticationFailed
from inlay.providers.credentials import require_key


def test_a_key_is_the_variables_value() -> None:
    assert require_key("OPENAI_API_KEY", {"OPENAI_API_KEY": "sk-abc"}, provider="openai") == "sk-abc"


@pytest.mark.parametrize(("env", "state"), [({}, "is not set"), ({"MY_KEY": ""}, "is empty")])
def test_a_missing_key_names_the_variable_and_how_to_set_it(env: dict[str, str], state: str) -> None:
    with pytest.raises(AuthenticationFailed, match=f"MY_KEY {state}") as caught:
        require_key("MY_KEY", env, provider="openai")
    assert "export MY_KEY=" in caught.value.remedy
    assert "api_key_env" in caught.value.remedy
    assert caught.value.provider == "openai"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("canary\n", "line break"),
        ("canary\r\n", "line break"),
        (" canary", "begins or ends with white space"),
        ("can ary", "white space inside"),
        ("can\tary", "white space inside"),
        ("can\nary", "white space inside"),
        ("   ", "only white space"),
        ('"canary"', "quotation marks"),
        ("'canary'", "quotation marks"),
        ("canary鍵", "not ASCII"),
        ("canary…", "not ASCII"),
        ("can\x00ary", "control character"),
        ("can\x7fary", "control character"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_showing_it(value: str, problem: str) -> None:
    with pytest.raises(AuthenticationFailed, match=problem) as caught:
        require_key("MY_KEY", {"MY_KEY": value}, provider="openai")
    assert "can" not in str(caught.value).replace("cannot", "")
    assert "MY_KEY" in str(caught.value)
