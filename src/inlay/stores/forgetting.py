"""Erasing what an SQL store knows of some rows, for good: `contracts.Store.forget`.

What stays true: all of it happens in the caller's transaction, and again is the same as once; sums of money stay; an
answer that another row refers to stays with that row. Nothing here needs an index: people are forgotten seldom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from inlay.stores import attempts, corrections, journal
from inlay.stores.care import delete_in
from inlay.stores.rows import rows_in
from inlay.stores.transactions import Con

_NOBODYS = (
    "state <> 'done' AND run_id IN (SELECT run_id FROM runs WHERE enrichment = ?) "
    "AND answer_id NOT IN (SELECT answer_id FROM cells WHERE answer_id IS NOT NULL) "
    "AND answer_id NOT IN (SELECT answer_id FROM history WHERE answer_id IS NOT NULL)"
)


def forget(con: Con, enrichment: str, keys: Sequence[str], now_ms: int) -> dict[str, int]:
    """See `contracts.Store.forget`."""
    keys = list(dict.fromkeys(keys))
    passes = [row[0] for row in con.execute("SELECT pass_id FROM passes WHERE enrichment = ?", (enrichment,))]
    addresses = set(_addresses(con, passes, keys))
    lines, of_lines = _lines(con, passes, set(keys), now_ms)
    counts = {"cells": 0, "history": 0}
    for pass_id in passes:
        for table in counts:
            counts[table] += delete_in(con, f"DELETE FROM {table} WHERE pass_id = ? AND key IN (%s)", keys, pass_id)
    counts["corrections"] = 0
    if corrections.there(con):
        query = "DELETE FROM corrections WHERE enrichment = ? AND key IN (%s)"
        counts["corrections"] = delete_in(con, query, keys, enrichment)
    counts["answers"] = _answers(con, enrichment, addresses)
    counts["batch_lines"] = lines
    counts["attempts"] = _attempts(con, addresses | of_lines)
    return counts


def _addresses(con: Con, passes: Iterable[int], keys: Sequence[str]) -> Iterable[bytes]:
    """The addresses of every answer that these rows ever had, earlier names included."""
    numbers: set[int] = set()
    for pass_id in passes:
        for table in ("cells", "history"):
            query = f"SELECT answer_id FROM {table} WHERE answer_id IS NOT NULL AND pass_id = ? AND key IN (%s)"
            numbers.update(row[0] for row in rows_in(con, query, keys, pass_id))
    for row in rows_in(con, "SELECT fingerprint FROM answers WHERE answer_id IN (%s)", numbers):
        yield row[0]


def _answers(con: Con, enrichment: str, addresses: Iterable[bytes]) -> int:
    """Delete the answers at these addresses that no cell refers to, and failed ones that are nobody's any more.

    A refresh that failed leaves an answer that neither a cell nor a line names: whose it is cannot be told, and it is
    of no use to anybody.
    """
    query = "SELECT answer_id, fingerprint FROM answers WHERE substr(fingerprint, 1, 8) IN (%s)"
    wanted = set(addresses)
    doomed = {row[0] for row in rows_in(con, query, [each[:8] for each in wanted]) if row[1] in wanted}
    doomed -= {row[0] for row in rows_in(con, "SELECT answer_id FROM cells WHERE answer_id IN (%s)", doomed)}
    doomed.update(row[0] for row in con.execute(f"SELECT answer_id FROM answers WHERE {_NOBODYS}", (enrichment,)))
    return delete_in(con, "DELETE FROM answers WHERE answer_id IN (%s)", doomed)


def _attempts(con: Con, addresses: set[bytes]) -> int:
    """Take the address out of the attempts for addresses that have no answer any more; their money stays."""
    query = "SELECT fingerprint FROM answers WHERE substr(fingerprint, 1, 8) IN (%s)"
    left = {row[0] for row in rows_in(con, query, [each[:8] for each in addresses])}
    return delete_in(con, "UPDATE attempts SET fingerprint = NULL WHERE fingerprint IN (%s)", addresses - left)


def _lines(con: Con, passes: Sequence[int], keys: set[str], now_ms: int) -> tuple[int, set[bytes]]:
    """Take these rows out of the lines of batches that are under way: how many lines changed, and whose are gone.

    A line for nobody else goes, and its attempt counts as spent in full: the provider will be paid for it.
    """
    if not journal.there(con):
        return 0, set()
    changed = 0
    gone: list[tuple[str, str]] = []
    numbers: list[int] = []
    addresses: set[bytes] = set()
    for submission, line in journal.lines_of(con, passes):
        cells = tuple(cell for cell in line.cells if cell.key not in keys)
        if len(cells) == len(line.cells):
            continue
        changed += 1
        if cells:
            journal.rewrite(con, submission, replace(line, cells=cells))
        else:
            gone.append((submission, line.custom_id))
            numbers.append(line.attempt_id)
            addresses.add(line.fingerprint)
    con.executemany("DELETE FROM batch_lines WHERE submission = ? AND custom_id = ?", gone)
    query = f"SELECT {attempts.LEASE_COLUMNS} FROM leases WHERE attempt_id IN (%s)"
    attempts.close_as_lost(con, rows_in(con, query, numbers), now_ms)
    return changed, addresses
