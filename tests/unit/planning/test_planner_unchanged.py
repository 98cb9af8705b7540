"""What the planner takes for unchanged: by the canonical form, whatever form the text happens to stand in."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import inlay
from inlay.types import Reason

ROWS = {
    "a": "plain ASCII, four stars",
    "b": "部屋はとても静かでした 🙂",
    "c": "كان الموظفون لطفاء جدا",
    "d": "café, Ångström and が",
    "e": "",
}
DECLARATION = """\
name: reviews
source: {files: rows.csv, key: id}
passes:
  - name: read
    model: lexical
    prompt: "Read this: {{ text }}"
    fields: {stars: {type: integer, min: 1, max: 5, description: stars}}
output: {files: out.parquet}
"""


def write(folder: Path, rows: dict[str, str]) -> Path:
    text = "".join(f'{key},"{value}"\n' for key, value in rows.items())
    (folder / "rows.csv").write_text("id,text\n" + text, encoding="utf-8")
    (folder / "inlay.yaml").write_text(DECLARATION, encoding="utf-8")
    return folder / "inlay.yaml"


def reasons(file: Path) -> dict[Reason, int]:
    found = inlay.plan(file).passes[0].reasons
    return {reason: count for reason, count in found.items() if count}


def test_the_same_text_in_another_form_is_unchanged_and_another_text_is_not(tmp_path: Path) -> None:
    file = write(tmp_path, ROWS)
    assert reasons(file) == {Reason.NEW: 5}
    inlay.run(file)
    assert reasons(file) == {Reason.CACHED: 5}
    write(tmp_path, {key: unicodedata.normalize("NFD", text) for key, text in ROWS.items()})
    assert reasons(file) == {Reason.CACHED: 5}
    write(tmp_path, {**ROWS, "d": unicodedata.normalize("NFD", "café, Ångström and か")})
    assert reasons(file) == {Reason.CACHED: 4, Reason.INPUT_CHANGED: 1}


def test_rows_answered_in_another_form_stay_cached(tmp_path: Path) -> None:
    file = write(tmp_path, {key: unicodedata.normalize("NFD", text) for key, text in ROWS.items()})
    inlay.run(file)
    assert reasons(file) == {Reason.CACHED: 5}
    write(tmp_path, {**ROWS, "f": "nova"})
    assert reasons(file) == {Reason.CACHED: 5, Reason.NEW: 1}
