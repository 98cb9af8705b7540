"""What people say in place of the model, in an SQL store: one row a correction.

What stays true: nothing but `next_id` of a row ever changes. It names the correction that took this one's place, so
that an older value is refused, and never served, where a later one is damaged or gone; of several for one field of
one row the last one counts, whatever their clocks say. A row that is served was checked against its own checksum.
Writing happens inside the caller's transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import orjson

from inlay.errors import StoreDamaged
from inlay.stores.accounts import correction_kept, correction_place
from inlay.stores.attempts import take_numbers
from inlay.stores.rows import UNLIKE, lenient, line_sum, rows_in, write_rows
from inlay.stores.transactions import Con, is_file
from inlay.types import Correction, NullReason

_NAMES = (
    "correction_id, enrichment, pass_name, key, field, value, null_reason, note, author, withdrawn, at, next_id, "
    "check_sum"
)
_INSERT = f"INSERT INTO corrections ({_NAMES}) VALUES ({', '.join('?' * 13)})"
_UPDATE = "UPDATE corrections SET next_id = ?, check_sum = ? WHERE correction_id = ?"
_SELECT = f"SELECT {_NAMES} FROM corrections WHERE enrichment = ?"

_Row = tuple[Any, ...]  # _NAMES
_Place = tuple[str, str, str]  # pass, row key, field


def write_corrections(con: Con, enrichment: str, corrections: Sequence[Correction], now_ms: int) -> None:
    """See `contracts.Store.correct`. A damaged row of a field that is corrected anew goes: nothing else mends it."""
    given = [correction_kept(correction, now_ms) for correction in corrections]
    if not given:
        return
    number = take_numbers(con, "correction", len(given))  # ahead of all, so that a store that is read-only says so
    present = _present(con, enrichment, given)
    last: dict[_Place, int] = {}
    new: list[list[Any]] = []
    for correction in given:
        place = correction_place(correction)
        if place in last:
            new[last[place]][11] = number + len(new)
        last[place] = len(new)
        new.append(_row(number + len(new), enrichment, correction, now_ms))
    following = {place: number + first for place, first in _first(given).items()}
    for place, rows in present.items():
        _link(con, [row for row in rows if _sound(row)], following[place])
        con.executemany(
            "DELETE FROM corrections WHERE correction_id = ?", [(row[0],) for row in rows if not _sound(row)]
        )
    write_rows(con, _INSERT, [(*row, line_sum(row)) for row in new])


def _first(given: Sequence[Correction]) -> dict[_Place, int]:
    """Where the first correction of each place stands among these."""
    return {correction_place(given[at]): at for at in reversed(range(len(given)))}


def _present(con: Con, enrichment: str, given: Iterable[Correction]) -> dict[_Place, list[_Row]]:
    """What is there of these places already, oldest first, damaged or not."""
    found: dict[_Place, list[_Row]] = {correction_place(correction): [] for correction in given}
    with lenient(con):
        for row in _rows(con, enrichment, [key for _, key, _ in found]):
            if row[2:5] in found and row[1] == enrichment:
                found[row[2:5]].append(row)
    return {place: rows for place, rows in found.items() if rows}


def _link(con: Con, rows: Sequence[_Row], following: int) -> None:
    """Let each of these rows of one place name the next one, and the last one `following`."""
    numbers = [*(row[0] for row in rows[1:]), following]
    changed = [(*row[:11], number) for row, number in zip(rows, numbers, strict=False) if row[11] != number]
    con.executemany(_UPDATE, [(row[11], line_sum(row), row[0]) for row in changed])


def _row(number: int, enrichment: str, correction: Correction, at_ms: int) -> list[Any]:
    reason = correction.null_reason
    return [
        number,
        enrichment,
        *correction_place(correction),
        orjson.dumps(correction.value).decode(),
        None if reason is None else reason.value,
        correction.note,
        correction.author,
        int(correction.withdrawn),
        at_ms,
        None,
    ]


# --- reading -------------------------------------------------------------------------------------------------------


def there(con: Con) -> bool:
    """Whether this store can hold corrections: an older file that may only be read was never migrated."""
    return not is_file(con) or con.execute("SELECT 1 FROM schema_version WHERE version = 2").fetchone() is not None


def read_corrections(con: Con, enrichment: str, keys: Sequence[str] | None, history: bool) -> list[Correction]:
    """See `contracts.Store.corrections`. Without any, one look into an index; with some, the index of row keys."""
    some = "SELECT 1 FROM corrections WHERE enrichment = ? LIMIT 1"
    if not there(con) or con.execute(some, (enrichment,)).fetchone() is None:
        return []
    try:
        rows = _rows(con, enrichment, keys)
    except sqlite3.OperationalError:  # text that is not UTF-8, most likely: its row shall be named
        with lenient(con):
            rows = _rows(con, enrichment, keys)
    found = {row[0]: _correction(row) for row in rows}
    wanted = None if keys is None else set(keys)
    for row in rows:
        if row[1] != enrichment or (wanted is not None and row[3] not in wanted):
            raise _damaged(row, "was found where another one belongs")
        if row[11] is not None and (row[11] not in found or _place(row) != correction_place(found[row[11]])):
            raise _damaged(row, "has a later one, which is not there")
    return [found[row[0]] for row in rows if history or (row[11] is None and not row[9])]


def _rows(con: Con, enrichment: str, keys: Iterable[str] | None) -> list[_Row]:
    """Rows as they stand, oldest first."""
    if keys is None:
        return con.execute(_SELECT + " ORDER BY correction_id", (enrichment,)).fetchall()
    return sorted(rows_in(con, _SELECT + " AND key IN (%s)", keys, enrichment), key=itemgetter(0))


def _place(row: _Row) -> _Place:
    return row[2], row[3], row[4]


def _correction(row: _Row) -> Correction:
    """A row as a value, checked."""
    if _sound(row):
        try:
            return Correction(
                *_place(row),
                orjson.loads(row[5]),
                None if row[6] is None else NullReason(row[6]),
                row[7],
                row[8],
                bool(row[9]),
                row[10] / 1000,
            )
        except UNLIKE:
            pass
    raise _damaged(row, "does not match its checksum")


def _sound(row: _Row) -> bool:
    try:
        return line_sum(row[:12]) == row[12]
    except UNLIKE:
        return False


def _damaged(row: _Row, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"the correction of {row[4]!r} in pass {row[2]!r} for row {row[3]!r} {what}; it is not served",
        remedy="correct that field of that row again, or restore the store from a backup; `inlay store verify` lists "
        "all damage",
    )


def problems(con: Con) -> Iterator[str]:
    """One sentence for each row that is wrong."""
    if not there(con):
        return
    query = (
        f"SELECT {', '.join('c.' + name for name in _NAMES.split(', '))}, n.enrichment, n.pass_name, n.key, n.field "
        "FROM corrections c LEFT JOIN corrections n ON n.correction_id = c.next_id"
    )
    for row in con.execute(query):
        try:
            _correction(row)
        except StoreDamaged as error:
            yield error.message
            continue
        if row[11] is not None and row[13:] != row[1:5]:
            yield _damaged(row, "has a later one, which is not there").message
