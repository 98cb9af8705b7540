"""What people say in place of the model, in an SQL store: one row a correction, appended and never changed.

What stays true: of several for one field of one row the last one counts, whatever their clocks say; a row that is
served was checked against its own checksum; a damaged one is never passed over in silence, since an older value
would be served in its place. The functions that write work inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from inlay.errors import StoreDamaged
from inlay.stores.accounts import correction_kept, correction_place
from inlay.stores.attempts import take_numbers
from inlay.stores.rows import UNLIKE, lenient, line_sum, rows_in, write_rows
from inlay.types import Correction, NullReason

if TYPE_CHECKING:
    import sqlite3

SCHEMA = 2  # the migration that brought the table; a store that cannot be migrated has no corrections

COLUMNS = "correction_id, enrichment, pass_name, key, field, value, null_reason, note, author, withdrawn, at, check_sum"
_INSERT = f"INSERT INTO corrections ({COLUMNS}) VALUES ({', '.join('?' * 12)})"
_SELECT = f"SELECT {COLUMNS} FROM corrections WHERE enrichment = ?"
# What each batch of rows asks first: one look into the index.
EXISTS = "SELECT 1 FROM corrections WHERE enrichment = ? LIMIT 1"
OF_KEYS = _SELECT + " AND key IN (%s)"


def write_corrections(con: sqlite3.Connection, enrichment: str, corrections: Sequence[Correction], now_ms: int) -> None:
    """See `contracts.Store.correct`. A damaged row of a field that is corrected anew goes: nothing else mends it."""
    given = [correction_kept(correction, now_ms) for correction in corrections]
    if not given:
        return
    places = {correction_place(correction) for correction in given}
    with lenient(con):
        spoilt = [
            (row[0],)
            for row in rows_in(con, OF_KEYS, [correction.key for correction in given], enrichment)
            if row[2:5] in places and not _sound(row)
        ]
    con.executemany("DELETE FROM corrections WHERE correction_id = ?", spoilt)
    first = take_numbers(con, "correction", len(given))
    write_rows(con, _INSERT, [_row(first + n, enrichment, one, now_ms) for n, one in enumerate(given)])


def _row(number: int, enrichment: str, correction: Correction, at_ms: int) -> tuple[Any, ...]:
    reason = correction.null_reason
    row = (
        number,
        enrichment,
        *correction_place(correction),
        orjson.dumps(correction.value).decode(),
        None if reason is None else reason.value,
        correction.note,
        correction.author,
        int(correction.withdrawn),
        at_ms,
    )
    return (*row, line_sum(row))


# --- reading -------------------------------------------------------------------------------------------------------


def read_corrections(
    con: sqlite3.Connection, enrichment: str, keys: Sequence[str] | None, history: bool
) -> list[Correction]:
    """See `contracts.Store.corrections`. Without any, one look into an index; with some, the index of row keys."""
    if con.execute(EXISTS, (enrichment,)).fetchone() is None:
        return []
    with lenient(con):
        if keys is None:
            rows = con.execute(_SELECT + " ORDER BY correction_id", (enrichment,)).fetchall()
        else:
            rows = sorted(rows_in(con, OF_KEYS, keys, enrichment), key=lambda row: row[0])
    found = {row[0]: correction_of(row) for row in rows}
    if history:
        return list(found.values())
    last = {correction_place(correction): number for number, correction in found.items()}
    return [found[number] for number in sorted(last.values()) if not found[number].withdrawn]


def correction_of(row: Sequence[Any]) -> Correction:
    """COLUMNS as a value, checked."""
    if _sound(row):
        try:
            return Correction(
                row[2],
                row[3],
                row[4],
                orjson.loads(row[5]),
                None if row[6] is None else NullReason(row[6]),
                row[7],
                row[8],
                bool(row[9]),
                row[10] / 1000,
            )
        except UNLIKE:
            pass
    raise StoreDamaged(
        f"the correction of {row[4]!r} in pass {row[2]!r} for row {row[3]!r} does not match its checksum; "
        "it is not served",
        remedy="correct that field of that row again, or restore the store from a backup; `inlay store verify` lists "
        "all damage",
    )


def _sound(row: Sequence[Any]) -> bool:
    try:
        return line_sum(row[:11]) == row[11]
    except UNLIKE:
        return False


def problems(con: sqlite3.Connection) -> Iterator[str]:
    """One sentence for each row that is wrong."""
    for row in con.execute(f"SELECT {COLUMNS} FROM corrections"):
        try:
            correction_of(row)
        except StoreDamaged as error:
            yield error.message
