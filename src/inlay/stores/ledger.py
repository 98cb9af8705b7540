"""Who was paid what: the attempts of an SQL store summed by run, pass, model and outcome.

What stays true: pruned attempts live on in `attempt_sums`, so the ledger's total is what was ever spent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from inlay.stores.rows import rows_in
from inlay.types import Attempt, Usage

_ATTEMPT = (
    "attempt_id, fingerprint, run_id, opened_at, closed_at, outcome, cost, estimated, input_tokens, output_tokens, "
    "cached_tokens, cache_write_tokens, reasoning_tokens, model, latency_ms, answer_id"
)
# run, pass, model, outcome; then attempts, input tokens, output tokens, cost, answers, sum of latencies
SUM_ATTEMPTS = (
    "SELECT run_id, pass_id, model, outcome, count(*), sum(input_tokens), sum(output_tokens), sum(cost), "
    "count(answer_id), coalesce(sum(latency_ms), 0) FROM attempts WHERE {where} "
    "GROUP BY run_id, pass_id, model, outcome"
)
_OF_ENRICHMENT = "run_id IN (SELECT run_id FROM runs WHERE enrichment = ? AND (? IS NULL OR run_id = ?))"


def ledger_rows(con: sqlite3.Connection, enrichment: str, run_id: int | None) -> list[dict[str, Any]]:
    """See `contracts.Store.ledger`. Closed attempts only; what open ones reserved is in `spending`."""
    names: dict[int, str] = dict(con.execute("SELECT pass_id, name FROM passes"))
    sums: dict[tuple[Any, ...], list[int]] = {}
    chosen = (enrichment, run_id, run_id)
    query = SUM_ATTEMPTS.format(where=_OF_ENRICHMENT) + f" UNION ALL SELECT * FROM attempt_sums WHERE {_OF_ENRICHMENT}"
    for row in con.execute(query, chosen * 2):
        known = sums.setdefault(row[:4], [0] * 6)
        for place, value in enumerate(row[4:]):
            known[place] += value
    return [
        {
            "run_id": run,
            "pass": names.get(pass_id, ""),
            "model": model,
            "outcome": outcome,
            "attempts": count,
            "input_tokens": tokens_in,
            "output_tokens": tokens_out,
            "cost_nusd": cost,
            "answers": answers,
            "latency_ms": latency / answers if answers else 0.0,
        }
        for (run, pass_id, model, outcome), (count, tokens_in, tokens_out, cost, answers, latency) in sorted(
            sums.items()
        )
    ]


def attempts_for(con: sqlite3.Connection, fingerprints: Sequence[bytes]) -> list[Attempt]:
    """See `contracts.Store.attempts`. No index leads to them: the ledger is written often and looked at seldom."""
    found = rows_in(con, f"SELECT {_ATTEMPT} FROM attempts WHERE fingerprint IN (%s)", fingerprints)
    return [_attempt(*row) for row in sorted(found, key=lambda row: row[0])]


def _attempt(number: int, fingerprint: bytes, run_id: int, opened: int, closed: int, *rest: Any) -> Attempt:
    outcome, cost, estimated, *tokens, model, latency_ms, answer_id = rest
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
    )
