"""The commands from end to end, each a process of its own, against a simulated provider."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project

PLAN_KEYS = {
    "calls",
    "cost_usd",
    "enrichment",
    "limit",
    "minutes",
    "missing",
    "notes",
    "passes",
    "rows_selected",
    "rows_source",
    "rows_taken",
    "rows_to_do",
    "source",
    "worst_usd",
}
REPORT_KEYS = {
    "answers",
    "cached_tokens",
    "calls",
    "cost_estimated_usd",
    "cost_usd",
    "enrichment",
    "exit_code",
    "input_tokens",
    "output_tokens",
    "passes",
    "plan",
    "published",
    "published_changed",
    "published_new",
    "published_rows",
    "published_unchanged",
    "retries",
    "rows",
    "rows_done",
    "run",
    "seconds",
    "stopped",
}


def test_plan_prices_everything_and_sends_nothing(project: Project, simulator: Simulator) -> None:
    done = project.inlay("plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("reviews: 6 rows in reviews.csv, 6 selected, 6 to do, 6 taken\n")
    assert "next: inlay run\n" in done.stdout
    assert not (project.folder / ".inlay").exists(), "planning writes nothing"
    assert len(simulator.ledger) == 0


def test_plan_json_has_stable_keys(project: Project) -> None:
    plan = json.loads(project.inlay("plan", "--json", "--limit", "4").stdout)
    assert set(plan) >= PLAN_KEYS
    assert (plan["rows_source"], plan["rows_to_do"], plan["rows_taken"], plan["calls"]) == (6, 6, 4, 4)
    assert plan["passes"][0]["reasons"]["new"] == 6
    assert 0 < plan["cost_usd"] < plan["worst_usd"]


def test_plan_says_what_auto_became(project: Project) -> None:
    spec = [{"name": "read", "prompt": "{{ text }}", "fields": {"mood": {"type": "enum", "values": ["good", "bad"]}}}]
    project.declare(passes=spec)
    done = project.inlay("plan")
    assert "lexical:1" in done.stdout
    assert "note: no API key was found" in done.stdout


def test_run_asks_publishes_and_sums_up(project: Project, simulator: Simulator) -> None:
    done = project.inlay("run")
    assert done.returncode == 0, done.stderr
    assert "read       6        6          0\n" in done.stdout
    assert "wrote out.jsonl: 6 rows\n" in done.stdout
    assert "6 calls," in done.stdout
    assert done.stderr.startswith("reviews: 6 rows in reviews.csv")
    assert "6 cells to ask: 6 calls to compatible:sim; estimated $" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    rows = project.output()
    assert [(row["id"], row["text"]) for row in rows] == list(project.ROWS)
    assert {row["sentiment"] for row in rows} <= {"positive", "neutral", "negative"}
    assert len(simulator.ledger) == 6

    again = project.inlay("run")
    assert again.returncode == 0
    assert again.stdout.startswith("reviews: nothing to do: every selected row is taken care of\nno call, $0\n")
    assert len(simulator.ledger) == 6


def test_the_select_that_a_run_shows_works(project: Project) -> None:
    done = project.inlay("run")
    line = next(line for line in done.stdout.splitlines() if line.startswith("look: "))
    sql = line.removeprefix('look: duckdb -c "').removesuffix('"')
    sql = sql.replace("'out.jsonl'", f"'{project.folder / 'out.jsonl'}'")
    assert sql.startswith("SELECT id, sentiment, stars FROM")
    assert [row[0] for row in duckdb.sql(sql).fetchall()] == [key for key, _ in project.ROWS]


def test_run_json_is_one_document_with_stable_keys(project: Project, simulator: Simulator) -> None:
    done = project.inlay("run", "--json", "--quiet")
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert set(report) >= REPORT_KEYS
    assert (report["exit_code"], report["calls"], report["published_rows"]) == (0, 6, 6)
    part = report["passes"][0]
    ended = part["done"] + part["reused"] + part["unchanged"] + part["partial"] + part["pending"]
    assert part["cells"] == 6 == ended + sum(part["failed"].values()) + sum(part["skipped"].values())
    assert round(report["cost_usd"] * 1e9) == simulator.ledger.billed_nusd


def test_run_quiet_says_nothing(project: Project) -> None:
    done = project.inlay("run", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(project.output()) == 6


def test_dry_run_sends_and_writes_nothing(project: Project, simulator: Simulator) -> None:
    done = project.inlay("run", "--dry-run")
    assert done.returncode == 0
    assert done.stdout.endswith("dry run: nothing was sent, nothing was written\n")
    assert sorted(path.name for path in project.folder.iterdir()) == ["inlay.yaml", "reviews.csv"]
    assert len(simulator.ledger) == 0
    assert set(json.loads(project.inlay("run", "--dry-run", "--json").stdout)) >= PLAN_KEYS


def test_run_limit_then_the_rest(project: Project, simulator: Simulator) -> None:
    done = project.inlay("run", "--limit", "2")
    assert "next: 4 rows more to do: inlay run\n" in done.stdout
    assert len(simulator.ledger) == 2
    assert len(project.output()) == 6, "rows without an answer are published too"
    project.inlay("run")
    assert len(simulator.ledger) == 6
    assert simulator.ledger.paid_again() == {}


def test_no_publish_leaves_the_output_alone(project: Project) -> None:
    done = project.inlay("run", "--no-publish")
    assert done.returncode == 0
    assert "wrote" not in done.stdout
    assert not (project.folder / "out.jsonl").exists()


def test_refresh_stale_is_asked_only_when_said(project: Project, simulator: Simulator) -> None:
    project.inlay("run")
    edited = json.loads((project.folder / "inlay.yaml").read_text(encoding="utf-8"))["passes"]
    edited[0]["prompt"] = "Read this review with great care: {{ text }}"
    project.declare(passes=edited)
    planned = project.inlay("plan")
    assert "6 cells answered under an earlier prompt or model" in planned.stdout
    assert project.inlay("run").returncode == 0
    assert len(simulator.ledger) == 6
    assert json.loads(project.inlay("plan", "--refresh", "stale", "--json").stdout)["calls"] == 6
    assert "of done: stale" in project.inlay("status").stdout
    assert project.inlay("run", "--refresh", "stale").returncode == 0
    assert len(simulator.ledger) == 12


def test_status_before_and_after(project: Project) -> None:
    before = project.inlay("status")
    assert before.returncode == 0
    assert "no run has reached a row yet; next: inlay plan\n" in before.stdout
    assert not (project.folder / ".inlay").exists()
    project.inlay("run")
    after = project.inlay("status")
    assert "100.0%" in after.stdout
    found = json.loads(project.inlay("status", "--json").stdout)
    assert set(found) >= {"enrichment", "ledger", "notes", "passes", "runs", "store"}
    assert found["passes"][0]["states"] == {"done": 6}
    assert found["runs"][0]["outcome"] == "done"
    assert found["runs"][0]["summary"]["calls"] == 6


def test_failed_cells_are_shown_retried_and_mended(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "refusal", "record": "خدمة|again"}])
    done = project.inlay("run")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "failed: refused 2\n" in done.stdout
    assert "next: inlay status shows why cells failed; inlay retry makes them worth asking again\n" in done.stdout
    status = project.inlay("status").stdout
    assert "read: refused 2\n" in status
    assert "\n  r3: refused: " in status

    simulator.control(faults=[])
    asked = len(simulator.ledger)
    assert project.inlay("run").returncode == 0
    assert len(simulator.ledger) == asked, "what was refused is not asked again by itself"
    marked = project.inlay("retry", "--key", "r3", "--kind", "refused")
    assert marked.stdout == "1 cell will be asked again: read 1\nnext: inlay run\n"
    assert json.loads(project.inlay("retry", "--json").stdout)["marked"]["read"] >= 1
    assert project.inlay("retry", "--kind", "timeout").stdout == "0 cells will be asked again\n"
    done = project.inlay("retry", "--run")
    assert done.returncode == 0, done.stderr
    assert len(simulator.ledger) == asked + 2
    assert json.loads(project.inlay("status", "--json").stdout)["passes"][0]["states"] == {"done": 6}


def test_retry_refuses_an_unknown_pass_and_options_without_meaning(project: Project) -> None:
    wrong = project.inlay("retry", "--pass", "raed")
    assert wrong.returncode == 2
    assert "did you mean read?" in wrong.stderr
    assert project.inlay("retry", "--budget", "5").returncode == 2


def test_export_to_files_and_to_standard_output(project: Project) -> None:
    project.inlay("run", "--no-publish")
    streamed = project.inlay("export", "--format", "csv")
    assert (streamed.returncode, streamed.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(streamed.stdout)))
    assert [(row["id"], row["text"]) for row in rows] == list(project.ROWS)
    lines = project.inlay("export", "-o", "-", "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [key for key, _ in project.ROWS]
    filed = project.inlay("export", "-o", "答え.parquet")
    assert (filed.stdout, filed.stderr) == ("", "wrote 答え.parquet: 6 rows\n")
    project.inlay("export", "-o", "plain.txt", "--format", "jsonl")
    assert (project.folder / "plain.txt").read_text(encoding="utf-8").splitlines() == lines
    path = project.folder / "答え.parquet"
    assert duckdb.sql(f"SELECT count(*) FROM '{path}' WHERE sentiment IS NOT NULL").fetchall() == [(6,)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "parquet"), "-o FILE.parquet"),
        (("-o", "-"), "--format csv"),
        (("-o", "out.xlsx"), ".parquet"),
        (("--format", "xml"), "parquet"),
    ],
)
def test_export_says_what_it_needs(project: Project, arguments: tuple[str, ...], said: str) -> None:
    done = project.inlay("export", *arguments)
    assert done.returncode in (2, 3)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in project.folder.iterdir()) == ["inlay.yaml", "reviews.csv"]


def test_store_stats_and_verify(project: Project) -> None:
    project.inlay("run")
    stats = project.inlay("store", "stats")
    assert stats.returncode == 0
    assert "store.db" in stats.stdout
    found = json.loads(project.inlay("store", "stats", "--json").stdout)
    assert found["answers"] == 6
    assert found["bytes"] > 0
    sound = project.inlay("store", "verify")
    assert (sound.returncode, sound.stdout) == (0, "every fingerprint and checksum matches\n")


def test_store_verify_names_damage_and_exits_with_one(project: Project) -> None:
    import sqlite3

    project.inlay("run")
    con = sqlite3.connect(project.folder / ".inlay" / "store.db")
    con.execute("UPDATE answers SET payload = payload || x'00' WHERE answer_id = 1")
    con.commit()
    con.close()
    done = project.inlay("store", "verify")
    assert done.returncode == 1
    assert "1 problem found" in done.stdout
    assert json.loads(project.inlay("store", "verify", "--json").stdout)["damaged"] == 1


def test_prune_says_before_it_does(project: Project, simulator: Simulator) -> None:
    project.inlay("run")
    project.rows([(key, text + "!") for key, text in project.ROWS])
    project.inlay("run")
    would = project.inlay("store", "prune", "--dry-run")
    assert would.stdout.startswith("would delete: ")
    assert "6 answers" in would.stdout
    refused = project.inlay("store", "prune")
    assert refused.returncode == 2
    assert "add --yes" in refused.stderr
    assert "nothing to delete" in project.inlay("store", "prune", "--older-than", "1d", "--yes").stdout
    gone = json.loads(project.inlay("store", "prune", "--yes", "--json").stdout)
    assert gone["dry_run"] is False
    assert gone["deleted"]["answers"] == 6
    assert project.inlay("store", "prune", "--yes").stdout == "nothing to delete\n"
    assert project.inlay("run").returncode == 0
    assert len(simulator.ledger) == 12


def test_clear_asks_says_the_price_and_makes_cells_new(project: Project, simulator: Simulator) -> None:
    project.inlay("run")
    assert "--all" in project.inlay("store", "clear").stderr
    assert project.inlay("store", "clear", "--all", "--key", "r1").returncode == 2
    refused = project.inlay("store", "clear", "--key", "r1")
    assert refused.returncode == 2
    assert "Forget at most 1 cell of reviews? Asking them again may cost about $0.0000" in refused.stderr
    assert project.inlay("store", "clear", "--key", "r1", "--key", "r2", "--yes").stdout.startswith("deleted: ")
    plan = json.loads(project.inlay("plan", "--json").stdout)
    assert plan["passes"][0]["reasons"]["new"] == 2
    project.inlay("store", "clear", "--all", "--yes")
    project.inlay("run")
    assert len(simulator.ledger) == 12


def test_a_declaration_elsewhere_and_suggestions_that_name_it(project: Project) -> None:
    other = project.folder / "more declarations"
    other.mkdir()
    project.declare("more declarations/r.yaml", source={"files": "../reviews.csv", "key": "id"})
    done = project.inlay("plan", "more declarations/r.yaml", "--limit", "1")
    assert "next: inlay run 'more declarations/r.yaml' --limit 1\n" in done.stdout
    done = project.inlay("run", "more declarations/r.yaml", "--limit", "1")
    assert done.returncode == 0
    assert Path(other, ".inlay", "store.db").exists()
    assert Path(other, "out.jsonl").exists()


def test_show_looks_at_the_first_rows(project: Project, simulator: Simulator) -> None:
    simulator.control(faults=[{"fault": "refusal", "record": "خدمة"}])
    assert "pending" in project.inlay("show").stdout
    project.inlay("run")
    done = project.inlay("show", "--limit", "3")
    assert done.returncode == 0, done.stderr
    header, _, *rows = done.stdout.splitlines()
    assert header.split() == ["id", "sentiment", "stars"]
    assert [row.split()[0] for row in rows] == ["r1", "r2", "r3"]
    assert "failed" in rows[2], "a missing value shows its reason"
    assert rows[0].split()[1] in ("positive", "neutral", "negative")
    found = json.loads(project.inlay("show", "--limit", "2", "--json").stdout)
    assert [row["text"] for row in found] == [text for _, text in project.ROWS[:2]]
    assert len(simulator.ledger) == 6, "looking asks no model"


def test_show_takes_columns_and_refuses_unknown_ones(project: Project) -> None:
    text = project.inlay("show", "--columns", "text, id").stdout
    assert text.splitlines()[0].split() == ["text", "id"]
    assert "駅から遠いが静かで" in text
    wrong = project.inlay("show", "--columns", "id,mood")
    assert wrong.returncode == 2
    assert "no column mood" in wrong.stderr
    assert "sentiment" in wrong.stderr


def test_show_names_what_does_not_fit(project: Project) -> None:
    narrow = project.inlay("show", COLUMNS="16").stdout
    assert narrow.splitlines()[0].split() == ["id", "sentiment"]
    assert " ".join(narrow.split()).endswith("and 1 more (--columns): stars")
