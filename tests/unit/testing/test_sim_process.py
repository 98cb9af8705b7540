"""The simulator as a process of its own: start, books, control, and an end whatever happens to its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inlay.errors import SpecError
from inlay.testing import Ledger, SimulatorProcess


def test_it_answers_keeps_books_and_takes_control(client, tmp_path):
    path = tmp_path / "books.jsonl"
    with SimulatorProcess(table={"朝食": {"stars": 5}}, ledger_file=path, cpu=0) as sim:
        assert client.ask(sim.endpoint, client.body("朝食は良い")).content == {"stars": 5}
        sim.control(faults=[{"fault": "http_500"}])
        assert client.ask(sim.endpoint).status == 500
        assert sim.ledger.by_status == {200: 1, 500: 1}
        assert sim.summary() == sim.ledger.summary()
        late = client.ask(sim.endpoint, path="/ledger?since=2", method="GET")
        assert [call.number for call in Ledger.read(late.data).calls] == [2]
        sim.clear()
        assert len(sim.ledger) == 0
        pid = sim.pid
    assert len(Ledger.read(path)) == 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_books_survive_a_kill(client, tmp_path):
    path = tmp_path / "books.jsonl"
    sim = SimulatorProcess(ledger_file=path).start()
    for number in range(5):
        client.ask(sim.endpoint, client.body(f"記録 {number}"))
    os.kill(sim.pid, signal.SIGKILL)
    sim.stop()
    assert len(Ledger.read(path)) == 5


def test_keys_go_down_a_pipe(client):
    with SimulatorProcess(api_keys=["sk-canary-55"]) as sim:
        assert client.ask(sim.endpoint).status == 401
        assert client.ask(sim.endpoint, authorization="Bearer sk-canary-55").status == 200
        assert b"canary" not in Path(f"/proc/{sim.pid}/cmdline").read_bytes()
        assert b"canary" not in Path(f"/proc/{sim.pid}/environ").read_bytes()
        sim.control(latency=0.001)
        assert client.ask(sim.endpoint).status == 401


def test_it_ends_when_its_parent_is_killed(tmp_path):
    script = (
        "import time\nfrom inlay.testing import SimulatorProcess\n"
        "sim = SimulatorProcess().start()\nprint(sim.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout as out:
        child = int(out.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and running(child):
        time.sleep(0.02)
    assert not running(child)


def running(pid: int) -> bool:
    try:
        # A zombie that nobody waits for has ended too.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "inlay.testing", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_command_line_prints_the_endpoint_and_ends_on_sigterm(client, tmp_path):
    path = tmp_path / "books.jsonl"
    arguments = ["--latency", "uniform:0,0.001", "--fault", "http_503=1.0", "--ledger", str(path), "--input-price", "2"]
    process = command(*arguments, "--api-key-env", "SIM_KEY", SIM_KEY="sk-1")
    assert process.stdout is not None
    endpoint = process.stdout.readline().strip()
    assert client.ask(endpoint).status == 401
    assert client.ask(endpoint, authorization="Bearer sk-1").status == 503
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, "")
    assert Ledger.read(path).by_fault == {"http_503": 1}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--latency", "fast"], "not a latency"),
        (["--fault", "http_501"], "there is no fault"),
        (["--fault", "http_500=lots"], "is not a share"),
        (["--spec", "/nowhere.json"], "cannot be read"),
        (["--ledger", "/nowhere/books"], "cannot be written"),
        (["--api-key-env", "SIM_NO_KEY"], "is not set"),
        (["--host", "192.0.2.1"], "cannot listen"),
    ],
)
def test_wrong_options_are_one_clear_sentence(arguments, words):
    process = command(*arguments)
    out, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert words in said
    assert "Traceback" not in said
    assert out == ""


def test_faults_are_listed():
    out, _ = command("--list-faults").communicate(timeout=20)
    assert "reset_mid_body" in out
    assert "Headers and half of the body" in out


def test_misuse_is_a_clear_error():
    with pytest.raises(SpecError, match="not running"):
        _ = SimulatorProcess().ledger
    with pytest.raises(SpecError, match="cannot listen"):
        SimulatorProcess(host="192.0.2.1").start()
    with SimulatorProcess() as sim:
        with pytest.raises(SpecError, match="running already"):
            sim.start()
        with pytest.raises(SpecError, match="did you mean latency"):
            sim.control(latensy=1)
