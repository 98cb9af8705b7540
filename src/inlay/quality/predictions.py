"""What the store holds for rows, read as the published table reads it; and every model that has answered them.

What stays true: an answer that was given for another input than the row's present one is no prediction; the source's
own values, which the published table prefers, and thresholds are set aside; nothing is written and nobody is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from inlay.contracts import Source, Store
from inlay.fingerprint import address, recipe_digest
from inlay.payload import decode_fields
from inlay.publish.wide import WideTable
from inlay.quality.comparing import Comparison
from inlay.quality.facts import ModelFigures, Target
from inlay.quality.judging import Given, Known, judge
from inlay.quality.statistics import share, sign_test
from inlay.reporting.gather import row_keys
from inlay.spec.model import Enrichment, OutputSpec, PassSpec
from inlay.tables.sql import connect
from inlay.types import PassRef, usd

Passes = Sequence[tuple[PassSpec, PassRef]]
_PREFIX = "inlay_p{}_"
_CHUNK = 2_000


def bared(enrichment: Enrichment, *, passes: Iterable[str] | None = None, rows: str = "all") -> Enrichment:
    """The same questions without what is done with answers: no originals, defaults, thresholds or columns of the
    source, no actions after the run, and field columns that nothing else is named like. Recipes are the same, so
    answers are found again.

    `passes` are those that are kept (all, if left out)."""
    kept = None if passes is None else set(passes)
    bare = []
    for number, spec in enumerate(enrichment.passes):
        if kept is not None and spec.name not in kept:
            continue
        fields = {
            name: field.model_copy(update={"original": None, "default": None}) for name, field in spec.fields.items()
        }
        changes: dict[str, Any] = {"fields": fields, "accept_above": None, "prefix": _PREFIX.format(number)}
        if spec.models:
            changes["escalate_below"] = spec.suffices_from  # which `accept_above` may have said
        bare.append(spec.model_copy(update=changes))
    output = OutputSpec(columns=tuple(enrichment.source.key), rows=rows, evidence=False)  # type: ignore[arg-type]
    without = {"after": (), "on_change": (), "load": None}
    return enrichment.model_copy(update={"passes": tuple(bare), "output": output, **without})


def predictions(
    enrichment: Enrichment,
    source: Source,
    store: Store,
    passes: Passes,
    fields: Sequence[tuple[str, str]],
    columns: Sequence[str] = (),
) -> Iterator[tuple[pa.RecordBatch, list[str | None], dict[tuple[str, str], Columns]]]:
    """The table of a bared enrichment in batches: source columns (the key's, then `columns`), row keys, and the columns
    of each (pass, field). In bounded memory."""
    wanted = enrichment.output.model_copy(update={"columns": (*enrichment.source.key, *columns)})
    con = connect()
    try:
        table = WideTable(enrichment.model_copy(update={"output": wanted}), source, store, passes, con)
        prefixes = {spec.name: spec.prefix for spec, _ in passes}
        for batch in table.batches():
            found = {(name, field): Columns.of(batch, f"{prefixes[name]}{field}") for name, field in fields}
            yield batch, row_keys(batch, len(enrichment.source.key)), found
    finally:
        con.close()


@dataclass(frozen=True, slots=True)
class Columns:
    """One field's columns of a batch."""

    value: pa.Array
    confidence: pa.Array | None
    reason: pa.Array
    source: pa.Array

    @classmethod
    def of(cls, batch: pa.RecordBatch, name: str) -> Columns:
        """By the published names."""
        names = batch.schema.names
        confidence = batch.column(f"{name}_confidence") if f"{name}_confidence" in names else None
        return cls(batch.column(name), confidence, batch.column(f"{name}_null_reason"), batch.column(f"{name}_source"))

    def rows(self) -> list[Given]:
        """Each row's value or reason."""
        values, reasons, sources = self.value.to_pylist(), self.reason.to_pylist(), self.source.to_pylist()
        sure = [None] * len(values) if self.confidence is None else self.confidence.to_pylist()
        return [Given(*each) for each in zip(values, reasons, sure, sources, strict=True)]


# --- every model that has answered these rows


@dataclass(frozen=True, slots=True)
class _Variant:
    model: str
    digest: bytes
    present: bool


def costs(store: Store, ref: PassRef, keys: Sequence[str]) -> float:
    """What the present answers of these rows cost, in dollars; an answer that rows share counts once."""
    paid: dict[int, int] = {}
    for start in range(0, len(keys), _CHUNK):
        for cell in store.read_cells(ref.pass_id, keys[start : start + _CHUNK]).values():
            if cell.answer is not None:
                paid[cell.answer.answer_id] = cell.answer.cost_nusd
    return usd(sum(paid.values()))


def compare_models(
    store: Store,
    ref: PassRef,
    pass_ids: Iterable[int],
    targets: Sequence[tuple[Target, Comparison, Sequence[Known]]],
) -> dict[Target, list[ModelFigures]]:
    """Every recipe of these passes (a model with a prompt) on the rows that it has answered, the present one first and
    then the best. Recipes are compared where they read the same input; what only one has answered is left out of the
    comparison."""
    recipes = {text for pass_id in pass_ids if pass_id >= 0 for text in store.recipes(pass_id).values()}
    mine = store.recipe(ref.recipe_id)
    variants = [_Variant(orjson.loads(text)["model"], recipe_digest(text), text == mine) for text in sorted(recipes)]
    keys = sorted({known.key for _, _, rows in targets for known in rows})
    inputs = _inputs(store, ref, keys)
    answers: dict[bytes, dict[str, tuple[dict[str, Any], int, int, float]]] = {}
    for variant in variants:
        answers[variant.digest] = _answers(store, variant.digest, inputs)
    out: dict[Target, list[ModelFigures]] = {}
    present = next((variant for variant in variants if variant.present), None)
    for target, comparison, rows in targets:
        base = _right(comparison, target, rows, answers[present.digest]) if present is not None else {}
        figures = [_figures(each, comparison, target, rows, answers[each.digest], base) for each in variants]
        found = [each for each in figures if each is not None]
        out[target] = sorted(found, key=lambda each: (not each.present, -each.accuracy.value, each.model))
    return out


def _inputs(store: Store, ref: PassRef, keys: Sequence[str]) -> dict[str, bytes]:
    """The canonical input of each row that has an answer."""
    out: dict[str, bytes] = {}
    known: dict[int, bytes] = {}
    for start in range(0, len(keys), _CHUNK):
        for key, cell in store.read_cells(ref.pass_id, keys[start : start + _CHUNK]).items():
            if cell.answer is None:
                continue
            number = cell.answer.answer_id
            if number not in known:
                known[number] = store.answer_input(number)
            out[key] = known[number]
    return out


def _answers(
    store: Store, digest: bytes, inputs: Mapping[str, bytes]
) -> dict[str, tuple[dict[str, Any], int, int, float]]:
    """By row key: the fields that this recipe has answered, with the answer's number, price and time."""
    keys = list(inputs)
    out: dict[str, tuple[dict[str, Any], int, int, float]] = {}
    for start in range(0, len(keys), _CHUNK):
        places = {key: address(digest, inputs[key]) for key in keys[start : start + _CHUNK]}
        found = store.find_answers(list(dict.fromkeys(places.values())))
        for key, place in places.items():
            if (answer := found.get(place)) is not None:
                out[key] = decode_fields(answer.payload), answer.answer_id, answer.cost_nusd, answer.created_at
    return out


def _given(
    target: Target, rows: Sequence[Known], answers: Mapping[str, tuple[dict[str, Any], int, int, float]]
) -> Iterator[tuple[Known, Given]]:
    for known in rows:
        found = answers.get(known.key)
        if found is not None and (answer := found[0].get(target.field)) is not None:
            reason = None if answer.null_reason is None else answer.null_reason.value
            yield known, Given(answer.value, reason, answer.confidence, answer.source)


def _right(comparison: Comparison, target: Target, rows: Sequence[Known], answers: Any) -> dict[str, bool]:
    return {row.known.key: row.right for row in judge(comparison, _given(target, rows, answers))}


def _figures(
    variant: _Variant,
    comparison: Comparison,
    target: Target,
    rows: Sequence[Known],
    answers: Mapping[str, tuple[dict[str, Any], int, int, float]],
    base: Mapping[str, bool],
) -> ModelFigures | None:
    judged = judge(comparison, _given(target, rows, answers))
    accuracy = share((row.known.weight, row.right) for row in judged)
    if accuracy is None:
        return None
    better = sum(row.right and base.get(row.known.key) is False for row in judged)
    worse = sum(not row.right and base.get(row.known.key) is True for row in judged)
    sure = [row.given.confidence for row in judged if row.given.confidence is not None and row.valued]
    used = [answers[row.known.key] for row in judged]
    return ModelFigures(
        model=variant.model,
        recipe=variant.digest.hex()[:8],
        present=variant.present,
        answered=len(judged),
        accuracy=accuracy,
        better=better,
        worse=worse,
        p_value=sign_test(better, worse),
        confidence=sum(sure) / len(sure) if sure else None,
        cost_usd=usd(sum({number: cost for _, number, cost, _ in used}.values())),
        asked_last=max((at for _, _, _, at in used), default=0.0),
    )
