"""What the YAML files of a dbt project say of a declaration: sources, their tables, the model; descriptions and tests.

What stays true: tests of published tables pass while there is nothing published yet; a test that an older wording of
the declaration can make fail (labels, ranges) warns, since answers that were bought under it stay until they are asked
again; keys, confidences and reasons are errors.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from inlay.publish.dbt import DbtField, DbtModel, Place, constant
from inlay.publish.dbt_yaml import jinja_safe
from inlay.spec.columns import MARK_COLUMNS, input_column, stamped
from inlay.types import CellState, NullReason

Entry = dict[str, Any]

SOURCES = ("human", "original", "rule", "model", "default")
REASONS = (
    *(reason.value for reason in NullReason),
    *("below_threshold", "input_changed", "not_asked", "not_selected"),
    *(state.value for state in CellState if state is not CellState.DONE),
)
_ROW = (
    ("input_hash", "SHA-256 of the input that the answers were given for; not unique, since two rows may read alike."),
    ("enriched_at", "When the newest answer of the row was given (UTC)."),
    ("model_version", "The model that gave it."),
    ("enrichment_version", "The `version` of the declaration."),
    ("enrichment_state", "How far the row is; the worst of its passes."),
    ("enrichment_errors", "What went wrong, as JSON; null where nothing did."),
    ("enrichment_cost_usd", "What the answers cost, in US dollars."),
    ("content_hash", "SHA-256 of what is published; a night that changes nothing writes nothing."),
    ("created_at", "When the row was first published (UTC)."),
    ("updated_at", "When it last changed (UTC)."),
)
_HISTORY = (
    ("enrichment", "The declaration's name."),
    ("pass", "The pass that was asked."),
    ("field", "The field that was answered."),
    ("seq", "Counts every answer that there ever was."),
    ("answered_at", "When (UTC)."),
    ("state", "How the asking ended."),
    ("reason", "Why there is no answer."),
    ("value", "The answer, as JSON."),
    ("confidence", "How sure the model said it was, from 0 to 1."),
    ("null_reason", "Why the value is null."),
    ("source", "Who gave it: human, rule, or model:NAME."),
    ("model_version", "The model that was asked."),
    ("input_hash", "SHA-256 of the input that it was given for."),
    ("run_id", "The run that asked."),
)


def tables(model: DbtModel) -> Iterator[tuple[Place, Entry]]:
    """Each table that dbt is told of, with its entry."""
    rows = _table(model.rows, None, _key_columns(model, "What tells every row apart."))
    if model.in_place:
        told = _answers(model)
        told["columns"] = [*rows["columns"], *told["columns"][len(model.key) :]]
        yield model.rows, {**rows, "config": told["config"], "columns": told["columns"]}
    else:
        yield model.rows, rows
        yield model.answers, _answers(model)
    if model.history is not None:
        yield model.history, _history(model, model.history)


def source_entry(place: Place) -> Entry:
    """The source of a table, without its tables."""
    entry: Entry = {"name": place.source}
    if place.database is not None:
        entry["database"] = place.database
    if place.schema != place.source:
        entry["schema"] = place.schema
    return entry


def model_entry(model: DbtModel) -> Entry:
    """The staging model."""
    columns = _key_columns(model, "What tells every row apart.")
    for field in model.fields:
        columns += _model_columns(field)
    columns += [
        _column(f"{model.prefix}enriched_at", "When the newest answer of the row was given (UTC)."),
        _column(f"{model.prefix}model_version", "The model that gave it."),
        _column(f"{model.prefix}enrichment_state", "How far the row is in the enrichment; null where it is not in it."),
    ]
    entry: Entry = {
        "name": model.name,
        "description": f"{model.rows.identifier} with what Inlay knows about it (enrichment {model.enrichment}): "
        "a person's correction, else the source's own value, else a rule's, else the model's, else the default.",
        "config": _ours(model),
        "columns": columns,
    }
    if len(model.key) > 1:
        entry["data_tests"] = [_test("inlay_unique", columns=list(model.key))]
    return entry


def _model_columns(field: DbtField) -> Iterator[Entry]:
    if field.original is not None:
        yield _column(f"original_{field.name}", f"{field.original} as the source has it, placeholders and blanks too.")
    yield _column(field.predicted, "What Inlay published for the row's present input; null where there is nothing.")
    if field.confidence:
        yield _column(f"{field.predicted}_confidence", "How sure the model said it was, from 0 to 1.")
    if field.evidence:
        yield _column(f"{field.predicted}_evidence", "The words of the input that it is based on.")
    yield _column(f"{field.predicted}_null_reason", "Why there is no published value.")
    said = "Who gave the value: human, original, rule, model or default; null where there is none."
    yield _column(f"{field.name}_source", said, _test("inlay_accepted_values", values=list(SOURCES)))
    meaning = f"{field.spec.description} " if field.spec.description else ""
    yield _column(field.name, f"{meaning}See {field.name}_source for who gave it.")


def _answers(model: DbtModel) -> Entry:
    columns = _key_columns(model, "The source's key.", ours=True)
    for field in model.fields:
        columns += _published_columns(field)
    if model.in_place:
        said = dict(_ROW)
        columns += [_column(f"{model.lead}{name}", said[name]) for name in MARK_COLUMNS]
    else:
        columns += [_row_column(name, said) for name, said in _ROW]
        columns += _pass_columns(model)
    columns += [_column(input_column(name), f"{name} as it was when the answers were given.") for name in model.inputs]
    said = (
        f"What Inlay answers for {model.rows.identifier} (enrichment {model.enrichment}), one row a key. It survives "
        "reloads of the source, and can be dropped and published again from the store."
    )
    return _table(model.answers, said, columns, model)


def _pass_columns(model: DbtModel) -> Iterator[Entry]:
    """What a table of several passes says of each."""
    for name in model.passes if len(model.passes) > 1 else ():
        hashed, version, moment, state = stamped(name)
        yield _column(hashed, f"The pass {name}: SHA-256 of its input.")
        yield _column(version, f"The pass {name}: its model.")
        yield _column(moment, f"The pass {name}: when it was answered (UTC).")
        yield _column(state, f"The pass {name}: how it ended.")


def _published_columns(field: DbtField) -> Iterator[Entry]:
    meaning = f"{field.spec.description} " if field.spec.description else ""
    tests = []
    if field.spec.values:
        values = [jinja_safe(value) for value in field.spec.values]
        tests.append(_test("inlay_accepted_values", warn=True, values=values))
    elif field.spec.min is not None or field.spec.max is not None:
        tests.append(_test("inlay_between", warn=True, **_bounds(field)))
    yield _column(field.answer, f"{meaning}What a person, a rule or the model says; null where no answer is.", *tests)
    if field.confidence:
        test = _test("inlay_between", least=0, greatest=1)
        yield _column(f"{field.answer}_confidence", "How sure the model said it was, from 0 to 1.", test)
    if field.evidence:
        yield _column(f"{field.answer}_evidence", "The words of the input that it is based on.")
        yield _column(f"{field.answer}_evidence_verified", "Whether these words were found in what was sent.")
    if field.reasons:
        test = _test("inlay_accepted_values", warn=True, values=list(REASONS))
        yield _column(f"{field.answer}_null_reason", "Why there is no value.", test)
    if field.told_by:
        yield _column(f"{field.answer}_source", "Who gave the value: human, rule, or model:NAME.")


def _bounds(field: DbtField) -> dict[str, Any]:
    found = {"least": constant(field.spec.min), "greatest": constant(field.spec.max)}
    return {name: value for name, value in found.items() if value is not None}


def _row_column(name: str, said: str) -> Entry:
    if name == "enrichment_state":
        return _column(
            name, said, _test("inlay_accepted_values", warn=True, values=[state.value for state in CellState])
        )
    if name == "enrichment_cost_usd":
        return _column(name, said, _test("inlay_between", least=0))
    return _column(name, said)


def _history(model: DbtModel, place: Place) -> Entry:
    key = [_column(name, "The source's key.") for name in model.key]
    columns = [*key, *(_column(name, said) for name, said in _HISTORY)]
    entry = _table(
        place, f"Every answer that there ever was for {model.rows.identifier}; only added to.", columns, model
    )
    entry["data_tests"] = [_test("inlay_unique", columns=["enrichment", "seq", "field"])]
    return entry


def _key_columns(model: DbtModel, said: str, *, ours: bool = False) -> list[Entry]:
    """The key: never null, and unique if it is one column (see `_table` for several).

    dbt's own tests put a name between quotes as it is; one that holds quotes itself needs ours.
    """
    return [_key_column(name, said, alone=len(model.key) == 1, ours=ours or _is_odd(name)) for name in model.key]


def _key_column(name: str, said: str, *, alone: bool, ours: bool) -> Entry:
    tests = ["inlay_not_null", "inlay_unique"] if ours else ["not_null", "unique"]
    return _column(name, said, *(tests if alone else tests[:1]))


def _is_odd(name: str) -> bool:
    return any(mark in name for mark in "\"`'{}\\")


def _table(place: Place, said: str | None, columns: list[Entry], model: DbtModel | None = None) -> Entry:
    entry: Entry = {"name": place.name}
    if place.identifier != place.name:
        entry["identifier"] = place.identifier
    if said is not None:
        entry["description"] = jinja_safe(said)
    if model is not None:
        entry["config"] = _ours(model)
        if len(model.key) > 1 and place == model.answers:
            entry["data_tests"] = [_test("inlay_unique", columns=list(model.key))]
    entry["columns"] = columns
    return entry


def _ours(model: DbtModel) -> Entry:
    return {"meta": {"inlay": model.enrichment}}


def _column(name: str, said: str, *tests: Any) -> Entry:
    entry: Entry = {"name": jinja_safe(name), "description": jinja_safe(said)}
    if not (name.isidentifier() and name.isascii()):
        entry["quote"] = True
    if tests:
        entry["data_tests"] = list(tests)
    return entry


def _test(name: str, *, warn: bool = False, **arguments: Any) -> Entry:
    shown = {key: value.isoformat() if isinstance(value, dt.date) else value for key, value in arguments.items()}
    return {name: {"arguments": shown, **({"config": {"severity": "warn"}} if warn else {})}}
