"""Fixes read: which field a name means, what a value is, and a file of them.

What stays true: a value is read as a model's answer is, so it satisfies every limit of its field, but a human is told
where a model's answer would be cut; every mistake names its key, field, value and line, and what to write instead.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from inlay.engine.ask import in_words
from inlay.engine.coerce import Part, compile_field
from inlay.engine.scalars import Unfit, shown
from inlay.errors import SpecError
from inlay.fingerprint import plain
from inlay.project.corrected import Fix
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment, PassSpec
from inlay.spec.problems import nearest, show_text, suggest
from inlay.tables.records import RecordFile
from inlay.types import NullReason

# Reasons that a human may give; the others are Inlay's own.
REASONS = (NullReason.NOT_STATED, NullReason.AMBIGUOUS, NullReason.NOT_APPLICABLE)
_BESIDE = ("note", "by", "null_reason")
_WORDS_SHOWN = 300


class Fields:
    """The fields of a declaration by all their names."""

    def __init__(self, enrichment: Enrichment) -> None:
        self._by_path = {f"{spec.name}.{field}": (spec, field) for spec in enrichment.passes for field in spec.fields}
        self._by_column = {spec.column(field): (spec, field) for spec, field in self._by_path.values()}
        self._by_name: dict[str, list[str]] = {}
        for path, (_, field) in self._by_path.items():
            self._by_name.setdefault(field, []).append(path)

    @property
    def columns(self) -> list[str]:
        """The columns of the table that hold values."""
        return list(self._by_column)

    def meant(self, name: str) -> list[str]:
        """What a name may mean, as `pass.field`: itself, a column of the table, or else every field of that name."""
        if name in self._by_path:
            return [name]
        if (found := self._by_column.get(name)) is not None:
            return [f"{found[0].name}.{found[1]}"]
        return self._by_name.get(name, [])

    def find(self, name: str) -> tuple[PassSpec, str]:
        """The pass and field that a name means. SpecError with the choices where that is not one."""
        meant = self.meant(name)
        if len(meant) == 1:
            return self._by_path[meant[0]]
        if meant:
            raise SpecError(f"`{name}` is a field of several passes", remedy=f"write one of: {', '.join(meant)}")
        known = dict.fromkeys((*self._by_column, *self._by_name, *self._by_path))
        raise SpecError(f"there is no field `{show_text(name)}`", remedy=suggest(name, known, what="fields"))


class Values:
    """Reads values of fields; each field is compiled once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], Part] = {}

    def read(self, spec: PassSpec, field: str, fix: Fix) -> tuple[Any, NullReason | None]:
        """The value and, of a null, the reason. SpecError without a place."""
        definition = spec.fields[field]
        reason = _reason(fix.null_reason)
        part = self._parts.get((spec.name, field))
        if part is None:
            part = self._parts[spec.name, field] = compile_field(field, definition)
        try:
            value, why = part.settle(self._raw(definition, fix.value))
        except Unfit as unfit:
            raise SpecError(f"{field} {unfit}", remedy=_remedy(definition, fix.value)) from None
        if value is not None and reason is not None:
            raise SpecError(
                f"{field} has the value {shown(value)} and a reason for a null as well",
                remedy="leave out the reason, or give no value",
            )
        return value, reason or why

    def problem(self, spec: PassSpec, field: str, value: Any) -> str:
        """Why a value that was kept does not fit the field as it is now; "" where it does."""
        try:
            read, _ = self.read(spec, field, Fix(None, field, value))
        except SpecError as error:
            return error.message
        return "" if read == value else f"{field} would now be read as {shown(read)}"

    def _raw(self, spec: FieldSpec, value: Any) -> Any:
        """A value as a model's JSON would hold it. Raises Unfit where a human's text is not what was meant."""
        if isinstance(value, dt.date | dt.time | Decimal):
            value = plain(value)
        if isinstance(value, bytes | bytearray):
            raise Unfit("is binary data")
        if isinstance(value, str):
            if not value.strip():
                return None
            if spec.type in ("list", "object"):
                opening = "[" if spec.type == "list" else "{"
                value = _json(value, opening)
        if isinstance(value, list) and spec.max_items is not None and len(value) > spec.max_items:
            raise Unfit(f"holds {len(value)} items, more than max_items {spec.max_items}")
        return value


