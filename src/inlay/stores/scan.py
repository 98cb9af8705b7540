"""Every cell of a pass as Arrow batches, for planning at scale.

SQLite aggregates a chunk of rows into one long value a column, and Arrow arrays are built over those: no Python
object is made for a hash, which halves the CPU of fetching rows (measured: 1.1 against 2.0 microseconds a cell).
A chunk is one statement, hence one consistent moment; between chunks cells may change, as `scan_cells` allows.
"""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import orjson

from inlay.contracts import CELL_SCAN_COLUMNS
from inlay.errors import StoreDamaged
from inlay.stores.database import Database
from inlay.types import CellState

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 20_000
_STATES = frozenset(state.value for state in CellState)
_NO_HASH = bytes(16)  # stands for null in a chunk; no SHA-256 begins with 16 zero bytes

# A blob in group_concat is taken as it is, since SQLite never validates text. The inner query is read in key order
# and every aggregate sees its rows in the same order, so that the columns stay aligned.
_QUERY = (
    "SELECT count(*), max(key), json_group_array(key), "
    + ", ".join(
        f"CAST(group_concat(coalesce({name}, zeroblob(16)), '') AS BLOB)"
        for name in ("source_hash", "upstream_hash", "values_hash")
    )
    + ", group_concat(recipe_id), group_concat(state), json_group_array(reason), group_concat(tries), "
    "group_concat(answered_at / 1000) FROM (SELECT key, source_hash, upstream_hash, values_hash, recipe_id, state, "
    "reason, tries, answered_at FROM cells WHERE pass_id = ? AND key {after} ? ORDER BY key LIMIT ?)"
)
_FIRST, _NEXT = _QUERY.format(after=">="), _QUERY.format(after=">")


def scan(database: Database, pass_id: int, chunk: int = CHUNK) -> Iterator[pa.RecordBatch]:
    """See `contracts.Store.scan_cells`. No connection is held between batches."""
    query, after = _FIRST, ""
    while True:
        with database.read() as con:
            row = con.execute(query, (pass_id, after, chunk)).fetchone()
        if row[0]:
            yield _batch(row)
        if row[0] < chunk:
            return
        query, after = _NEXT, row[1]


def _batch(row: tuple[Any, ...]) -> pa.RecordBatch:
    import pyarrow as pa

    count = row[0]
    states: list[str] = row[7].split(",")
    try:
        if not _STATES.issuperset(states):
            raise ValueError("an unknown state")
        columns = [
            pa.array(orjson.loads(row[2]), pa.string()),
            *(_hashes(data, count) for data in row[3:6]),
            pa.array(row[6].split(",")).cast(pa.int32()),
            pa.array(states, pa.string()),
            pa.array(orjson.loads(row[8]), pa.string()),
            pa.array(row[9].split(",")).cast(pa.int32()),
            pa.array(row[10].split(",")).cast(pa.int64()),
        ]
        return pa.record_batch(columns, names=list(CELL_SCAN_COLUMNS))
    except (ValueError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise StoreDamaged(
            f"cells up to row {row[1]!r} cannot be read: {error}", remedy="run `inlay store verify` to list all damage"
        ) from None


def _hashes(data: bytes, count: int) -> pa.Array:
    """Concatenated hashes as 32 hex digits each, empty where there was none."""
    import pyarrow as pa

    if len(data) != 16 * count:
        raise ValueError("a hash of the wrong length")
    if not any(data):  # the usual case of a pass that reads no earlier one
        return pa.array([""], pa.string()).take(pa.array(bytes(count), pa.uint8()))
    offsets = array.array("i", range(0, 32 * count + 1, 32))
    hexes = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data.hex().encode()))
    if _NO_HASH not in data:
        return hexes
    return pa.array(["" if text == _NO_HASH.hex() else text for text in hexes.to_pylist()], pa.string())
