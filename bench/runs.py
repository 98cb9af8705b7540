"""Whole runs through the command line against the simulator: speed, CPU, memory, the second run, tokens."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from bench.measure import Finished, Line, child, inlay, median, other_cpu
from inlay.testing import Ledger, SimulatorProcess

PRICES = "prices: {input_per_million: 0.1, output_per_million: 0.5}"
FIELDS = """
      sentiment: {type: enum, values: [positive, neutral, negative], evidence: true}
      stars_seen: {type: integer, min: 1, max: 5}
      topics: "list[string]"
"""
DECLARATION = """\
name: reviews
source: {{files: reviews.csv, key: id}}
passes:
  - name: read
    model: compatible:sim
    endpoint: {endpoint}
    prompt: "Read this review: {{{{ text }}}}"
    {prices}
    fields:{fields}
limits: {limits}
budget: {{usd: 1000}}
output: {{files: out.parquet}}
"""
PHRASES = (
    "the room was clean and quiet",
    "部屋はとても静かでした",
    "breakfast came late",
    "كان الموظفون لطفاء جدا",
    "we would come again 🙂",
    "the lift was out of order for two days",
    "nothing to complain about",
    "four stars from us",
    "the shower had no warm water",
    "close to the station and the market",
)


def write_rows(path: Path, count: int, *, seed: int = 7) -> None:
    """Distinct reviews of about 280 characters in several scripts."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        for number in range(count):
            text = f"Stay {number}:"
            while len(text) < 270:
                text += f" {rng.choice(PHRASES)}."
            writer.writerow([number, text])


def declare(folder: Path, endpoint: str, *, limits: str, fields: str = FIELDS) -> None:
    """Write inlay.yaml."""
    text = DECLARATION.format(endpoint=endpoint, prices=PRICES, fields=fields, limits=limits)
    (folder / "inlay.yaml").write_text(text, encoding="utf-8")


def run(folder: Path, *more: str) -> Finished:
    """`inlay run`, its report as JSON on standard output."""
    return inlay(folder, "run", "--yes", "--json", "--quiet", *more)


def one(folder: Path, rows: int, *, concurrency: int, latency_s: float) -> tuple[Finished, Ledger, Finished]:
    """A first run and a second one, both against the same simulator, and the books after the first."""
    folder.mkdir()
    write_rows(folder / "reviews.csv", rows)
    with SimulatorProcess(latency=latency_s, cpu=other_cpu()) as simulator:
        declare(folder, simulator.endpoint, limits=f"{{concurrency: {concurrency}}}")
        first = run(folder)
        books = simulator.ledger
        second = run(folder)
        asked_again = len(simulator.ledger) - len(books)
    if len(books) != rows or asked_again or first.json["published_rows"] != rows:
        raise SystemExit(f"{rows} rows: {len(books)} calls, then {asked_again}; published {first.json}")
    return first, books, second


def floor(folder: Path, rows: int, *, concurrency: int, latency_s: float) -> tuple[Finished, Ledger]:
    """The same calls from the bare loop."""
    folder.mkdir()
    write_rows(folder / "reviews.csv", rows)
    with SimulatorProcess(latency=latency_s, cpu=other_cpu()) as simulator:
        arguments = ["-m", "bench.floor", simulator.endpoint, "reviews.csv", "floor.db", str(concurrency)]
        done = child(arguments, folder=folder)
        books = simulator.ledger
    if len(books) != rows:
        raise SystemExit(f"the floor made {len(books)} calls for {rows} rows")
    return done, books