def _json(text: str, opening: str) -> Any:
    if text.strip() == "null":
        return None
    if not text.lstrip().startswith(opening):
        raise Unfit(f"{shown(text)} is not a JSON {'list' if opening == '[' else 'object'}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit(f"{shown(text)} is not valid JSON") from None


def _reason(name: str | None) -> NullReason | None:
    if not name:
        return None
    for reason in REASONS:
        if reason.value == name.strip().lower().replace(" ", "_"):
            return reason
    choices = ", ".join(REASONS)
    raise SpecError(f"`{show_text(name)}` is no reason for a null", remedy=f"write one of: {choices}")


def _remedy(spec: FieldSpec, value: Any) -> str:
    if spec.type == "enum":
        return suggest(str(value), spec.values, what="its values")
    if spec.type == "list":
        example = spec.item.values[0] if spec.item.values else 7 if spec.item.type in ("integer", "number") else "a b"
        return f"write a JSON list, for example '{json.dumps([example], ensure_ascii=False)}'"
    if spec.type == "object":
        example = dict.fromkeys(spec.fields)
        return f"write a JSON object, for example '{json.dumps(example, ensure_ascii=False)}'"
    return f"write {show_text(in_words(spec), _WORDS_SHOWN)}"


# --- files


def read_fixes(enrichment: Enrichment, path: str | Path, *, note: str = "", author: str = "") -> Iterator[Fix]:
    """The fixes of a CSV, JSONL or Parquet file, one by one: the key's columns, and `field` and `value` (a fix a
    line, an empty value is a null), or one column a field (an empty cell leaves the field alone).

    Columns `note`, `by` and, beside `field` and `value`, `null_reason` go along; `note` and `author` stand in where
    a line has none. Raises SpecError for a column that is none of these, SourceError for a file that cannot be read.
    """
    file = RecordFile(path)
    layouts: dict[tuple[str, ...], _Layout] = {}
    known = Fields(enrichment)
    if file.columns is not None:
        _layout(enrichment, known, file.columns, file.name, 1)
    for line, record in file.records():
        names = tuple(record)
        layout = layouts.get(names)
        if layout is None:
            layout = layouts[names] = _layout(enrichment, known, names, file.name, line)
        beside = {name: _text(record.get(name)) for name in layout.beside}
        shared: dict[str, Any] = {
            "key": [record[name] for name in enrichment.source.key],
            "note": beside.get("note") or note,
            "author": beside.get("by") or author,
            "file": file.name,
            "line": line,
        }
        if layout.long:
            yield Fix(
                field=_text(record["field"]), value=record["value"], null_reason=beside.get("null_reason"), **shared
            )
            continue
        for name in layout.fields:
            if record[name] is not None and record[name] != "":
                yield Fix(field=name, value=record[name], **shared)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class _Layout:
    """What the columns of a line are: one fix (`long`: field and value), or `fields`; and what goes along."""

    long: bool
    fields: tuple[str, ...]
    beside: tuple[str, ...]


def _layout(enrichment: Enrichment, known: Fields, names: Sequence[str], file: str, line: int) -> _Layout:
    key = enrichment.source.key
    for name in key:
        if name not in names:
            raise SpecError(
                f"the key column `{show_text(name)}` is missing",
                file=file,
                line=line,
                remedy=suggest(name, names, what="there are") or "the line is empty",
            )
    long = "field" in names and "value" in names
    allowed = _BESIDE if long else _BESIDE[:2]
    fields: list[str] = []
    beside: list[str] = []
    for name in names:
        if name in key or (long and name in ("field", "value")):
            continue
        meant = [] if long else known.meant(name)
        if len(meant) == 1:
            fields.append(name)
        elif name in allowed and not meant:
            beside.append(name)
        elif meant:
            remedy = f"name the column one of: {', '.join(meant)}"
            raise SpecError(f"column `{name}` is a field of several passes", file=file, line=line, remedy=remedy)
        else:
            near = nearest(name, [*([] if long else known.columns), *allowed])
            remedy = f"did you mean `{show_text(near)}`?" if near else "take it out: key and corrections alone stay"
            raise SpecError(f"column `{show_text(name)}` is no field", file=file, line=line, remedy=remedy)
    return _Layout(long, tuple(fields), tuple(beside))
