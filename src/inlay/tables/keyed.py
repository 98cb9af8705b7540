"""A source narrowed to rows that are named by their keys: what publishing and forgetting look at.

What stays true: the rows are the source's own, with its columns and types; a key that no row has brings none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from inlay.contracts import Source
from inlay.fingerprint_sql import key_sql
from inlay.tables.sql import translate

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_KEYS = "__inlay_keys"


class KeyedRows:
    """The rows of a source that have these keys; fulfils `contracts.Source`. The source is read where it lies."""

    def __init__(self, source: Source, key: Sequence[str], keys: Iterable[pa.Array]) -> None:
        """`keys` are keys as the store writes them, in Arrow arrays; the same one twice does no harm."""
        self._source = source
        self._key = tuple(key)
        self._keys = list(keys)

    @property
    def title(self) -> str:
        """The source's own."""
        return self._source.title

    def columns(self) -> dict[str, str]:
        """The source's own."""
        return self._source.columns()

    def attach(self, con: duckdb.DuckDBPyConnection) -> str:
        """The rows as a parenthesised query; the keys become a table of the connection."""
        import duckdb
        import pyarrow as pa

        wanted = pa.table([pa.chunked_array(self._keys, type=pa.string())], names=["k"])
        try:
            con.register(f"{_KEYS}_given", wanted)
            con.execute(f"CREATE OR REPLACE TEMP TABLE {_KEYS} AS SELECT DISTINCT k FROM {_KEYS}_given")
            con.unregister(f"{_KEYS}_given")
        except duckdb.Error as error:
            raise translate(error, self.title) from None
        relation = self._source.attach(con)
        return f"(SELECT * FROM {relation} WHERE {key_sql(self._key, self.columns())} IN (SELECT k FROM {_KEYS}))"
