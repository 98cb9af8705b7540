"""The same machine with calls of several asks and cascades, which the declaration switches on and off between the runs:
the table is that of a fresh run, the bill is booked, and no whole answer is bought twice."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import orjson
from durable_scene import GRADE, Scene, count, fields_of, texts
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule
from obliging import obliging
from test_state_machine import Machine

from inlay.testing import Simulator

SURE = {"mood": {"type": "enum", "values": ["good", "mixed", "bad"], "confidence": True}}
CASCADE = ["compatible:small", "compatible:sim"]
ALWAYS = "{% if text is defined %}"


class SharedMachine(Machine):
    """Three passes over the same text, one of them perhaps a cascade, and one that reads the first."""

    def __init__(self) -> None:
        super().__init__()
        self.sim.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix="inlay-machine-"))
        self.sim = Simulator(obliging).start()
        (self.folder / "work").mkdir()
        self.scene = Scene(self.folder / "work", self.sim)
        self.rows = {row["id"]: row for row in texts(12)}

    @initialize(pack=st.sampled_from([1, 3, 8]), cascade=st.booleans())
    def begin(self, pack: int, cascade: bool) -> None:  # type: ignore[override]
        scene = self.scene
        self.plain = [
            scene.one_pass("read", "Read this review: {{ text }}", fields=fields_of()),
            scene.one_pass("mood", "The mood: {{ text }}", fields=SURE),
            scene.one_pass("twin", "The mood: {{ text }}", fields=SURE, prefix="t_"),
            scene.one_pass("judge", "Judge {{ passes.read.sentiment }}: {{ text }}", fields={"grade": GRADE}),
        ]
        passes = [{**part, "pack": pack} for part in self.plain]
        scene.declare(
            passes=passes,
            budget={"usd": 1, "per": "total"},
            failures={"max_percent": 100},
            limits={"concurrency": 4},
        )
        if cascade:
            self.switch(1, pack, "auto", True, False)
        self.write()

    @rule(
        number=st.integers(0, 3),
        pack=st.sampled_from([1, 3, 8, "auto"]),
        fuse=st.sampled_from(["auto", "never"]),
        cascade=st.booleans(),
        logic=st.booleans(),
    )
    def switch(self, number: int, pack: Any, fuse: str, cascade: bool, logic: bool) -> None:
        """Another way to travel, or another way to ask, for one of the passes."""
        passes = [dict(part) for part in self.scene.document["passes"]]
        part = passes[number]
        part.update(pack=pack, fuse=fuse)
        prompt = self.plain[number]["prompt"]
        part["prompt"] = f"{ALWAYS}{prompt}{{% endif %}}" if logic else prompt
        part.pop("model", None)
        part.pop("models", None)
        part |= {"models": CASCADE} if cascade and number else {"model": "compatible:sim"}
        self.scene.declare(passes=passes)

    def told(self, scene: Scene) -> list[bytes]:
        """Without models' names: where the first of a cascade failed on a bad day, the next one's answer stays."""
        rows = [orjson.loads(row) for row in super().told(scene)]
        kept = [
            {name: value for name, value in row.items() if not name.endswith(("_model", "_source"))} for row in rows
        ]
        return [orjson.dumps(row, option=orjson.OPT_SORT_KEYS) for row in kept]

    @invariant()
    def no_whole_answer_is_bought_twice(self) -> None:
        if not (self.scene.folder / ".inlay" / "store.db").exists():
            return
        with self.scene.open_store() as store, store._db.read() as con:
            twice = con.execute(
                "SELECT count(*) FROM (SELECT 1 FROM answers WHERE state = 'done' GROUP BY fingerprint "
                "HAVING count(*) > 1)"
            ).fetchone()[0]
        assert twice == 0


TestSharedMachine = SharedMachine.TestCase
TestSharedMachine.settings = settings(
    max_examples=count(2, 200),
    stateful_step_count=count(12, 30),
    deadline=None,
    database=None,
    print_blob=True,
    derandomize="INLAY_SOAK" not in os.environ or os.environ.get("INLAY_SEED") == "0",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
