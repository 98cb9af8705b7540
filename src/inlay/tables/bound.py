"""Row keys in a database: checked there, and bound to a statement, turned back from the store's text into their type.

What stays true: a key is unique by its bytes, whatever the collation; a condition over bound keys holds for every row
that has one of them (a collation may let it hold for more, which whoever reads them sifts out); where no such condition
can be had, the whole table is read instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from inlay.databases.address import MYSQL, POSTGRESQL, SQLITE
from inlay.databases.connection import Connection
from inlay.databases.dialect import Column
from inlay.errors import PlanError
from inlay.fingerprint import key_parts
from inlay.tables import own_sql
from inlay.tables.select import repeated_keys

CHUNK = 1_000
Bind = Callable[[str], Any]
_WHOLE = ("BIGINT", "UBIGINT")
_LONGEST_WHOLE = 20
_SHOWN = 5
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}( \d{2}:\d{2}:\d{2}(\.\d+)?)?")
# MySQL's own words for text, and their numbers in its protocol, which a query's columns have instead.
_MYSQL_TEXT = re.compile(r"(var)?char\b.*|(tiny|medium|long)?text|enum\b.*|252|253|254|15", re.IGNORECASE | re.DOTALL)
_MYSQL_BYTES = re.compile(r"(var)?binary\b.*|(tiny|medium|long)?blob|252|253|254", re.IGNORECASE)


class Binding:
    """The columns of a row key, as far as keys can be bound to them."""

    def __init__(self, con: Connection, columns: Sequence[Column], types: Mapping[str, str]) -> None:
        self.quoted = [con.quote(column.name) for column in columns]
        binds = [None if column.name in types else _bind(con.address.kind, column) for column in columns]
        self.possible = None not in binds
        self._binds: list[Bind] = [bind for bind in binds if bind is not None]

    def values(self, key: str) -> list[Any] | None:
        """A key's parts, one a column; None for a key that no row can have."""
        try:
            parts = key_parts(key, len(self.quoted)) if len(self.quoted) > 1 else [key]
            return [bind(part) for bind, part in zip(self._binds, parts, strict=True)]
        except (ValueError, InvalidOperation):
            return None


def chunks(binding: Binding, keys: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """(condition with `?`, values) for so many keys at a time that a server takes them."""
    bound = [values for key in keys if (values := binding.values(key)) is not None]
    size = CHUNK if len(binding.quoted) == 1 else CHUNK // 4
    for start in range(0, len(bound), size):
        part = bound[start : start + size]
        if len(binding.quoted) == 1:
            condition = f"{binding.quoted[0]} IN ({', '.join('?' * len(part))})"
        else:
            one = " AND ".join(f"{name} = ?" for name in binding.quoted)
            condition = " OR ".join([f"({one})"] * len(part))
        yield condition, [value for values in part for value in values]


def check_key(
    con: Connection, relation: str, columns: Sequence[Column], unique: Sequence[str], key: Sequence[str], title: str
) -> None:
    """Refuse keys that are null or repeated, where the table (`unique`: the columns of a unique key) does not forbid
    them itself. Raises PlanError with the offenders."""
    by_name = {column.name: column for column in columns}
    forbidden = bool(unique) and set(unique) <= set(key)
    if forbidden and not any(by_name[name].nullable for name in key):
        return
    quoted = [con.quote(name) for name in key]
    null = " OR ".join(f"{name} IS NULL" for name in quoted)
    nulls, rows = con.run(
        f"SELECT coalesce(sum(CASE WHEN {null} THEN 1 ELSE 0 END), 0), count(*) FROM {relation}"
    ).fetchone()
    if int(nulls):
        raise PlanError(
            f"{title}: the row key ({', '.join(key)}) is null in {int(nulls)} of {rows} rows",
            remedy="choose a key that every row has, or leave those rows out with a source.query",
        )
    if forbidden:
        return
    exact = [own_sql.exact_key(con.address.kind, con.quote(name), text=by_name[name].type == "VARCHAR") for name in key]
    shown = ", ".join(f"min({name})" for name in quoted)
    found = con.run(
        f"SELECT {shown}, count(*) AS inlay_n FROM {relation} GROUP BY {', '.join(exact)} "
        f"HAVING count(*) > 1 ORDER BY inlay_n DESC LIMIT {_SHOWN + 1}"
    ).fetchall()
    if found:
        raise repeated_keys([([str(part) for part in row[:-1]], int(row[-1])) for row in found], key, title)


def _bind(kind: str, column: Column) -> Bind | None:
    """How the text of a key becomes a value of this column; None where equality there is not that of the texts."""
    native = column.native.lower()
    if column.type in _WHOLE and not native.startswith("bit") and native != "16":
        return _whole if kind in (MYSQL, SQLITE) else _whole_text
    if kind == POSTGRESQL:  # the server reads a text as the column's own type
        if column.type == "VARCHAR" and native in ("json", "xml", "point", "polygon"):
            return None
        if column.type == "VARCHAR" and native == "uuid":
            return _uuid
        if column.type.startswith("DECIMAL"):
            return Decimal
        return {"VARCHAR": str, "BLOB": bytes.fromhex, "DATE": _day, "TIMESTAMP": _day}.get(column.type)
    if kind == SQLITE:
        words = ("char", "clob", "text")
        return str if column.type == "VARCHAR" and any(word in native for word in words) else None
    if column.type == "VARCHAR":
        return str if _MYSQL_TEXT.fullmatch(native) else None
    if column.type == "BLOB":
        return bytes.fromhex if _MYSQL_BYTES.fullmatch(native) else None
    if column.type.startswith("DECIMAL"):
        return Decimal
    return _day if column.type in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE") else None


def _whole(text: str) -> int:
    if len(text) > _LONGEST_WHOLE:
        raise ValueError
    return int(text)


def _whole_text(text: str) -> str:
    number = _whole(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError
    return str(number)


def _day(text: str) -> str:
    if _DAY.fullmatch(text) is None:
        raise ValueError
    return text


def _uuid(text: str) -> str:
    from uuid import UUID

    return str(UUID(text))
