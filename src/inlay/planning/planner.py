"""From a declaration, a source and a store to a plan: which cells, why, at what price.

All rows are judged inside DuckDB in one pass over the source: each pass's input is hashed there and joined with the
cells that the store holds. Rows that need something land in a temporary table (`work`), which the run then streams.
What stays true: planning pays nothing and writes nothing; the SQL gives the reasons of `Rule.decide`; memory stays
bounded, since DuckDB spills what does not fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inlay.contracts import Source, Store
from inlay.fingerprint import TAG
from inlay.fingerprint_sql import canonical_row_sql, hash_sql, key_sql, quote_ident, value_sql
from inlay.planning.decide import Rule
from inlay.planning.estimate import Estimator, Pricing
from inlay.planning.plan import PassPlan, Plan
from inlay.spec.compiled import CompiledPass
from inlay.spec.model import Enrichment
from inlay.tables.select import check_keys, missing_reason_sql, order_sql, select_sql
from inlay.tables.sql import connect, prepare, translate
from inlay.types import PassRef, Reason

if TYPE_CHECKING:
    import duckdb

ADDRESS_CHUNK = 2_000
SAMPLE = 200


@dataclass(frozen=True, slots=True)
class PlannedPass:
    """What the planner needs to know of one pass; in topological order, `upstream` by index."""

    compiled: CompiledPass
    ref: PassRef
    model: str
    rule: Rule
    pricing: Pricing
    upstream: tuple[int, ...]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the recipe under the resolved model."""
        return self.compiled.spec.digest(self.model)


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row to work on: its key, its values by column, and by pass the reason (None: leave alone) and source hash."""

    key: str
    values: Mapping[str, Any]
    reasons: list[Reason | None]
    source_hashes: list[bytes]


class Planner:
    """Judges every row once; then `plan` holds the figures and `rows()` streams the work. Close it when done."""

    def __init__(
        self,
        enrichment: Enrichment,
        source: Source,
        store: Store,
        passes: Sequence[PlannedPass],
        *,
        limit: int | None = None,
        seconds_per_call: float = 2.0,
        memory_limit: str = "1GB",
    ) -> None:
        self._enrichment = enrichment
        self._source = source
        self._store = store
        self._passes = list(passes)
        self._limit = enrichment.select.limit if limit is None else limit
        self._seconds_per_call = seconds_per_call
        self._con = connect(memory_limit=memory_limit)
        try:
            prepare(self._con, {step for part in self._passes for step in part.compiled.spec.normalize})
            # Cells are the side that the join holds in memory: rows stream past them with all their text.
            self._con.execute("SET disabled_optimizers = 'build_side_probe_side'")
            self._types = dict(source.columns())
            self._from = source.attach(self._con)
            self.plan = self._judge()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connection and its temporary tables. Idempotent."""
        self._con.close()

    # --- judging

    def _sql(self, sql: str, what: str = "planning") -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._con.execute(sql)
        except duckdb.Error as error:
            raise translate(error, what) from None

    def _one(self, sql: str, what: str = "planning") -> tuple[Any, ...]:
        row = self._sql(sql, what).fetchone()
        assert row is not None
        return row

    def _selected(self) -> str:
        return select_sql(self._from, self._enrichment.select, self._types)

    def _hash(self, index: int, alias: Mapping[str, str], *, as_is: bool = False) -> str:
        """The hash of what a pass reads, over columns by their aliases."""
        part = self._passes[index]
        columns = {alias[name]: self._types[name] for name in part.compiled.inputs}
        return hash_sql(canonical_row_sql(columns, part.compiled.spec.normalize, as_is=as_is))

    def _inputs(self, part: PlannedPass) -> dict[str, str]:
        return {name: self._types[name] for name in part.compiled.inputs}

    def _judge(self) -> Plan:
        spec = self._enrichment
        key = key_sql(spec.source.key, self._types)
        selected = self._selected()
        self._load_cells()
        names = sorted({name for part in self._passes for name in part.compiled.inputs})
        # Columns of the source under names of our own, in the same order, so that none meets a column of the cells.
        alias = {name: f"__v{number:05}" for number, name in enumerate(names)}
        each = range(len(self._passes))
        columns = "".join(f", {quote_ident(name)} AS {alias[name]}" for name in names)
        raw = "".join(f", {self._hash(index, alias, as_is=True)} AS __raw{index}" for index in each)
        joins = "\n".join(f"LEFT JOIN __c{index} ON __c{index}.key = __s.__k" for index in each)
        # Text that hashes as it stands to what the store knows is unchanged: it needs no normalising.
        hashes = "".join(
            f", CASE WHEN __raw{index} = __c{index}.__was THEN __raw{index} ELSE {self._hash(index, alias)} END"
            f" AS __h{index}"
            for index in each
        )
        reasons = ",\n".join(f"{self._reason_sql(index)} AS __r{index}" for index in each)
        idle = " AND ".join(f"__r{index} = 'cached'" for index in each)
        asked = " OR ".join(self._asked(index) for index in each)
        keep = ", ".join(f"__h{index}, __r{index}" for index in each)
        self._sql(
            f"""CREATE TEMP TABLE __todo AS
            WITH __t AS (SELECT {key} AS __k{columns} FROM ({selected})),
            __s AS (SELECT *{raw} FROM __t),
            __j AS (SELECT __s.__k{hashes}, {reasons} FROM __s {joins})
            SELECT __k, {keep}, ({asked}) AS __asked FROM __j WHERE NOT ({idle}) OR __k IS NULL""",
            "select.where",
        )
        rows_source, rows_selected = self._count_rows(selected)
        rows_to_do = self._one("SELECT count(*) FROM __todo WHERE __asked")[0]
        self._choose(rows_to_do)
        rows_taken = rows_to_do if self._limit is None else min(rows_to_do, self._limit)
        passes = tuple(self._pass_plan(index, rows_selected) for index in range(len(self._passes)))
        return Plan(
            enrichment=spec.name,
            source=self._source.title,
            rows_source=rows_source,
            rows_selected=rows_selected,
            rows_to_do=rows_to_do,
            rows_taken=rows_taken,
            missing=self._missing_counts(),
            passes=passes,
            minutes=self._minutes(passes),
            limit=self._limit,
        )

    def _load_cells(self) -> None:
        """The store's cells as relations that the join reads once, streamed."""
        import pyarrow as pa

        read = {index for part in self._passes for index in part.upstream}
        self._sql(f"CREATE TYPE __reason AS ENUM ({', '.join(repr(reason.value) for reason in Reason)})")
        for index, part in enumerate(self._passes):
            columns = ["key", "source_hash", "recipe_id", "state", "reason", "tries"]
            columns += ["answered_at"] if part.rule.ttl_s is not None else []
            kept = ["upstream_hash"] if part.upstream else []
            kept += ["values_hash"] if index in read else []
            name = f"__arrow{index}"
            self._con.register(name, _reader(self._store, part.ref.pass_id, columns + kept, pa))
            # Read exactly once, by the join, which holds a row of this in memory for every cell: so it is narrow.
            self._sql(
                f"""CREATE TEMP VIEW __c{index} AS SELECT {", ".join(["key", *kept])}, source_hash AS __was,
                {part.rule.comparable_sql(name)} AS __comparable,
                CAST({part.rule.unchanged_sql(name)} AS __reason) AS __unchanged FROM {name}"""
            )

    def _reason_sql(self, index: int) -> str:
        part = self._passes[index]
        cell = f"__c{index}"
        rule = part.rule.joined_sql(f"{cell}.__was = __h{index}", f"{cell}.__comparable", f"{cell}.__unchanged")
        if not part.upstream:
            return rule
        asked = " OR ".join(self._asked(number) for number in part.upstream)
        hashes = " || ".join(f"coalesce(__c{number}.values_hash, '')" for number in part.upstream)
        return f"""CASE WHEN {cell}.__unchanged IS NULL THEN 'new'
            WHEN ({asked}) OR {cell}.upstream_hash <> {hash_sql(hashes)} THEN 'upstream'
            ELSE {rule} END"""

    def _asked(self, index: int) -> str:
        return f"({self._passes[index].rule.asked_sql(f'__r{index}')} OR __r{index} = 'upstream')"

    def _count_rows(self, selected: str) -> tuple[int, int]:
        """Rows in the source and rows selected; null and duplicate keys are refused with the offenders shown."""
        select = self._enrichment.select
        key = self._enrichment.source.key
        rows_source = check_keys(self._con, self._from, key, self._types, self._source.title)
        if select.where is None and select.missing is None:
            return rows_source, rows_source
        return rows_source, self._one(f"SELECT count(*) FROM ({selected})", "select.where")[0]

    def _choose(self, rows_to_do: int) -> None:
        """`__work`: the rows that this run takes, the most urgent first where `limit` cuts."""
        if self._limit is None or self._limit >= rows_to_do:
            self._sql("CREATE TEMP VIEW __work AS SELECT * FROM __todo WHERE __asked")
            return
        key = key_sql(self._enrichment.source.key, self._types)
        order = order_sql(self._enrichment.select)
        self._sql(
            f"""CREATE TEMP TABLE __taken AS SELECT {key} AS __k FROM ({self._selected()})
            WHERE {key} IN (SELECT __k FROM __todo WHERE __asked) {order} LIMIT {int(self._limit)}""",
            "select.order_by",
        )
        self._sql("CREATE TEMP VIEW __work AS SELECT * FROM __todo WHERE __asked AND __k IN (SELECT __k FROM __taken)")

    def _missing_counts(self) -> dict[str, int]:
        select = self._enrichment.select
        if select.missing is None:
            return {}
        reason = missing_reason_sql(select, self._types)
        rows = self._sql(
            f"SELECT r, count(*) FROM (SELECT {reason} AS r FROM ({self._selected()})) GROUP BY r ORDER BY r"
        ).fetchall()
        return {str(name): count for name, count in rows if name is not None}

    # --- figures

    def _pass_plan(self, index: int, rows_selected: int) -> PassPlan:
        part = self._passes[index]
        reasons = {
            Reason(name): count
            for name, count in self._sql(f"SELECT __r{index}, count(*) FROM __todo GROUP BY 1").fetchall()
        }
        noted = sum(count for reason, count in reasons.items() if reason is not Reason.CACHED)
        reasons[Reason.CACHED] = rows_selected - noted
        shape = ", ".join(f"__h{number}" for number in (index, *self._ancestors(index)))
        asked, distinct = self._one(
            f"SELECT count(*), count(DISTINCT ({shape})) FROM __work WHERE {self._asked(index)}"
        )
        reused = 0 if part.upstream or not asked else self._reused(index)
        calls = max(0, distinct - reused)
        figures = Estimator(part.compiled, part.pricing).estimate(self._sample(index) if calls else [], calls)
        return PassPlan(
            name=part.compiled.spec.name,
            model=part.model,
            reasons=reasons,
            asked=asked,
            reused=reused,
            distinct=calls,
            input_tokens=figures.input_tokens,
            output_tokens=figures.output_tokens,
            cost_usd=figures.cost_usd,
            worst_usd=figures.worst_usd,
        )

    def _ancestors(self, index: int) -> list[int]:
        """Every pass that this one reads, directly or not: equal inputs to all of them give equal answers."""
        found: list[int] = []
        queue = list(self._passes[index].upstream)
        while queue:
            number = queue.pop()
            if number not in found:
                found.append(number)
                queue.extend(self._passes[number].upstream)
        return sorted(found)

    def _reused(self, index: int) -> int:
        """How many distinct inputs have their answer in the store already, given for another row or earlier."""
        part = self._passes[index]
        canonical = canonical_row_sql(self._inputs(part), part.compiled.spec.normalize)
        prefix = "".join(f"\\x{byte:02X}" for byte in TAG.encode() + part.digest)
        key = key_sql(self._enrichment.source.key, self._types)
        # Whatever the reason: an answer to this very input that is young enough is not bought again.
        cursor = self._sql(
            f"""SELECT DISTINCT sha256('{prefix}'::BLOB || encode({canonical})) FROM ({self._selected()})
            WHERE {key} IN (SELECT __k FROM __work WHERE {self._asked(index)})"""
        )
        found = 0
        while rows := cursor.fetchmany(ADDRESS_CHUNK):
            answers = self._store.find_answers([bytes.fromhex(text) for (text,) in rows])
            found += sum(answer.created_at >= part.rule.since for answer in answers.values())
        return found

    def _sample(self, index: int) -> list[Mapping[str, Any]]:
        part = self._passes[index]
        key = key_sql(self._enrichment.source.key, self._types)
        names = part.compiled.inputs
        if not names:
            return [{}]
        columns = ", ".join(f"{value_sql(name, self._types[name])} AS {quote_ident(name)}" for name in names)
        rows = self._sql(
            f"""SELECT {columns} FROM ({self._selected()}) WHERE {key} IN
            (SELECT __k FROM __work WHERE {self._asked(index)} LIMIT {SAMPLE}) LIMIT {SAMPLE}"""
        ).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _minutes(self, passes: Sequence[PassPlan]) -> float | None:
        calls = sum(part.calls for part in passes)
        if not calls:
            return None
        limits = self._enrichment.limits
        tokens = sum(part.input_tokens + part.output_tokens for part in passes if part.calls)
        seconds = [calls * self._seconds_per_call / (limits.concurrency or 64)]
        if limits.requests_per_second:
            seconds.append(calls / limits.requests_per_second)
        if limits.requests_per_minute:
            seconds.append(calls * 60 / limits.requests_per_minute)
        if limits.tokens_per_minute:
            seconds.append(tokens * 60 / limits.tokens_per_minute)
        depth = max(len(self._ancestors(index)) + 1 for index in range(len(self._passes)))
        return max(max(seconds), self._seconds_per_call * depth) / 60

    # --- the work

    def rows(self, batch: int = 256) -> Iterator[list[PlannedRow]]:
        """The rows to work on, most urgent first, in batches; streamed, in bounded memory. May be called once."""
        wanted = sorted({name for part in self._passes for name in part.compiled.inputs})
        number = len(self._passes)
        columns = "".join(f", {value_sql(name, self._types[name])} AS {quote_ident(name)}" for name in wanted)
        parts = "".join(f", __work.__r{index}, __work.__h{index}" for index in range(number))
        key = key_sql(self._enrichment.source.key, self._types)
        order = order_sql(self._enrichment.select)
        cursor = self._sql(
            f"""SELECT __work.__k{parts}{columns} FROM (SELECT *, {key} AS __k FROM ({self._selected()})) AS __s
            JOIN __work ON __s.__k = __work.__k {order}""",
            "select.order_by",
        )
        rules = [part.rule for part in self._passes]
        while rows := cursor.fetchmany(batch):
            out = []
            for row in rows:
                reasons: list[Reason | None] = []
                hashes: list[bytes] = []
                for index in range(number):
                    reason = _REASONS[row[1 + 2 * index]]
                    asked = reason is Reason.UPSTREAM or rules[index].asks(reason)
                    reasons.append(reason if asked else None)
                    hashes.append(bytes.fromhex(row[2 + 2 * index]))
                values = dict(zip(wanted, row[1 + 2 * number :], strict=True))
                out.append(PlannedRow(row[0], values, reasons, hashes))
            yield out


