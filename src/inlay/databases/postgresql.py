"""PostgreSQL, by psycopg 3: values are bound by the server, never put into the text of a statement.

What stays true: sessions are UTC and UTF-8; a lock is waited for LOCK_S and no longer; streams are server-side cursors
that give every value as the server writes it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from inlay.databases import dialect
from inlay.databases.address import Address
from inlay.databases.dialect import Column, Opened
from inlay.databases.errors import Trouble
from inlay.databases.mysql import dialect_type, first_key

if TYPE_CHECKING:
    import pyarrow as pa


CONNECT_S = 10
LOCK_S = 30
_DOCUMENT = 4_000_000  # bytes of JSON in one statement; PostgreSQL's own limit is 1 GB
# By SQLSTATE, the whole of it or its class.
_TROUBLES: dict[str, Trouble] = {
    "08": Trouble.LOST, "57P": Trouble.LOST, "53300": Trouble.LOST, "57014": Trouble.LOST, "40003": Trouble.LOST,
    "55P03": Trouble.LOCKED, "40P01": Trouble.LOCKED, "40001": Trouble.LOCKED, "55006": Trouble.LOCKED,
    "25006": Trouble.READ_ONLY, "28": Trouble.DENIED, "42501": Trouble.DENIED, "3D000": Trouble.ABSENT,
    "3F000": Trouble.ABSENT, "42P01": Trouble.ABSENT, "42703": Trouble.ABSENT, "22": Trouble.VALUE,
    "23": Trouble.VALUE, "42": Trouble.STATEMENT, "53100": Trouble.FULL, "53200": Trouble.FULL,
}  # fmt: skip
_TYPES = {
    "int2": "BIGINT", "int4": "BIGINT", "int8": "BIGINT", "oid": "BIGINT", "float4": "DOUBLE", "float8": "DOUBLE",
    "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "bytea": "BLOB",
}  # fmt: skip


class PostgreSQL:
    """The dialect of PostgreSQL."""

    name = "postgresql"
    driver = "psycopg"
    longest_name = 63
    writes_ddl_in_transactions = True

    def connect(self, address: Address) -> Any:
        """See `Dialect.connect`."""
        import psycopg

        ours = ("secret", "auth", "region", "prefix", "schema", "patience", "host", "port", "time_zone")
        return psycopg.connect(
            host=address.host,
            port=address.port,
            user=address.user or None,
            password=address.password or None,
            dbname=address.database or None,
            autocommit=True,
            application_name="inlay",
            **{
                "connect_timeout": CONNECT_S,
                "keepalives_idle": 30,
                "client_encoding": "UTF8",
                "options": f"-c TimeZone=UTC -c DateStyle=ISO -c lock_timeout={LOCK_S}s -c bytea_output=hex",
                **{name: value for name, value in address.options.items() if name not in ours},
            },
        )

    def cursor(self, raw: Any) -> Any:
        """See `Dialect.cursor`."""
        return raw.cursor()

    def begin(self, raw: Any, *, read_only: bool) -> None:
        """See `Dialect.begin`."""
        raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else "BEGIN")

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        return dialect.quoted(
            name, '"', longest=self.longest_name, size=lambda text: len(text.encode()), what="PostgreSQL"
        )

    def text(self, sql: str) -> str:
        """See `Dialect.text`."""
        return dialect.formatted(sql)

    def trouble(self, error: BaseException) -> tuple[Trouble, int | str | None] | None:
        """See `Dialect.trouble`."""
        import psycopg

        if not isinstance(error, psycopg.Error):
            return None
        code = error.sqlstate
        if code is None:
            text = str(error).lower()
            if "password" in text or "authentication" in text or "no pg_hba.conf entry" in text:
                return Trouble.DENIED, None
            if "does not exist" in text:
                return Trouble.ABSENT, None
            if isinstance(error, psycopg.DataError):
                return Trouble.VALUE, None
            return (
                Trouble.LOST if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else Trouble.OTHER
            ), None
        for part in (code, code[:3], code[:2]):
            if part in _TROUBLES:
                return _TROUBLES[part], code
        return Trouble.OTHER, code

    def stream(self, raw: Any, sql: str, params: Sequence[Any] | None, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """See `Dialect.stream`: every value as the server writes it, as text."""
        own = raw.info.transaction_status.name == "IDLE"
        if own:
            raw.execute("BEGIN READ ONLY")
        try:
            with raw.cursor(name="inlay_stream") as cursor:
                cursor.itersize = size
                _as_text(cursor)
                cursor.execute(sql, params)
                while rows := cursor.fetchmany(size):
                    yield rows
        finally:
            if own and raw.info.transaction_status.name != "IDLE" and not raw.closed:
                raw.execute("ROLLBACK")

    def described(self, con: Opened, query: str) -> list[Column]:
        """See `Dialect.described`."""
        with con.guarded():
            cursor = con.raw.execute(f"SELECT * FROM ({query}\n) AS inlay_described LIMIT 0")
            found = cursor.description
        names = dict(
            con.execute(
                "SELECT oid::bigint, typname FROM pg_type WHERE oid = ANY(?)", ([column.type_code for column in found],)
            ).fetchall()
        )
        out = []
        for column in found:
            native = names.get(column.type_code, "")
            kind = _TYPES.get(native, "VARCHAR")
            if native == "numeric" and column.precision and column.precision <= 38 and (column.scale or 0) >= 0:
                kind = f"DECIMAL({column.precision},{column.scale or 0})"
            out.append(Column(column.name, kind, native))
        return out

    def table_columns(self, con: Opened, table: Sequence[str]) -> list[Column]:
        """See `Dialect.table_columns`."""
        found = con.execute("SELECT to_regclass(?)::oid::bigint", (dialect.quoted_table(self, table),)).fetchone()
        if found is None or found[0] is None:
            return []
        rows = con.execute(
            "SELECT a.attname, t.typname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atttypmod "
            "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
            "WHERE a.attrelid = ?::bigint::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            found,
        ).fetchall()
        out = []
        for name, native, full, nullable, typmod in rows:
            kind = _TYPES.get(native, "VARCHAR")
            if native == "numeric" and typmod >= 4:
                digits, scale = (typmod - 4) >> 16, (typmod - 4) & 0x7FF
                kind = f"DECIMAL({digits},{scale})" if digits <= 38 and scale <= digits else "VARCHAR"
            out.append(Column(name, kind, full, nullable))
        return out

    def tables(self, con: Opened) -> list[str]:
        """See `Dialect.tables`."""
        rows = con.execute(
            "SELECT table_schema, table_name, table_schema = current_schema() FROM information_schema.tables "
            "WHERE table_schema NOT IN ('information_schema', 'pg_catalog')"
        ).fetchall()
        return [name for schema, table, own in rows for name in (f"{schema}.{table}", *((table,) if own else ()))]

    def primary_key(self, con: Opened, table: Sequence[str]) -> tuple[str, ...]:
        """See `Dialect.primary_key`."""
        found = con.execute("SELECT to_regclass(?)::oid::bigint", (dialect.quoted_table(self, table),)).fetchone()
        if found is None or found[0] is None:
            return ()
        rows = con.execute(
            "SELECT i.indexrelid::bigint::text, a.attname FROM pg_index i "
            "CROSS JOIN LATERAL unnest(i.indkey::int[]) WITH ORDINALITY AS k(attnum, place) "
            "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
            "WHERE i.indrelid = ?::bigint::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL "
            "AND i.indexprs IS NULL AND k.place <= i.indnkeyatts ORDER BY NOT i.indisprimary, i.indexrelid, k.place",
            found,
        ).fetchall()
        nullable = {column.name for column in self.table_columns(con, table) if column.nullable}
        return first_key(rows, nullable)

    def column_type(self, kind: pa.DataType, *, key: bool = False, longest: int = 0) -> str:
        """See `Dialect.column_type`."""
        import pyarrow as pa

        if pa.types.is_timestamp(kind):
            return "TIMESTAMP WITH TIME ZONE" if kind.tz else "TIMESTAMP"
        return dialect_type(
            kind,
            {
                "double": "DOUBLE PRECISION",
                "bytes": "BYTEA",
                "bool": "BOOLEAN",
                "text": "TEXT",
                "unsigned": "NUMERIC(20,0)",
            },
        )

    def create_table(
        self, table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], index: tuple[str, str] | None
    ) -> list[str]:
        """See `Dialect.create_table`."""
        made = [dialect.created(table, columns, key)]
        return made if index is None else [*made, f"CREATE INDEX {index[0]} ON {table} ({index[1]})"]

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
        listed = ", ".join(columns)
        head = f"INSERT INTO {table} ({listed}) SELECT {listed} FROM"
        _with_rows(con, table, schema.names, rows, head, dialect.conflict(key, update))

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
        changed = ", ".join(f"{name} = new.{name}" for name in columns)
        same = " AND ".join(f"old.{name} = new.{name}" for name in key)
        _with_rows(con, table, schema.names, rows, f"UPDATE {table} AS old SET {changed} FROM", f"WHERE {same}")

    def sender(self, kind: pa.DataType) -> Callable[[Any], Any] | None:
        """See `Dialect.sender`."""
        import pyarrow as pa

        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _without_nul
        if pa.types.is_decimal(kind):
            return str
        return _hex if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None

    def lock(self, con: Opened, name: str, wait_s: float) -> bool:
        """See `Dialect.lock`."""
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        deadline = time.monotonic() + wait_s
        while con.execute("SELECT pg_try_advisory_lock(?::bigint)", (number,)).fetchone() != (True,):
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(0.5, max(0.01, deadline - time.monotonic())))
        return True


def _with_rows(
    con: Opened, table: str, names: Sequence[str], rows: Sequence[Sequence[Any]], head: str, tail: str
) -> None:
    """Run a statement over rows that come as one bound value, a JSON document of arrays.

    Measured for 15 columns, microseconds a row of this process and of the server: 1 and 13; as objects for
    `json_populate_recordset` 2.3 and 17; psycopg's executemany 15 of this process, many rows of VALUES 65. Types have
    no length here: a cast to a length cuts a text that is too long, where storing it is refused."""
    found = con.execute(
        "SELECT attname, format_type(atttypid, -1) FROM pg_attribute WHERE attrelid = ?::regclass AND attnum > 0",
        (table,),
    )
    kinds: dict[str, str] = dict(found.fetchall())
    cells = ", ".join(f"(r->>{at})::{kinds.get(name, 'text')} AS {con.quote(name)}" for at, name in enumerate(names))
    text = f"{head} (SELECT {cells} FROM jsonb_array_elements(?::jsonb) AS r) AS new {tail}"
    for document in _documents(rows):
        con.execute(text, (document,))


def _documents(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Rows as JSON arrays of arrays, none longer than _DOCUMENT unless it is a single row."""
    import orjson

    if not rows:
        return
    text = orjson.dumps(rows)
    if len(text) <= _DOCUMENT or len(rows) == 1:
        yield text.decode()
        return
    half = len(rows) // 2
    yield from _documents(rows[:half])
    yield from _documents(rows[half:])


def _without_nul(value: str) -> str:
    """PostgreSQL has no NUL character in text: U+FFFD stands in for it."""
    return value.replace("\0", "\ufffd") if "\0" in value else value


def _hex(value: bytes) -> str:
    return f"\\x{value.hex()}"


def _as_text(cursor: Any) -> None:
    """Let a cursor give every value as the text that the server sent."""
    from psycopg.types.string import TextLoader

    types = [*cursor.adapters.types]
    for info in types:
        cursor.adapters.register_loader(info.oid, TextLoader)
        if info.array_oid:
            cursor.adapters.register_loader(info.array_oid, TextLoader)
    cursor.adapters.register_loader(0, TextLoader)
