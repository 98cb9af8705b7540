"""The page as a file: where it goes, how large it is, what it may load."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inlay import project
from inlay.errors import SpecError, TargetError
from inlay.reporting.facts import Saving
from inlay.reporting.page import MOST_BYTES, render

if TYPE_CHECKING:
    from .conftest import Place


def test_it_stands_beside_the_declaration_and_replaces_itself(place: Place) -> None:
    place.run()
    path = project.write_report(place.declaration)
    assert path == place.folder / "report.html"
    first = path.read_text(encoding="utf-8")
    assert first.startswith("<!doctype html>\n")
    assert first.endswith("</html>")
    place.declare(version="two")
    project.write_report(place.declaration)
    assert '<bdi dir="auto">two</bdi>' in path.read_text(encoding="utf-8")
    assert sorted(one.name for one in place.folder.glob(".inlay-*")) == []


def test_a_page_of_somebody_else_is_replaced_only_by_name(place: Place) -> None:
    theirs = place.folder / "report.html"
    theirs.write_text("<p>my own page</p>", encoding="utf-8")
    with pytest.raises(SpecError, match="Inlay did not write it"):
        project.write_report(place.declaration)
    assert theirs.read_text(encoding="utf-8") == "<p>my own page</p>"
    project.write_report(place.declaration, theirs)
    assert "Inlay report" in theirs.read_text(encoding="utf-8")


def test_only_a_web_page_is_written_and_never_half(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (place.folder / "reviews.csv").read_bytes()
    with pytest.raises(SpecError, match=r"does not end in \.html"):
        project.write_report(place.declaration, place.folder / "reviews.csv")
    assert (place.folder / "reviews.csv").read_bytes() == source
    (place.folder / "folder.html").mkdir()
    with pytest.raises(TargetError, match="is a folder"):
        project.write_report(place.declaration, place.folder / "folder.html")
    old = project.write_report(place.declaration).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TargetError, match="No space left"):
        project.write_report(place.declaration)
    assert (place.folder / "report.html").read_bytes() == old
    assert sorted(one.name for one in place.folder.glob(".inlay-*")) == []


def test_the_policy_names_the_one_style_sheet_and_nothing_is_loaded(place: Place) -> None:
    place.run()
    page = project.report_html(place.declaration)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert len(style) == len(policy) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy[0].replace("&#39;", "'").split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert not re.search(r"<(script|link|img|iframe|object|form|base)\b|\sstyle=|\son\w+=|url\(|@import", page)
    assert not re.search(r'(?:href|src)="(?!#)', page)


def test_it_stays_below_its_bound_whatever_there_is_to_show(place: Place) -> None:
    place.rows([(f"r{index:02}", "長い文 <b>&amp; " * 20_000) for index in range(24)])
    place.run()
    facts = place.facts(samples=50)
    part = facts.passes[0]
    # Many more fields than anybody asks for, all of them with the longest of values.
    wide = replace(
        part, fields=tuple(replace(one, column=f"{one.column}{n}") for n in range(40) for one in part.fields)
    )
    page = render(replace(facts, passes=(wide, *facts.passes[1:])))
    assert len(page.encode()) < MOST_BYTES
    assert "rv_mood39" in page
    assert len(render(facts).encode()) < MOST_BYTES


def test_too_many_samples_are_refused(place: Place) -> None:
    with pytest.raises(SpecError, match="from 0 to 50"):
        project.write_report(place.declaration, samples=51)


def test_a_page_before_the_first_run_says_so(place: Place) -> None:
    page = project.report_html(place.declaration)
    assert "Nothing has been answered yet" in page
    assert "No run yet" in page


def test_style_and_template_are_part_of_the_package() -> None:
    import inlay.reporting

    assets = Path(inlay.reporting.__file__ or "").parent / "assets"
    assert {one.name for one in assets.iterdir()} == {"report.css", "report.html"}


def test_it_shows_the_cost_of_each_pass_and_model_and_what_was_saved(place: Place) -> None:
    place.run()
    facts = place.facts()
    assert facts.costs
    assert sum(cost.cost_usd for cost in facts.costs) == pytest.approx(facts.totals.cost_usd)
    assert sum(cost.calls for cost in facts.costs) == pytest.approx(facts.totals.calls)
    page = project.write_report(place.declaration).read_text(encoding="utf-8")
    assert "Cost by pass and model" in page
    loss = replace(facts, savings=(Saving("the provider's prompt cache", None, -0.25),))
    assert "−$0.2500" in render(loss)
    assert "What was saved" not in render(replace(facts, savings=()))
