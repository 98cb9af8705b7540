"""A source and a store narrowed to one row, so that what plans and publishes all rows does so for this one.

What stays true: the row keeps the source's columns and types; planning and publishing are the very code that a run
uses, so their verdict on this row is the run's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inlay.contracts import CELL_SCAN_COLUMNS, Source, Store
from inlay.fingerprint_sql import quote_ident, value_sql
from inlay.spec.model import Enrichment, PassSpec, SelectSpec
from inlay.tables.choosing import local_select
from inlay.tables.keys import OfKeys
from inlay.tables.rules import rules_of
from inlay.tables.select import condition_sql
from inlay.tables.sql import translate
from inlay.types import Correction

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class OneRow(OfKeys):
    """The rows of a source that have one key; fulfils `contracts.Source`."""

    def __init__(self, source: Source, key: Sequence[str], wanted: str) -> None:
        """`wanted` is the key as the store writes it."""
        super().__init__(source, key, [wanted])


class OneRowStore:
    """A store that knows the cells and corrections of one row alone; everything else is the store's own."""

    def __init__(self, store: Store, wanted: str) -> None:
        self._store = store
        self._wanted = wanted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def corrections(
        self, enrichment: str, *, keys: Sequence[str] | None = None, history: bool = False
    ) -> list[Correction]:
        """See `contracts.Store.corrections`."""
        return self._store.corrections(enrichment, keys=[self._wanted], history=history)

    def scan_cells(self, pass_id: int, columns: Sequence[str] = CELL_SCAN_COLUMNS) -> Iterator[pa.RecordBatch]:
        """See `contracts.Store.scan_cells`."""
        import pyarrow as pa

        for cell in self._store.read_cells(pass_id, [self._wanted]).values():
            values: dict[str, Any] = {
                "key": cell.key,
                "source_hash": cell.source_hash.hex(),
                "upstream_hash": cell.upstream_hash.hex(),
                "values_hash": "" if cell.answer is None else cell.answer.values_hash.hex(),
                "recipe_id": cell.recipe_id,
                "state": cell.state.value,
                "reason": cell.reason,
                "tries": cell.tries,
                "answered_at": 0 if cell.answer is None else int(cell.answer.created_at),
            }
            yield pa.record_batch([pa.array([values[name]]) for name in columns], names=list(columns))


@dataclass(frozen=True, slots=True)
class Facts:
    """A row as it is now: its values as planning reads them (scalars, JSON text for nested ones), and whether it is
    selected, or which part of `select` leaves it out ("where" or "missing")."""

    values: Mapping[str, Any]
    left_out: str

    @property
    def selected(self) -> bool:
        """Whether `select` takes the row."""
        return not self.left_out


def read_facts(
    con: duckdb.DuckDBPyConnection, source: OneRow, select: SelectSpec, columns: Sequence[str]
) -> Facts | None:
    """The row with these columns; None where the source does not have it. Raises PlanError for SQL that fails."""
    import duckdb

    types = source.columns()
    relation = source.attach(con)
    select = local_select(source, select)
    where = condition_sql(select.model_copy(update={"missing": None}), types)
    both = condition_sql(select, types)
    values = "".join(f", {value_sql(name, types[name])} AS {quote_ident(name)}" for name in columns)
    try:
        row = con.execute(
            f"SELECT coalesce(({where}), false), coalesce(({both}), false){values} FROM {relation} LIMIT 1"
        ).fetchone()
    except duckdb.Error as error:
        raise translate(error, "select.where") from None
    if row is None:
        return None
    return Facts(dict(zip(columns, row[2:], strict=True)), "" if row[1] else "missing" if row[0] else "where")


def read_given(
    con: duckdb.DuckDBPyConnection, source: OneRow, enrichment: Enrichment, passes: Sequence[PassSpec]
) -> dict[int, str]:
    """What the rules of these passes give the row, by index, where they give something. Takes a connection of its own,
    since lookup files become tables on it."""
    import duckdb

    types, relation = source.columns(), source.attach(con)
    rules = {index: rules_of(enrichment, spec, types, relation, con) for index, spec in enumerate(passes)}
    wanted = {index: found.sql for index, found in rules.items() if found is not None}
    if not wanted:
        return {}
    try:
        row = con.execute(f"SELECT {', '.join(wanted.values())} FROM {relation} LIMIT 1").fetchone()
    except duckdb.Error as error:
        raise translate(error, "rules") from None
    return {index: text for index, text in zip(wanted, row or (), strict=False) if text is not None}
