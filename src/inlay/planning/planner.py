"""From a declaration, a source and a store to a plan: which cells, why, at what price.

`Judging` looks at every row once and notes those that need something. Of the rows that this run takes, a few are
fetched with their values in one more look at the source, and everything that follows reads those; many stay where they
are, and are streamed from the source when the run wants them.
What stays true: planning pays nothing and writes nothing; memory stays bounded, however many rows there are.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inlay.contracts import Source, Store
from inlay.fingerprint import TAG
from inlay.fingerprint_sql import quote_ident, value_sql
from inlay.planning.decide import Rule
from inlay.planning.estimate import Estimator
from inlay.planning.judging import Judging, PlannedPass
from inlay.planning.plan import PassPlan, Plan
from inlay.spec.compiled import CompiledPass
from inlay.spec.model import Enrichment
from inlay.tables.select import order_sql
from inlay.types import PassRef, Reason

ADDRESS_CHUNK = 2_000
SAMPLE = 200
# Rows are few up to here: so many rows, of so many bytes.
FEW_ROWS = 20_000
FEW_BYTES = 32_000_000


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row to work on: its key, its values by column, and by pass the reason (None: leave alone) and source hash.

    `given` is what the pass's rules give it (see `tables.rules`), where they give something.
    """

    key: str
    values: Mapping[str, Any]
    reasons: list[Reason | None]
    source_hashes: list[bytes]
    given: Mapping[int, str]


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
        self._store = store
        self._passes = list(passes)
        self._limit = enrichment.select.limit if limit is None else limit
        self._seconds_per_call = seconds_per_call
        self._judging = Judging(enrichment, source, store, passes, memory_limit=memory_limit)
        try:
            self._order = order_sql(self._judging.select)
            self.plan = self._plan(source.title)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release the connection and its temporary tables. Idempotent."""
        self._judging.close()

    def _plan(self, title: str) -> Plan:
        self._judging.judge()
        rows_source, rows_selected, missing = self._judging.count_rows()
        rows_to_do, rows_taken = self._take()
        passes = tuple(self._pass_plan(index, rows_selected) for index in range(len(self._passes)))
        return Plan(
            enrichment=self._enrichment.name,
            source=title,
            rows_source=rows_source,
            rows_selected=rows_selected,
            rows_to_do=rows_to_do,
            rows_taken=rows_taken,
            missing=missing,
            passes=passes,
            minutes=self._minutes(passes),
            limit=self._limit,
        )

    # --- which rows this run takes

    def _take(self) -> tuple[int, int]:
        """Make `__work`, the rows that this run takes, and where they are few `__few`: them, with their values.

        Where `limit` cuts, the most urgent are taken. Returns how many rows need something and how many are taken.
        """
        judging = self._judging
        rows, size = judging.one("SELECT count(*), coalesce(sum(__bytes), 0) FROM __todo WHERE __asked")
        taken = rows if self._limit is None else min(rows, self._limit)
        cut = f"LIMIT {int(taken)}" if taken < rows else ""
        self._few = taken <= FEW_ROWS and size * taken <= FEW_BYTES * max(rows, 1)
        judging.sql("CREATE TEMP VIEW __work AS SELECT * FROM __todo WHERE __asked")
        if self._few:
            fetched = f"{self._joined(judging.values_sql())} {self._order} {cut}"
            judging.sql(f"CREATE TEMP TABLE __few AS {fetched}", "select.order_by")
        elif cut:
            judging.sql(
                f"""CREATE TEMP TABLE __taken AS SELECT {judging.key} AS __k FROM ({judging.selected})
                WHERE {judging.key} IN (SELECT __k FROM __work) {self._order} {cut}""",
                "select.order_by",
            )
        if cut:
            name = "__few" if self._few else "__taken"
            judging.sql(
                "CREATE OR REPLACE TEMP VIEW __work AS SELECT * FROM __todo "
                f"WHERE __asked AND __k IN (SELECT __k FROM {name})"
            )
        return rows, taken

    def _joined(self, values: str) -> str:
        """A query for the rows of `__work` with values from the source (columns, each after a comma), in its order."""
        judging = self._judging
        each = range(len(self._passes))
        parts = "".join(f", __work.__r{index}, __work.__h{index}" for index in each)
        # Equal texts are equal keys. By the bare columns, too, a scan skips what cannot be among a few rows.
        bare = "".join(f" AND {quote_ident(name)} = __work.__n{at}" for at, name in enumerate(judging.bare_keys()))
        return (
            f"SELECT __work.__k{parts}{values} FROM ({judging.selected}) AS __s "
            f"JOIN __work ON {judging.key} = __work.__k{bare}"
        )

    def _rows(self) -> str:
        """The rows that this run takes, in no order; something to select FROM."""
        return "__few" if self._few else f"({self._joined(self._judging.values_sql())})"

    # --- figures

    def _pass_plan(self, index: int, rows_selected: int) -> PassPlan:
        part = self._passes[index]
        reasons = {
            Reason(name): count
            for name, count in self._judging.sql(f"SELECT __r{index}, count(*) FROM __todo GROUP BY 1").fetchall()
        }
        noted = sum(count for reason, count in reasons.items() if reason is not Reason.CACHED)
        reasons[Reason.CACHED] = rows_selected - noted
        shape = ", ".join(f"__h{number}" for number in (index, *self._ancestors(index)))
        whole = f"__w{index}" if index in self._judging.ruled() else "false"
        asked, ruled, distinct = self._judging.one(
            f"SELECT count(*), count(*) FILTER ({whole}), count(DISTINCT ({shape})) FILTER (NOT {whole}) "
            f"FROM __work WHERE {self._judging.asked_sql(index)}"
        )
        reused = 0 if part.upstream or not distinct else self._reused(index)
        calls = max(0, distinct - reused)
        past = self._store.recent_usage(part.ref.pass_id, part.ref.recipe_id) if calls and not part.pricing.free else []
        figures = Estimator(part.compiled, part.pricing).estimate(self._sample(index) if calls else [], calls, past)
        return PassPlan(
            name=part.compiled.spec.name,
            model=part.label or part.model,
            reasons=reasons,
            asked=asked,
            reused=reused,
            distinct=calls,
            input_tokens=figures.input_tokens,
            output_tokens=figures.output_tokens,
            cost_usd=figures.cost_usd,
            worst_usd=figures.worst_usd,
            ruled=ruled,
            local=part.pricing.free,
            pack=figures.pack,
            fused=part.fused,
            low_usd=figures.low_usd,
            high_usd=figures.high_usd,
            seen=figures.seen,
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
        canonical = self._judging.canonical_sql(index)
        open_ = f" AND __k IN (SELECT __k FROM __work WHERE NOT __w{index})" if index in self._judging.ruled() else ""
        prefix = "".join(f"\\x{byte:02X}" for byte in TAG.encode() + part.digest)
        # Whatever the reason: an answer to this very input that is young enough is not bought again.
        cursor = self._judging.sql(
            f"SELECT DISTINCT sha256('{prefix}'::BLOB || encode({canonical})) FROM {self._rows()} "
            f"WHERE {self._judging.asked_sql(index)}{open_}"
        )
        found = 0
        while rows := cursor.fetchmany(ADDRESS_CHUNK):
            answers = self._store.find_answers([bytes.fromhex(text) for (text,) in rows])
            found += sum(answer.created_at >= part.rule.since for answer in answers.values())
        return found

    def _sample(self, index: int) -> list[Mapping[str, Any]]:
        names = self._passes[index].compiled.inputs
        if not names:
            return [{}]
        judging = self._judging
        values = ", ".join(value_sql(judging.alias[name], judging.types[name]) for name in names)
        rows = judging.sql(
            f"SELECT {values} FROM {self._rows()} WHERE __k IN "
            f"(SELECT __k FROM __work WHERE {judging.asked_sql(index)} LIMIT {SAMPLE}) LIMIT {SAMPLE}"
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
        judging = self._judging
        wanted = judging.inputs
        number = len(self._passes)
        ruled = judging.ruled()
        if self._few:
            values = "".join(f", {value_sql(judging.alias[name], judging.types[name])}" for name in wanted)
            parts = "".join(f", __r{index}, __h{index}" for index in range(number))
            values += "".join(f", __g{index}" for index in ruled)
            query = f"SELECT __k{parts}{values} FROM __few"
        else:
            values = "".join(f", {value_sql(name, judging.types[name])}" for name in wanted)
            query = f"{self._joined(values + judging.given_sql())} {self._order}"
        cursor = judging.sql(query, "select.order_by")
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
                end = len(row) - len(ruled)
                values_of = dict(zip(wanted, row[1 + 2 * number : end], strict=True))
                given = {index: text for index, text in zip(ruled, row[end:], strict=True) if text is not None}
                out.append(PlannedRow(row[0], values_of, reasons, hashes, given))
            yield out


_REASONS = {reason.value: reason for reason in Reason}


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
