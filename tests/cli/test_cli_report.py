"""`inlay report` as a process of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inlay.testing import Simulator

if TYPE_CHECKING:
    from .conftest import Project


def test_it_writes_one_page_beside_the_declaration_and_says_where(project: Project, simulator: Simulator) -> None:
    project.inlay("run", "--quiet")
    asked = len(simulator.ledger)
    done = project.inlay("report")
    page = project.folder / "report.html"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {page}\n"
    assert "駅から遠いが静かで快適" in page.read_text(encoding="utf-8")
    assert len(simulator.ledger) == asked, "a report asks nobody"


def test_it_is_written_where_o_says(project: Project) -> None:
    project.inlay("run", "--quiet")
    done = project.inlay("report", "-o", "shown/to a friend.html", "--limit-samples", "2")
    assert done.returncode == 0
    page = (project.folder / "shown" / "to a friend.html").read_text(encoding="utf-8")
    assert page.count('<details class="sample"') == 2


def test_json_prints_the_facts_and_writes_no_file(project: Project) -> None:
    project.inlay("run", "--quiet")
    done = project.inlay("report", "--json", "--limit-samples", "1")
    facts = json.loads(done.stdout)
    assert (facts["totals"]["rows"], facts["totals"]["done_cells"], len(facts["samples"])) == (6, 6, 1)
    assert sum(facts["passes"][0]["fields"][0]["parts"].values()) == 6
    assert not (project.folder / "report.html").exists()
    both = project.inlay("report", "--json", "-o", "x.html")
    assert both.returncode == 2
    assert "writes no file" in both.stderr


def test_mistakes_are_told_in_a_sentence(project: Project) -> None:
    source = (project.folder / "reviews.csv").read_bytes()
    done = project.inlay("report", "-o", "reviews.csv")
    assert done.returncode == 2
    assert "name it reviews.html" in done.stderr
    assert (project.folder / "reviews.csv").read_bytes() == source
    many = project.inlay("report", "--limit-samples", "1000")
    assert many.returncode == 2
    (project.folder / "reviews.csv").unlink()
    gone = project.inlay("report")
    assert gone.returncode == 2
    assert "Traceback" not in gone.stderr
    assert not (project.folder / "report.html").exists()
