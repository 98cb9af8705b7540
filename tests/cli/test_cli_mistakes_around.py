"""Mistakes around a declaration: keys, endpoints, money, stores, disks; answered like those within (test_cli_mistakes).

A line of a table is a mistake: what is done, the exit code, what the answer says and what the remedy says.
"""

from __future__ import annotations

import http.server
import json
import shlex
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inlay.stores import database
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

# --- keys, models and endpoints


def changed(project: Project, **keys: Any) -> None:
    document = json.loads((project.folder / "inlay.yaml").read_text(encoding="utf-8"))
    for name, value in keys.items():
        document["passes"][0][name] = value
    project.declare(passes=document["passes"])


def test_a_wrong_key(project: Project, simulator: Simulator) -> None:
    changed(project, api_key_env="MY_KEY")
    simulator.control(faults=[{"fault": "http_401"}])
    project.ask("run", MY_KEY=project.SECRET).check(3, "answered 401: Incorrect API key", "check the key in MY_KEY")
    assert len(simulator.ledger) == 1


def test_no_key_where_one_is_wanted(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_401"}])
    project.ask("run").check(3, "answered 401", "no key was sent: .*`api_key_env`")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "MY_KEY is not set"),
        ("", "MY_KEY is empty"),
        ("'KEY'", "wrapped in quotation marks"),
        ("KEY\n", "ends with a line break"),
        ("KEY x", "holds white space"),
    ],
)
def test_a_key_that_cannot_be_one(project: Project, simulator: Simulator, value: str | None, says: str) -> None:
    changed(project, api_key_env="MY_KEY")
    answer = project.ask("run", **({} if value is None else {"MY_KEY": value.replace("KEY", project.SECRET)}))
    answer.check(3, says, "MY_KEY")
    assert "Nothing was sent." in answer.told
    assert len(simulator.ledger) == 0


