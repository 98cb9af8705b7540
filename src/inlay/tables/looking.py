"""A first look at a table: its columns with what they hold, and which of them could be the row key.

What stays true: figures over all rows come from one reading, of sketches rather than sets, so memory stays small; that
a column is unique is only ever said after an exact count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import duckdb

from inlay.fingerprint import WHITE_SPACE
from inlay.fingerprint_sql import plain_sql, quote_ident
from inlay.tables.sql import translate

_ID_NAME = re.compile(r"(?:.*[_ -])?(?:id|key|uuid|guid|nr|no|number|code|sku|isbn|asin)", re.IGNORECASE)
_CAMEL_ID = re.compile(r".*[a-z](?:Id|ID|Key|No)")
_LONGEST_ID = 64
# Sketches of few values are far off: whether a column is unique is counted afterwards.
_NEARLY = 0.7
_EXAMPLES = 3
_EXAMPLE_ROWS = 200


@dataclass(frozen=True, slots=True)
class ColumnLook:
    """One column. `filled` counts values that are neither null nor empty, `distinct` is about right (a sketch);
    `spaced` says whether any value holds white space; lengths are in characters of the value as text."""

    name: str
    type: str
    filled: int
    distinct: int
    mean_length: float
    longest: int
    spaced: bool
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """A table at a glance. `keys` are columns that tell every row apart and look like ids, the likeliest first."""

    rows: int
    columns: tuple[ColumnLook, ...]
    keys: tuple[str, ...]


def named_like_id(name: str) -> bool:
    """Whether a column is named like an id."""
    return _ID_NAME.fullmatch(name) is not None or _CAMEL_ID.fullmatch(name) is not None


def look(con: duckdb.DuckDBPyConnection, relation: str, types: Mapping[str, str], title: str) -> Look:
    """Read the table and say what is in it. Raises SourceError where it cannot be read."""
    texts = {name: plain_sql(name, kind) for name, kind in types.items()}
    wanted = ["count(*)"]
    for text in texts.values():
        wanted += [
            f"count(*) FILTER (WHERE ({text}) <> '')",
            f"approx_count_distinct({text})",
            f"coalesce(avg(length({text})), 0)",
            f"coalesce(max(length({text})), 0)",
            f"coalesce(bool_or(regexp_matches({text}, '[{WHITE_SPACE}]')), false)",
        ]
    shown = ", ".join(f"left({text}, 200) AS {quote_ident(name)}" for name, text in texts.items())
    try:
        rows, *figures = con.execute(f"SELECT {', '.join(wanted)} FROM {relation}").fetchall()[0]
        first = con.execute(f"SELECT {shown} FROM {relation} LIMIT {_EXAMPLE_ROWS}").fetchall()
    except duckdb.Error as error:
        raise translate(error, title) from None
    columns = []
    for place, (name, kind) in enumerate(types.items()):
        filled, distinct, mean, longest, spaced = figures[5 * place : 5 * place + 5]
        examples = dict.fromkeys(row[place] for row in first if row[place])
        few = tuple(examples)[:_EXAMPLES]
        columns.append(ColumnLook(name, kind, filled, distinct, mean, longest, spaced, few))
    return Look(rows, tuple(columns), tuple(_keys(con, relation, types, columns, rows)))


def unique_ids(
    con: duckdb.DuckDBPyConnection, relation: str, types: Mapping[str, str], names: Sequence[str]
) -> list[str]:
    """Those of these columns that are never null and never repeat: one exact reading of each."""
    out = []
    for name in names:
        key = f"SELECT {plain_sql(name, types[name])} AS k FROM {relation}"
        rows, filled, distinct = con.execute(
            f"SELECT count(*), count(k), count(DISTINCT hash(k)) FROM ({key})"
        ).fetchall()[0]
        if rows == filled == distinct and rows:
            out.append(name)
    return out


def _keys(
    con: duckdb.DuckDBPyConnection, relation: str, types: Mapping[str, str], columns: Sequence[ColumnLook], rows: int
) -> list[str]:
    likely = [
        column
        for column in columns
        if column.filled == rows and column.distinct >= _NEARLY * rows and column.longest <= _LONGEST_ID
        if named_like_id(column.name) or (not column.spaced and not types[column.name].startswith(("DOUBLE", "FLOAT")))
    ]
    likely.sort(key=lambda column: not named_like_id(column.name))
    return unique_ids(con, relation, types, [column.name for column in likely[:5]])
