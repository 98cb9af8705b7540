"""What a dbt project is told of a declaration: its tables as sources, its fields as columns of a staging model.

    declaration ──► DbtModel ──► dbt_sql (the model, the macros) · dbt_yaml (sources, descriptions, tests)

What stays true: everything here follows from the declaration alone (no database is asked, no variable of the
environment is read, so that two machines write the same files), nothing of a connection is in it, and every text of the
declaration ends up as a constant: Jinja and SQL that stand in it are never obeyed.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from inlay.databases.dialect import table_parts
from inlay.databases.errors import DatabaseError
from inlay.errors import SpecError
from inlay.fingerprint import WHITE_SPACE_CHARACTERS
from inlay.spec.columns import HISTORY
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment, PassSpec

# The source of tables that are named without a schema, and where dbt is to look for those.
PLAIN_SOURCE, PLAIN_SCHEMA = "raw", "{{ target.schema }}"

_KINDS = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "datetime": "datetime",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A table as dbt names it: `source(source, name)`; `identifier` is its name in the database."""

    source: str
    name: str
    identifier: str
    schema: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class DbtField:
    """A field. `name` is its column in the model, `answer` that of the published table, `kind` its type for macros."""

    name: str
    answer: str
    kind: str
    spec: FieldSpec
    original: str | None
    default: Any
    inputs: tuple[str, ...]
    trimmed: bool
    confidence: bool
    evidence: bool
    reasons: bool
    told_by: bool

    @property
    def predicted(self) -> str:
        """The published value's column in the model: under its own name, unless that is the final value's."""
        return self.answer if self.answer != self.name else f"llm_{self.answer}"


@dataclass(frozen=True, slots=True)
class DbtModel:
    """A declaration as dbt sees it."""

    enrichment: str
    name: str
    rows: Place
    answers: Place
    history: Place | None
    key: tuple[str, ...]
    fields: tuple[DbtField, ...]
    placeholders: tuple[str, ...]
    lead: str  # the output's prefix, perhaps empty
    prefix: str  # what the model's own columns begin with
    in_place: bool
    inputs: tuple[str, ...]
    passes: tuple[str, ...]


def dbt_model(
    enrichment: Enrichment, *, source_table: str | None = None, source: str | None = None, name: str | None = None
) -> DbtModel:
    """What dbt is told of a resolved declaration.

    `source_table` stands for the source where that is no table of a database (files, a query), or goes by another name
    in the warehouse; `source` names the dbt source of tables without a schema; `name` is the model's. Raises SpecError.
    """
    output = enrichment.output
    if output.table is None:
        raise _wrong(
            enrichment,
            "dbt reads a published table, and this declaration has none",
            "output",
            "write `output: {table: staging.answers, prefix: llm_}`, with a `connection` where the source has none",
        )
    if enrichment.source.content_key:
        raise _wrong(
            enrichment,
            'rows whose key is their whole content (`key: "*"`) cannot be joined in SQL',
            "source.key",
            "name the columns that tell every row apart",
        )
    rows = _rows(enrichment, source_table, source)
    in_place = output.mode == "column"
    answers = rows if in_place else _place(enrichment, output.table, "output.table", source)
    history = None
    if output.history:
        kept = _place(enrichment, output.table, "output.table", source)
        history = Place(kept.source, kept.name + HISTORY, kept.identifier + HISTORY, kept.schema, kept.database)
    used = dict.fromkeys(column for spec in enrichment.passes for column in spec.inputs)
    return DbtModel(
        enrichment=enrichment.name,
        name=model_name(name or f"stg_{rows.identifier}"),
        rows=rows,
        answers=answers,
        history=history,
        key=enrichment.source.key,
        fields=tuple(_fields(enrichment)),
        placeholders=spellings(enrichment.select.placeholders),
        lead=output.prefix,
        prefix=output.prefix or "llm_",
        in_place=in_place,
        inputs=tuple(used) if output.inputs and not in_place else (),
        passes=tuple(spec.name for spec in enrichment.passes),
    )


