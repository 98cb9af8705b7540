"""The cap holds: whatever prices, sizes, concurrency, kills and timeouts, the provider's bill stays at or under it."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

from durable_scene import Scene, count, seeded, texts

from inlay.testing import Simulator

RUNS = count(12, 500)
CROWDS = count(2, 500)


def some_price(rng: random.Random) -> dict[str, float]:
    return {
        "input_per_million": rng.choice([0.05, 0.1, 1.0, 15.0]),
        "output_per_million": rng.choice([0.4, 0.5, 5.0, 75.0]),
    }


def test_the_bill_never_passes_the_cap(scene: Scene, sim: Simulator) -> None:
    rng = seeded("budgets")
    for turn in range(RUNS):
        price = some_price(rng)
        rows = rng.randrange(40, 260)
        tokens = rng.choice([10, 60, 200])
        faults: list[dict[str, Any]] = []
        if rng.random() < 0.5:
            faults = [{"fault": rng.choice(["timeout", "hang_up", "reset_mid_body", "truncated"]), "share": 0.1}]
        sim.clear()
        sim.control(
            prices={"*": price},
            completion_tokens=tokens,
            latency=rng.choice([0, 0.01, "uniform:0.01,0.1"]),
            faults=faults,
            seed=rng.randrange(1000),
        )
        scene.rows(texts(rows))
        name = f"read{turn}"
        one = scene.one_pass(name, f"Read {turn}: {{{{ text }}}}", prices=price, max_output_tokens=220)
        typical = (250 * price["input_per_million"] + tokens * price["output_per_million"]) / 1e6
        usd = round(typical * rows * rng.uniform(0.05, 1.2), 7)
        per = rng.choice(["run", "total"])
        scene.declare(
            name=f"e{turn}",
            passes=[one],
            budget={"usd": usd, "per": per},
            limits={"concurrency": 200, "timeout_s": 1},
            failures={"max_percent": 100, "max_tries": 10},
        )
        cap = round(usd * 1e9)
        through = False  # a run that ends by itself gives the next one a budget of its own
        for _ in range(rng.randrange(0, 3)):
            known = sim.summary()["calls"]
            process = scene.start()
            while process.poll() is None and sim.summary()["calls"] <= known + rng.randrange(0, 60):
                time.sleep(0.005)
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
            process.communicate()
            assert sim.ledger.billed_nusd <= cap
            through = through or process.returncode in (0, 1)
        if through and per == "run":
            continue
        ended = scene.command_run()
        assert ended.code in (0, 1, 3), ended.err
        bill = sim.ledger.billed_nusd
        assert bill <= cap, (turn, bill, cap)
        if ended.code == 3:
            assert "budget" in ended.err
            # The same command again finds nothing more to spend, or too little.
            again = scene.command_run()
            assert again.code == 3
            assert sim.ledger.billed_nusd <= cap
        with scene.open_store() as store, store._db.read() as con:
            booked, reserved = con.execute(
                "SELECT spent, reserved FROM spending WHERE enrichment = ? AND scope = 'total'", (f"e{turn}",)
            ).fetchone() or (0, 0)
        assert sim.ledger.billed_nusd <= booked + reserved <= cap, turn
        scene.nothing_open()


def test_eight_processes_and_kills_on_one_store_stay_under_one_cap(scene: Scene, sim: Simulator) -> None:
    rng = seeded("crowds")
    for turn in range(CROWDS):
        price = some_price(rng)
        rows, tokens = rng.randrange(80, 240), rng.choice([10, 60, 200])
        sim.clear()
        sim.control(
            prices={"*": price},
            completion_tokens=tokens,
            latency=rng.choice([0.01, "uniform:0.01,0.1"]),
            faults=rng.choice([[], [{"fault": "hang_up", "share": 0.1}], [{"fault": "timeout", "share": 0.05}]]),
            seed=rng.randrange(1000),
        )
        scene.rows(texts(rows))
        one = scene.one_pass(f"crowd{turn}", f"Crowd {turn}: {{{{ text }}}}", prices=price, max_output_tokens=220)
        typical = (250 * price["input_per_million"] + tokens * price["output_per_million"]) / 1e6
        usd = round(typical * rows * rng.uniform(0.1, 0.9), 7)
        scene.declare(
            name=f"crowd{turn}",
            passes=[one],
            budget={"usd": usd, "per": rng.choice(["day", "month", "total"])},
            limits={"concurrency": rng.choice([4, 50]), "timeout_s": 1},
            failures={"max_percent": 100, "max_tries": 10},
        )
        cap = round(usd * 1e9)
        running = [scene.start() for _ in range(8)]
        deadline = time.monotonic() + 60
        while not len(sim.ledger) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in rng.sample(running, rng.randrange(1, 5)):
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM]))
        for process in running:
            process.communicate()
        assert sim.ledger.billed_nusd <= cap, (turn, sim.ledger.billed_nusd, cap)
        ended = scene.command_run()
        assert ended.code in (0, 1, 3), ended.err
        assert sim.ledger.billed_nusd <= cap, (turn, sim.ledger.billed_nusd, cap)
        with scene.open_store() as store, store._db.read() as con:
            booked, reserved = con.execute(
                "SELECT spent, reserved FROM spending WHERE enrichment = ? AND scope = 'total'", (f"crowd{turn}",)
            ).fetchone() or (0, 0)
        assert sim.ledger.billed_nusd <= booked + reserved <= cap, turn
        scene.nothing_open()


def test_a_stopped_run_goes_on_when_the_budget_is_raised(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(200))
    scene.declare(budget={"usd": 0.01})
    first = scene.run()
    made = len(sim.ledger)
    assert (first.exit_code, first.stopped.kind) == (3, "budget")
    assert 0 < made < 200
    billed = sim.ledger.billed_nusd
    assert billed <= 10_000_000
    for _ in range(3):
        assert scene.calls_of() == 0
    assert sim.ledger.billed_nusd == billed
    scene.declare(budget={"usd": 5})
    report = scene.run()
    assert report.exit_code == 0
    assert len(sim.ledger) == 200
    assert sim.ledger.billed_nusd == first.summary["cost_usd"] * 1e9 + report.summary["cost_usd"] * 1e9
    scene.nothing_open()
    scene.is_sound()


def test_a_finished_run_frees_the_budget_of_the_next_one(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(20))
    scene.declare(budget={"usd": 0.02})
    assert scene.calls_of() == 20
    scene.rows(texts(40))
    assert scene.calls_of() == 20


def test_a_total_is_counted_over_all_runs(scene: Scene, sim: Simulator) -> None:
    for per in ("day", "month", "total"):
        sim.clear()
        scene.declare(name=f"by_{per}", budget={"usd": 0.02, "per": per})
        grown = 20
        while True:
            scene.rows([{**row, "text": f"{per} {row['text']}"} for row in texts(grown)])
            report = scene.run()
            assert sim.ledger.billed_nusd <= 20_000_000
            if report.exit_code == 3:
                break
            grown += 20
            assert grown < 2_000
        assert report.stopped.kind == "budget"
        billed = sim.ledger.billed_nusd
        assert scene.calls_of(fresh_budget=True) == 0  # a run of its own, and yet the same day
        assert sim.ledger.billed_nusd == billed
        assert scene.run(budget_usd=1.0).exit_code == 0


def test_a_budget_too_small_for_one_call_asks_none(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(10))
    scene.declare(budget={"usd": 0.000001})
    ended = scene.command_run()
    assert (ended.code, len(sim.ledger)) == (3, 0)
    assert "budget" in ended.err


def test_an_unknown_price_under_a_budget_is_refused(scene: Scene, sim: Simulator) -> None:
    one = scene.one_pass()
    del one["prices"]
    scene.declare(passes=[one], budget={"usd": 1})
    ended = scene.command_run()
    assert (ended.code, len(sim.ledger)) == (2, 0)
    assert "price" in ended.err
