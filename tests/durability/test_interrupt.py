"""Signals, a full disk, a locked and a read-only store: a clean end, a clear sentence, and nothing paid twice."""

from __future__ import annotations

import resource
import shlex
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from durable_scene import Scene, count, seeded, texts

from inlay import project
from inlay.testing import Simulator


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_saves_what_is_in_flight(scene: Scene, sim: Simulator, number: signal.Signals) -> None:
    rng = seeded(number.name)
    for turn in range(count(1, 25)):
        sim.clear()
        sim.control(latency="uniform:0.2,0.6")
        scene.rows(texts(120))
        scene.declare(
            passes=[scene.one_pass(f"read{turn}", f"Read {turn}: {{{{ text }}}}")], limits={"concurrency": 16}
        )
        process = scene.start()
        scene.asked(rng.randrange(1, 90), process)
        process.send_signal(number)
        ended = scene.finish(process, timeout=10)
        assert ended.code == 3, ended.err
        assert "interrupted" in ended.err
        assert ended.report is not None
        assert sim.ledger.by_outcome == {"answered": len(sim.ledger)}
        assert ended.report["passes"][0]["done"] == len(sim.ledger)
        assert len(scene.rows_out()) == 120
        scene.nothing_open()
        sim.control(latency=0)
        assert scene.run().exit_code == 0
        assert len(sim.ledger) == 120
        scene.is_sound()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(scene: Scene, sim: Simulator, number: signal.Signals) -> None:
    sim.control(latency=30)
    scene.rows(texts(60))
    scene.declare(limits={"concurrency": 16})
    process = scene.start()
    sim.control(latency=0)  # the opening call comes back, the others hang
    scene.asked(0, process)
    sim.control(latency=30)
    scene.asked(5, process)
    process.send_signal(number)
    time.sleep(0.5)
    process.send_signal(number)
    ended = scene.finish(process, timeout=10)
    assert ended.code == 3, ended.err
    assert "calls in flight" in ended.err
    scene.nothing_open()
    answered = sim.ledger.by_outcome["answered"]
    hung = len(sim.ledger) - answered
    assert 0 < hung <= 16
    sim.control(latency=0)
    assert scene.calls_of() == 60 - answered
    assert sum(scene.tasks().values()) == 60 + hung
    with scene.open_store() as store, store._db.read() as con:
        lost, spent = con.execute("SELECT count(*), min(cost) FROM attempts WHERE outcome = 'lost'").fetchone()
    assert lost >= hung
    assert spent > 0  # they may have been paid


def test_sigterm_does_not_wait_for_a_provider_that_hangs(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(60))
    scene.declare(limits={"concurrency": 8})
    sim.control(faults=[{"fault": "timeout", "calls": list(range(10, 200))}])
    process = scene.start()
    scene.asked(12, process)
    process.send_signal(signal.SIGTERM)
    ended = scene.finish(process, timeout=20)  # far below the timeout of a call, two minutes
    assert ended.code == 3, ended.err
    scene.nothing_open()
    sim.control(faults=[])
    assert scene.run().exit_code == 0
    scene.is_sound()


# --- disks -------------------------------------------------------------------------------------------------------


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))


def test_files_that_may_not_grow(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(1_500))
    scene.declare(limits={"concurrency": 16})
    full = subprocess.run(
        scene.command("run", "--quiet", "--json", "--yes"),
        cwd=scene.folder,
        env=scene.environment(),
        capture_output=True,
        encoding="utf-8",
        preexec_fn=limit_files,
        timeout=60,
        check=False,
    )
    assert full.returncode == 3, full.stderr
    assert "Traceback" not in full.stderr
    assert "store" in full.stderr
    assert "→" in full.stderr
    made = len(sim.ledger)
    assert made < 1_500
    with scene.open_store() as store, store._db.read() as con:
        kept = con.execute("SELECT count(*) FROM cells WHERE state = 'done'").fetchone()[0]
    assert kept > 0
    assert made - kept <= 2 * 16
    assert scene.run().exit_code == 0
    assert len(sim.ledger) <= 1_500 + 2 * 16
    assert all(row["read_success"] for row in scene.rows_out())
    scene.is_sound()
    scene.nothing_open()


