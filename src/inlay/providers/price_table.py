"""The dated table of list prices that comes with Inlay, and how a model's name finds its row.

`scripts/prices.py` writes the table (data/prices.json) from genai-prices; nothing here asks the network. What stays
true: a name finds the row that stands for it exactly, but for the date and version at its end; a name that is only
similar finds nothing, since a wrong price is worse than none.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

PROVIDERS = ("openai", "anthropic", "azure", "bedrock")
_ENDINGS = re.compile(
    r"(?:-latest|[-@](?:20\d{2})-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])|-v\d+(?::\d+)?(?::\d+k)?|:\d+)$"
)
# What a Bedrock name may begin with: the geography that an inference profile keeps its calls in.
_GEOGRAPHY = re.compile(r"^(us-gov|us|eu|apac|au|jp|in|ca|sa|global|regional)\.(?=[a-z0-9]+\.)")


def source() -> str:
    """Where the figures are from, and of which day."""
    table = _table()
    return f"{table['source']}, {table['as_of']}"


def batch_multiplier(provider: str) -> float | None:
    """What a provider asks for a call in a batch, as a part of the list price; None where no figure is known."""
    return _table()["batch_multiplier"].get(provider)


def find_row(provider: str, model: str) -> Mapping[str, Any] | None:
    """The row of a model, in US dollars per million tokens; None where the table has none.

    Azure sells other makers' models at their list prices: its own rows come first, theirs next. A Bedrock name stands
    for itself (in its region), for a geography (us., eu., …) or for `global.`, and may be an ARN.
    """
    if provider == "bedrock":
        return _bedrock(model)
    for owner in ("azure", "openai", "anthropic") if provider == "azure" else (provider,):
        rows = _table().get(owner)
        if not isinstance(rows, dict):
            return None
        name = model.lower()
        row = rows.get(name) or rows.get(_aliases(owner).get(name, "")) or rows.get(plain_name(name))
        row = row or rows.get(_aliases(owner).get(plain_name(name), ""))
        if row is not None:
            return row
    return None


def nearest(provider: str, model: str, number: int = 3) -> list[str]:
    """The names in the table that are most like this one, as `provider:name`."""
    if provider not in PROVIDERS:
        every = [f"{owner}:{name}" for owner in PROVIDERS for name in _table()[owner]]
        return difflib.get_close_matches(f"{provider}:{model}" if model else provider, every, number, 0.5)
    names = list(_table()[provider])
    if provider == "azure":
        names += _table()["openai"]
    wanted = _regional(_bedrock_name(model))[1] if provider == "bedrock" else plain_name(model.lower())
    close = difflib.get_close_matches(wanted, names, number, 0.5)
    holding = [name for name in names if wanted and wanted in name and name not in close]
    return [f"{provider}:{name}" for name in (close + holding)[:number]]


def plain_name(name: str) -> str:
    """A model's name without the date and version at its end."""
    while (shorter := _ENDINGS.sub("", name)) != name and shorter:
        name = shorter
    return name


def table_name(provider: str, model: str) -> str:
    """Under which name the table keeps a model; `scripts/prices.py` writes the table with it."""
    if provider == "bedrock":
        where, name = _regional(_bedrock_name(model))
        return f"{where}.{name}" if where else name
    return plain_name(model.lower())


def _bedrock(model: str) -> Mapping[str, Any] | None:
    rows = _table()["bedrock"]
    where, name = _regional(_bedrock_name(model))
    where = where or "regional"  # a bare name runs in its own region
    return rows.get(f"{where}.{name}") or rows.get(name)


def _bedrock_name(model: str) -> str:
    """What an ARN names; the name itself otherwise."""
    return model.rsplit("/", 1)[-1].lower() if model.lower().startswith("arn:") else model.lower()


def _regional(name: str) -> tuple[str, str]:
    """("global", "regional" or "", the name without geography, date and version)."""
    found = _GEOGRAPHY.match(name)
    where = "" if found is None else "global" if found[1] == "global" else "regional"
    return where, plain_name(_GEOGRAPHY.sub("", name))


@cache
def _aliases(provider: str) -> dict[str, str]:
    rows = _table().get(provider, {})
    return {alias: name for name, row in rows.items() for alias in row.get("aliases", ())}


@cache
def _table() -> dict[str, Any]:
    return json.loads(files("inlay").joinpath("data/prices.json").read_text("utf-8"))
