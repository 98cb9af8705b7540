"""Whole runs through the command line against the simulator: speed, CPU, memory, the second run, tokens."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

from bench.measure import Finished, Line, child, inlay, median, other_cpu
from inlay.testing import Ledger, SimulatorProcess

PRICES = "prices: {input_per_million: 0.1, output_per_million: 0.5}"
FIELDS = """
      sentiment: {type: enum, values: [positive, neutral, negative], evidence: true}
      stars_seen: {type: integer, min: 1, max: 5}
      topics: "list[string]"
"""
DECLARATION = """\
name: {name}
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
{store}"""
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


def declare(folder: Path, endpoint: str, *, limits: str, fields: str = FIELDS, store: str = "") -> None:
    """Write inlay.yaml. With a `store` of several declarations, each is named after its folder."""
    text = DECLARATION.format(
        name=f"reviews{folder.name}" if store else "reviews",
        endpoint=endpoint,
        prices=PRICES,
        fields=fields,
        limits=limits,
        store=f"store: {store}\n" if store else "",
    )
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


# A gym's reviews, four questions: what the field asks in four calls, each with all the reviews in it.
GYM = {
    "description": "{description: {type: text, max_length: 400}}",
    "amenities": "{amenities: 'list[string]'}",
    "women": "{has_women_hours: boolean}",
    "hours": "{hours_french: string}",
}
GYM_TASKS = {
    "description": "Describe this gym from its reviews.",
    "amenities": "List the amenities that the reviews of this gym mention, ten at most.",
    "women": "Do the reviews say that this gym has hours or rooms for women only?",
    "hours": "Write the opening hours that the reviews mention in French.",
}


def tokens(folder: Path, quick: bool) -> list[Line]:
    """What the provider bills: fused against separate passes, records in packs, and a prompt that is cached."""
    return [*_fused(folder, 20 if quick else 60), *_packed(folder, 200 if quick else 1_000), *_cached(folder, quick)]


def _gyms(place: Path, rows: int, more: str, lengthy: str = "") -> None:
    """Reviews of about 1,500 tokens a gym, and four passes."""
    place.mkdir()
    review = "The staff is kind and the machines are new, but the showers were cold twice. Open from six to ten. "
    with (place / "reviews.csv").open("w", newline="", encoding="utf-8") as target:
        out = csv.writer(target)
        out.writerow(["id", "text"])
        out.writerows([number, f"Gym {number}. " + review * 60] for number in range(rows))
    passes = "".join(
        f"""
  - name: {name}
    model: compatible:sim
    endpoint: ENDPOINT
    prices: {{input_per_million: 1, cached_input_per_million: 0.1, output_per_million: 5}}
    prompt: "{GYM_TASKS[name]}{lengthy} {{{{ text }}}}"
    {more}
    fields: {fields}"""
        for name, fields in GYM.items()
    )
    (place / "inlay.yaml").write_text(
        f"name: gyms\nsource: {{files: reviews.csv, key: id}}\nlimits: {{concurrency: 20}}\npasses:{passes}\n"
    )


def _bill(place: Path, **settings: Any) -> tuple[int, int, int]:
    """(calls, tokens, nano-dollars) of one run, by the provider's books."""
    prices = {"sim": {"input_per_million": 1, "cached_input_per_million": 0.1, "output_per_million": 5}}
    with SimulatorProcess(latency=0.0, prices=prices, **settings) as simulator:
        file = place / "inlay.yaml"
        file.write_text(file.read_text().replace("ENDPOINT", simulator.endpoint))
        run(place)
        calls = simulator.ledger.calls
        return (
            len(calls),
            sum(call.prompt_tokens + call.completion_tokens for call in calls),
            sum(call.cost_nusd for call in calls),
        )


def _fused(folder: Path, rows: int) -> list[Line]:
    _gyms(folder / "fused", rows, "fuse: auto")
    _gyms(folder / "apart", rows, "fuse: never")
    fused, apart = _bill(folder / "fused"), _bill(folder / "apart")
    return [
        Line("fused, four passes: calls, as share of separate ones", 100 * fused[0] / apart[0], "%", None, 25),
        Line(
            "fused, four passes: fewer tokens than separate", 100 * (1 - fused[1] / apart[1]), "%", None, 55, most=False
        ),
        Line("fused, four passes: cheaper than separate", 100 * (1 - fused[2] / apart[2]), "%", None, None, most=False),
    ]


def _packed(folder: Path, rows: int) -> list[Line]:
    lines: list[Line] = []
    alone = 0
    for pack in (1, 8, 32):
        place = folder / f"pack{pack}"
        place.mkdir()
        write_rows(place / "reviews.csv", rows)
        (place / "inlay.yaml").write_text(
            "name: packs\nsource: {files: reviews.csv, key: id}\nlimits: {concurrency: 20}\npasses:\n"
            "  - name: read\n    model: compatible:sim\n    endpoint: ENDPOINT\n"
            '    prompt: "Read this review: {{ text }}"\n'
            f"    pack: {pack}\n    fields: {{sentiment: good|mixed|bad, topics: 'list[string]'}}\n"
        )
        calls, used, _ = _bill(place)
        alone = alone or used
        lines.append(Line(f"pack {pack}: calls for 1,000 records", calls * 1000 / rows, "calls", None, None))
        lines.append(Line(f"pack {pack}: tokens, as share of one by one", 100 * used / alone, "%", None, None))
    return lines


def _cached(folder: Path, quick: bool) -> list[Line]:
    """A pass with 2,000 tokens of instructions: what a provider's prompt cache takes off the bill."""
    rows = 30 if quick else 100
    lengthy = " Mind this rule of the house." * 300
    _gyms(folder / "warm", rows, "fuse: never", lengthy)
    _gyms(folder / "cold", rows, "fuse: never", lengthy)
    warm, cold = _bill(folder / "warm", prompt_cache=True), _bill(folder / "cold")
    return [
        Line(
            "prompt cache, long instructions: cheaper than without",
            100 * (1 - warm[2] / cold[2]),
            "%",
            None,
            None,
            most=False,
        )
    ]
