"""Every mistake that a new user makes, tried one by one: one clear answer, a remedy, its exit code, nothing broken.

A line of a table is a mistake: what is done, the exit code, what the answer says and what the remedy says.
"""

from __future__ import annotations

import http.server
import json
import re
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
from click.testing import CliRunner

from inlay.cli.main import cli
from inlay.stores import database
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

SECRET = "sk-live-0123456789abcdefghij"
BASE = """\
name: reviews
source: {files: reviews.csv, key: id}
passes:
  - name: read
    model: lexical
    prompt: "{{ text }}"
    fields: {stars: integer}
output: out.jsonl
"""


class Answer:
    """How one command ended. Making it checks what holds for every mistake."""

    def __init__(self, folder: Path, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        assert "Traceback" not in out + err
        assert SECRET not in out + err
        assert SECRET[8:] not in out + err
        assert not list(folder.rglob(".inlay-*.part")), "nothing is half-written"
        said = [line for line in err.splitlines() if line.startswith(("error: ", "stopped: ", "Error: "))]
        assert len(said) == 1, err

    @property
    def told(self) -> str:
        """The answer without what a run says while it goes."""
        return self.err[re.search(r"^(?:error|stopped|Error): ", self.err, re.MULTILINE).start() :]  # type: ignore[union-attr]


def ask(project: Project, *arguments: str, **env: str) -> Answer:
    """One command in the project's folder, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "INLAY_LOG_FORMAT", "NO_COLOR"):
            patch.delenv(name, raising=False)
        done = CliRunner().invoke(cli, list(arguments), prog_name="inlay", env=env)
    return Answer(project.folder, done.exit_code, done.stdout, done.stderr)


def check(answer: Answer, code: int, says: str, remedy: str, *, most: int = 5) -> None:
    assert answer.code == code, answer.err
    assert re.search(says, answer.told), answer.told
    if remedy:
        after = answer.told[answer.told.index("→") :]
        assert re.search(remedy, after), answer.told
    assert len(answer.told.splitlines()) <= most, answer.told


# --- the declaration: nothing is sent, whatever is wrong


def replaced(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


DECLARATIONS: dict[str, tuple[str | bytes, str, str]] = {
    "unknown key": (BASE + "budgt: 5\n", r"inlay\.yaml:9: budgt: unknown key", "did you mean `budget`"),
    "wrong type": (BASE + "limits: {concurrency: many}\n", "expected a whole number, got 'many'", ""),
    "negative budget": (BASE + "budget: -5\n", "must be 0 or more, got '-5'", ""),
    "tabs": (replaced("    model", "\tmodel"), r"inlay\.yaml:5: not valid YAML", "spaces, not tabs"),
    "open bracket": ("name: [a\n", r"inlay\.yaml:2: not valid YAML", "close every bracket"),
    "no keys": ("just text", "expected keys and values, got a text", "begin with `name:`"),
    "empty": ("", "the file is empty", "inlay init"),
    "doubled key": (BASE + "name: twice\n", "`name` is given twice", "already stands in line 1"),
    "wrong field type": (replaced("integer", "intger"), "unknown type 'intger'", "did you mean `integer`"),
    "fields as a list": (replaced("{stars: integer}", "[stars]"), "expected keys and values, got a list", "name: type"),
    "no key column": (replaced("key: id", "key: "), "source.key: expected a list, got nothing", "write a name"),
    "bare braces": (replaced('"{{ text }}"', "{{ text }}"), "a key must be text", "needs quotes"),
    "unknown ending": (replaced("out.jsonl", "out.txt"), r"must end in \.parquet, \.csv or \.jsonl", ""),
    "a list of missing": (BASE.replace("passes:", "pases:"), "unknown key `pases`", "did you mean `passes`"),
    "shift-jis": ("name: 日本\n".encode("shift_jis"), "the file is not UTF-8", "save it as UTF-8"),
    "utf-16": (BASE.encode("utf-16"), "the file is not UTF-8", "looks like UTF-16"),
    "unknown column": (replaced("{{ text }}", "{{ txt }}"), "`txt` is not a column", "did you mean `text`"),
    "open template": (replaced("{{ text }}", "{{ text"), "unexpected end of template", "close every {{"),
    "template without sense": (replaced("{{ text }}", "{% if %}"), "the template is not valid", "write {{ column }}"),
    "unknown filter": (replaced("{{ text }}", "{{ text | uper }}"), "no filter `uper`", "did you mean `upper`"),
    "unknown pass": (replaced("{{ text }}", "{{ passes.raed.x }}"), "no pass `raed`", "did you mean `read`"),
    "single braces": (replaced("{{ text }}", "{ text }"), "reads no column", "name a column"),
    "unknown key column": (replaced("key: id", "key: idd"), "the key `idd` is not a column", "did you mean `id`"),
    "unknown output column": (
        replaced("output: out.jsonl", "output: {files: out.jsonl, columns: [txt]}"),
        "`txt` is not a column",
        "did you mean `text`",
    ),
    "unset variable": (
        replaced("lexical", "compatible:m").replace("    prompt", "    endpoint: ${QWEN}\n    prompt"),
        r"has 1 mistake:\n.*`QWEN` is not set",
        r"\$\{QWEN:-…\}",
    ),
    "unset variable within": (
        replaced("lexical", "compatible:m").replace("    prompt", "    endpoint: http://${QWEN}/v1\n    prompt"),
        r"has 1 mistake:\n.*`QWEN` is not set",
        "give a default",
    ),
    "unknown provider": (
        replaced("lexical", "opnai:m"),
        r"inlay\.yaml:5: passes\[0\]\.model: there is no provider",
        "did you mean `openai`",
    ),
    "no provider": (replaced("lexical", "gpt-5"), "`gpt-5` has no provider before it", "write openai:gpt-5"),
    "a server without its endpoint": (
        replaced("lexical", "compatible:m"),
        r"inlay\.yaml:4: passes\[0\]\.endpoint: compatible:m needs an `endpoint`",
        "http://",
    ),
    "plain http abroad": (
        replaced("lexical", "compatible:m").replace("    prompt", "    endpoint: http://8.8.8.8/v1\n    prompt"),
        "public internet",
        "use https",
    ),
    "a key in the file": (
        replaced("    prompt", f"    api_key: {SECRET}\n    prompt"),
        "unknown key `api_key`",
        "keys never stand in the file",
    ),
    "a key for its name": (
        replaced("    prompt", f"    api_key_env: {SECRET}\n    prompt"),
        "not the name of an environment variable",
        "",
    ),
    "wrong sql": (BASE + "select: {where: 'stars > 3'}\n", "`select.where` does not fit", "it is DuckDB SQL"),
    "half sql": (BASE + "select: {where: 'text LIKE'}\n", "`select.where` does not fit", "it is DuckDB SQL"),
    "two statements": (BASE + "select: {where: 'id = 1; DROP TABLE x'}\n", "not one SQL expression", "semicolon"),
    "wrong order": (BASE + "select: {order_by: nosuch}\n", "`select.order_by` does not fit", "it is DuckDB SQL"),
    "its own source": (replaced("out.jsonl", "reviews.csv"), "part of the source", "under another name"),
    "unknown store": (BASE + "store: postgres://x\n", "there is no store `postgres`|not yet in this version", "sqlite"),
    "a bucket": (replaced("reviews.csv", "s3://b/x.csv"), "s3:// addresses cannot be read", "mount the files"),
}


@pytest.mark.parametrize("mistake", DECLARATIONS)
def test_a_mistake_in_the_declaration(project: Project, mistake: str) -> None:
    text, says, remedy = DECLARATIONS[mistake]
    path = project.folder / "inlay.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = {file.name for file in project.folder.iterdir()}
    check(ask(project, "run"), 2, says, remedy)
    assert {file.name for file in project.folder.iterdir()} - before <= {".inlay"}, "no table"


# --- the source

SOURCES: dict[str, tuple[str, bytes | None, str, str]] = {
    "no such file": ("revews.csv", None, "nothing matches 'revews.csv'", "reviews.csv"),
    "a folder": (".", None, "is a folder", "name the files in it"),
    "a spreadsheet": ("a.xlsx", b"PK", "does not say its format", "save it as CSV"),
    "one json": ("a.json", b"[]", "does not say its format", "make it JSONL"),
    "no parquet": ("a.parquet", b"id,text\n", "is not Parquet", "check how it was written"),
    "half a parquet": ("a.parquet", b"PAR1 and no more", "is not a whole Parquet file", "write it again"),
    "empty": ("a.csv", b"", "the file is empty", "check that it was written"),
    "empty jsonl": ("a.jsonl", b"", "the file is empty", "check that it was written"),
    "blank lines": ("a.csv", b"\n\n", "the first line names no column", "names"),
    "open quote": ("a.csv", b'id,text\n1,a\n2,"open\n3,x\n', r"line 3: .*unterminated quote", "mend that line"),
    "too many fields": ("a.csv", b"id,text\n1,a\n2,b,c\n", r"line 3: Expected Number of Columns: 2", "mend that line"),
    "too few fields": ("a.csv", b"id,text\n1,a\n2\n", r"line 3: Expected Number of Columns: 2", "mend that line"),
    "doubled column": ("a.csv", b"id,text,text\n1,a,b\n", "names 'text' twice", "a name of its own"),
    "shift-jis": ("a.csv", "id,text\n1,日本語テキスト\n".encode("shift_jis"), "line 2: .*not utf-8", "iconv"),
    "shift-jis header": ("a.csv", "番号,本文\n1,日本\n".encode("shift_jis"), "line 1: not UTF-8", "iconv"),
    "utf-16": ("a.csv", "id,text\n1,日本\n".encode("utf-16"), "not UTF-8 but UTF-16", "iconv -f UTF-16"),
    "shift-jis jsonl": ("a.jsonl", '{"id":1,"text":"日本語"}\n'.encode("shift_jis"), "line 1: not UTF-8", "iconv"),
    "utf-16 jsonl": ("a.jsonl", '{"id":1,"text":"日本"}\n'.encode("utf-16"), "not UTF-8 but UTF-16", "iconv -f UTF-16"),
    "broken jsonl": ("a.jsonl", b'{"id":1,"text":"a"}\n{"id":2,"text":}\n', "line 2: not valid JSON", "mend it"),
    "an array": ("a.jsonl", b'[{"id":1,"text":"a"}]\n', "a JSON array", "one object a line"),
    "doubled keys": ("a.csv", b"id,text\n1,a\n1,b\n", r"\(id\) is not unique: '1' \(2 rows\)", "add columns"),
    "null keys": ("a.csv", b"id,text\n1,a\n,b\n", r"\(id\) is null in 1 of 2 rows", "choose a key"),
}


@pytest.mark.parametrize("mistake", SOURCES)
def test_a_mistake_in_the_source(project: Project, mistake: str) -> None:
    files, content, says, remedy = SOURCES[mistake]
    if content is not None:
        (project.folder / files).write_bytes(content)
    (project.folder / "inlay.yaml").write_text(replaced("files: reviews.csv", f"files: {files}"), encoding="utf-8")
    check(ask(project, "run"), 2, says, remedy)
    assert not (project.folder / "out.jsonl").exists()


def test_a_source_that_may_not_be_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refused(self: Path, *arguments: Any, **named: Any) -> Any:
        if self.name == "reviews.csv":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refused)  # root may read everything
    check(ask(project, "run"), 2, "cannot be read: Permission denied", "give this user the right")


# --- keys, models and endpoints


def changed(project: Project, **keys: Any) -> None:
    document = json.loads((project.folder / "inlay.yaml").read_text(encoding="utf-8"))
    for name, value in keys.items():
        document["passes"][0][name] = value
    project.declare(passes=document["passes"])


def test_a_wrong_key(project: Project, simulator: Simulator) -> None:
    changed(project, api_key_env="MY_KEY")
    simulator.control(faults=[{"fault": "http_401"}])
    check(ask(project, "run", MY_KEY=SECRET), 3, "answered 401: Incorrect API key", "check the key in MY_KEY")
    assert len(simulator.ledger) == 1


def test_no_key_where_one_is_wanted(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_401"}])
    check(ask(project, "run"), 3, "answered 401", "no key was sent: .*`api_key_env`")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "MY_KEY is not set"),
        ("", "MY_KEY is empty"),
        (f"'{SECRET}'", "wrapped in quotation marks"),
        (f"{SECRET}\n", "ends with a line break"),
        (f"{SECRET} x", "holds white space"),
    ],
)
def test_a_key_that_cannot_be_one(project: Project, simulator: Simulator, value: str | None, says: str) -> None:
    changed(project, api_key_env="MY_KEY")
    answer = ask(project, "run", **({} if value is None else {"MY_KEY": value}))
    check(answer, 3, says, "MY_KEY")
    assert "Nothing was sent." in answer.told
    assert len(simulator.ledger) == 0


def test_an_unknown_model(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_404"}])
    check(ask(project, "run"), 3, "The model `sim` does not exist", "check `model`, and `endpoint`")
    assert len(simulator.ledger) == 1


def test_an_account_without_money(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_429_quota"}])
    check(ask(project, "run"), 3, "exceeded your current quota", "top up")
    assert len(simulator.ledger) == 1


def test_nobody_at_the_endpoint(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        changed(project, endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        check(ask(project, "run"), 3, "cannot connect to http://127.0.0.1:", "check `endpoint`, the network")


def test_a_web_page_at_the_endpoint_is_asked_twice_and_no_more(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "html_200"}])
    check(ask(project, "run"), 3, "answered 200 without a completion: it begins '<!doctype html>", "is the API itself")
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
    check(ask(project, "run"), 3, "answered 501", "check `endpoint`")


# --- money


def test_a_budget_without_a_price(project: Project, simulator: Simulator) -> None:
    changed(project, prices=None)
    check(ask(project, "run", "--budget", "1"), 2, "price of compatible:sim is not known", "prices: ")
    assert len(simulator.ledger) == 0


def test_more_than_a_dollar_and_nobody_to_ask(project: Project, simulator: Simulator) -> None:
    changed(project, prices={"input_per_million": 9_000, "output_per_million": 9_000})
    check(ask(project, "run"), 2, r"would cost about \$\d+\.\d\d and no budget is set", "--budget, or say --yes")
    assert len(simulator.ledger) == 0


# --- the command line

COMMANDS: dict[str, tuple[list[str], str]] = {
    "a slip": (["rnu"], "No such command 'rnu'. Did you mean run?"),
    "no verb": (["reviews.yaml"], "Say what to do with it: inlay run reviews.yaml"),
    "nonsense": (["xyzzy"], "There are: plan, run"),
    "an option's slip": (["run", "--lmit", "5"], "--limit"),
    "no money": (["run", "--budget", "lots"], "is not an amount of US dollars"),
    "no rows": (["run", "--limit", "-1"], "is not a number of rows"),
    "no time": (["store", "prune", "--older-than", "soon"], "is not a length of time"),
    "nowhere to": (["export"], "say where: -o FILE"),
    "parquet on a pipe": (["export", "--format", "parquet"], "Parquet is written to a file"),
    "clear what": (["store", "clear"], "say which cells"),
    "an unknown pass": (["retry", "--pass", "raed"], "did you mean read?"),
    "an unknown kind": (["retry", "--kind", "timout"], "did you mean timeout?"),
    "an unknown ending": (["export", "-o", "out.xlsx"], "end it in .parquet, .csv or .jsonl"),
    "another ending": (["run", "inlay.yml"], "did you mean inlay.yaml?"),
    "a table": (["run", "reviews.csv"], "is a table, not a declaration"),
    "a folder": (["run", "."], "did you mean inlay.yaml?"),
    "an unknown column": (["show", "--columns", "nope"], "the table has no column nope"),
    "onto the source": (["export", "-o", "reviews.csv"], "'reviews.csv' would be read as a part of the source"),
    "onto the declaration": (["export", "--format", "csv", "-o", "inlay.yaml"], "is the declaration itself"),
    "an unknown shell": (["completion", "tcsh"], "is not one of"),
}


@pytest.mark.parametrize("mistake", COMMANDS)
def test_a_mistake_on_the_command_line(project: Project, simulator: Simulator, mistake: str) -> None:
    arguments, says = COMMANDS[mistake]
    before = {file.name: file.read_bytes() for file in project.folder.iterdir() if file.is_file()}
    answer = ask(project, *arguments)
    assert answer.code == 2, answer.err
    assert says in answer.err
    assert {file.name: file.read_bytes() for file in project.folder.iterdir() if file.is_file()} == before
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
    check(ask(project, "run"), 3, says, remedy)
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
        check(ask(project, "run"), 3, "it stayed locked", "another process is writing")
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
    check(Answer(project.folder, code, "", done.stderr), code, says, remedy)
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
    check(ask(project, "run"), 3, says, remedy)
    assert len(simulator.ledger) == 0


def test_a_folder_of_the_output_that_is_missing_is_made(project: Project) -> None:
    project.declare(output={"files": "new/deep/out.jsonl"})
    assert project.inlay("run", "--quiet").returncode == 0
    assert (project.folder / "new" / "deep" / "out.jsonl").exists()
