"""MySQL, MariaDB and Aurora MySQL, by PyMySQL.

What stays true: sessions are UTC, utf8mb4 and strict; text is compared as the server's columns say, but what Inlay
makes is compared by its bytes; `0000-00-00`, which is no date, is read as NULL by whoever casts it.
"""

from __future__ import annotations

import datetime as dt
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.databases import dialect
from inlay.databases.address import Address
from inlay.databases.dialect import Column, Opened
from inlay.databases.errors import Trouble
from inlay.errors import SpecError

if TYPE_CHECKING:
    import pyarrow as pa


CONNECT_S = 10
SHORT_TEXT = 255  # characters of a text that can be a key, or be indexed whole
READ_S = 600
_TROUBLES: dict[Trouble, tuple[int, ...]] = {
    # Server gone, lost during a query, shutdown, cannot connect, too many connections, killed, not yet ready.
    Trouble.LOST: (
        2002,
        2003,
        2005,
        2006,
        2013,
        2055,
        1040,
        1053,
        1077,
        1079,
        1080,
        1152,
        1153,
        1158,
        1159,
        1160,
        1161,
        1184,
        1203,
        1226,
        1317,
        1927,
        3024,
        3168,
        4031,
    ),
    Trouble.LOCKED: (1205, 1213, 3572, 1614),
    Trouble.READ_ONLY: (1290, 1792, 1836, 3100),
    Trouble.DENIED: (1044, 1045, 1130, 1142, 1143, 1227, 1370, 1410, 1698, 1820, 3118, 2059),
    Trouble.ABSENT: (1049, 1051, 1054, 1146, 1109),
    Trouble.VALUE: (1264, 1265, 1292, 1366, 1406, 1048, 1062, 1364, 1071, 1118, 3140),
    Trouble.FULL: (1021, 1114, 1030, 3675),
    Trouble.STATEMENT: (1064, 1060, 1052, 1055, 1056, 1111, 1128, 1149, 1222, 1241, 1242, 1248, 1305, 1582, 1630),
}
_BY_CODE = {code: trouble for trouble, codes in _TROUBLES.items() for code in codes}

# Columns as information_schema names their type, to the DuckDB type that they are read as.
_TYPES = {
    "tinyint": "BIGINT", "smallint": "BIGINT", "mediumint": "BIGINT", "int": "BIGINT", "bigint": "BIGINT",
    "year": "BIGINT", "float": "DOUBLE", "double": "DOUBLE", "date": "DATE", "datetime": "TIMESTAMP",
    "timestamp": "TIMESTAMP WITH TIME ZONE", "bit": "BLOB", "binary": "BLOB", "varbinary": "BLOB", "blob": "BLOB",
    "tinyblob": "BLOB", "mediumblob": "BLOB", "longblob": "BLOB", "geometry": "BLOB", "point": "BLOB",
}  # fmt: skip


