"""What a kind of database is asked to know: the contract of mysql, postgresql, sqlite and duckdb.

What stays true: a dialect holds no connection and no state; `quote` is the only way from a name to SQL, and refuses
what its database cannot carry rather than changing it (PostgreSQL would silently cut a long name off).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any, Protocol

from inlay.databases.address import Address
from inlay.databases.errors import DatabaseError, Trouble

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or query. `type` is the DuckDB type it is read as, `native` the database's own word."""

    name: str
    type: str
    native: str
    nullable: bool = True


class Opened(Protocol):
    """A connection, as a dialect uses it; see `connection.Connection`."""

    raw: Any
    address: Address

    def guarded(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into a DatabaseError."""
        ...

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Any:
        """Run one statement of ours (`?` for values)."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement of ours for each of these rows."""
        ...

    def quote(self, name: str) -> str:
        """An identifier as SQL."""
        ...

    def keep(self, file: IO[Any]) -> None:
        """Hold a file open for as long as this connection."""
        ...


class Dialect(Protocol):
    """One kind of database."""

    name: str
    driver: str  # the package, and the extra that installs it
    longest_name: int  # of an identifier, in `name_size`
    writes_ddl_in_transactions: bool

    def connect(self, address: Address) -> Any:
        """A new connection of the driver, in UTC, UTF-8 and strict mode; nothing is begun. Raises the driver's."""
        ...

    def cursor(self, raw: Any) -> Any:
        """What statements run on: a cursor of the same transaction."""
        ...

    def begin(self, raw: Any, *, read_only: bool) -> None:
        """Begin a transaction; one that only reads sees one moment (a snapshot)."""
        ...

    def quote(self, name: str) -> str:
        """An identifier as SQL. DatabaseError (ABSENT) for one that this database cannot hold."""
        ...

    def text(self, sql: str) -> str:
        """A statement of ours (`?` for values) as the driver wants it. Cached."""
        ...

    def trouble(self, error: BaseException) -> tuple[Trouble, int | str | None] | None:
        """What an error of the driver means, and its code; None for one that is not the driver's."""
        ...

    def stream(self, raw: Any, sql: str, params: Sequence[Any] | None, size: int) -> Iterator[list[tuple[Any, ...]]]:
        """Rows in lists of up to `size`, by a server-side cursor where there is one: text as str, bytes as bytes,
        everything else as the database writes it, as str, or as Python's own value; None for NULL."""
        ...

    def described(self, con: Opened, query: str) -> list[Column]:
        """The columns of a SELECT, without running it."""
        ...

    def table_columns(self, con: Opened, table: Sequence[str]) -> list[Column]:
        """The columns of a table, in order; empty where there is no such table."""
        ...

    def tables(self, con: Opened) -> list[str]:
        """The tables and views that this user may see, as `table_parts` reads them: schema.table, mostly."""
        ...

    def primary_key(self, con: Opened, table: Sequence[str]) -> tuple[str, ...]:
        """The columns of the primary key (or of a unique key over columns that are never null); empty without one."""
        ...

    def column_type(self, kind: pa.DataType, *, key: bool = False, longest: int = 0) -> str:
        """The type of a column that is to hold these values, for DDL; `key`: it is part of a key; `longest`: no text
        has more characters, so that a shorter type than that for any text may do."""
        ...

    def create_table(
        self, table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], index: tuple[str, str] | None
    ) -> list[str]:
        """The statements that make a table of (name, type), with a primary key and one more index (its name and its
        column) where that helps. Names quoted."""
        ...

    def retype(self, table: str, column: str, kind: str) -> str:
        """The statement that gives a column another, wider type; empty where a column holds whatever comes. Quoted."""
        ...

    def upsert(
        self, table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str], *, rows: int = 1
    ) -> str:
        """An INSERT of `rows` rows of all `columns` that updates `update` where the key is there (`?` for values). All
        quoted."""
        ...

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
        """Run that upsert for rows whose keys differ, as fast as the driver allows; `schema` names their types."""
        ...

    def update_rows(
        self,
        con: Opened,
        table: str,
        columns: Sequence[str],
        key: Sequence[str],
        rows: Sequence[Sequence[Any]],
        schema: pa.Schema,
    ) -> None:
        """Set `columns` where `key` is equal, for each of the rows, which hold the columns and then the key. Names
        quoted."""
        ...

    def sender(self, kind: pa.DataType) -> Callable[[Any], Any] | None:
        """What makes a value of this type (never None) what the driver takes and the database can hold; None where it
        goes as it is. Moments are UTC."""
        ...

    def lock(self, con: Opened, name: str, wait_s: float) -> bool:
        """Take a lock by name that ends with the connection; False where another session has it for so long."""
        ...


