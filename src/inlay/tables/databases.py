"""A table or query of a database as a source: MySQL, MariaDB, Aurora, PostgreSQL, SQLite and DuckDB files.

    where, order_by, missing (roughly) ──► the database ──► spool ──► DuckDB: missing (exactly), types, planning

The rows that a plan wants are selected in the database's own SQL, read once by a transaction that only reads and sees
one moment, and laid down in a temporary file that every connection plans over. What stays true: nothing is written;
rows are read in bounded memory; a reading that breaks is begun anew; names are quoted by the database's own rules and
values are bound; every failure is a SourceError or PlanError that names the table or the key of the declaration.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inlay.databases.address import DUCKDB, MYSQL, POSTGRESQL, SQLITE, Address
from inlay.databases.connection import PATIENCE_S, Connection, Database, persist
from inlay.databases.dialect import Column, quoted_table, table_parts
from inlay.databases.errors import DatabaseError, Trouble
from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_ident, quote_text
from inlay.spec.model import SelectSpec, SourceSpec
from inlay.tables import own_sql, spool
from inlay.tables.blame import explained, refused_part
from inlay.tables.bound import Binding, check_key, chunks
from inlay.tables.choosing import PLACE, WHERE, Chosen
from inlay.tables.reading import readings_of, where_reading
from inlay.tables.relation import check_names

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

# How long a server that has never answered is waited for: its name may just be wrong.
FIRST_PATIENCE_S = 10.0
# More keys than these are found by reading the whole table once.
MOST_KEYS = 20_000


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the database says of the source: what to select FROM, its columns, and the columns of a unique key."""

    relation: str
    columns: tuple[Column, ...]
    unique: tuple[str, ...]


