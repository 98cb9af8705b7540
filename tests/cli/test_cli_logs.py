"""The log for machines: one JSON object a line, stable names, figures that agree with the summary, no record text."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from inlay.cli.progress import Moment
from inlay.engine import events
from inlay.engine.tally import Tally
from inlay.errors import PlanError, SourceError, StoreError
from inlay.project.logs import EVENTS, RunLog, told
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

PAGE = Path(__file__).parents[2] / "docs" / "logs.md"


def lines(text: str) -> list[dict[str, Any]]:
    """Every line as what it is: an object with a known event and a moment in UTC."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert line["event"] in EVENTS, line
        assert dt.datetime.fromisoformat(line["at"]).utcoffset() == dt.timedelta(0)
        assert line["at"].endswith("Z")
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    return [line["event"] for line in found]


def the(found: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (line,) = (line for line in found if line["event"] == name)
    return line


def test_a_run_from_plan_to_end(project: Project) -> None:
    done = project.inlay("run", "--log-format", "json", "--json")
    assert done.returncode == 0, done.stderr
    found = lines(done.stderr)
    assert names(found) == [
        "run_planned",
        "run_started",
        "lane_opened",
        "progress",
        "table_published",
        "run_finished",
    ]
    report = json.loads(done.stdout)
    assert all(line["enrichment"] == "reviews" for line in found)
    assert {line.get("run") for line in found[1:]} == {report["run"]}
    planned, end = found[0], found[-1]
    assert (planned["rows"], planned["cells"], planned["calls"]) == (6, 6, 6)
    assert planned["models"] == ["compatible:sim"]
    assert planned["budget_usd"] is None
    for name in ("calls", "cost_usd", "passes", "rows_done", "exit_code", "input_tokens"):
        assert end[name] == report[name]
    assert end["outcome"] == "done"
    last = the(found, "progress")
    assert (last["rows_done"], last["cells_done"], last["in_flight"], last["calls"]) == (6, 6, 0, 6)
    assert the(found, "table_published")["rows"] == 6


def test_the_environment_asks_for_it_too_and_the_option_wins(project: Project) -> None:
    assert lines(project.inlay("run", "--quiet", INLAY_LOG_FORMAT="json").stderr)
    assert project.inlay("run", "--quiet", "--log-format", "text", INLAY_LOG_FORMAT="json").stderr == ""
    wrong = project.inlay("run", INLAY_LOG_FORMAT="xml")
    assert wrong.returncode == 2
    assert "INLAY_LOG_FORMAT" in wrong.stderr


def test_standard_output_is_as_ever(project: Project) -> None:
    done = project.inlay("run", "--log-format", "json")
    assert "wrote out.jsonl: 6 rows" in done.stdout
    again = project.inlay("run", "--log-format", "json", "--quiet")
    assert again.stdout == ""
    assert names(lines(again.stderr)) == ["run_planned", "run_started", "table_published", "run_finished"]


def test_failures_are_told_by_kind_once_a_pass_and_counted(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_400_context"}])
    done = project.inlay("run", "--log-format", "json", "--quiet")
    assert done.returncode == 1
    found = lines(done.stderr)
    first = the(found, "first_failure")
    assert (first["pass"], first["kind"]) == ("read", "too_long")
    end = the(found, "run_finished")
    assert (end["outcome"], end["passes"][0]["failed"]) == ("failures", {"too_long": 6})
    assert the(found, "progress")["failed"] == {"too_long": 6}
    simulator.control(faults=[])
    retried = project.inlay("retry", "--run", "--log-format", "json", "--quiet")
    assert retried.returncode == 0
    assert the(lines(retried.stderr), "cells_marked")["marked"] == {"read": 6}


def test_a_stop_says_its_kind_and_its_cause(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_401"}])
    done = project.inlay("run", "--log-format", "json", "--quiet")
    assert done.returncode == 3
    found = lines(done.stderr)
    stopping = the(found, "run_stopping")
    assert (stopping["kind"], stopping["cause"]) == ("provider_unusable", "authentication")
    end = the(found, "run_finished")
    assert (end["outcome"], end["exit_code"]) == ("stopped: provider_unusable", 3)


def test_a_budget_that_is_nearly_spent_is_told(project: Project, simulator: Simulator) -> None:
    simulator.control(prices={"*": {"input_per_million": 0.1, "output_per_million": 0.5}})
    many = [(f"k{number}", f"Review {number}") for number in range(150)]
    project.rows(many[:-1])
    cap = json.loads(project.inlay("run", "--json").stdout)["cost_usd"] * 1.2  # most of it is spent already
    project.rows(many)
    project.declare(budget={"usd": cap, "per": "day"})
    done = project.inlay("run", "--log-format", "json", "--quiet")
    found = lines(done.stderr)
    assert the(found, "run_planned")["budget_usd"] == pytest.approx(cap, abs=1e-8)
    warning = the(found, "budget_warning")
    assert warning["spent_usd"] >= 0.8 * warning["cap_usd"]


def test_an_interruption_is_told(project: Project, simulator: Simulator) -> None:
    simulator.control(latency=0.3)
    project.declare(limits={"concurrency": 1})
    process = project.start("run", "--log-format", "json", "--quiet")
    deadline = time.monotonic() + 60
    while not simulator.summary()["calls"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert the(lines(err), "run_stopping")["kind"] == "interrupted"
    assert the(lines(err), "run_finished")["outcome"] == "stopped: interrupted"


def test_an_error_is_a_line_too(project: Project) -> None:
    missing = project.inlay("run", "nowhere.yaml", "--log-format", "json")
    assert missing.returncode == 2
    (line,) = lines(missing.stderr)
    assert (line["event"], line["kind"], line["exit_code"]) == ("error", "spec", 2)
    assert "nowhere.yaml" in line["message"]
    assert "inlay init" in line["remedy"]
    project.rows([*project.ROWS, project.ROWS[0]])
    doubled = project.inlay("run", "--log-format", "json")
    (line,) = lines(doubled.stderr)
    assert (line["kind"], line["exit_code"]) == ("plan", 2)
    assert "not unique" in line["message"]
    assert "r1" not in doubled.stderr, "a row key is text of a record"


def test_what_needs_a_word_is_refused(project: Project, simulator: Simulator) -> None:
    spec = [{"name": "read", "model": "compatible:sim", "endpoint": project.endpoint, "prompt": "{{ text }}",
             "prices": {"input_per_million": 9_000, "output_per_million": 9_000}, "fields": {"mood": {}}}]  # fmt: skip
    project.declare(passes=spec)
    done = project.inlay("run", "--log-format", "json")
    assert done.returncode == 2
    assert "--yes" in the(lines(done.stderr), "error")["remedy"]
    assert len(simulator.ledger) == 0


SECRET_TEXTS = ("🦉 the owl of Minerva", "مرحبا بالعالم", "line\u2028break \x1b[31m red")


FAULT_NAMES = ("", "http_400_filter", "http_401", "refusal", "truncated", "wrong_schema")


def test_no_record_text_no_key_no_answer_and_no_secret(project: Project, simulator: Simulator) -> None:
    project.rows([(f"key-{number}-{text}", text) for number, text in enumerate(SECRET_TEXTS)])
    document = json.loads((project.folder / "inlay.yaml").read_text(encoding="utf-8"))
    document["passes"][0]["api_key_env"] = "MY_KEY"
    project.declare(passes=document["passes"], failures={"max_tries": 5})
    for fault in FAULT_NAMES:
        simulator.control(faults=[{"fault": fault}] if fault else [])
        done = project.inlay("run", "--log-format", "json", "--json", MY_KEY="sk-very-secret-123456")
        assert lines(done.stderr)
        for text in (*SECRET_TEXTS, "key-", "very-secret"):
            for written in (text, json.dumps(text)[1:-1]):
                assert written not in done.stderr, (fault, written)
        project.inlay("store", "clear", "--all", "--yes")


def test_what_an_error_quotes_of_the_source_is_left_out() -> None:
    error = SourceError("a.csv, line 3: a quote is open: 'Ann\\'s \"phone\" is 555'", remedy="mend it")
    assert told(error) == {
        "kind": "source",
        "message": "a.csv, line 3: a quote is open: '…'",
        "remedy": "mend it",
    }
    assert "alice" not in told(PlanError("the row key (mail) is not unique: 'alice@example.com' (2 rows)"))["message"]
    assert told(StoreError("store 'x.db': it is read-only"))["message"] == "store 'x.db': it is read-only"
    assert "alice" not in json.dumps(told(ValueError("alice@example.com")))


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_reader_that_left_ends_nothing() -> None:
    with RunLog(Gone(), "reviews") as log:
        log.listen(events.RunStarted(7))
        log.error(StoreError("x"), 3)


def test_every_event_is_documented_with_every_figure() -> None:
    page = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", page, re.DOTALL | re.MULTILINE))
    assert sections.keys() == EVENTS.keys()
    for kind in get_args(events.Event):
        assert kind.name in EVENTS
        figures = {each.name for each in dataclasses.fields(kind)} - {"message", "summary"}
        for figure in figures:
            written = {"pass_name": "pass"}.get(figure, figure)
            assert f"`{written}`" in sections[kind.name], (kind.name, written)
    for figure in (each.name for each in dataclasses.fields(Moment)):
        assert f"`{figure}`" in sections["progress"], figure
    summary = Tally([]).summary()
    for figure in summary:
        assert f"`{figure}`" in sections["run_finished"], figure
    for figure in ("kind", "message", "remedy", "exit_code"):
        assert f"`{figure}`" in sections["error"]
