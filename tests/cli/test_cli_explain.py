"""`explain`, `correct` and `corrections` from end to end, and foreign text in what they draw."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len

from inlay import project as verbs
from inlay.cli import draw_explain, screen
from inlay.cli.draw_explain import differing
from inlay.cli.wrapping import WIDTH, cut, pieces
from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

EVIL = "Lovely.\n\x1b[31mread (forged): done\x1b[0m \u202eevil\u2069 {{ text }} ${HOME} [bold]x[/]"


def test_explain_tells_a_row_before_and_after_a_run(project: Project, simulator: Simulator) -> None:
    done = project.inlay("explain", "r2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reviews, row r2 of reviews.csv\n")
    assert "  pending; new: it has no answer yet\n  next: inlay run asks it, for about $" in done.stdout
    assert len(simulator.ledger) == 0

    project.inlay("run")
    told = project.inlay("explain", "r2", "inlay.yaml").stdout
    assert "駅から遠いが静かで快適。星4つ" in told
    assert "  done; cached: the answer is there\n  answered 20" in told
    assert "  sentiment: " in told
    assert "compatible:sim" in told
    assert "answered " in told.split("  calls\n", 1)[1]
    assert "next:" not in told


def test_explain_names_the_command_that_asks_again(project: Project) -> None:
    project.declare("other.yaml")
    project.inlay("run", "other.yaml")
    project.rows([("r1", "Dreadful place, very clean. 5 stars"), *project.ROWS[1:]])
    told = project.inlay("explain", "r1", "other.yaml").stdout
    assert "next: inlay run other.yaml asks it" in told
    assert "not published: input changed" in told
    assert "    text:\n      - Lovely place, very clean. 5 stars\n      + Dreadful place, very clean. 5 stars\n" in told


def test_explain_json_has_stable_keys(project: Project) -> None:
    project.inlay("run")
    told = json.loads(project.inlay("explain", "r3", "--json", "--prompt").stdout)
    assert set(told) == {
        "enrichment",
        "source",
        "key",
        "in_source",
        "selected",
        "left_out",
        "row",
        "published",
        "passes",
        "notes",
    }
    (part,) = told["passes"]
    assert (part["state"], part["reason"], part["asked"]) == ("done", "cached", False)
    assert part["request"]["body"]["messages"][1]["content"] == "Read this review: خدمة سيئة للغاية"
    assert {field["name"] for field in part["fields"]} == {"sentiment", "stars"}


def test_explain_prompt_shows_the_whole_request(project: Project) -> None:
    told = project.inlay("explain", "r4", "--prompt").stdout
    assert "      Read this review: Mediocre 😐 at best\n" in told
    assert f"    POST {project.endpoint}/chat/completions\n" in told
    assert '"response_format": {' in told
    body = told.split("/chat/completions\n", 1)[1]
    assert json.loads(body)["messages"][1]["content"] == "Read this review: Mediocre 😐 at best"


def test_an_unknown_key_is_one_sentence_and_a_remedy(project: Project) -> None:
    done = project.inlay("explain", "r7")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "error: no row of reviews.csv has the key 'r7'",
        "  → nearest there: r1, r2, r3",
    ]


def test_foreign_text_stays_text(project: Project) -> None:
    project.rows([("e\x1b[2J1", EVIL), ("r2", "x" * 2000 + " " + "静か" * 2000)])
    project.inlay("run")
    project.inlay("correct", "e\x1b[2J1", "stars=3", "--note", EVIL, "--by", EVIL)
    for told in (
        project.inlay("explain", "e\x1b[2J1").stdout,
        project.inlay("explain", "e\x1b[2J1", "--prompt").stdout,
        project.inlay("corrections").stdout,
        project.inlay("explain", "r2").stdout,
    ):
        assert not set(told) & {"\x1b", "\u202e", "\u2069", "\r"}
        assert "\nread (forged)" not in told
    told = project.inlay("explain", "r2").stdout
    assert "(6,001 characters)" in told
    assert max(cell_len(line) for line in told.splitlines()) <= WIDTH


def test_correct_keeps_a_value_that_corrections_lists(project: Project, simulator: Simulator) -> None:
    project.inlay("run")
    calls = len(simulator.ledger)
    done = project.inlay("correct", "r2", "sentiment=Negative", "stars=", "--note", "読んだ", "--by", "ana")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("r2  sentiment: negative  (was ")
    assert lines[1].startswith("r2  stars: null, not stated  (was ")
    assert lines[2] == "2 corrections kept"
    assert lines[3].startswith("next: inlay export -o out.jsonl publishes it")

    listed = project.inlay("corrections").stdout
    assert listed.startswith("reviews: 2 corrections\nr2  sentiment: negative  (the model says ")
    assert "    by ana, 20" in listed
    assert ": 読んだ\n" in listed
    found = json.loads(project.inlay("corrections", "--json").stdout)["corrections"]
    assert [(one["field"], one["value"], one["null_reason"]) for one in found] == [
        ("sentiment", "negative", None),
        ("stars", None, "not_stated"),
    ]
    assert "corrected by ana" in project.inlay("explain", "r2").stdout

    again = project.inlay("correct", "r2", "sentiment=negative", "--note", "読んだ", "--by", "ana")
    assert again.stdout.endswith("nothing new: all of it was there already\n")
    back = project.inlay("correct", "r2", "inlay.yaml", "--undo", "stars", "--undo", "read.sentiment")
    assert "correction taken back" in back.stdout
    assert project.inlay("corrections").stdout.startswith("reviews: no corrections\n")
    assert project.inlay("corrections", "--history").stdout.startswith("reviews: 4 corrections\n")
    assert len(simulator.ledger) == calls, "no model is asked"


def test_correct_reads_a_file_or_says_every_mistake_in_it(project: Project) -> None:
    fixes = project.folder / "fixes.csv"
    fixes.write_text("id,sentiment,stars\nr1,good,9\nr9,,1\n", encoding="utf-8")
    done = project.inlay("correct", "--file", "fixes.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("error: fixes.csv: 3 mistakes, so nothing was kept:\n")
    assert "fixes.csv:2: row r1: sentiment 'good' is not one of the 3 values\n" in done.stderr
    assert "fixes.csv:3: no row of reviews.csv has the key 'r9'\n" in done.stderr
    fixes.write_text("id,sentiment,stars\nr1,negative,\nr3,,1\n", encoding="utf-8")
    kept = json.loads(project.inlay("correct", "--file", "fixes.csv", "inlay.yaml", "--json").stdout)
    assert [(one["key"], one["field"], one["value"], one["new"]) for one in kept["corrections"]] == [
        ("r1", "sentiment", "negative", True),
        ("r3", "stars", 1, True),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say which row and what"),
        (("r1",), "say what to correct"),
        (("r1", "stars"), "'stars' is neither FIELD=VALUE nor a declaration"),
        (("r1", "stars=1", "a.yaml", "b.yaml"), "neither FIELD=VALUE nor a declaration"),
        (("--file", "f.csv", "stars=1"), "not both"),
        (("--file", "f.csv", "--undo", "stars"), "belong to one KEY"),
        (("r1", "stars=1", "--null-reason", "never"), "--null-reason"),
        (("r1", "stars=1", "--null-reason", "ambiguous"), "has the value 1 and a reason for a null as well"),
        (("r1", "starz=1"), "did you mean `stars`?"),
        (("r1", "no.such=1"), "there is no field `no.such`"),
        (("r1", "stars=1", "nope.yaml"), "nope.yaml"),
    ],
)
def test_a_wrong_command_is_told_what_is_right(project: Project, arguments: tuple[str, ...], said: str) -> None:
    done = project.inlay("correct", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / ".inlay").exists()


# --- drawing


def test_lines_are_folded_by_the_width_of_their_characters() -> None:
    text = "静かで快適な宿でした。" * 12 + " word" * 30 + " " + "x" * 100
    lines = pieces("  head: ", text, "    ", WIDTH)
    assert max(map(cell_len, lines)) <= WIDTH
    joined = "".join(line.strip() for line in lines).replace(" ", "")
    assert joined == ("head:" + text).replace(" ", "")
    assert pieces("", "", "", WIDTH) == [""]


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    assert cut("short", 10) == "short"
    long = cut("a" * 500 + "b" * 500, 100)
    assert long.startswith("a" * 75 + " … ")
    assert long.endswith("b" * 25 + " (1,000 characters)")


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a cat", "a dog", ("a cat", "a dog")),
        ("", "new", ('""', "new")),
        ("x" * 99 + "A" + "y" * 99, "x" * 99 + "B" + "y" * 99, ("…" + "x" * 30 + "A" + "y" * 30 + "…",) * 2),
        ("aaa", "aa", ("aaa", "aa")),
        ("同じ文、違う文", "同じ文、同じ文", ("同じ文、違う文", "同じ文、同じ文")),
    ],
)
def test_a_change_is_shown_where_it_is(before: str, after: str, shown: tuple[str, str]) -> None:
    was, now = differing(before, after)
    assert was == shown[0]
    assert now == shown[1].replace("A", "B")


def test_every_state_is_drawn(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "refusal", "record": "sad"}, {"fault": "wrong_schema", "record": "odd"}])
    judge = {
        "name": "judge",
        "model": "lexical",
        "prompt": "{{ passes.read.stars }} {{ text }}",
        "fields": {"fine": "boolean"},
    }
    file = project.declare()
    document = json.loads(file.read_text(encoding="utf-8"))
    project.declare(passes=[*document["passes"], judge])
    project.rows([("r1", "sad"), ("r2", "odd"), ("r3", "fine")])
    verbs.run(file)

    def drawn(key: str) -> str:
        out = io.StringIO()
        with redirect_stdout(out):
            draw_explain.draw(screen.Page(), verbs.explain(file, key), "inlay.yaml")
        return out.getvalue()

    refused = drawn("r1")
    assert "failed; given up: it failed for good, or is out of tries" in refused
    assert "next: left alone; inlay retry --key r1 --run asks it again" in refused
    assert "hint: The model declined" in refused
    assert "skipped; " in refused
    assert "upstream: read.stars has no answer" in refused
    odd = drawn("r2")
    assert "failed; retry: it failed, and is worth another try" in odd
    assert "  the model's raw answer\n    | " in odd
    project.rows([("r1", "sad"), ("r2", "odd")])
    assert "the source has no such row any more" in drawn("r3")
    project.declare(passes=[*document["passes"]], select={"where": "id = 'r2'"})
    assert "not selected: it does not match select.where, so no run asks for it" in drawn("r1")
