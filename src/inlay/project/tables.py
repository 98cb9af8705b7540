"""A declaration's table in a database, wired together: its address, its shape, its rows, its history.

What stays true: which rows are published is what the store says (every row that has a cell or a correction), narrowed
to those that the source has now; the table is never the source's own, unless `mode: column` says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from inlay.contracts import Source
from inlay.databases.address import Address
from inlay.databases.connection import Database, dialect_of
from inlay.databases.dialect import table_parts
from inlay.databases.errors import DatabaseError
from inlay.errors import SpecError
from inlay.faultpoints import reach
from inlay.project.places import address_of
from inlay.project.session import UNKNOWN, Session
from inlay.publish.history import History
from inlay.publish.inplace import ColumnRows, Updater
from inlay.publish.shape import Shape
from inlay.publish.tables import Counts, Rows, Upserter, Writer, publish_rows
from inlay.publish.target import Target
from inlay.publish.wide import WideTable
from inlay.spec.columns import HISTORY, table_columns
from inlay.spec.problems import Problems
from inlay.tables.choosing import ChoosingSource, published_columns
from inlay.tables.keyed import KeyedRows
from inlay.tables.sql import connect
from inlay.types import PassRef

if TYPE_CHECKING:
    import pyarrow as pa


def now() -> dt.datetime:
    """The moment that `created_at` and `updated_at` tell."""
    return dt.datetime.now(dt.UTC)


# --- the declaration


def table_address(session: Session) -> Address:
    """The database of `output.table`. Raises SpecError."""
    enrichment = session.enrichment
    output, source = enrichment.output, enrichment.source
    if output.connection is not None:
        return address_of(enrichment, output.connection, "output.connection", session.env)
    if source.connection is not None:
        return address_of(enrichment, source.connection, "source.connection", session.env)
    raise _at(
        session, "output.table", "the table's database is not named", "give `output.connection`, such as ${STAGING_URL}"
    )


def check_table(session: Session) -> None:
    """Hold the names of the table and its columns against what its database can carry, and the table against the
    source's. Connects to nothing. Raises SpecError."""
    enrichment = session.enrichment
    assert enrichment.output.table is not None
    address = table_address(session)
    dialect = dialect_of(address.kind)
    problems = Problems(enrichment.file)
    problems.lines = enrichment.lines
    names = [(name, f"source.key[{at}]") for at, name in enumerate(enrichment.source.key)]
    try:
        parts = table_parts(enrichment.output.table)
    except DatabaseError as error:
        raise _at(session, "output.table", error.message, "") from None
    names += [(part, "output.table") for part in parts]
    if enrichment.output.history and enrichment.output.mode == "table":
        names.append((f"{parts[-1]}{HISTORY}", "output.table"))
    for name, key in [*names, *table_columns(enrichment)]:
        try:
            dialect.quote(name)
        except DatabaseError as error:
            problems.add(error.message, problems.known_key(key), remedy="give it a shorter, plainer name")
    problems.raise_any()
    _check_apart(session, address, parts)


def _check_apart(session: Session, address: Address, parts: Sequence[str]) -> None:
    """The table is the source's own where the answers go into it as columns, and only then."""
    enrichment = session.enrichment
    source, inside = enrichment.source, enrichment.output.mode == "column"
    same = False
    if source.connection is not None and source.table is not None:
        place = address_of(enrichment, source.connection, "source.connection", session.env)
        theirs = table_parts(source.table)
        same = place.place == address.place and _whole(theirs, address) == _whole(parts, address)
    if inside and not same:
        raise _at(
            session,
            "output.mode",
            "`mode: column` writes into the source's own table, and this is another one",
            "name the table of `source` in `output.table`, or leave `mode` out",
        )
    if same and not inside:
        raise _at(
            session,
            "output.table",
            "this is the table that the rows come from",
            "name another one: it outlives the reload of the source; or write `mode: column`",
        )


def _whole(parts: Sequence[str], address: Address) -> tuple[str, ...]:
    """A table's name with its schema, as far as it is known without asking, whatever its case."""
    schema = {"mysql": address.database, "postgresql": "public"}.get(address.kind, "main")
    whole = (*parts,) if len(parts) > 1 else (schema, *parts)
    return tuple(part.casefold() for part in whole[-2:])


def _at(session: Session, key: str, message: str, remedy: str) -> SpecError:
    enrichment = session.enrichment
    problems = Problems(enrichment.file)
    problems.lines = enrichment.lines
    return SpecError(message, file=enrichment.file, line=problems.line_of(key), key=key, remedy=remedy)


# --- the table


@dataclass(frozen=True)
class Opened:
    """A declaration's table, ready: where it is, what it is to be, and what fills it."""

    target: Target
    shape: Shape
    rows: Rows
    wide: WideTable
    history: History | None


