"""Rows that were asked again because their input changed: who wants to know is told of each.

A name is corrected at the source, the row is asked anew, and its answer may be another: the declaration's `on_change`
actions and `run(…, on_change=…)` hear of it, once the answers are kept. What stays true: at least once (how far the
telling came is written down with the run; what a killed run or a dead webhook missed comes with the next one, under the
same `id`); a row whose prompt changed is no news, nor is one that was asked for the first time; the text of a record is
never told, only which of its columns changed, and the hashes of both inputs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from inlay.payload import decode_fields
from inlay.project import keys
from inlay.project.actions import carry_out
from inlay.project.changes import changed_inputs, inputs_of
from inlay.stores.accounts import STOPPED_LOST
from inlay.types import CellEvent, CellState, FieldAnswer, PassRef, RunRecord, StoredAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inlay.project.session import Session

TOLD = "told"  # in a run's summary: since which run, and for each pass up to which line of the history
AT_ONCE = 500
_LINES = 5_000
_RUNS = 200


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a row before and after; values are plain JSON, null with a reason."""

    field: str
    before: Any
    after: Any
    before_reason: str | None
    after_reason: str | None
    before_confidence: float | None
    after_confidence: float | None
    changed: bool


@dataclass(frozen=True, slots=True)
class InputChange:
    """A row that was asked again because its input changed. `inputs` names the columns that did (and `pass.field` of an
    earlier pass); `key` is written as `--key` takes it; `id` is the same whenever this change is told again."""

    id: str
    enrichment: str
    pass_name: str
    key: str
    at: str
    run: int
    model: str
    state: str
    inputs: tuple[str, ...]
    input_hash_before: str
    input_hash: str
    fields: tuple[FieldChange, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields whose value is another one now."""
        return tuple(field.field for field in self.fields if field.changed)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        out = asdict(self)
        out["pass"] = out.pop("pass_name")
        return {**out, "changed": list(self.changed)}


class Teller:
    """Tells of one run's changes, and of those that were never told."""

    def __init__(
        self,
        session: Session,
        refs: Sequence[PassRef],
        record: RunRecord,
        called: Callable[[InputChange], None] | None,
    ) -> None:
        self._session = session
        self._store = session.store(write=True)
        self._record = record
        self._called = called
        self._passes = {spec.name: ref.pass_id for spec, ref in zip(session.passes, refs, strict=True)}
        self.wanted = bool(session.enrichment.on_change) or called is not None
        self._told: dict[str, int] = {}
        self._since = record.run_id
        if self.wanted:
            session.altered = {}
            self._find_place()

    def _find_place(self) -> None:
        """How far the telling has come. Where nobody was told before, it begins with this run, and with those just
        before it that were killed: they wrote nothing down."""
        for run in self._store.runs(self._session.enrichment.name, _RUNS):
            if run.run_id == self._record.run_id or run.ended_at is None:
                continue
            if TOLD in run.summary:
                self._since = int(run.summary[TOLD]["since_run"])
                self._told = {str(name): int(seq) for name, seq in run.summary[TOLD]["lines"].items()}
                return
            if run.outcome != STOPPED_LOST:
                return
            self._since = run.run_id

    def facts(self) -> dict[str, Any]:
        """What the run's summary keeps of it; nothing where nobody wants to know."""
        return {TOLD: {"since_run": self._since, "lines": dict(self._told)}} if self.wanted else {}

    def tell(self) -> list[str]:
        """Tell, in the order of the history; sentences for what could not be told. Never raises for who is told."""
        for name, pass_id in self._passes.items():
            after = self._told.get(name, 0)
            while lines := self._store.events(pass_id, after=after, limit=_LINES):
                if problems := self._deliver(list(self._changes(name, pass_id, lines))):
                    return [*problems, "what could not be told of changed rows is told again by the next run"]
                after = self._told[name] = lines[-1][1].seq
        return []

    def _deliver(self, changes: Sequence[InputChange]) -> list[str]:
        for start in range(0, len(changes), AT_ONCE):
            some = changes[start : start + AT_ONCE]
            try:
                if self._called is not None:
                    for change in some:
                        self._called(change)
            except Exception as error:  # noqa: BLE001 (the caller's own function: its fault must not lose the run)
                return [f"on_change raised {type(error).__name__}"]
            message = {
                "event": "input_changed",
                "id": hashlib.sha256("\n".join(change.id for change in some).encode()).hexdigest()[:32],
                "enrichment": self._session.enrichment.name,
                "run": self._record.run_id,
                "changes": [change.to_json() for change in some],
            }
            failed = carry_out(self._session.enrichment, "on_change", message, self._session.env)
            if failed:
                return failed
        return []

    # --- what changed

    def _changes(self, name: str, pass_id: int, lines: Sequence[tuple[str, CellEvent]]) -> Iterator[InputChange]:
        mine = (self._session.altered or {}).get(pass_id, set())
        for key, line in lines:
            if line.answer_id is None or line.state not in (CellState.DONE, CellState.PARTIAL):
                continue
            if line.run_id < self._since:
                continue
            if line.run_id == self._record.run_id and key not in mine:
                continue
            before = self._before(pass_id, key, line)
            if before is None:
                continue
            answers = self._store.answers([before, line.answer_id])
            if before in answers and line.answer_id in answers:
                change = self._change(name, key, line, answers[before], answers[line.answer_id])
                if change is not None:
                    yield change

    def _before(self, pass_id: int, key: str, line: CellEvent) -> int | None:
        """The number of the answer that stood in a cell before this line of its history."""
        before = None
        for event in self._store.history(pass_id, key):
            if event.seq >= line.seq:
                break
            if event.answer_id is not None and event.state in (CellState.DONE, CellState.PARTIAL):
                before = event.answer_id
        return None if before == line.answer_id else before

    def _change(
        self, name: str, key: str, line: CellEvent, before: StoredAnswer, after: StoredAnswer
    ) -> InputChange | None:
        given, now = self._store.answer_input(before.answer_id), self._store.answer_input(after.answer_id)
        if given == now:
            return None
        recipes = [json.loads(self._store.recipe(answer.recipe_id)) for answer in (before, after)]
        try:
            changes = changed_inputs(inputs_of(recipes[0], given), inputs_of(recipes[1], now))
        except ValueError:
            return None
        inputs = tuple(change.what for change in changes if change.kind == "changed")
        if not inputs:
            return None  # the prompt reads other columns now: the row is as it was
        was, is_ = decode_fields(before.payload), decode_fields(after.payload)
        number = f"{self._session.enrichment.name}\n{name}\n{key}\n{line.seq}"
        return InputChange(
            id=hashlib.sha256(number.encode()).hexdigest()[:32],
            enrichment=self._session.enrichment.name,
            pass_name=name,
            key=keys.shown_key(self._session.enrichment, key),
            at=datetime.fromtimestamp(line.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            run=line.run_id,
            model=after.served_model,
            state=str(line.state.value),
            inputs=inputs,
            input_hash_before=hashlib.sha256(given).hexdigest(),
            input_hash=hashlib.sha256(now).hexdigest(),
            fields=tuple(_field(field, was.get(field), is_.get(field)) for field in {**is_, **was}),
        )


def _field(name: str, before: FieldAnswer | None, after: FieldAnswer | None) -> FieldChange:
    def of(answer: FieldAnswer | None) -> tuple[Any, str | None, float | None]:
        if answer is None:
            return None, None, None
        return answer.value, answer.null_reason and answer.null_reason.value, answer.confidence

    (was, why, sure), (now, why_now, sure_now) = of(before), of(after)
    return FieldChange(name, was, now, why, why_now, sure, sure_now, changed=was != now)
