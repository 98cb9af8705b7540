"""Cells of a pass as Arrow batches, for planning at scale.

SQLite aggregates a chunk of rows into one long value a column, and Arrow arrays are built over those: no Python
object is made for a hash, which halves the CPU of fetching rows. In most chunks every cell has the same recipe, state,
reason and tries; then one statement that only looks whether this is so reads keys and hashes alone (measured: 0.6
microseconds a cell, 1.3 with every column, 2.0 by fetching rows). A batch comes from one statement, hence from one
consistent moment; between batches cells may change, as `scan_cells` allows.
"""

from __future__ import annotations

import array
import binascii
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
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

# How a column is aggregated. A blob in group_concat is taken as it is, since SQLite never validates text. The inner
# query is read in key order and every aggregate sees its rows in the same order, so that the columns stay aligned.
_HASH = "CAST(group_concat(coalesce({0}, zeroblob(16)), '') AS BLOB)"
_AGGREGATES = {
    "key": "json_group_array(key)",
    "source_hash": _HASH.format("source_hash"),
    "upstream_hash": _HASH.format("upstream_hash"),
    "values_hash": _HASH.format("values_hash"),
    "recipe_id": "group_concat(recipe_id)",
    "state": "group_concat(state)",
    "reason": "json_group_array(reason)",
    "tries": "group_concat(tries)",
    "answered_at": "group_concat(answered_at / 1000)",
}
_COMMON = ("recipe_id", "state", "reason", "tries")
_FIRST = "SELECT recipe_id, state, reason, tries FROM cells WHERE pass_id = ? AND key {after} ? ORDER BY key LIMIT 1"
_LAST = "SELECT key FROM cells WHERE pass_id = ? AND key {after} ? ORDER BY key LIMIT 1 OFFSET ?"
_OTHERS = "count(*) FILTER (WHERE recipe_id IS NOT ? OR state IS NOT ? OR reason IS NOT ? OR tries IS NOT ?)"


def scan(
    database: Database, pass_id: int, columns: Sequence[str] = CELL_SCAN_COLUMNS, chunk: int = CHUNK
) -> Iterator[pa.RecordBatch]:
    """See `contracts.Store.scan_cells`. No connection is held between batches."""
    few = [name for name in columns if name not in _COMMON]
    after, last = ">=", ""
    alike = True  # whether the chunk before was of one recipe, state, reason and tries: then this one may be, too
    while True:
        place: tuple[int | str, ...] = (pass_id, last)
        with database.read() as con:
            common = con.execute(_FIRST.format(after=after), place).fetchone() if alike else None
            if alike and common is None:
                return
            # A bound instead of LIMIT: SQLite would copy every row of a query with a LIMIT before it aggregates it.
            end = con.execute(_LAST.format(after=after), (*place, chunk - 1)).fetchone()
            bounded = end is not None
            if bounded:
                place = (*place, end[0])
            row = None
            if common is not None:
                row = con.execute(_query(few, _OTHERS, after, bounded), (*common, *place)).fetchone()
            if row is None or row[2]:
                common = None
                row = con.execute(_query(columns, "0", after, bounded), place).fetchone()
        if row[0]:
            yield _batch(row, columns, columns if common is None else few, common)
        if end is None:
            return
        after, last = ">", end[0]
        alike = common is not None or _is_alike(row[3:], columns)


@lru_cache(maxsize=64)
def _text(columns: tuple[str, ...], check: str, after: str, bounded: bool) -> str:
    aggregates = "".join(f", {_AGGREGATES[name]}" for name in columns)
    end = " AND key <= ?" if bounded else ""
    return f"SELECT count(*), max(key), {check}{aggregates} FROM cells WHERE pass_id = ? AND key {after} ?{end}"


def _query(columns: Sequence[str], check: str, after: str, bounded: bool) -> str:
    return _text(tuple(columns), check, after, bounded)


def _is_alike(values: Sequence[Any], columns: Sequence[str]) -> bool:
    """Whether a chunk that was read whole had one recipe, state, reason and tries."""
    for name, value in zip(columns, values, strict=True):
        if name in _COMMON and value is not None:
            first, _, rest = value.strip("[]").partition(",")
            if rest.replace(first, "").strip(","):
                return False
    return True


def _batch(
    row: tuple[Any, ...], columns: Sequence[str], read: Sequence[str], head: tuple[Any, ...] | None
) -> pa.RecordBatch:
    """Columns that were read, and those that `head` gives for the whole chunk, in the order asked for."""
    import pyarrow as pa

    count = row[0]
    values = dict(zip(read, row[3:], strict=True))
    common = {} if head is None else dict(zip(_COMMON, head, strict=True))
    try:
        if common and common["state"] not in _STATES:
            raise ValueError("an unknown state")
        arrays = [
            pa.repeat(_scalar(name, common[name]), count) if name in common else _READERS[name](values[name], count)
            for name in columns
        ]
        return pa.record_batch(arrays, names=list(columns))
    except (ValueError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise StoreDamaged(
            f"cells up to row {row[1]!r} cannot be read: {error}", remedy="run `inlay store verify` to list all damage"
        ) from None


def _scalar(name: str, value: Any) -> pa.Scalar:
    import pyarrow as pa

    return pa.scalar(value, pa.int32() if name in ("recipe_id", "tries") else pa.string())


def _texts(data: str, count: int) -> pa.Array:
    import pyarrow as pa

    return pa.array(orjson.loads(data), pa.string())


def _states(data: str, count: int) -> pa.Array:
    import pyarrow as pa

    states = data.split(",")
    if not _STATES.issuperset(states):
        raise ValueError("an unknown state")
    return pa.array(states, pa.string())


def _numbers(bits: int) -> Callable[[str, int], pa.Array]:
    def read(data: str, count: int) -> pa.Array:
        import pyarrow as pa

        return pa.array(data.split(",")).cast(pa.int32() if bits == 32 else pa.int64())

    return read


def _hashes(data: bytes, count: int) -> pa.Array:
    """Concatenated hashes as 32 hex digits each, empty where there was none."""
    import pyarrow as pa

    if len(data) != 16 * count:
        raise ValueError("a hash of the wrong length")
    if not any(data):  # the usual case of a pass that reads no earlier one
        return pa.repeat(pa.scalar("", pa.string()), count)
    hexes = pa.StringArray.from_buffers(count, _offsets(count), pa.py_buffer(binascii.hexlify(data)))
    if _NO_HASH not in data:
        return hexes
    return pa.array(["" if text == _NO_HASH.hex() else text for text in hexes.to_pylist()], pa.string())


@lru_cache(maxsize=2)  # all chunks but the last are of one size
def _offsets(count: int) -> pa.Buffer:
    """Where each of so many texts of 32 bytes begins, and where the last ends."""
    import pyarrow as pa

    return pa.py_buffer(array.array("i", range(0, 32 * count + 1, 32)))


_READERS: dict[str, Callable[[Any, int], pa.Array]] = {
    "key": _texts,
    "source_hash": _hashes,
    "upstream_hash": _hashes,
    "values_hash": _hashes,
    "recipe_id": _numbers(32),
    "state": _states,
    "reason": _texts,
    "tries": _numbers(32),
    "answered_at": _numbers(64),
}
