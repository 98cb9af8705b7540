"""What calls will weigh and cost, from rendered samples: tokens, dollars, and the worst case.

What stays true: an estimate says so, an unknown price is None and never zero, and prices are reckoned a request at a
time, since tiers switch on one prompt's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inlay.errors import InvalidRequest
from inlay.spec.compiled import CompiledPass
from inlay.types import Usage, usd

# So many earlier calls say more than the texts do.
ENOUGH = 20
# How far off an estimate from texts alone may be, and the least that one from earlier calls is.
WIDE = (0.5, 2.0)
LEAST = 0.05


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
    """The estimate for all calls of a pass, `pack` records in each. It lies between `low_usd` and `high_usd`, more
    likely than not; `seen` is how many earlier calls say so, 0 where only the texts do."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    worst_usd: float | None
    low_usd: float | None = None
    high_usd: float | None = None
    seen: int = 0
    pack: int = 1


class Estimator:
    """Reckons one pass."""

    def __init__(self, compiled: CompiledPass, pricing: Pricing) -> None:
        self._compiled = compiled
        self._pricing = pricing

    def estimate(self, sample: Sequence[Mapping[str, Any]], calls: int, past: Sequence[Usage] = ()) -> Figures:
        """Tokens and dollars of `calls` calls that look like the sample (column name to value).

        `past` are the tokens of earlier calls of this very pass: enough of them say more than the texts do, and alone
        know how long a model thinks. The worst case never follows them.
        """
        if not calls or self._pricing.free:
            return Figures(0, 0, 0.0, 0.0, 0.0, 0.0)
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
        most = usd(int(worst * scale)) if known else None
        if len(past) >= ENOUGH:
            return replace(self._by_past(past, calls, most), pack=pack)
        typical = usd(int(cost * scale)) if known else None
        return Figures(
            int(inputs * scale),
            int(outputs * scale),
            typical,
            most,
            None if typical is None else typical * WIDE[0],
            None if typical is None or most is None else min(typical * WIDE[1], most),
            pack=pack,
        )

    def _by_past(self, past: Sequence[Usage], calls: int, most: float | None) -> Figures:
        """As many calls as are to come, each like those that were."""
        seen = len(past)
        inputs = sum(usage.input_tokens for usage in past) * calls // seen
        outputs = sum(usage.output_tokens for usage in past) * calls // seen
        if self._pricing.cost is None or most is None:
            return Figures(inputs, outputs, None, None, seen=seen)
        costs = [self._pricing.cost(usage) for usage in past]
        mean = sum(costs) / seen
        spread = (sum((cost - mean) ** 2 for cost in costs) / (seen - 1)) ** 0.5
        # Twice the error of a sum of so many calls whose mean is itself known from so few.
        off = max(2 * spread * (calls + calls * calls / seen) ** 0.5, LEAST * mean * calls)
        typical = min(usd(round(mean * calls)), most)
        return Figures(
            inputs,
            outputs,
            typical,
            most,
            max(0.0, usd(round(mean * calls - off))),
            min(usd(round(mean * calls + off)), most),
            seen,
        )

    def _upstream(self) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        for name, field in self._compiled.spec.upstream:
            out.setdefault(name, []).append(field)
        return out
