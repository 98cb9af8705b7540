"""Known and predicted values side by side, and the figures that follow.

    rows (known) + predictions (wide table) ─► Judged, one a row ─► FieldReport

What stays true: a row is right by its own field's comparison alone; what is shown of a value is a text somebody wrote,
never its folded form.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.fingerprint import plain
from inlay.quality.comparing import NOTHING, Comparison, Form
from inlay.quality.facts import (
    ClassFigures,
    FieldReport,
    ModelFigures,
    Pair,
    Predicted,
    Target,
    Threshold,
    WrongRow,
)
from inlay.quality.statistics import Counts, calibration, largest_share, share
from inlay.reporting.excerpt import cut
from inlay.spec.fields import FieldSpec
from inlay.types import NullReason

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
TOP = 20
WRONG = 10
NO_VALUE = "(no value)"
_SHOWN = 200
# The reasons that a model itself gives, and those of an answer that does not fit: these rows were answered.
_ANSWERED = frozenset(reason.value for reason in NullReason)


@dataclass(frozen=True, slots=True)
class Given:
    """What a row's cell holds for one field: a value, or why there is none."""

    value: Any
    reason: str | None = None
    confidence: float | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A row with a known value of one field: as it is written, and its form."""

    key: str
    text: str
    form: Form
    weight: float
    inputs: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Judged:
    """A row whose known value has a prediction beside it."""

    known: Known
    given: Given
    form: Form | None
    score: float

    @property
    def right(self) -> bool:
        """Whether it is the known value."""
        return self.score >= 1.0

    @property
    def valued(self) -> bool:
        """Whether there is a value."""
        return self.given.value is not None

    @property
    def answered(self) -> bool:
        """Whether a model (or a rule) said something: a value, or that there is none."""
        return self.valued or self.given.reason in _ANSWERED


def judge(comparison: Comparison, rows: Iterable[tuple[Known, Given]]) -> list[Judged]:
    """Each row judged."""
    out = []
    for known, given in rows:
        form = comparison.form(given.value)
        out.append(Judged(known, given, form, comparison.score(known.form, form)))
    return out


def report(
    target: Target,
    spec: FieldSpec,
    comparison: Comparison,
    rows: Sequence[Judged],
    *,
    model: str,
    models: Sequence[ModelFigures] = (),
    unreadable: int = 0,
    cost_usd: float = 0.0,
    wrong: int = WRONG,
) -> FieldReport:
    """All figures of one field."""
    judged = [row for row in rows if row.answered]
    valued = [row for row in judged if row.valued]
    labels = _Labels(comparison, judged)
    classes = list(_classes(comparison, judged, labels))
    recalls = [one.recall for one in classes if one.recall is not None]
    sure = [(row.known.weight, row.given.confidence, row.right) for row in valued if row.given.confidence is not None]
    meant: dict[str, float] = defaultdict(float)
    for row in judged:
        meant[labels.of(row.known.form)] += row.known.weight
    scalar = spec.type in ("string", "enum", "integer", "boolean", "date")
    return FieldReport(
        target=target,
        type=spec.type,
        model=model,
        judged=len(judged),
        unanswered=dict(Counter(str(row.given.reason) for row in rows if not row.answered)),
        accuracy=share((row.known.weight, row.right) for row in judged),
        accuracy_given=share((row.known.weight, row.right) for row in valued),
        coverage=share((row.known.weight, row.valued) for row in judged),
        nulls=dict(Counter(str(row.given.reason) for row in judged if not row.valued)),
        baseline=largest_share(meant),
        balanced=sum(recalls) / len(recalls) if recalls else None,
        mean_score=_mean((row.known.weight, row.score) for row in judged) if comparison.several else None,
        mean_error=_mean(
            (row.known.weight, abs(row.form - row.known.form))
            for row in valued
            if comparison.numeric and row.form is not None and row.known.form != NOTHING
        ),
        classes=tuple(classes) if scalar or comparison.several else (),
        confusion=_pairs(row for row in valued if not row.right),
        predictions=_predictions(valued),
        calibration=calibration(sure),
        thresholds=tuple(_thresholds(judged, len(sure))),
        models=tuple(models),
        unreadable=unreadable,
        unreachable=_unreachable(comparison, judged),
        cost_usd=cost_usd,
        wrong=tuple(_wrong(judged, wrong)),
    )


class _Labels:
    """How the forms of values are shown: as the field's own labels are written, else as most rows have them."""

    def __init__(self, comparison: Comparison, rows: Sequence[Judged]) -> None:
        self._several = comparison.several
        self._own = dict(comparison.known_values())
        seen: dict[Form, Counter[str]] = defaultdict(Counter)
        if not self._several:
            for row in rows:
                seen[row.known.form][row.known.text] += 1
                if row.form is not None:
                    seen[row.form][shown(row.given.value)] += 1
        self._seen = {form: min(texts, key=lambda text: (-texts[text], text)) for form, texts in seen.items()}

    def of(self, form: Form) -> str:
        """The text of a form; of a list, of all its items."""
        if form == NOTHING:
            return NO_VALUE
        if self._several and isinstance(form, frozenset):
            return ", ".join(sorted(self.of(item) for item in form))
        return self._own.get(form) or self._seen.get(form) or str(form)


