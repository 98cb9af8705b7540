"""DuckDB files, by DuckDB itself: the same engine that plans, so a source is attached rather than streamed.

What stays true: a file is open in one process at a time, as DuckDB wants it; nothing is installed or loaded from
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inlay.databases import dialect
from inlay.databases.address import Address
from inlay.databases.dialect import Column, Opened
from inlay.databases.errors import Trouble
from inlay.databases.mysql import dialect_type, first_key
from inlay.databases.sqlite import file_lock

if TYPE_CHECKING:
    import pyarrow as pa


_ROWS = "__inlay_rows"


class DuckDB:
    """The dialect of DuckDB."""

    name = "duckdb"
    driver = "duckdb"
    longest_name = 1000
    writes_ddl_in_transactions = True

    def connect(self, address: Address) -> Any:
        """See `Dialect.connect`."""
        import duckdb

        assert address.path is not None
        config: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
        raw = duckdb.connect(str(address.path), config=config)
        raw.execute("SET TimeZone = 'UTC'")
        return raw

    def cursor(self, raw: Any) -> Any:
        """See `Dialect.cursor`."""
        return raw  # a cursor of DuckDB's is a connection of its own

    def begin(self, raw: Any, *, read_only: bool) -> None:
        """See `Dialect.begin`."""
        raw.execute("BEGIN TRANSACTION READ ONLY" if read_only else "BEGIN TRANSACTION")

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        return dialect.quoted(name, '"', longest=self.longest_name, size=lambda text: len(text.encode()), what="DuckDB")

    def text(self, sql: str) -> str:
        """See `Dialect.text`."""
        return sql

    def trouble(self, error: BaseException) -> tuple[Trouble, int | str | None] | None:
        """See `Dialect.trouble`."""
        import duckdb

        if not isinstance(error, duckdb.Error):
            return None
        text = str(error)
        if "Conflicting lock" in text or isinstance(error, duckdb.TransactionException):
            return Trouble.LOCKED, None
        if isinstance(error, duckdb.CatalogException) or "Referenced column" in text:
            return Trouble.ABSENT, None
        if isinstance(error, duckdb.ParserException | duckdb.BinderException):
            return Trouble.STATEMENT, None
        if isinstance(error, duckdb.ConversionException | duckdb.ConstraintException | duckdb.OutOfRangeException):
            return Trouble.VALUE, None
        if isinstance(error, duckdb.IOException):
            return Trouble.FULL if "space" in text.lower() else Trouble.DENIED, None
        return Trouble.OTHER, None

    def stream(self, raw: Any, sql: str, params: Sequence[Any] | None, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """See `Dialect.stream`: values as Python's own."""
        cursor = raw.cursor()
        try:
            cursor.execute(sql, list(params or ()))
            while rows := cursor.fetchmany(size):
                yield rows
        finally:
            cursor.close()

    def described(self, con: Opened, query: str) -> list[Column]:
        """See `Dialect.described`."""
        with con.guarded():
            rows = con.raw.execute(f"DESCRIBE SELECT * FROM ({query}\n)").fetchall()
        return [Column(row[0], row[1], row[1]) for row in rows]

    def table_columns(self, con: Opened, table: Sequence[str]) -> list[Column]:
        """See `Dialect.table_columns`."""
        rows = con.execute(
            "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = ? "
            "AND schema_name = coalesce(?, current_schema()) AND database_name = coalesce(?, current_database()) "
            "ORDER BY column_index",
            self._place(table),
        ).fetchall()
        return [Column(name, kind, kind, bool(nullable)) for name, kind, nullable in rows]

    def tables(self, con: Opened) -> list[str]:
        """See `Dialect.tables`."""
        rows = con.execute(
            "SELECT schema_name, name FROM (SELECT schema_name, table_name AS name, database_name FROM duckdb_tables() "
            "UNION ALL SELECT schema_name, view_name, database_name FROM duckdb_views() WHERE NOT internal) "
            "WHERE database_name = current_database()"
        ).fetchall()
        return [table if schema == "main" else f"{schema}.{table}" for schema, table in rows]

    def primary_key(self, con: Opened, table: Sequence[str]) -> tuple[str, ...]:
        """See `Dialect.primary_key`."""
        rows = con.execute(
            "SELECT constraint_index, constraint_type, unnest(constraint_column_names) FROM duckdb_constraints() "
            "WHERE table_name = ? AND schema_name = coalesce(?, current_schema()) "
            "AND database_name = coalesce(?, current_database()) AND constraint_type IN ('PRIMARY KEY', 'UNIQUE') "
            "ORDER BY constraint_type",
            self._place(table),
        ).fetchall()
        nullable = {column.name for column in self.table_columns(con, table) if column.nullable}
        return first_key([(f"{kind}{number}", name) for number, kind, name in rows], nullable)

    @staticmethod
    def _place(table: Sequence[str]) -> tuple[str | None, ...]:
        return (table[-1], table[-2] if len(table) > 1 else None, table[-3] if len(table) > 2 else None)

    def column_type(self, kind: pa.DataType, *, key: bool = False, longest: int = 0) -> str:
        """See `Dialect.column_type`."""
        import pyarrow as pa

        if pa.types.is_timestamp(kind):
            return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP"
        return dialect_type(
            kind, {"double": "DOUBLE", "bytes": "BLOB", "bool": "BOOLEAN", "text": "VARCHAR", "unsigned": "UBIGINT"}
        )

    def create_table(
        self, table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], index: tuple[str, str] | None
    ) -> list[str]:
        """See `Dialect.create_table`."""
        # A second index would make every update of its column a delete and an insert, for scans that need none.
        return [dialect.created(table, columns, key)]

    def retype(self, table: str, column: str, kind: str) -> str:
        """See `Dialect.retype`."""
        return f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}"

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str], *, rows: int = 1
    ) -> str:
        """See `Dialect.upsert`."""
        return dialect.on_conflict(table, columns, key, update, rows)

    def upsert_rows(
        self,
        con: Opened,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        update: Sequence[str],
        rows: Sequence[Sequence[Any]],
        schema: pa.Schema,
    ) -> None:
        """See `Dialect.upsert_rows`."""
        names = ", ".join(columns)
        self._with_rows(
            con, rows, schema, f"INSERT INTO {table} ({names}) SELECT * FROM {_ROWS} {dialect.conflict(key, update)}"
        )

    def update_rows(
        self,
        con: Opened,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Sequence[Any]],
        schema: pa.Schema,
    ) -> None:
        """See `Dialect.update_rows`."""
        names = [self.quote(name) for name in schema.names]
        changed = ", ".join(f"{own} = {_ROWS}.{name}" for own, name in zip(columns, names, strict=False))
        same = " AND ".join(
            f"{table}.{own} = {_ROWS}.{name}" for own, name in zip(key, names[len(columns) :], strict=True)
        )
        self._with_rows(con, rows, schema, f"UPDATE {table} SET {changed} FROM {_ROWS} WHERE {same}")

    @staticmethod
    def _with_rows(con: Opened, rows: Sequence[Sequence[Any]], schema: pa.Schema, sql: str) -> None:
        """Run a statement over rows that stand beside the database as an Arrow table: DuckDB's own executemany takes
        them one by one, a hundred times slower."""
        import pyarrow as pa

        if not rows:
            return
        arrays = [
            pa.array(values, type=kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
        ]
        with con.guarded():
            con.raw.register(_ROWS, pa.Table.from_arrays(arrays, schema=schema))
            try:
                con.raw.execute(sql)
            finally:
                con.raw.unregister(_ROWS)

    def sender(self, kind: pa.DataType) -> Callable[[Any], Any] | None:
        """See `Dialect.sender`."""
        del kind
        return None

    def lock(self, con: Opened, name: str, wait_s: float) -> bool:
        """See `Dialect.lock`."""
        return file_lock(con, name, wait_s)
