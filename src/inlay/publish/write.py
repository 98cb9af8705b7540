"""Writing a table whole or not at all: beside its place first, synced, then moved there.

What stays true: whoever looks at the target sees the old table or the new one, never a part; a failed write leaves
nothing behind; the rows are exact copies (no cell is altered to please a spreadsheet).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import orjson
import pyarrow as pa

from inlay._version import __version__
from inlay.errors import SpecError, TargetError

ROW_GROUP = 65_536
ROW_GROUP_BYTES = 16 * 1024 * 1024  # what a group holds in memory while it is gathered
FORMATS = ("parquet", "csv", "jsonl")
STDOUT = "-"
LEFT_OVER_S = 3600.0
_SPECIAL = re.compile(r'[,"\r\n\ufeff]|^\s|\s$').search


def format_of(path: str | Path, declared: str | None = None) -> str:
    """The format of a target: declared, or by its ending. Raises SpecError."""
    if declared is not None:
        if declared not in FORMATS:
            raise SpecError(f"no such format: {declared}", key="format", remedy=f"one of: {', '.join(FORMATS)}")
        return declared
    ending = Path(path).suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise SpecError(
            f"cannot tell the format of {str(path)!r}", key="output.files", remedy="end it in .parquet, .csv or .jsonl"
        )
    return ending


def write(path: str | Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, format: str | None = None) -> int:
    """Write the batches to a file, or to stdout for `-` (csv and jsonl). The number of rows. Atomic for files."""
    kind = format_of(path, format)
    if str(path) == STDOUT:
        if kind == "parquet":
            raise SpecError(
                "Parquet cannot be written to stdout", key="format", remedy="name a file, or use jsonl or csv"
            )
        return _WRITERS[kind](sys.stdout.buffer, schema, batches)
    target = Path(os.path.realpath(path))  # a link stays one
    with _beside(target) as file:
        return _WRITERS[kind](file, schema, batches)


def write_file(path: str | Path, content: bytes) -> None:
    """Write one file whole or not at all, like a table."""
    with _beside(Path(os.path.realpath(path))) as file:
        file.write(content)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole or not at all; the path that was written. Raises TargetError."""
    target = Path(os.path.realpath(path))
    check_target(target)
    with _beside(target) as file:
        file.write(text.encode())
    return target


def check_target(path: str | Path) -> None:
    """Refuse a place that cannot be written to, before anything is paid for. Writes nothing. Raises TargetError."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise TargetError(f"{target} is a folder", remedy="name a file in it, such as out.parquet")
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise TargetError(f"cannot write {target}: {folder} is a file, not a folder", remedy="choose another path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TargetError(
            f"cannot write {target}: this user may not write into {folder}, or it is read-only",
            remedy="choose a folder that you may write to, with `output.files` or -o",
        )


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[IO[bytes]]:
    """A new file next to the target that takes its place at the end, or vanishes on any error."""
    part = target.with_name(f".inlay-{secrets.token_hex(6)}.part")
    try:
        if target.is_dir():
            raise TargetError(f"{target} is a folder", remedy="name a file in it; every answer is safe in the store")
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(target.parent)
        with part.open("xb") as file:
            if target.exists():
                part.chmod(target.stat().st_mode & 0o777)  # who may read the old table may read the new one
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise TargetError(f"cannot write {target}: {error.strerror or error}", remedy=_remedy(error)) from error
    finally:
        with contextlib.suppress(OSError):  # the error that counts is the first one
            part.unlink(missing_ok=True)


def _remove_left_over(folder: Path) -> None:
    """Parts of writers that died. One that is being written is younger than an hour since its last byte."""
    for part in folder.glob(".inlay-*.part"):
        with contextlib.suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFT_OVER_S:
                part.unlink()


def _sync_folder(folder: Path) -> None:
    """Make the move itself durable; a file system without folder handles is left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "choose a folder that you may write to, with `output.files` or -o; every answer is safe in the store"
    if error.errno == 28:
        return "free some space and run again; every answer is safe in the store, so nothing is paid twice"
    return "every answer is safe in the store; mend it and run again, or use `inlay export`"


def _parquet(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    import pyarrow.parquet as pq

    rows = 0
    schema = schema.with_metadata({**(schema.metadata or {}), b"inlay": __version__.encode()})
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        held = size = 0
        for batch in batches:
            group.append(batch)
            held += batch.num_rows
            size += batch.nbytes
            if held >= ROW_GROUP or size >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(group).cast(schema), row_group_size=held)
                rows, held, size, group = rows + held, 0, 0, []
        if group or not rows:
            table = pa.Table.from_batches(group, schema=group[0].schema if group else schema).cast(schema)
            writer.write_table(table, row_group_size=max(1, held))
            rows += held
    return rows


def _jsonl(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    names = schema.names
    option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
    for batch in batches:
        columns = [values_of(column) for column in batch.columns]
        records = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
        file.write(b"".join([orjson.dumps(record, default=_plain, option=option) for record in records]))
        rows += batch.num_rows
    return rows


def _csv(file: IO[bytes], schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        text.write(",".join(map(_quoted, schema.names)) + "\r\n")
        for batch in batches:
            columns = [[_cell(value) for value in values_of(column)] for column in batch.columns]
            text.write("".join([",".join(row) + "\r\n" for row in zip(*columns, strict=True)]))
            rows += batch.num_rows
        text.flush()
    finally:
        text.detach()
    return rows


def values_of(column: pa.Array) -> list[Any]:
    """Python values; times that Python cannot hold (nanoseconds, the year 10000) as text."""
    try:
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            # Where pandas is installed, Arrow would give its types instead, which are written otherwise.
            column = column.cast(pa.timestamp("us", column.type.tz))
        return column.to_pylist()
    except (ValueError, OverflowError):
        return column.cast(pa.string()).to_pylist()


def _quoted(text: str) -> str:
    """RFC 4180. An empty text is written as "", so that it is told apart from null."""
    if not text or _SPECIAL(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _cell(value: Any) -> str:
    """A CSV cell: null as nothing, nested values as JSON, times in ISO 8601, booleans as true and false."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return _quoted(orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z).decode())
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return _quoted(str(value))


def _plain(value: Any) -> Any:
    """What orjson does not know: bytes as hex, decimals and the rest as text."""
    return value.hex() if isinstance(value, bytes) else str(value)


_WRITERS: dict[str, Callable[[IO[bytes], pa.Schema, Iterable[pa.RecordBatch]], int]] = {
    "parquet": _parquet,
    "csv": _csv,
    "jsonl": _jsonl,
}