@contextmanager
def opened(session: Session, refs: Sequence[PassRef], *, all_rows: bool = True) -> Iterator[Opened]:
    """The declaration's table; without `all_rows` it is only looked at. Raises SpecError, TargetError."""
    enrichment = session.enrichment
    output = enrichment.output
    assert output.table is not None
    parts = table_parts(output.table)
    narrowed = output.model_copy(update={"columns": enrichment.source.key, "rows": "all"})
    store = session.store()
    passes = list(zip(session.passes, refs, strict=True))
    with closing(connect()) as con, Target(Database(table_address(session)), output.table) as target:
        source = published_source(session, refs if all_rows else ())
        wide = WideTable(
            enrichment.model_copy(update={"output": narrowed}),
            source,
            store,
            passes,
            con,
            own_only=True,
            inputs=list(dict.fromkeys(name for spec in enrichment.passes for name in spec.inputs))
            if output.inputs
            else (),
        )
        inside = output.mode == "column"
        rows = (ColumnRows if inside else Rows)(enrichment, session.passes, wide)
        shape = rows.shape(parts, output.table)
        history = None
        if output.history and not inside:
            beside = (*parts[:-1], f"{parts[-1]}{HISTORY}")
            keys = [column for column in shape.columns if column.name in shape.key]
            history = History(enrichment.name, beside, f"{output.table}{HISTORY}", keys)
        yield Opened(target, shape, rows, wide, history)


def published_source(session: Session, refs: Sequence[PassRef]) -> Source:
    """The rows of the source that have something to publish; none without passes."""
    keys = list(_stored_keys(session, refs)) if refs else []
    source = session.source
    if not isinstance(source, ChoosingSource):
        return KeyedRows(source, session.enrichment.source.key, keys)
    wanted = list(dict.fromkeys(key for part in keys for key in part.to_pylist()))
    return source.of_keys(wanted, _read_columns(session, refs))


def _read_columns(session: Session, refs: Sequence[PassRef]) -> list[str]:
    """The columns that publishing reads: also those that only an earlier recipe did, whose answers may be in force."""
    columns, store = session.source.columns(), session.store()
    read = set(published_columns(session.enrichment, columns))
    for ref in refs:
        if ref.pass_id != UNKNOWN:
            read.update(name for text in store.recipes(ref.pass_id).values() for name in orjson.loads(text)["inputs"])
    return [name for name in columns if name in read]


def _stored_keys(session: Session, refs: Sequence[PassRef]) -> Iterator[pa.Array]:
    """The keys of all cells and corrections, in Arrow arrays; some perhaps several times."""
    import pyarrow as pa

    store = session.store()
    for ref in refs:
        if ref.pass_id != UNKNOWN:
            for batch in store.scan_cells(ref.pass_id, ("key",)):
                yield batch.column(0).cast(pa.string())
    corrected = {one.key for one in store.corrections(session.enrichment.name)}
    if corrected:
        yield pa.array(sorted(corrected), type=pa.string())


def look_at_table(session: Session) -> None:
    """Connect to the table's database and refuse what cannot be published there. Writes nothing."""
    with opened(session, session.refs(), all_rows=False) as table:
        table.target.look(table.shape)
        if table.history is not None:
            table.target.look(table.history.shape)


def prepare_table(session: Session) -> None:
    """Make the table, widen it, and see that it may be written. Idempotent."""
    with opened(session, session.refs(), all_rows=False) as table:
        _prepare(table)


def _prepare(table: Opened) -> bool:
    made = table.target.prepare(table.shape)
    if table.history is not None:
        table.target.prepare(table.history.shape)
    return made


def publish_table(session: Session, refs: Sequence[PassRef], *, clock: Callable[[], dt.datetime] = now) -> Counts:
    """Write what differs. Idempotent; each batch of rows is a transaction. Raises TargetError."""
    with opened(session, refs) as table:
        made = _prepare(table)
        apart = not table.target.database.address.is_file
        with table.target.another() if apart else nullcontext(table.target) as sender:
            writer: Writer
            if table.shape.inside:
                writer = Updater(table.target, sender, table.shape)
            else:
                fresh = made or table.target.is_empty(table.shape)
                writer = Upserter(table.target, sender, table.shape, fresh=fresh, clock=clock)
            reach("publish.before_write")
            counts = publish_rows(table.wide.blocks(), table.rows, writer, apart=apart)
        reach("publish.after_write")
        if table.history is not None:
            passes: Mapping[str, int] = {
                spec.name: ref.pass_id for spec, ref in zip(session.passes, refs, strict=True) if ref.pass_id != UNKNOWN
            }
            counts.history = table.history.write(table.target, session.store(), passes)
        return counts
