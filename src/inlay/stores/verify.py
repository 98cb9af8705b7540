"""Recomputing everything that an SQL store can prove about itself.

What stays true: it changes nothing, sees one moment of the store, runs in bounded memory, and says one sentence for
each thing that is wrong. A wrong answer is named by its number, a wrong cell by its pass and row key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from inlay.databases.errors import DatabaseError
from inlay.errors import StoreDamaged
from inlay.fingerprint import address, recipe_digest
from inlay.stores import corrections, journal, lanes, rows
from inlay.stores.accounts import scopes, values_match
from inlay.stores.rows import each
from inlay.stores.transactions import Con, is_file

_LIMIT = 100  # sentences of one kind; a torn file would otherwise give millions


def verify(con: Con) -> list[str]:
    """See `contracts.Store.verify`."""
    with rows.lenient(con):
        return _verify(con)


def _verify(con: Con) -> list[str]:
    problems: list[str] = []
    recipes: dict[int, bytes] = {}
    checks = (
        ("the file", lambda: _integrity(con)),
        ("recipes", lambda: _recipes(con, recipes)),
        ("passes", lambda: _plain_rows(con, "passes", "pass", "pass_id, enrichment, name", 3)),
        ("runs", lambda: _plain_rows(con, "runs", "run", _RUN, 8)),
        ("answers", lambda: _answers(con, recipes)),
        ("cells", lambda: _cells(con)),
        ("history", lambda: _history(con)),
        ("leases", lambda: _leases(con)),
        ("money", lambda: _money(con)),
        ("corrections", lambda: corrections.problems(con)),
        ("batches", lambda: journal.problems(con)),
        ("lanes", lambda: lanes.problems(con)),
    )
    for name, check in checks:
        found = 0
        try:
            for sentence in check():
                found += 1
                if found <= _LIMIT:
                    problems.append(sentence)
        except (sqlite3.Error, DatabaseError, UnicodeError) as error:
            if isinstance(error, DatabaseError) and error.passing:
                raise  # the server is away, which says nothing about what it holds
            problems.append(f"{name} cannot be read: {error}")
        if found > _LIMIT:
            problems.append(f"{found - _LIMIT} further problems with {name}")
    return problems


_RUN = "run_id, enrichment, runner, budget_run, started_at, ended_at, outcome, summary"


def _integrity(con: Con) -> Iterator[str]:
    if not is_file(con):
        return  # a server looks after its own pages
    for (line,) in con.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield f"the file is damaged: {line}"


def _recipes(con: Con, digests: dict[int, bytes]) -> Iterator[str]:
    for number, digest, text in con.execute("SELECT recipe_id, digest, recipe FROM recipes"):
        digests[number] = digest
        if not isinstance(text, str) or recipe_digest(text) != digest:
            yield f"the text of recipe {number} does not match its digest"
    for pass_id, number in con.execute("SELECT pass_id, recipe_id FROM pass_recipes"):
        if number not in digests:
            yield f"pass {pass_id} has recipe {number}, which is not there"


def _plain_rows(con: Con, table: str, name: str, columns: str, width: int) -> Iterator[str]:
    for row in con.execute(f"SELECT {columns}, check_sum FROM {table}"):
        if rows.line_sum(row[:width]) != row[width]:
            yield f"{name} {row[0]} does not match its checksum"


def _answers(con: Con, recipes: dict[int, bytes]) -> Iterator[str]:
    query = f"SELECT {rows.ANSWER_COLUMNS}, {rows.SELECT_CONTENT.removeprefix('SELECT ')}"
    for row in each(con, query):
        number = row[0]
        try:
            rows.stored_answer(row[:13])
            content, _ = rows.content_of(row[13:])
        except StoreDamaged as error:
            yield error.message
            continue
        digest = recipes.get(row[2])
        if digest is None:
            yield f"answer {number} was given for recipe {row[2]}, which is not there"
        elif not isinstance(digest, bytes) or address(digest, content) != row[1]:
            yield f"the address of answer {number} does not follow from its recipe and input"
        if not values_match(row[4], row[5]):
            yield f"the values of answer {number} do not match their hash"


def _cells(con: Con) -> Iterator[str]:
    passes = {row[0] for row in con.execute("SELECT pass_id FROM passes")}
    recipes = {row[0] for row in con.execute("SELECT recipe_id FROM recipes")}
    query = (
        f"SELECT {', '.join('c.' + name for name in rows.CELL_COLUMNS.split(', '))}, a.answer_id, a.values_hash, "
        "a.created_at FROM cells c LEFT JOIN answers a ON a.answer_id = c.answer_id"
    )
    for row in each(con, query):
        name = f"the cell of row {row[1]!r} in pass {row[0]}"
        try:
            rows.stored_cell(row, None)
        except StoreDamaged as error:
            yield error.message
            continue
        if row[0] not in passes:
            yield f"{name} belongs to no pass"
        if row[2] not in recipes:
            yield f"{name} refers to recipe {row[2]}, which is not there"
        if row[7] is not None and row[16] is None:
            yield f"{name} refers to answer {row[7]}, which is not there"
        elif row[7] is not None and (row[12] or b"", row[8]) != (row[17], row[18]):
            yield f"{name} does not agree with its answer {row[7]}"


def _history(con: Con) -> Iterator[str]:
    query = (
        f"SELECT {', '.join('h.' + name for name in rows.HISTORY_COLUMNS.split(', '))}, p.seq, p.pass_id, p.key "
        "FROM history h LEFT JOIN history p ON p.seq = h.prev_seq"
    )
    for row in each(con, query):
        try:
            rows.cell_event(row)
        except StoreDamaged as error:
            yield error.message
            continue
        if row[1] is not None and (row[11] is None or row[12:14] != row[2:4] or row[11] >= row[0]):
            yield f"line {row[0]} of the history of row {row[3]!r} follows a line that is not there"
    heads = con.execute(
        "SELECT c.pass_id, c.key FROM cells c LEFT JOIN history h ON h.seq = c.last_seq AND h.pass_id = c.pass_id "
        "AND h.key = c.key WHERE h.seq IS NULL"
    )
    for pass_id, key in heads:
        yield f"the last line of the history of row {key!r} in pass {pass_id} is not there"
    begun = con.execute("SELECT count(*) - count(prev_seq) FROM history").fetchone()[0]
    cells = con.execute("SELECT count(*) FROM cells").fetchone()[0]
    if begun != cells:
        yield f"{begun} histories begin in the store, but it has {cells} cells"


def _leases(con: Con) -> Iterator[str]:
    for number, lease, fingerprint in con.execute("SELECT attempt_id, lease, fingerprint FROM leases"):
        if lease is not None and lease != fingerprint:
            yield f"attempt {number} leases an address that is not its own"


def _money(con: Con) -> Iterator[str]:
    """The sums of each scope against the attempts they stand for. Days and months are checked where nothing went."""
    runs = {row[0]: (row[1], row[2]) for row in con.execute("SELECT run_id, enrichment, budget_run FROM runs")}
    true: dict[tuple[str, str], list[int]] = {}
    pruned = {run for (run,) in con.execute("SELECT DISTINCT run_id FROM attempt_sums")}
    for run, opened, spent, reserved in _booked(con):
        if run not in runs:
            yield f"an attempt belongs to run {run}, which is not there"
            continue
        enrichment, budget_run = runs[run]
        names = scopes(budget_run, opened or 0)
        for name in names if opened is not None else (names[0], names[3]):
            sums = true.setdefault((enrichment, name), [0, 0])
            sums[0] += spent
            sums[1] += reserved
    gone = {runs[run][0] for run in pruned if run in runs}
    written = {
        (enrichment, scope): [spent, reserved]
        for enrichment, scope, spent, reserved in con.execute("SELECT enrichment, scope, spent, reserved FROM spending")
    }
    for place in sorted({*true, *written}, key=str):
        dated = str(place[1]).startswith(("day:", "month:"))
        if dated and place[0] in gone:
            continue  # pruned attempts are summed by run, no longer by day
        if true.get(place, [0, 0]) != written.get(place, [0, 0]):
            yield f"the sums of {place[0]!r} for {place[1]} do not match its attempts"


def _booked(con: Con) -> Iterable[tuple[int, int | None, int, int]]:
    """(run, moment of opening, spent, reserved) of everything that was ever booked, summed by the hour."""
    yield from con.execute("SELECT run_id, opened_at / 3600000 * 3600000, sum(cost), 0 FROM attempts GROUP BY 1, 2")
    yield from con.execute("SELECT run_id, opened_at, 0, reserved FROM leases")
    yield from con.execute("SELECT run_id, NULL, sum(cost), 0 FROM attempt_sums GROUP BY run_id")
