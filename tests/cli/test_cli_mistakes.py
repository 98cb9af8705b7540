"""Every mistake that a new user makes, tried one by one: one clear answer, a remedy, its exit code, nothing broken.

A line of a table is a mistake: what is done, the exit code, what the answer says and what the remedy says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

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
    "pack of none": (replaced("    prompt", "    pack: 0\n    prompt"), r"pack: expected auto or a whole number", ""),
    "no wire": (
        replaced("lexical", "openai:gpt-6-luna\n    wire: respones"),
        r"inlay\.yaml:6: .*no wire `respones`",
        "chat, responses",
    ),
    "no regions": (
        replaced("lexical", "openai:gpt-6-luna\n    region: eu-west-1"),
        r"inlay\.yaml:6: .*region: openai has no regions",
        "remove `region`",
    ),
    "no such price": (
        replaced("lexical", "compatible:m\n    endpoint: http://127.0.0.1:9/v1\n    priced_as: openai:gpt-6-lunaa"),
        r"inlay\.yaml:7: .*priced_as: no price is known for `openai:gpt-6-lunaa`",
        "openai:gpt-6-luna",
    ),
    "an empty cascade": (
        replaced("model: lexical", "models: []"),
        "`models` is a cascade of two or more",
        "",
    ),
    "a model nobody asks": (
        BASE + "models: {small: opnai:x}\n",
        r"models\.small: there is no provider `opnai`",
        "did you mean `openai`",
    ),
    "no such mode": (BASE + "mode: fast\n", "mode: expected one of live, batch, auto", ""),
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
        replaced("    prompt", "    api_key: sk-live-0123456789abcdefghij\n    prompt"),
        "unknown key `api_key`",
        "keys never stand in the file",
    ),
    "a key for its name": (
        replaced("    prompt", "    api_key_env: sk-live-0123456789abcdefghij\n    prompt"),
        "not the name of an environment variable",
        "",
    ),
    "wrong sql": (BASE + "select: {where: 'stars > 3'}\n", "`select.where` does not fit", "it is DuckDB SQL"),
    "half sql": (BASE + "select: {where: 'text LIKE'}\n", "`select.where` does not fit", "it is DuckDB SQL"),
    "two statements": (BASE + "select: {where: 'id = 1; DROP TABLE x'}\n", "not one SQL expression", "semicolon"),
    "wrong order": (BASE + "select: {order_by: nosuch}\n", "`select.order_by` does not fit", "it is DuckDB SQL"),
    "its own source": (replaced("out.jsonl", "reviews.csv"), "part of the source", "under another name"),
    "unknown store": (BASE + "store: postgre://x\n", "there is no store `postgre`", "postgres"),
    "a bucket": (replaced("reviews.csv", "s3://b/x.csv"), "s3:// addresses cannot be read", "mount the files"),
}


@pytest.mark.parametrize("mistake", DECLARATIONS)
def test_a_mistake_in_the_declaration(project: Project, mistake: str) -> None:
    text, says, remedy = DECLARATIONS[mistake]
    path = project.folder / "inlay.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = {file.name for file in project.folder.iterdir()}
    project.ask("run").check(2, says, remedy)
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
    project.ask("run").check(2, says, remedy)
    assert not (project.folder / "out.jsonl").exists()


def test_a_source_that_may_not_be_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def refused(self: Path, *arguments: Any, **named: Any) -> Any:
        if self.name == "reviews.csv":
            raise PermissionError(13, "Permission denied")
        return opened(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refused)  # root may read everything
    project.ask("run").check(2, "cannot be read: Permission denied", "give this user the right")


# --- the command line

COMMANDS: dict[str, tuple[list[str], str]] = {
    "a slip": (["rnu"], "No such command 'rnu'. Did you mean run?"),
    "no verb": (["reviews.yaml"], "Say what to do with it: inlay run reviews.yaml"),
    "nonsense": (["xyzzy"], "There are: enrich, init, doctor, load, plan, run"),
    "an option's slip": (["run", "--lmit", "5"], "--limit"),
    "no money": (["run", "--budget", "lots"], "is not an amount of US dollars"),
    "no rows": (["run", "--limit", "-1"], "is not a number of rows"),
    "no time": (["store", "prune", "--older-than", "soon"], "is not a length of time"),
    "nowhere to": (["export", "-o", "-"], "say how: --format csv"),
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
    answer = project.ask(*arguments)
    assert answer.code == 2, answer.err
    assert says in answer.err
    assert {file.name: file.read_bytes() for file in project.folder.iterdir() if file.is_file()} == before
    assert len(simulator.ledger) == 0
