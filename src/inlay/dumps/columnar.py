"""A dump into SQLite, DuckDB or PostgreSQL: one transaction, types translated, rows as values.

What stays true: it is all or nothing, by the database's own transaction; decimals stay exact (SQLite has none, so they
are text there); bytes are bytes; `0000-00-00`, which no other database takes for a date, is NULL and counted, except in
SQLite, which keeps it as it is written. Foreign keys, and in DuckDB secondary indexes, are left out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from inlay.databases import dialect
from inlay.databases.address import DUCKDB, POSTGRESQL, SQLITE, Address
from inlay.databases.connection import Connection, Database
from inlay.databases.dialect import quoted_table
from inlay.databases.errors import DatabaseError
from inlay.dumps import schema
from inlay.dumps.judging import CHARSETS
from inlay.dumps.mysql import beside, busy
from inlay.dumps.reading import Rows
from inlay.dumps.schema import Column, Table
from inlay.dumps.values import Convert, Texts, columns_of
from inlay.errors import SourceError, TargetError

_WHOLE = {
    "TINYINT": ("SMALLINT", "SMALLINT"), "SMALLINT": ("SMALLINT", "INTEGER"), "MEDIUMINT": ("INTEGER", "INTEGER"),
    "INT": ("INTEGER", "BIGINT"), "INTEGER": ("INTEGER", "BIGINT"), "BIGINT": ("BIGINT", "UBIGINT"),
    "YEAR": ("SMALLINT", "SMALLINT"), "BOOL": ("SMALLINT", "SMALLINT"), "BOOLEAN": ("SMALLINT", "SMALLINT"),
}  # fmt: skip


class IntoColumns:
    """A file of SQLite or DuckDB, or a schema of PostgreSQL, by its address. See `loading.Target`."""

    def __init__(self, address: Address) -> None:
        self.shown = address.shown
        self.notes: list[str] = []
        self._kind = address.kind
        self._schema = address.options.get("schema", "") if address.kind == POSTGRESQL else ""
        self.schemas = frozenset(part.casefold() for part in (self._schema or address.database,) if part)
        self._database = Database(address)
        self._con: Connection | None = None
        self._kinds: dict[str, str] = {}
        self._taken: dict[str, str] = {}
        self._texts = Texts("utf-8")
        self._shapes: dict[str, list[str]] = {}  # table -> its columns' types here

    @property
    def con(self) -> Connection:
        """The open connection."""
        assert self._con is not None
        return self._con

    def open(self, *, write: bool) -> None:
        """See `Target.open`."""
        path = self._database.address.path
        if path is not None and not write and not path.exists():
            return  # looking must not make a file
        con = self._con = self._database.connect()
        if write:
            if not con.dialect.lock(con, f"inlay_load:{self._schema}", 0):
                raise busy(self.shown)
            with con.guarded():
                con.dialect.begin(con.raw, read_only=False)
            con.in_transaction = True
        self._kinds = dict(con.run(_TABLES[self._kind]).fetchall() if not self._schema else self._of_schema(con))

    def _of_schema(self, con: Connection) -> list[tuple[str, str]]:
        return con.execute(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = ?", (self._schema,)
        ).fetchall()

    def check(self, tables: Sequence[str]) -> None:
        """See `Target.check`."""
        if self._kind == POSTGRESQL:
            known = self._kinds
        else:
            known = {name.casefold(): kind for name, kind in self._kinds.items()}
        for name in tables:
            folded = name if self._kind == POSTGRESQL else name.casefold()
            if self._taken.setdefault(folded, name) != name:
                raise TargetError(
                    f"{self.shown}: the dump has two tables, {self._taken[folded]} and {name}, that are one name there",
                    remedy="leave one out (load.tables), or load into MySQL or MariaDB",
                )
            if known.get(folded, "BASE TABLE").upper() not in ("TABLE", "BASE TABLE"):
                raise TargetError(
                    f"{self.shown}: {name} is a {known[folded].lower()} there, which a load does not replace",
                    remedy="drop or rename it, or leave the table out (load.tables)",
                )

    def create(self, table: Table) -> None:
        """See `Target.create`."""
        computed = {column.name for column in table.columns if column.generated}
        table.without(computed, "computed columns")
        types = [self._type(column) for column in table.columns]
        self._shapes[table.name] = types
        lines = [
            f"{self.con.quote(column.name)} {kind}{'' if self._may_be_null(column) else ' NOT NULL'}"
            for column, kind in zip(table.columns, types, strict=True)
        ]
        for key in table.keys:
            if key.kind == "PRIMARY" and not any(length for _, length, _ in key.parts):
                lines.append(f"PRIMARY KEY ({', '.join(self.con.quote(name) for name, *_ in key.parts)})")
        if self._kind != POSTGRESQL:
            self.con.run(f"DROP TABLE IF EXISTS {self._name(table.name)}")
        body = ",\n  ".join(lines)
        self.con.run(f"CREATE TABLE {self._new(table)} (\n  {body}\n)")

    def _may_be_null(self, column: Column) -> bool:
        return column.nullable or (column.type in schema.TIMES and self._kind != SQLITE)  # 0000-00-00 becomes NULL

    def _name(self, name: str) -> str:
        return quoted_table(self.con.dialect, (*([self._schema] if self._schema else []), name))

    def _new(self, table: Table) -> str:
        """PostgreSQL's readers go on with the old table until the end; a file's see nothing before it anyway."""
        return self._name(beside(table.name, "new") if self._kind == POSTGRESQL else table.name)

    def _type(self, column: Column) -> str:
        """A column's type in this database."""
        kind, pg, lite = column.type, self._kind == POSTGRESQL, self._kind == SQLITE
        if column.is_bytes:
            return "BYTEA" if pg else "BLOB"
        if kind in _WHOLE:
            small, large = _WHOLE[kind]
            word = large if column.unsigned else small
            if lite:
                return "BIGINT" if word == "UBIGINT" else word
            return "NUMERIC(20,0)" if pg and word == "UBIGINT" else word
        if kind in schema.FLOATS:
            return "DOUBLE PRECISION" if pg else "DOUBLE"
        if kind in schema.DECIMALS:
            digits, scale = ([int(arg) for arg in column.args] + [0])[:2] if column.args else (10, 0)
            if lite or (self._kind == DUCKDB and digits > 38):
                return "TEXT"
            return f"DECIMAL({digits},{scale})"
        if kind == "DATE":
            return "DATE"
        if kind in ("DATETIME", "TIMESTAMP"):
            if lite:
                return kind
            return "TIMESTAMP WITH TIME ZONE" if kind == "TIMESTAMP" else "TIMESTAMP"
        return "VARCHAR" if self._kind == DUCKDB else "TEXT"  # text, enums, JSON; times reach past a day

    def write(self, table: Table, rows: Rows, charset: str, time_zone: str | None) -> int:
        """See `Target.write`."""
        self._texts.codec = CHARSETS[charset]
        columns = table.columns
        if rows.columns is not None:
            known = {column.name.casefold(): column for column in columns}
            columns = [known[name.casefold()] for name in rows.columns]
        literals = columns_of(rows.data, len(columns))
        if literals is None:
            raise SourceError(
                f"line {rows.line}: a row of {table.name} has not {len(columns)} values, as its table has columns",
                remedy="nothing was changed; make the dump again",
            )
        values = self._values(table, rows, columns, literals)
        names = [self.con.quote(column.name) for column in columns]
        shapes = dict(zip([column.name for column in table.columns], self._shapes[table.name], strict=True))
        _WRITES[self._kind](self, self._new(table), names, [shapes[column.name] for column in columns], values)
        return rows.count

    def _values(
        self, table: Table, rows: Rows, columns: Sequence[Column], literals: list[list[bytes]]
    ) -> list[list[Any]]:
        try:
            return [
                list(convert(column))
                for convert, column in zip([self._convert(column) for column in columns], literals, strict=True)
            ]
        except OverflowError:
            raise TargetError(
                f"{self.shown}: {table.name}, line {rows.line} or after: a number is too large for SQLite",
                remedy="load into DuckDB, PostgreSQL or MySQL",
            ) from None
        except ValueError as error:
            raise SourceError(
                f"line {rows.line} or after: a value of {table.name} cannot be read: {str(error)[:100]}",
                remedy="nothing was changed; make the dump again",
            ) from None

    def _convert(self, column: Column) -> Convert:
        texts = self._texts
        if column.is_bytes:
            return texts.raw
        if column.type in ("DATE", "DATETIME", "TIMESTAMP") and self._kind != SQLITE:
            return texts.dates
        if self._kind == SQLITE and column.type == "BIGINT" and column.unsigned:
            return texts.whole
        if column.type in schema.WHOLE | schema.DECIMALS | schema.FLOATS:
            return texts.numbers
        return texts.without_nul if self._kind == POSTGRESQL else texts.texts

    def finish(self, tables: Sequence[Table]) -> None:
        """See `Target.finish`."""
        for table in tables:
            if self._kind == POSTGRESQL:
                self._swap(table)
            if self._kind != DUCKDB:
                self._indexes(table)
        self.con.commit()
        if self._texts.replaced:
            self.notes.append(f"{self._texts.replaced} values were not of the dump's charset: odd characters replaced")
        if self._texts.no_dates:
            self.notes.append(f"{self._texts.no_dates} dates like 0000-00-00 are NULL there")

    def _swap(self, table: Table) -> None:
        old, new = self._name(table.name), self._new(table)
        if table.name in self._kinds:
            if not self._watched(old):
                self.con.run(f"DROP TABLE {old}")
            else:  # views stand on it: it stays, and gets the new rows
                self._refill(table, old, new)
                return
        self.con.run(f"ALTER TABLE {new} RENAME TO {self.con.quote(table.name)}")

    def _watched(self, old: str) -> bool:
        return (
            self.con.execute(
                "SELECT 1 FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass "
                "WHERE d.refobjid = ?::text::regclass AND r.ev_class <> d.refobjid LIMIT 1",
                (old,),
            ).fetchone()
            is not None
        )

    def _refill(self, table: Table, old: str, new: str) -> None:
        parts = [*([self._schema] if self._schema else [])]
        before = self.con.dialect.table_columns(self.con, (*parts, table.name))
        after = self.con.dialect.table_columns(self.con, (*parts, beside(table.name, "new")))
        if [(column.name, column.native) for column in before] != [(column.name, column.native) for column in after]:
            raise TargetError(
                f"{self.shown}: views stand on {table.name}, and its columns are others now",
                remedy="drop the views, load, and make them again",
            )
        self.con.run(f"TRUNCATE TABLE {old}")
        self.con.run(f"INSERT INTO {old} SELECT * FROM {new}")  # noqa: S608 (quoted names)
        self.con.run(f"DROP TABLE {new}")

    def _indexes(self, table: Table) -> None:
        """Secondary keys, under names of their own: here an index's name counts for the whole schema."""
        for key in table.keys:
            if key.kind not in ("UNIQUE", "KEY") or any(length for _, length, _ in key.parts):
                continue
            columns = ", ".join(self.con.quote(name) for name, *_ in key.parts)
            name = f"{beside(table.name + chr(0) + key.name, 'new').replace('_new_', '_key_')}"
            unique = "UNIQUE " if key.kind == "UNIQUE" else ""
            self.con.run(f"DROP INDEX IF EXISTS {self._name(name)}")
            self.con.run(f"CREATE {unique}INDEX {self.con.quote(name)} ON {self._name(table.name)} ({columns})")

    def abandon(self) -> None:
        """See `Target.abandon`: the transaction is undone."""
        if self._con is not None:
            with contextlib.suppress(DatabaseError):
                self._con.rollback()
            self.close()

    def close(self) -> None:
        """See `Target.close`."""
        if self._con is not None:
            self._con.close()
            self._con = None