_REASONS = {reason.value: reason for reason in Reason}


def _reader(store: Store, pass_id: int, columns: Sequence[str], pa: Any) -> Any:
    """The store's cells as one Arrow stream with a fixed schema."""
    types = {"recipe_id": pa.int32(), "tries": pa.int32(), "answered_at": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.string())) for name in columns])
    batches = (batch.cast(schema) for batch in store.scan_cells(pass_id, columns))
    return pa.RecordBatchReader.from_batches(schema, batches)


def rule_for(
    enrichment: Enrichment,
    compiled: CompiledPass,
    ref: PassRef,
    *,
    recipes: Mapping[int, str],
    refresh: frozenset[Reason],
    now: float | None = None,
) -> Rule:
    """The rule of a pass: `recipes` are those its cells were answered under (number to canonical text)."""
    import orjson

    spec = compiled.spec
    mine = (sorted(spec.inputs), sorted(f"{a}.{b}" for a, b in spec.upstream), sorted(spec.normalize))
    comparable = {ref.recipe_id}
    for recipe_id, text in recipes.items():
        old = orjson.loads(text)
        if (old["inputs"], old["upstream"], old["normalize"]) == mine:
            comparable.add(recipe_id)
    return Rule(
        recipe_id=ref.recipe_id,
        comparable=frozenset(comparable),
        now=time.time() if now is None else now,
        ttl_s=spec.ttl_s,
        max_tries=enrichment.failures.max_tries,
        refresh=refresh,
    )
