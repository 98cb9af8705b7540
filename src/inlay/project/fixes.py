"""Fixes read: which field a name means, what a value is, and a file of them.

What stays true: a value is read as a model's answer is, so it satisfies every limit of its field, but a human is told
where a model's answer would be cut; every mistake names its key, field, value and line, and what to write instead.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
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


def find_field(enrichment: Enrichment, name: str) -> tuple[PassSpec, str]:
    """The pass and field that a name means: `pass.field`, a column of the table, or a field's name if only one pass
    has it. SpecError with the choices otherwise."""
    by_path = {f"{spec.name}.{field}": (spec, field) for spec in enrichment.passes for field in spec.fields}
    by_column = {f"{spec.prefix}{field}": (spec, field) for spec, field in by_path.values()}
    if (found := by_path.get(name) or by_column.get(name)) is not None:
        return found
    named = [path for path, (_, field) in by_path.items() if field == name]
    if len(named) == 1:
        return by_path[named[0]]
    if named:
        raise SpecError(f"`{name}` is a field of several passes", remedy=f"write one of: {', '.join(named)}")
    known = dict.fromkeys((*by_column, *(field for _, field in by_path.values()), *by_path))
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
    if file.columns is not None:
        _roles(enrichment, file.columns, file.name, 1)
    for line, record in file.records():
        long, fields = _roles(enrichment, record, file.name, line)
        key = [record.get(name) for name in enrichment.source.key]
        note_, by = (record.get(name) if name not in fields else None for name in ("note", "by"))
        shared: dict[str, Any] = {
            "key": key,
            "note": note if note_ is None else str(note_),
            "author": author if by is None else str(by),
            "file": file.name,
            "line": line,
        }
        if long:
            reason = record.get("null_reason")
            yield Fix(
                field="" if record["field"] is None else str(record["field"]),
                value=record["value"],
                null_reason=None if reason is None else str(reason),
                **shared,
            )
            continue
        for name in fields:
            if record[name] is not None and record[name] != "":
                yield Fix(field=name, value=record[name], **shared)


def _roles(enrichment: Enrichment, columns: Any, file: str, line: int) -> tuple[bool, Sequence[str]]:
    """Whether a line is one fix (`field`, `value`), and otherwise which of its columns are fields."""
    names = list(columns)
    key = enrichment.source.key
    for name in key:
        if name not in names:
            raise SpecError(
                f"the key column `{show_text(name)}` is missing",
                file=file,
                line=line,
                remedy=suggest(name, names, what="it has") or "the file has no columns",
            )
    long = "field" in names and "value" in names
    fields: list[str] = []
    for name in names:
        if name in key or (long and name in ("field", "value", *_BESIDE)):
            continue
        try:
            if long:
                raise SpecError("")
            find_field(enrichment, name)
        except SpecError as error:
            if not long and name in _BESIDE[:2]:
                continue
            if "several passes" in error.message:
                raise SpecError(f"column {error.message}", file=file, line=line, remedy=error.remedy) from None
            raise _unknown(enrichment, name, long, file, line) from None
        fields.append(name)
    return long, fields


def _unknown(enrichment: Enrichment, name: str, long: bool, file: str, line: int) -> SpecError:
    known = list(_BESIDE) if long else [f"{spec.prefix}{field}" for spec in enrichment.passes for field in spec.fields]
    if not long:
        known += _BESIDE[:2]
    meant = nearest(name, known)
    remedy = f"did you mean `{show_text(meant)}`?" if meant else "take it out: only the key and what is corrected stay"
    return SpecError(f"column `{show_text(name)}` is no field of the passes", file=file, line=line, remedy=remedy)
