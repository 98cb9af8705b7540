"""Cells of a pass as Arrow batches from a server, for planning at scale.

The server makes one text of a chunk of rows, a line a row and every value in hex or digits, and Arrow reads it: no
Python object is made for a cell. A batch comes from one statement, hence from one consistent moment, and no connection
is held between batches; a server that vanishes costs one chunk. What stays true: a chunk whose text the server cut off
(its limit of a packet) is noticed by the number of its lines and asked for again in smaller parts.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inlay.databases.address import MYSQL
from inlay.errors import StoreDamaged
from inlay.stores.transactions import Con, Transactions
from inlay.types import CellState

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 20_000
_STATES = frozenset(state.value for state in CellState)
_TEXTS = frozenset(("key", "state", "reason"))
_HASHES = frozenset(("source_hash", "upstream_hash", "values_hash"))
_MYSQL = {"text": "hex({0})", "hash": "coalesce(lower(hex({0})), '')", "number": "{0}", "at": "{0} DIV 1000"}
_POSTGRESQL = {
    "text": "encode(convert_to({0}, 'UTF8'), 'hex')",
    "hash": "coalesce(encode({0}, 'hex'), '')",
    "number": "{0}",
    "at": "{0} / 1000",
}


def scan(
    db: Transactions, kind: str, pass_id: int, columns: Sequence[str], chunk: int = CHUNK
) -> Iterator[pa.RecordBatch]:
    """See `contracts.Store.scan_cells`."""
    query = _query(kind, columns)
    after, last, size = ">=", "", chunk
    while True:
        bounds = (pass_id, last)
        row, end = db.look(lambda con, after=after, bounds=bounds, size=size: _part(con, query, after, bounds, size))
        count, text = row
        if count:
            lines = _whole(text, count)
            if lines is None:
                if size == 1:
                    raise StoreDamaged(
                        f"a cell behind row {last!r} does not fit the server's largest packet",
                        remedy="raise max_allowed_packet on the server",
                    )
                size = max(1, size // 8)
                continue
            yield _batch(lines, columns, last)
        if end is None:
            return
        after, last = ">", end


def _part(con: Con, query: str, after: str, bounds: tuple[Any, ...], size: int) -> tuple[tuple[int, Any], str | None]:
    """(count, text) of the next cells, and the key of the last one; None where no more may follow."""
    # A bound instead of LIMIT: MySQL would copy the rows of an inner query, to its disk, before it joins them.
    found = con.execute(
        f"SELECT key FROM cells WHERE pass_id = ? AND key {after} ? ORDER BY key LIMIT 1 OFFSET ?", (*bounds, size - 1)
    ).fetchone()
    end = None if found is None else found[0]
    until, values = ("", bounds) if end is None else (" AND key <= ?", (*bounds, end))
    return con.execute(query.format(after=after, until=until), values).fetchone(), end


def _query(kind: str, columns: Sequence[str]) -> str:
    words = _MYSQL if kind == MYSQL else _POSTGRESQL
    parts = [words[_sort(name)].format(name) for name in columns]
    if kind == MYSQL:
        line = f"concat_ws(',', {', '.join(parts)})"
        text = f"group_concat({line} SEPARATOR '\\n')"
    else:
        line = " || ',' || ".join(f"({part})" for part in parts) + (" || ''" if len(parts) == 1 else "")
        text = f"string_agg({line}, E'\\n')"
    return f"SELECT count(*), {text} FROM cells WHERE pass_id = ? AND key {{after}} ?{{until}}"


def _sort(name: str) -> str:
    if name in _TEXTS:
        return "text"
    if name in _HASHES:
        return "hash"
    return "at" if name == "answered_at" else "number"


def _whole(text: Any, count: int) -> bytes | None:
    """The lines of a chunk; None where the server cut them off."""
    if text is None:
        return None
    data = text.encode() if isinstance(text, str) else bytes(text)
    return data if data.count(b"\n") == count - 1 else None


def _batch(lines: bytes, columns: Sequence[str], last: str) -> pa.RecordBatch:
    import pyarrow as pa
    from pyarrow import csv

    types = {name: _type(name) for name in columns}
    try:
        table = csv.read_csv(
            io.BytesIO(lines + b"\n"),
            read_options=csv.ReadOptions(
                column_names=list(columns), block_size=max(1 << 20, len(lines) + 2), use_threads=False
            ),
            parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types=types, strings_can_be_null=False, null_values=[]),
        ).combine_chunks()
        arrays = [_decoded(name, table.column(name).chunk(0)) for name in columns]
        return pa.record_batch(arrays, names=list(columns))
    except (ValueError, TypeError) as error:  # ArrowInvalid is a ValueError
        raise StoreDamaged(
            f"cells behind row {last!r} cannot be read: {error}", remedy="run `inlay store verify` to list all damage"
        ) from None


def _type(name: str) -> pa.DataType:
    import pyarrow as pa

    if name in ("recipe_id", "tries"):
        return pa.int32()
    return pa.int64() if name == "answered_at" else pa.string()


def _decoded(name: str, column: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    if name in _HASHES and not {0, 32}.issuperset(pc.call_function("binary_length", [column]).unique().to_pylist()):
        raise ValueError("a hash of the wrong length")
    if name not in _TEXTS:
        return column
    decoded = _unhexed(column)
    if name == "state" and not _STATES.issuperset(decoded.unique().to_pylist()):
        raise ValueError("an unknown state")
    return decoded


def _unhexed(column: pa.Array) -> pa.Array:
    """Texts that stand in hex, all of them at once."""
    import pyarrow as pa
    import pyarrow.compute as pc

    _, offsets, data = column.buffers()
    if data is None or column.offset:
        return pa.array([bytes.fromhex(text).decode() for text in column.to_pylist()], pa.string())
    ends = pa.Array.from_buffers(pa.int32(), len(column) + 1, [None, offsets])
    halves = pc.call_function("divide", [ends, pa.scalar(2, pa.int32())])
    size = ends[len(column)].as_py()
    plain = pa.py_buffer(bytes.fromhex(data.slice(0, size).to_pybytes().decode("ascii")))
    out = pa.StringArray.from_buffers(len(column), halves.buffers()[1], plain)
    out.validate(full=True)
    return out
