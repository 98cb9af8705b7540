"""The history table: every answer there ever was, a line a field, appended as the store tells it.

    Store.events (key, line) ──► its answer, field by field ──► enrichment, seq, field, value …

What stays true: lines are only ever added, each under the store's own number (`seq`), so that writing them again
changes nothing and a table that was dropped is filled again; how far it is, is read from the table itself.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from inlay.contracts import Store
from inlay.databases.connection import Connection
from inlay.fingerprint import key_parts
from inlay.payload import decode_fields
from inlay.publish.shape import Shape, TargetColumn, history_columns, key_reader
from inlay.publish.tables import Sent
from inlay.publish.target import Target
from inlay.types import CellEvent, StoredAnswer

LINES = 2_000  # of the store, in one transaction
KEY = ("enrichment", "seq", "field")
# The line of an event without an answer of its own.
NO_FIELD = ""


class History:
    """The history table of one enrichment; several may share one table."""

    def __init__(self, enrichment: str, table: tuple[str, ...], shown: str, key: Sequence[TargetColumn]) -> None:
        """`key` are the columns of the source's key in the published table."""
        self._enrichment = enrichment
        self._read = [key_reader(column.kind) for column in key]
        texts = [TargetColumn(column.name, column.kind, column.longest, column.exact) for column in key]
        marks = ("pass", "answered_at", "value")
        self.shape = Shape(table, tuple(history_columns(texts)), KEY, None, marks, shown)

    def write(self, target: Target, store: Store, passes: Mapping[str, int]) -> int:
        """Append what the table lacks, for passes by name and number; how many lines. Raises TargetError."""
        limits = target.do(self.shape.limits)
        total = 0
        for name, pass_id in passes.items():
            after = target.do(lambda con, name=name: self._last(con, name))
            models: dict[int, str] = {}
            while events := store.events(pass_id, after=after, limit=LINES):
                rows = list(self._rows(store, name, events, models))
                target.make_room(self.shape, limits, rows)
                target.do(lambda con, rows=rows: self._append(con, rows))
                total += len(rows)
                after = events[-1][1].seq
        return total

    def _last(self, con: Connection, name: str) -> int:
        quote = con.dialect.quote
        found = con.execute(
            f"SELECT max({quote('seq')}) FROM {self.shape.sql(con)} "
            f"WHERE {quote('enrichment')} = ? AND {quote('pass')} = ?",
            (self._enrichment, name),
        ).fetchone()
        return int(found[0] or 0)

    def _append(self, con: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Add lines; those that are there already stay as they are."""
        quote = con.dialect.quote
        sent = Sent(con.dialect, self.shape.columns)
        columns, key = [quote(name) for name in self.shape.names], [quote(name) for name in self.shape.key]
        con.dialect.upsert_rows(con, self.shape.sql(con), columns, key, (), sent(rows), self.shape.schema)

    def _rows(
        self, store: Store, name: str, events: Sequence[tuple[str, CellEvent]], models: dict[int, str]
    ) -> Iterator[tuple[Any, ...]]:
        answers = store.answers(sorted({line.answer_id for _, line in events if line.answer_id is not None}))
        for key, line in events:
            answer = None if line.answer_id is None else answers.get(line.answer_id)
            yield from self._lines(store, name, key, line, answer, models)

    def _parts(self, key: str) -> tuple[Any, ...]:
        """A key's columns; nulls where it is of a time when the declaration's key had other ones."""
        try:
            texts = key_parts(key, len(self._read))
            return tuple(read(text) for read, text in zip(self._read, texts, strict=True))
        except (ValueError, ArithmeticError):
            return (None,) * len(self._read)

    def _lines(
        self,
        store: Store,
        name: str,
        key: str,
        line: CellEvent,
        answer: StoredAnswer | None,
        models: dict[int, str],
    ) -> Iterator[tuple[Any, ...]]:
        """A line for each field of the answer, or one that tells what happened without an answer."""
        parts = self._parts(key)
        at = dt.datetime.fromtimestamp(round(line.at, 3), dt.UTC)
        event = (at, line.state.value, line.reason or None)
        fields = decode_fields(answer.payload) if answer is not None else {}
        if answer is None or not fields:
            yield (*parts, self._enrichment, name, NO_FIELD, line.seq, *event, *(None,) * 6, line.run_id)
            return
        if answer.recipe_id not in models:
            models[answer.recipe_id] = orjson.loads(store.recipe(answer.recipe_id))["model"]
        model = models[answer.recipe_id]
        digest = hashlib.sha256(store.answer_input(answer.answer_id)).hexdigest()
        for field, found in fields.items():
            yield (
                *parts,
                self._enrichment,
                name,
                field,
                line.seq,
                *event,
                None if found.value is None else orjson.dumps(found.value).decode(),
                None if found.confidence is None else round(found.confidence, 4),
                None if found.null_reason is None else found.null_reason.value,
                found.source or f"model:{model}",
                model,
                digest,
                line.run_id,
            )
