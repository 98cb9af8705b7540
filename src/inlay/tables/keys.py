"""The rows of a source that have some keys, which of these it has at all, and which of its keys come nearest to one.

What stays true: keys are compared as text, exactly as planning does; of a database only what is asked for is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

import duckdb

from inlay.contracts import Source
from inlay.fingerprint_sql import key_sql
from inlay.spec.model import SelectSpec
from inlay.tables.choosing import ChoosingSource, local_select, only
from inlay.tables.sql import translate

NEAREST = 3
# Longer keys are not compared letter by letter: the time that takes grows with the square of their length.
_LONGEST_COMPARED = 200


class OfKeys:
    """The rows of any source that have some keys; fulfils `contracts.Source`. A database looks for them by their
    column; other sources are read once for each connection."""

    def __init__(
        self, source: Source, key: Sequence[str], keys: Iterable[str], columns: Collection[str] | None = None
    ) -> None:
        """`keys` as the store writes them; `columns` (None: all) are read at least. Reads nothing."""
        self._keys = tuple(dict.fromkeys(keys))
        self._key = tuple(key)
        self._direct = isinstance(source, ChoosingSource)
        self._source = source.of_keys(self._keys, columns) if isinstance(source, ChoosingSource) else source
        self._attached: list[tuple[duckdb.DuckDBPyConnection, str]] = []

    @property
    def title(self) -> str:
        """The source's own."""
        return self._source.title

    def columns(self) -> dict[str, str]:
        """The source's own."""
        return self._source.columns()

    def local(self, select: SelectSpec) -> SelectSpec:
        """See `choosing.ChoosingSource.local`."""
        return local_select(self._source, select)

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """One reading of the source for each connection, of a database one for all."""
        if self._direct:
            return self._source.attach(con)
        name = next((name for known, name in self._attached if known is con), None)
        if name is None:
            import pyarrow as pa

            name = f"__inlay_keys{next(_numbers)}"
            con.register(f"{name}_wanted", pa.table({"k": pa.array(self._keys, pa.string())}))
            try:
                con.execute(
                    f"CREATE TEMP TABLE {name} AS SELECT * FROM {self._source.attach(con)} "
                    f"WHERE {key_sql(self._key, self.columns())} IN (SELECT k FROM {name}_wanted)"
                )
            except duckdb.Error as error:
                raise translate(error, self.title) from None
            finally:
                con.unregister(f"{name}_wanted")
            self._attached.append((con, name))
        return name


_numbers = itertools.count()


def missing_keys(con: duckdb.DuckDBPyConnection, source: Source, key: Sequence[str], wanted: Iterable[str]) -> set[str]:
    """Those of these (stored) keys that no row of the source has. One reading of the key columns."""
    import pyarrow as pa

    asked = sorted(set(wanted))
    if not asked:
        return set()
    if isinstance(source, ChoosingSource):
        source = source.of_keys(asked, key)
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
    source = only(source, key)
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
