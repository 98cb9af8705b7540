"""What calls will weigh and cost, from rendered samples: tokens, dollars, and the worst case.

What stays true: an estimate says so, an unknown price is None and never zero, and prices are reckoned a request at a
time, since tiers switch on one prompt's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.errors import InvalidRequest
from inlay.spec.compiled import CompiledPass
from inlay.types import Usage, usd


def _alone(tokens: int) -> int:
    return 1


@dataclass(frozen=True, slots=True)
class Pricing:
    """How the planner reckons one pass, handed in by whoever knows providers and answer schemas.

    `tokens` estimates a text (typical, upper); `overhead` is what every request holds beside the user message
    (typical, upper); `output` what it answers (typical, worst). `cost` and `worst` are None where the price is
    unknown; a local model costs nothing. Of `share` passes in one call each has its part of the record, and `pack` says
    how many records of so many tokens a call is expected to hold; `overhead` is the part of a fused call already.
    """

    tokens: Callable[[str], tuple[int, int]]
    overhead: tuple[int, int]
    output: tuple[int, int]
    cost: Callable[[Usage], int] | None
    worst: Callable[[int, int], int] | None
    free: bool = False
    share: int = 1
    pack: Callable[[int], int] = _alone


@dataclass(frozen=True, slots=True)
class Figures:
    """The estimate for all calls of a pass, `pack` records in each."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    worst_usd: float | None
    pack: int = 1


class Estimator:
    """Reckons one pass."""

    def __init__(self, compiled: CompiledPass, pricing: Pricing) -> None:
        self._compiled = compiled
        self._pricing = pricing

    def estimate(self, sample: Sequence[Mapping[str, Any]], calls: int) -> Figures:
        """Tokens and dollars of `calls` calls that look like the sample (column name to value)."""
        if not calls or self._pricing.free:
            return Figures(0, 0, 0.0, 0.0)
        pricing = self._pricing
        upstream = {name: dict.fromkeys(fields, "") for name, fields in self._upstream().items()}
        inputs = outputs = cost = worst = counted = 0
        rendered: list[tuple[int, int]] = []
        for row in sample:
            try:
                text = self._compiled.render(self._compiled.source_values(row), upstream)
            except InvalidRequest:
                continue
            rendered.append(pricing.tokens(text))
        pack = pricing.pack(sum(typical for typical, _ in rendered) // len(rendered)) if rendered else 1
        for typical, upper in rendered:
            usage = Usage(typical // pricing.share + pricing.overhead[0] // pack, pricing.output[0])
            counted += 1
            inputs += usage.input_tokens
            outputs += usage.output_tokens
            if pricing.cost is not None and pricing.worst is not None:
                cost += pricing.cost(usage)
                worst += pricing.worst(upper + pricing.overhead[1], pricing.output[1])
        if not counted:
            return Figures(0, 0, None, None)
        scale = calls / counted
        known = pricing.cost is not None
        return Figures(
            int(inputs * scale),
            int(outputs * scale),
            usd(int(cost * scale)) if known else None,
            usd(int(worst * scale)) if known else None,
            pack,
        )

    def _upstream(self) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        for name, field in self._compiled.spec.upstream:
            out.setdefault(name, []).append(field)
        return out