class DatabaseSource:
    """The rows of a table or query; fulfils `contracts.Source` and `choosing.ChoosingSource`."""

    def __init__(
        self,
        spec: SourceSpec,
        address: Address | Callable[[], Address],
        select: SelectSpec | None = None,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Connects to nothing; `address` may be a function, asked on first use. `select` is the declaration's, whose
        `where` is answered for every row that is read."""
        self.spec = spec
        self._address = address
        self._where = None if select is None else select.where
        self._patience_s = patience_s
        self._reached = False
        self._database: Database | None = None
        self._seen: tuple[_Shape, dict[str, spool.Reading]] | None = None
        self._folder = spool.Folder()
        self._chosen: dict[tuple[SelectSpec, tuple[str, ...]], tuple[Path, int]] = {}
        self._whole = _Part(self, None, None)

    @property
    def title(self) -> str:
        """The table as the declaration names it."""
        return self.spec.named

    @property
    def address(self) -> Address:
        """Where the database is. Raises SpecError."""
        return self.database.address

    @property
    def database(self) -> Database:
        """The database, not connected to."""
        if self._database is None:
            self._database = Database(self._address() if callable(self._address) else self._address)
        return self._database

    def columns(self) -> dict[str, str]:
        """Column name to DuckDB type, in the table's order. Asks the database once."""
        return {name: reading.type for name, reading in self._look()[1].items()}

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """All rows and columns, read once; with whether `select.where` takes each (see `local`)."""
        return self._whole.attach(con)

    def of_keys(self, keys: Sequence[str], columns: Collection[str] | None = None) -> _Part:
        """See `ChoosingSource.of_keys`: by the key's index where they are few."""
        return _Part(self, None if columns is None else tuple(columns), tuple(dict.fromkeys(keys)))

    def only(self, columns: Collection[str]) -> _Part:
        """See `ChoosingSource.only`."""
        return _Part(self, tuple(columns), None)

    def first(self, rows: int) -> _Part:
        """See `ChoosingSource.first`."""
        return _Part(self, None, None, rows)

    def local(self, select: SelectSpec) -> SelectSpec:
        """See `ChoosingSource.local`."""
        return select.model_copy(update={"where": None if select.where is None else WHERE, "order_by": None})

    def choose(self, con: duckdb.DuckDBPyConnection, select: SelectSpec, columns: Collection[str]) -> Chosen:
        """See `ChoosingSource.choose`: where, order_by and roughly `missing` are the database's work."""
        known = self._look()[1]
        names = tuple(name for name in known if name in columns)
        asked = (select.model_copy(update={"limit": None}), names)
        if asked not in self._chosen:
            self._chosen[asked] = self.persistently(lambda found: self._choose(found, select, names), select)
        path, rows = self._chosen[asked]
        left = select.model_copy(update={"where": None, "order_by": None if select.order_by is None else PLACE})
        types = {name: known[name].type for name in names}
        return Chosen(spool.relation(path), types, left, rows, self._told_apart())

    def close(self) -> None:
        """Remove what was read; what is asked for afterwards is read anew. Idempotent."""
        self._chosen.clear()
        self._folder.close()

    # --- talking to the database

    def persistently(self, work: Callable[[Connection], T], select: SelectSpec | None = None) -> T:
        """Do something that only reads, on a snapshot of its own, begun anew where the connection breaks. Raises
        SourceError or PlanError, which names the part of `select` that the database refused."""
        try:
            return self.retried(work)
        except DatabaseError as error:
            relation = None if self._seen is None else self._seen[0].relation
            refused = None
            if relation is not None and select is not None and not error.passing:
                refused = refused_part(self._connect, relation, select)
            columns = [] if self._seen is None else [*self._seen[1]]
            raise explained(error, self.spec, self.address.kind, refused, columns, reached=self._reached) from None
        except spool.Misfit as error:
            raise SourceError(
                f"{self.title}: column {error.column!r}: {error.value!r} does not fit its type "
                f"({self.columns()[error.column]})",
                remedy=f"mend the value, or read the column as it is: source.types: {{{error.column}: text}}",
            ) from None
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self.title} holds text that is no Unicode: {error.reason} at byte {error.start + 1} of a value",
                remedy="mend the value, or select from a query that leaves it out",
            ) from None

    def retried(self, work: Callable[[Connection], T]) -> T:
        """The same, but a DatabaseError that will not pass, or did not, comes as it is."""

        def once() -> T:
            with self._connect() as con, con.transaction(read_only=True):
                self._reached = True
                return work(con)

        patience_s = self._patience_s if self._reached else min(FIRST_PATIENCE_S, self._patience_s)
        return persist(once, patience_s=patience_s)

    def _connect(self) -> Connection:
        database = self.database
        address = database.address
        if address.path is not None and not address.path.is_file():
            raise SourceError(f"{address.shown}: there is no such file", remedy="check the path in source.connection")
        if address.kind != DUCKDB:
            return database.connect()
        from inlay.tables.sql import connect

        # Attached to a connection in memory, where nothing can be written to it and others may read it, too.
        con = Connection(connect(memory_limit="512MB", threads=2), database.dialect, address)
        try:
            con.run(f"ATTACH {quote_text(str(address.path))} AS inlay_source (READ_ONLY)")
            con.run("USE inlay_source")
        except BaseException:
            con.close()
            raise
        return con

    def _look(self) -> tuple[_Shape, dict[str, spool.Reading]]:
        if self._seen is None:
            self._seen = self.persistently(self._shape)
        return self._seen

    def _shape(self, con: Connection) -> tuple[_Shape, dict[str, spool.Reading]]:
        dialect = con.dialect
        if self.spec.query is not None:
            query = own_sql.checked(con.address.kind, self.spec.query, "source.query")
            shape = _Shape(f"({query}) AS inlay_query", tuple(dialect.described(con, query)), ())
        else:
            assert self.spec.table is not None
            parts = table_parts(self.spec.table)
            columns = dialect.table_columns(con, parts)
            if not columns:
                raise self._no_table(con)
            shape = _Shape(quoted_table(dialect, parts), tuple(columns), dialect.primary_key(con, parts))
        check_names([column.name for column in shape.columns], self.title)
        return shape, readings_of(con, shape.columns, self.spec.types, self.title)

    def _no_table(self, con: Connection) -> SourceError:
        near = difflib.get_close_matches(self.title, con.dialect.tables(con), n=3, cutoff=0.5)
        remedy = f"nearest there: {', '.join(near)}" if near else "check source.table"
        return SourceError(
            f"there is no table {self.title} in {con.address.shown}, or none that this user may see",
            remedy=f"{remedy}; with its schema it is written schema.table",
        )

    # --- reading

    def _choose(self, con: Connection, select: SelectSpec, names: Sequence[str]) -> tuple[Path, int]:
        shape, readings = self._look()
        conditions = self._conditions(con, select, shape)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ""
        if select.order_by is not None:
            order = f" ORDER BY {own_sql.checked(con.address.kind, select.order_by, 'select.order_by')}"
        check_key(con, shape.relation, shape.columns, shape.unique, self.spec.key, self.title)
        rows = int(con.run(f"SELECT count(*) FROM {shape.relation}").fetchone()[0]) if where else None
        path = self._folder.new()
        chosen = [readings[name] for name in names]
        rest = f"FROM {shape.relation}{where}{order}"
        read = self._lay_down(con, path, chosen, rest, place=PLACE if order else None)
        return path, read if rows is None else rows

    def _told_apart(self) -> bool:
        """Whether keys that differ in the database, as `check_key` saw to, differ as text here, too: whole numbers of
        a server do; of what SQLite holds, and of text in some encodings, nobody can say."""
        types = {column.name: column.type for column in self._look()[0].columns}
        whole = all(types[name] in ("BIGINT", "UBIGINT") and name not in self.spec.types for name in self.spec.key)
        return whole and self.address.kind in (MYSQL, POSTGRESQL)

    def _conditions(self, con: Connection, select: SelectSpec, shape: _Shape) -> list[str]:
        """`where`, and what holds for every row that may count as missing (or, for `known`, as there)."""
        kind = con.address.kind
        conditions = []
        if select.where is not None:
            conditions.append(f"({own_sql.checked(kind, select.where, 'select.where')})")
        column = next((column for column in shape.columns if column.name == select.missing), None)
        if column is not None:
            as_it_is = self.spec.types.get(column.name, "text") == "text"
            dated = kind == MYSQL and column.type.startswith(("DATE", "TIMESTAMP"))  # 0000-00-00 is there, and null
            quoted = con.quote(column.name)
            if select.known:
                conditions.append(f"{quoted} IS NOT NULL")
            elif column.type == "VARCHAR" and as_it_is:
                conditions.append(own_sql.perhaps_missing(kind, quoted, select.placeholders))
            elif as_it_is and not select.placeholders and not dated and kind != SQLITE:
                conditions.append(f"{quoted} IS NULL")
        return conditions

    def _lay_down(
        self,
        con: Connection,
        path: Path,
        readings: Sequence[spool.Reading],
        rest: str,
        *,
        place: str | None = None,
        keys: Sequence[str] | None = None,
    ) -> int:
        """Write these columns of a query (`rest`: from FROM on), of all rows or those with these keys; how many."""
        key = self.spec.key
        if con.address.kind != DUCKDB:
            asked = ", ".join(reading.asked for reading in readings)
            with contextlib.closing(con.stream(f"SELECT {asked} {rest}", size=spool.LIST_ROWS)) as lists:
                return spool.lay_down(path, readings, lists, place=place, key=key, keys=keys)
        # Nothing travels: the very connection writes the file.
        shown = ", ".join(f"{reading.sql} AS {quote_ident(reading.name)}" for reading in readings)
        try:
            with con.guarded():
                return spool.write(con.raw, path, f"SELECT {shown} {rest}", readings, place, key, keys)
        except DatabaseError as error:
            raise spool.misfit(error, readings) or error from None

    def part(self, columns: Collection[str] | None, keys: Sequence[str] | None, most: int | None = None) -> Path:
        """Lay down all rows (`most` of them), or those with these keys, with these columns, the key's own, and whether
        `where` takes them."""
        shape, known = self._look()
        kind = self.address.kind
        readings = [part for name, part in known.items() if columns is None or name in {*columns, *self.spec.key}]
        if self._where is not None:
            where = own_sql.checked(kind, self._where, "select.where")
            readings.append(where_reading(kind, f"({where})", WHERE))
        path = self._folder.new()
        if keys is not None and kind != DUCKDB and len(keys) <= MOST_KEYS:
            with contextlib.suppress(_NotBound):
                self.persistently(lambda con: self._of_few(con, path, shape, readings, keys))
                return path
        rest = f"FROM {shape.relation}" + ("" if most is None else f" LIMIT {int(most)}")
        select = None if self._where is None else SelectSpec(where=self._where)
        self.persistently(lambda con: self._lay_down(con, path, readings, rest, keys=keys), select)
        return path

    def _of_few(
        self, con: Connection, path: Path, shape: _Shape, readings: Sequence[spool.Reading], keys: Sequence[str]
    ) -> None:
        """Lay down the rows that an index finds by keys bound to the statement."""
        types = {column.name: column for column in shape.columns}
        binding = Binding(con, [types[name] for name in self.spec.key], self.spec.types)
        if not binding.possible:
            raise _NotBound
        # SQL of the declaration goes as it is, but for what the driver would take for a mark of its own.
        asked = [_escaped(con, part.asked) if part.name == WHERE else con.dialect.text(part.asked) for part in readings]
        head = f"SELECT {', '.join(asked)} FROM "

        def lists() -> Generator[spool.Rows]:
            for condition, values in chunks(binding, keys):
                own = con.dialect.text(f" WHERE {condition}")
                relation = (
                    con.dialect.text(shape.relation) if self.spec.query is None else _escaped(con, shape.relation)
                )
                with con.guarded():
                    yield from con.dialect.stream(con.raw, head + relation + own, values, spool.LIST_ROWS)

        try:
            with contextlib.closing(lists()) as found:
                spool.lay_down(path, readings, found, key=self.spec.key, keys=keys)
        except DatabaseError as error:
            if error.trouble in (Trouble.VALUE, Trouble.STATEMENT, Trouble.OTHER):
                raise _NotBound from None
            raise


