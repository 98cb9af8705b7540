"""`inlay enrich` from end to end: the first minute of somebody who has a file and no declaration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from inlay import load, project
from inlay.testing import Simulator

if TYPE_CHECKING:
    import subprocess

    from .conftest import Project

SENTIMENT = "sentiment: positive|neutral|negative"
STARS = "stars: integer, 1..5 - how satisfied the guest is"
PRICES = ("--prices", "0.1,0.5")


def enrich(project: Project, *arguments: str, file: str = "reviews.csv") -> subprocess.CompletedProcess[str]:
    wire = ("--model", "compatible:sim", "--endpoint", project.endpoint, *PRICES)
    return project.inlay("enrich", file, *wire, *arguments)


def rows_of(folder: Path, file: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / file).to_pylist()


def test_one_command_gives_a_table(project: Project, simulator: Simulator) -> None:
    done = enrich(project, "--field", SENTIMENT, "--field", STARS)
    assert done.returncode == 0, done.stderr
    assert len(simulator.ledger) == len(project.ROWS)
    assert "prompt, made from the fields and the text columns" in done.stderr
    assert "  Read this record and say: sentiment; stars (how satisfied the guest is)." in done.stderr
    assert "  {{ text }}" in done.stderr
    assert "key: the whole row (column inlay_key)" in done.stderr
    assert "id is unique: --key id" in done.stderr
    assert "Lovely place, very clean. 5…" in done.stdout
    assert "駅から遠い" in done.stdout
    assert "-o out.parquet" in done.stdout


def test_again_it_asks_nothing_and_writes_the_table(project: Project, simulator: Simulator) -> None:
    enrich(project, "--field", SENTIMENT, "--field", STARS)
    simulator.clear()
    done = enrich(project, "--field", SENTIMENT, "--field", STARS, "-o", "out.parquet")
    assert done.returncode == 0, done.stderr
    assert len(simulator.ledger) == 0
    out = rows_of(project.folder, "out.parquet")
    assert [row["id"] for row in out] == [key for key, _ in project.ROWS]
    assert all(row["sentiment"] in ("positive", "neutral", "negative") for row in out)
    assert all(1 <= row["stars"] <= 5 for row in out)
    assert {"sentiment_evidence", "sentiment_evidence_verified", "inlay_key"} <= set(out[0])


def test_rows_that_move_or_come_are_not_asked_again(project: Project, simulator: Simulator) -> None:
    enrich(project, "--field", SENTIMENT)
    simulator.clear()
    project.rows([("r0", "جديد"), *reversed(project.ROWS)])
    assert enrich(project, "--field", SENTIMENT).returncode == 0
    assert len(simulator.ledger) == 1


def test_another_field_is_asked_and_the_first_one_is_still_paid(project: Project, simulator: Simulator) -> None:
    enrich(project, "--field", SENTIMENT)
    simulator.clear()
    enrich(project, "--field", STARS, "--limit", "2")
    assert len(simulator.ledger) == 2
    enrich(project, "--field", SENTIMENT)
    assert len(simulator.ledger) == 2


def test_what_is_saved_asks_nothing_again(project: Project, simulator: Simulator) -> None:
    prompt = 'A "review": {{ text }}\n\n- is it: good?\n  # no comment\n\tطاب'
    (project.folder / "prompt.txt").write_text(prompt, encoding="utf-8")
    said = ["--field", SENTIMENT, "--field", 'why: text, evidence - the guest\'s "words": {{ x }} # ${HOME}']
    done = enrich(
        project,
        *said,
        "--prompt-file",
        "prompt.txt",
        "--key",
        "id",
        "--budget",
        "1",
        "-o",
        "a.jsonl",
        "--save",
        "b/my.yaml",
    )
    assert done.returncode == 0, done.stderr
    before = (project.folder / "a.jsonl").read_bytes()
    simulator.clear()
    again = project.inlay("run", "b/my.yaml")
    assert again.returncode == 0, again.stderr
    assert len(simulator.ledger) == 0
    assert (project.folder / "a.jsonl").read_bytes() == before
    saved = load(project.folder / "b/my.yaml")
    assert saved.passes[0].prompt == prompt
    assert saved.budget is not None
    assert saved.budget.usd == 1
    first, _, second = (project.folder / "b/my.yaml").read_text(encoding="utf-8").splitlines()[:3]
    assert second.startswith("# Written by `inlay enrich --save`")
    schema = project.folder / "b" / first.partition("$schema=")[2]
    assert json.loads(schema.read_text(encoding="utf-8"))["$schema"]


def test_a_saved_file_is_not_replaced_unasked(project: Project, simulator: Simulator) -> None:
    before = (project.folder / "inlay.yaml").read_bytes()
    done = enrich(project, "--field", SENTIMENT, "--save", "inlay.yaml")
    assert (done.returncode, len(simulator.ledger)) == (2, 0)
    assert "inlay.yaml is there already" in done.stderr
    assert (project.folder / "inlay.yaml").read_bytes() == before
    assert enrich(project, "--field", SENTIMENT, "--save", "inlay.yaml", "--yes").returncode == 0
    assert enrich(project, "--field", SENTIMENT, "--save", "inlay.yaml").returncode == 0, "the same text is no change"


def test_a_dry_run_sends_and_writes_nothing(project: Project, simulator: Simulator) -> None:
    done = enrich(project, "--field", SENTIMENT, "--dry-run", "--save", "new.yaml", "-o", "new.csv")
    assert done.returncode == 0, done.stderr
    assert "nothing was sent" in done.stdout
    assert len(simulator.ledger) == 0
    left = sorted(path.name for path in project.folder.iterdir())
    assert left == ["inlay.yaml", "reviews.csv"]
    plan = json.loads(enrich(project, "--field", SENTIMENT, "--dry-run", "--json", "--quiet").stdout)
    assert plan["calls"] == len(project.ROWS)


def test_json_and_quiet(project: Project) -> None:
    done = enrich(project, "--field", SENTIMENT, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["rows_done"] == len(project.ROWS)
    done = enrich(project, "--field", SENTIMENT, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_budget_stops_it_and_the_same_command_goes_on(project: Project, simulator: Simulator) -> None:
    done = enrich(project, "--field", SENTIMENT, "--budget", "0")
    assert done.returncode == 3
    assert "budget" in done.stderr
    assert len(simulator.ledger) == 0
    assert enrich(project, "--field", SENTIMENT, "--budget", "1").returncode == 0
    assert len(simulator.ledger) == len(project.ROWS)


def test_failed_cells_say_how_to_go_on_without_a_file(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "http_400_filter", "record": "Mediocre"}])
    done = enrich(project, "--field", SENTIMENT)
    assert done.returncode == 1
    assert "--save" in done.stdout
    assert "content filtered" in done.stdout or "failed" in done.stdout


def test_columns_and_files_of_any_name(project: Project, simulator: Simulator) -> None:
    file = project.folder / "日本 'quoted' {x}.csv"
    file.write_text('﻿id number,"say ""it"" {{ x }}",a|b\n1,"改行\nあり",ا\n2,b,c\n', encoding="utf-8")
    said = ("--field", SENTIMENT, "--save", "s.yaml", "-o", "o.csv")
    done = enrich(project, *said, "--key", "id number", file=file.name)
    assert done.returncode == 0, done.stderr
    assert project.inlay("run", "s.yaml").returncode == 0
    assert len(simulator.ledger) == 2
    assert "{{ row['say \"it\" {{ x }}'] }}" in done.stderr
    twice = enrich(project, *said, "--key", "id number,a|b", "--yes", file=file.name)
    assert twice.returncode == 0, twice.stderr
    assert load(project.folder / "s.yaml").source.key == ("id number", "a|b")


def test_hostile_text_reaches_no_terminal(project: Project) -> None:
    project.rows([("r1", "\x1b[2Jgone"), ("r2", "‮evil")])
    done = enrich(project, "--field", SENTIMENT)
    assert done.returncode == 0
    assert "\x1b[2J" not in done.stdout + done.stderr
    assert "‮" not in done.stdout


def test_an_enriched_table_is_enriched_again(project: Project) -> None:
    assert enrich(project, "--field", SENTIMENT, "-o", "once.parquet").returncode == 0
    tone = ("--field", "tone: polite|rude", "--prompt", "{{ text }}", "-o", "twice.parquet")
    refused = enrich(project, *tone, file="once.parquet")
    assert refused.returncode == 2
    assert "--key inlay_key" in refused.stderr
    again = enrich(project, *tone, "--key", "inlay_key", file="once.parquet")
    assert again.returncode == 0, again.stderr
    out = rows_of(project.folder, "twice.parquet")
    assert {"id", "text", "sentiment", "tone", "read_success", "enriched_at"} <= set(out[0])


def test_several_files_and_a_glob(project: Project, simulator: Simulator) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (project.folder / name).write_text(json.dumps({"text": name}) + "\n", encoding="utf-8")
    wire = ("--model", "compatible:sim", "--endpoint", project.endpoint, "--field", SENTIMENT)
    assert project.inlay("enrich", "a.jsonl", "b.jsonl", *wire).returncode == 0
    assert project.inlay("enrich", "*.jsonl", *wire, "--name", "a").returncode == 0
    assert len(simulator.ledger) == 2


def test_without_a_key_in_the_environment_it_works_all_the_same(project: Project) -> None:
    done = project.inlay("enrich", "reviews.csv", "--field", SENTIMENT, "--field", STARS)
    assert done.returncode == 0, done.stderr
    assert "lexical" in done.stdout


MISTAKES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "type": (("--field", "a: integr"), "--field a.type: unknown type 'integr'", "did you mean `integer`?"),
    "no type": (("--field", "a"), "--field: 'a' is not a field", "write NAME: TYPE"),
    "key": (("--field", SENTIMENT, "--key", "idd"), "--key: the key `idd`", "did you mean `id`?"),
    "prompt": (("--field", SENTIMENT, "--prompt", "{{ txt }}"), "--prompt: the input `txt`", "did you mean `text`?"),
    "template": (("--field", SENTIMENT, "--prompt", "{{ text"), "--prompt: the template is not valid", "close every"),
    "empty prompt": (("--field", SENTIMENT, "--prompt", " "), "--prompt: the prompt is empty", "say what to answer"),
    "prompt file": (("--field", SENTIMENT, "--prompt-file", "p.txt"), "--prompt-file: there is no file", ""),
    "column": (("--field", "text: string"), "--field text: publishes `text`", "--prefix rea_"),
    "output": (("--field", SENTIMENT, "-o", "a.xlsx"), "-o: must end in .parquet", ""),
    "own source": (("--field", SENTIMENT, "-o", "reviews.csv"), "-o: 'reviews.csv' would be read", "another folder"),
    "name": (("--field", SENTIMENT, "--name", "ä b"), "--name: 'ä b' is not a name", ""),
    "model": (("--field", SENTIMENT, "--model", "opnai:x"), "--model: there is no provider `opnai`", "`openai`"),
    "endpoint": (("--field", SENTIMENT, "--endpoint", "nowhere"), "--endpoint: not an http or https URL", "like http"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_said_in_the_words_of_the_command(project: Project, simulator: Simulator, case: str) -> None:
    arguments, message, remedy = MISTAKES[case]
    done = enrich(project, *arguments)
    assert (done.returncode, len(simulator.ledger)) == (2, 0)
    assert f"error: {message}" in done.stderr, done.stderr
    assert remedy in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / ".inlay").exists()


def test_more_mistakes(project: Project) -> None:
    wrong = enrich(project, "--field", SENTIMENT, file="review.csv")
    assert wrong.returncode == 2
    assert "error: nothing matches 'review.csv'" in wrong.stderr
    assert "nearest there: reviews.csv" in wrong.stderr
    unpriced = project.inlay(
        "enrich",
        "reviews.csv",
        "--field",
        SENTIMENT,
        "--budget",
        "1",
        "--model",
        "compatible:x",
        "--endpoint",
        project.endpoint,
    )
    assert unpriced.returncode == 2
    assert "--prices IN,OUT" in unpriced.stderr
    assert enrich(project, "--field", SENTIMENT, "--prices", "1").returncode == 2
    assert enrich(project, "--field", SENTIMENT, "--prompt", "a", "--prompt-file", "b").returncode == 2
    (project.folder / "k.csv").write_text("inlay_key,text\n1,a\n", encoding="utf-8")
    taken = enrich(project, "--field", SENTIMENT, file="k.csv")
    assert taken.returncode == 2
    assert "inlay_key" in taken.stderr


def test_the_command_is_nothing_that_the_library_cannot_do(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    enrich(project, "--field", SENTIMENT, "--save", "same.yaml", "--key", "id")
    monkeypatch.chdir(project.folder)
    rows = project_show(project.folder / "same.yaml")
    assert [row["id"] for row in rows] == [key for key, _ in project.ROWS]


def project_show(file: Path) -> list[dict[str, Any]]:
    return project.show(load(file))
