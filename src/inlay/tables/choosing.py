"""Rows that are to be planned, whoever selects them: DuckDB for files and frames, the database for its own tables.

    source ──► chosen_rows ──► Chosen: a relation, its columns, and what is left to select in DuckDB

What stays true: `select` means the same rows wherever it is evaluated; SQL of the declaration that is the database's
own never reaches DuckDB (`local_select` puts columns in its place that the database has filled in); whatever reads the
rows of a plan reads them through here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from inlay.contracts import Source
from inlay.spec.model import Enrichment, SelectSpec

if TYPE_CHECKING:
    import duckdb

# Columns that a database adds to its rows: whether `select.where` takes them, and their place in `select.order_by`.
WHERE, PLACE = "__inlay_where", "__inlay_place"


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows to plan over. `select` is what is left to do in DuckDB's SQL over `relation`; `rows` is how many the whole
    source has, where the source has counted them and refused bad keys itself (None: `relation` is the whole source).
    `told_apart`: no two of these rows can have the same key, and none has none."""

    relation: str
    columns: Mapping[str, str]
    select: SelectSpec
    rows: int | None = None
    told_apart: bool = False


@runtime_checkable
class ChoosingSource(Source, Protocol):
    """A source that selects rows where they are, rather than handing all of them over."""

    def choose(self, con: duckdb.DuckDBPyConnection, select: SelectSpec, columns: Collection[str]) -> Chosen:
        """The selected rows with these columns, readable on this connection. Read once for all that ask for the same;
        with `missing` perhaps some rows more, which `Chosen.select` sifts out. Raises PlanError or SourceError."""
        ...

    def of_keys(self, keys: Sequence[str], columns: Collection[str] | None = None) -> Source:
        """The rows with these keys (as the store writes them), with these columns (None: all). Keys that no row has
        are passed over; the rows come in no order."""
        ...

    def only(self, columns: Collection[str]) -> Source:
        """All rows with these columns alone."""
        ...

    def first(self, rows: int) -> Source:
        """So many rows with all columns: those that come first, whichever they are."""
        ...

    def local(self, select: SelectSpec) -> SelectSpec:
        """The same selection in DuckDB's SQL over what `attach` gives, here and of `of_keys`; without the order."""
        ...


def local_select(source: Source, select: SelectSpec) -> SelectSpec:
    """`select` in DuckDB's SQL over what `source.attach` gives."""
    local = getattr(source, "local", None)
    return select if local is None else local(select)


def only(source: Source, columns: Collection[str]) -> Source:
    """The source, read as narrowly as it can be; its `columns` hold these at least."""
    return source.only(columns) if isinstance(source, ChoosingSource) else source


def chosen_rows(con: duckdb.DuckDBPyConnection, source: Source, enrichment: Enrichment) -> Chosen:
    """What planning reads of a source: the selected rows of a database, all rows of anything else."""
    if isinstance(source, ChoosingSource):
        return source.choose(con, enrichment.select, planned_columns(enrichment, source.columns()))
    return Chosen(source.attach(con), dict(source.columns()), local_select(source, enrichment.select))


def planned_columns(enrichment: Enrichment, columns: Collection[str]) -> list[str]:
    """Those of these columns that planning reads: the key, the passes' inputs, what rules name, `missing`."""
    wanted = {*enrichment.source.key, *((enrichment.select.missing,) if enrichment.select.missing else ())}
    conditions = ""
    for spec in enrichment.passes:
        wanted.update(spec.inputs)
        for rule in spec.rules:
            wanted.update(rule.by, (rule.column,) if rule.column is not None else ())
            conditions += f"\n{rule.when or ''}"
    # A column too many costs little; one that is named in a condition stands in its text, whatever the quoting.
    text = conditions.replace('""', '"').casefold()
    return [name for name in columns if name in wanted or name.casefold() in text or "columns(" in text]


def published_columns(enrichment: Enrichment, columns: Collection[str]) -> list[str]:
    """Those of these columns that a published table reads: what planning reads, originals, and `output.columns`."""
    originals = {field.original for spec in enrichment.passes for field in spec.fields.values()}
    wanted = {*planned_columns(enrichment, columns), *originals, *(enrichment.output.columns or ())}
    return [name for name in columns if name in wanted]