class _NotBound(Exception):
    """Keys cannot be looked for by their column."""


class _Part:
    """Some columns or some rows of a DatabaseSource; fulfils `contracts.Source`. Read once, on first use."""

    def __init__(
        self,
        source: DatabaseSource,
        columns: tuple[str, ...] | None,
        keys: Sequence[str] | None,
        most: int | None = None,
    ) -> None:
        self._source = source
        self._most = most
        self._columns = columns
        self._keys = keys
        self._path: Path | None = None

    @property
    def title(self) -> str:
        """The source's own."""
        return self._source.title

    def columns(self) -> dict[str, str]:
        """Those that were asked for and the key's, name to DuckDB type, in the table's order."""
        known = self._source.columns()
        wanted = None if self._columns is None else {*self._columns, *self._source.spec.key}
        return {name: kind for name, kind in known.items() if wanted is None or name in wanted}

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """One reading, for whatever connections."""
        del con
        if self._path is None or not self._path.exists():  # the source may have been closed in between
            self._path = self._source.part(self._columns, self._keys, self._most)
        return spool.relation(self._path)

    def local(self, select: SelectSpec) -> SelectSpec:
        """See `ChoosingSource.local`."""
        return self._source.local(select)


def _escaped(con: Connection, sql: str) -> str:
    """SQL of the declaration for a statement that has values of ours beside it."""
    return sql.replace("%", "%%") if con.dialect.text("?") == "%s" else sql
