"""What people have corrected, as planning needs it: cells that need no model, and values that later passes read.

What stays true: a correction costs nothing: it changes no input of its own pass; only passes that read a corrected
value follow, as they would follow a new answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from inlay.contracts import Store
from inlay.payload import by_cell, decode_fields, values_hash
from inlay.spec.compiled import CompiledPass
from inlay.types import FieldAnswer, PassRef

_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Human:
    """The corrected cells of one pass, by row key. `whole`: every field is a human's, so that no model is asked.

    `hashes` are the hashes (hex) of the values that later passes read; filled only where one reads this pass.
    """

    whole: dict[str, bool] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def corrected(
    store: Store, enrichment: str, passes: Sequence[tuple[CompiledPass, PassRef]], read: set[int]
) -> dict[int, Human]:
    """By index, the passes that hold corrections. `read` are those that later ones read. Reads the store only."""
    found = by_cell(store.corrections(enrichment))
    out: dict[int, Human] = {}
    for index, (compiled, ref) in enumerate(passes):
        fields = compiled.spec.fields
        mine: dict[str, dict[str, FieldAnswer]] = {}
        for (name, key), answers in found.items():
            if name == compiled.spec.name and (known := {a: b for a, b in answers.items() if a in fields}):
                mine[key] = known
        if not mine:
            continue
        out[index] = Human({key: len(answers) == len(fields) for key, answers in mine.items()})
        if index in read:
            out[index].hashes.update(_hashes(store, ref, mine))
    return out


def _hashes(store: Store, ref: PassRef, mine: dict[str, dict[str, FieldAnswer]]) -> dict[str, str]:
    out: dict[str, str] = {}
    keys = list(mine)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        cells = store.read_cells(ref.pass_id, chunk) if ref.pass_id >= 0 else {}
        for key in chunk:
            cell = cells.get(key)
            answered = decode_fields(cell.answer.payload) if cell is not None and cell.answer is not None else {}
            out[key] = values_hash({**answered, **mine[key]}).hex()
    return out
