"""The answer store alone: CPU of a durable commit and of a claim, beside bare SQLite with the same bytes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import Line, median
from inlay.fingerprint import recipe_digest
from inlay.stores.liveness import new_runner
from inlay.stores.sqlite import SqliteStore
from inlay.types import Budget, CellState, CellWrite, Claim, Claimed, NewAnswer, PassRecord, Settlement, Usage

GROUP = 100
PAYLOAD_BYTES = 500
TEXT = (
    "Stay {}: the room was clean and quiet. 部屋はとても静かでした. breakfast came late. كان الموظفون لطفاء جدا. " * 3
)
RECIPE = '{"inputs":["text"],"normalize":[],"upstream":[]}'


def commit(folder: Path, quick: bool) -> list[Line]:
    """Groups of 100 answers of 500 bytes to a text of 400, each with its claim, cell and history line."""
    groups = 50 if quick else 200
    times = 3 if quick else 5
    claims, commits, bare = [], [], []
    for number in range(times):
        claim_us, commit_us = _ours(folder / f"store{number}.db", groups)
        claims.append(claim_us)
        commits.append(commit_us)
        bare.append(_bare(folder / f"bare{number}.db", groups))
    note = "with cell, history, costs and checksums; the floor is one table"
    return [
        Line("durable commit, groups of 100: CPU an answer", median(commits), "µs", median(bare), 10, note=note),
        Line("claim with budget, groups of 100: CPU an address", median(claims), "µs"),
    ]


def _ours(path: Path, groups: int) -> tuple[float, float]:
    store = SqliteStore(path)
    [ref] = store.register([PassRecord("bench", "read", RECIPE, recipe_digest(RECIPE))])
    run = store.begin_run("bench", runner=new_runner())
    budget = Budget(10**15)
    claimed = committed = 0.0
    for group in range(groups):
        addresses = [os.urandom(32) for _ in range(GROUP)]
        wishes = [Claim(address, ref.pass_id, 1_000_000) for address in addresses]
        took, results = _cpu(lambda wishes=wishes: store.claim(wishes, run=run, budget=budget))
        claimed += took
        settlements = [
            _settlement(ref.pass_id, ref.recipe_id, f"{group * GROUP + index}", address, result)
            for index, (address, result) in enumerate(zip(addresses, results, strict=True))
        ]
        took, _ = _cpu(lambda settlements=settlements: store.commit(settlements, run=run))
        committed += took
    store.close()
    answers = groups * GROUP
    return claimed / answers * 1e6, committed / answers * 1e6


def _settlement(pass_id: int, recipe_id: int, key: str, address: bytes, result: object) -> Settlement:
    assert isinstance(result, Claimed)
    usage = Usage(200, 60)
    answer = NewAnswer(
        fingerprint=address,
        recipe_id=recipe_id,
        state=CellState.DONE,
        payload=address * (PAYLOAD_BYTES // 32) + address[: PAYLOAD_BYTES % 32],
        values_hash=address[:16],
        input=TEXT.format(key, key, key).encode(),
        served_model="sim",
        usage=usage,
        cost_nusd=50_000,
        latency_ms=200,
    )
    write = CellWrite(
        pass_id=pass_id,
        key=key,
        recipe_id=recipe_id,
        source_hash=address[:16],
        input_hash=address[:16],
        upstream_hash=b"",
        state=CellState.DONE,
        reason="",
        message="",
        tries=0,
    )
    return Settlement(
        attempt_id=result.attempt_id, outcome="answered", cost_nusd=50_000, usage=usage, answer=answer, cells=(write,)
    )


def _bare(path: Path, groups: int) -> float:
    con = sqlite3.connect(path, isolation_level=None)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute("CREATE TABLE answers (number INTEGER PRIMARY KEY, address BLOB, payload BLOB)")
    total = 0.0
    for group in range(groups):
        rows = [(group * GROUP + index, os.urandom(32), os.urandom(PAYLOAD_BYTES)) for index in range(GROUP)]

        def write(rows: list[tuple[int, bytes, bytes]] = rows) -> None:
            con.execute("BEGIN IMMEDIATE")
            con.executemany("INSERT INTO answers VALUES (?, ?, ?)", rows)
            con.execute("COMMIT")

        total += _cpu(write)[0]
    con.close()
    return total / (groups * GROUP) * 1e6


def _cpu(work: Callable[[], object]) -> tuple[float, list[object]]:
    """CPU seconds of this process while `work` ran, and what it gave back."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found if isinstance(found, list) else []
