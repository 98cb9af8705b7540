"""A small file that people wrote, record by record, each with the line it stands in.

For what is read once and answered for line by line, as corrections are; a source is read by DuckDB instead. What stays
true: one record is held at a time; CSV cells are the text that stands there, an empty one None; JSONL and Parquet
values keep their types; every mistake of form is a SourceError with its line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from inlay.errors import SourceError
from inlay.tables.delimited import open_file, shape
from inlay.tables.paths import SourceFile, find_files

# One cell of a CSV file may be this long (characters); Python's own limit is 128 KB.
_LONGEST_CELL = 16_000_000

Record = tuple[int, dict[str, Any]]


class RecordFile:
    """One CSV, JSONL or Parquet file. `line` counts from 1; of Parquet it is the number of the row."""

    def __init__(self, path: str | Path) -> None:
        """Finds the file and reads its head. Raises SourceError."""
        try:
            found = find_files([str(path)], Path.cwd())
        except SourceError as error:
            remedy = "give a .csv, .jsonl or .parquet file" if "source.format" in error.remedy else error.remedy
            raise SourceError(error.message.removeprefix("source.files: "), remedy=remedy) from None
        if len(found) != 1:
            raise SourceError(f"{path} names {len(found)} files", remedy="give one file")
        self._file: SourceFile = found[0]
        self._header: tuple[str, ...] | None = None
        self._delimiter = ","
        if self._file.format == "csv":
            if not self._file.size:
                raise SourceError(f"{self.name} is empty", remedy="its first line names the columns")
            self._header, self._delimiter = shape(self._file)
        elif self._file.format == "parquet":
            with self._parquet() as file:
                self._header = tuple(file.schema_arrow.names)

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self._file.path.name

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns, or None for JSONL, where each line has its own."""
        return self._header

    def records(self) -> Iterator[Record]:
        """(line, column to value) of every record. Raises SourceError at the first line that cannot be read."""
        if self._file.format == "parquet":
            return self._parquet_records()
        return self._csv_records() if self._file.format == "csv" else self._jsonl_records()

    def _csv_records(self) -> Iterator[Record]:
        assert self._header is not None
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
        with open_file(self._file) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=self._delimiter, strict=True)
            line = 1
            try:
                for number, cells in enumerate(reader):
                    first, line = line, reader.line_num + 1
                    if number == 0 or not cells:
                        continue
                    if len(cells) != len(self._header):
                        raise SourceError(
                            f"{self.name}, line {first}: {len(cells)} cells, but the header names {len(self._header)}",
                            remedy='a cell that holds a delimiter, a quote or a line break stands in "double quotes"',
                        )
                    yield first, {name: cell or None for name, cell in zip(self._header, cells, strict=True)}
            except csv.Error as error:
                raise SourceError(f"{self.name}, line {line}: {error}", remedy="mend that line") from None
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{self.name}, after line {line}: not UTF-8: {error.reason}",
                    remedy="the file must be UTF-8; convert it, for example with `iconv -f SHIFT_JIS -t UTF-8`",
                ) from None
            except (OSError, EOFError) as error:
                raise self._broken(error) from None

    def _jsonl_records(self) -> Iterator[Record]:
        try:
            with open_file(self._file) as stream:
                for line, data in enumerate(stream, start=1):
                    if not data.strip():
                        continue
                    try:
                        record = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
                    except orjson.JSONDecodeError as error:
                        raise SourceError(
                            f"{self.name}, line {line}: not valid JSON: {error.msg}",
                            remedy="JSONL holds one JSON object a line; mend it",
                        ) from None
                    if not isinstance(record, dict):
                        raise SourceError(
                            f"{self.name}, line {line}: not a JSON object",
                            remedy="JSONL holds one JSON object a line; mend or remove it",
                        )
                    yield line, record
        except (OSError, EOFError) as error:
            raise self._broken(error) from None

    def _parquet(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._file.path)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from None

    def _parquet_records(self) -> Iterator[Record]:
        import pyarrow as pa

        row = 0
        with self._parquet() as file:
            try:
                for batch in file.iter_batches(1000):
                    for record in batch.to_pylist():
                        row += 1
                        yield row, record
            except (pa.ArrowException, OSError) as error:
                raise self._broken(error) from None

    def _broken(self, error: Exception) -> SourceError:
        return SourceError(
            f"{self.name} cannot be read: {' '.join(str(error).split())}",
            remedy="check that the file is whole and not being written",
        )
