"""A plan as frozen values: what a run would do, why, and at what price.

What stays true: for every pass the reasons add up to the selected rows; everything here is plain data, so the same
plan is printed, written as JSON and compared in tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inlay.types import Reason


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One pass. `reasons` counts every selected row's cell under its one reason.

    `asked` cells would be worked on by this run (after `limit`). Of these, rules answer `ruled` whole, and `reused`
    have their answer in the store already. `distinct` inputs remain, one call each. `cost_usd` is None where the price
    is unknown, `worst_usd` is what would be reserved; the truth is expected between `low_usd` and `high_usd`, which
    `seen` earlier calls say (0: only the texts do). Tokens are estimates over all calls. `local`: the model runs in
    this process. `pack` is how many records are expected in a call; passes with the same `fused` number share theirs.
    """

    name: str
    model: str
    reasons: Mapping[Reason, int]
    asked: int
    reused: int
    distinct: int
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    worst_usd: float | None
    ruled: int = 0
    local: bool = False
    pack: int = 1
    fused: int | None = None
    low_usd: float | None = None
    high_usd: float | None = None
    seen: int = 0

    @property
    def calls(self) -> int:
        """Calls this pass would make if each is answered at the first try (local models make none), were it not fused
        with others."""
        return 0 if self.local else -(-self.distinct // self.pack)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole plan. `rows_source` are in the source, `rows_selected` match `select`, `rows_to_do` need work,
    `rows_taken` are worked on by this run (the rest is capped by `limit`). `missing` counts the selected rows by why
    the value is missing. `minutes` is None when nothing is to be called."""

    enrichment: str
    source: str
    rows_source: int
    rows_selected: int
    rows_to_do: int
    rows_taken: int
    missing: Mapping[str, int]
    passes: tuple[PassPlan, ...]
    minutes: float | None
    limit: int | None
    notes: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Estimated calls over all passes; those that are fused share theirs."""
        alone = sum(part.calls for part in self.passes if part.fused is None)
        fused: dict[int, int] = {}
        for part in self.passes:
            if part.fused is not None:
                fused[part.fused] = max(fused.get(part.fused, 0), part.calls)
        return alone + sum(fused.values())

    @property
    def cost_usd(self) -> float | None:
        """Estimated dollars over all passes; None where a price is unknown and calls would be made."""
        return _sum(part.cost_usd for part in self.passes if part.calls)

    @property
    def low_usd(self) -> float | None:
        """The least that is to be expected; None where a price is unknown."""
        return _sum(part.low_usd for part in self.passes if part.calls)

    @property
    def high_usd(self) -> float | None:
        """The most that is to be expected; None where a price is unknown."""
        return _sum(part.high_usd for part in self.passes if part.calls)

    @property
    def seen(self) -> int:
        """How many earlier calls the estimate is from; 0 where a pass has too few of them."""
        seen = [part.seen for part in self.passes if part.calls]
        return sum(seen) if seen and all(seen) else 0

    @property
    def worst_usd(self) -> float | None:
        """The most that the calls can cost; None where a price is unknown."""
        return _sum(part.worst_usd for part in self.passes if part.calls)

    @property
    def nothing_to_do(self) -> bool:
        """Whether a run would find no cell to ask."""
        return self.rows_taken == 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`; keys are stable."""
        out = asdict(self)
        out["passes"] = [
            {
                **asdict(part),
                "reasons": {reason.value: part.reasons.get(reason, 0) for reason in Reason},
                "calls": part.calls,
            }
            for part in self.passes
        ]
        out["missing"] = dict(self.missing)
        out["calls"] = self.calls
        out["cost_usd"] = self.cost_usd
        out["worst_usd"] = self.worst_usd
        out["low_usd"], out["high_usd"], out["seen"] = self.low_usd, self.high_usd, self.seen
        return out


def _sum(values: Any) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