def _classes(comparison: Comparison, rows: Sequence[Judged], labels: _Labels) -> Iterator[ClassFigures]:
    """By known value, the most frequent first; of lists, by item."""
    sums: dict[Form, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    support: Counter[Form] = Counter()
    predicted: Counter[Form] = Counter()
    for row in rows:
        weight = row.known.weight
        meant = row.known.form if comparison.several else ({row.known.form} if row.known.form != NOTHING else set())
        found = (row.form or set()) if comparison.several else ({row.form} if row.form is not None else set())
        if not comparison.several and row.right:
            found = meant  # numbers within the tolerance are the known one
        for form in meant | found:
            parts = sums[form]
            parts[0] += weight * (form in meant and form in found)
            parts[1] += weight * (form in found)
            parts[2] += weight * (form in meant)
            support[form] += form in meant
            predicted[form] += form in found
    named = sorted(((form, labels.of(form)) for form in sums), key=lambda item: (-support[item[0]], item[1]))
    for form, label in named:
        counts = Counts(*sums[form])
        yield ClassFigures(label, support[form], predicted[form], counts.precision, counts.recall, counts.f1)


def _pairs(rows: Iterable[Judged]) -> tuple[Pair, ...]:
    """(known, predicted) by how often, as they are written; where no value was given is told by reason elsewhere."""
    found: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for row in rows:
        found[row.known.text, shown(row.given.value)].append(row.given.confidence)
    return top_pairs((original, predicted, len(all_), *_sums(all_)) for (original, predicted), all_ in found.items())


def top_pairs(counted: Iterable[tuple[str, str, int, float, int]]) -> tuple[Pair, ...]:
    """The most frequent of (known, predicted, rows, sum of confidences, how many had one)."""
    ordered = sorted(counted, key=lambda each: (-each[2], each[0], each[1]))[:TOP]
    return tuple(
        Pair(cut(original, _SHOWN), cut(predicted, _SHOWN), count, total / sure if sure else None)
        for original, predicted, count, total, sure in ordered
    )


def _predictions(rows: Iterable[Judged]) -> tuple[Predicted, ...]:
    found: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        found[shown(row.given.value)].append(row.given.confidence)
    return top_values((value, len(all_), *_sums(all_)) for value, all_ in found.items())


def top_values(counted: Iterable[tuple[str, int, float, int]]) -> tuple[Predicted, ...]:
    """The most frequent of (value, rows, sum of confidences, how many had one)."""
    ordered = sorted(counted, key=lambda each: (-each[1], each[0]))[:TOP]
    return tuple(
        Predicted(cut(value, _SHOWN), count, total / sure if sure else None) for value, count, total, sure in ordered
    )


def _sums(confidences: Sequence[float | None]) -> tuple[float, int]:
    known = [each for each in confidences if each is not None]
    return sum(known), len(known)


def _thresholds(judged: Sequence[Judged], sure: int) -> Iterator[Threshold]:
    """For rows with a confidence: what each bound would let through."""
    if not sure:
        return
    total = sum(row.known.weight for row in judged)
    for bound in THRESHOLDS:
        taken = [
            row for row in judged if row.valued and row.given.confidence is not None and row.given.confidence >= bound
        ]
        through = sum(row.known.weight for row in taken)
        yield Threshold(bound, through / total, share((row.known.weight, row.right) for row in taken))


def _unreachable(comparison: Comparison, judged: Sequence[Judged]) -> dict[str, int]:
    """Known values that are none of the field's labels, as they are written, the most frequent first."""
    labels = comparison.known_values()
    if not labels:
        return {}
    found: Counter[str] = Counter()
    for row in judged:
        forms = row.known.form if comparison.several else {row.known.form} - {NOTHING}
        if any(form not in labels for form in forms):
            found[cut(row.known.text, _SHOWN)] += 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _wrong(judged: Sequence[Judged], most: int) -> Iterator[WrongRow]:
    """The wrong rows whose model was surest, which teach most."""
    wrong = [row for row in judged if not row.right]
    wrong.sort(key=lambda row: (not row.valued, -(row.given.confidence or 0.0)))
    for row in wrong[:most]:
        inputs = {name: cut(text or "", _SHOWN) for name, text in row.known.inputs.items()}
        yield WrongRow(
            row.known.key,
            inputs,
            cut(row.known.text, _SHOWN),
            cut(told(row.given), _SHOWN),
            row.given.confidence if row.valued else None,
        )


def told(given: Given) -> str:
    """A prediction in words: its value, or why there is none."""
    return shown(given.value) if given.value is not None else f"(no value: {given.reason})"


def shown(value: Any) -> str:
    """A value as text; lists and objects as JSON."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value if isinstance(value, str) else plain(value) or ""


def _mean(pairs: Iterable[tuple[float, float]]) -> float | None:
    total = weights = 0.0
    for weight, value in pairs:
        weights += weight
        total += weight * value
    return total / weights if weights else None
