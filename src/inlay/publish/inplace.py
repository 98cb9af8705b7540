"""Answers as columns of the source's own table: added where they are missing, and updated by the row's key.

What stays true: no row is ever inserted or deleted, and no column but those of the declaration is written; a row whose
answers are there already is left alone; a table that was loaded anew gets its columns and answers again, for free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from inlay.databases.connection import Connection
from inlay.faultpoints import reach
from inlay.publish import shape
from inlay.publish.shape import Shape, TargetColumn
from inlay.publish.tables import Counts, Rows, Sent, hashed, known_hashes
from inlay.publish.target import Target
from inlay.publish.wide import Block


class ColumnRows(Rows):
    """Makes what is set in the rows of the source's own table."""

    def shape(self, table: tuple[str, ...], shown: str) -> Shape:
        """The columns to be: the key's, which are there, the fields', and four that tell whence they are."""
        lead = self.enrichment.output.prefix
        keys = self.keys()
        columns = list(keys)
        for index in self.order:
            columns += shape.field_columns(self.wide, index, self.passes[index])
        columns += [
            TargetColumn(f"{lead}enriched_at", shape.MOMENT),
            TargetColumn(f"{lead}model_version", shape.TEXT, longest=shape.SHORT),
            TargetColumn(f"{lead}input_hash", shape.TEXT, exact=shape.HASH),
            TargetColumn(f"{lead}content_hash", shape.TEXT, exact=shape.HASH),
        ]
        key = tuple(column.name for column in keys)
        return Shape(table, tuple(columns), key, None, (f"{lead}content_hash",), shown, inside=True)

    def rows(self, block: Block) -> list[tuple[Any, ...]]:
        """Key and values of the rows of a block, but for the content hash."""
        columns: list[Sequence[Any]] = self.key_values(block)
        for index in self.order:
            columns += self.fields(block, index)
        told = self.told(block)
        return list(zip(*columns, told.enriched, told.row_models, told.row_hashes, strict=True))


class Updater:
    """Sets the columns of rows whose content differs; see `tables.Writer`."""

    def __init__(self, target: Target, sender: Target, shape: Shape) -> None:
        """`target` looks up and `sender` writes: two connections."""
        self._target = target
        self._sender = sender
        self._shape = shape
        self._content = shape.names[:-1]
        # Of a row to be sent, whose key comes last.
        limits = target.do(shape.limits).items()
        self._limits = {place - len(shape.key): longest for place, longest in limits if place >= len(shape.key)}
        self._sent = Sent(target.database.dialect, shape.columns)

    def compare(self, rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], Counts]:
        """See `Writer.compare`. A row that the table has lost since is counted nowhere."""
        width = len(self._shape.key)
        hashes = hashed(rows, self._content)
        sent = self._sent(rows)
        keys = [row[:width] for row in sent]
        mark = self._shape.names[-1]
        found = self._target.do(lambda con: known_hashes(con, self._shape, keys, mark), alone=False)
        there = set(found)
        wanted = [
            (*row[width:], digest, *row[:width])
            for row, digest in zip(sent, hashes, strict=True)
            if digest not in there
        ]
        unchanged = len(rows) - len(wanted)
        changed = max(0, sum(digest is not None for digest in found) - unchanged)
        return wanted, Counts(max(0, len(found) - unchanged - changed), changed, unchanged)

    def send(self, rows: list[tuple[Any, ...]]) -> None:
        """See `Writer.send`."""
        self._sender.make_room(self._shape, self._limits, rows, first=len(self._shape.key))
        self._sender.do(lambda con: self._update(con, rows))

    def _update(self, con: Connection, rows: list[tuple[Any, ...]]) -> None:
        reach("publish.within_upsert")
        quote, width = con.dialect.quote, len(self._shape.key)
        fields = [*self._shape.schema]
        schema = pa.schema([*fields[width:], *fields[:width]])
        names = [quote(name) for name in schema.names]
        split = len(names) - width
        con.dialect.update_rows(con, self._shape.sql(con), names[:split], names[split:], rows, schema)