def in_namespace(scene: Scene, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script with mounts of its own; `$inlay` is the command."""
    inlay = " ".join(map(shlex.quote, scene.command()))
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"inlay={shlex.quote(inlay)}\n{script}"],
        cwd=scene.folder,
        env=scene.environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


FULL = """
mkdir .inlay && mount -t tmpfs -o size=700k none .inlay || exit 99
$inlay run --quiet --json --yes; echo "first=$?"
mount -o remount,size=64m .inlay || exit 98
$inlay store verify >&2; echo "verify=$?"
$inlay run --quiet --yes; echo "second=$?"
$inlay run --quiet --yes; echo "third=$?"
$inlay store verify >&2; echo "verify=$?"
"""

READ_ONLY = """
mount -t tmpfs -o size=32m none .inlay || exit 99
cp keep/* .inlay/ && mount -o remount,ro .inlay || exit 98
$inlay run --quiet --yes; echo "run=$?"
$inlay plan >&2; echo "plan=$?"
"""


@pytest.mark.namespaces
def test_a_full_disk(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(1_500))
    scene.declare(limits={"concurrency": 16})
    ended = in_namespace(scene, FULL)
    codes = [line for line in ended.stdout.splitlines() if "=" in line and "{" not in line]
    assert codes == ["first=3", "verify=0", "second=0", "third=0", "verify=0"], ended.stderr
    assert "Traceback" not in ended.stderr
    assert "full" in ended.stderr
    assert "free some space" in ended.stderr
    assert len(sim.ledger) <= 1_500 + 2 * 16
    assert len(scene.tasks()) == 1_500
    assert all(row["read_success"] for row in scene.rows_out())


@pytest.mark.namespaces
def test_a_read_only_store(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(10))
    scene.declare()
    scene.run()
    shutil.copytree(scene.folder / ".inlay", scene.folder / "keep")
    scene.rows(texts(20))
    made = len(sim.ledger)
    ended = in_namespace(scene, READ_ONLY)
    assert "run=3" in ended.stdout, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "read-only" in ended.stderr or "cannot be opened" in ended.stderr
    assert len(sim.ledger) == made  # nothing is asked that could not be kept


def test_a_store_that_is_locked_for_a_while_is_waited_for(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.05)
    scene.rows(texts(100))
    scene.declare(limits={"concurrency": 8})
    process = scene.start()
    scene.asked(20, process)
    con = sqlite3.connect(scene.folder / ".inlay" / "store.db", isolation_level=None, timeout=30)
    con.execute("BEGIN IMMEDIATE")
    time.sleep(2)
    held = sim.summary()["calls"]
    con.execute("ROLLBACK")
    con.close()
    ended = scene.finish(process)
    assert ended.code == 0, ended.err
    assert held < 100  # while nothing could be kept, nothing more was asked
    assert len(sim.ledger) == 100
    scene.is_sound()
    scene.nothing_open()


def test_a_run_in_a_thread_leaves_signals_alone(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(10))
    scene.declare()
    before = signal.getsignal(signal.SIGTERM)
    ends: list[int] = []
    thread = threading.Thread(target=lambda: ends.append(project.run(scene.file, interrupts=True).exit_code))
    thread.start()
    thread.join(60)
    assert ends == [0]
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_part_that_a_killed_writer_left_is_not_the_table(scene: Scene, sim: Simulator) -> None:
    scene.rows(texts(30))
    scene.declare()
    scene.run()
    before = (scene.folder / scene.output).read_bytes()
    scene.rows(texts(31))
    process = scene.start(INLAY_FAULTPOINT="publish.within_write")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert (Path(scene.folder) / scene.output).read_bytes() == before
    assert scene.calls_of() == 0
    assert len(scene.rows_out()) == 31
