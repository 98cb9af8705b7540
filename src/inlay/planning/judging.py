"""Every row judged inside DuckDB, in one pass over the source.

Each pass's input is hashed there and joined with the cells that the store holds; rows that need something land in a
temporary table, `__todo`, without their values. With very many cells, rows that are plainly idle are sifted out first.
What stays true: the SQL gives the reasons of `Rule.decide`; nothing is paid or written; memory stays bounded, since
DuckDB spills what does not fit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inlay.contracts import Source, Store
from inlay.fingerprint_sql import canonical_row_sql, hash_sql, key_sql, quote_ident
from inlay.planning.decide import Rule
from inlay.planning.estimate import Pricing
from inlay.planning.human import corrected
from inlay.spec.compiled import CompiledPass
from inlay.spec.model import Enrichment
from inlay.tables.choosing import ChoosingSource, chosen_rows
from inlay.tables.rules import given_suffix, rules_of
from inlay.tables.select import check_keys, missing_reason_sql, select_sql
from inlay.tables.sql import connect, prepare, translate
from inlay.types import PassRef, Reason

if TYPE_CHECKING:
    import duckdb

# Up to so many cells are read before the join, which then fits into memory with ease.
HELD_CELLS = 1_500_000
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
# Types whose values take no more room than a number; of all others the text is counted.
_NARROW = frozenset((*_WHOLE, "FLOAT", "DOUBLE", "BOOLEAN", "DATE", "TIME", "TIMESTAMP"))
# Types of key columns by whose bounds a scan skips; not floats, since files' bounds leave NaN out.
_BOUNDED = frozenset((*_WHOLE, "DATE", "VARCHAR"))


@dataclass(frozen=True, slots=True)
class PlannedPass:
    """What the planner needs to know of one pass; in topological order, `upstream` by index.

    `model` is the one that is asked first, and `label` what it is called where it is a cascade. Passes with the same
    number in `fused` go out as one call a row.
    """

    compiled: CompiledPass
    ref: PassRef
    model: str
    rule: Rule
    pricing: Pricing
    upstream: tuple[int, ...]
    label: str = ""
    fused: int | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the recipe under the resolved model."""
        return self.compiled.spec.digest(self.model)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of a pass as Arrow, which columns of them a row keeps, and whether all so far are held in memory."""

    cells: Any
    kept: Sequence[str]
    held: bool


class Judging:
    """A connection on which rows are judged. Close it when done.

    Names of our own start with two underscores: `__k` is the row key, `__n0` … its columns as they are, `__v00000` …
    the columns that passes read, `__g0` … what each pass's rules give, `__h0`, `__r0` … each pass's hash and reason.
    """

    def __init__(
        self, enrichment: Enrichment, source: Source, store: Store, passes: Sequence[PlannedPass], *, memory_limit: str
    ) -> None:
        self.passes = list(passes)
        self.inputs = sorted({name for part in self.passes for name in part.compiled.inputs})
        # In the same order as the columns' own names, so that hashes are over the same sequence of values.
        self.alias = {name: f"__v{number:05}" for number, name in enumerate(self.inputs)}
        self._enrichment = enrichment
        self._store = store
        self._title = source.title
        self._cells: list[_Cells] | None = None
        self._con = connect(memory_limit=memory_limit)
        try:
            prepare(self._con, {step for part in self.passes for step in part.compiled.spec.normalize})
            # Cells are the side that the join holds in memory: rows stream past them with all their text.
            self._con.execute("SET disabled_optimizers = 'build_side_probe_side'")
            if isinstance(source, ChoosingSource):
                # The store is read while the database is waited for: for a million rows half a second, on two cores.
                with ThreadPoolExecutor(1) as reader:
                    cells = reader.submit(self._read_cells)
                    chosen = chosen_rows(self._con, source, enrichment)
                    self._cells = cells.result()
            else:
                chosen = chosen_rows(self._con, source, enrichment)
            self.types, self._from, self.select = dict(chosen.columns), chosen.relation, chosen.select
            self._rows_source, self._told_apart = chosen.rows, chosen.told_apart
            self.key = key_sql(enrichment.source.key, self.types)
            self.selected = select_sql(self._from, self.select, self.types)
            self._rules = [
                rules_of(enrichment, part.compiled.spec, self.types, self._from, self._con) for part in self.passes
            ]
            read = {index for part in self.passes for index in part.upstream}
            pairs = [(part.compiled, part.ref) for part in self.passes]
            self._human = corrected(store, enrichment.name, pairs, read)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connection and its temporary tables. Idempotent."""
        self._con.close()

    def sql(self, sql: str, what: str = "planning") -> duckdb.DuckDBPyConnection:
        """Run a statement; DuckDB's errors come out as ours (`what`: see `tables.sql.translate`)."""
        import duckdb

        try:
            return self._con.execute(sql)
        except duckdb.Error as error:
            for rules in self._rules:
                if rules is not None:
                    rules.check(rows=True)  # it was perhaps a rule that fails for some row
            raise translate(error, what) from None

    def one(self, sql: str, what: str = "planning") -> tuple[Any, ...]:
        """The only row of an answer."""
        row = self.sql(sql, what).fetchone()
        assert row is not None
        return row

    # --- expressions

    def aliased_types(self, index: int) -> dict[str, str]:
        """The columns that a pass reads, under our names, with their types."""
        return {self.alias[name]: self.types[name] for name in self.passes[index].compiled.inputs}

    def values_sql(self) -> str:
        """All columns that passes read, and what rules give, under our names, each after a comma."""
        values = "".join(f", {quote_ident(name)} AS {self.alias[name]}" for name in self.inputs)
        return values + self.given_sql()

    def given_sql(self) -> str:
        """What rules give, for the passes that have some, each after a comma."""
        return "".join(f", {rules.sql} AS __g{index}" for index, rules in enumerate(self._rules) if rules is not None)

    def ruled(self) -> list[int]:
        """The passes that have rules."""
        return [index for index, rules in enumerate(self._rules) if rules is not None]

    def canonical_sql(self, index: int, *, as_is: bool = False) -> str:
        """The canonical input of a pass over our names, without what it reads of earlier passes."""
        steps = self.passes[index].compiled.spec.normalize
        row = canonical_row_sql(self.aliased_types(index), steps, as_is=as_is)
        return row if self._rules[index] is None else f"{row} || {given_suffix(f'__g{index}')}"

    def asked_sql(self, index: int) -> str:
        """Whether this run asks a row's cell of the pass, over its reason."""
        return f"({self.passes[index].rule.asked_sql(f'__r{index}')} OR __r{index} = 'upstream')"

    def bare_keys(self) -> list[str]:
        """Columns of the key to compare by beside its text: a scan skips by a column, but not by an expression."""
        key = self._enrichment.source.key
        if [self.key] == [quote_ident(name) for name in key]:
            return []
        return [name for name in key if self.types[name] in _BOUNDED]

    def _hash(self, index: int, *, as_is: bool = False) -> str:
        return hash_sql(self.canonical_sql(index, as_is=as_is))

    def _bytes(self) -> str:
        """About how much room a row's values take."""
        wide = [self.alias[name] for name in self.inputs if self.types[name] not in _NARROW]
        return " + ".join(["0", *(f"coalesce(strlen(CAST({name} AS VARCHAR)), 0)" for name in wide)])

    def _reasons(self) -> str:
        """Each pass's reason as `__r0` …, over its hash and the columns of its cell."""
        return ",\n".join(f"{self._reason(index)} AS __r{index}" for index in range(len(self.passes)))

    def _reason(self, index: int) -> str:
        part = self.passes[index]
        rule = part.rule.joined_sql(f"__was{index} = __h{index}", f"__comparable{index}", f"__unchanged{index}")
        human = f"WHEN __whole{index} THEN 'cached'" if index in self._human else ""
        if not part.upstream:
            return f"CASE {human} ELSE {rule} END" if human else rule
        asked = " OR ".join(self.asked_sql(number) for number in part.upstream)
        hashes = " || ".join(f"coalesce({self._values_hash(number)}, '')" for number in part.upstream)
        return f"""CASE {human} WHEN __unchanged{index} IS NULL THEN 'new'
            WHEN ({asked}) OR __upstream_hash{index} <> {hash_sql(hashes)} THEN 'upstream'
            ELSE {rule} END"""

    def _values_hash(self, index: int) -> str:
        """The hash of what later passes read of a cell: what people say lies over what was answered."""
        answered = f"__values_hash{index}"
        return f"__fixed{index}, {answered}" if index in self._human else answered

    # --- judging

    def judge(self) -> None:
        """Make `__todo`: of each row that is not idle its key, `__bytes`, hashes, reasons and whether it is asked."""
        held, columns = self._load_cells()
        each = range(len(self.passes))
        cells = " ".join(f"LEFT JOIN __c{index} ON __key{index} = __k" for index in each)
        cells += "".join(f" LEFT JOIN __p{index} ON __person{index} = __k" for index in self._human)
        if held:
            self._note(cells)
            return
        # Text that went through a join that does not fit into memory would be written to disk and read again: for 10
        # million rows of 284 bytes that is as dear as hashing them. A row whose text hashes as it stands to what the
        # store knows is judged without it; the few others are joined with their text afterwards.
        raw = "".join(f", {self._hash(index, as_is=True)} AS __h{index}" for index in each)
        bare = "".join(f", __n{at} AS __m{at}" for at in range(len(self.bare_keys())))
        self.sql(
            f"""CREATE TEMP TABLE __maybe AS WITH __t AS ({self._rows()}),
            __s AS (SELECT *{raw} FROM __t),
            __j AS (SELECT *, {self._reasons()} FROM __s {cells})
            SELECT __k AS __key{bare}, {", ".join(columns)} FROM __j WHERE NOT ({self._idle()})""",
            "select.where",
        )
        same = "".join(f" AND __n{at} = __m{at}" for at in range(len(self.bare_keys())))
        self._note(f"JOIN __maybe ON __key = __k{same}")

    def _rows(self) -> str:
        """The selected rows under our names."""
        names = "".join(f", {quote_ident(name)} AS __n{at}" for at, name in enumerate(self.bare_keys()))
        return f"SELECT {self.key} AS __k{names}{self.values_sql()} FROM ({self.selected})"

    def _idle(self) -> str:
        return " AND ".join(f"__r{index} = 'cached'" for index in range(len(self.passes)))

    def _note(self, joins: str) -> None:
        """Make `__todo` of the rows and what the joins add to them: the columns of their cells."""
        each = range(len(self.passes))
        raw = "".join(f", {self._hash(index, as_is=True)} AS __raw{index}" for index in each)
        # Text that hashes as it stands to what the store knows is unchanged: it needs no normalising.
        hashes = "".join(
            f", CASE WHEN __raw{index} = __was{index} THEN __raw{index} ELSE {self._hash(index)} END AS __h{index}"
            for index in each
        )
        bare = "".join(f", __n{at}" for at in range(len(self.bare_keys())))
        asked = " OR ".join(self.asked_sql(index) for index in each)
        keep = ", ".join(f"__h{index}, __r{index}" for index in each)
        # Where rules give every field, nothing is to be called.
        whole = {
            index: f"coalesce(len(json_keys(__g{index})) = {len(self.passes[index].compiled.spec.fields)}, false)"
            for index in self.ruled()
        }
        ruled = "".join(f", {sql} AS __w{index}" for index, sql in whole.items())
        keep += "".join(f", __w{index}" for index in whole)
        self.sql(
            f"""CREATE TEMP TABLE __todo AS WITH __t AS ({self._rows()}),
            __s AS (SELECT *{raw} FROM __t {joins}),
            __j AS (SELECT __k{bare}, {self._bytes()} AS __bytes{hashes}{ruled}, {self._reasons()} FROM __s)
            SELECT __k{bare}, __bytes, {keep}, ({asked}) AS __asked FROM __j
            WHERE NOT ({self._idle()}) OR __k IS NULL""",
            "select.where",
        )

    def _load_cells(self) -> tuple[bool, list[str]]:
        """The store's cells as relations that a join reads once.

        Whether all of them are held in memory now (else they are streamed), and the columns they add to a row.
        """
        import pyarrow as pa

        self.sql(f"CREATE TYPE __reason AS ENUM ({', '.join(repr(reason.value) for reason in Reason)})")
        added: list[str] = []
        held = True
        for index, found in enumerate(self._cells or self._read_cells()):
            part, kept, held = self.passes[index], found.kept, found.held
            name = f"__arrow{index}"
            self._con.register(name, found.cells)
            # The join holds a row of this in memory for every cell: so it is narrow.
            named = {
                f"__was{index}": "source_hash",
                f"__comparable{index}": part.rule.comparable_sql(name),
                f"__unchanged{index}": f"CAST({part.rule.unchanged_sql(name)} AS __reason)",
                **{f"__{column}{index}": column for column in kept},
            }
            selected = "".join(f", {sql} AS {column}" for column, sql in named.items())
            self.sql(f"CREATE TEMP VIEW __c{index} AS SELECT key AS __key{index}{selected} FROM {name}")
            added += named
        for index, human in self._human.items():
            keys = list(human.whole)
            people = {
                f"__person{index}": pa.array(keys, pa.string()),
                f"__whole{index}": pa.array([human.whole[key] for key in keys], pa.bool_()),
                f"__fixed{index}": pa.array([human.hashes.get(key) for key in keys], pa.string()),
            }
            self._con.register(f"__p{index}", pa.table(people))
            added += [f"__whole{index}", f"__fixed{index}"]
        return held, added

    def _read_cells(self) -> list[_Cells]:
        """The store's cells of every pass, as far as they are held in memory."""
        import pyarrow as pa

        read = {index for part in self.passes for index in part.upstream}
        room = HELD_CELLS
        out = []
        for index, part in enumerate(self.passes):
            columns = ["key", "source_hash", "recipe_id", "state", "reason", "tries"]
            columns += ["answered_at"] if part.rule.ttl_s is not None else []
            kept = ["upstream_hash"] if part.upstream else []
            kept += ["values_hash"] if index in read else []
            cells, count = _cells(self._store, part.ref.pass_id, columns + kept, room, pa)
            room = -1 if count is None else room - count
            out.append(_Cells(cells, kept, room >= 0))
        return out

    def count_rows(self) -> tuple[int, int, dict[str, int]]:
        """Rows in the source, rows selected, and these by why `select.missing` counts as missing in them.

        Null and duplicate keys are refused with the offenders shown.
        """
        select = self.select
        if self._told_apart:
            rows = int(self.one(f"SELECT count(*) FROM {self._from}")[0])
        else:
            rows = check_keys(self._con, self._from, self._enrichment.source.key, self.types, self._title)
        every = rows if self._rows_source is None else self._rows_source
        if select.missing is not None and not select.known:
            reason = missing_reason_sql(select, self.types)
            found = self.sql(
                f"SELECT r, count(*) FROM (SELECT {reason} AS r FROM ({self.selected})) GROUP BY r ORDER BY r",
                "select.where",
            ).fetchall()
            # A row is selected exactly where it has such a reason.
            missing = {str(name): int(count) for name, count in found}
            return every, sum(missing.values()), missing
        if select.where is not None or select.known:
            return every, self.one(f"SELECT count(*) FROM ({self.selected})", "select.where")[0], {}
        return every, rows, {}


def _cells(store: Store, pass_id: int, columns: Sequence[str], room: int, pa: Any) -> tuple[Any, int | None]:
    """The cells of a pass as Arrow with a fixed schema: up to `room` as a table, with their number; more as a stream
    that can be read once, with None."""
    types: Mapping[str, Any] = {"recipe_id": pa.int32(), "tries": pa.int32(), "answered_at": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    batches = (batch.cast(schema) for batch in store.scan_cells(pass_id, columns))
    held: deque[Any] = deque()
    count = 0
    while count <= room:
        batch = next(batches, None)
        if batch is None:
            return pa.Table.from_batches(held, schema), count
        held.append(batch)
        count += batch.num_rows
    return pa.RecordBatchReader.from_batches(schema, _emptied(held, batches)), None


def _emptied(held: deque[Any], more: Iterator[Any]) -> Iterator[Any]:
    """What is held, each let go once it was read, and then the rest."""
    while held:
        yield held.popleft()
    yield from more
