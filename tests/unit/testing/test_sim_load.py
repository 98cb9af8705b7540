"""A thousand connections at once, on a real socket each."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from inlay.testing import Simulator


async def _exchange(endpoint: str, users: list[str], client, gate: asyncio.Barrier) -> int:
    place = urlsplit(endpoint)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    good = 0
    async with gate:
        pass
    for user in users:
        writer.write(client.raw(client.body(user)))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        good += head.startswith(b"http/1.1 200")
    writer.close()
    await writer.wait_closed()
    return good


def test_a_thousand_connections_at_once(client):
    count = 1000

    async def all_of_them(endpoint: str) -> int:
        gate = asyncio.Barrier(count)
        work = [_exchange(endpoint, [f"記録 {n}-{turn}" for turn in range(2)], client, gate) for n in range(count)]
        return sum(await asyncio.gather(*work))

    with Simulator(latency=1.0) as sim:
        assert asyncio.run(all_of_them(sim.endpoint)) == 2 * count
        books = sim.ledger
    assert books.by_status == {200: 2 * count}
    assert books.distinct == 2 * count
    assert books.max_concurrency > count // 2
    assert books.paid_again() == {}
