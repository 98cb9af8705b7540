"""Every way a command can end: exit codes, signals, closed pipes, errors without tracebacks, hostile text."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

MANY = [(f"k{number:03}", f"Review number {number}: とても良い") for number in range(120)]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("verb", ["plan", "run", "status", "retry", "store stats", "store verify"])
def test_a_missing_declaration_is_two_and_says_where_it_looked(project: Project, verb: str) -> None:
    done = project.inlay(*verb.split(), "nowhere.yaml")
    no_traceback(done)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "nowhere.yaml" in done.stderr
    assert done.stdout == ""


def test_a_wrong_declaration_is_two_and_names_line_and_key(project: Project, simulator: Simulator) -> None:
    (project.folder / "inlay.yaml").write_text(
        "name: reviews\nsource: {files: reviews.csv, key: id}\npases: []\n", encoding="utf-8"
    )
    done = project.inlay("run")
    no_traceback(done)
    assert done.returncode == 2
    assert re.search(r"inlay\.yaml:3", done.stderr)
    assert "passes" in done.stderr
    assert len(simulator.ledger) == 0


def test_a_source_that_does_not_fit_is_two(project: Project, simulator: Simulator) -> None:
    (project.folder / "reviews.csv").unlink()
    missing = project.inlay("run")
    no_traceback(missing)
    assert missing.returncode == 2
    assert "reviews.csv" in missing.stderr
    project.rows([*project.ROWS, project.ROWS[0]])
    doubled = project.inlay("run")
    no_traceback(doubled)
    assert doubled.returncode == 2
    assert "r1" in doubled.stderr
    assert len(simulator.ledger) == 0


@pytest.mark.parametrize("arguments", [("rnu",), ("run", "--limit", "-1"), ("run", "--budget", "nan"), ("store",)])
def test_a_wrong_command_line_is_two(project: Project, arguments: tuple[str, ...]) -> None:
    done = project.inlay(*arguments)
    no_traceback(done)
    assert done.returncode == 2
    assert "Usage: inlay" in done.stdout + done.stderr


def test_a_wrong_key_is_three_after_one_call(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_401"}])
    done = project.inlay("run")
    no_traceback(done)
    assert done.returncode == 3
    assert "stopped: " in done.stderr
    assert len(simulator.ledger) == 1
    simulator.control(faults=[])
    assert project.inlay("run").returncode == 0


def test_a_missing_api_key_is_three_and_names_the_variable(project: Project) -> None:
    spec = [{"name": "read", "model": "openai:gpt-6-luna", "prompt": "{{ text }}", "fields": {"mood": {}}}]
    project.declare(passes=spec)
    done = project.inlay("run")
    no_traceback(done)
    assert done.returncode == 3
    assert "OPENAI_API_KEY" in done.stderr


def test_a_budget_holds_and_is_three(project: Project, simulator: Simulator) -> None:
    simulator.control(prices={"*": {"input_per_million": 0.1, "output_per_million": 0.5}})
    done = project.inlay("run", "--budget", "0.0003")
    no_traceback(done)
    assert done.returncode == 3, done.stderr
    assert "budget" in done.stderr
    assert simulator.ledger.billed_nusd <= 300_000
    assert 0 < len(simulator.ledger) < 6 or simulator.ledger.billed_nusd == 0
    more = project.inlay("run", "--budget", "1")
    assert more.returncode == 0
    assert len(simulator.ledger) == 6


def test_a_budget_with_an_unknown_price_is_refused(project: Project, simulator: Simulator) -> None:
    spec = [{"name": "read", "model": "compatible:sim", "endpoint": project.endpoint, "prompt": "{{ text }}",
             "fields": {"mood": {}}}]  # fmt: skip
    project.declare(passes=spec)
    done = project.inlay("run", "--budget", "1")
    assert done.returncode == 2
    assert "price of compatible:sim is not known" in done.stderr
    assert len(simulator.ledger) == 0


def expensive(project: Project) -> None:
    spec = [{"name": "read", "model": "compatible:sim", "endpoint": project.endpoint, "prompt": "{{ text }}",
             "prices": {"input_per_million": 9_000, "output_per_million": 9_000}, "fields": {"mood": {}}}]  # fmt: skip
    project.declare(passes=spec)


def test_more_than_a_dollar_without_a_budget_needs_a_word(project: Project, simulator: Simulator) -> None:
    expensive(project)
    refused = project.inlay("run")
    assert refused.returncode == 2
    assert "no budget is set" in refused.stderr
    assert len(simulator.ledger) == 0
    assert project.inlay("run", "--yes").returncode == 0
    assert len(simulator.ledger) == 6


def on_a_terminal(project: Project, *arguments: str, typed: str = "", until: str = "", **env: str) -> tuple[int, str]:
    """Run on a terminal of its own; `typed` is sent once `until` has been shown."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env={**project.env, "TERM": "xterm-256color", **env},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen, sent = b"", not until
    # Reading fails once the other side is closed; until then nothing to read only means: not yet.
    with contextlib.suppress(OSError):
        while select.select([master], [], [], 60)[0]:
            seen += os.read(master, 65_536)
            if not sent and until.encode() in seen:
                sent = True
                os.write(master, typed.encode())
    os.close(master)
    return process.wait(60), seen.decode("utf-8", "replace")


