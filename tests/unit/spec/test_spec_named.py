"""Named models: what a name stands for, and that it is nothing more than that."""

from __future__ import annotations

import pytest

from inlay.errors import SpecError
from inlay.spec.load import load_text
from inlay.spec.model import Enrichment
from inlay.spec.write import write

HEAD = "name: n\nsource: {files: a.csv, key: id}\n"
NAMED = """models:
  small: openai:gpt-6-luna
  near-by:
    model: compatible:qwen3
    endpoint: http://127.0.0.1:8000/v1
    api_key_env: NEAR_KEY
    temperature: 0.5
    options: {seed: 7, top_p: 0.9}
    prices: {input_per_million: 0, output_per_million: 0}
    limits: {requests_per_minute: 60}
"""


def declared(models: str, keys: str, env: dict[str, str] | None = None) -> Enrichment:
    text = f"{HEAD}{models}passes:\n  - name: p\n    prompt: '{{{{ text }}}}'\n    fields: {{a: text}}\n    {keys}\n"
    return load_text(text, file="a.yaml", env=env or {})


def mistake(models: str, keys: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SpecError) as caught:
        declared(models, keys, env)
    return str(caught.value)


def test_a_name_is_what_it_stands_for() -> None:
    spec = declared(NAMED, "model: near-by").passes[0]
    assert (spec.model, spec.named) == ("compatible:qwen3", "near-by")
    assert (spec.endpoint, spec.api_key_env, spec.temperature) == ("http://127.0.0.1:8000/v1", "NEAR_KEY", 0.5)
    assert spec.options == {"seed": 7, "top_p": 0.9}
    assert spec.prices is not None
    assert declared(NAMED, "model: small").passes[0].model == "openai:gpt-6-luna"


def test_keys_of_the_pass_come_first() -> None:
    spec = declared(NAMED, "model: near-by\n    temperature: 0\n    options: {seed: 8}").passes[0]
    assert spec.temperature == 0
    assert spec.options == {"seed": 8, "top_p": 0.9}
    assert spec.endpoint == "http://127.0.0.1:8000/v1"


def test_renaming_a_model_asks_nothing_again() -> None:
    one = declared(NAMED, "model: near-by").passes[0]
    other = declared(NAMED.replace("near-by", "nah"), "model: nah").passes[0]
    assert one.digest("compatible:qwen3") == other.digest("compatible:qwen3")
    hot = declared(NAMED.replace("temperature: 0.5", "temperature: 1"), "model: near-by").passes[0]
    assert one.digest("compatible:qwen3") != hot.digest("compatible:qwen3")


def test_limits_of_a_name_are_its_own() -> None:
    found = declared(NAMED + "limits: {requests_per_second: 5}\n", "model: near-by")
    assert found.limits_of("near-by").requests_per_minute == 60
    assert found.limits_of("small").requests_per_second == found.limits_of("").requests_per_second == 5


def test_the_environment_names_a_model() -> None:
    assert declared(NAMED, "model: ${PASS1_MODEL}", {"PASS1_MODEL": "small"}).passes[0].model == "openai:gpt-6-luna"
    assert declared("", "model: ${PASS1_MODEL}", {"PASS1_MODEL": "openai:x"}).passes[0].model == "openai:x"
    assert "a.yaml:7: passes[0].model: the environment variable `PASS1_MODEL` is not set" in mistake(
        "", "model: ${PASS1_MODEL}"
    )


@pytest.mark.parametrize(
    ("models", "keys", "says", "remedy"),
    [
        (NAMED, "model: smal", "a.yaml:17: passes[0].model: there is no model `smal`", "did you mean `small`"),
        (NAMED, "model: gpt-9", "there is no model `gpt-9`", "openai:gpt-9"),
        (NAMED, "models: [smal, near-by]", "passes[0].models[0]: there is no model `smal`", "did you mean `small`"),
        ("models: {lexical: openai:m}\n", "model: auto", "models.lexical: `lexical` is a provider", "another name"),
        ("models: {auto: openai:m}\n", "model: auto", "models.auto: `auto` chooses a model", "another name"),
        ("models: {a: b, b: openai:m}\n", "model: a", "models.a: `b` is a name too", "write openai:m"),
        (NAMED, "models: [small, near-by]", "`near-by` has `options` of its own", "to the pass"),
        ("models: {a: {model: openai:m, endpont: x}}\n", "model: a", "models.a.endpont: unknown key", "`endpoint`"),
        ("models: {a: {endpoint: x}}\n", "model: auto", "models.a.model: `model` is missing", "add `model:`"),
        ("models: {a b: openai:m}\n", "model: auto", "is not a name: letters, digits, _ and -", ""),
        ("models: {a: {model: openai:m, endpoint: 'http://u:p@h'}}\n", "model: a", "a.endpoint: a user name", ""),
        ("models: {a: null}\n", "model: auto", "models.a: expected keys and values", ""),
    ],
)  # fmt: skip
def test_mistakes_name_their_line(models: str, keys: str, says: str, remedy: str) -> None:
    told = mistake(models, keys)
    assert says in told
    assert remedy in told


@pytest.mark.parametrize("keys", ["model: near-by", "model: near-by\n    options: {seed: 8}", "model: small"])
def test_what_is_written_keeps_the_names(keys: str) -> None:
    found = declared(NAMED, keys)
    text = write(found)
    assert keys.split("\n")[0] in text
    assert text.count("http://127.0.0.1:8000/v1") == 1
    assert "  small: openai:gpt-6-luna" in text or "small: " in text
    assert load_text(text, folder=found.folder, env={}).model_dump() == found.model_dump()
