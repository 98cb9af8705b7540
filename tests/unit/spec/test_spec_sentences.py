"""Every complaint that pydantic can make about a declaration has a sentence of ours."""

from __future__ import annotations

from typing import Any

from inlay.spec.model import Enrichment, PassSpec
from inlay.spec.sentences import FILE_KEYS, HIDDEN_KEYS, SENTENCES, keys_at

# What a schema node can complain of when it is given what a file can hold: text, nothing, a list or keys.
COMPLAINTS = {
    "str": {"string_type"},
    "int": {"int_type", "int_parsing"},
    "float": {"float_type", "float_parsing", "finite_number"},
    "bool": {"bool_type", "bool_parsing"},
    "tuple": {"tuple_type"},
    "dict": {"dict_type"},
    "model": {"model_type"},
    "model-fields": {"missing", "extra_forbidden"},
    "literal": {"literal_error"},
    "function-before": {"value_error"},
    "function-after": {"value_error"},
}
LIMITS = {
    "ge": "greater_than_equal",
    "gt": "greater_than",
    "le": "less_than_equal",
    "lt": "less_than",
    "min_length": "too_short",
    "max_length": "too_long",
    "pattern": "string_pattern_mismatch",
}


def complaints(node: Any, found: set[str]) -> set[str]:
    if isinstance(node, dict):
        kind = node.get("type")
        if isinstance(kind, str):
            found |= COMPLAINTS.get(kind, set())
            found |= {LIMITS[name] for name in LIMITS if name in node}
        for value in node.values():
            complaints(value, found)
    elif isinstance(node, list | tuple):
        for value in node:
            complaints(value, found)
    return found


def test_each_complaint_of_the_models_has_a_sentence() -> None:
    found = complaints(Enrichment.__pydantic_core_schema__, set())
    assert {"string_type", "tuple_type", "literal_error", "value_error", "greater_than"} <= found
    assert found - SENTENCES.keys() == set()


def test_known_keys_at_each_level() -> None:
    assert keys_at(())[:3] == ("name", "source", "passes")
    assert set(keys_at(("passes", 0))) >= {"prompt_file", "ttl", "fields"}
    assert not set(keys_at(("passes", 0))) & set(HIDDEN_KEYS[PassSpec])
    assert "max_items" in keys_at(("passes", 0, "fields", "stars"))
    assert "max_items" in keys_at(("passes", 3, "fields", "stars", "items"))
    assert "max_items" in keys_at(("passes", 3, "fields", "stars", "fields", "x"))
    assert keys_at(("passes", 0, "prices"))[0] == "input_per_million"
    assert keys_at(("source", "types")) == ()


def test_keys_of_the_file_are_no_keys_of_the_models() -> None:
    for model, names in FILE_KEYS.items():
        assert not set(names) & set(model.model_fields)
    for model, names in HIDDEN_KEYS.items():
        assert set(names) <= set(model.model_fields)
