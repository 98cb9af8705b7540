"""Who was paid what: the attempts of an SQL store summed by run, pass, model and outcome.

What stays true: pruned attempts live on in `attempt_sums`, so the ledger's total is what was ever spent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inlay.stores.rows import rows_in
from inlay.stores.transactions import Con, is_file
from inlay.types import Attempt, Savings, Usage

_ATTEMPT = (
    "attempt_id, fingerprint, run_id, opened_at, closed_at, outcome, cost, estimated, input_tokens, output_tokens, "
    "cached_tokens, cache_write_tokens, reasoning_tokens, model, latency_ms, answer_id, mode, "
    "sharing, saved_cache, saved_shared, saved_batch"
)
_ATTEMPT_2 = _ATTEMPT.split(", mode")[0] + ", 'live', 1, 0, 0, 0"
# What lines of the ledger are told apart by, and what each of them sums up.
LEDGER_PLACE = ("run_id", "pass_id", "model", "outcome", "mode", "day")
LEDGER_SUMS = (
    "attempts",
    "input_tokens",
    "output_tokens",
    "cost",
    "answers",
    "latency_ms",
    "calls",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "saved_cache",
    "saved_shared",
    "saved_batch",
)
MILLION = 1_000_000
DAY_MS = 86_400_000
SUM_COLUMNS = ", ".join((*LEDGER_PLACE, *LEDGER_SUMS))
SUM_ATTEMPTS = (
    f"SELECT run_id, pass_id, model, outcome, mode, opened_at / {DAY_MS}, count(*), sum(input_tokens), "
    "sum(output_tokens), sum(cost), count(answer_id), coalesce(sum(latency_ms), 0), "
    f"sum(({MILLION} + sharing / 2) / sharing), sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), "
    "sum(saved_cache), sum(saved_shared), sum(saved_batch) FROM attempts WHERE {where} "
    "GROUP BY 1, 2, 3, 4, 5, 6"
)
_OF_ENRICHMENT = "run_id IN (SELECT run_id FROM runs WHERE enrichment = ?{one})"


# The same of a store that an earlier Inlay wrote and that may not be migrated: all was live, and nothing shared.
_SUM_ATTEMPTS_2 = (
    f"SELECT run_id, pass_id, model, outcome, 'live', opened_at / {DAY_MS}, count(*), sum(input_tokens), "
    f"sum(output_tokens), sum(cost), count(answer_id), coalesce(sum(latency_ms), 0), count(*) * {MILLION}, "
    "sum(cached_tokens), sum(cache_write_tokens), sum(reasoning_tokens), 0, 0, 0 FROM attempts WHERE {where} "
    "GROUP BY 1, 2, 3, 4, 5, 6"
)
_SUMS_2 = (
    "SELECT run_id, pass_id, model, outcome, 'live', coalesce((SELECT started_at / 86400000 FROM runs r "
    "WHERE r.run_id = attempt_sums.run_id), 0), attempts, input_tokens, output_tokens, cost, answers, latency_ms, "
    f"attempts * {MILLION}, 0, 0, 0, 0, 0, 0 FROM attempt_sums WHERE {{where}}"
)


def _before_modes(con: Con) -> bool:
    return is_file(con) and not any(row[1] == "mode" for row in con.execute("PRAGMA table_info(attempts)"))


def ledger_rows(con: Con, enrichment: str, run_id: int | None, *, days: bool) -> list[dict[str, Any]]:
    """See `contracts.Store.ledger`. Closed attempts only; what open ones reserved is in `spending`."""
    names: dict[int, str] = dict(con.execute("SELECT pass_id, name FROM passes"))
    chosen = (enrichment,) if run_id is None else (enrichment, run_id)
    where = _OF_ENRICHMENT.format(one="" if run_id is None else " AND run_id = ?")
    if _before_modes(con):
        sums, of_sums = _SUM_ATTEMPTS_2, _SUMS_2
    else:
        sums, of_sums = SUM_ATTEMPTS, f"SELECT {SUM_COLUMNS} FROM attempt_sums WHERE {{where}}"
    query = " UNION ALL ".join(part.format(where=where) for part in (sums, of_sums))
    return ledger_lines(con.execute(query, chosen * 2), names, days=days)


def ledger_lines(rows: Iterable[Sequence[Any]], names: Mapping[int, str], *, days: bool) -> list[dict[str, Any]]:
    """The ledger of a store, from rows of LEDGER_PLACE and LEDGER_SUMS (calls in millionths); every store's alike."""
    width = len(LEDGER_PLACE) if days else len(LEDGER_PLACE) - 1
    sums: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        known = sums.setdefault(tuple(row[:width]), [0] * len(LEDGER_SUMS))
        for place, value in enumerate(row[len(LEDGER_PLACE) :]):
            known[place] += value
    lines: list[dict[str, Any]] = []
    for place, values in sorted(sums.items()):
        line = {**dict(zip(LEDGER_PLACE, place, strict=False)), **dict(zip(LEDGER_SUMS, values, strict=True))}
        line["pass"] = names.get(line.pop("pass_id"), "")
        line["latency_ms"] = line["latency_ms"] / line["answers"] if line["answers"] else 0.0
        line["calls"] = round(line["calls"] / MILLION, 3)
        for name in ("cost", "saved_cache", "saved_shared", "saved_batch"):
            line[f"{name}_nusd"] = line.pop(name)
        if days:
            line["day"] = time.strftime("%Y-%m-%d", time.gmtime(line["day"] * (DAY_MS // 1000)))
        lines.append(line)
    return lines


def attempts_for(con: Con, fingerprints: Sequence[bytes]) -> list[Attempt]:
    """See `contracts.Store.attempts`. No index leads to them: the ledger is written often and looked at seldom."""
    columns = _ATTEMPT_2 if _before_modes(con) else _ATTEMPT
    found = rows_in(con, f"SELECT {columns} FROM attempts WHERE fingerprint IN (%s)", fingerprints)
    return [_attempt(*row) for row in sorted(found, key=lambda row: row[0])]


def _attempt(number: int, fingerprint: bytes, run_id: int, opened: int, closed: int, *rest: Any) -> Attempt:
    outcome, cost, estimated, *tokens, model, latency_ms, answer_id, mode, sharing = rest[:-3]
    return Attempt(
        number,
        fingerprint,
        run_id,
        opened / 1000,
        closed / 1000,
        outcome,
        cost,
        bool(estimated),
        Usage(*tokens),
        model,
        latency_ms,
        answer_id,
        mode,
        sharing,
        Savings(*rest[-3:]),
    )


_LOOK_BACK = 20_000  # attempts: a plan must not wait for a long ledger


def usage_of(con: Con, pass_id: int, recipe_id: int, limit: int) -> list[Usage]:
    """See `contracts.Store.recent_usage`."""
    rows = con.execute(
        "SELECT a.input_tokens, a.output_tokens, a.cached_tokens, a.cache_write_tokens, a.reasoning_tokens "
        "FROM attempts a JOIN answers n ON n.answer_id = a.answer_id "
        "WHERE a.attempt_id > (SELECT coalesce(max(attempt_id), 0) FROM attempts) - ? AND a.pass_id = ? "
        "AND a.input_tokens > 0 AND n.recipe_id = ? ORDER BY a.attempt_id DESC LIMIT ?",
        (_LOOK_BACK, pass_id, recipe_id, limit),
    )
    return [Usage(*row) for row in rows]
