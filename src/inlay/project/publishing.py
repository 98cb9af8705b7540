"""From the store to the user's table: the wide table of a declaration in a file, or its rows in a database.

What stays true: a file is written whole or not at all; a table of a database is written row by row, and again by the
next run or export where that was cut short; publishing asks no model and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.contracts import Source
from inlay.errors import SpecError
from inlay.faultpoints import reach
from inlay.project.session import Session
from inlay.publish.wide import WideTable
from inlay.publish.write import check_target, format_of, write
from inlay.tables.choosing import ChoosingSource
from inlay.tables.sql import connect
from inlay.types import PassRef

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, and where: a file's path or a table's name. Of a table of a database also how many of its
    rows are new, changed or unchanged, and how many lines its history table gained; None for files."""

    place: str
    rows: int
    new: int | None = None
    changed: int | None = None
    unchanged: int | None = None
    history: int | None = None


def publish_declared(session: Session, refs: Sequence[PassRef]) -> Published | None:
    """Publish as `output` says; None where it names nothing. Free, idempotent. Raises TargetError."""
    output = session.enrichment.output
    if output.files is not None:
        path = session.target(output.files)
        return Published(str(path), publish(session, refs, path))
    if output.table is not None:
        from inlay.project.tables import publish_table

        counts = publish_table(session, refs)
        return Published(output.table, counts.rows, counts.new, counts.changed, counts.unchanged, counts.history)
    return None


def look(session: Session) -> None:
    """Refuse a place that cannot be published to, before anything is paid for. Writes nothing. Raises TargetError."""
    output = session.enrichment.output
    if output.files is not None:
        check_target(session.target(output.files))
    elif output.table is not None:
        from inlay.project.tables import look_at_table

        look_at_table(session)


def prepare(session: Session) -> None:
    """Make or widen the table of a database and see that it may be written, before anything is paid for."""
    if session.enrichment.output.table is not None:
        from inlay.project.tables import prepare_table

        prepare_table(session)


def publish(session: Session, refs: Sequence[PassRef], target: str | Path, *, format: str | None = None) -> int:
    """Write the wide table to a file or to stdout (`-`); the number of rows. Idempotent, atomic for files, free."""
    format_of(target, format)
    with _table(session, refs) as table:
        _check_names(session, table.schema.names)
        reach("publish.before_write")
        rows = write(target, table.schema, _passing(table), format=format)
        reach("publish.after_write")
        return rows


def _check_names(session: Session, names: Sequence[str]) -> None:
    """A declaration for a table of a database may leave no room for all of the source's columns beside the answers."""
    seen: dict[str, str] = {}
    for name in names:
        if seen.setdefault(name.casefold(), name) is not name:
            raise SpecError(
                f"the file would have two columns {name}: one of the source, and one of the answers",
                file=session.enrichment.file,
                key="output.prefix",
                remedy="give the answers a prefix, for example `output: {prefix: llm_}`",
            )


def republish(session: Session) -> Published:
    """Publish as the declaration says, once more. Raises SpecError where it names no output."""
    session.check()
    look(session)
    prepare(session)
    done = publish_declared(session, session.refs())
    if done is None:
        raise SpecError(
            "the declaration names no output",
            file=session.enrichment.file,
            key="output",
            remedy="say where: -o FILE, or --format csv (or jsonl) for standard output",
        )
    return done


def first_rows(session: Session, refs: Sequence[PassRef], limit: int) -> list[dict[str, Any]]:
    """The first rows of the wide table, by column name."""
    rows: list[dict[str, Any]] = []
    source = session.source
    if isinstance(source, ChoosingSource) and session.enrichment.output.rows == "all":
        source = source.first(limit)  # of a database no more is read
    with _table(session, refs, source) as table:
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
def _table(session: Session, refs: Sequence[PassRef], source: Source | None = None) -> Iterator[WideTable]:
    with closing(connect()) as con:
        passes = list(zip(session.passes, refs, strict=True))
        yield WideTable(session.enrichment, source or session.source, session.store(), passes, con)


def _passing(table: WideTable) -> Iterator[pa.RecordBatch]:
    for batch in table.batches():
        yield batch
        reach("publish.within_write")
