"""Any text works, from the file to the model and back to the table: every script and form, odd names, huge cells."""

from __future__ import annotations

import json
import unicodedata

import pyarrow.parquet as pq
import pytest
from durable_scene import Scene

from inlay import project
from inlay.testing import Simulator
from inlay.testing.wire import SimRequest

# Names that SQL, CSV, YAML, Jinja and HTML each have their own trouble with.
ID, TEXT, EXTRA = "行 'id'", 'the "text"; --', "مكان {{ x }}"
NFC, NFD = (unicodedata.normalize(form, "カフェ é") for form in ("NFC", "NFD"))
HUGE = "長い文章です。 " * 70_000  # above a megabyte of UTF-8
CELLS = {
    "田中　太郎": "全角　スペース",
    "محمد": "خدمة سيئة للغاية، ٣ نجوم",
    "👩‍🚀": "great 👍🏽 \u202eevil\u202c",
    NFC: NFC,
    NFD: NFD,
    'a"b,c': 'say "hi",\nnext line; \'; DROP TABLE x; --',
    "<script>": "</script><img src=x onerror=alert(1)>{{ 7*7 }}${HOME}",
    " spaced ": "\ttabs and\u00a0spaces ",
    "huge": HUGE,
}


def _csv(scene: Scene) -> str:
    lines = [",".join(_quoted(part) for part in (ID, TEXT, EXTRA))]
    lines += [f"{_quoted(key)},{_quoted(text)},{_quoted('x' + key)}" for key, text in CELLS.items()]
    (scene.folder / "in.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n")
    return "in.csv"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _jsonl(scene: Scene) -> str:
    lines = [json.dumps({ID: key, TEXT: text, EXTRA: "x" + key}, ensure_ascii=False) for key, text in CELLS.items()]
    (scene.folder / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return "in.jsonl"


def _echo(request: SimRequest) -> dict:
    text = request.user.partition(": ")[2]
    return {"first": {"evidence": text[:30], "value": text[:10] or None}, "size": len(text)}


@pytest.fixture
def every(scene: Scene):
    with Simulator(answer=_echo) as sim:
        scene.sim = sim
        yield scene


@pytest.mark.parametrize("make", [_csv, _jsonl])
@pytest.mark.parametrize("out", ["out.csv", "out.jsonl", "out.parquet"])
def test_any_text_comes_through_whole(every: Scene, make, out: str) -> None:
    prompt = f"Read {{{{ row[{EXTRA!r}] }}}}: {{{{ row[{TEXT!r}] }}}}"
    fields = {"first": {"type": "text", "evidence": True}, "size": "integer"}
    every.declare(
        source={"files": make(every), "key": ID},
        select={"where": f'''"{ID.replace('"', '""')}" IS NOT NULL'''},
        passes=[every.one_pass(prompt=prompt, fields=fields, prefix="a_")],
        output={"files": out, "columns": [ID, TEXT]},
    )
    report = every.run()
    assert report.exit_code == 0
    project.export(every.file, every.folder / "again.parquet")
    rows = {row[ID]: row for row in pq.read_table(every.folder / "again.parquet").to_pylist()}
    assert list(rows) == list(CELLS)  # twins that differ only in form are two rows
    for key, text in CELLS.items():
        row = rows[key]
        assert row[TEXT] == text, key
        assert row["a_size"] >= len(text.strip()) - 1, key
        assert row["a_first_evidence_verified"] is True, key
    assert every.calls_of() == 0


def test_twins_share_one_answer(every: Scene) -> None:
    every.declare(source={"files": _csv(every), "key": ID}, passes=[every.one_pass(
        prompt=f"Read: {{{{ row[{TEXT!r}] }}}}", fields={"size": "integer"})])  # fmt: skip
    assert every.calls_of() == len(CELLS) - 1
