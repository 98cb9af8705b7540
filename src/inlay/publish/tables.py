"""From the store to a table of a database: one row a key, upserted by what it holds.

    cells of the store ──► rows of the source with their answers ──► hash of each row ──► what differs is written

What stays true: a row whose content is what the table holds is not written, so `created_at` and `updated_at` stay
true and an unchanged night changes nothing; rows are written in transactions that are safe to do again; rows that the
source has lost stay as they were; two publishers at once end in the same table; values travel as bound values alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import pyarrow as pa

from inlay.databases.connection import Connection
from inlay.databases.dialect import Dialect
from inlay.faultpoints import reach
from inlay.publish import shape
from inlay.publish.collecting import rare_collections
from inlay.publish.shape import CONTENT_HASH, CREATED, UPDATED, Shape, TargetColumn
from inlay.publish.target import Target
from inlay.publish.wide import CHANGED, NOT_SELECTED, PENDING, Block, WideTable
from inlay.publish.write import values_of
from inlay.spec.columns import input_column
from inlay.spec.model import Enrichment, PassSpec
from inlay.types import CellState, StoredCell

# Keys looked up by one statement. Few sizes, so that statements are prepared once.
_LOOKUPS = (2_000, 500, 100, 20, 1)
# Of the passes of a row the worst counts for the row.
_WORST = (
    CellState.FAILED, CellState.PARTIAL, CellState.IN_FLIGHT, PENDING, CellState.SKIPPED, CellState.DONE, NOT_SELECTED,
)  # fmt: skip


@dataclass(slots=True)
class Counts:
    """What became of the rows of a table. `below` are answers that are not accepted; `history` lines were added."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    below: int = 0
    history: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.new + self.changed + self.unchanged

    def add(self, other: Counts) -> None:
        """Count another part."""
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.below += other.below
        self.history += other.history


@dataclass(frozen=True, slots=True)
class Told:
    """What a table says of a batch beside the fields: by pass, then by row. `times` only where there are several."""

    hashes: list[list[str | None]]
    models: list[list[str | None]]
    times: list[list[float | None]]
    states: list[list[str]]
    row_hashes: list[str | None]
    enriched: list[dt.datetime | None]
    row_models: list[str | None]
    row_states: list[str]


