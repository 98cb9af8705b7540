"""Evaluations that were made: kept in the store's list of runs, listed, and where answers and source disagree.

What stays true: the history of evaluations is under a name of its own (NAME~eval), apart from runs that pay; an
evaluation that found exactly what the last one of its kind had found is not written down again; looking is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inlay.project.evaluation import EvalOptions, EvalReport
from inlay.project.known import EARLIER, SHADOW, needed, targets_of
from inlay.project.session import Session
from inlay.quality.comparing import Comparison, Synonyms
from inlay.quality.disagreements import disagreements
from inlay.quality.facts import Disagreements, FieldReport, Remembered, Sample, Target
from inlay.quality.golden import read_synonyms
from inlay.quality.predictions import bared
from inlay.spec.model import Enrichment
from inlay.types import PassRef

_MOST = 10_000


def remember(session: Session, refs: Sequence[PassRef], found: EvalReport) -> None:
    """Write the main figures down. Atomic; nothing is written where nothing is new."""
    from inlay.fingerprint import recipe_digest
    from inlay.stores.liveness import new_runner

    store = session.store(write=True)
    name = found.enrichment + EARLIER
    recipes = {
        spec.name: recipe_digest(store.recipe(ref.recipe_id)).hex()[:8]
        for spec, ref in zip(session.passes, refs, strict=True)
    }
    entries = [_entry(found.sample, each, recipes[each.target.pass_name]) for each in found.fields]
    same = next((run for run in store.runs(name, 20) if _kinds(run.summary) == _kinds({"evals": entries})), None)
    if same is not None and same.summary.get("evals") == entries:
        return
    runner = new_runner()
    run = store.begin_run(name, runner=runner)
    store.end_run(run.run_id, outcome="done", summary={"evals": entries})


def _kinds(summary: Any) -> list[tuple[str, ...]]:
    """What makes two evaluations two looks at the same thing."""
    entries = summary.get("evals", ())
    return [(each["kind"], each["field"], each["column"], each["recipe"], each["sample"]) for each in entries]


def _entry(sample: Sample, each: FieldReport, recipe: str) -> dict[str, Any]:
    said = f"{sample.method}, seed {sample.seed}" if sample.kind == "shadow" else sample.file
    accuracy = each.accuracy
    return {
        "kind": sample.kind,
        "field": f"{each.target.pass_name}.{each.target.field}",
        "column": each.target.column,
        "model": each.model,
        "recipe": recipe,
        "judged": each.judged,
        "accuracy": None if accuracy is None else accuracy.value,
        "low": None if accuracy is None else accuracy.low,
        "high": None if accuracy is None else accuracy.high,
        "coverage": None if each.coverage is None else each.coverage.value,
        "cost_usd": each.cost_usd,
        "sample": said,
        "more": {
            "baseline": None if each.baseline is None else each.baseline[1],
            "balanced": each.balanced,
            "ece": None if each.calibration is None else each.calibration.ece,
            "brier": None if each.calibration is None else each.calibration.brier,
        },
    }


def evaluations(session: Session) -> list[Remembered]:
    """Every evaluation in the store, the newest first."""
    out = []
    for run in session.store().runs(session.enrichment.name + EARLIER, _MOST):
        for each in run.summary.get("evals", ()):
            out.append(Remembered(at=run.ended_at or run.started_at, **each))
    return out


def find_disagreements(declaration: str | Path | Enrichment, options: EvalOptions) -> list[Disagreements]:
    """Where answers in the store differ from the source, in the real table and among the shadow rows. Pays nothing."""
    with Session(declaration) as session:
        session.check()
        enrichment = session.enrichment
        targets = targets_of(enrichment, session.source.columns(), options.fields, some=False)
    out = _of(enrichment, targets, options, shadow=False)
    if targets:
        asked = bared(enrichment, passes=needed(enrichment, targets))
        out += _of(asked.model_copy(update={"name": enrichment.name + SHADOW}), targets, options, shadow=True)
    return out


def _of(
    enrichment: Enrichment, targets: Sequence[Target], options: EvalOptions, *, shadow: bool
) -> list[Disagreements]:
    synonyms = Synonyms() if options.synonyms is None else read_synonyms(options.synonyms)
    with Session(bared(enrichment)) as session:
        refs = session.refs()
        if all(ref.pass_id < 0 for ref in refs):
            return []
        found: dict[tuple[str, str], Comparison] = {}
        judged = {(target.pass_name, target.field) for target in targets}
        for spec in session.enrichment.passes:
            for name, definition in spec.fields.items():
                if not shadow or (spec.name, name) in judged:
                    found[spec.name, name] = Comparison(definition, synonyms, options.tolerance)
        passes = list(zip(session.passes, refs, strict=True))
        return disagreements(session.enrichment, session.source, session.store(), passes, targets, found, shadow=shadow)
