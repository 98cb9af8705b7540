"""Any mix of edit, add, delete, run, crash, retry, bad answers and budget stop ends in the table of a fresh run.

The model of this machine is the source alone: whatever happened on the way, once the provider is healthy and the
budget is there, the published table is the one that a new store over the final rows would give.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

from durable_scene import VOICES, Scene, count, texts, undisturbed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inlay import project
from inlay.faultpoints import VARIABLE
from inlay.testing import Simulator

KEYS = st.integers(0, 25)
TEXTS = st.integers(0, 15)
POINTS = (
    "claim.before_commit",
    "claim.after_commit",
    "commit.before_commit",
    "commit.after_commit",
    "begin_run.after_commit",
    "end_run.before_commit",
    "publish.before_write",
)
BAD = ("empty_content", "missing_key", "refusal", "filtered", "malformed", "truncated")
WORDS = ("", "Now ", "今 ")


class Machine(RuleBasedStateMachine):
    """One folder, one store, one provider."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="inlay-machine-"))
        self.sim = Simulator(null_share=0.1).start()
        (self.folder / "work").mkdir()
        self.scene = Scene(self.folder / "work", self.sim)
        self.rows = {row["id"]: row for row in texts(8)}
        self.turns = 0

    @initialize(chained=st.booleans())
    def begin(self, chained: bool) -> None:
        self.plain = self.scene.three_passes() if chained else [self.scene.one_pass()]
        self.scene.declare(
            passes=self.plain,
            budget={"usd": 1, "per": "total"},
            failures={"max_percent": 100},
            limits={"concurrency": 4},
        )
        self.write()

    def write(self) -> None:
        self.scene.rows(list(self.rows.values()))

    @rule(key=KEYS, text=TEXTS)
    def put(self, key: int, text: int) -> None:
        """A new row, or another text for one that is there."""
        name = f"k{key:05d}"
        self.rows[name] = {"id": name, "text": f"{VOICES[text % len(VOICES)]} #{text}", "other": str(self.turns)}
        self.write()

    @precondition(lambda self: len(self.rows) > 1)
    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        names = sorted(self.rows)
        del self.rows[names[key % len(names)]]
        self.write()

    @rule(number=st.integers(0, 2), word=st.sampled_from(WORDS))
    def reword(self, number: int, word: str) -> None:
        """Another prompt for one of the passes, or the first one again."""
        passes = [dict(part) for part in self.scene.document["passes"]]
        place = number % len(passes)
        passes[place]["prompt"] = word + self.plain[place]["prompt"]
        self.scene.declare(passes=passes)

    @rule(limit=st.sampled_from([None, None, 0, 1, 3]), bad=st.sampled_from([None, None, *BAD]), refresh=st.booleans())
    def run(self, limit: int | None, bad: str | None, refresh: bool) -> None:
        self.turns += 1
        self.sim.control(faults=[{"fault": bad, "share": 0.4}] if bad else [], seed=0)
        known = len(self.sim.ledger)
        report = self.scene.run(limit=limit, refresh=["stale"] if refresh else [])
        self.sim.control(faults=[])
        assert report.stopped is None
        assert report.summary["calls"] == len(self.sim.ledger) - known
        if limit is not None:
            assert report.plan.rows_taken <= limit
        if limit is None and bad is None:
            # Nothing is left to ask, but for what is given up.
            assert project.plan(self.scene.file).calls == 0

    @rule(share=st.floats(0, 1))
    def stop_at_a_budget(self, share: float) -> None:
        billed = self.sim.ledger.billed_nusd
        cap = billed + int(share * 2_000_000)
        report = self.scene.run(budget_usd=cap / 1e9)
        assert self.sim.ledger.billed_nusd <= max(billed, cap)
        assert report.stopped is None or report.stopped.kind == "budget"

    @rule(point=st.sampled_from(POINTS), nth=st.integers(1, 4))
    def crash(self, point: str, nth: int) -> None:
        process = self.scene.start(**{VARIABLE: f"{point}:{nth}"})
        process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 0, 1)

    @rule()
    def retry(self) -> None:
        project.retry(self.scene.file)

    @invariant()
    def every_row_has_one_state(self) -> None:
        if not self.scene.document:
            return
        plan = project.plan(self.scene.file)
        assert plan.rows_selected == len(self.rows)
        for part in plan.passes:
            assert sum(part.reasons.values()) == len(self.rows)

    def teardown(self) -> None:
        try:
            if self.scene.document:
                self.finish()
        finally:
            self.sim.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self) -> None:
        """A healthy day: the table of a fresh run, the books in order, nothing left to ask."""
        self.sim.control(faults=[])
        project.retry(self.scene.file)
        assert self.scene.run(budget_usd=100.0, refresh=["stale"]).exit_code == 0
        assert self.scene.calls_of(refresh=["stale"]) == 0
        assert len(self.scene.rows_out()) == len(self.rows)
        self.scene.is_sound()
        self.scene.nothing_open()
        with self.scene.open_store() as store, store._db.read() as con:
            spent = con.execute("SELECT spent FROM spending WHERE scope = 'total'").fetchone()[0]
        assert spent >= self.sim.ledger.billed_nusd
        fresh = undisturbed(self.folder / "fresh", self.sim, self.scene)
        fresh.run(budget_usd=100.0)
        assert self.told(fresh) == self.told(self.scene)

    def told(self, scene: Scene) -> list[bytes]:
        """What the table says, whatever it took."""
        return scene.table(costs=False)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=count(6, 300),
    stateful_step_count=count(12, 30),
    deadline=None,
    database=None,
    print_blob=True,
    derandomize="INLAY_SOAK" not in os.environ or os.environ.get("INLAY_SEED") == "0",
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
