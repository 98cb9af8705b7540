"""Prices: exact integer arithmetic, tiers by one prompt, worst cases that hold, and token bounds."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.providers.prices import Price, estimate_tokens, find_price
from inlay.spec.model import PriceSpec
from inlay.types import Usage


def price(model: str) -> Price:
    found = find_price("openai", model)
    assert found is not None
    return found


def test_the_table_knows_the_models_and_says_when_it_was_made() -> None:
    luna = price("gpt-6-luna")
    assert luna.cost_nusd(Usage(1_000_000 // 4, 0)) == 25_000_000  # 0.25M at 0.10 a million
    assert luna.cost_nusd(Usage(0, 1_000_000)) == 500_000_000
    assert price("gpt-5.6-luna").cost_nusd(Usage(10_000, 1_000)) == 2_000_000 + 1_200_000
    assert price("gpt-4.1-mini").cost_nusd(Usage(10_000, 1_000)) == 4_000_000 + 1_600_000
    assert "2026-11-20" in luna.source


def test_cached_and_written_tokens_have_their_own_rates() -> None:
    # 1,000 fresh at 0.1, 8,000 cached at 0.01, 1,000 written at 0.125, 100 out at 0.5 dollars a million
    assert price("gpt-6-luna").cost_nusd(Usage(10_000, 100, 8_000, 1_000)) == 100_000 + 80_000 + 125_000 + 50_000


def test_a_tier_applies_to_the_whole_of_one_request() -> None:
    luna = price("gpt-6-luna")
    assert luna.cost_nusd(Usage(272_000, 0)) == 27_200_000
    assert luna.cost_nusd(Usage(272_001, 0)) == 54_400_200
    assert luna.cost_nusd(Usage(300_000, 1_000)) == 60_000_000 + 750_000


def test_money_is_rounded_up_to_a_whole_nano_dollar() -> None:
    cheap = find_price("compatible", "x", PriceSpec(input_per_million=0.0001, output_per_million=0))
    assert cheap is not None
    assert cheap.cost_nusd(Usage(1, 0)) == 1
    assert cheap.cost_nusd(Usage(20, 0)) == 2
    assert cheap.cost_nusd(Usage()) == 0


def test_a_snapshot_costs_what_its_model_costs_unless_it_is_named() -> None:
    assert price("gpt-6-luna-2026-09-22") == price("gpt-6-luna")
    assert price("gpt-4o-2024-05-13").cost_nusd(Usage(1000, 0)) == 5_000_000
    assert price("gpt-4o-2024-11-20").cost_nusd(Usage(1000, 0)) == 2_500_000


def test_an_unknown_price_is_none_and_never_zero() -> None:
    assert find_price("openai", "gpt-99") is None
    assert find_price("openai", "gpt-6-luna-pro") is None
    assert find_price("compatible", "gpt-6-luna") is None
    assert find_price("source", "as_of") is None
    assert find_price("openai", "gpt-6-luna", options={"service_tier": "scale"}) is None
    assert find_price("openai", "gpt-4.1-mini", options={"service_tier": "flex"}) is None
    assert find_price("bedrock", "anthropic.claude-haiku-5-5", options={"service_tier": {"type": "flex"}}) is None
    assert find_price("anthropic", "claude-haiku-5-5", options={"inference_geo": "us"}) is None


def cost(provider: str, model: str, usage: Usage = Usage(1_000, 100), **named: Any) -> int:  # noqa: B008
    found = find_price(provider, model, **named)
    assert found is not None, model
    return found.cost_nusd(usage)


def test_tiers_of_service_have_their_own_price() -> None:
    live = cost("openai", "gpt-6-luna")
    assert cost("openai", "gpt-6-luna", options={"service_tier": "default"}) == live == 150_000
    assert cost("openai", "gpt-6-luna", options={"service_tier": "flex"}) == 75_000
    assert cost("openai", "gpt-6-luna", options={"service_tier": "priority"}) == 300_000
    assert cost("anthropic", "claude-haiku-5-5", options={"speed": "standard"}) == 150_000


@pytest.mark.parametrize(
    ("provider", "model", "named"),
    [
        ("openai", "gpt-6-luna", {}),
        ("anthropic", "claude-haiku-5-5", {}),
        ("azure", "my-deployment", {"priced_as": "gpt-6-luna"}),
        ("bedrock", "us.anthropic.claude-haiku-5-5", {}),
    ],
)
def test_a_batch_costs_half_on_all_four(provider: str, model: str, named: dict[str, Any]) -> None:
    usage = Usage(10_000, 1_000, 4_000)
    assert cost(provider, model, usage, mode="batch", **named) * 2 == cost(provider, model, usage, **named)


def test_a_batch_row_of_its_own_wins_over_the_half() -> None:
    # The batch price list of this model names no cheaper cached input.
    assert cost("openai", "gpt-4.1-mini", Usage(1_000, 0, 1_000), mode="batch") == 100_000
    assert cost("openai", "gpt-4.1-mini", Usage(1_000, 0), mode="batch") == 200_000


def test_a_batch_without_a_known_discount_costs_what_is_declared() -> None:
    spec = PriceSpec(input_per_million=1, output_per_million=2)
    assert cost("compatible", "q", override=spec, mode="batch") == cost("compatible", "q", override=spec)
    half = spec.model_copy(update={"batch_multiplier": 0.5})
    assert cost("compatible", "q", override=half, mode="batch") * 2 == cost("compatible", "q", override=half)


def test_a_written_token_has_the_declared_price() -> None:
    spec = PriceSpec(input_per_million=1, output_per_million=0, cache_write_per_million=1.25)
    assert cost("compatible", "q", Usage(1_000, 0, 0, 1_000), override=spec) == 1_250_000


def test_an_hour_in_the_cache_costs_more_to_write() -> None:
    usage = Usage(1_000, 0, 0, 1_000)
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert cost("anthropic", "claude-haiku-5-5", usage) == 125_000
    assert cost("anthropic", "claude-haiku-5-5", usage, options=hour) == 200_000


def test_a_deployment_has_the_price_that_it_is_declared_to_have() -> None:
    assert find_price("azure", "gpt-6-luna") is None, "a deployment may be named after any model"
    assert cost("azure", "prod-1", priced_as="gpt-6-luna") == cost("openai", "gpt-6-luna")
    assert cost("azure", "prod-1", priced_as="phi-4") != cost("openai", "gpt-6-luna")
    assert cost("compatible", "q", priced_as="openai:gpt-6-luna") == cost("openai", "gpt-6-luna")
    assert find_price("compatible", "q", priced_as="gpt-6-luna") is None


def test_bedrock_names_its_regions() -> None:
    everywhere = cost("bedrock", "global.anthropic.claude-haiku-5-5")
    regional = cost("bedrock", "eu.anthropic.claude-haiku-5-5-v1:0")
    assert everywhere == 150_000
    assert (
        regional
        == 165_000
        == cost("bedrock", "anthropic.claude-haiku-5-5")
        == cost("bedrock", "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-haiku-5-5")
    )
    assert cost("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0") == cost(
        "bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    )
    assert cost("bedrock", "openai.gpt-oss-120b-1:0", Usage(1_000, 0)) == 150_000
    assert find_price("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc123") is None


def test_every_row_of_the_table_is_a_price() -> None:
    from inlay.providers import price_table

    for provider in price_table.PROVIDERS:
        for name, row in price_table._table()[provider].items():
            for part in (row, *(row[tier] for tier in ("batch", "flex", "priority", "fast") if tier in row)):
                assert part["output"] >= part["input"] > 0, name
            assert price_table.find_row(provider, name) == row, name


def test_an_unknown_name_has_nearest_ones() -> None:
    from inlay.providers.price_table import nearest

    assert nearest("openai", "gpt-6-lunar")[0] == "openai:gpt-6-luna"
    assert "anthropic:claude-haiku-5-5" in nearest("anthropic", "haiku-5-5")
    assert nearest("opnai", "gpt-6-luna")[0] == "openai:gpt-6-luna"


def test_a_declared_price_wins_and_this_process_is_free() -> None:
    declared = find_price("openai", "gpt-6-luna", PriceSpec(input_per_million=1, output_per_million=2))
    assert declared is not None
    assert declared.cost_nusd(Usage(1000, 100, cached_tokens=500)) == 1_000_000 + 200_000
    with_cache = find_price(
        "compatible", "q", PriceSpec(input_per_million=1, output_per_million=2, cached_input_per_million=0.1)
    )
    assert with_cache is not None
    assert with_cache.cost_nusd(Usage(1000, 0, cached_tokens=500)) == 500_000 + 50_000
    free = find_price("lexical", "1")
    assert free is not None
    assert free.cost_nusd(Usage(10**6, 10**6)) == free.worst_nusd(10**6, 10**6) == 0


@given(
    st.sampled_from(["gpt-6-luna", "gpt-6.1-sol", "gpt-5.4", "gpt-4o", "o3"]),
    st.integers(0, 600_000),
    st.integers(0, 50_000),
    st.data(),
)
def test_no_call_within_its_bounds_costs_more_than_the_worst_case(
    model: str, given_upper: int, written_upper: int, data: st.DataObject
) -> None:
    used = data.draw(st.integers(0, given_upper))
    cached = data.draw(st.integers(0, used))
    wrote = data.draw(st.integers(0, used - cached))
    usage = Usage(used, data.draw(st.integers(0, written_upper)), cached, wrote)
    found = price(model)
    assert found.cost_nusd(usage) <= found.worst_nusd(given_upper, written_upper)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1000, allow_nan=False))
def test_the_arithmetic_agrees_with_fractions(given_tokens: int, written: int, dollars: float) -> None:
    found = find_price("compatible", "x", PriceSpec(input_per_million=dollars, output_per_million=dollars / 2))
    assert found is not None
    exact = given_tokens * ceil(Fraction(repr(dollars)) * 10**9) + written * ceil(Fraction(repr(dollars / 2)) * 10**9)
    assert found.cost_nusd(Usage(given_tokens, written)) == ceil(Fraction(exact, 10**6))


@given(st.text(alphabet=st.characters(exclude_categories=[]), max_size=200))
def test_the_upper_bound_is_never_below_any_tokenizer(text: str) -> None:
    typical, upper = estimate_tokens(text)
    assert upper >= len(text.encode("utf-8", "surrogatepass"))  # one token for each byte is the most there can be
    assert upper >= ceil(len(text) / 4)  # how the simulator counts
    assert typical <= upper


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("The quick brown fox jumps over the lazy dog.", 9, 12),
        ("吾輩は猫である。名前はまだ無い。", 12, 17),
        ("مرحبا بالعالم", 4, 8),
        ("Привет, мир", 3, 7),
        ("😀😀", 2, 5),
    ],
)
def test_typical_counts_follow_the_script(text: str, low: int, high: int) -> None:
    assert low <= estimate_tokens(text)[0] <= high