class Rows:
    """Makes the rows of a table of its own from the blocks of the wide table."""

    def __init__(self, enrichment: Enrichment, passes: Sequence[PassSpec], wide: WideTable) -> None:
        """`passes` in topological order, as `wide` has them."""
        self.enrichment = enrichment
        self.passes = list(passes)
        self.wide = wide
        self._several = len(self.passes) > 1
        names = [spec.name for spec in self.passes]
        self.order = [names.index(spec.name) for spec in enrichment.passes]  # published as they are declared
        self._inputs = shape.read_inputs(enrichment) if enrichment.output.inputs else []
        self._readers = {
            name: [index for index, spec in enumerate(self.passes) if name in spec.inputs] for name in self._inputs
        }

    def keys(self) -> list[TargetColumn]:
        """The columns of the source's key."""
        return shape.key_columns([self.wide.schema.field(at) for at in range(len(self.enrichment.source.key))])

    def shape(self, table: tuple[str, ...], shown: str) -> Shape:
        """The table as it is to be."""
        keys = self.keys()
        columns = [*keys, *(TargetColumn(input_column(name), shape.TEXT) for name in self._inputs)]
        for index in self.order:
            columns += shape.field_columns(self.wide, index, self.passes[index])
        if self._several:
            for index in self.order:
                columns += shape.pass_columns(self.passes[index])
        columns += shape.row_columns()
        columns += [
            TargetColumn(CONTENT_HASH, shape.TEXT, exact=shape.HASH),
            TargetColumn(CREATED, shape.MOMENT),
            TargetColumn(UPDATED, shape.MOMENT),
        ]
        key = tuple(column.name for column in keys)
        return Shape(table, tuple(columns), key, "enriched_at", shown=shown)

    def rows(self, block: Block) -> list[tuple[Any, ...]]:
        """The rows of a block, but for content_hash and the two stamps."""
        size = len(block.keys)
        columns: list[Sequence[Any]] = [*self.key_values(block), *self._input_values(block)]
        for index in self.order:
            columns += self.fields(block, index)
        told = self.told(block)
        if self._several:
            for index in self.order:
                columns += [told.hashes[index], told.models[index], _moments(told.times[index]), told.states[index]]
        columns += [
            told.row_hashes,
            told.enriched,
            told.row_models,
            [self.enrichment.version] * size,
            told.row_states,
            [orjson.dumps(note.errors).decode() if note.errors else None for note in block.notes],
            [note.cost_nusd / 1e9 for note in block.notes],
        ]
        return list(zip(*columns, strict=True))

    def key_values(self, block: Block) -> list[Sequence[Any]]:
        """The values of the key's columns."""
        return [_keys(block.batch.column(place)) for place in range(len(self.enrichment.source.key))]

    def _input_values(self, block: Block) -> Iterator[list[str | None]]:
        """What the answers were given for, as text; of a row that changed since nothing."""
        for name in self._inputs:
            cells = [block.cells[index] for index in self._readers[name]]
            yield [
                text if any(not isinstance(part[row], str) for part in cells) else None
                for row, text in enumerate(block.inputs[name])
            ]

    def fields(self, block: Block, index: int) -> Iterator[list[Any]]:
        """The columns of a pass's fields: confidences to four digits, lists and objects as JSON."""
        own = {self.passes[index].column(name): part for name, part in self.passes[index].fields.items()}
        for values, column in zip(block.filled[index].fields, self.wide.field_schema(index), strict=True):
            spec = own.get(column.name)
            if spec is not None and spec.type in ("list", "object"):
                yield [None if value is None else _json(value) for value in values]
            elif spec is None and pa.types.is_floating(column.type):
                yield [None if value is None else round(value, 4) for value in values]
            else:
                yield values

    def told(self, block: Block) -> Told:
        """What is to be said of each pass and of the rows."""
        size = len(block.keys)
        hashes = [self.wide.input_hashes(block, index) for index in range(len(self.passes))]
        models = [part.models for part in block.filled]
        states = [[PENDING if word == CHANGED else word for word in part.states] for part in block.filled]
        enriched = _moments([note.enriched_at for note in block.notes])
        if not self._several:
            return Told(hashes, models, [], states, hashes[0], enriched, models[0], states[0])
        times = [[_answered_at(cell) for cell in cells] for cells in block.cells]
        newest = [_newest([part[row] for part in times]) for row in range(size)]
        return Told(
            hashes,
            models,
            times,
            states,
            [_joined([hashes[index][row] for index in self.order]) for row in range(size)],
            enriched,
            [None if index is None else models[index][row] for row, index in enumerate(newest)],
            [min((part[row] for part in states), key=_WORST.index) for row in range(size)],
        )


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def _keys(column: pa.Array) -> list[Any]:
    """Values of a key; as text where no database has their type."""
    values = values_of(column)
    return [str(value) for value in values] if shape.is_text(column.type) else values


def _answered_at(cell: StoredCell | str) -> float | None:
    return None if isinstance(cell, str) or cell.answer is None or not cell.answer.payload else cell.answer.created_at


def _moments(times: Sequence[float | None]) -> list[dt.datetime | None]:
    """Seconds as moments of UTC, to the millisecond. Answers that were written together share theirs."""
    known = {at: None if at is None else dt.datetime.fromtimestamp(round(at, 3), dt.UTC) for at in set(times)}
    return [known[at] for at in times]


def _newest(times: Sequence[float | None]) -> int | None:
    known = [(at, index) for index, at in enumerate(times) if at is not None]
    return max(known)[1] if known else None


def _joined(hashes: Sequence[str | None]) -> str | None:
    """SHA-256 over the hashes of the passes' inputs, in the order of the declaration; None where there is none."""
    if not any(hashes):
        return None
    return hashlib.sha256("|".join(text or "" for text in hashes).encode()).hexdigest()


# --- writing


def hashed(rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> list[str]:
    """SHA-256 of each row's content, its key and the names of its columns among it, as 64 hex digits."""
    begun = hashlib.sha256(orjson.dumps(list(names)))
    out = []
    for row in rows:
        made = begun.copy()
        made.update(orjson.dumps(row, default=_plain, option=orjson.OPT_UTC_Z))
        out.append(made.hexdigest())
    return out


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


class Sent:
    """Rows as a driver takes them: only what needs it is changed."""

    def __init__(self, dialect: Dialect, columns: Sequence[TargetColumn]) -> None:
        found = (dialect.sender(shape.TEXT if shape.is_text(column.kind) else column.kind) for column in columns)
        self._senders = {place: sender for place, sender in enumerate(found) if sender is not None}

    def __call__(self, rows: Sequence[Sequence[Any]], first: int = 0) -> list[tuple[Any, ...]]:
        """Rows of consecutive columns, from the place `first` on. Made by column, which takes a third of the time."""
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for place, sender in self._senders.items():
            at = place - first
            if 0 <= at < len(columns):
                columns[at] = [None if value is None else sender(value) for value in columns[at]]
        return list(zip(*columns, strict=True))


class Writer(Protocol):
    """Brings rows to a table: first what differs is found, then that is sent, perhaps from another thread."""

    def compare(self, rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], Counts]:
        """The rows to send, ready, and what becomes of all. Writes nothing. Raises TargetError."""
        ...

    def send(self, rows: list[tuple[Any, ...]]) -> None:
        """Write them in one transaction. Safe to do again. Raises TargetError."""
        ...