class MySQL:
    """The dialect of MySQL's protocol."""

    name = "mysql"
    driver = "pymysql"
    longest_name = 64
    writes_ddl_in_transactions = False

    def connect(self, address: Address) -> Any:
        """See `Dialect.connect`."""
        import pymysql

        options = address.options
        here = address.host in ("localhost", "127.0.0.1", "::1") or "unix_socket" in options
        named = _tls(options, here=here)
        if "unix_socket" in options:
            named["unix_socket"] = options["unix_socket"]
        return pymysql.connect(
            host=address.host,
            port=address.port,
            user=address.user or None,
            password=address.password,
            database=address.database or None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=int(float(options.get("connect_timeout", CONNECT_S))),
            read_timeout=float(options.get("read_timeout", READ_S)),
            write_timeout=float(options.get("write_timeout", READ_S)),
            init_command=(
                "SET time_zone = '+00:00', sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_TRANS_TABLES,"
                "NO_ENGINE_SUBSTITUTION')"
            ),
            program_name="inlay",
            **named,
        )

    def cursor(self, raw: Any) -> Any:
        """See `Dialect.cursor`."""
        return raw.cursor()

    def begin(self, raw: Any, *, read_only: bool) -> None:
        """See `Dialect.begin`."""
        with raw.cursor() as cursor:
            if read_only:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            else:
                # Each statement sees what is committed: work under a lock must not look at an older moment.
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
                cursor.execute("START TRANSACTION")

    def quote(self, name: str) -> str:
        """See `Dialect.quote`."""
        if name.endswith(" ") or any(ord(char) > 0xFFFF for char in name):
            raise dialect._no_name(name, "MySQL", "ends with a space or holds a character beyond U+FFFF")
        return dialect.quoted(name, "`", longest=self.longest_name, size=_characters, what="MySQL")

    def text(self, sql: str) -> str:
        """See `Dialect.text`."""
        return dialect.formatted(sql)

    def trouble(self, error: BaseException) -> tuple[Trouble, int | str | None] | None:
        """See `Dialect.trouble`."""
        import pymysql

        if isinstance(error, pymysql.err.InterfaceError):
            return Trouble.LOST, None
        if isinstance(error, pymysql.MySQLError):
            code = error.args[0] if error.args and isinstance(error.args[0], int) else None
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return Trouble.DENIED, code  # waiting mends no certificate
            if code in _BY_CODE:
                return _BY_CODE[code], code
            if isinstance(error, pymysql.err.DataError):
                return Trouble.VALUE, code
            if isinstance(error, pymysql.err.ProgrammingError):
                return Trouble.STATEMENT, code
            return Trouble.OTHER, code
        return (Trouble.LOST, None) if isinstance(error, OSError | EOFError) else None

    def stream(self, raw: Any, sql: str, params: Sequence[Any] | None, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """See `Dialect.stream`: every value as the server writes it, text or bytes."""
        import pymysql.cursors

        before = raw.decoders
        raw.decoders = {}
        cursor = raw.cursor(pymysql.cursors.SSCursor)
        unread = False
        try:
            cursor.execute(sql, None if params is None else tuple(params))
            unread = True
            while rows := cursor.fetchmany(size):
                yield rows if isinstance(rows, list) else list(rows)
            unread = False
        finally:
            raw.decoders = before
            if unread:
                _hang_up(raw)
            cursor.close()

    def described(self, con: Opened, query: str) -> list[Column]:
        """See `Dialect.described`."""
        from pymysql.constants import FIELD_TYPE, FLAG

        kinds = FIELD_TYPE
        with con.guarded(), con.raw.cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}\n) AS inlay_described LIMIT 0")
            fields = cursor._result.fields
        out = []
        whole = {kinds.TINY, kinds.SHORT, kinds.LONG, kinds.LONGLONG, kinds.INT24, kinds.YEAR}
        for field in fields:
            code, flags = field.type_code, field.flags
            unsigned = bool(flags & FLAG.UNSIGNED)
            if code in whole:
                kind = "UBIGINT" if unsigned and code == kinds.LONGLONG else "BIGINT"
            elif code in (kinds.FLOAT, kinds.DOUBLE):
                kind = "DOUBLE"
            elif code in (kinds.DECIMAL, kinds.NEWDECIMAL):
                digits = field.length - (1 if field.scale else 0) - (0 if unsigned else 1)
                kind = f"DECIMAL({digits},{field.scale})" if 0 < digits <= 38 else "VARCHAR"
            elif code in (kinds.DATE, kinds.NEWDATE):
                kind = "DATE"
            elif code == kinds.DATETIME:
                kind = "TIMESTAMP"
            elif code == kinds.TIMESTAMP:
                kind = "TIMESTAMP WITH TIME ZONE"
            elif (
                code == kinds.BIT
                or code == kinds.GEOMETRY
                or (
                    field.charsetnr == 63
                    and code
                    in (
                        kinds.BLOB,
                        kinds.TINY_BLOB,
                        kinds.MEDIUM_BLOB,
                        kinds.LONG_BLOB,
                        kinds.STRING,
                        kinds.VAR_STRING,
                        kinds.VARCHAR,
                    )
                )
            ):
                kind = "BLOB"
            else:
                kind = "VARCHAR"
            out.append(Column(field.name, kind, str(code), not flags & FLAG.NOT_NULL))
        return out

    def table_columns(self, con: Opened, table: Sequence[str]) -> list[Column]:
        """See `Dialect.table_columns`."""
        rows = con.execute(
            "SELECT column_name, data_type, column_type, is_nullable, numeric_precision, numeric_scale "
            "FROM information_schema.columns WHERE table_schema = coalesce(?, database()) AND table_name = ? "
            "ORDER BY ordinal_position",
            (table[-2] if len(table) > 1 else None, table[-1]),
        ).fetchall()
        return [Column(row[0], _read_as(*row[1:3], *row[4:6]), row[2], row[3] == "YES") for row in rows]

    def tables(self, con: Opened) -> list[str]:
        """See `Dialect.tables`."""
        rows = con.execute(
            "SELECT table_schema, table_name, table_schema = database() FROM information_schema.tables "
            "WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')"
        ).fetchall()
        return [name for schema, table, own in rows for name in (f"{schema}.{table}", *((table,) if own else ()))]

    def primary_key(self, con: Opened, table: Sequence[str]) -> tuple[str, ...]:
        """See `Dialect.primary_key`."""
        rows = con.execute(
            "SELECT s.index_name, s.column_name FROM information_schema.statistics s "
            "WHERE s.table_schema = coalesce(?, database()) AND s.table_name = ? AND s.non_unique = 0 "
            "ORDER BY s.index_name = 'PRIMARY' DESC, s.index_name, s.seq_in_index",
            (table[-2] if len(table) > 1 else None, table[-1]),
        ).fetchall()
        nullable = {column.name for column in self.table_columns(con, table) if column.nullable}
        return first_key(rows, nullable)

    def column_type(self, kind: pa.DataType, *, key: bool = False, longest: int = 0) -> str:
        """See `Dialect.column_type`."""
        import pyarrow as pa

        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            if key or 0 < longest <= SHORT_TEXT:
                return f"VARCHAR({longest or SHORT_TEXT}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            return "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        if pa.types.is_timestamp(kind):
            return "DATETIME(6)"
        return dialect_type(
            kind,
            {
                "double": "DOUBLE",
                "bytes": "VARBINARY(255)" if key else "LONGBLOB",
                "bool": "BOOLEAN",
                "text": "LONGTEXT CHARACTER SET utf8mb4",
                "unsigned": "BIGINT UNSIGNED",
            },
        )

    def create_table(
        self, table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], index: tuple[str, str] | None
    ) -> list[str]:
        """See `Dialect.create_table`."""
        more = "" if index is None else f", KEY {index[0]} ({index[1]})"
        return [dialect.created(table, columns, key, more)]

    def retype(self, table: str, column: str, kind: str) -> str:
        """See `Dialect.retype`."""
        return f"ALTER TABLE {table} MODIFY COLUMN {column} {kind}"

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str], *, rows: int = 1
    ) -> str:
        """See `Dialect.upsert`."""
        # VALUES() is deprecated in MySQL 8.0.20, but the only form that MariaDB knows too.
        changed = ", ".join(f"{name} = VALUES({name})" for name in update or key[:1])
        return f"{dialect.insert(table, columns, rows)} ON DUPLICATE KEY UPDATE {changed}"

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
        dialect.in_statements(con, lambda n: self.upsert(table, columns, key, update, rows=n), rows)

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
        import pyarrow as pa

        # A collation may take other texts for the same: the key's index finds the row, its bytes decide.
        width = len(columns)
        texts = [at for at, kind in enumerate(schema.types) if at >= width and pa.types.is_string(kind)]
        exact = "".join(f" AND CONVERT({key[at - width]} USING utf8mb4) COLLATE utf8mb4_bin = ?" for at in texts)
        if exact:
            rows = [(*row, *(row[at] for at in texts)) for row in rows]
        con.executemany(dialect.update(table, columns, key) + exact, rows)

    def sender(self, kind: pa.DataType) -> Callable[[Any], Any] | None:
        """See `Dialect.sender`."""
        import pyarrow as pa

        return _moment if pa.types.is_timestamp(kind) else None

    def lock(self, con: Opened, name: str, wait_s: float) -> bool:
        """See `Dialect.lock`. A server-wide name of at most 64 characters."""
        deadline = time.monotonic() + wait_s
        while True:  # the driver's own time for reading may be shorter than the wait
            part = max(0.0, min(30.0, deadline - time.monotonic()))
            if con.execute("SELECT GET_LOCK(?, ?)", (name[:64], part)).fetchone() == (1,):
                return True
            if time.monotonic() >= deadline:
                return False


