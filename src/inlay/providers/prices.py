"""What a call costs: a dated table of list prices, or the declaration's own, and the arithmetic on it.

What stays true: money is whole nano-dollars, computed in integers and rounded up, per request and never on summed
tokens (a tier switches on the size of one prompt); the worst case that is reserved is never below what a call within
its bounds can cost; an unknown price is None and never zero.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from inlay.spec.model import PriceSpec
from inlay.types import NANO, Usage

MILLION = 1_000_000
# Room for what a chat template wraps around a text: roles, separators, a preamble of its own.
FRAME_TOKENS = 64
_DATED = re.compile(r"-\d{4}-\d{2}-\d{2}$")
# Tiers of service that cost the list price at most; `priority` and its like cost more, so their price is unknown.
_LIST_PRICE_TIERS = frozenset((None, "auto", "default", "flex", "standard"))


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
    provider: str, model: str, override: PriceSpec | None = None, *, options: Mapping[str, Any] | None = None
) -> Price | None:
    """The declared price, or the table's; None where nobody knows. `lexical` runs in this process and costs nothing.

    A dated snapshot (`gpt-6-luna-2026-09-22`) costs what its model costs unless the table names it. A server of
    one's own (`compatible`) has no price until one is declared: `prices: {input_per_million: 0, …}` says it is free.
    """
    if override is not None:
        return _declared(override)
    if provider == "lexical":
        return Price((Rates(0, 0, 0, 0, 0),), "runs in this process")
    if (options or {}).get("service_tier") not in _LIST_PRICE_TIERS:
        return None
    table = _table()
    models = table.get(provider)
    if not isinstance(models, dict):
        return None
    row = models.get(model) or models.get(_DATED.sub("", model))
    if row is None:
        return None
    tiers = tuple(_rates(tier) for tier in ({**row, "above": 0}, *row.get("tiers", ())))
    return Price(tiers, f"{table['source']}, {table['as_of']}")


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
    cached = spec.cached_input_per_million
    rates = Rates(0, given, given if cached is None else _nanos(cached), given, _nanos(spec.output_per_million))
    return Price((rates,), "declared")


def _rates(row: Mapping[str, Any]) -> Rates:
    given = _nanos(row["input"])
    return Rates(
        row["above"],
        given,
        _nanos(row.get("cached_input", row["input"])),
        _nanos(row.get("cache_write", row["input"])),
        _nanos(row["output"]),
    )


def _nanos(dollars: float) -> int:
    # By way of the shortest decimal: 0.1 dollars are 100,000,000 nano-dollars exactly.
    return int((Decimal(repr(dollars)) * NANO).to_integral_value(ROUND_CEILING))


@cache
def _table() -> dict[str, Any]:
    return json.loads(files("inlay").joinpath("data/prices.json").read_text("utf-8"))
