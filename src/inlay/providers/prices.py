"""What a call costs: a dated table of list prices, or the declaration's own, and the arithmetic on it.

What stays true: money is whole nano-dollars, computed in integers and rounded up, per request and never on summed
tokens (a tier switches on the size of one prompt); the worst case that is reserved is never below what a call within
its bounds can cost; an unknown price is None and never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from inlay.providers import price_table
from inlay.spec.model import PriceSpec
from inlay.types import NANO, Usage

MILLION = 1_000_000
# Room for what a chat template wraps around a text: roles, separators, a preamble of its own.
FRAME_TOKENS = 64
# Words for the usual service, which costs the list price. Every other word has to be in the model's row.
_USUAL = frozenset((None, "auto", "default", "standard", "standard_only", "global", "not_available"))
# Keys of a request body that change its price, over all wires.
_PRICED_OPTIONS = ("service_tier", "serviceTier", "speed", "inference_geo", "performanceConfig")


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens, for prompts of more than `above` tokens."""

    above: int
    input: int
    cached_input: int
    cache_write: int
    output: int


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs. `tiers` rise by `above`, the first one 0; `source` says where the figures are from."""

    tiers: tuple[Rates, ...]
    source: str

    def uncached_nusd(self, usage: Usage) -> int:
        """What the same call would have cost had the provider's cache neither been read nor written."""
        return self.cost_nusd(replace(usage, cached_tokens=0, cache_write_tokens=0))

    def cost_nusd(self, usage: Usage) -> int:
        """What one call cost, in nano-dollars, rounded up. Call it once a request, never on a sum of usages."""
        rates = self.tiers[0]
        for tier in self.tiers[1:]:
            if usage.input_tokens > tier.above:
                rates = tier
        cached, wrote = usage.cached_tokens, usage.cache_write_tokens
        fresh = max(0, usage.input_tokens - cached - wrote)
        total = (
            fresh * rates.input
            + cached * rates.cached_input
            + wrote * rates.cache_write
            + usage.output_tokens * rates.output
        )
        return -(-total // MILLION)

    def worst_nusd(self, input_tokens_upper: int, max_output_tokens: int) -> int:
        """The most that a call of at most so many tokens can cost, whatever was cached and whichever tier applies."""
        reachable = [tier for tier in self.tiers if tier.above == 0 or tier.above < input_tokens_upper]
        dearest_input = max(max(tier.input, tier.cached_input, tier.cache_write) for tier in reachable)
        dearest_output = max(tier.output for tier in reachable)
        return -(-(input_tokens_upper * dearest_input + max_output_tokens * dearest_output) // MILLION)


def find_price(
    provider: str,
    model: str,
    override: PriceSpec | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    mode: str = "live",
    priced_as: str | None = None,
) -> Price | None:
    """What a call costs in this mode ("live" or "batch"): the declared price, or the table's; None where nobody knows.

    `lexical` runs in this process and costs nothing. A dated snapshot (`gpt-6-luna-2026-09-22`) costs what its model
    costs unless the table names it. A server of one's own (`compatible`) has no price until one is declared:
    `prices: {input_per_million: 0, …}` says it is free. An Azure deployment's name is no model, and an ARN may name
    none: `priced_as` says whose price it has, `gpt-6-luna` or `openai:gpt-6-luna`. Options that change the price
    (`service_tier: flex`) count; one that the table does not know makes the price unknown. Declared prices hold for
    batches too, times their `batch_multiplier`: left out, the provider's own, or 1.
    """
    if override is not None:
        price = _declared(override)
        if mode != "batch":
            return price
        own = override.batch_multiplier
        return _scaled(price, (price_table.batch_multiplier(provider) or 1) if own is None else own)
    if provider == "lexical":
        return Price((Rates(0, 0, 0, 0, 0),), "runs in this process")
    if priced_as is not None:
        owner, mark, name = priced_as.partition(":")
        if mark and owner in price_table.PROVIDERS:
            provider, model = owner, name
        else:
            model = priced_as
    elif provider == "azure":
        return None
    return list_price(provider, model, options=options, mode=mode)


def list_price(
    provider: str, model: str, *, options: Mapping[str, Any] | None = None, mode: str = "live"
) -> Price | None:
    """The table's price of a model; None where it has none for this mode and these options."""
    row = price_table.find_row(provider, model)
    options = options or {}
    if row is None:
        return None
    if mode == "batch":
        # A batch is a tier of its own, whatever the options say of others.
        if "batch" in row:
            return _price(row["batch"], options)
        multiplier = price_table.batch_multiplier(provider)
        return None if multiplier is None else _scaled(_price(row, options), multiplier)
    for key in _PRICED_OPTIONS:
        value = options.get(key)
        value = next(iter(value.values()), None) if isinstance(value, Mapping) else value
        if value in _USUAL:
            continue
        special = row.get(value) if isinstance(value, str) and value in ("flex", "priority", "fast") else None
        if special is None:
            return None
        row = special
    return _price(row, options)


def estimate_tokens(text: str) -> tuple[int, int]:
    """(typical, upper bound) of the tokens in a text.

    Typical: a quarter of a token for each ASCII character, and by script beyond it: 0.4 for two-byte letters
    (Cyrillic, Arabic, accents), 1 for three-byte ones (CJK, kana), 2 for the rest (emoji).

    Upper: one token for each byte of UTF-8, plus the frame of a message. Every tokenizer in use, byte-level BPE (GPT,
    Llama 3, Qwen) and SentencePiece with byte fallback alike, cuts a text into pieces of at least one byte each, so no
    text has more tokens than bytes. The bound is wide, about four times the typical count of English, because a closer
    one is false: random letters and digits take more than one token for two bytes, rare scripts up to one a byte. What
    is reserved above the truth is given back when the answer arrives.
    """
    if text.isascii():
        length = len(text)
        return -(-length // 4), length + FRAME_TOKENS
    chars = len(text)
    size = len(text.encode("utf-8", "surrogatepass"))
    one = len(text.encode("ascii", "ignore"))
    four = len(text.encode("utf-16-le", "surrogatepass")) // 2 - chars
    # one + two + three + four = chars, and one + 2·two + 3·three + 4·four = size.
    three = size - one - 4 * four - 2 * (chars - one - four)
    two = chars - one - three - four
    return -(-(5 * one + 8 * two + 20 * three + 40 * four) // 20), size + FRAME_TOKENS


def _declared(spec: PriceSpec) -> Price:
    given = _nanos(spec.input_per_million)
    cached, written = spec.cached_input_per_million, spec.cache_write_per_million
    rates = Rates(
        0,
        given,
        given if cached is None else _nanos(cached),
        given if written is None else _nanos(written),
        _nanos(spec.output_per_million),
    )
    return Price((rates,), "declared")


def _scaled(price: Price, by: float | None) -> Price:
    """The same price times a number, each rate rounded up."""
    if by is None:
        return price
    exact = Decimal(repr(by))

    def times(rate: int) -> int:
        return int((rate * exact).to_integral_value(ROUND_CEILING))

    tiers = tuple(
        Rates(tier.above, *map(times, (tier.input, tier.cached_input, tier.cache_write, tier.output)))
        for tier in price.tiers
    )
    return Price(tiers, price.source)


def _price(row: Mapping[str, Any], options: Mapping[str, Any]) -> Price:
    write = "cache_write_1h" if _for_an_hour(options) else "cache_write"
    tiers = tuple(_rates(tier, write) for tier in ({**row, "above": 0}, *row.get("tiers", ())))
    return Price(tiers, price_table.source())


def _for_an_hour(value: Any) -> bool:
    """Whether the options keep anything in the provider's cache for an hour, which costs more to write."""
    if isinstance(value, Mapping):
        return value.get("ttl") == "1h" or any(map(_for_an_hour, value.values()))
    return isinstance(value, list | tuple) and any(map(_for_an_hour, value))


def _rates(row: Mapping[str, Any], write: str) -> Rates:
    return Rates(
        row["above"],
        _nanos(row["input"]),
        _nanos(row.get("cached_input", row["input"])),
        _nanos(row.get(write, row.get("cache_write", row["input"]))),
        _nanos(row["output"]),
    )


def _nanos(dollars: float) -> int:
    # By way of the shortest decimal: 0.1 dollars are 100,000,000 nano-dollars exactly.
    return int((Decimal(repr(dollars)) * NANO).to_integral_value(ROUND_CEILING))
