"""Who is alive: a dead process is recognised at once, a reused number fools nobody, the unknown are trusted a while."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inlay.stores import liveness

CHILD = (
    "import sys, time; from inlay.stores.liveness import new_runner; print(new_runner(), flush=True); time.sleep(60)"
)


@pytest.fixture
def child() -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_killed_process_is_dead_at_once_even_before_its_parent_collects_it(child: subprocess.Popen[str]) -> None:
    runner = child.stdout.readline().strip()
    assert liveness.alive(runner, 1000, 0)
    assert not liveness.alive(runner, 1000, 1000)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie
    assert not liveness.alive(runner, 1000, 0)
    child.wait()
    assert not liveness.alive(runner, 1000, 0)


def test_a_number_given_out_again_is_not_the_same_process() -> None:
    version, token, machine, _, start = liveness.new_runner().split(".")
    parent = os.getppid()
    assert not liveness.alive(".".join((version, token, machine, str(parent), str(int(start) + 1))), 1000, 0)


def test_the_same_number_in_another_container_or_machine_is_judged_by_its_heartbeat() -> None:
    version, token, machine, _, start = liveness.new_runner().split(".")
    boot, namespace = machine.split("-")
    for elsewhere in (f"{boot}-{int(namespace) + 1}", f"{boot[::-1]}x-{namespace}", ""):
        foreign = ".".join((version, token, elsewhere, "999999999", start))
        assert liveness.alive(foreign, 1000, 999)
        assert not liveness.alive(foreign, 1000, 1000)
    assert not liveness.alive(".".join((version, token, machine, "999999999", start)), 1000, 0)


def test_runners_of_one_process_are_told_apart() -> None:
    one, two = liveness.new_runner(), liveness.new_runner()
    liveness.retire(one)
    assert not liveness.alive(one, 1000, 0)
    assert liveness.alive(two, 1000, 0)
    liveness.keep(one)
    assert liveness.alive(one, 1000, 0)


@pytest.mark.parametrize("name", ["laufer", "r1.x.y", "r1.a.b.c.d", "r2.a.b.1.2", "", "走者.a.b.1.2"])
def test_a_name_of_another_kind_lives_by_its_heartbeat(name: str) -> None:
    assert liveness.alive(name, 1000, 999)
    assert not liveness.alive(name, 1000, 1000)
