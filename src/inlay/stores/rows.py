"""How answers, cells and history lines stand in rows, and the checksums that guard them.

What stays true: a row that is served was checked against its own checksum on the way (StoreDamaged otherwise), the
checksum covers every column that carries content, its number included, and a long input is checked apart so that
reading an answer does not read the input along with it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from inlay.errors import StoreDamaged, StoreError
from inlay.stores.transactions import Con, is_file, on_server
from inlay.types import CellEvent, CellState, CellWrite, NewAnswer, StoredAnswer, StoredCell, Usage

CHUNK = 500  # values in one IN list
_PLAIN, _ZLIB = b"\x00", b"\x01"
# Below, packing costs 12 microseconds and a fight for the interpreter lock for each answer, to save some 100 bytes.
_COMPRESS_ABOVE = 1024

_SIX, _EIGHT = (struct.Struct(f"<{count}q").pack for count in (6, 8))

STATE_TEXT = {state: state.value for state in CellState}
_STATE = {state.value: state for state in CellState}

ANSWER_COLUMNS = (
    "answer_id, fingerprint, recipe_id, state, payload, values_hash, error_kind, error_message, model, cost, run_id, "
    "created_at, check_sum"
)
INSERT_ANSWER = (
    f"INSERT INTO answers ({ANSWER_COLUMNS}, input_tokens, output_tokens, cached_tokens, cache_write_tokens, "
    f"reasoning_tokens, latency_ms, input_sum, input, raw) VALUES ({', '.join('?' * 22)})"
)
SELECT_CONTENT = (
    "SELECT answer_id, input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, latency_ms, "
    "input_sum, input, raw FROM answers"
)
CELL_COLUMNS = (
    "pass_id, key, recipe_id, state, reason, message, tries, answer_id, answered_at, source_hash, input_hash, "
    "upstream_hash, values_hash, updated_at, last_seq, check_sum"
)
CELL_WIDTH = 16
INSERT_CELL = f"INSERT INTO cells ({CELL_COLUMNS}) VALUES ({', '.join('?' * 16)})"
UPSERT_CELL = (
    f"{INSERT_CELL} ON CONFLICT (pass_id, key) DO UPDATE SET recipe_id = excluded.recipe_id, state = excluded.state, "
    "reason = excluded.reason, message = excluded.message, tries = excluded.tries, answer_id = excluded.answer_id, "
    "answered_at = excluded.answered_at, source_hash = excluded.source_hash, input_hash = excluded.input_hash, "
    "upstream_hash = excluded.upstream_hash, values_hash = excluded.values_hash, updated_at = excluded.updated_at, "
    "last_seq = excluded.last_seq, check_sum = excluded.check_sum"
)
HISTORY_COLUMNS = "seq, prev_seq, pass_id, key, at, run_id, state, reason, message, answer_id, check_sum"
INSERT_HISTORY = f"INSERT INTO history ({HISTORY_COLUMNS}) VALUES ({', '.join('?' * 11)})"


def chunks(values: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Placeholders and values for IN lists of at most CHUNK. Padded to few lengths, so that statements are reused."""
    for start in range(0, len(values), CHUNK):
        part = list(values[start : start + CHUNK])
        size = 4
        while size < len(part):
            size *= 2
        size = min(size, CHUNK)
        part += [part[-1]] * (size - len(part))
        yield ",".join("?" * size), part


_TOGETHER = (32, 8, 1)  # rows written by one statement; few sizes, so that statements are reused


