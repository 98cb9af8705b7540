"""Write src/inlay/data/prices.json from genai-prices, which is installed for development only. Asks no network.

    PYTHONPATH=src python scripts/prices.py 2026-11-20

The argument is the day that the prices are for (left out: today); the table names it and the version of genai-prices.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ClauseEquals, ClauseOr, StartDateConstraint, TieredPrices

from inlay.providers.price_table import table_name

TARGET = Path(__file__).parent.parent / "src" / "inlay" / "data" / "prices.json"
NAMES = {"openai": "openai", "anthropic": "anthropic", "azure": "azure", "bedrock": "aws"}
KEYS = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "output": "output_mtok",
}
HALF = 0.5  # of the list price, for a batch: all four publish it


def main() -> None:
    day = date.fromisoformat(sys.argv[1]) if len(sys.argv) > 1 else datetime.now(UTC).date()
    by_id = {provider.id: provider for provider in providers}
    table: dict[str, Any] = {
        "as_of": day.isoformat(),
        "unit": "US dollars per million tokens; a tier applies to a whole request whose prompt is above its size",
        "source": f"list prices, as recorded by genai-prices {version('genai-prices')}",
        "batch_multiplier": dict.fromkeys(NAMES, HALF),
    }
    for name, theirs in NAMES.items():
        table[name] = dict(sorted(rows(name, by_id[theirs].models, day)))
    TARGET.write_text(written(table), "utf-8")
    print(", ".join(f"{name}: {len(table[name])} models" for name in NAMES))


def rows(provider: str, models: list[Any], day: date) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each model that reads and writes text, under its name in the table."""
    ids = {model.id for model in models}
    for model in models:
        prices = vars(in_force(model.prices, day))
        if not (prices.get("input_mtok") and prices.get("output_mtok")) or "free" in model.id or "image" in model.id:
            continue
        if any(key.startswith(("input_audio", "output_audio", "output_image")) for key in prices):
            continue
        row = rates(prices)
        for variant in model.price_variants or ():
            if variant.constraint is not None and not starts(variant.constraint, day):
                continue
            theirs = {key: value for key, value in vars(variant.prices).items() if value is not None}
            [(what, value)] = variant.when.items()
            if not theirs or (what, value) == ("service_tier", "default"):
                continue
            special = rates({**prices, **theirs})
            if what != "processing" or special != scaled(row, HALF):
                row[value] = special
        name = table_name(provider, model.id)
        if name != model.id and name in ids:
            name = model.id  # a dated name with a price of its own
        aliases = sorted({table_name(provider, text) for text in equals(model.match)} - {name} - ids)
        if aliases and provider != "bedrock":
            row["aliases"] = aliases
        yield name, row


def in_force(prices: Any, day: date) -> Any:
    """The prices of this day, where a model has several."""
    if not isinstance(prices, list):
        return prices
    chosen = prices[0].prices
    for one in prices:
        if one.constraint is None or starts(one.constraint, day):
            chosen = one.prices
    return chosen


def starts(constraint: Any, day: date) -> bool:
    return isinstance(constraint, StartDateConstraint) and constraint.start_date <= day


def rates(prices: dict[str, Any]) -> dict[str, Any]:
    given = {ours: prices[theirs] for ours, theirs in KEYS.items() if prices.get(theirs) is not None}
    tiered = {tier.start for value in given.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    row: dict[str, Any] = {name: number(at(value, None)) for name, value in given.items()}
    if tiered:
        row["tiers"] = [
            {"above": start, **{name: number(at(value, start)) for name, value in given.items()}}
            for start in sorted(tiered)
        ]
    return row


def at(price: Any, start: int | None) -> Any:
    """A price for prompts above a size (None: for all others)."""
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if start is not None and tier.start <= start]
    return reached[-1] if reached else price.base


def scaled(row: dict[str, Any], by: float) -> dict[str, Any]:
    def one(rates: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in rates.items() if key in part}
        return {key: value if key == "above" else number(round(value * by, 9)) for key, value in kept.items()}

    part = (*KEYS, "above")
    out = one(row)
    if "tiers" in row:
        out["tiers"] = [one(tier) for tier in row["tiers"]]
    return out


def equals(match: Any) -> Iterator[str]:
    if isinstance(match, ClauseEquals):
        yield match.equals
    elif isinstance(match, ClauseOr):
        for one in match.or_:
            yield from equals(one)


def number(value: Any) -> int | float:
    plain = float(value)
    return int(plain) if plain.is_integer() else plain


def written(table: dict[str, Any]) -> str:
    """JSON with one line a model, so that a change of prices is read as such."""
    out = ["{"]
    for place, (key, value) in enumerate(table.items()):
        end = "," if place < len(table) - 1 else ""
        if key in NAMES:
            lines = [f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items()]
            out += [f"  {json.dumps(key)}: {{", ",\n".join(lines), f"  }}{end}"]
        else:
            out.append(f"  {json.dumps(key)}: {json.dumps(value)}{end}")
    return "\n".join([*out, "}", ""])


if __name__ == "__main__":
    main()
