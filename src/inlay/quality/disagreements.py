"""Where a model's answers differ from what the source itself holds, and which values it gives: over a whole table.

What stays true: a value that is missing in the source (null, blank, a placeholder) is never held against an answer;
one reading of the table, with memory for the different values alone.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from inlay.contracts import Source, Store
from inlay.fingerprint import WHITE_SPACE_CHARACTERS, plain
from inlay.quality.comparing import Comparison
from inlay.quality.facts import Disagreements, Target
from inlay.quality.judging import Given, shown, top_pairs, top_values
from inlay.quality.predictions import Passes, predictions
from inlay.spec.model import Enrichment

Field = tuple[str, str]
# [rows, sum of confidences, how many had one]
Sums = list[float]


class _Counted:
    """One field over all rows."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.rows = self.compared = self.agreed = 0
        self.pairs: dict[tuple[str, str], Sums] = defaultdict(lambda: [0, 0.0, 0])
        self.values: dict[str, Sums] = defaultdict(lambda: [0, 0.0, 0])

    def add(self, given: Given, known: str | None) -> None:
        """Count one row that has a value; `known` is what the source holds, None where it is missing."""
        self.rows += 1
        text = shown(given.value)
        _count(self.values[text], given)
        form = None if known is None else self.comparison.form(known)
        if known is None or form is None:
            return
        self.compared += 1
        if self.comparison.score(form, self.comparison.form(given.value)) >= 1:
            self.agreed += 1
        else:
            _count(self.pairs[known, text], given)


def _count(sums: Sums, given: Given) -> None:
    sums[0] += 1
    if given.confidence is not None:
        sums[1] += given.confidence
        sums[2] += 1


def disagreements(
    enrichment: Enrichment,
    source: Source,
    store: Store,
    passes: Passes,
    targets: Sequence[Target],
    comparisons: Mapping[Field, Comparison],
    *,
    shadow: bool,
) -> list[Disagreements]:
    """Of every field of a bared enrichment, in the order of `comparisons`; fields without a target have no pairs."""
    columns = {(target.pass_name, target.field): target for target in targets}
    counted = {field: _Counted(comparison) for field, comparison in comparisons.items()}
    names = list(dict.fromkeys(target.column for target in targets))
    first = len(enrichment.source.key)
    missing = _Missing(enrichment.select.placeholders)
    for batch, _, found in predictions(enrichment, source, store, passes, list(comparisons), names):
        known = {name: missing.texts(batch.column(first + place)) for place, name in enumerate(names)}
        for field, column in found.items():
            target = columns.get(field)
            texts: Iterable[str | None] = [None] * batch.num_rows if target is None else known[target.column]
            into = counted[field]
            for given, text in zip(column.rows(), texts, strict=True):
                if given.value is not None:
                    into.add(given, text)
    return [
        Disagreements(
            target=columns.get(field),
            pass_name=field[0],
            field=field[1],
            rows=each.rows,
            compared=each.compared,
            agreed=each.agreed,
            pairs=top_pairs((*pair, int(n), total, int(sure)) for pair, (n, total, sure) in each.pairs.items()),
            predictions=top_values(
                (value, int(n), total, int(sure)) for value, (n, total, sure) in each.values.items()
            ),
            shadow=shadow,
        )
        for field, each in counted.items()
    ]


class _Missing:
    """Tells known values from missing ones, as `tables.select.absence_sql` does."""

    def __init__(self, placeholders: Iterable[str]) -> None:
        self._words = {_bare(word) for word in placeholders}

    def texts(self, column: pa.Array) -> list[str | None]:
        """Values as text, None where they are missing."""
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        return [self._text(value) for value in column.to_pylist()]

    def _text(self, value: object) -> str | None:
        text = plain(value)
        if text is None:
            return None
        bare = _bare(text)
        return None if not bare or bare in self._words else text


def _bare(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip(WHITE_SPACE_CHARACTERS)