def write_rows(con: Con, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run an `INSERT … VALUES (?, …)` for these rows, in their order, several rows a statement.

    Python's sqlite3 gives up the interpreter lock for each statement, and has to win it back from a busy event loop.
    """
    if not is_file(con):
        con.executemany(statement, rows)  # the drivers put them together, or send them in one go
        return
    at = 0
    for size in _TOGETHER:
        while len(rows) - at >= size:
            part = rows[at : at + size]
            con.execute(_together(statement, size), [value for row in part for value in row])
            at += size


@lru_cache(maxsize=64)
def _together(statement: str, size: int) -> str:
    head, mark, rest = statement.partition("VALUES (")
    places, _, tail = rest.partition(")")
    return f"{head}{mark}{places}){f', ({places})' * (size - 1)}{tail}"


def clean(text: str) -> str:
    """Text that can be stored: half a surrogate pair in a provider's message must not cost the answer beside it."""
    if "\0" in text:  # PostgreSQL has no such character
        text = text.replace("\0", "␀")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def pack(data: bytes) -> bytes:
    """Bytes as they are stored, the first byte saying how: as they are, or compressed where that saves room."""
    if len(data) > _COMPRESS_ABOVE:
        small = zlib.compress(data, 1)
        if len(small) < len(data):
            return _ZLIB + small
    return _PLAIN + data


def unpack(stored: bytes) -> bytes:
    """The inverse of `pack`; ValueError where the bytes are not what `pack` wrote."""
    if stored[:1] == _PLAIN:
        return stored[1:]
    if stored[:1] == _ZLIB:
        try:
            return zlib.decompress(memoryview(stored)[1:])
        except zlib.error as error:
            raise ValueError(str(error)) from None
    raise ValueError("unknown first byte")


@contextmanager
def lenient(con: Con) -> Iterator[None]:
    """Text that is not UTF-8 is read all the same in here, so that one bad byte costs one row, whose checksum tells."""
    if not is_file(con):  # a server lets no other text in
        yield
        return
    con.text_factory = lambda data: data.decode("utf-8", "replace")
    try:
        yield
    finally:
        con.text_factory = str


def damaged(what: str) -> StoreDamaged:
    """The error for a row that does not match its checksum."""
    return StoreDamaged(
        f"{what} does not match its checksum; it is not served",
        remedy="run `inlay store verify` to list all damage, then restore the file from a backup or `inlay store "
        "clear` what is damaged",
    )


# --- checksums -----------------------------------------------------------------------------------------------------


def answer_sum(row: Sequence[Any]) -> int:
    """CRC-32 over the ANSWER_COLUMNS but the last."""
    number, address, recipe, state, payload, values, kind, message, model, cost, run, at = row[:12]
    numbers = _SIX(number, recipe, cost, run, at, len(payload))
    return zlib.crc32(numbers + address + values + payload + f"{state}|{kind}|{message}|{model}".encode())


def input_sum(number: int, tokens: Sequence[int], latency_ms: int, stored_input: bytes, raw: bytes | None) -> int:
    """CRC-32 over what stands behind ANSWER_COLUMNS: tokens, latency, input and raw text as they are stored."""
    numbers = _EIGHT(number, *tokens, latency_ms, len(stored_input))
    return zlib.crc32(numbers + stored_input if raw is None else numbers + stored_input + raw)


def cell_sum(row: Sequence[Any]) -> int:
    """CRC-32 over the CELL_COLUMNS but the last."""
    pass_id, key, recipe, state, reason, message, tries, answer, answered = row[:9]
    source, inputs, upstream, values, at, last = row[9:15]
    present = (source is not None) | (inputs is not None) << 1 | (upstream is not None) << 2
    numbers = _EIGHT(pass_id, recipe, tries, -1 if answer is None else answer, answered, at, last, present)
    hashes = numbers + (source or b"") + (inputs or b"") + (upstream or b"") + (values or b"")
    return zlib.crc32(hashes + f"{key}|{state}|{reason}|{message}".encode())


def history_sum(row: Sequence[Any]) -> int:
    """CRC-32 over the HISTORY_COLUMNS but the last."""
    seq, previous, pass_id, key, at, run, state, reason, message, answer = row[:10]
    numbers = _SIX(seq, -1 if previous is None else previous, pass_id, at, run, -1 if answer is None else answer)
    return zlib.crc32(numbers + f"{key}|{state}|{reason}|{message}".encode())


def line_sum(row: Sequence[Any]) -> int:
    """CRC-32 over a row of numbers and texts that is written seldom, such as a run."""
    return zlib.crc32("|".join(map(str, row)).encode())


UNLIKE = (TypeError, ValueError, AttributeError, struct.error)  # a flipped bit gave a column another type


# --- values to rows ------------------------------------------------------------------------------------------------


def answer_row(number: int, answer: NewAnswer, run_id: int, at_ms: int) -> tuple[Any, ...]:
    """An answer as INSERT_ANSWER wants it."""
    tokens = tokens_of(answer.usage)
    message = answer.error_message
    head = (
        number,
        answer.fingerprint,
        answer.recipe_id,
        STATE_TEXT[answer.state],
        answer.payload,
        answer.values_hash,
        answer.error_kind,
        None if message is None else clean(message),
        clean(answer.served_model),
        answer.cost_nusd,
        run_id,
        at_ms,
    )
    stored = pack(answer.input)
    raw = None if answer.raw is None else pack(answer.raw)
    check = input_sum(number, tokens, answer.latency_ms, stored, raw)
    return (*head, answer_sum(head), *tokens, answer.latency_ms, check, stored, raw)


def hash_or_null(value: bytes) -> bytes | None:
    """A cell's hash for its column: 16 bytes, or null where there is none."""
    if len(value) == 16:
        return value
    if not value:
        return None
    raise StoreError(f"a cell's hash has {len(value)} bytes instead of 16", remedy="use inlay.fingerprint.short_hash")


def cell_row(
    write: CellWrite, answer_id: int | None, answered_at: int, values_hash: bytes | None, at_ms: int, seq: int
) -> tuple[Any, ...]:
    """A cell's new state as the CELL_COLUMNS."""
    row = (
        write.pass_id,
        write.key,
        write.recipe_id,
        STATE_TEXT[write.state],
        write.reason,
        clean(write.message),
        write.tries,
        answer_id,
        answered_at,
        hash_or_null(write.source_hash),
        hash_or_null(write.input_hash),
        hash_or_null(write.upstream_hash),
        values_hash,
        at_ms,
        seq,
    )
    return (*row, cell_sum(row))


def kept_row(present: Sequence[Any], write: CellWrite, at_ms: int, seq: int) -> tuple[Any, ...]:
    """A cell that keeps its answer and notes a failed refresh: reason, message, tries and time change alone."""
    row = (*present[:4], write.reason, clean(write.message), write.tries, *present[7:13], at_ms, seq)
    return (*row, cell_sum(row))


# --- rows to values ------------------------------------------------------------------------------------------------


def stored_answer(row: Sequence[Any]) -> StoredAnswer:
    """ANSWER_COLUMNS as a value, checked."""
    number, address, recipe, state, payload, values, kind, message, model, cost, run, at, expected = row
    try:
        matches = answer_sum(row) == expected
    except UNLIKE:
        matches = False
    if not matches:
        raise damaged(f"answer {number}")
    return StoredAnswer(
        number, address, recipe, _STATE[state], payload, values, kind, message, model, cost, run, at / 1000
    )


def stored_cell(row: Sequence[Any], answer: StoredAnswer | None) -> StoredCell:
    """CELL_COLUMNS (further columns are ignored) as a value, checked."""
    pass_id, key, recipe, state, reason, message, tries, _, _, source, inputs, upstream, _, at = row[:14]
    try:
        matches = cell_sum(row) == row[15]
    except UNLIKE:
        matches = False
    if not matches:
        raise damaged(f"the cell of row {key!r} in pass {pass_id}")
    return StoredCell(
        pass_id,
        key,
        recipe,
        source or b"",
        inputs or b"",
        upstream or b"",
        _STATE[state],
        reason,
        message,
        tries,
        at / 1000,
        answer,
    )


def cell_with_answer(row: Sequence[Any]) -> StoredCell:
    """CELL_COLUMNS and then ANSWER_COLUMNS (all null where the cell has no answer) as a value, checked."""
    if row[7] is None:
        return stored_cell(row, None)
    if row[CELL_WIDTH] is None:
        raise StoreDamaged(
            f"answer {row[7]} of row {row[1]!r} in pass {row[0]} is not there",
            remedy="run `inlay store verify` to list all damage",
        )
    return stored_cell(row, stored_answer(row[CELL_WIDTH:]))


def cell_event(row: Sequence[Any]) -> CellEvent:
    """HISTORY_COLUMNS as a value, checked."""
    try:
        matches = history_sum(row) == row[10]
    except UNLIKE:
        matches = False
    if not matches:
        raise damaged(f"line {row[0]} of the history of row {row[3]!r}")
    return CellEvent(row[0], row[4] / 1000, row[5], _STATE[row[6]], row[7], row[8], row[9])


def content_of(row: Sequence[Any]) -> tuple[bytes, bytes | None]:
    """(answer_id, five token counts, latency_ms, input_sum, input, raw) as (input, raw), checked and unpacked."""
    number, latency, check, stored, raw = row[0], row[6], row[7], row[8], row[9]
    try:
        if input_sum(number, row[1:6], latency, stored, raw) == check:
            return unpack(stored), None if raw is None else unpack(raw)
    except UNLIKE:
        pass
    raise damaged(f"the input of answer {number}")


def each(con: Con, query: str) -> Iterable[tuple[Any, ...]]:
    """The rows of a long answer, in bounded memory; nothing else may be asked of this connection meanwhile."""
    return con.execute(query) if is_file(con) else on_server(con).stream(query)


def has_table(con: Con, name: str) -> bool:
    """Whether a store has this table: an older file that may only be read was never migrated."""
    if not is_file(con):
        return True
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return con.execute(query, (name,)).fetchone() is not None


def rows_in(con: Con, query: str, values: Iterable[Any], *before: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a query with `IN (%s)`, asked in chunks; `before` are the parameters ahead of the list."""
    for marks, part in chunks(list(dict.fromkeys(values))):
        yield from con.execute(query % marks, (*before, *part)).fetchall()


def tokens_of(usage: Usage) -> tuple[int, int, int, int, int]:
    """The five token counts in the order of their columns."""
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )
