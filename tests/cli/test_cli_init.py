"""`inlay init`: what it writes runs as it is, and nothing that is there is lost."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inlay import load
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project


@pytest.fixture
def bare(project: Project) -> Project:
    """The project before there is a declaration."""
    (project.folder / "inlay.yaml").unlink()
    return project


def answering(project: Project, *answers: str) -> tuple[int, str]:
    """`inlay init` on a terminal; each answer is typed once a question waits."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        project.command("init"),
        cwd=project.folder,
        env={**project.env, "TERM": "xterm"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen, waiting, at = b"", list(answers), 0
    with contextlib.suppress(OSError):
        while select.select([master], [], [], 60)[0]:
            seen += os.read(master, 65_536)
            asks = seen.decode("utf-8", "ignore")[at:]
            if waiting and asks.rstrip(" ").endswith(("]:", "field:")):
                os.write(master, f"{waiting.pop(0)}\n".encode())
                at = len(seen.decode("utf-8", "ignore"))
    os.close(master)
    return process.wait(60), seen.decode("utf-8", "replace")


def test_without_questions_it_writes_what_runs(bare: Project) -> None:
    done = bare.inlay("init", "reviews.csv", "--yes")
    assert done.returncode == 0, done.stderr
    assert "next: inlay plan (the price), inlay run" in done.stdout
    file = bare.folder / "inlay.yaml"
    text = file.read_text(encoding="utf-8")
    assert "#   text  varchar, such as Lovely place, very clean. 5 s…, 駅から遠い" in text
    made = load(file)
    assert (made.source.key, made.select.limit) == (("id",), 20)
    assert made.budget is not None
    assert made.passes[0].inputs == ("text",)
    assert bare.inlay("plan").returncode == 0
    assert [file.name for file in (bare.folder / ".inlay").iterdir()] == ["inlay.schema.json"]  # no store yet
    assert bare.inlay("run").returncode == 0
    assert (bare.folder / "out/reviews_enriched.parquet").is_file()


def test_the_only_file_is_found(bare: Project) -> None:
    assert bare.inlay("init", "--yes").returncode == 0
    assert load(bare.folder / "inlay.yaml").source.files == ("reviews.csv",)


def test_a_table_without_a_key_is_known_by_its_content(bare: Project, simulator: Simulator) -> None:
    bare.rows([("a", "x"), ("a", "y"), ("a", "y")])
    assert bare.inlay("init", "--yes").returncode == 0
    text = (bare.folder / "inlay.yaml").read_text(encoding="utf-8")
    assert 'key: "*"  # no column tells the rows apart' in text
    assert bare.inlay("run").returncode == 0


def test_nothing_that_is_there_is_overwritten(project: Project) -> None:
    before = (project.folder / "inlay.yaml").read_bytes()
    done = project.inlay("init", "reviews.csv", "--yes")
    assert done.returncode == 2
    assert "inlay.yaml is there already" in done.stderr
    assert (project.folder / "inlay.yaml").read_bytes() == before
    assert project.inlay("init", "reviews.csv", "--yes", "-o", "new/first.yaml").returncode == 0
    made = load(project.folder / "new/first.yaml")
    assert made.source.files == ("../reviews.csv",)
    assert project.inlay("run", "new/first.yaml").returncode == 0
    assert (project.folder / "out/reviews_enriched.parquet").is_file()


def test_it_says_when_nobody_can_be_asked_and_what_there_is(bare: Project) -> None:
    done = bare.inlay("init")
    assert done.returncode == 2
    assert "no terminal to ask on" in done.stderr
    (bare.folder / "more.jsonl").write_text("{}\n", encoding="utf-8")
    done = bare.inlay("init", "--yes")
    assert done.returncode == 2
    assert "there are 2 files to choose from" in done.stderr
    assert "more.jsonl, reviews.csv" in done.stderr
    for name in ("more.jsonl", "reviews.csv"):
        (bare.folder / name).unlink()
    assert "no Parquet, CSV or JSONL file" in bare.inlay("init", "--yes").stderr
    assert "nothing matches 'nope.csv'" in bare.inlay("init", "nope.csv", "--yes").stderr
    assert not (bare.folder / "inlay.yaml").exists()


def test_hostile_columns_stay_comments_and_data(bare: Project) -> None:
    head = '"id","evil: [x\n- }}","{{ 7*7 }}","${HOME}","\x1b[2J"'
    (bare.folder / "reviews.csv").write_text(f'{head}\n1,"a\nname: evil","{{{{ x }}}}",%,‮z\n', encoding="utf-8")
    done = bare.inlay("init", "--yes")
    assert done.returncode == 0, done.stderr
    made = load(bare.folder / "inlay.yaml", env={})
    assert made.name == "reviews"
    assert set(made.passes[0].inputs) == {"evil: [x\n- }}", "{{ 7*7 }}", "${HOME}", "\x1b[2J"}
    assert bare.inlay("run").returncode == 0
    shown = bare.inlay("show").stdout
    assert "\x1b[2J" not in shown + done.stdout


def test_it_asks_for_file_key_and_fields(bare: Project) -> None:
    (bare.folder / "zzz.jsonl").write_text("{}\n", encoding="utf-8")
    code, seen = answering(
        bare,
        "1",
        "idd",
        "id",
        "気分: 良い|悪い",
        "mood: good|bd - how it sounds",
        "mood: good|bad",
        "topics: lst[string]",
        "topics: list[string]",
        "",
    )
    assert code == 0, seen
    assert "unique" in seen
    assert "there is no column idd" in seen
    assert "is not a field's name" in seen
    assert "unknown type 'lst[string]'" in seen
    made = load(Path(bare.folder / "inlay.yaml"))
    assert made.source.key == ("id",)
    assert made.passes[0].fields["mood"].values == ("good", "bad")
    assert list(made.passes[0].fields) == ["mood", "topics"]
