"""Answers that are kept but not accepted: how many of a pass lie below its `accept_above`.

What stays true: nothing is counted for a pass without a threshold; what counts is the answer in force, whatever it was
given for, and the same rule as the published table's.
"""

from __future__ import annotations

from inlay.contracts import Store
from inlay.payload import decode_fields
from inlay.publish.columns import accepted
from inlay.spec.model import PassSpec

_KEYS = 5_000


def count_below(store: Store, spec: PassSpec, pass_id: int) -> int | None:
    """How many values of a pass are not published for want of confidence; None without a threshold. Reads the pass's
    cells once."""
    least = spec.accept_above
    if least is None:
        return None
    asked = [name for name, part in spec.fields.items() if part.confidence]
    below = 0
    for batch in store.scan_cells(pass_id, ("key",)):
        keys = batch.column(0).to_pylist()
        for start in range(0, len(keys), _KEYS):
            for cell in store.read_cells(pass_id, keys[start : start + _KEYS]).values():
                fields = decode_fields(cell.answer.payload) if cell.answer is not None else {}
                below += sum(name in fields and not accepted(fields[name], least) for name in asked)
    return below
