"""A run inside somebody else's job: it never fails its host, obeys the environment, tells who wants to know, and waits
for its turn."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from durable_scene import Scene, texts

from inlay import project
from inlay.errors import InlayError, SpecError
from inlay.project import actions, altered
from inlay.reporting.words import dollars
from inlay.testing import Simulator


class Hook:
    """A webhook of this machine: what it got, and what it answers next."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answers: list[int] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.bodies.append(body)
                hook.got.append(json.loads(body))
                hook.headers.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(hook.answers.pop(0) if hook.answers else 200)
                self.send_header("Location", f"{hook.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=s3cr3t-token"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INLAY_") and name != "INLAY_SOAK"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(actions, "_PAUSES_S", (0.0, 0.0))


def writing(folder: Path, name: str = "told", code: int = 0) -> list[str]:
    """A command that appends what it reads to a file, a line each."""
    return ["sh", "-c", f"cat >> {name}; echo >> {name}; echo bye; exit {code}"]


def told(folder: Path, name: str = "told") -> list[dict[str, Any]]:
    path = folder / name
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


# --- on_error and switches


def test_nothing_is_raised_past_a_host_that_wants_warnings(
    scene: Scene, sim: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[Callable[[], Any]] = [
        lambda: scene.file.write_text("name: [", "utf-8"),
        lambda: scene.declare(source={"files": "nowhere.csv", "key": "id"}),
        lambda: scene.declare(source={"files": "rows.csv", "key": "absent"}),
        lambda: monkeypatch.setattr("inlay.project.embedding.run_session", lambda *_: 1 / 0),
    ]
    scene.declare(after=[{"command": writing(scene.folder)}])
    for turn, breaks in enumerate(broken):
        breaks()
        caplog.clear()
        with caplog.at_level(logging.WARNING, "inlay"):
            report = scene.run(on_error="warn")
        assert report.error is not None
        assert report.exit_code == (70 if turn == 3 else 2)
        assert report.outcome == "error"
        assert report.line.startswith(f"{report.enrichment}: error, ")
        assert len(caplog.records) == 1
        assert report.enriched == 0
        assert report.to_json()["error"]["kind"] == report.error.kind
        with pytest.raises((InlayError, ZeroDivisionError)):
            scene.run()
        monkeypatch.setenv("INLAY_FAIL_ON_ERROR", "1")
        with pytest.raises((InlayError, ZeroDivisionError)):
            scene.run(on_error="warn")
        monkeypatch.delenv("INLAY_FAIL_ON_ERROR")
        scene.document["source"] = {"files": "rows.csv", "key": "id"}
        scene.declare()
    # A file that cannot be read names no action; the other three had each of their three runs told.
    assert [(line["outcome"], line["exit_code"]) for line in told(scene.folder)] == [("failure", 2)] * 6 + [
        ("failure", 70)
    ] * 3
    assert len(sim.ledger.calls) == 0
    with pytest.raises(SpecError, match="on_error"):
        scene.run(on_error="ignore")


def test_switches_of_the_environment(scene: Scene, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.rows(texts(10))
    monkeypatch.setenv("INLAY_SKIP", "1")
    monkeypatch.setattr("inlay.project.embedding.Session", None)  # nothing is opened
    report = scene.run()
    assert (report.outcome, report.exit_code, report.line) == ("skipped", 0, "reviews: skipped, INLAY_SKIP is set")
    assert not (scene.folder / ".inlay").exists()
    monkeypatch.undo()

    monkeypatch.setenv("INLAY_DRY_RUN", "true")
    report = scene.run()
    assert report.dry_run
    about = dollars(report.plan.cost_usd)
    assert report.line == f"reviews: 10 selected, 10 calls, about {about}: dry run, nothing was sent"
    assert "INLAY_DRY_RUN is set" in report.notes[0]
    assert not (scene.folder / ".inlay").exists()
    monkeypatch.delenv("INLAY_DRY_RUN")

    monkeypatch.setenv("INLAY_LIMIT", "0")
    assert scene.calls_of() == 0
    assert scene.run().exit_code == 0
    assert project.plan(scene.file).limit == 0
    monkeypatch.setenv("INLAY_LIMIT", "3")
    report = scene.run()
    assert report.enriched == 3
    assert report.line.startswith(
        f"reviews: 10 selected, 3 to ask, 3 answered, 0 failed, {dollars(report.summary['cost_usd'])}, "
    )
    assert "INLAY_LIMIT is set: at most 3 rows" in report.notes
    assert scene.run(limit=1).enriched == 1  # what is said in so many words counts
    monkeypatch.delenv("INLAY_LIMIT")

    monkeypatch.setenv("INLAY_BUDGET_USD", "0")
    report = scene.run()
    assert report.outcome == "stopped: budget"
    assert report.line.endswith(", stopped: budget")
    assert scene.run(budget_usd=5.0).exit_code == 0
    for name, value in (("INLAY_LIMIT", "all"), ("INLAY_BUDGET_USD", "-1"), ("INLAY_SKIP", "maybe")):
        monkeypatch.setenv(name, value)
        with pytest.raises(SpecError, match=name):
            scene.run()
        monkeypatch.delenv(name)


def test_a_limit_of_none_needs_no_key(scene: Scene, sim: Simulator) -> None:
    scene.declare(passes=[scene.one_pass(model="openai:gpt-6-luna", endpoint=None, prices=None)], select={"limit": 0})
    report = scene.run()
    assert report.exit_code == 0
    assert report.summary["calls"] == 0


def test_switches_on_the_command_line(scene: Scene, sim: Simulator) -> None:
    end = scene.command_run(INLAY_SKIP="1")
    assert (end.code, end.report and end.report["outcome"]) == (0, "skipped")
    process = scene.start(INLAY_DRY_RUN="1")
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["calls"] == 1
    assert process.returncode == 0, err
    assert len(sim.ledger.calls) == 0


# --- after


def test_actions_after_a_run(scene: Scene, sim: Simulator, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    monkeypatch.setenv("INLAY_WEBHOOK_SECRET", "shared")
    scene.rows(texts(4))
    scene.declare(
        after=[
            {"command": writing(scene.folder), "when": "success"},
            {"command": writing(scene.folder, "failed"), "when": "failure"},
            {"webhook": "${HOOK}"},
        ]
    )
    report = scene.run()
    (line,) = told(scene.folder)
    assert (line["event"], line["outcome"], line["exit_code"], line["enriched"]) == ("run_ended", "success", 0, 4)
    assert line["line"].startswith("reviews: 4 selected, 4 answered")
    assert line["run"] == report.run_id
    assert hook.got[0]["published_rows"] == 4
    headers, body = hook.headers[0], hook.bodies[0]
    stamped = headers["x-inlay-timestamp"].encode() + b"." + body
    expected = "sha256=" + hmac.new(b"shared", stamped, hashlib.sha256).hexdigest()
    assert headers["x-inlay-signature"] == expected == actions.signature("shared", headers["x-inlay-timestamp"], body)
    assert headers["x-inlay-id"] == hook.got[0]["id"]
    assert b"s3cr3t" not in body
    assert not (scene.folder / "failed").exists()

    monkeypatch.setenv("INLAY_SKIP", "1")
    scene.run()
    assert [line["outcome"] for line in told(scene.folder)] == ["success", "skipped"]
    monkeypatch.delenv("INLAY_SKIP")

    scene.rows(texts(9))
    report = scene.run(budget_usd=0.0)
    assert report.stopped is not None
    assert told(scene.folder, "failed")[0]["stopped"]["kind"] == "budget"
    assert [got["outcome"] for got in hook.got] == ["success", "skipped", "failure"]
    scene.run(dry_run=True)
    assert len(hook.got) == 3


def test_an_action_that_fails_is_a_note(
    scene: Scene, sim: Simulator, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    sleeping = ["sleep", "60"]
    closed = ["sh", "-c", "exec 0<&-"]
    scene.declare(
        after=[
            {"command": writing(scene.folder, code=3)},
            {"command": "no-such-program --now"},
            {"command": sleeping, "timeout_s": 0.2},
            {"command": closed},
            {"webhook": "${HOOK}"},
            {"webhook": "ftp://127.0.0.1/"},
            {"webhook": "http://127.0.0.1:1/x?key=s3cr3t-token"},
        ]
    )
    hook.answers = [503, 429, 500]
    report = scene.run()
    assert report.exit_code == 0
    notes = "\n".join(report.notes)
    for said in (
        "after[0] failed: ",
        "ended with exit code 3: bye",
        "after[1] failed: there is no program 'no-such-program'",
        "was ended after 0.2 s",
        "after[4] failed: 127.0.0.1 answered 500",
        "after[5] failed: its address is not one",
        "after[6] failed: 127.0.0.1 cannot be reached",
    ):
        assert said in notes
    assert "after[3]" not in notes
    assert "s3cr3t" not in notes
    assert len(hook.got) == 3
    assert len({got["id"] for got in hook.got}) == 1
    hook.answers = [302]
    assert "redirects are not followed" in "\n".join(scene.run().notes)
    assert len(hook.got) == 4


# --- on_change


def test_rows_whose_input_changed_are_told(
    scene: Scene, sim: Simulator, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    rows = texts(6)
    scene.rows(rows)
    scene.declare(on_change=[{"command": writing(scene.folder)}, {"webhook": "${HOOK}"}])
    heard: list[altered.InputChange] = []
    scene.run(on_change=heard.append)
    rows[2]["text"] = "名前が変わった 😀"
    rows.append({"id": "new", "text": "somebody new", "other": ""})
    scene.rows(rows)
    assert scene.calls_of(on_change=heard.append) == 2
    (change,) = heard
    assert (change.key, change.inputs, change.pass_name) == ("k00002", ("text",), "read")
    assert change.input_hash != change.input_hash_before
    assert {field.field for field in change.fields} == {"sentiment", "stars", "topics"}
    for message in (told(scene.folder)[0], hook.got[0]):
        assert message["event"] == "input_changed"
        assert [entry["id"] for entry in message["changes"]] == [change.id]
        assert "名前" not in json.dumps(message, ensure_ascii=False)
    scene.declare(passes=[scene.one_pass(prompt="Read anew: {{ text }} {{ other }}")])
    scene.run(refresh=["stale"], on_change=heard.append)  # another prompt is no news of a row
    assert len(heard) == len(hook.got) == 1


def test_a_change_is_told_until_it_was_heard(
    scene: Scene, sim: Simulator, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", hook.url)
    rows = texts(3)
    scene.rows(rows)
    scene.declare(on_change=[{"webhook": "${HOOK}"}])
    scene.run()
    rows[0]["text"] = "changed once"
    scene.rows(rows)
    hook.answers = [500, 500, 500]
    report = scene.run()
    assert "told again by the next run" in "\n".join(report.notes)
    assert report.exit_code == 0
    rows[1]["text"] = "changed later"
    scene.rows(rows)
    scene.run()
    scene.run()
    assert [[entry["key"] for entry in got["changes"]] for got in hook.got] == [["k00000"]] * 3 + [["k00000", "k00001"]]
    assert hook.got[0]["id"] == hook.got[2]["id"]

    # Killed after the answers were kept, before anybody was told.
    rows[2]["text"] = "changed, then killed"
    scene.rows(rows)
    process = scene.start(HOOK=hook.url, INLAY_FAULTPOINT="publish.before_write")
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(hook.got) == 4
    assert scene.calls_of() == 0
    assert [entry["key"] for entry in hook.got[4]["changes"]] == ["k00002"]
    scene.run()
    assert len(hook.got) == 5


# --- whose turn it is


def test_a_second_run_waits_or_exits_or_joins(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.5)  # slow until the others have looked
    scene.rows(texts(60))
    scene.declare(limits={"concurrency": 2})
    first = scene.start()
    scene.asked(2)
    loaded: list[int] = []
    report = scene.run(if_running="exit", before=lambda: loaded.append(1))
    assert not loaded  # the table of a run that is going is not loaded under its feet
    assert (report.outcome, report.exit_code) == ("skipped", 0)
    assert "run 1, begun " in report.line
    assert "is going" in report.line
    waited: list[Any] = []
    report = scene.run(if_running="wait", wait_for_s=0.3, listener=waited.append, on_error="warn")
    assert report.error is not None
    assert (report.error.kind, report.exit_code) == ("already_running", 3)
    assert waited[0].name == "run_waiting"
    sim.control(latency=0)
    assert scene.run(if_running="wait").enriched == 0
    assert scene.finish(first).code == 0
    assert set(scene.tasks().values()) == {1}
    assert scene.run(if_running="exit", before=lambda: loaded.append(1)).outcome == "done"
    assert loaded == [1]


def test_a_killed_run_frees_its_turn_at_once(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.5)  # slow until the others have looked
    scene.rows(texts(60))
    scene.declare(limits={"concurrency": 2})
    first = scene.start()
    scene.asked(2)
    first.kill()
    first.communicate()
    sim.control(latency=0)
    end = scene.command_run("--if-running", "wait", "--wait-for", "1s")
    assert end.code == 0, end.err
    assert len(scene.tasks()) == 60


def test_the_command_line_says_whom_it_waits_for(scene: Scene, sim: Simulator) -> None:
    sim.control(latency=0.5)  # slow until the others have looked
    scene.rows(texts(40))
    scene.declare(limits={"concurrency": 2})
    first = scene.start()
    scene.asked(2)
    end = scene.command_run("--if-running", "exit")
    assert (end.code, end.report and end.report["outcome"]) == (0, "skipped")
    end = scene.command_run(INLAY_IF_RUNNING="exit")
    assert (end.code, end.report and end.report["outcome"]) == (0, "skipped")
    second = scene.start("--if-running", "wait", "--log-format", "json")
    assert second.stderr is not None
    assert json.loads(second.stderr.readline())["event"] == "run_waiting"
    sim.control(latency=0)
    assert scene.finish(second).code == 0
    assert scene.finish(first).code == 0
