"""What an evaluation found, as plain frozen values: for pages, JSON, files and the store's history of evaluations.

What stays true: counts are of rows that were looked at, shares are estimates for all known rows (see
`statistics.share`); rows without an answer are counted beside the judged ones, never among them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inlay.quality.statistics import Calibration, Share


@dataclass(frozen=True, slots=True)
class Target:
    """A field and the column that holds its known values."""

    pass_name: str
    field: str
    column: str


@dataclass(frozen=True, slots=True)
class Sample:
    """Which rows were asked. `kind` is shadow or golden; `known` rows have a known value, `taken` were asked. A golden
    file has `skipped` lines: those without a label, or whose key the source does not hold."""

    kind: str
    known: int
    taken: int
    method: str = ""
    seed: int = 0
    strata: int = 0
    labels: int = 0
    file: str = ""
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One known value (of a list, one item): `support` rows have it, `predicted` rows were given it."""

    label: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """A known value and a predicted one that differs from it, with how many rows and their mean confidence."""

    original: str
    predicted: str
    count: int
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Predicted:
    """A predicted value, in how many rows, and their mean confidence."""

    value: str
    count: int
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Threshold:
    """What `accept_above` would give: the share of rows that get a value, and the share of those that is right."""

    accept_above: float
    coverage: float
    accuracy: Share | None


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """A model (or an earlier prompt of it) that has answered these rows, against the present one on the rows that both
    have answered: `better` rows are right only here, `worse` only there, and `p_value` is that of the sign test."""

    model: str
    recipe: str
    present: bool
    answered: int
    accuracy: Share
    better: int
    worse: int
    p_value: float
    confidence: float | None
    cost_usd: float
    asked_last: float


@dataclass(frozen=True, slots=True)
class WrongRow:
    """A row whose prediction is not what is known. Texts are cut."""

    key: str
    inputs: Mapping[str, str]
    original: str
    predicted: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class FieldReport:
    """One field. `judged` rows have an answer, with a value or without; `unanswered` counts the others by state.

    `accuracy` is over the judged rows (no value is not right, unless none was to be found), `accuracy_given` over those
    with a value, `coverage` is the share of judged rows with a value. `baseline` is what always answering the most
    frequent value would give. `mean_score` is the mean F1 of lists, `mean_error` the mean distance of numbers.
    `unreadable` known values are no value of the field's type and were left out; `unreachable` are counted, though they
    are none of the field's labels and can never be given.
    """

    target: Target
    type: str
    model: str
    judged: int
    unanswered: Mapping[str, int]
    accuracy: Share | None
    accuracy_given: Share | None
    coverage: Share | None
    nulls: Mapping[str, int]
    baseline: tuple[str, float] | None
    balanced: float | None
    mean_score: float | None
    mean_error: float | None
    classes: tuple[ClassFigures, ...]
    confusion: tuple[Pair, ...]
    predictions: tuple[Predicted, ...]
    calibration: Calibration | None
    thresholds: tuple[Threshold, ...]
    models: tuple[ModelFigures, ...]
    unreadable: int
    unreachable: Mapping[str, int]
    cost_usd: float
    wrong: tuple[WrongRow, ...]

    @property
    def cost_per_row_usd(self) -> float | None:
        """What an answer cost, over the judged rows; rows that share an answer share its price."""
        return self.cost_usd / self.judged if self.judged else None

    @property
    def cost_per_right_usd(self) -> float | None:
        """What a right answer cost."""
        right = self.accuracy.right if self.accuracy else 0
        return self.cost_usd / right if right else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys are stable."""
        out = asdict(self)
        out["cost_per_row_usd"], out["cost_per_right_usd"] = self.cost_per_row_usd, self.cost_per_right_usd
        return out


@dataclass(frozen=True, slots=True)
class Disagreements:
    """One field of the table as it is now: how often the model's answer differs from what the source itself holds
    (`compared` rows have both), and which values it has given."""

    target: Target | None
    pass_name: str
    field: str
    rows: int
    compared: int
    agreed: int
    pairs: tuple[Pair, ...]
    predictions: tuple[Predicted, ...]
    shadow: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys are stable."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Remembered:
    """One field of an earlier evaluation, as the store's history holds it. `at` is seconds since the epoch (UTC)."""

    at: float
    kind: str
    field: str
    column: str
    model: str
    recipe: str
    judged: int
    accuracy: float | None
    low: float | None
    high: float | None
    coverage: float | None
    cost_usd: float
    sample: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values; keys are stable."""
        return asdict(self)
