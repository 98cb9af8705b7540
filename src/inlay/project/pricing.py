"""What models cost, for people: a model by its name, or those of a declaration.

What stays true: an unknown price is said to be unknown, with the names that come nearest; nothing is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from inlay import registry
from inlay.errors import SpecError
from inlay.providers import price_table
from inlay.providers.models import ResolvedModel
from inlay.providers.prices import Price, find_price, list_price
from inlay.types import usd

if TYPE_CHECKING:
    from inlay.project.session import Session

_TIERS = ("flex", "priority", "fast")


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One set of rates in US dollars per million tokens, for prompts of more than `above` tokens. `service` is live,
    batch, flex, priority or fast."""

    service: str
    above: int
    input: float
    cached_input: float
    cache_write: float
    output: float


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs: no `lines` where nobody knows; then `nearest` are names that are known. `passes` use it."""

    model: str
    lines: tuple[PriceLine, ...]
    source: str
    nearest: tuple[str, ...] = ()
    passes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        return asdict(self)


def price_named(model: str, *, mode: str = "live") -> Price | None:
    """The list price of `provider:name`; None where there is none. SpecError for a name without a provider."""
    provider, name = _split(model)
    return find_price("lexical", name) if provider == "lexical" else list_price(provider, name, mode=mode)


def prices_named(models: Sequence[str]) -> list[ModelPrice]:
    """The list prices of models, in every service that the table knows."""
    out = []
    for model in models:
        provider, name = _split(model)
        lines: list[PriceLine] = []
        live = price_named(model)
        if live is not None and provider != "lexical":
            lines = _lines("live", live)
            lines += _lines("batch", price_named(model, mode="batch"))
            for tier in _TIERS:
                key = "speed" if tier == "fast" and provider == "anthropic" else "service_tier"
                lines += _lines(tier, list_price(provider, name, options={key: tier}))
        elif live is not None:
            lines = _lines("live", live)
        near = () if lines else tuple(price_table.nearest(provider, name))
        out.append(ModelPrice(model, tuple(lines), "" if live is None else live.source, near))
    return out


def prices_of(session: Session) -> list[ModelPrice]:
    """What the models of a declaration cost as it stands: its own prices, prices.yaml's or the table's."""
    found: dict[tuple[str, Price | None], list[tuple[int, ResolvedModel]]] = {}
    for index, steps in enumerate(session.steps):
        for step in steps:
            found.setdefault((step.model.full_name, step.price), []).append((index, step.model))
    out = []
    for (name, price), places in found.items():
        spec, model = session.passes[places[0][0]], places[0][1]
        lines = _lines("live", price)
        if model.local is None:
            lines += _lines("batch", session.price_of(spec, model, "batch"))
        near = () if price is not None else tuple(price_table.nearest(model.provider, model.name))
        passes = tuple(session.passes[index].name for index, _ in places)
        out.append(ModelPrice(name, tuple(lines), "" if price is None else price.source, near, passes))
    return out


def _lines(service: str, price: Price | None) -> list[PriceLine]:
    if price is None:
        return []
    return [
        PriceLine(service, tier.above, usd(tier.input), usd(tier.cached_input), usd(tier.cache_write), usd(tier.output))
        for tier in price.tiers
    ]


def _split(model: str) -> tuple[str, str]:
    provider, mark, name = model.partition(":")
    if not mark and provider != "lexical":
        near = price_table.nearest("", model)
        hint = f"did you mean {near[0]}?" if near else f"write openai:{model}"
        raise SpecError(f"`{model}` has no provider before it", key="model", remedy=hint)
    if provider not in registry.providers.names():
        raise registry.providers.unknown(provider, key="model")
    return provider, name
