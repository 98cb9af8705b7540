"""What calls in a batch cost, and how the prices that a batch was reserved at are written down.

What stays true: a batch is settled at the prices that it was made at, whatever the table says by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from inlay.providers.prices import Price, Rates

# What a provider takes for a call in a batch, of its list price.
NUMERATOR, DENOMINATOR = 1, 2
_MONEY = ("input", "cached_input", "cache_write", "output")


def batch_price(price: Price | None) -> Price | None:
    """The same price for calls in a batch; None where it is unknown."""
    if price is None:
        return None
    tiers = tuple(replace(tier, **{name: _part(getattr(tier, name)) for name in _MONEY}) for tier in price.tiers)
    return replace(price, tiers=tiers)


def _part(nanos: int) -> int:
    return -(-nanos * NUMERATOR // DENOMINATOR)


def written(live: Price | None, batch: Price | None) -> dict[str, Any]:
    """Both prices as plain values, for the journal."""
    return {
        name: None if price is None else {"source": price.source, "tiers": [asdict(tier) for tier in price.tiers]}
        for name, price in (("live", live), ("batch", batch))
    }


def read(rates: Mapping[str, Any], name: str) -> Price | None:
    """One of the prices of `written`."""
    found = rates.get(name)
    if not isinstance(found, Mapping):
        return None
    known = {each.name for each in fields(Rates)}
    tiers = tuple(Rates(**{key: value for key, value in tier.items() if key in known}) for tier in found["tiers"])
    return Price(tiers, str(found.get("source") or ""))
