"""A golden file: rows whose right answers people wrote down.

    key columns + field columns      the rows of the source with these keys are asked
    input columns + field columns    the file's own rows are asked, whatever the source holds by now

What stays true: an empty cell is no label, but a reason for a null (`…_null_reason`) is one: the right answer is then
none; a label that can be no value of its field is counted and left out; every mistake of form names file and line.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.errors import SpecError
from inlay.fingerprint import key_text, plain
from inlay.fingerprint_sql import quote_ident
from inlay.quality.comparing import Synonyms, folded
from inlay.spec.model import SourceSpec
from inlay.spec.problems import show_text, suggest
from inlay.tables.frames import FrameSource
from inlay.tables.records import RecordFile

if TYPE_CHECKING:
    import pyarrow as pa

# The column that is the key of rows of the file's own: their key, or else the line they stand in.
LINE = "inlay_line"
_TYPED = ("BIGINT", "INTEGER", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "BOOLEAN", "DATE", "TIMESTAMP")
_REASON = "_null_reason"


@dataclass(frozen=True, slots=True)
class Label:
    """What is right for one field of one row; `text` None: that there is no value."""

    text: str | None


@dataclass(slots=True)
class Golden:
    """A golden file, read. `labels` by row key and column; `own` are the file's rows, where they are asked themselves.

    `skipped` lines have no label at all."""

    name: str
    labels: dict[str, dict[str, Label]] = field(default_factory=dict)
    own: pa.Table | None = None
    skipped: int = 0


class GoldenSource(FrameSource):
    """The rows of a golden file, as a source."""

    def __init__(self, table: pa.Table, name: str) -> None:
        self.spec = SourceSpec(files=(name,), key=(LINE,))
        super().__init__(table, self.spec)

    @property
    def title(self) -> str:
        """The file."""
        return self.spec.files[0]


def read_golden(
    path: str | Path,
    key: Sequence[str],
    inputs: Sequence[str],
    columns: Sequence[str],
    types: Mapping[str, str],
    placeholders: Iterable[str] = (),
) -> Golden:
    """Read a CSV, JSONL or Parquet file. `columns` hold labels, save `placeholders`; `inputs` are what the prompts
    read, with the source's `types` where they are known. Raises SpecError for missing columns and doubled keys,
    SourceError for what cannot be read."""
    file = RecordFile(path)
    golden = Golden(file.name)
    rows: list[dict[str, Any]] = []
    lines: dict[str, int] = {}
    words = {folded(word) for word in placeholders}
    own: bool | None = None
    keyed = True
    for line, record in file.records():
        if own is None:  # each line of JSONL has columns of its own; the first one decides
            names = file.columns or tuple(record)
            own = _own(file.name, names, key, inputs, columns)
            keyed = all(each in names for each in key)
        labels = {name: label for name in columns if (label := _label(record, name, words)) is not None}
        if not labels:
            golden.skipped += 1
            continue
        # By its key where it has one: whoever forgets a row forgets it here, too.
        name = _key(record, key, file.name, line) if keyed else str(line)
        if name in lines:
            raise SpecError(
                f"the key {name!r} is in line {lines[name]} already",
                file=file.name,
                line=line,
                remedy="label every row once",
            )
        lines[name] = line
        golden.labels[name] = labels
        if own:
            rows.append({LINE: name, **{each: record.get(each) for each in inputs}})
    if not golden.labels:
        raise SpecError(f"no line has a label in {' or '.join(columns)}", file=file.name, remedy="fill in some")
    if own:
        golden.own = _table(rows, types, file.name)
    return golden


def _own(name: str, names: Sequence[str], key: Sequence[str], inputs: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether the file's own rows are asked. SpecError where it has neither key nor inputs, or no labels."""
    if not set(columns) & set(names):
        raise SpecError(
            f"there is no column {' or '.join(columns)} with labels",
            file=name,
            remedy=f"{suggest(columns[0], names, what='there are')}; --field FIELD=COLUMN names another",
        )
    if inputs and all(each in names for each in inputs):
        return True
    if all(each in names for each in key):
        return False
    raise SpecError(
        f"there are neither the key ({', '.join(key)}) nor the columns that the prompt reads ({', '.join(inputs)})",
        file=name,
        remedy=f"its columns are {', '.join(map(show_text, names))}",
    )


def _label(record: Mapping[str, Any], name: str, placeholders: Container[str]) -> Label | None:
    text = _text(record.get(name))
    if text is not None and text.strip() and folded(text) not in placeholders:
        return Label(text)
    reason = record.get(f"{name}{_REASON}")
    return Label(None) if isinstance(reason, str) and reason.strip() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else plain(value)


def _key(record: Mapping[str, Any], key: Sequence[str], file: str, line: int) -> str:
    values = [record.get(name) for name in key]
    text = key_text(values)
    if text is None:
        raise SpecError("the key is empty", file=file, line=line, remedy="name the row")
    return text


def _table(rows: list[dict[str, Any]], types: Mapping[str, str], name: str) -> pa.Table:
    """The file's rows with the source's types, so that an equal input is the same input."""
    import duckdb
    import pyarrow as pa

    from inlay.tables.sql import connect, translate

    columns = {each: [row[each] for row in rows] for each in rows[0]}
    con = connect()
    try:
        arrays = {}
        for each, values in columns.items():
            mixed = len({type(value) for value in values if value is not None}) > 1
            arrays[each] = pa.array([_text(value) for value in values] if mixed else values)
        con.register("golden", pa.table(arrays))
        shown = [
            f"CAST({quote_ident(each)} AS {types[each]}) AS {quote_ident(each)}"
            if types.get(each, "").startswith(_TYPED)
            else quote_ident(each)
            for each in columns
        ]
        return con.execute(f"SELECT {', '.join(shown)} FROM golden").to_arrow_table()
    except duckdb.Error as error:
        raise translate(error, name) from None
    finally:
        con.close()


def read_synonyms(path: str | Path) -> Synonyms:
    """A CSV file of two columns or more: texts in one line mean the same. Its first line is a line like the others.

    Raises SourceError for a file that cannot be read."""
    return Synonyms(_groups(path))


def _groups(path: str | Path) -> Iterable[list[str]]:
    file = RecordFile(path)
    if file.columns is not None:
        yield list(file.columns)
    for _, record in file.records():
        yield [text for value in record.values() if (text := _text(value)) is not None]
