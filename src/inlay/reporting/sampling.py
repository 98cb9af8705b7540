"""The rows that a report shows, with their text and the evidence marked in it.

What stays true: a span is marked in the text that it was found in (normalised as the answer's recipe says) and nowhere
else; an answer that does not belong to the row's present input is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from inlay.contracts import Source, Store
from inlay.fingerprint import normalize_text, plain
from inlay.fingerprint_sql import key_sql, quote_ident
from inlay.payload import decode_fields
from inlay.reporting.choosing import Chosen
from inlay.reporting.columns import ERRORS, PassColumns, shown_key
from inlay.reporting.excerpt import WHOLE, cut, excerpt
from inlay.reporting.facts import Sample, SampleText, SampleValue
from inlay.tables.sql import connect, translate
from inlay.types import FieldAnswer, StoredCell

if TYPE_CHECKING:
    import duckdb

_MESSAGE = 300
_OVERALL = 4_000  # characters of one row's texts together, and of one of them when the others have used that up
_LEAST = 300


def samples(
    chosen: Sequence[Chosen],
    passes: Sequence[PassColumns],
    pass_ids: Mapping[str, int],
    source: Source,
    store: Store,
    key: Sequence[str],
) -> tuple[Sample, ...]:
    """The chosen rows, in their order."""
    if not chosen:
        return ()
    keys = [row.key for row in chosen]
    columns = list(dict.fromkeys(name for part in passes for name in part.spec.inputs))
    texts = _rows(source, key, columns, keys)
    cells = {
        part.spec.name: store.read_cells(pass_ids[part.spec.name], keys) if pass_ids[part.spec.name] >= 0 else {}
        for part in passes
    }
    recipes: dict[str, dict[int, Mapping[str, Any]]] = {
        name: {number: orjson.loads(text) for number, text in store.recipes(number_).items()} if number_ >= 0 else {}
        for name, number_ in pass_ids.items()
    }
    out = []
    for row in chosen:
        mine = {name: found.get(row.key) for name, found in cells.items()}
        out.append(_sample(row, passes, texts.get(row.key, {}), mine, recipes, len(key)))
    return tuple(out)


def _rows(source: Source, key: Sequence[str], columns: Sequence[str], keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The values of these rows that passes read, by row key."""
    import duckdb

    types = dict(source.columns())
    names = [name for name in types if name in columns]
    con: duckdb.DuckDBPyConnection = connect(threads=1)
    try:
        shown = "".join(f", {quote_ident(name)}" for name in names)
        relation = source.attach(con)
        found = con.execute(
            f"SELECT __k{shown} FROM (SELECT {key_sql(key, types)} AS __k{shown} FROM {relation}) "
            "WHERE __k IN (SELECT unnest(?))",
            [list(keys)],
        ).fetchall()
    except duckdb.Error as error:
        raise translate(error, source.title) from error
    finally:
        con.close()
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}


class _Marks:
    """Numbers for the quotes of one row, and where each stands in the text that is shown."""

    def __init__(self, shown: Mapping[str, str]) -> None:
        self._shown = shown
        self._numbers: dict[tuple[str, int, int], int] = {}
        self.spans: dict[str, list[tuple[int, int, int]]] = {name: [] for name in shown}

    def place(self, answer: FieldAnswer, sent: Mapping[str, str]) -> int | None:
        """The number of an answer's quote, or None where it stands in no text that is shown."""
        found = answer.evidence
        if found is None or not found.verified or found.source is None or found.start is None or found.end is None:
            return None
        text, shown = sent.get(found.source), self._shown.get(found.source)
        if text is None or shown is None or not 0 <= found.start < found.end <= len(text):
            return None
        start, end = found.start, found.end
        if shown is not text and shown != text:  # another pass normalises the same column otherwise
            start = shown.find(text[start:end])
            end = start + found.end - found.start
            if start < 0:
                return None
        place = (found.source, start, end)
        if place not in self._numbers:
            self._numbers[place] = len(self._numbers) + 1
            self.spans[found.source].append((start, end, self._numbers[place]))
        return self._numbers[place]


def _sample(
    chosen: Chosen,
    passes: Sequence[PassColumns],
    values: Mapping[str, Any],
    cells: Mapping[str, StoredCell | None],
    recipes: Mapping[str, Mapping[int, Mapping[str, Any]]],
    key_columns: int,
) -> Sample:
    row = chosen.row
    read: dict[str, str] = {}
    for part in passes:
        for name, text in _texts(values, part.spec.inputs, part.spec.normalize).items():
            read.setdefault(name, text)
    shown = {name: read[name] for name in values if name in read}  # in the order of the source
    marks = _Marks(shown)
    out: list[SampleValue] = []
    for part in passes:
        cell = cells.get(part.spec.name)
        answers = decode_fields(cell.answer.payload) if cell is not None and cell.answer is not None else {}
        recipe = {} if cell is None else recipes[part.spec.name].get(cell.recipe_id, {})
        sent = _texts(values, recipe.get("inputs", ()), recipe.get("normalize", ()))
        for field in part.fields:
            answer = answers.get(field.name)
            quote = row.get(f"{field.column}_evidence")
            # What the table does not show (another input, a human's value) is not marked either.
            told = answer is not None and quote is not None and answer.evidence is not None
            mark = marks.place(answer, sent) if told and answer is not None else None
            value = row.get(field.column)
            given = "" if answer is None or answer.source is None else answer.source
            model = row.get(f"{part.spec.name}_model")
            by_model = f"model:{model}" if model else ""
            out.append(
                SampleValue(
                    pass_name=part.spec.name,
                    field=field.name,
                    value=cut(_json(value)),
                    null_reason="" if value is not None else row.get(f"{field.column}_null_reason") or "",
                    confidence=row.get(f"{field.column}_confidence"),
                    evidence=None if quote is None else cut(quote),
                    verified=row.get(f"{field.column}_evidence_verified"),
                    source="" if value is None else row.get(f"{field.column}_source") or given or by_model,
                    mark=mark,
                )
            )
    texts, room = [], _OVERALL
    for name, text in shown.items():
        pieces = excerpt(text, marks.spans[name], min(WHOLE, max(_LEAST, room)))
        room -= sum(len(piece.text) for piece in pieces)
        texts.append(SampleText(name, pieces, len(text)))
    seen = {number for text in texts for piece in text.pieces for number in piece.begins}
    errors = orjson.loads(row.get(ERRORS) or "[]")
    return Sample(
        key=cut(shown_key(chosen.key, key_columns), 200),
        why=chosen.why,
        texts=tuple(texts),
        values=tuple(value if value.mark in seen else replace(value, mark=None) for value in out),
        errors=tuple(
            (error["pass"], error["kind"] or error["state"], cut(error["message"], _MESSAGE)) for error in errors
        ),
    )


def _texts(values: Mapping[str, Any], inputs: Sequence[str], steps: Sequence[str]) -> dict[str, str]:
    """Column to the text that a pass sent, as `CompiledPass.texts` makes it; nulls are left out."""
    out: dict[str, str] = {}
    for name in inputs:
        value = values.get(name)
        text = normalize_text(value, steps) if isinstance(value, str) else plain(value)
        if text is not None:
            out[name] = text
    return out


def _json(value: Any) -> Any:
    """A value of the table as JSON has it: days and moments as ISO 8601 text."""
    if isinstance(value, list):
        return [_json(part) for part in value]
    if isinstance(value, dict):
        return {name: _json(part) for name, part in value.items()}
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
