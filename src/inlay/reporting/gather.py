"""From the store and the source to the facts of a report: one reading of the wide table, in bounded memory.

    wide table, a batch at a time ─► counts (tallies) ─► distributions, coverage, confidence, sources
                                  └► candidates (choosing) ─► a dozen rows with their text (sampling)
    ledger, runs, history ─► cost, tokens, changes

What stays true: nothing is written and nobody is asked; the facts are of the published table (what was answered for
another input counts as `input_changed`), whatever columns the declaration leaves out of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from inlay._version import __version__
from inlay.contracts import Source, Store
from inlay.engine.given import RULE
from inlay.fingerprint import key_text
from inlay.publish.wide import WideTable
from inlay.reporting.changes import changes
from inlay.reporting.choosing import Chooser
from inlay.reporting.columns import Error, FieldColumns, PassColumns, errors_of, shown_key, traits_of
from inlay.reporting.excerpt import cut
from inlay.reporting.facts import (
    FAILED,
    NOT_SELECTED,
    PARTS,
    VALUE,
    WAITING,
    Cost,
    Facts,
    Failure,
    Field,
    Pass,
    Run,
    Totals,
    is_local,
    part_of,
)
from inlay.reporting.remedies import remedy
from inlay.reporting.sampling import samples
from inlay.reporting.tallies import Counter, Tallies
from inlay.spec.model import Enrichment, PassSpec
from inlay.tables.sql import connect
from inlay.types import PassRef, RunRecord, usd

SAMPLES = 12
RUNS = 20
_EXAMPLES = 3
_MESSAGE = 240


@dataclass(frozen=True, slots=True)
class Subject:
    """One pass to report on, in topological order. `spec` is resolved: its `inputs` are those that its prompt reads."""

    spec: PassSpec
    ref: PassRef
    model: str
    priced: bool


def gather(
    enrichment: Enrichment,
    source: Source,
    store: Store,
    subjects: Sequence[Subject],
    *,
    made_at: float,
    most_samples: int = SAMPLES,
) -> Facts:
    """The facts of an enrichment. Reads the whole table once; costs nothing. `made_at`: seconds since the epoch."""
    with Tallies() as tallies:
        counted = _Counted(enrichment, subjects, tallies, most_samples)
        counted.read(enrichment, source, store)
        passes = tuple(_pass(subject, part, store, tallies) for subject, part in counted.in_order(enrichment))
    ordered = [part for _, part in counted.in_order(enrichment)]
    pass_ids = {subject.spec.name: subject.ref.pass_id for subject in subjects}
    shown = samples(counted.chooser.chosen(), ordered, pass_ids, source, store, enrichment.source.key)
    records = store.runs(enrichment.name, RUNS + 1)
    ledger = store.ledger(enrichment.name)
    return Facts(
        enrichment=enrichment.name,
        enrichment_version=enrichment.version,
        source=source.title,
        made_at=made_at,
        version=__version__,
        totals=_totals(counted.rows, passes, ledger),
        passes=passes,
        failures=counted.failures(),
        runs=tuple(_run(record, ledger) for record in records[:RUNS]),
        more_runs=len(records) > RUNS,
        changes=changes(store, records, ledger, ordered, pass_ids, len(enrichment.source.key)),
        samples=shown,
        costs=_costs(ledger),
    )


class _Counted:
    """The wide table, counted."""

    def __init__(self, enrichment: Enrichment, subjects: Sequence[Subject], tallies: Tallies, most: int) -> None:
        self._subjects = list(subjects)
        self._key = enrichment.source.key
        self._tallies = tallies
        self.passes = [_columns(subject.spec, tallies) for subject in subjects]
        self.chooser = Chooser(most)
        self.rows = 0
        self._failed: dict[tuple[str, str, str], int] = {}
        self._examples: dict[tuple[str, str, str], list[tuple[str, str]]] = {}

    def in_order(self, enrichment: Enrichment) -> list[tuple[Subject, PassColumns]]:
        """The passes as they are declared."""
        found = {subject.spec.name: (subject, part) for subject, part in zip(self._subjects, self.passes, strict=True)}
        return [found[spec.name] for spec in enrichment.passes]

    def read(self, enrichment: Enrichment, source: Source, store: Store) -> None:
        """Count every row."""
        output = enrichment.output
        everything = {name: True for name, value in output if isinstance(value, bool)}
        wanted = output.model_copy(update={**everything, "rows": "all", "columns": tuple(self._key)})
        con = connect()
        try:
            passes = [(subject.spec, subject.ref) for subject in self._subjects]
            table = WideTable(enrichment.model_copy(update={"output": wanted}), source, store, passes, con)
            for batch in table.batches():
                self._add(batch)
        finally:
            con.close()

    def _add(self, batch: pa.RecordBatch) -> None:
        errors = errors_of(batch)
        for part in self.passes:
            part.add(batch, errors)
        self._tallies.flush()
        self.rows += batch.num_rows
        keys = row_keys(batch, len(self._key))
        for row, traits in enumerate(traits_of(batch, self.passes, errors)):
            key = keys[row]
            if key is not None:
                self.chooser.offer(key, traits, lambda row=row: batch.slice(row, 1).to_pylist()[0])
        for row, found in errors.items():
            self._note(keys[row] or "", found)

    def _note(self, key: str, errors: Sequence[Error]) -> None:
        for error in errors:
            name = (error["pass"], error["state"], error["kind"] or error["state"])
            self._failed[name] = self._failed.get(name, 0) + 1
            examples = self._examples.setdefault(name, [])
            if len(examples) < _EXAMPLES:
                examples.append((cut(shown_key(key, len(self._key)), 120), cut(error["message"] or "", _MESSAGE)))

    def failures(self) -> tuple[Failure, ...]:
        """What went wrong, the most frequent first."""
        ordered = sorted(self._failed.items(), key=lambda item: (-item[1], item[0]))
        return tuple(
            Failure(name, state, kind, count, remedy(kind), tuple(self._examples[name, state, kind]))
            for (name, state, kind), count in ordered
        )


def _columns(spec: PassSpec, tallies: Tallies) -> PassColumns:
    fields = [
        FieldColumns(
            spec.name, name, part, spec.column(name), Counter(tallies, part, ("value", spec.name, name)), tallies
        )
        for name, part in spec.fields.items()
    ]
    return PassColumns(spec, fields, tallies)


def row_keys(batch: pa.RecordBatch, count: int) -> list[str | None]:
    """Each row's key as the store writes it; the key's columns come first."""
    columns = []
    for index in range(count):
        column = batch.column(index)
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":  # finer than Python's own
            column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        columns.append(column.to_pylist())
    return [key_text(values) for values in zip(*columns, strict=True)]


def _pass(subject: Subject, part: PassColumns, store: Store, tallies: Tallies) -> Pass:
    known = subject.ref.pass_id >= 0
    rows = sum(part.states.values())
    return Pass(
        name=part.spec.name,
        model=subject.model,
        priced=subject.priced,
        models=tallies.texts("model", part.spec.name),
        states=dict(part.states),
        stale=store.stale(subject.ref.pass_id, subject.ref.recipe_id) if known else 0,
        fields=tuple(_field(field, rows, tallies) for field in part.fields),
    )


def _field(field: FieldColumns, rows: int, tallies: Tallies) -> Field:
    reasons = tallies.texts("reason", *field.slot)
    parts: dict[str, int] = dict.fromkeys(PARTS, 0)
    for reason, count in reasons.items():
        parts[part_of(reason)] += count
    parts[VALUE] = rows - sum(reasons.values())
    verified = tallies.texts("verified", *field.slot)
    return Field(
        name=field.name,
        column=field.column,
        type=_type(field),
        description=field.spec.description,
        parts=parts,
        reasons=reasons,
        sources=tallies.texts("source", *field.slot),
        distributions=field.counter.distributions(),
        confidence=tallies.confidence("confidence", *field.slot),
        evidence_found=verified.get("true", 0),
        evidence_missed=verified.get("false", 0),
    )


def _type(field: FieldColumns) -> str:
    spec = field.spec
    return f"list of {spec.item.type}" if spec.type == "list" else spec.type


def _totals(rows: int, passes: Sequence[Pass], ledger: Sequence[Mapping[str, Any]]) -> Totals:
    fields = [field for part in passes for field in part.fields]
    states = [item for part in passes for item in part.states.items()]
    unselected = min((part.states.get(NOT_SELECTED, 0) for part in passes), default=0)
    asked = sum(rows - field.parts[NOT_SELECTED] for field in fields)
    unknown = {part.name for part in passes if not part.priced}
    return Totals(
        rows=rows,
        selected_rows=rows - unselected,
        cells=sum(count for state, count in states if state != NOT_SELECTED),
        done_cells=sum(count for state, count in states if state == "done"),
        failed_cells=sum(count for state, count in states if part_of(state) == FAILED),
        fields=asked,
        answered_fields=asked - sum(field.parts[FAILED] + field.parts[WAITING] for field in fields),
        value_fields=sum(field.parts[VALUE] for field in fields),
        evidence_found=sum(field.evidence_found for field in fields),
        evidence_missed=sum(field.evidence_missed for field in fields),
        calls=_calls(ledger),
        input_tokens=sum(line["input_tokens"] for line in ledger),
        output_tokens=sum(line["output_tokens"] for line in ledger),
        cost_usd=usd(sum(line["cost_nusd"] for line in ledger)),
        priced=not any(line["pass"] in unknown and line["input_tokens"] and not line["cost_nusd"] for line in ledger),
    )


def _calls(lines: Iterable[Mapping[str, Any]]) -> int:
    """Requests that left this process: those of models within it are none."""
    # What rules gave whole stands in the ledger, too, for free.
    return round(sum(line["calls"] for line in lines if line["model"] != RULE and not is_local(line["model"])))


def _costs(ledger: Iterable[Mapping[str, Any]]) -> tuple[Cost, ...]:
    """By pass and model, the dearest first; what was given for free in this process is left out."""
    sums: dict[tuple[str, str], list[Any]] = {}
    for line in ledger:
        if line["input_tokens"] or line["output_tokens"] or line["cost_nusd"]:
            into = sums.setdefault((str(line["pass"]), str(line["model"] or "no answer")), [0, 0, 0, 0])
            for place, name in enumerate(("calls", "input_tokens", "output_tokens", "cost_nusd")):
                into[place] += line[name]
    found = [
        Cost(*key, round(calls, 1), given, written, usd(paid)) for key, (calls, given, written, paid) in sums.items()
    ]
    return tuple(sorted(found, key=lambda cost: (-cost.cost_usd, cost.pass_name, cost.model)))


def _run(record: RunRecord, ledger: Sequence[Mapping[str, Any]]) -> Run:
    lines = [line for line in ledger if line["run_id"] == record.run_id]
    summary, parts = record.summary, record.summary.get("passes")
    return Run(
        run_id=record.run_id,
        started_at=record.started_at,
        ended_at=record.ended_at,
        outcome=record.outcome or "not ended",
        rows=summary.get("rows_done"),
        calls=_calls(lines),
        answered=None if parts is None else sum(part["done"] + part["partial"] for part in parts),
        reused=None if parts is None else sum(part["reused"] for part in parts),
        failed=None if parts is None else sum(sum(part["failed"].values()) for part in parts),
        input_tokens=sum(line["input_tokens"] for line in lines),
        output_tokens=sum(line["output_tokens"] for line in lines),
        cost_usd=usd(sum(line["cost_nusd"] for line in lines)),
    )