def test_an_unknown_model(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_404"}])
    project.ask("run").check(3, "The model `sim` does not exist", "check `model`, and `endpoint`")
    assert len(simulator.ledger) == 1


def test_an_account_without_money(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_429_quota"}])
    project.ask("run").check(3, "exceeded your current quota", "top up")
    assert len(simulator.ledger) == 1


def test_nobody_at_the_endpoint(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        changed(project, endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        project.ask("run").check(3, "cannot connect to http://127.0.0.1:", "check `endpoint`, the network")


def test_a_web_page_at_the_endpoint_is_asked_twice_and_no_more(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "html_200"}])
    project.ask("run").check(3, "answered 200 without a completion: it begins '<!doctype html>", "is the API itself")
    assert len(simulator.ledger) == 2


def test_a_page_after_good_answers_fails_its_record_alone(project: Project, simulator: Simulator) -> None:
    project.declare(limits={"concurrency": 1})
    simulator.control(faults=[{"fault": "html_200", "calls": list(range(4, 99))}])
    done = project.inlay("run", "--json")
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["passes"][0]["failed"] == {"unreadable": 3}


class Files(http.server.SimpleHTTPRequestHandler):
    """A web server that knows no POST."""

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def web() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_that_is_no_api(project: Project, web: int) -> None:
    changed(project, endpoint=f"http://127.0.0.1:{web}/v1")
    project.ask("run").check(3, "answered 501", "check `endpoint`")


# --- money


def test_a_budget_without_a_price(project: Project, simulator: Simulator) -> None:
    changed(project, prices=None)
    project.ask("run", "--budget", "1").check(2, "price of compatible:sim is not known", "prices: ")
    assert len(simulator.ledger) == 0


def test_more_than_a_dollar_and_nobody_to_ask(project: Project, simulator: Simulator) -> None:
    changed(project, prices={"input_per_million": 9_000, "output_per_million": 9_000})
    project.ask("run").check(2, r"would cost about \$\d+\.\d\d and no budget is set", "--budget.*--yes")
    assert len(simulator.ledger) == 0


# --- the store


def kept(project: Project) -> Path:
    (project.folder / ".inlay").mkdir(exist_ok=True)
    return project.folder / ".inlay" / "store.db"


def no_database(project: Project) -> None:
    kept(project).write_text("hello world " * 100, encoding="utf-8")


def somebody_elses(project: Project) -> None:
    con = sqlite3.connect(kept(project))
    con.execute("CREATE TABLE mine (x)")
    con.commit()
    con.close()


def newer(project: Project) -> None:
    assert project.inlay("run", "--quiet").returncode == 0
    con = sqlite3.connect(kept(project))
    con.execute("INSERT INTO schema_version VALUES (99, 0)")
    con.commit()
    con.close()


def damaged(project: Project) -> None:
    assert project.inlay("run", "--quiet").returncode == 0
    data = bytearray(kept(project).read_bytes())
    data[4096 * 2 : 4096 * 9] = bytes(4096 * 7)
    for file in kept(project).parent.iterdir():
        file.unlink()
    kept(project).write_bytes(data)


def a_folder(project: Project) -> None:
    kept(project).mkdir()


def no_folder(project: Project) -> None:
    project.declare(store="no/such/folder/answers.db")


STORES: dict[str, tuple[Callable[[Project], None], str, str]] = {
    "no database": (no_database, "is not an SQLite database", "choose another path"),
    "somebody else's": (somebody_elses, "not an Inlay store; nothing was written to it", "choose another path"),
    "newer": (newer, "schema version 99; this Inlay knows", "upgrade Inlay"),
    "damaged": (damaged, "it is damaged", "inlay store verify"),
    "a folder": (a_folder, "this is a folder, not a file", "choose another path"),
    "no folder": (no_folder, "the folder .* does not exist", "create it"),
}


@pytest.mark.parametrize("mistake", STORES)
def test_a_store_that_cannot_be_used(project: Project, simulator: Simulator, mistake: str) -> None:
    prepare, says, remedy = STORES[mistake]
    prepare(project)
    asked = len(simulator.ledger)
    before = kept(project).read_bytes() if kept(project).is_file() else b""
    project.rows([*project.ROWS, ("new", "One more")])
    project.ask("run").check(3, says, remedy)
    assert len(simulator.ledger) == asked, "nothing is asked that could not be kept"
    assert (kept(project).read_bytes() if kept(project).is_file() else b"") == before


def test_a_store_that_somebody_holds(project: Project, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask_well(project, "run") == 0
    asked = len(simulator.ledger)
    monkeypatch.setattr(database, "BUSY_S", 0.3)  # half a minute otherwise
    holder = sqlite3.connect(kept(project), isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    project.rows([*project.ROWS, ("new", "One more")])
    try:
        project.ask("run").check(3, "it stayed locked", "another process is writing")
    finally:
        holder.close()
    assert len(simulator.ledger) == asked
    assert ask_well(project, "run") == 0
    assert len(simulator.ledger) == asked + 1


def ask_well(project: Project, *arguments: str) -> int:
    return project.inlay(*arguments, "--quiet").returncode


# --- the disk


def in_namespace(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script with mounts of its own; `$inlay` is the command."""
    inlay = " ".join(map(shlex.quote, [sys.executable, "-m", "inlay"]))
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"inlay={shlex.quote(inlay)}\n{script}"],
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


DISKS: dict[str, tuple[str, int, str, str]] = {
    "full, the table": (
        "mkdir out && mount -t tmpfs -o size=64k none out || exit 99",
        3,
        r"cannot write .*out\.jsonl: No space left on device",
        "free some space.*nothing is paid twice",
    ),
    "full, the store": (
        "mkdir .inlay && mount -t tmpfs -o size=40k none .inlay || exit 99",
        3,
        "the disk is full",
        "free some space and run the same command again",
    ),
    "read-only, the table": (
        "mkdir out && mount -t tmpfs -o ro none out || exit 99",
        3,
        r"cannot write .*out\.jsonl: this user may not write into .*, or it is read-only",
        "choose a folder that you may write to",
    ),
    "read-only, the folder": (
        'mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" || exit 99',
        3,
        "may not write into|Read-only file system",
        "may write to|write permission",
    ),
}


@pytest.mark.namespaces
@pytest.mark.parametrize("mistake", DISKS)
def test_a_disk_that_will_not_take_it(project: Project, simulator: Simulator, mistake: str) -> None:
    mount, code, says, remedy = DISKS[mistake]
    project.rows([(f"k{number}", "many words " * 200) for number in range(60)])
    project.declare(output={"files": "out/out.jsonl"})
    done = in_namespace(project, f"{mount}\n$inlay run --yes --quiet; echo code=$?; ls -A out .inlay 2>/dev/null")
    assert f"code={code}" in done.stdout, done.stderr
    assert ".part" not in done.stdout, "nothing is half-written"
    assert "out.jsonl" not in done.stdout
    project.ended(code, done.stderr).check(code, says, remedy)
    if "read-only" in mistake:
        assert len(simulator.ledger) == 0, "nothing is paid for a table that cannot be written"


TARGETS = {
    "through a file": ("reviews.csv/out.jsonl", r"reviews\.csv is a file, not a folder", "choose another path"),
    "a folder": ("folder.csv", "is a folder", "name a file in it"),
}


@pytest.mark.parametrize("mistake", TARGETS)
def test_a_target_that_cannot_be_written_is_found_before_paying(
    project: Project, simulator: Simulator, mistake: str
) -> None:
    files, says, remedy = TARGETS[mistake]
    (project.folder / "folder.csv").mkdir()
    project.declare(output={"files": files})
    project.ask("run").check(3, says, remedy)
    assert len(simulator.ledger) == 0


def test_a_folder_of_the_output_that_is_missing_is_made(project: Project) -> None:
    project.declare(output={"files": "new/deep/out.jsonl"})
    assert project.inlay("run", "--quiet").returncode == 0
    assert (project.folder / "new" / "deep" / "out.jsonl").exists()
