"""How a row's cells become asks: which pass may start, with what input, under which address, and what is written.

What stays true: a pass starts once every pass that it reads has settled in this row; it is skipped, with the reason,
when one of them has no answer for a field that it reads; the source hash that is written is the one that the plan
computed, so that the next plan compares like with like.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inlay.engine.given import located
from inlay.engine.passwork import PassWork
from inlay.engine.tally import Tally
from inlay.engine.work import Answered, Ask, Row, Target
from inlay.fingerprint import address, short_hash, upstream_hash
from inlay.payload import decode_fields
from inlay.planning.decide import CellFacts
from inlay.types import CellState, CellWrite, NullReason, Reason, StoredCell

_EMPTY: Mapping[str, Mapping[str, Any]] = {}


class Cells:
    """The cells of a run, seen from their passes."""

    def __init__(self, passes: Sequence[PassWork]) -> None:
        self.passes = list(passes)
        index = {part.name: part.index for part in self.passes}
        for part in self.passes:
            for step in part.steps():
                step.upstream = tuple(index[name] for name in step.spec.upstream_passes)

    def upstream(self, part: PassWork, row: Row) -> tuple[Mapping[str, Mapping[str, Any]], bytes, str | None]:
        """What a pass reads of earlier ones: the values, their hash, and (instead) why it cannot be read."""
        if not part.upstream:
            return _EMPTY, b"", None
        answers = {self.passes[index].name: row.answers.get(index) for index in part.upstream}
        hashed = upstream_hash([b"" if found is None else found.values_hash for found in answers.values()])
        values: dict[str, dict[str, Any]] = {}
        for name, field in part.spec.upstream:
            found = answers[name]
            answer = None if found is None else found.fields.get(field)
            if answer is None or answer.null_reason is NullReason.INVALID:
                return _EMPTY, hashed, f"{name}.{field} has no answer"
            values.setdefault(name, {})[field] = answer.value
        return values, hashed, None

    def open(self, part: PassWork, target: Target) -> Ask:
        """The ask of a cell: its canonical input and its address. The upstream must be readable."""
        row = target.row
        values = part.compiled.source_values(row.values)
        upstream, hashed, _ = self.upstream(part, row)
        target.upstream_hash = hashed
        given = row.given.get(part.index, "")
        canonical = part.compiled.canonical_input(values, upstream, given)
        stored = row.stored.get(part.index)
        # An answer younger than the ttl will do, whoever asked for it; a stale cell may find that of an earlier prompt.
        since = part.rule.since
        ask = Ask(part, address(part.digest, canonical), canonical, short_hash(canonical), target, since)
        known = None if stored is None or stored.state is not CellState.PARTIAL else stored.answer
        if known is not None and known.fingerprint == ask.fingerprint:
            # Only what is missing is asked again; the valid fields are kept.
            fields = decode_fields(known.payload)
            ask.known = {
                name: answer for name, answer in fields.items() if answer.null_reason is not NullReason.INVALID
            }
            ask.names = tuple(name for name in part.fields if name not in ask.known)
            ask.cost_nusd = known.cost_nusd
        elif given and (ruled := part.given.read(given)):
            ask.known = {name: located(answer, part.compiled.texts(values)) for name, answer in ruled.items()}
            ask.names = tuple(name for name in part.fields if name not in ruled)
            ask.ruled = not ask.names
        return ask

    def prepare(self, part: PassWork, ask: Ask) -> None:
        """Render the prompt. Raises InvalidRequest when this record cannot be rendered."""
        row = ask.targets[0].row
        upstream, _, _ = self.upstream(part, row)
        part.prepare(ask, part.compiled.source_values(row.values), upstream)

    def write(
        self,
        part: PassWork,
        ask: Ask,
        target: Target,
        state: CellState,
        reason: str,
        message: str,
        *,
        answer_id: int | None = None,
    ) -> CellWrite:
        """The new state of one cell."""
        return CellWrite(
            pass_id=part.ref.pass_id,
            key=target.row.key,
            recipe_id=part.ref.recipe_id,
            source_hash=target.row.source_hashes[part.index],
            input_hash=ask.input_hash,
            upstream_hash=target.upstream_hash,
            state=state,
            reason=reason,
            message=message,
            tries=0 if state is CellState.DONE else target.tries + 1,
            answer_id=answer_id,
            keep_answer=target.keeps and state is CellState.FAILED,
        )


def plan_cells(cells: Cells, row: Row, tally: Tally) -> Iterator[tuple[PassWork, CellWrite | None, Target | None]]:
    """Every cell of this row whose turn has come: a state to write, or a target to ask for.

    Marks what it yields in `row.state`, so that each cell is taken once.
    """
    for part in cells.passes:
        reason = row.reasons[part.index]
        if reason is None or part.index in row.state or any(_open(row, index) for index in part.upstream):
            continue
        stored = row.stored.get(part.index)
        upstream, hashed, missing = cells.upstream(part, row)
        counts = tally.passes[part.index]
        if missing is not None:
            row.state[part.index] = CellState.SKIPPED
            counts.skipped["upstream"] += 1
            yield part, _skip(part, row, missing, stored, hashed), None
            continue
        if reason is Reason.UPSTREAM and stored is not None:
            values = part.compiled.source_values(row.values)
            canonical = part.compiled.canonical_input(values, upstream, row.given.get(part.index, ""))
            same = short_hash(canonical) == stored.input_hash
            reason = part.rule.decide(_facts(stored), same_input=same)
            if not part.rule.asks(reason):
                row.state[part.index] = stored.state
                counts.unchanged += 1
                if stored.answer is not None and stored.answer.payload:
                    # Later passes read what this one already knew.
                    fields = decode_fields(stored.answer.payload)
                    whole = stored.state is CellState.DONE
                    row.answered(part.index, Answered(fields, stored.answer.values_hash, whole))
                if same and stored.answer is not None:
                    yield part, _touch(part, row, stored, hashed), None
                continue
        row.state[part.index] = CellState.IN_FLIGHT
        keeps = stored is not None and stored.answer is not None and reason in (Reason.STALE, Reason.EXPIRED)
        tries = stored.tries if stored is not None and reason is not Reason.INPUT_CHANGED else 0
        yield part, None, Target(row, hashed, tries, keeps)


def _open(row: Row, index: int) -> bool:
    """Whether a pass that this run asks in this row is still unsettled."""
    if row.reasons[index] is None:
        return False
    return row.state.get(index) in (None, CellState.IN_FLIGHT)


def _facts(cell: StoredCell) -> CellFacts:
    answered = cell.answer.created_at if cell.answer is not None else 0.0
    return CellFacts(cell.recipe_id, cell.state, cell.reason, cell.tries, answered)


def _skip(part: PassWork, row: Row, missing: str, stored: StoredCell | None, hashed: bytes) -> CellWrite:
    return CellWrite(
        pass_id=part.ref.pass_id,
        key=row.key,
        recipe_id=part.ref.recipe_id,
        source_hash=row.source_hashes[part.index],
        input_hash=b"",
        upstream_hash=hashed,
        state=CellState.SKIPPED,
        reason="upstream",
        message=missing,
        tries=stored.tries if stored is not None else 0,
    )


def _touch(part: PassWork, row: Row, stored: StoredCell, hashed: bytes) -> CellWrite:
    """The same answer under the present hashes, so that the next plan sees at once that nothing changed."""
    assert stored.answer is not None
    return CellWrite(
        pass_id=part.ref.pass_id,
        key=row.key,
        recipe_id=stored.recipe_id,
        source_hash=row.source_hashes[part.index],
        input_hash=stored.input_hash,
        upstream_hash=hashed,
        state=stored.state,
        reason=stored.reason,
        message=stored.message,
        tries=stored.tries,
        answer_id=stored.answer.answer_id,
    )