def test_on_a_terminal_it_asks_and_a_no_sends_nothing(project: Project, simulator: Simulator) -> None:
    expensive(project)
    code, seen = on_a_terminal(project, "run", typed="n\n", until="Run it?")
    assert code == 2
    assert "6 cells to ask" in seen
    assert "no budget is set" in seen
    assert len(simulator.ledger) == 0


def test_on_a_terminal_a_yes_runs(project: Project, simulator: Simulator) -> None:
    expensive(project)
    code, seen = on_a_terminal(project, "run", typed="y\n", until="Run it?")
    assert code == 0, seen
    assert len(simulator.ledger) == 6


def test_on_a_terminal_ctrl_d_at_the_question_sends_nothing(project: Project, simulator: Simulator) -> None:
    expensive(project)
    code, seen = on_a_terminal(project, "run", typed="\x04", until="Run it?")
    assert code == 3, seen
    assert "Nothing was sent." in seen
    assert len(simulator.ledger) == 0


def test_a_terminal_shows_a_live_display_that_leaves_nothing_behind(project: Project, simulator: Simulator) -> None:
    simulator.control(latency=0.4)
    code, seen = on_a_terminal(project, "run", COLUMNS="160")
    assert code == 0
    assert "rows 0/6" in seen
    assert "\x1b[2K" in seen
    assert "\x1b[?25h" in seen, "the cursor is shown again"
    assert "wrote out.jsonl: 6 rows" in seen


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(project: Project, env: dict[str, str]) -> None:
    code, seen = on_a_terminal(project, "run", **env)
    assert code == 0
    assert not re.search(r"\x1b\[(?:3|4|9)\d", seen)
    code, seen = on_a_terminal(project, "plan", "nowhere.yaml", **env)
    assert code == 2
    assert not re.search(r"\x1b\[(?:3|4|9)\d", seen)


def test_ctrl_c_once_saves_and_the_next_run_pays_for_nothing_twice(project: Project, simulator: Simulator) -> None:
    project.rows(MANY)
    project.declare(limits={"concurrency": 8})
    simulator.control(latency=0.2)
    process = project.start("run")
    wait_for(lambda: simulator.summary()["calls"] >= 20)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert re.search(r"finishing \d+ calls? in flight, saving…; press Ctrl-C again to stop now\n", err)
    assert "stopped: interrupted\n  → everything answered is saved" in err
    assert "Traceback" not in out + err
    answered = simulator.ledger.by_outcome["answered"]
    assert 20 <= answered < len(MANY)
    assert sum(row["read_success"] is True for row in project.output()) == answered

    simulator.control(latency=0.0)
    done = project.inlay("run")
    assert done.returncode == 0, done.stderr
    assert len(simulator.ledger) == len(MANY)
    assert simulator.ledger.paid_again() == {}
    assert [row["id"] for row in project.output()] == [key for key, _ in MANY]


