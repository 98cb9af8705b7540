"""The few figures that an evaluation needs, by hand: each is a dozen lines, and is tested against published values.

What stays true: every function is pure; a share over nothing is None, never 0; weights are how many rows of the
population one judged row stands for, so that a sample in which rare classes are over-represented still estimates the
whole (Horvitz and Thompson's ratio estimate).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# The 97.5 % point of the normal distribution: intervals are of 95 %.
Z = 1.959963984540054
BINS = 10


@dataclass(frozen=True, slots=True)
class Share:
    """An estimated share with its 95 % interval. `n` is how many rows it is from, `right` how many of them count."""

    value: float
    low: float
    high: float
    right: int
    n: int


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence lies in [low, high): how many, their mean confidence, and the share that is right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far confidence can be believed. `ece` is the mean distance of confidence from accuracy over the bins, `brier`
    the mean squared distance of each answer's confidence from 1 (right) or 0 (wrong); 0 is best for both."""

    n: int
    ece: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How often a class was meant, found, and both; weighted sums, so not always whole."""

    both: float = 0.0
    found: float = 0.0
    meant: float = 0.0

    @property
    def precision(self) -> float | None:
        """Of what was found, the share that was meant."""
        return self.both / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """Of what was meant, the share that was found."""
        return self.both / self.meant if self.meant else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None where the class was neither meant nor found."""
        total = self.found + self.meant
        return 2 * self.both / total if total else None


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's 95 % interval for a share seen in `n` rows; `n` may be an effective number. (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    spread = Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    # At the ends the bound is the share itself; rounding must not leave it outside its own interval.
    return min(max(0.0, middle - half), share), max(min(1.0, middle + half), share)


def share(judged: Iterable[tuple[float, bool]]) -> Share | None:
    """The weighted share of what is true, from (weight, is it true); None of nothing.

    The interval is Wilson's with Kish's effective number of rows, (sum of weights)² / sum of squared weights: with
    equal weights it is the number itself.
    """
    total = squared = true = 0.0
    n = right = 0
    for weight, is_true in judged:
        n += 1
        total += weight
        squared += weight * weight
        if is_true:
            right += 1
            true += weight
    if not total:
        return None
    value = right / n if right in (0, n) else true / total
    low, high = wilson(value, total * total / squared)
    return Share(value, low, high, right, n)


def calibration(judged: Sequence[tuple[float, float, bool]]) -> Calibration | None:
    """From (weight, confidence, is it right); None of nothing. The last bin holds a confidence of 1, too."""
    sums = [[0.0, 0.0, 0.0] for _ in range(BINS)]
    counts = [0] * BINS
    total = brier = 0.0
    for weight, confidence, right in judged:
        place = min(int(confidence * BINS + 1e-9), BINS - 1)
        counts[place] += 1
        sums[place][0] += weight
        sums[place][1] += weight * confidence
        sums[place][2] += weight * right
        total += weight
        brier += weight * (confidence - right) ** 2
    if not total:
        return None
    bins = []
    ece = 0.0
    for place, (weight, confidence, right) in enumerate(sums):
        if counts[place]:
            ece += abs(confidence - right) / total
            bins.append(Bin(place / BINS, (place + 1) / BINS, counts[place], confidence / weight, right / weight))
    return Calibration(len(judged), ece, brier / total, tuple(bins))


def sign_test(one: int, other: int) -> float:
    """The exact two-sided p-value of McNemar's test: that two models which disagree on `one` + `other` rows, the first
    being right on `one` of them, are equally good."""
    n = one + other
    if not n:
        return 1.0
    # In logarithms: with thousands of rows the binomials are larger than a float.
    least = min(one, other)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(least + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def largest_share(weights: Mapping[str, float]) -> tuple[str, float] | None:
    """The most frequent class and its share; of equals the first by name."""
    total = sum(weights.values())
    if not total:
        return None
    name = min(weights, key=lambda each: (-weights[each], each))
    return name, weights[name] / total
