"""`inlay costs` and `inlay prices`: what was paid, what was saved, what more would cost."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inlay.testing import Simulator


def costs(project: Any, *arguments: str) -> dict[str, Any]:
    done = project.inlay("costs", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_costs_add_up_to_the_bill_however_they_are_summed(project: Any, simulator: Simulator) -> None:
    assert "no call has been paid yet" in project.inlay("costs").stdout
    project.rows([*project.ROWS, ("r7", "Nothing to say")])
    assert project.inlay("run", "--quiet").returncode == 0
    for by in ("run", "pass", "model", "day"):
        found = costs(project, "--by", by)
        assert sum(round(line["cost_usd"] * 1e9) for line in found["lines"]) == simulator.ledger.billed_nusd
        assert found["total"]["calls"] == sum(line["calls"] for line in found["lines"]) == 6
    assert (found["saved"]["reuse_calls"], found["rows"]) == (1, 7)
    assert found["saved"]["reuse_usd"] == pytest.approx(found["total"]["cost_usd"] / 6)
    drawn = project.inlay("costs").stdout
    assert "saved, estimated: equal inputs 1 call, $" in drawn


def test_the_dearest_records_come_first_and_are_harmless(project: Any, simulator: Simulator) -> None:
    project.rows([("長い \x1b[2J鍵", "long " * 200), *project.ROWS])
    assert project.inlay("run", "--quiet").returncode == 0
    found = costs(project, "--by", "record", "--top", "3")
    assert found["lines"][0]["name"] == "長い \x1b[2J鍵"
    assert len(found["lines"]) == 3
    assert "\x1b" not in project.inlay("costs", "--by", "record").stdout


def test_a_projection_and_other_models(project: Any, simulator: Simulator) -> None:
    assert project.inlay("run", "--quiet").returncode == 0
    luna = "openai:gpt-6-luna"
    found = costs(project, "--project", "6,000", "--on", luna, "--on", "compatible:mine")
    assert found["projected_usd"] == pytest.approx(found["total"]["cost_usd"] * 1000)
    [on, unknown] = found["models"]
    # The declared prices are those of this model.
    assert on["live_usd"] == pytest.approx(found["projected_usd"], rel=0.02)
    assert on["batch_usd"] * 2 == pytest.approx(on["live_usd"], rel=1e-6)
    assert (unknown["live_usd"], unknown["batch_usd"]) == (None, None)
    drawn = project.inlay("costs", "--project", "6000", "--on", luna).stdout
    assert "6,000 rows like the 6 so far would cost about $" in drawn


def test_prices_of_names_and_of_the_declaration(project: Any) -> None:
    [luna, unknown] = json.loads(project.inlay("prices", "openai:gpt-6-luna", "openai:gpt-6-lunar", "--json").stdout)
    live = [line for line in luna["lines"] if line["service"] == "live"]
    assert [(line["above"], line["input"], line["output"]) for line in live] == [(0, 0.1, 0.5), (272_000, 0.2, 0.75)]
    assert "2026" in luna["source"]
    assert (unknown["lines"], unknown["nearest"][0]) == ([], "openai:gpt-6-luna")
    own = project.inlay("prices")
    assert own.returncode == 0
    assert "compatible:sim: declared, for read" in own.stdout
    project.ask("prices", "gpt-6-luna").check(2, "no provider before it", "openai:gpt-6-luna")


def test_a_projects_own_prices_count_from_their_day(project: Any) -> None:
    part = json.loads((project.folder / "inlay.yaml").read_text("utf-8"))["passes"][0]
    del part["prices"]
    project.declare(passes=[part])
    (project.folder / "prices.yaml").write_text(
        "compatible:sim:\n"
        "  - {from: 2999-01-01, input_per_million: 9, output_per_million: 9}\n"
        "  - {from: 2020-01-01, input_per_million: 1, output_per_million: 2, batch_multiplier: 0.5}\n"
    )
    [price] = json.loads(project.inlay("prices", "--json").stdout)
    assert price["source"] == "prices.yaml"
    assert [(line["service"], line["input"], line["output"]) for line in price["lines"]] == [
        ("live", 1, 2),
        ("batch", 0.5, 1),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sim: {input_per_million: 1, output_per_million: 1}", "prices.yaml:1: .*no provider"),
        ("compatible:sim: {input_per_million: 1}", "prices.yaml:1: .*`output_per_million` is missing"),
        ("compatible:sim:\n  input_per_million: x\n  output_per_million: 1", "prices.yaml:2: .*no number"),
        ("compatible:sim: {inptu_per_million: 1, output_per_million: 1}", "unknown key `inptu_per_million`"),
        ("compatible:sim: {from: soon, input_per_million: 1, output_per_million: 1}", "`from` is no day"),
        ("- 1", "expected models with their prices"),
    ],
)
def test_mistakes_in_the_price_file_name_their_line(project: Any, text: str, says: str) -> None:
    (project.folder / "prices.yaml").write_text(text + "\n")
    project.ask("plan").check(2, says, "")


def test_an_unknown_price_of_a_known_provider_is_asked_about(project: Any, simulator: Simulator) -> None:
    part = json.loads((project.folder / "inlay.yaml").read_text("utf-8"))["passes"][0]
    del part["prices"]
    part |= {"model": "openai:gpt-99", "api_key_env": "SIM_KEY"}
    project.declare(passes=[part])
    key = {"SIM_KEY": project.SECRET}
    project.ask("run", **key).check(2, "price of openai:gpt-99 is not known", "--yes")
    assert len(simulator.ledger) == 0
    assert project.inlay("run", "--yes", "--quiet", **key).returncode == 0
    assert len(simulator.ledger) == 6


def test_earlier_calls_make_the_estimate(project: Any, simulator: Simulator) -> None:
    simulator.control(completion_tokens=90)
    rows = [(f"k{number}", f"Room {number} was fine") for number in range(60)]
    project.rows(rows[:30])
    report = json.loads(project.inlay("run", "--json", "--quiet").stdout)
    estimate = report["estimate"]
    assert (estimate["seen"], estimate["actual_usd"]) == (0, report["cost_usd"])
    project.rows(rows)
    plan = json.loads(project.inlay("plan", "--json").stdout)
    assert (plan["calls"], plan["seen"]) == (30, 30)
    assert plan["low_usd"] < report["cost_usd"] < plan["high_usd"] <= plan["worst_usd"]
    assert plan["cost_usd"] == pytest.approx(report["cost_usd"], rel=0.01)
    assert plan["passes"][0]["output_tokens"] == 30 * 90
    assert "from 30 calls so far" in project.inlay("plan").stdout
