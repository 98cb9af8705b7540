"""Which of some row keys a source has, and which of its keys come nearest to one that it has not.

What stays true: keys are compared as text, exactly as planning does; only the key's columns are read, once, in bounded
memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import duckdb

from inlay.contracts import Source
from inlay.fingerprint_sql import key_sql
from inlay.tables.sql import translate

NEAREST = 3
# Longer keys are not compared letter by letter: the time that takes grows with the square of their length.
_LONGEST_COMPARED = 200


def missing_keys(con: duckdb.DuckDBPyConnection, source: Source, key: Sequence[str], wanted: Iterable[str]) -> set[str]:
    """Those of these (stored) keys that no row of the source has. One reading of the key columns."""
    import pyarrow as pa

    asked = sorted(set(wanted))
    if not asked:
        return set()
    text = key_sql(key, source.columns())
    con.register("__inlay_wanted", pa.table({"k": pa.array(asked, pa.string())}))
    try:
        rows = con.execute(
            "SELECT DISTINCT s.k FROM (SELECT "
            f"{text} AS k FROM {source.attach(con)}) AS s SEMI JOIN __inlay_wanted AS w ON s.k = w.k"
        ).fetchall()
    except duckdb.Error as error:
        raise translate(error, source.title) from None
    finally:
        con.unregister("__inlay_wanted")
    return set(asked) - {row[0] for row in rows}


def nearest_keys(
    con: duckdb.DuckDBPyConnection, source: Source, key: Sequence[str], wanted: Sequence[str]
) -> Mapping[str, list[str]]:
    """For each of these keys up to three of the source that are written most like it; none where nothing is alike."""
    import pyarrow as pa

    asked = [text for text in dict.fromkeys(wanted) if text and len(text) <= _LONGEST_COMPARED]
    found: dict[str, list[str]] = {text: [] for text in wanted}
    if not asked:
        return found
    text = key_sql(key, source.columns())
    con.register("__inlay_wanted", pa.table({"k": pa.array(asked, pa.string())}))
    try:
        rows = con.execute(
            "SELECT w, arg_min(k, (far, k), "
            f"{NEAREST}) FROM (SELECT w.k AS w, s.k AS k, levenshtein(lower(s.k), lower(w.k)) AS far FROM "
            f"(SELECT {text} AS k FROM {source.attach(con)}) AS s, __inlay_wanted AS w "
            f"WHERE strlen(s.k) <= {4 * _LONGEST_COMPARED}) "
            "WHERE far <= greatest(1, strlen(w) // 2) GROUP BY w"
        ).fetchall()
    except duckdb.Error as error:
        raise translate(error, source.title) from None
    finally:
        con.unregister("__inlay_wanted")
    found.update({row[0]: list(row[1]) for row in rows})
    return found
