"""Publishing into a database: a hundred thousand answers upserted, beside the driver's own executemany of the rows.

Both write the same rows into the same table in transactions of the same size; what Inlay does beside that is all the
rest: reading the rows of the source and the answers of the store, judging, hashing and looking up what is there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from bench.measure import Line, median
from inlay.databases.address import parse
from inlay.databases.connection import Database
from inlay.fingerprint import address, canonical, short_hash
from inlay.payload import encode_fields, values_hash
from inlay.project.session import Session
from inlay.project.tables import publish_table
from inlay.publish.wide import BATCH_ROWS
from inlay.stores.liveness import new_runner
from inlay.testing.servers import MariaDB, PostgreSQL
from inlay.types import CellState, CellWrite, Claim, FieldAnswer, NewAnswer, Settlement

NATIONS = ("日本", "中国", "مصر", "France", "Việt Nam", "한국")


def publish100k(folder: Path, quick: bool) -> list[Line]:
    """One pass, one field with confidence: MariaDB and PostgreSQL."""
    number = 20_000 if quick else 100_000
    times = 1 if quick else 3
    lines = []
    for name, server in (("MariaDB", MariaDB(folder / "mariadb")), ("PostgreSQL", PostgreSQL(folder / "postgresql"))):
        with server:
            lines += _measure(name, server.url("bench"), folder / f"rows-{name}", number, times)
    return lines


def _measure(name: str, url: str, folder: Path, number: int, times: int) -> list[Line]:
    folder.mkdir()
    declaration = _declare(folder, number)
    os.environ["BENCH_URL"] = url
    database = Database(parse(url, folder))
    with Session(declaration) as session:
        _answer(session, number)
        refs = session.refs()
        took, night, bare = [], [], []
        for _ in range(times):
            _drop(database)
            took.append(_timed(lambda: publish_table(session, refs)))
            night.append(_timed(lambda: publish_table(session, refs)))
            bare.append(_bare(database))
    floor = number / median(bare)
    note = "floor: executemany by the driver, same rows, table and transactions"
    return [
        Line(
            f"{name}: upsert of new rows", number / median(took), "rows/s", floor, 0.7, "ratio", most=False, note=note
        ),
        Line(f"{name}: an unchanged night", number / median(night), "rows/s", note="every row judged and looked up"),
    ]


def _declare(folder: Path, number: int) -> Path:
    with (folder / "people.csv").open("w", encoding="utf-8") as file:
        file.write("id,full_name\n")
        file.writelines(f"{row},田中 太郎 {row}\n" for row in range(number))
    fields = {"nationality": {"type": "string", "confidence": True}}
    declared = {
        "name": "bench",
        "source": {"files": "people.csv", "key": "id", "types": {"id": "integer"}},
        "passes": [{"name": "read", "model": "lexical", "prompt": "Where from? {{ full_name }}", "fields": fields}],
        "output": {"table": "answers", "connection": "${BENCH_URL}", "prefix": "llm_", "history": False},
    }
    path = folder / "inlay.yaml"
    path.write_bytes(orjson.dumps(declared))
    return path


def _answer(session: Session, number: int) -> None:
    """Give every row its answer, as a run would have."""
    store = session.store(write=True)
    [ref] = session.register()
    run = store.begin_run("bench", runner=new_runner())
    digest = session.passes[0].digest(session.labels[0])
    for start in range(0, number, 1000):
        part = range(start, min(number, start + 1000))
        inputs = {row: canonical([f"田中 太郎 {row}"]) for row in part}
        prints = {row: address(digest, data) for row, data in inputs.items()}
        claimed = store.claim([Claim(print_, ref.pass_id, 0) for print_ in prints.values()], run=run, budget=None)
        settled = []
        for row, claim in zip(part, claimed, strict=True):
            fields = {"nationality": FieldAnswer(NATIONS[row % len(NATIONS)], confidence=0.5 + row % 50 / 100)}
            hashed = short_hash(inputs[row])
            answer = NewAnswer(
                prints[row], ref.recipe_id, CellState.DONE, encode_fields(fields), values_hash(fields), inputs[row]
            )
            write = CellWrite(ref.pass_id, str(row), ref.recipe_id, hashed, hashed, b"", CellState.DONE)
            settled.append(Settlement(claim.attempt_id, answer=answer, cells=(write,)))  # type: ignore[union-attr]
        store.commit(settled, run=run)
    store.end_run(run.run_id, outcome="done", summary={})


def _drop(database: Database) -> None:
    with database.connect() as con:
        con.run("DROP TABLE IF EXISTS answers")


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _bare(database: Database) -> float:
    """Seconds that the driver needs for the same rows with its own executemany."""
    with database.connect() as con:
        names = [column.name for column in con.dialect.table_columns(con, ("answers",))]
        rows = [tuple(row) for row in con.execute("SELECT * FROM answers").fetchall()]
        con.run("DELETE FROM answers")
        update = [con.quote(name) for name in names if name not in ("id", "created_at")]
        statement = con.dialect.upsert("answers", [con.quote(name) for name in names], [con.quote("id")], update)
        text = con.dialect.text(statement)
        began = time.perf_counter()
        for start in range(0, len(rows), BATCH_ROWS):
            with con.transaction(), con.raw.cursor() as cursor:
                cursor.executemany(text, rows[start : start + BATCH_ROWS])
        return time.perf_counter() - began
