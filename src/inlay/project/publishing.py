"""From the store to the user's table: the wide table of a declaration, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.faultpoints import reach
from inlay.project.session import Session
from inlay.publish.wide import WideTable
from inlay.publish.write import format_of, write
from inlay.tables.sql import connect
from inlay.types import PassRef

if TYPE_CHECKING:
    import pyarrow as pa


def publish(session: Session, refs: Sequence[PassRef], target: str | Path, *, format: str | None = None) -> int:
    """Write the wide table to a file or to stdout (`-`); the number of rows. Idempotent, atomic for files, free."""
    format_of(target, format)
    with _table(session, refs) as table:
        reach("publish.before_write")
        rows = write(target, table.schema, _passing(table), format=format)
        reach("publish.after_write")
        return rows


def first_rows(session: Session, refs: Sequence[PassRef], limit: int) -> list[dict[str, Any]]:
    """The first rows of the wide table, by column name."""
    rows: list[dict[str, Any]] = []
    with _table(session, refs) as table:
        for batch in table.batches():
            rows.extend(batch.slice(0, limit - len(rows)).to_pylist())
            if len(rows) >= limit:
                break
    return rows


def as_arrow(session: Session, refs: Sequence[PassRef]) -> pa.Table:
    """The whole wide table in memory."""
    import pyarrow as pa

    with _table(session, refs) as table:
        return pa.Table.from_batches(table.batches(), schema=table.schema)


@contextmanager
def _table(session: Session, refs: Sequence[PassRef]) -> Iterator[WideTable]:
    con = connect()
    try:
        passes = list(zip(session.passes, refs, strict=True))
        yield WideTable(session.enrichment, session.source, session.store(), passes, con)
    finally:
        con.close()


def _passing(table: WideTable) -> Iterator[pa.RecordBatch]:
    for batch in table.batches():
        yield batch
        reach("publish.within_write")
