"""CSV: text exactly as written, with as little guessed as possible.

What stays true: the first record names the columns; every column is text (007 stays 007); an empty field is null and
"" is an empty text; quoting is RFC 4180. Only the delimiter is found out, from the first records: the one of comma,
tab, semicolon and pipe that the header is divided by.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from itertools import groupby
from typing import IO, cast

from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_text
from inlay.tables.paths import SourceFile
from inlay.tables.relation import Part, check_names

DELIMITERS = ",\t;|"
_HEAD = 256 * 1024
# One record may be this long; DuckDB holds two buffers of it a thread.
_MAX_RECORD = 16_000_000


def csv_parts(files: Sequence[SourceFile]) -> list[Part]:
    """One Part for each run of files with one header, delimiter and compression. Files without a byte are left out."""
    shaped = [(file, *shape(file)) for file in files if file.size]
    parts: list[Part] = []
    for (header, delimiter, compression), group in groupby(
        shaped, key=lambda entry: (entry[1], entry[2], entry[0].compression)
    ):
        columns = dict.fromkeys(header, "VARCHAR")
        listed = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in columns)
        reader = (
            f"read_csv({{files}}, auto_detect=false, header=true, delim={quote_text(delimiter)}, quote='\"', "
            f"escape='\"', nullstr='', allow_quoted_nulls=false, strict_mode=true, hive_partitioning=false, "
            f"max_line_size={_MAX_RECORD}, buffer_size={2 * _MAX_RECORD}, compression='{compression}'{{more}}, "
            f"columns={{{listed}}})"
        )
        parts.append(Part(tuple(entry[0] for entry in group), columns, reader))
    return parts


def shape(file: SourceFile) -> tuple[tuple[str, ...], str]:
    """(header, delimiter) of one file. Raises SourceError."""
    name = file.path.name
    text = _head(file)
    delimiter = _delimiter(text, prefer="\t" if ".tsv" in file.path.suffixes else ",")
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False), [])
    if not any(header):
        raise SourceError(f"{name}: the first line names no column", remedy="begin the file with the columns' names")
    # A column without a name gets one by its place, as DuckDB would give it.
    named = tuple(part or f"column{place}" for place, part in enumerate(header))
    for place, part in enumerate(named):
        if part in named[:place]:
            raise SourceError(f"{name}: the header names {part!r} twice", remedy="give every column a name of its own")
    check_names(named, name)
    return named, delimiter


def _head(file: SourceFile) -> str:
    """The beginning of a file as text."""
    name = file.path.name
    try:
        with open_file(file) as stream:
            data = stream.read(_HEAD)
    except (OSError, EOFError) as error:
        raise SourceError(
            f"{name} cannot be unpacked: {error}", remedy=f"check that it is a whole {file.compression} file"
        ) from error
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:64]:
        raise SourceError(f"{name} is not UTF-8 but UTF-16", remedy="convert it: iconv -f UTF-16 -t UTF-8")
    whole = len(data) < _HEAD
    data = data.removeprefix(b"\xef\xbb\xbf")
    first = data.partition(b"\n")[0]
    try:
        first.decode("utf-8")
    except UnicodeDecodeError as error:
        if whole or b"\n" in data:
            raise SourceError(
                f"{name}, line 1: not UTF-8: {error.reason} at byte {error.start + 1}",
                remedy="the file must be UTF-8; convert it, for example with `iconv -f SHIFT_JIS -t UTF-8`",
            ) from error
        raise SourceError(f"{name}: no end of the first line within 256 KB", remedy="check that it is CSV") from error
    return data.decode("utf-8", "replace")


def open_file(file: SourceFile) -> IO[bytes]:
    if file.compression == "gzip":
        return cast("IO[bytes]", gzip.open(file.path, "rb"))
    if file.compression == "zstd":
        import pyarrow as pa

        stream = pa.input_stream(str(file.path), compression="zstd")
        return io.BufferedReader(cast("io.RawIOBase", stream))  # which alone cannot read lines
    return file.path.open("rb")


def _delimiter(text: str, prefer: str) -> str:
    """The delimiter whose division of the header is repeated by the first records; then the one that divides most."""
    best, best_score = prefer, (0, 0, 0)
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        widths: list[int] = []
        try:
            for record in reader:
                widths.append(len(record))
                if len(widths) == 20:
                    break
        except csv.Error:
            pass
        if not widths or widths[0] < 2:
            continue
        # The last record of the head may be cut.
        rows = [width for width in widths[1:-1] if width] or widths[1:]
        alike = all(width == widths[0] for width in rows)
        score = (int(alike), widths[0], int(delimiter == prefer))
        if score > best_score:
            best, best_score = delimiter, score
    return best
