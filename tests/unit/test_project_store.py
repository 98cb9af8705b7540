"""Which store a declaration means, and that reading never makes one."""

from __future__ import annotations

from pathlib import Path

import pytest

from inlay.errors import SpecError
from inlay.project.session import Session
from inlay.spec.load import load_text

TEXT = """
name: names
source: {files: names.csv, key: id}
passes:
  - {name: read, model: lexical, prompt: "{{ text }}", fields: {mood: "good|bad"}}
"""


def session(folder: Path, store: str = "") -> Session:
    (folder / "names.csv").write_text("id,text\n1,a good day\n", encoding="utf-8")
    return Session(load_text(TEXT + (f"store: {store}\n" if store else ""), folder=folder, env={}))


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("", ("sqlite", ".inlay/store.db")),
        ("answers.db", ("sqlite", "answers.db")),
        ("sqlite:///回答.db", ("sqlite", "回答.db")),
        ("memory", ("memory", "")),
        ('":memory:"', ("memory", "")),
    ],
)
def test_where_answers_are_kept(tmp_path, declared, expected):
    with session(tmp_path, declared) as opened:
        name, place = opened.store_place
    assert (name, str(place)) == (expected[0], str(tmp_path / expected[1]) if expected[1] else "")


def test_reading_makes_no_store_and_writing_does(tmp_path):
    with session(tmp_path) as opened:
        assert opened.store().passes("names") == {}
        assert not (tmp_path / ".inlay").exists()
        opened.register()
        assert (tmp_path / ".inlay" / "store.db").exists()
        assert list(opened.store().passes("names")) == ["read"]


@pytest.mark.parametrize(
    ("declared", "said"), [("mysql://db/x", "not yet in this version"), ("nosuch://x", "no store")]
)
def test_a_store_that_is_not_there_is_refused(tmp_path, declared, said):
    with session(tmp_path, declared) as opened, pytest.raises(SpecError, match=said) as caught:
        opened.store()
    assert caught.value.key == "store"
