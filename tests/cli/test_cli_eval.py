"""`inlay eval` on the command line: what is asked, what is shown, how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from inlay.cli.main import cli
from inlay.testing import Simulator

LABELLED = [("r1", "positive"), ("r2", "ﾎﾟｼﾞﾃｨﾌﾞ"), ("r3", "negative"), ("r4", ""), ("r5", "n/a")]


def inlay(project: Any, *arguments: str) -> Result:
    """One command in this process; no terminal on any stream."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.folder)
        return CliRunner().invoke(cli, list(arguments), prog_name="inlay")


@pytest.fixture
def labelled(project: Any) -> Any:
    """The project with a column that holds what is right for some rows, and a golden file of the same."""
    right = dict(LABELLED)
    lines = [f'{key},"{text.replace(chr(34), chr(34) * 2)}",{right.get(key, "")}' for key, text in project.ROWS]
    (project.folder / "reviews.csv").write_text("\n".join(["id,text,mood", *lines]) + "\n", encoding="utf-8")
    golden = "\n".join(["id,sentiment", *(f"{key},{label}" for key, label in LABELLED[:3])])
    (project.folder / "golden.csv").write_text(golden + "\n", encoding="utf-8")
    (project.folder / "same.csv").write_text("positive,ポジティブ\n", encoding="utf-8")
    project.declare(select={"placeholders": ["n/a"]})
    return project


SHADOW = ("eval", "--shadow", "10", "--field", "sentiment=mood", "--synonyms", "same.csv")


def test_a_shadow_is_priced_asked_judged_and_kept(labelled: Any, simulator: Simulator) -> None:
    dry = inlay(labelled, *SHADOW, "--dry-run")
    assert dry.exit_code == 0, dry.stderr
    assert "shadow: 3 of 3 rows with a known value" in dry.stdout
    assert "read.sentiment is held against mood" in dry.stdout
    assert "3 calls to compatible:sim; estimated $" in dry.stdout
    assert not simulator.ledger
    first = inlay(labelled, *SHADOW, "--json", "--quiet", "--out", "report.md")
    assert (first.exit_code, first.stderr) == (0, "")
    found = json.loads(first.stdout)
    assert found["run"]["calls"] == len(simulator.ledger) == 3
    (field,) = found["fields"]
    assert field["judged"] == field["accuracy"]["n"] == 3
    assert (field["accuracy"]["low"] <= field["accuracy"]["value"] <= field["accuracy"]["high"]) is True
    assert "# reviews: accuracy" in (labelled.folder / "report.md").read_text(encoding="utf-8")
    again = inlay(labelled, *SHADOW)
    assert again.exit_code == 0, again.stderr
    assert "nothing had to be asked of a provider" in again.stdout
    assert "read.sentiment, held against mood" in again.stdout
    assert len(simulator.ledger) == 3
    history = json.loads(inlay(labelled, "eval", "--history", "--json").stdout)
    assert [(one["field"], one["judged"]) for one in history] == [("read.sentiment", 3)]
    assert "shadow: stratified, seed 0" in inlay(labelled, "eval", "--history").stdout
    looked = inlay(labelled, "eval", "--disagreements", "--field", "sentiment=mood", "--synonyms", "same.csv")
    assert looked.exit_code == 0, looked.stderr
    assert "3 also have mood" in looked.stdout
    assert not (labelled.folder / "out.jsonl").exists()


def test_a_golden_file_and_a_budget_that_is_too_small(labelled: Any, simulator: Simulator) -> None:
    stopped = inlay(labelled, "eval", "--golden", "golden.csv", "--budget", "0")
    assert stopped.exit_code == 3, stopped.stderr
    assert "stopped: " in stopped.stderr
    assert "not answered, pending: 3 rows" in stopped.stdout
    done = inlay(labelled, "eval", "--golden", "golden.csv", "--budget", "1")
    assert done.exit_code == 0, done.stderr
    assert "golden: 3 rows of golden.csv" in done.stdout
    assert "1 row can never be right, since no label of the field is their known value: ﾎﾟｼﾞﾃｨﾌﾞ" in done.stdout


def test_texts_of_records_are_harmless(labelled: Any) -> None:
    rows = '"\x1b[2J","a \x1b]0;x\x07 b\u202e",positive\n'
    (labelled.folder / "reviews.csv").write_text("id,text,mood\n" + rows, encoding="utf-8")
    shown = inlay(labelled, "eval", "--shadow", "5", "--field", "sentiment=mood")
    assert shown.exit_code == 0, shown.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(shown.stdout + shown.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "says", "remedy"),
    [
        (("eval",), 2, "Choose one of --shadow ROWS", ""),
        (("eval", "--shadow", "5", "--history"), 2, "Choose one of", ""),
        (("eval", "--shadow", "5", "--field", "x"), 2, "not like nationality=country", ""),
        (("eval", "--shadow", "5"), 2, "no column of the source is known to hold", "--field FIELD=COLUMN"),
        (("eval", "--shadow", "5", "--field", "sentiment=moood"), 2, "`moood` is not a column", "mean `mood`"),
        (("eval", "--golden", "reviews.csv"), 2, "no column has the name of a field", "name a column sentiment"),
        (("eval", "--golden", "nowhere.csv"), 2, "nowhere.csv", ""),
        ((*SHADOW, "--out", "x.txt"), 2, "cannot write an evaluation", r"\.md, \.html"),
    ],
)
def test_mistakes(
    labelled: Any, simulator: Simulator, arguments: tuple[str, ...], code: int, says: str, remedy: str
) -> None:
    labelled.ask(*arguments).check(code, says, remedy)
    assert not simulator.ledger
