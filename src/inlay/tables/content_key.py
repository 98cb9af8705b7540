"""`key: "*"`: a row key made of the row's whole content, for tables that have none of their own.

`inlay_key` is the first 16 hex digits of SHA-256 over the canonical form of every column (`fingerprint_sql`), so it is
the same wherever the row stands and in whatever order the columns come; rows that are equal in everything are numbered
`…-2`, `…-3`. What stays true: the keys of a source are unique; rows keep their order; where no two rows are equal the
relation streams, and is never sorted.
"""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from inlay.errors import PlanError
from inlay.fingerprint_sql import canonical_row_sql, quote_ident
from inlay.spec.model import CONTENT_KEY
from inlay.tables.sql import translate

_DIGITS = 16


def with_content_key(
    con: duckdb.DuckDBPyConnection, relation: str, columns: Mapping[str, str], title: str
) -> tuple[dict[str, str], str]:
    """(columns, relation) with `inlay_key` as the last column. Reads the relation once.

    Raises PlanError where the source has a column of that name, SourceError where it cannot be read.
    """
    for name in columns:
        if name.casefold() == CONTENT_KEY:
            raise PlanError(
                f'{title} has a column {name!r} already, so `key: "*"` cannot make one',
                remedy=f"if it is the row's key, name it (key: {name}, --key {name}); otherwise rename it",
            )
    made = f"left(sha256({canonical_row_sql(columns)}), {_DIGITS})"
    try:
        row = con.execute(
            f"SELECT count(*), count(DISTINCT hash(k)) FROM (SELECT {made} AS k FROM {relation})"
        ).fetchone()
    except duckdb.Error as error:
        raise translate(error, title) from None
    assert row is not None
    own = ", ".join(quote_ident(name) for name in columns)
    if row[0] == row[1]:
        query = f"(SELECT {own}, {made} AS {CONTENT_KEY} FROM {relation})"
    else:
        # Numbered in the order of the source, and put back into it: a window forgets the order.
        placed = f"SELECT *, {made} AS __inlay_h, row_number() OVER () AS __inlay_at FROM {relation}"
        number = "row_number() OVER (PARTITION BY __inlay_h ORDER BY __inlay_at)"
        suffix = "CASE WHEN __inlay_n = 1 THEN '' ELSE '-' || __inlay_n END"
        query = (
            f"(SELECT {own}, __inlay_h || {suffix} AS {CONTENT_KEY} "
            f"FROM (SELECT *, {number} AS __inlay_n FROM ({placed})) ORDER BY __inlay_at)"
        )
    return {**columns, CONTENT_KEY: "VARCHAR"}, query