def model_name(text: str) -> str:
    """A text as the name of a model: letters (of any script), digits and underscores, so never a path."""
    return re.sub(r"\W", "_", text)


def spellings(words: tuple[str, ...]) -> tuple[str, ...]:
    """Placeholders as macros compare them: without white space around them, in both of Unicode's spellings."""
    out: dict[str, None] = {}
    for word in words:
        plain = unicodedata.normalize("NFC", word).strip(WHITE_SPACE_CHARACTERS)
        out.update(dict.fromkeys((plain, unicodedata.normalize("NFD", plain))))
    return tuple(word for word in out if word)


def constant(value: Any) -> Any:
    """A value of the declaration as text, number or boolean: dates as ISO 8601, lists and objects as JSON."""
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _rows(enrichment: Enrichment, source_table: str | None, source: str | None) -> Place:
    if source_table is not None:
        return _place(enrichment, source_table, "--source-table", source)
    if enrichment.source.table is not None:
        return _place(enrichment, enrichment.source.table, "source.table", source)
    what = "files" if enrichment.source.files else "a query"
    raise _wrong(
        enrichment,
        f"the source is {what}, and dbt reads tables",
        "source.files" if enrichment.source.files else "source.query",
        "name the table that holds these rows in the warehouse: --source-table staging.tenants",
    )


def _place(enrichment: Enrichment, text: str, key: str, source: str | None) -> Place:
    try:
        parts = table_parts(text)
    except DatabaseError as error:
        raise _wrong(enrichment, error.message, key, error.remedy) from None
    odd = [part for part in parts if any(mark in part for mark in "\"`'{}\\") or not part.isprintable()]
    if odd:
        # dbt writes names between quotes as they are, and reads source names as Jinja.
        raise _wrong(enrichment, f"dbt cannot name a table {odd[0]!r}", key, "make a view of it with a plainer name")
    table = parts[-1]
    schema = parts[-2] if len(parts) > 1 else PLAIN_SCHEMA
    named = parts[-2] if len(parts) > 1 else source or PLAIN_SOURCE
    return Place(model_name(named), model_name(table), table, schema, parts[-3] if len(parts) > 2 else None)


def _fields(enrichment: Enrichment) -> Iterator[DbtField]:
    output = enrichment.output
    alone = sum(len(spec.fields) for spec in enrichment.passes) == 1
    for spec in enrichment.passes:
        for name, field in spec.fields.items():
            yield DbtField(
                name=f"{spec.prefix}{name}",
                answer=spec.column(name),
                kind=_KINDS.get(field.type, "string"),
                spec=field,
                original=_original(enrichment, name, field, alone=alone),
                default=constant(field.default),
                inputs=_compared(spec) if output.inputs and output.mode == "table" else (),
                trimmed="trim" in spec.normalize,
                confidence=field.confidence and output.confidence,
                evidence=field.evidence and output.evidence,
                reasons=output.null_reasons,
                told_by=output.sources,
            )


def _original(enrichment: Enrichment, name: str, field: FieldSpec, *, alone: bool) -> str | None:
    """The source's own column: as the field says, else `select.missing` where that is plainly what it fills."""
    if field.original is not None:
        return field.original
    missing = enrichment.select.missing
    if missing is not None and field.type not in ("list", "object") and (alone or name == missing):
        return missing
    return None


def _compared(spec: PassSpec) -> tuple[str, ...]:
    """The inputs that tell in SQL whether an answer still belongs to its row: texts that differ only in what the pass
    does not mind (width, inner spaces) would look changed there, so such passes compare nothing."""
    return () if {"nfkc", "collapse_space"} & set(spec.normalize) else spec.inputs


def _wrong(enrichment: Enrichment, message: str, key: str, remedy: str) -> SpecError:
    if key.startswith("--"):
        return SpecError(message, key=key, remedy=remedy)
    return SpecError(message, file=enrichment.file, line=enrichment.lines.get(key), key=key, remedy=remedy)
