"""What each model can do: a dated table of model families, and the declaration's own word where it has one.

What stays true: an unknown model gets the permissive defaults, so that a new one works before the table knows it; what
a model is known to refuse is refused here, before anything is sent; abilities are no part of an answer's address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from inlay.errors import SpecError
from inlay.spec.model import AbilitiesSpec
from inlay.types import Abilities

# Tokens beside the answer itself where a model cannot be kept from thinking, or was asked to: it counts as output.
THINKING_TOKENS = 4_000
# Options that say how much a model thinks, in any wire's words.
_ABOUT_THINKING = frozenset(("thinking", "effort", "reasoning_effort", "reasoning", "output_config"))
_SWITCHED_OFF = frozenset(("disabled", "between_tools"))


def abilities(provider: str, model: str, override: AbilitiesSpec | None = None) -> Abilities:
    """The table's word on a model, the first family that its name fits; `override` goes before it, key by key.

    Any way of writing the name is understood: claude-haiku-5-5, eu.anthropic.claude-haiku-5-5-20260901-v1:0, an ARN.
    """
    found = _known(provider, model)
    if override is None:
        return found
    changes = {name: value for name, value in override.model_dump().items() if value is not None}
    if "structured" in changes:
        changes["structured"] = (changes["structured"],)
    if "efforts" in changes:
        changes["efforts"] = tuple(changes["efforts"])
    return replace(found, **changes)


@cache
def _known(provider: str, model: str) -> Abilities:
    name = model.lower()
    table = _table()
    for pattern, providers, given in table["families"]:
        if (providers is None or provider in providers) and pattern.search(name):
            return Abilities(**given, as_of=table["as_of"])
    return Abilities()


@cache
def _table() -> dict[str, Any]:
    data = json.loads((files("inlay") / "data" / "abilities.json").read_text("utf-8"))
    families = []
    for entry in data["models"]:
        pattern, providers = re.compile(entry.pop("pattern")), entry.pop("providers", None)
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        families.append((pattern, None if providers is None else frozenset(providers), given))
    return {"as_of": data["as_of"], "families": families}


def check_temperature(model: str, temperature: float | None, able: Abilities) -> None:
    """Raise SpecError for a temperature that the model is known to refuse."""
    if temperature is not None and not able.temperature:
        raise SpecError(
            f"{model} takes no `temperature`: a request that has one is refused",
            key="temperature",
            remedy="remove `temperature`; if the model takes one after all, add abilities: {temperature: true}",
        )


def check_effort(model: str, effort: Any, able: Abilities, *, key: str) -> None:
    """Raise SpecError for an effort that the model is known not to have."""
    if able.efforts and effort not in able.efforts:
        raise SpecError(
            f"{model} has no effort {effort!r}"[:200],
            key=key,
            remedy=f"it has {', '.join(able.efforts)}; where that is no longer so, add abilities: {{efforts: […]}}",
        )


def thinks(able: Abilities, options: Mapping[str, Any]) -> bool:
    """Whether a model with these options may think before it answers, once Inlay has switched off what it can."""
    if able.thinking == "none":
        return False
    if able.thinking == "always":
        return True
    more = options.get("additionalModelRequestFields")
    said = {**options, **more} if isinstance(more, Mapping) else options
    thinking = said.get("thinking")
    if isinstance(thinking, Mapping):
        return thinking.get("type") not in _SWITCHED_OFF
    return not _ABOUT_THINKING.isdisjoint(said)


def room_for_thinking(able: Abilities, options: Mapping[str, Any]) -> int:
    """Tokens to add to the default cap of an answer, since a model's thinking counts against the same cap."""
    return THINKING_TOKENS if thinks(able, options) else 0