_TABLES = {
    SQLITE: "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')",
    DUCKDB: "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = current_schema() "
    "AND table_catalog = current_database()",
    POSTGRESQL: "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = current_schema()",
}


def _to_sqlite(
    target: IntoColumns, table: str, names: Sequence[str], types: Sequence[str], values: list[list[Any]]
) -> None:
    target.con.executemany(dialect.insert(table, names), list(zip(*values, strict=True)))


def _to_duckdb(
    target: IntoColumns, table: str, names: Sequence[str], types: Sequence[str], values: list[list[Any]]
) -> None:
    import pyarrow as pa

    arrays = [
        pa.array(column, pa.binary() if kind == "BLOB" else pa.large_string())
        for column, kind in zip(values, types, strict=True)
    ]
    piece = pa.table(arrays, names=[f"c{number}" for number in range(len(names))])
    into = ", ".join(names)
    casts = ", ".join(f"CAST(c{number} AS {kind})" for number, kind in enumerate(types))
    con = target.con
    with con.guarded():
        con.raw.register("inlay_piece", piece)
        try:
            con.raw.execute(f"INSERT INTO {table} ({into}) SELECT {casts} FROM inlay_piece")  # noqa: S608 (quoted names)
        finally:
            con.raw.unregister("inlay_piece")


_COPY = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def _to_postgresql(
    target: IntoColumns, table: str, names: Sequence[str], types: Sequence[str], values: list[list[Any]]
) -> None:
    texts = []
    for column, kind in zip(values, types, strict=True):
        if kind == "BYTEA":
            texts.append(["\\N" if value is None else f"\\\\x{value.hex()}" for value in column])
        else:
            texts.append(["\\N" if value is None else value.translate(_COPY) for value in column])
    lines = "\n".join(map("\t".join, zip(*texts, strict=True)))
    con = target.con
    with con.guarded(), con.raw.cursor().copy(f"COPY {table} ({', '.join(names)}) FROM STDIN") as copy:
        copy.write(lines.encode() + b"\n")


_WRITES: dict[str, Callable[[IntoColumns, str, Sequence[str], Sequence[str], list[list[Any]]], None]] = {
    SQLITE: _to_sqlite,
    DUCKDB: _to_duckdb,
    POSTGRESQL: _to_postgresql,
}
