"""What the newest run that answered anything did: which cells are new, and which values are other than before.

What stays true: the comparison with earlier answers looks at LOOKED_AT cells at most, the same ones every time, and
says at how many; the number of all cells is exact up to there, and beyond it to the second in which the run began.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow.compute

from inlay.contracts import Store
from inlay.payload import decode_fields
from inlay.reporting.columns import PassColumns, shown_key
from inlay.reporting.excerpt import cut
from inlay.reporting.facts import Change, Changes
from inlay.types import FieldAnswer, RunRecord, StoredCell

pc: Any = pyarrow.compute  # its functions are made when it is imported: no type checker sees them
LOOKED_AT = 2_000
EXAMPLES = 12
_OF_ONE_CELL = 2
_TEXT = 120


def changes(
    store: Store,
    runs: Sequence[RunRecord],
    ledger: Sequence[Mapping[str, Any]],
    passes: Sequence[PassColumns],
    pass_ids: Mapping[str, int],
    key_columns: int,
) -> Changes | None:
    """`runs` newest first, `key_columns` how many columns a row's key has; None where no run has answered anything."""
    answering = {line["run_id"] for line in ledger if line["answers"]}
    answering |= {run.run_id for run in runs if run.summary.get("answers")}
    at = next((place for place, run in enumerate(runs) if run.run_id in answering), None)
    if at is None:
        return None
    run = runs[at]
    cells, picked = _cells(store, run, [pass_ids[part.spec.name] for part in passes])
    failed = sum(
        part["partial"] + sum(part["failed"].values()) for part in run.summary.get("passes", ()) if "failed" in part
    )
    first = min(answering) == run.run_id
    new = changed = same = looked = 0
    by_field: dict[str, int] = {}
    examples: list[Change] = []
    names = {pass_ids[part.spec.name]: part for part in passes}
    if first:
        new = looked = cells
    else:
        for part, cell, before in _compared(store, run, picked, names):
            looked += 1
            if before is None:
                new += 1
                continue
            assert cell.answer is not None
            key = shown_key(cell.key, key_columns)
            found = list(_differences(key, part, before, decode_fields(cell.answer.payload)))
            changed, same = changed + bool(found), same + (not found)
            for change in found:
                column = part.spec.column(change.field)
                by_field[column] = by_field.get(column, 0) + 1
            examples.extend(found[: min(_OF_ONE_CELL, EXAMPLES - len(examples))])
        if cells <= LOOKED_AT:
            cells = looked
    ordered = dict(sorted(by_field.items(), key=lambda item: (-item[1], item[0])))
    return Changes(
        run_id=run.run_id,
        at=run.ended_at or run.started_at,
        idle_runs=at,
        cells=cells,
        looked_at=looked,
        new=new,
        changed=changed,
        same=same,
        failed=failed,
        fields=ordered,
        examples=tuple(examples),
    )


def _cells(store: Store, run: RunRecord, pass_ids: Sequence[int]) -> tuple[int, list[tuple[int, str]]]:
    """How many cells hold an answer as young as the run, and up to LOOKED_AT of them as (pass number, key)."""
    count = 0
    picked: list[tuple[int, int, str]] = []
    since = int(run.started_at)  # the scan tells whole seconds
    for pass_id in pass_ids:
        if pass_id < 0:
            continue
        for batch in store.scan_cells(pass_id, ["key", "answered_at"]):
            young = batch.filter(pc.greater_equal(batch.column(1), since))
            count += young.num_rows
            offered = ((zlib.crc32(key.encode()), pass_id, key) for key in young.column(0).to_pylist())
            picked = heapq.nsmallest(LOOKED_AT, [*picked, *offered])
    return count, [(pass_id, key) for _, pass_id, key in picked]


def _compared(
    store: Store, run: RunRecord, picked: Sequence[tuple[int, str]], names: Mapping[int, PassColumns]
) -> Iterator[tuple[PassColumns, StoredCell, dict[str, FieldAnswer] | None]]:
    """Each picked cell that the run answered, with the fields of the answer that it had before, if any."""
    for pass_id, part in names.items():
        keys = [key for number, key in picked if number == pass_id]
        if not keys:
            continue
        cells = store.read_cells(pass_id, keys)
        earlier: dict[str, int | None] = {}
        for key in keys:
            cell = cells.get(key)
            if cell is not None and cell.answer is not None and cell.answer.run_id == run.run_id:
                earlier[key] = _before(store, pass_id, cell)
        answers = store.answers([number for number in earlier.values() if number is not None])
        for key, number in earlier.items():
            answer = None if number is None else answers.get(number)
            yield part, cells[key], None if answer is None else decode_fields(answer.payload)


def _before(store: Store, pass_id: int, cell: StoredCell) -> int | None:
    """The number of the answer that a cell held before its present one."""
    assert cell.answer is not None
    before = None
    for event in store.history(pass_id, cell.key):
        if event.answer_id == cell.answer.answer_id:
            break
        before = event.answer_id if event.answer_id is not None else before
    return before


def _differences(
    key: str, part: PassColumns, before: Mapping[str, FieldAnswer], after: Mapping[str, FieldAnswer]
) -> Iterator[Change]:
    for field in part.fields:
        old, new = before.get(field.name), after.get(field.name)
        if old is not None and new is not None and old.value != new.value:
            yield Change(
                cut(key, _TEXT), part.spec.name, field.name, _text(old), _reason(old), _text(new), _reason(new)
            )


def _text(answer: FieldAnswer) -> str:
    value = answer.value
    if value is None:
        return ""
    return cut(value if isinstance(value, str) else orjson.dumps(value).decode(), _TEXT)


def _reason(answer: FieldAnswer) -> str:
    return "" if answer.null_reason is None else answer.null_reason.value