def rows5k(folder: Path, quick: bool) -> list[Line]:
    """5,000 rows of 280 characters, three fields, 200 ms, concurrency 500; the ideal is 2.0 s."""
    rows, concurrency, latency_s = 5_000, 500, 0.2
    ideal_s = rows / concurrency * latency_s
    times = 1 if quick else 5
    ours = [one(folder / f"a{n}", rows, concurrency=concurrency, latency_s=latency_s) for n in range(times)]
    bare = [floor(folder / f"f{n}", rows, concurrency=concurrency, latency_s=latency_s) for n in range(times)]
    firsts, floors = [item[0] for item in ours], [item[0] for item in bare]
    spans = median([item[1].span_s for item in ours]) / ideal_s
    bare_spans = median([item[1].span_s for item in bare]) / ideal_s
    cpu, bare_cpu = (median([item.cpu_s for item in many]) / rows * 1000 for many in (firsts, floors))
    wall, bare_wall = (median([item.wall_s for item in many]) for many in (firsts, floors))
    rss, bare_rss = (median([item.rss_mb for item in many]) for many in (firsts, floors))
    least = min(item[1].span_s for item in ours) / ideal_s
    return [
        Line("5,000 rows: first to last request ÷ ideal", spans, "", bare_spans, 1.15, note=f"best {least:.3f}"),
        Line("5,000 rows: CPU a row, whole process", cpu, "ms", bare_cpu, 0.45, note="stretch 0.25"),
        Line("5,000 rows: wall, start to published", wall, "s", bare_wall),
        Line("5,000 rows: peak memory", rss, "MB", bare_rss),
    ]


def second(folder: Path, quick: bool) -> list[Line]:
    """The same command again, with nothing to do."""
    times = 3 if quick else 7
    rows = 5_000
    _, _, _ = one(folder / "s", rows, concurrency=500, latency_s=0.02)
    again = [run(folder / "s") for _ in range(times)]
    calls = max(item.json["calls"] for item in again)
    return [
        Line("second run of 5,000 rows: wall", median([item.wall_s for item in again]), "s", target=0.6),
        Line("second run of 5,000 rows: CPU", median([item.cpu_s for item in again]), "s"),
        Line("second run of 5,000 rows: requests", calls, "", target=0, note="by the simulator's books as well"),
    ]


def rows50k(folder: Path, quick: bool) -> list[Line]:
    """50,000 rows (10,000 with --quick) at concurrency 1,000 and 500 ms; memory beside that of a tenth of it."""
    rows, concurrency, latency_s = (10_000 if quick else 50_000), 1_000, 0.5
    few = rows // 10
    ideal_s = rows / concurrency * latency_s
    small, _, _ = one(folder / "few", few, concurrency=concurrency, latency_s=latency_s)
    done, books, _ = one(folder / "many", rows, concurrency=concurrency, latency_s=latency_s)
    bare, bare_books = floor(folder / "floor", rows, concurrency=concurrency, latency_s=latency_s)
    title = f"{rows:,} rows"
    note = f"first to last request {books.span_s / ideal_s:.3f}, floor's {bare_books.span_s / ideal_s:.3f}"
    return [
        Line(f"{title}: wall ÷ ideal", done.wall_s / ideal_s, "", bare.wall_s / ideal_s, 1.15, note=note),
        Line(f"{title}: CPU a row", done.cpu_s / rows * 1000, "ms", bare.cpu_s / rows * 1000),
        Line(f"{title}: peak memory", done.rss_mb, "MB", bare.rss_mb, 250),
        Line(f"{title}: peak memory beside that of {few:,}", done.rss_mb, "MB", small.rss_mb, 1.25, judged="ratio"),
    ]


FOUR = {
    "sentiment": "{type: enum, values: [positive, neutral, negative]}",
    "stars_seen": "{type: integer, min: 1, max: 5}",
    "topics": '"list[string]"',
    "complaint": "{type: string, description: what the guest complains about}",
}


def tokens(folder: Path, quick: bool) -> list[Line]:
    """Four fields in one pass against four passes of one field, by what the provider bills."""
    rows = 50 if quick else 200
    used: list[int] = []
    for groups in ([list(FOUR)], [[name] for name in FOUR]):
        total = 0
        for number, names in enumerate(groups):
            place = folder / f"t{len(groups)}{number}"
            place.mkdir()
            write_rows(place / "reviews.csv", rows)
            fields = "".join(f"\n      {name}: {FOUR[name]}" for name in names)
            with SimulatorProcess(latency=0.0) as simulator:
                declare(place, simulator.endpoint, limits="{concurrency: 50}", fields=fields)
                run(place)
                total += sum(call.prompt_tokens + call.completion_tokens for call in simulator.ledger.calls)
        used.append(total)
    share = 1 - used[0] / used[1]
    return [Line("four fields in one pass: fewer tokens than in four", share * 100, "%", None, 55, most=False)]
