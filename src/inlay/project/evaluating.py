"""`evaluate`: ask rows whose answer is known, and say how good the answers are.

    known rows ─► sample ─► an enrichment of its own (NAME~shadow, NAME~golden) ─► the usual run ─► figures

It is a run as any other: planned, priced, bounded by the budget, resumable. What stays true: its cells belong to
another enrichment, so that they are in no status and no published table of the real one; its answers lie at the same
addresses, so that nothing is asked twice, neither here nor there; a column that holds what is right is never read by
the prompt that is judged.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from inlay.contracts import Source
from inlay.errors import SourceError, SpecError
from inlay.project.evaluated import remember
from inlay.project.evaluation import EvalOptions, EvalPlan, EvalReport
from inlay.project.keys import shown_key
from inlay.project.known import GOLDEN, SHADOW, comparisons, golden_targets, needed, read_by, refuse_leaks, targets_of
from inlay.project.rounds import planned
from inlay.project.running import RunOptions, run_session
from inlay.project.session import Session
from inlay.quality.comparing import NOTHING, Comparison
from inlay.quality.facts import FieldReport, Sample, Target
from inlay.quality.golden import LINE, Golden, GoldenSource, read_golden
from inlay.quality.judging import NO_VALUE, Given, Judged, Known, judge, report, shown
from inlay.quality.predictions import bared, compare_models, costs, predictions
from inlay.quality.sampling import read_rows, take
from inlay.spec.model import Enrichment, PassSpec, SelectSpec
from inlay.tables.choosing import published_columns
from inlay.tables.keys import OfKeys
from inlay.types import PassRef, Reason

if TYPE_CHECKING:
    from pathlib import Path

_STALE = frozenset({Reason.STALE})


@dataclass(slots=True)
class _Prepared:
    """An evaluation, ready to be run: the enrichment that is asked, its rows, and what is known of them."""

    enrichment: Enrichment
    source: Source
    sample: Sample
    targets: tuple[Target, ...]
    comparisons: Mapping[Target, Comparison]
    names: tuple[str, ...]
    known: dict[Target, list[Known]] = field(default_factory=dict)
    unreadable: dict[Target, int] = field(default_factory=dict)


def evaluate(declaration: str | Path | Enrichment, options: EvalOptions, run: RunOptions) -> EvalReport:
    """Ask what is not answered yet, and judge. Costs money; safe to repeat. See `inlay.evaluate`."""
    with (
        _prepared(declaration, options) as ready,
        Session(ready.enrichment, need_keys=True, source=ready.source) as session,
    ):
        made = run_session(session, replace(run, publish=False, refresh=run.refresh | _STALE, limit=None))
        refs = session.refs()
        fields, judged = _judged(session, refs, ready, options.wrong)
        enrichment = session.enrichment
        rows = [_row(enrichment, target, each) for target in ready.targets for each in judged[target]]
        base = ready.enrichment.name.rpartition("~")[0]
        found = EvalReport(base, time.time(), ready.sample, fields, replace(made, enrichment=base), tuple(rows))
        if made.stopped is None:
            remember(session, refs, found)
    return found


def plan_evaluation(declaration: str | Path | Enrichment, options: EvalOptions, *, mode: str | None = None) -> EvalPlan:
    """What `evaluate` would ask, and at what price. Pays nothing, writes nothing."""
    with _prepared(declaration, options) as ready, Session(ready.enrichment, source=ready.source) as session:
        refs = session.refs()
        planner = planned(session, refs, session.rules(refs, _STALE), limit=None, mode=mode)
        try:
            name = ready.enrichment.name.rpartition("~")[0]
            plan = replace(planner.plan, enrichment=name, notes=tuple(session.notes()))
            return EvalPlan(plan, ready.sample, ready.targets)
        finally:
            planner.close()


# --- what is known


@contextmanager
def _prepared(declaration: str | Path | Enrichment, options: EvalOptions) -> Iterator[_Prepared]:
    """What is known, while the source is open: what was read of a database goes when it is closed."""
    if (options.shadow is None) == (options.golden is None):
        raise SpecError(
            "an evaluation holds answers against known rows (shadow) or a golden file: one of the two",
            key="--shadow",
            remedy="write --shadow 500, or --golden labels.csv",
        )
    with Session(declaration) as session:
        yield _of_golden(session, options) if options.golden is not None else _of_shadow(session, options)


def _of_shadow(session: Session, options: EvalOptions) -> _Prepared:
    enrichment = session.enrichment
    session.check()
    if not options.shadow or options.shadow < 0:
        raise SpecError("an evaluation needs rows", key="--shadow", remedy="write a number such as --shadow 500")
    if options.sample not in ("stratified", "proportional"):
        raise SpecError(
            f"there is no sample {options.sample!r}", key="--sample", remedy="write stratified or proportional"
        )
    columns = session.source.columns()
    targets = targets_of(enrichment, columns, options.fields)
    refuse_leaks(enrichment, targets)
    names = list(dict.fromkeys(target.column for target in targets))
    single = len(names) == 1  # what a source that selects by itself can do for us; `take` looks at every column
    select = enrichment.select.model_copy(
        update={
            "where": enrichment.select.where if options.where is None else options.where,
            "missing": names[0] if single else None,
            "known": single,
            "order_by": None,
            "limit": None,
        }
    )
    key, method = enrichment.source.key, options.sample
    taken = take(session.source, key, select, names, options.shadow, method=method, seed=options.seed)  # type: ignore[arg-type]
    bare = bared(enrichment, passes=needed(enrichment, targets))
    source = OfKeys(session.source, key, taken.weights, {*published_columns(bare, columns), *names})
    ready = _Prepared(
        enrichment=bare.model_copy(update={"name": enrichment.name + SHADOW, "select": SelectSpec()}),
        source=source,
        sample=Sample("shadow", taken.known, len(taken.weights), taken.method, taken.seed, taken.strata, taken.labels),
        targets=targets,
        comparisons=comparisons(enrichment, targets, options),
        names=tuple(read_by(enrichment, targets)),
    )
    for batch in read_rows(source, key, names, ready.names, enrichment.select.placeholders):
        for row in batch:
            texts = {target: row.truths[target.column] for target in targets}
            _note(ready, row.key, row.inputs, {t: text for t, text in texts.items() if text}, taken.weights[row.key])
    return ready


def _of_golden(session: Session, options: EvalOptions) -> _Prepared:
    enrichment = session.enrichment
    assert options.golden is not None
    try:
        types = session.source.columns()
    except SourceError:
        types = {}  # rows that bring their own inputs need no source
    targets = golden_targets(enrichment, options)
    bare = bared(enrichment, passes=needed(enrichment, targets))
    inputs = list(dict.fromkeys(name for spec in bare.passes for name in spec.inputs))
    refuse_leaks(enrichment, targets)
    columns = list(dict.fromkeys(target.column for target in targets))
    golden = read_golden(options.golden, enrichment.source.key, inputs, columns, types, enrichment.select.placeholders)
    changes: dict[str, Any] = {"name": enrichment.name + GOLDEN, "select": SelectSpec()}
    source: Source
    if golden.own is not None:
        source = GoldenSource(golden.own, golden.name)
        changes |= {"source": source.spec, "output": bare.output.model_copy(update={"columns": (LINE,)})}
    else:
        session.check()
        read = published_columns(bare, session.source.columns())
        source = OfKeys(session.source, enrichment.source.key, golden.labels, read)
    asked = bare.model_copy(update=changes)
    ready = _Prepared(
        enrichment=asked,
        source=source,
        sample=Sample("golden", len(golden.labels), 0, file=golden.name),
        targets=targets,
        comparisons=comparisons(enrichment, targets, options),
        names=tuple(read_by(enrichment, targets)),
    )
    seen = _label(ready, golden)
    if not seen:
        raise SpecError(
            f"none of its {len(golden.labels)} keys is in the source",
            file=golden.name,
            remedy=f"the key is {', '.join(enrichment.source.key)}; or give the columns that the prompt reads",
        )
    ready.sample = replace(ready.sample, taken=seen, skipped=golden.skipped + len(golden.labels) - seen)
    return ready


def _label(ready: _Prepared, golden: Golden) -> int:
    """Note the labels of the rows that there are; how many."""
    seen = 0
    for batch in read_rows(ready.source, ready.enrichment.source.key, (), ready.names, ()):
        for row in batch:
            labels = golden.labels[row.key]
            seen += 1
            found = {t: labels[t.column].text for t in ready.targets if t.column in labels}
            _note(ready, row.key, row.inputs, found, 1.0)
    return seen


def _note(
    ready: _Prepared,
    key: str,
    inputs: Mapping[str, str | None],
    texts: Mapping[Target, str | None],
    weight: float,
) -> None:
    """Note what is known of one row; a text None means that there is no value to be found."""
    for target, text in texts.items():
        form = NOTHING if text is None else ready.comparisons[target].form(text)
        if form is None:
            ready.unreadable[target] = ready.unreadable.get(target, 0) + 1
            continue
        known = Known(key, NO_VALUE if text is None else text, form, weight, inputs)
        ready.known.setdefault(target, []).append(known)


# --- which field is held against which column


def _judged(
    session: Session, refs: Sequence[PassRef], ready: _Prepared, wrong: int
) -> tuple[tuple[FieldReport, ...], dict[Target, list[Judged]]]:
    passes = list(zip(session.passes, refs, strict=True))
    store = session.store()
    fields = [(target.pass_name, target.field) for target in ready.targets]
    given: dict[tuple[str, str], dict[str, Given]] = {field: {} for field in fields}
    for _, keys, columns in predictions(session.enrichment, ready.source, store, passes, fields):
        for field_, found in columns.items():
            given[field_].update((key, one) for key, one in zip(keys, found.rows(), strict=True) if key is not None)
    labels = {spec.name: label for spec, label in zip(session.passes, session.labels, strict=True)}
    out: dict[Target, list[Judged]] = {}
    reports: dict[Target, FieldReport] = {}
    for spec, ref in passes:
        mine = [target for target in ready.targets if target.pass_name == spec.name]
        if not mine:
            continue
        trios = [(target, ready.comparisons[target], ready.known.get(target, [])) for target in mine]
        models = compare_models(store, ref, _pass_ids(session, spec), trios)
        for target, comparison, rows in trios:
            found = given[target.pass_name, target.field]
            out[target] = judge(comparison, ((row, found.get(row.key, _UNKNOWN)) for row in rows))
            reports[target] = report(
                target,
                spec.fields[target.field],
                comparison,
                out[target],
                model=labels[spec.name],
                models=models[target],
                unreadable=ready.unreadable.get(target, 0),
                cost_usd=costs(store, ref, [row.key for row in rows]),
                wrong=wrong,
            )
    return tuple(reports[target] for target in ready.targets), out


_UNKNOWN = Given(None, "pending")


def _pass_ids(session: Session, spec: PassSpec) -> Iterator[int]:
    """The pass under all its names: here, and in the real enrichment."""
    base = session.enrichment.name.rpartition("~")[0]
    for name in (base, base + SHADOW, base + GOLDEN):
        number = session.store().passes(name).get(spec.name)
        if number is not None:
            yield number


def _row(enrichment: Enrichment, target: Target, row: Judged) -> dict[str, Any]:
    """One judged row as plain values, for a file."""
    return {
        "field": f"{target.pass_name}.{target.field}",
        "key": shown_key(enrichment, row.known.key),
        **{f"input_{name}": text for name, text in row.known.inputs.items()},
        "original": row.known.text,
        "predicted": None if row.given.value is None else shown(row.given.value),
        "null_reason": row.given.reason,
        "confidence": row.given.confidence,
        "right": row.right if row.answered else None,
        "score": row.score if row.answered else None,
        "weight": row.known.weight,
        "source": row.given.source,
    }
