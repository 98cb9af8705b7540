"""Rows taken out of the published table, and out of its history.

What stays true: only rows of these very keys go, and of a history table that several enrichments share only the lines
of this one; in `mode: column` the source's rows stay, and what Inlay wrote beside them is emptied; a table that is not
there is no error; keys are bound values. Safe to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inlay.databases.connection import Connection, Database
from inlay.databases.dialect import quoted_table, table_parts
from inlay.fingerprint import key_parts
from inlay.project.session import Session
from inlay.project.tables import table_address
from inlay.publish.tables import in_keys
from inlay.publish.target import Target
from inlay.spec.columns import HISTORY, table_columns

AT_ONCE = 200


def erase_published(session: Session, keys: Sequence[str]) -> dict[str, int]:
    """Take the rows with these (stored) keys out of the declaration's table and its history; counts of what went, none
    where the declaration publishes to a file. Destructive, idempotent; a transaction a chunk. Raises TargetError."""
    enrichment = session.enrichment
    output, key = enrichment.output, enrichment.source.key
    if output.table is None or not keys:
        return {}
    parts = table_parts(output.table)
    beside = (*parts[:-1], f"{parts[-1]}{HISTORY}")
    values = [tuple(key_parts(text, len(key))) for text in keys]
    counts = {"published": 0, "published_history": 0}
    with Target(Database(table_address(session)), output.table) as target:
        for start in range(0, len(values), AT_ONCE):
            chunk = values[start : start + AT_ONCE]

            def work(con: Connection, chunk: Sequence[tuple[Any, ...]] = chunk) -> tuple[int, int]:
                if output.mode == "column":
                    own = [name for name, _ in table_columns(enrichment)]
                    return _empty(con, parts, key, own, chunk), 0
                lines = _delete(con, beside, key, chunk, enrichment.name) if output.history else 0
                return _delete(con, parts, key, chunk, None), lines

            rows, lines = target.do(work)
            counts["published"] += rows
            counts["published_history"] += lines
    return {name: count for name, count in counts.items() if count}


def _there(con: Connection, table: Sequence[str]) -> set[str]:
    return {column.name for column in con.dialect.table_columns(con, table)}


def _delete(
    con: Connection, table: Sequence[str], key: Sequence[str], chunk: Sequence[tuple[Any, ...]], enrichment: str | None
) -> int:
    """Delete lines of these keys, as far as the table is there and one of ours; how many."""
    mark = "content_hash" if enrichment is None else "enrichment"
    if not {*key, mark} <= _there(con, table):
        return 0
    condition = in_keys(con, key, len(chunk))
    values = [value for row in chunk for value in row]
    if enrichment is not None:
        condition += f" AND {con.dialect.quote('enrichment')} = ?"
        values.append(enrichment)
    where = f"FROM {quoted_table(con.dialect, table)} WHERE {condition}"
    # Counted first: not every driver tells how many rows a DELETE took.
    (count,) = con.execute(f"SELECT count(*) {where}", values).fetchone()
    if count:
        con.execute(f"DELETE {where}", values)
    return int(count)


def _empty(
    con: Connection, table: Sequence[str], key: Sequence[str], own: Sequence[str], chunk: Sequence[tuple[Any, ...]]
) -> int:
    """Set our own columns of these rows to null; how many rows."""
    there = _there(con, table)
    names = [name for name in own if name in there and name not in key]
    if not names or not set(key) <= there:
        return 0
    where = f"WHERE {in_keys(con, key, len(chunk))}"
    values = [value for row in chunk for value in row]
    place = quoted_table(con.dialect, table)
    (count,) = con.execute(f"SELECT count(*) FROM {place} {where}", values).fetchone()  # noqa: S608 (quoted names)
    if count:
        changes = ", ".join(f"{con.dialect.quote(name)} = NULL" for name in names)
        con.execute(f"UPDATE {place} SET {changes} {where}", values)  # noqa: S608 (quoted names)
    return int(count)
