"""From the store to the user's table: the wide table of a declaration, written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inlay.faultpoints import reach
from inlay.project.session import Session
from inlay.publish.wide import WideTable
from inlay.publish.write import format_of, write
from inlay.tables.sql import connect, prepare
from inlay.types import PassRef

if TYPE_CHECKING:
    import pyarrow as pa


def publish(session: Session, refs: Sequence[PassRef], target: str | Path, *, format: str | None = None) -> int:
    """Write the wide table to a file or to stdout (`-`); the number of rows. Idempotent, atomic for files, free."""
    format_of(target, format)
    con = connect()
    try:
        prepare(con)
        passes = list(zip(session.passes, refs, strict=True))
        table = WideTable(session.enrichment, session.source, session.store(), passes, con)
        reach("publish.before_write")
        rows = write(target, table.schema, _passing(table), format=format)
        reach("publish.after_write")
        return rows
    finally:
        con.close()


def _passing(table: WideTable) -> Iterator[pa.RecordBatch]:
    for batch in table.batches():
        yield batch
        reach("publish.within_write")