class Upserter:
    """Writes rows that differ from what the table holds. `target` looks up and `sender` writes: two connections, so
    that two threads may."""

    def __init__(
        self, target: Target, sender: Target, shape: Shape, *, fresh: bool, clock: Callable[[], dt.datetime]
    ) -> None:
        """`fresh`: the table has no row yet, so nothing needs to be looked up."""
        self._target = target
        self._sender = sender
        self._shape = shape
        self._fresh = fresh
        self._clock = clock
        self._content = shape.names[:-3]
        self._limits = target.do(shape.limits)
        self._sent = Sent(target.database.dialect, shape.columns)

    def compare(self, rows: list[tuple[Any, ...]]) -> tuple[list[tuple[Any, ...]], Counts]:
        """See `Writer.compare`."""
        hashes = hashed(rows, self._content)
        found: list[str | None] = []
        if not self._fresh:
            keys = self._sent([row[: len(self._shape.key)] for row in rows])
            found = self._target.do(lambda con: known_hashes(con, self._shape, keys, CONTENT_HASH), alone=False)
        there = set(found)
        [(now,)] = self._sent([(self._clock(),)], first=len(self._shape.columns) - 1)
        new = [place for place, digest in enumerate(hashes) if digest not in there]
        sent = self._sent([rows[place] for place in new])
        wanted = [(*row, hashes[place], now, now) for row, place in zip(sent, new, strict=True)]
        unchanged = len(rows) - len(wanted)
        changed = max(0, len(found) - unchanged)
        return wanted, Counts(max(0, len(wanted) - changed), changed, unchanged)

    def send(self, rows: list[tuple[Any, ...]]) -> None:
        """See `Writer.send`."""
        self._sender.make_room(self._shape, self._limits, rows)
        self._sender.do(lambda con: self._upsert(con, rows))

    def _upsert(self, con: Connection, rows: list[tuple[Any, ...]]) -> None:
        reach("publish.within_upsert")
        quote, names = con.dialect.quote, self._shape.names
        update = [quote(name) for name in names if name not in self._shape.key and name != CREATED]
        columns, key = [quote(name) for name in names], [quote(name) for name in self._shape.key]
        con.dialect.upsert_rows(con, self._shape.sql(con), columns, key, update, rows, self._shape.schema)


def known_hashes(con: Connection, shape: Shape, keys: Sequence[tuple[Any, ...]], column: str) -> list[str | None]:
    """The content hashes of those of these rows that the table has, in no order."""
    out: list[str | None] = []
    head = f"SELECT {con.dialect.quote(column)} FROM {shape.sql(con)} WHERE "
    at = 0
    for size in _LOOKUPS:
        while len(keys) - at >= size:
            part = keys[at : at + size]
            cursor = con.execute(head + in_keys(con, shape.key, size), [value for key in part for value in key])
            out += [row[0] for row in cursor.fetchall()]
            at += size
    return out


def in_keys(con: Connection, key: Sequence[str], size: int) -> str:
    """The condition that a row has one of `size` keys (`?` for values)."""
    names = [con.dialect.quote(name) for name in key]
    if len(names) == 1:
        return f"{names[0]} IN ({', '.join('?' * size)})"
    places = ", ".join([f"({', '.join('?' * len(names))})"] * size)
    listed = f"VALUES {places}" if con.dialect.name == "sqlite" else places
    return f"({', '.join(names)}) IN ({listed})"


def publish_rows(blocks: Iterable[Block], rows: Rows, writer: Writer, *, apart: bool) -> Counts:
    """Bring all blocks to their table. Raises TargetError.

    With `apart` a server takes the rows of one block from a thread of its own while the next block is made. They go in
    few large statements, since each wait for an answer gives up the interpreter and has to win it back.
    """
    total = Counts()
    with rare_collections(), ThreadPoolExecutor(1, thread_name_prefix="inlay-publish") as sender:
        sending: Future[None] | None = None
        for block in blocks:
            wanted, counts = writer.compare(rows.rows(block))
            total.add(counts)
            total.below += sum(part.below for part in block.filled)
            if sending is not None:
                sending.result()
                sending = None
            if wanted and apart:
                sending = sender.submit(writer.send, wanted)
            elif wanted:
                writer.send(wanted)
            reach("publish.within_write")
        if sending is not None:
            sending.result()
    return total