def test_ctrl_c_twice_stops_at_once(project: Project, simulator: Simulator) -> None:
    project.declare(limits={"concurrency": 4})
    simulator.control(latency=600)
    process = project.start("run")
    wait_for(lambda: simulator.summary()["open"] >= 1)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert any("press Ctrl-C again" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "stopped at once" in err
    assert "inlay run goes on" in err
    assert "Traceback" not in out + err


def test_sigterm_saves_like_ctrl_c(project: Project, simulator: Simulator) -> None:
    project.rows(MANY)
    project.declare(limits={"concurrency": 8})
    simulator.control(latency=0.2)
    process = project.start("run")
    wait_for(lambda: simulator.summary()["calls"] >= 10)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert simulator.ledger.by_outcome == {"answered": len(simulator.ledger)}


def test_ctrl_c_while_planning_says_that_nothing_was_sent(project: Project, simulator: Simulator) -> None:
    fifo = project.folder / "slow.jsonl"
    os.mkfifo(fifo)
    project.declare(source={"files": "slow.jsonl", "key": "id", "format": "jsonl"})
    process = project.start("plan")
    # It waits for somebody to write into the pipe: nothing goes on any more.
    spent = [0.0]

    def waits() -> bool:
        time.sleep(1)
        spent.append(cpu_seconds(process.pid))
        return len(spent) > 3 and 0.2 < spent[-3] == spent[-1]

    wait_for(waits)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert err == "interrupted: Nothing was sent.\n"
    assert "Traceback" not in out + err
    assert len(simulator.ledger) == 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_ctrl_c_within_a_long_query_says_that_nothing_was_sent(
    project: Project, simulator: Simulator, verb: str
) -> None:
    endless = "(SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 8) >= 0"
    project.declare(select={"where": endless})
    process = project.start(verb)
    wait_for(lambda: cpu_seconds(process.pid) > 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (3, "", "interrupted: Nothing was sent.\n")
    assert len(simulator.ledger) == 0


def test_a_closed_pipe_is_quiet(project: Project) -> None:
    project.rows([(f"k{number}", "text " * 200) for number in range(2_000)])
    process = project.start("export", "--format", "csv")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("id,text,")
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 141
    assert err == ""


def test_a_run_whose_output_nobody_reads_still_ends_well(project: Project, simulator: Simulator) -> None:
    simulator.control(latency=0.2)
    process = project.start("run")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    assert process.wait(60) == 0
    assert len(simulator.ledger) == 6
    assert len(project.output()) == 6


def test_hostile_keys_and_texts_are_never_obeyed(project: Project, simulator: Simulator) -> None:
    hostile = "k\x1b[2J\x1b]0;owned\x07"
    project.rows([(hostile, "x\x1b[31m"), ("良い\u202eevil", "y")])
    simulator.control(faults=[{"fault": "refusal"}])
    done = project.inlay("run")
    status = project.inlay("status")
    for shown in (done, status, project.inlay("status", "--json"), project.inlay("plan")):
        assert "\x1b" not in shown.stdout + shown.stderr
        assert "\u202e" not in shown.stdout + shown.stderr
    assert "k\\x1b[2J\\x1b]0;owned\\x07: refused" in status.stdout
    project.rows([(hostile, "a"), (hostile, "b")])
    doubled = project.inlay("plan")
    assert doubled.returncode == 2
    assert "\x1b" not in doubled.stderr


def test_what_nobody_foresaw_is_one_sentence_and_seventy(project: Project) -> None:
    (project.folder / "sitecustomize.py").write_text(
        "import inlay.project\n"
        "def broken(*args, **named):\n"
        "    raise ZeroDivisionError('a fault of ours \\x1b[31m')\n"
        "inlay.project.plan = broken\n",
        encoding="utf-8",
    )
    path = f"{project.folder}{os.pathsep}{project.env['PYTHONPATH']}"
    done = project.inlay("plan", PYTHONPATH=path)
    assert done.returncode == 70
    assert done.stderr.startswith("error: Inlay did not expect this: ZeroDivisionError: a fault of ours \\x1b[31m\n")
    assert "INLAY_TRACEBACK=1" in done.stderr
    no_traceback(done)
    traced = project.inlay("plan", PYTHONPATH=path, INLAY_TRACEBACK="1")
    assert traced.returncode == 70
    assert "Traceback" in traced.stderr


def test_a_target_out_of_reach_is_three_and_says_what_is_safe(project: Project, simulator: Simulator) -> None:
    project.declare(output={"files": "taken.jsonl"})
    simulator.control(latency=0.3)
    process = project.start("run")
    wait_for(lambda: simulator.summary()["calls"] > 0)
    (project.folder / "taken.jsonl").mkdir()
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    assert process.returncode == 3
    assert "every answer is safe in the store" in err
    assert "6 of 6 cells, 6 calls" in err, "what was done and paid is told all the same"
    assert len(simulator.ledger) == 6
    project.declare()
    assert project.inlay("run").returncode == 0
    assert len(simulator.ledger) == 6


def test_a_terminal_without_utf8_is_no_reason_to_fail(project: Project) -> None:
    project.rows([("顧客", "良い")])
    project.inlay("run")
    for arguments in (("plan",), ("status",), ("run",)):
        done = project.inlay(*arguments, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
        assert done.returncode == 0, done.stderr
        no_traceback(done)
