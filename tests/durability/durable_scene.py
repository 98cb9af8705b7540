"""The scene of the proofs: a folder with rows, a declaration, a store, and `inlay` as a library or as a process.

Every proof is judged by the simulator's ledger and by the published table. What stays true: a table is compared
without the columns that tell times and prices, whose values may differ between two runs of one truth; random choices
come from a seed that is printed, and `INLAY_SEED` brings the same ones back.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

import inlay
from inlay import project
from inlay.stores.sqlite import SqliteStore
from inlay.testing import Ledger, Simulator

SOAK = os.environ.get("INLAY_SOAK") == "1"
SOURCE = Path(inlay.__file__).resolve().parents[1]
PRICES = {"input_per_million": 0.1, "output_per_million": 0.5}
GRADE = {"type": "enum", "values": ["a", "b", "c"]}
TIMES = ("enriched_at",)
COSTS = ("enrichment_cost_usd",)
VOICES = (
    "Lovely and clean",
    "駅から遠いが静か",
    "خدمة سيئة للغاية",
    "Mediocre 😐 at best",
    "Ужасно, но дёшево",
    "맛있어요",
)


def count(short: int, soak: int) -> int:
    """How often a proof repeats: a short seed in the tests, the full count in the soak."""
    return soak if SOAK else short


def seeded(name: str) -> random.Random:
    """Random choices that a printed seed brings back."""
    drawn = random.SystemRandom().randrange(10**9) if SOAK else zlib.crc32(name.encode())
    seed = int(os.environ.get("INLAY_SEED") or drawn)
    print(f"{name}: INLAY_SEED={seed}")
    return random.Random(seed)


def texts(number: int, *, distinct: int | None = None) -> list[dict[str, str]]:
    """Rows with keys and texts in several scripts; only `distinct` different texts, if given."""
    of = distinct or number
    return [
        {"id": f"k{index:05d}", "text": f"{VOICES[index % of % len(VOICES)]} #{index % of}", "other": f"o{index}"}
        for index in range(number)
    ]


def fields_of(words: Sequence[str] = ("positive", "neutral", "negative")) -> dict[str, Any]:
    """Three fields of different kinds, one of them with evidence."""
    return {
        "sentiment": {"type": "enum", "values": list(words), "evidence": True},
        "stars": {"type": "integer", "min": 1, "max": 5},
        "topics": "list[string]",
    }


class Scene:
    """One folder. `sim` answers; `run` uses the library, `command` and `start` the command line."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.folder = folder
        self.sim = sim
        self.file = folder / "inlay.yaml"
        self.document: dict[str, Any] = {}
        self.output = "out.jsonl"

    # --- the declaration and the rows

    def one_pass(self, name: str = "read", prompt: str = "Read this review: {{ text }}", **more: Any) -> dict[str, Any]:
        """A pass of the declaration; the endpoint is the simulator's."""
        shape = {"name": name, "model": "compatible:sim", "endpoint": self.sim.endpoint, "prompt": prompt}
        return {**shape, "prices": PRICES, "fields": fields_of(), **more}

    def three_passes(self) -> list[dict[str, Any]]:
        """read → judge (reads read.sentiment) → note (reads judge.grade)."""
        return [
            self.one_pass(),
            self.one_pass("judge", "Judge {{ text }} given {{ passes.read.sentiment }}", fields={"grade": GRADE}),
            self.one_pass("note", "Note {{ id }} graded {{ passes.judge.grade }}", fields={"note": "string"}),
        ]

    def declare(self, **changes: Any) -> Path:
        """Write the declaration; `changes` replace whole sections, None removes one."""
        if not self.document:
            self.document = {
                "name": "reviews",
                "source": {"files": "rows.csv", "key": "id"},
                "passes": [self.one_pass()],
                "limits": {"concurrency": 32},
                "budget": {"usd": 50},
                "output": {"files": self.output},
            }
        self.document.update(changes)
        kept = {name: value for name, value in self.document.items() if value is not None}
        self.file.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        return self.file

    def rows(self, rows: Sequence[Mapping[str, str]], name: str = "rows.csv") -> None:
        """Replace the source."""
        with (self.folder / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["id", "text", "other"])
            writer.writeheader()
            writer.writerows(rows)

    # --- running

    def run(self, **named: Any) -> Any:
        """One run with the library; its counts must add up, whatever happened."""
        report = project.run(self.file, **named)
        adds_up(report.summary)
        return report

    def calls_of(self, **named: Any) -> int:
        """How many calls one run makes, by the simulator's ledger, which must agree with the run's own count."""
        before = len(self.ledger)
        report = self.run(**named)
        made = len(self.ledger) - before
        assert report.summary["calls"] == made
        return made

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "INLAY"))}
        return {**kept, "PYTHONPATH": str(SOURCE), **more}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "inlay", *arguments]

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """`inlay run` in a process of its own, as JSON; goes on while the test does."""
        return subprocess.Popen(
            self.command("run", "--quiet", "--json", "--yes", *arguments),
            cwd=self.folder,
            env=self.environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def finish(self, process: subprocess.Popen[str], *, timeout: float = 120) -> Ended:
        """Wait for the end; a run that hangs fails the test."""
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"the run hung for {timeout} s\n{err[-3000:]}") from None
        assert "Traceback" not in err, err[-4000:]
        assert process.returncode != 70, err[-4000:]
        ended = Ended(process.returncode, json.loads(out) if out.strip().startswith("{") else None, err)
        if ended.report is not None:
            adds_up(ended.report)
        return ended

    def command_run(self, *arguments: str, **env: str) -> Ended:
        """`inlay run` to its end."""
        return self.finish(self.start(*arguments, **env))

    # --- judging

    @property
    def ledger(self) -> Ledger:
        return self.sim.ledger

    def table(self, *, costs: bool = True) -> list[bytes]:
        """The published rows as canonical JSON, without times (and without costs, unless asked), in order of keys."""
        gone = (*TIMES, *(() if costs else COSTS))
        rows = [orjson.loads(line) for line in (self.folder / self.output).read_bytes().splitlines()]
        kept = [{name: value for name, value in row.items() if name not in gone} for row in rows]
        return sorted(orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in kept)

    def rows_out(self) -> list[dict[str, Any]]:
        """The published rows in order."""
        return [orjson.loads(line) for line in (self.folder / self.output).read_bytes().splitlines()]

    def is_sound(self) -> None:
        """Nothing in the store is damaged, nothing is left open, and the plan has one reason for each row."""
        problems = project.verify(self.file)
        assert not problems, problems[:5]
        planned = project.plan(self.file)
        for part in planned.passes:
            assert sum(part.reasons.values()) == planned.rows_selected
            assert all(number >= 0 for number in part.reasons.values())

    def nothing_open(self) -> None:
        """No lease and no reservation is left behind."""
        with self.open_store() as store, store._db.read() as con:
            assert con.execute("SELECT count(*) FROM leases").fetchone()[0] == 0
            assert con.execute("SELECT count(*) FROM spending WHERE reserved <> 0").fetchone()[0] == 0
            assert con.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone()[0] == 0

    @contextmanager
    def open_store(self) -> Any:
        store = SqliteStore(self.folder / ".inlay" / "store.db")
        try:
            yield store
        finally:
            store.close()

    def tasks(self) -> Counter[str]:
        """How often each question was admitted: (system message, user message) as one text."""
        return Counter(f"{call.system_sha256}/{call.user_sha256}" for call in self.ledger.calls if call.tries)

    def asked(self, known: int, process: subprocess.Popen[str] | None = None, *, timeout: float = 60) -> float:
        """Wait until more than `known` calls were made; how long that took (seconds)."""
        start = time.monotonic()
        while self.sim.summary()["calls"] <= known:
            assert time.monotonic() - start < timeout, "no call was made"
            if process is not None and process.poll() is not None:
                break
            time.sleep(0.005)
        return time.monotonic() - start


class Ended:
    """How a process ended."""

    def __init__(self, code: int, report: dict[str, Any] | None, err: str) -> None:
        self.code = code
        self.report = report
        self.err = err


def adds_up(summary: Mapping[str, Any]) -> None:
    """Every cell that a run set out to ask ended in exactly one way."""
    for part in summary["passes"]:
        ends = [part[name] for name in ("done", "ruled", "reused", "unchanged", "partial", "pending")]
        ends += [sum(part["failed"].values()), sum(part["skipped"].values())]
        assert part["cells"] == sum(ends), part
        assert min(ends) >= 0, part


def undisturbed(folder: Path, sim: Simulator, like: Scene) -> Scene:
    """The same rows and declaration, run once in peace in another folder."""
    folder.mkdir()
    scene = Scene(folder, sim)
    for name in ("rows.csv", "inlay.yaml"):
        (folder / name).write_bytes((like.folder / name).read_bytes())
    scene.document = dict(like.document)
    return scene


def shares(values: Iterable[str]) -> dict[str, int]:
    """Counts by value, sorted, for messages."""
    return dict(sorted(Counter(values).items()))
