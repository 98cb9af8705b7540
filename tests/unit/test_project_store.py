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


def session(folder: Path, store: str = "", **env: str) -> Session:
    (folder / "names.csv").write_text("id,text\n1,a good day\n", encoding="utf-8")
    return Session(load_text(TEXT + (f"store: {store}\n" if store else ""), folder=folder, env=env), env=env)


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
    ("declared", "said"), [("s3://bucket/x", "not yet in this version"), ("nosuch://x", "no store")]
)
def test_a_store_that_is_not_there_is_refused(tmp_path, declared, said):
    with session(tmp_path, declared) as opened, pytest.raises(SpecError, match=said) as caught:
        opened.store()
    assert caught.value.key == "store"


@pytest.mark.parametrize(
    ("url", "name", "shown"),
    [
        ("mysql://keeper:hu%20sh@db/staging?prefix=x_", "mysql", "mysql://keeper@db:3306/staging"),
        ("mariadb+pymysql://keeper:hush@db:3307/staging", "mariadb", "mysql://keeper@db:3307/staging"),
        ("postgresql://keeper:hush@db/w", "postgresql", "postgresql://keeper@db:5432/w"),
    ],
)
def test_a_server_is_named_by_a_variable_and_shown_without_its_secret(tmp_path, url, name, shown):
    with session(tmp_path, "${STORE_URL}", STORE_URL=url) as opened:
        found, place = opened.store_place
        assert (found, opened.store_shown) == (name, shown)
        assert "sh@" not in repr(place)
        assert opened.probes_file is None
        assert opened.batch_folder == tmp_path / ".inlay" / "batches"


def test_a_file_may_be_named_by_a_variable(tmp_path):
    with session(tmp_path, "${DATA}/answers.db", DATA=str(tmp_path / "data")) as opened:
        assert opened.store_place == ("sqlite", tmp_path / "data" / "answers.db")