def _tls(options: Mapping[str, str], *, here: bool) -> dict[str, Any]:
    """What the options of an address say about TLS, as PyMySQL wants it; nothing: where the server offers it.

    Within this machine TLS keeps nothing from anybody, and loading the system's certificates costs each connection
    60 ms: there it is used only where it is asked for.
    """
    for name in ("ssl_ca", "ssl_cert", "ssl_key"):
        if name in options and not Path(options[name]).is_file():
            raise SpecError(
                f"{name} of the address names no file: {options[name][:200]}",
                key="connection",
                remedy="name the certificate's file by its full path",
            )
    named: dict[str, Any] = {name: options[name] for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in options}
    asked = options.get("ssl", "").lower()
    if here and not named and not asked and "ssl_verify_identity" not in options:
        return {"ssl_disabled": True}
    if asked == "verify":
        context = ssl.create_default_context(cafile=options.get("ssl_ca"))
        if "ssl_cert" in options:
            context.load_cert_chain(options["ssl_cert"], options.get("ssl_key"))
        return {"ssl": context}
    if options.get("ssl_verify_identity", "").lower() in ("1", "true"):
        named["ssl_verify_identity"] = True
    if not named and asked in ("1", "true", "required", "require"):
        named["ssl"] = {"verify_mode": "none"}  # an empty dict would mean: where the server offers it
    return named


