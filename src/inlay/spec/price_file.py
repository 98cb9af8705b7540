"""prices.yaml beside a declaration: what models cost a project, by day, in place of the built-in table.

    openai:gpt-6-luna:
      - {from: 2026-12-01, input_per_million: 0.08, output_per_million: 0.40, batch_multiplier: 0.5}

One set of rates, or a list of them; the last that has begun counts (days are UTC), and before the first one begins the
built-in table does. What stays true: `prices` in a pass win over this file; a mistake in it refuses every command that
needs a price, with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from inlay.errors import SpecError
from inlay.spec.document import MAX_BYTES, Node, decode, parse
from inlay.spec.model import PriceSpec
from inlay.spec.problems import Problems, join_key, show_text, suggest

FILE = "prices.yaml"


class DatedPrice(PriceSpec):
    """What a model costs from a day on."""

    since: date = Field(default=date.min, alias="from")
    """The first day of these rates, such as 2026-12-01; left out, always."""


class PriceFile:
    """The rates of a project by `provider:model`, each list in the order of its days."""

    def __init__(self, prices: Mapping[str, tuple[DatedPrice, ...]]) -> None:
        self.prices = prices

    def find(self, model: str, today: date) -> DatedPrice | None:
        """The rates of `provider:model` on this day; None where the file says nothing of it."""
        begun = [price for price in self.prices.get(model, ()) if price.since <= today]
        return begun[-1] if begun else None


def read_price_file(folder: str | Path) -> PriceFile:
    """The price file of a folder, or an empty one. Raises SpecError with every mistake and its line."""
    file = Path(folder) / FILE
    try:
        data = file.read_bytes() if file.is_file() else b""
    except OSError as error:
        raise SpecError(f"cannot read {FILE}: {error.strerror}", file=file, remedy="check its permissions") from None
    if len(data) > MAX_BYTES:
        raise SpecError(f"the file is larger than {MAX_BYTES:,} bytes", file=file, remedy="keep what you use")
    problems = Problems(file)
    text = decode(data, problems)
    problems.raise_any()
    prices: dict[str, tuple[DatedPrice, ...]] = {}
    if not text.strip():
        return PriceFile(prices)
    root = parse(text, problems)
    if root is not None and root.kind != "keys":
        remedy = "begin with a model, such as `openai:gpt-6-luna:`"
        problems.add("expected models with their prices", line=root.line, remedy=remedy)
    for name, value in root.pairs if root is not None and root.kind == "keys" else ():
        key, model = join_key("", name.text), name.text
        problems.lines[key] = name.line
        if ":" not in model:
            problems.add(
                f"`{show_text(model)}` has no provider before it", key, remedy=f"write openai:{show_text(model)}"
            )
        elif model in prices:
            problems.add(f"`{show_text(model)}` stands here twice", key, line=name.line, remedy="make one list of both")
        else:
            parts = value.items if value.kind == "list" else [value]
            found = [_rates(part, key, problems) for part in parts]
            dated = sorted((one for one in found if one is not None), key=lambda one: one.since)
            for one, other in pairwise(dated):
                if one.since == other.since:
                    remedy = "give each its own `from: 2026-12-01`"
                    problems.add(f"`{show_text(model)}` has two prices for the same day", key, remedy=remedy)
            prices[model] = tuple(dated)
    problems.raise_any()
    return PriceFile(prices)


def _rates(node: Node, key: str, problems: Problems) -> DatedPrice | None:
    if node.kind != "keys":
        remedy = "write {input_per_million: …, output_per_million: …}"
        problems.add("expected the rates of the model", key, line=node.line, remedy=remedy)
        return None
    data: dict[str, Any] = {name.text: value.text if value.kind == "text" else None for name, value in node.pairs}
    lines = {name.text: name.line for name, _ in node.pairs}
    known = ["from", *(name for name in DatedPrice.model_fields if name != "since")]
    sound = True
    for name in data:
        if name not in known:
            message = f"unknown key `{show_text(name)}`"
            problems.add(message, join_key(key, name), line=lines[name], remedy=suggest(name, known))
            sound = False
    if not sound:
        return None
    try:
        return DatedPrice.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            name = str(detail["loc"][0]) if detail["loc"] else ""
            missing = detail["type"] == "missing"
            message = f"`{name}` is missing" if missing else f"`{name}` is {_wrong(name)}"
            problems.add(message, join_key(key, name), line=lines.get(name, node.line), remedy=_remedy(name))
        return None


def _wrong(name: str) -> str:
    if name == "from":
        return "no day"
    return "no number from 0 to 1" if name == "batch_multiplier" else "no number from 0"


def _remedy(name: str) -> str:
    return "write a day, such as 2026-12-01" if name == "from" else "write a number, such as 0.50"