_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\?|%""")


@lru_cache(maxsize=512)
def formatted(sql: str) -> str:
    """`?` outside of quotes as `%s`, and every `%` doubled: what drivers with the style "format" want."""
    return _TOKENS.sub(_token, sql)


def _token(found: re.Match[str]) -> str:
    found_text = found[0]
    return "%s" if found_text == "?" else found_text.replace("%", "%%")


def quoted(name: str, mark: str, *, longest: int, size: Callable[[str], int], what: str) -> str:
    """A name between marks, doubled inside. DatabaseError for a name that `what` cannot hold."""
    if not name:
        raise _no_name(name, what, "is empty")
    if "\0" in name:
        raise _no_name(name, what, "holds a NUL character")
    try:
        length = size(name)
    except UnicodeEncodeError:
        raise _no_name(name, what, "holds half of a surrogate pair") from None
    if length > longest:
        raise _no_name(name, what, f"is longer than {longest} {'characters' if what == 'MySQL' else 'bytes'}")
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"


def _no_name(name: str, what: str, why: str) -> DatabaseError:
    shown = name if len(name) <= 80 else name[:79] + "…"
    return DatabaseError(Trouble.ABSENT, f"{what} has no table or column named {shown!r}: the name {why}")


_PART = re.compile(r'"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|([^."`]+)')


def table_parts(text: str) -> tuple[str, ...]:
    """`staging.tenants`, `"odd.name"` or `a."b c"` as its parts. DatabaseError where it is none of these."""
    parts: list[str] = []
    at = 0
    while True:
        found = _PART.match(text, at)
        if found is None:
            break
        parts.append(
            next(
                part.replace(mark * 2, mark) if mark else part
                for part, mark in zip(found.groups(), ('"', "`", ""), strict=True)
                if part is not None
            )
        )
        at = found.end()
        if at == len(text):
            if len(parts) <= 3:
                return tuple(parts)
            break
        if text[at] != ".":
            break
        at += 1
    raise DatabaseError(
        Trouble.ABSENT,
        f'{text[:80]!r} is not the name of a table; write it like schema.table, or with odd characters "in quotes"',
    )


def quoted_table(dialect: Dialect, parts: Sequence[str]) -> str:
    """A table's parts as SQL."""
    return ".".join(dialect.quote(part) for part in parts)


def insert(table: str, columns: Sequence[str], rows: int = 1) -> str:
    """INSERT INTO … VALUES (?, …), …; names quoted already."""
    places = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([places] * rows)}"


def conflict(key: Sequence[str], update: Sequence[str]) -> str:
    """What PostgreSQL, SQLite and DuckDB do with a row whose key is there."""
    changed = ", ".join(f"{name} = excluded.{name}" for name in update)
    return f"ON CONFLICT ({', '.join(key)}) DO " + (f"UPDATE SET {changed}" if changed else "NOTHING")


def on_conflict(table: str, columns: Sequence[str], key: Sequence[str], update: Sequence[str], rows: int = 1) -> str:
    """The upsert that PostgreSQL, SQLite and DuckDB share."""
    return f"{insert(table, columns, rows)} {conflict(key, update)}"


def update(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """UPDATE … SET … WHERE key (`?` for values); names quoted already."""
    return (
        f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in columns)} "
        f"WHERE {' AND '.join(f'{name} = ?' for name in key)}"
    )


def created(table: str, columns: Sequence[tuple[str, str]], key: Sequence[str], more: str = "") -> str:
    """CREATE TABLE with a primary key whose columns are never null; names quoted already."""
    parts = [f"{name} {kind}{' NOT NULL' if name in key else ''}" for name, kind in columns]
    return f"CREATE TABLE {table} ({', '.join(parts)}, PRIMARY KEY ({', '.join(key)}){more})"


# How large one statement of many rows may become: its values, and its bytes of text.
_VALUES, _BYTES = 50_000, 1_000_000
_LONG = (str, bytes)
_SIZES = (2_000, 500, 100, 20, 4, 1)  # rows a statement; few sizes, so that statements are prepared once


def in_statements(
    con: Opened, statement: Callable[[int], str], rows: Sequence[Sequence[Any]], *, most_bytes: int = _BYTES
) -> None:
    """Run `statement(n)` over rows, n of them at a time: a round trip and a parse for many rows instead of each."""
    at = 0
    weights = [sum([len(value) for value in row if isinstance(value, _LONG)]) for row in rows]
    for size in _SIZES:
        if size > 1 and size * len(rows[0] if rows else ()) > _VALUES:
            continue
        while len(rows) - at >= size and (size == 1 or sum(weights[at : at + size]) <= most_bytes):
            con.execute(statement(size), [value for row in rows[at : at + size] for value in row])
            at += size