def _hang_up(raw: Any) -> None:
    """End a connection in the middle of an answer. The driver would read the rest of it first, however much it is."""
    result, raw._result = raw._result, None
    if result is not None:
        result.unbuffered_active = False
    raw._force_close()


def _moment(value: dt.datetime) -> str:
    """A moment of UTC, with or without its zone, as DATETIME reads it."""
    return value.isoformat(" ", "microseconds")[:26]


def _characters(name: str) -> int:
    return len(name.encode("utf-32-le")) // 4  # raises for half of a surrogate pair


def _read_as(kind: str, full: str, digits: int | None, scale: int | None) -> str:
    if kind == "bigint" and "unsigned" in full:
        return "UBIGINT"
    if kind == "decimal" and digits is not None and digits <= 38:
        return f"DECIMAL({int(digits)},{int(scale or 0)})"
    return _TYPES.get(kind, "VARCHAR")


def first_key(rows: Sequence[tuple[str, str]], nullable: set[str]) -> tuple[str, ...]:
    """The columns of the first index of (index, column) rows none of whose columns may be null."""
    indexes: dict[str, list[str]] = {}
    for index, column in rows:
        indexes.setdefault(index, []).append(column)
    return next((tuple(columns) for columns in indexes.values() if not nullable.intersection(columns)), ())


def dialect_type(kind: pa.DataType, words: dict[str, str]) -> str:
    """The SQL type of an Arrow type that is the same nearly everywhere; `words` are the ones that are not."""
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return words["bool"]
    if pa.types.is_uint64(kind):
        return words["unsigned"]
    if pa.types.is_integer(kind):
        return "BIGINT" if kind.bit_width > 32 or pa.types.is_uint32(kind) else "INTEGER"
    if pa.types.is_floating(kind):
        return words["double"]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_date(kind):
        return "DATE"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return words["bytes"]
    return words["text"]
