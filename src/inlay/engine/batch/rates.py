"""What calls in a batch cost, and how the prices that a batch was reserved at are written down.

What stays true: a batch is settled at the prices that it was made at, whatever the table says by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from inlay.providers.prices import Price, Rates


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
