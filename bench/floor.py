"""The floor of a run: the same calls, answers kept durably, and nothing else that a product does.

    python -m bench.floor ENDPOINT ROWS.csv STORE.db CONCURRENCY

A bare pyreqwest client on uvloop, one task a place, and one thread that commits groups to SQLite (WAL, FULL). It reads
no plan, validates nothing, reserves no money, cannot resume; it shows what the machine allows.
"""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import uvloop
from pyreqwest.client import ClientBuilder

GROUP_S = 0.005
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sentiment", "stars_seen", "topics"],
    "properties": {
        "sentiment": {"type": "string", "enum": ["positive", "neutral", "negative"]},
        "stars_seen": {"type": ["integer", "null"]},
        "topics": {"type": "array", "items": {"type": "string"}},
    },
}


def encoder() -> tuple[bytes, bytes]:
    """What stands before and after the user message of every request."""
    whole = orjson.dumps(
        {
            "model": "sim",
            "messages": [{"role": "system", "content": "Answer in JSON."}, {"role": "user", "content": "\ue000"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "read", "strict": True, "schema": SCHEMA},
            },
            "max_tokens": 200,
        }
    )
    head, _, tail = whole.partition(orjson.dumps("\ue000"))
    return head, tail


async def main(endpoint: str, rows: Path, store: Path, concurrency: int) -> None:
    """Ask every row once and keep the answers."""
    con = sqlite3.connect(store, isolation_level=None, check_same_thread=False)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, answer BLOB) WITHOUT ROWID")
    head, tail = encoder()
    url = f"{endpoint}/chat/completions"
    pending: list[tuple[str, bytes]] = []
    waiting: list[asyncio.Future[None]] = []
    thread = ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()

    def commit(group: list[tuple[str, bytes]]) -> None:
        con.execute("BEGIN IMMEDIATE")
        con.executemany("INSERT INTO answers VALUES (?, ?)", group)
        con.execute("COMMIT")

    async def writer() -> None:
        while True:
            await asyncio.sleep(GROUP_S)
            group, futures = pending[:], waiting[:]
            pending.clear()
            waiting.clear()
            if group:
                await loop.run_in_executor(thread, commit, group)
                for future in futures:
                    future.set_result(None)

    builder = ClientBuilder().no_proxy().max_connections(concurrency).pool_max_idle_per_host(concurrency)
    with rows.open(encoding="utf-8", newline="") as file:
        left = iter([(row["id"], row["text"]) for row in csv.DictReader(file)])
    async with builder.default_headers({"content-type": "application/json"}).build() as client:

        async def worker() -> None:
            for key, text in left:
                body = head + orjson.dumps("Read this review: " + text) + tail
                async with client.post(url).body_bytes(body).build_streamed() as response:
                    answer = orjson.loads(bytes(await response.bytes()))
                orjson.loads(answer["choices"][0]["message"]["content"])
                pending.append((key, answer["choices"][0]["message"]["content"].encode()))
                durable: asyncio.Future[None] = loop.create_future()
                waiting.append(durable)
                await durable

        keeper = asyncio.create_task(writer())
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        keeper.cancel()
    con.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
