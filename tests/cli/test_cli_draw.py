"""What commands draw: golden figures, sums that add up, and foreign text that stays text."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

import pytest

from inlay.cli import draw_plan, draw_report, draw_status, screen
from inlay.engine.tally import PassTally, Tally
from inlay.errors import BudgetReached
from inlay.planning.plan import PassPlan, Plan
from inlay.project.report import PassStatus, Report, Status
from inlay.spec.model import Enrichment
from inlay.types import NANO, Reason, Usage

READ = PassPlan(
    name="read",
    model="compatible:qwen3",
    reasons={Reason.NEW: 1200, Reason.CACHED: 3000, Reason.STALE: 12, Reason.GIVEN_UP: 2},
    asked=1000,
    reused=20,
    distinct=950,
    input_tokens=412_000,
    output_tokens=95_000,
    cost_usd=0.0889,
    worst_usd=0.31,
)
JUDGE = PassPlan(
    name="judge",
    model="lexical:1",
    reasons={Reason.UPSTREAM: 1200, Reason.CACHED: 3014},
    asked=1000,
    reused=0,
    distinct=1000,
    input_tokens=0,
    output_tokens=0,
    cost_usd=0.0,
    worst_usd=0.0,
    local=True,
)


def make_plan(*passes: PassPlan, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "enrichment": "reviews",
        "source": "レビュー.csv",
        "rows_source": 50_425,
        "rows_selected": 4214,
        "rows_to_do": 1200,
        "rows_taken": 1000,
        "missing": {"null": 654, "empty": 545, "placeholder": 802},
        "passes": passes or (READ, JUDGE),
        "minutes": 3.4,
        "limit": 1000,
        "notes": ("no key was found, so lexical:1 answers",),
    }
    return Plan(**{**values, **changes})


def enrichment(prefix: str = "ai_") -> Enrichment:
    return Enrichment.model_validate(
        {
            "name": "reviews",
            "source": {"files": ("x.csv",), "key": ("row id",)},
            "passes": [
                {"name": "read", "prompt": "{{ t }}", "prefix": prefix, "fields": {"sentiment": {}, "stars": {}}},
                {"name": "judge", "prompt": "{{ t }}", "fields": {"fair": {"type": "boolean"}}},
            ],
        }
    )


def make_report(**changes: Any) -> Report:
    read = PassTally("read", 1000, 900, 50, 3, Counter(timeout=4, refused=1), Counter(budget=2), 10)
    judge = PassTally("judge", 1000, 980, skipped=Counter(upstream=8))
    tally = Tally(
        [read, judge],
        rows_planned=1000,
        rows_done=958,
        calls=1893,
        answers=1880,
        retries=Counter(rate_limited=12),
        usage=Usage(412_345, 95_000, 2048),
        cost_nusd=NANO // 3,
        estimated_nusd=NANO // 30,
    )
    values: dict[str, Any] = {
        "enrichment": "reviews",
        "run_id": 7,
        "plan": make_plan(),
        "summary": tally.summary(),
        "seconds": 74.3,
    }
    return Report(**{**values, **changes})


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins with `first`, as cells."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(rf" *{first}  ", line))
    rows = []
    for line in lines[start + 2 :]:
        if not line.strip():
            if rows and rows[-1][0] == "total":
                break
            continue
        cells = re.split(r" {2,}", line.strip())
        if len(cells) < 2:
            break
        rows.append(cells)
        if cells[0] == "total":
            break
    return rows


def numbers(cells: list[str]) -> list[int]:
    return [int(cell.replace(",", "")) for cell in cells if re.fullmatch(r"[\d,]+", cell)]


def drawn_plan(
    capsys: pytest.CaptureFixture[str], plan: Plan, *, refreshed: bool = False, file: str = "r s.yaml"
) -> str:
    draw_plan.draw(screen.Page(), plan, file, refreshed=refreshed)
    return capsys.readouterr().out


def test_a_plan_says_how_many_rows_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_plan(capsys, make_plan())
    assert text.startswith(
        "reviews: 50,425 rows in レビュー.csv, 4,214 selected, 1,200 to do, 1,000 taken (limit 1,000)\n"
        "missing, of all rows: placeholder 802 (1.6%), null 654 (1.3%), empty 545 (1.1%); together 2,001 (4.0%)\n"
    )
    assert "about 3 min 24 s at the configured limits" in text
    assert "note: no key was found, so lexical:1 answers" in text
    assert "next: inlay run 'r s.yaml' --limit 1000" in text


def test_the_reasons_of_a_plan_add_up_to_the_selected_rows(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_plan(capsys, make_plan())
    header = re.split(r" {2,}", next(line for line in text.splitlines() if "= selected rows" in line))
    assert header == ["pass", "new", "stale", "cached", "given up", "upstream", "= selected rows"]
    first = text.index("= selected rows")
    rows = table(text[: text.index("pass", first)], "pass")
    assert [row[0] for row in rows] == ["read", "judge"]
    for row in rows:
        *parts, whole = numbers(row)
        assert sum(parts) == whole == 4214


def test_the_price_table_of_a_plan_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_plan(capsys, make_plan())
    rows = table(text[text.index("= selected rows") :], "pass")
    assert rows[0] == [
        "read",
        "compatible:qwen3",
        "1,000",
        "20",
        "30",
        "950",
        "950",
        "412,000",
        "95,000",
        "$0.0889",
        "$0.3100",
    ]
    assert rows[1][:2] == ["judge", "lexical:1"]
    assert rows[1][-2:] == ["$0", "$0"]
    sums = [sum(column) for column in zip(*(numbers(row) for row in rows[:-1]), strict=True)]
    assert numbers(rows[-1]) == sums
    for asked, stored, same, answer, *_ in (numbers(row) for row in rows):
        assert asked == stored + same + answer
    assert rows[-1][-2:] == ["$0.0889", "$0.3100"]


def test_a_price_says_where_it_is_expected_and_from_what(capsys: pytest.CaptureFixture[str]) -> None:
    ranged = dataclasses.replace(READ, low_usd=0.05, high_usd=0.12)
    assert "expected $0.0500 to $0.1200 (from the texts); at most $0.3100\n" in drawn_plan(capsys, make_plan(ranged))
    seen = dataclasses.replace(ranged, seen=40)
    assert "(from 40 calls so far)" in drawn_plan(capsys, make_plan(seen))
    both = make_plan(seen, dataclasses.replace(ranged, name="more"))
    assert "(partly from 40 calls so far)" in drawn_plan(capsys, both)


def test_a_plan_shows_no_column_and_no_table_of_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    plain = PassPlan("read", "compatible:x", {Reason.NEW: 5}, 5, 0, 5, 100, 50, 0.1, 0.2)
    text = drawn_plan(capsys, make_plan(plain))
    assert "in store" not in text
    assert "same input" not in text
    assert "total" not in text, "one pass is the total"
    idle = PassPlan("read", "compatible:x", {Reason.CACHED: 9}, 0, 0, 0, 0, 0, 0.0, 0.0)
    assert "tokens in" not in drawn_plan(capsys, make_plan(idle, rows_to_do=0, rows_taken=0, minutes=None))


def test_the_next_command_keeps_the_mode(capsys: pytest.CaptureFixture[str]) -> None:
    draw_plan.draw(screen.Page(), make_plan(limit=None), "r s.yaml", refreshed=False, mode="batch")
    assert "next: inlay run 'r s.yaml' --mode batch\n" in capsys.readouterr().out


def test_stale_cells_are_told_and_not_priced(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_plan(capsys, make_plan())
    assert "12 cells answered under an earlier prompt or model: kept as they are, and not in the price above" in text
    assert "`inlay plan 'r s.yaml' --refresh stale` prices asking them again" in text
    assert "2 cells failed for good" in text
    refreshed = drawn_plan(capsys, make_plan(), refreshed=True)
    assert "kept as they are" not in refreshed
    assert "next: inlay run 'r s.yaml' --refresh stale --limit 1000" in refreshed


def test_an_unknown_price_is_never_shown_as_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    unpriced = PassPlan("read", "compatible:x", {Reason.NEW: 5}, 5, 0, 5, 100, 50, None, None)
    text = drawn_plan(capsys, make_plan(unpriced, READ, limit=None))
    rows = table(text[text.index("= selected rows") :], "pass")
    assert rows[0][-1] == "price unknown"
    assert rows[-1][-1] == "price unknown"
    assert "`prices: {input_per_million" in text


def test_a_plan_without_work_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    idle = PassPlan("read", "compatible:x", {Reason.CACHED: 9}, 0, 0, 0, 0, 0, 0.0, 0.0)
    done = make_plan(idle, rows_to_do=0, rows_taken=0, minutes=None, limit=None)
    assert "nothing to do: every selected row is taken care of" in drawn_plan(capsys, done)
    capped = make_plan(idle, rows_to_do=5, rows_taken=0, minutes=None, limit=0)
    text = drawn_plan(capsys, capped)
    assert "nothing to do: the limit is 0" in text
    assert "next:" not in text


def test_the_short_plan_is_two_lines_with_price_and_budget() -> None:
    rows, price = draw_plan.short_lines(make_plan(), 5.0, "day")
    assert rows.startswith("reviews: 50,425 rows")
    assert price == (
        "2,000 cells to ask: 950 calls to compatible:qwen3, lexical:1; "
        "estimated $0.0889, at most $0.3100, about 3 min 24 s; budget $5.00 per day"
    )
    assert draw_plan.short_lines(make_plan(JUDGE, minutes=None), None)[1] == (
        "1,000 cells to ask: no call, lexical:1; estimated $0; no budget"
    )


def drawn_report(capsys: pytest.CaptureFixture[str], report: Report) -> str:
    draw_report.draw(screen.Page(), report, enrichment(), "inlay.yaml")
    return capsys.readouterr().out


def test_the_summary_of_a_run_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_report(capsys, make_report())
    assert text.startswith("reviews: 958 of 1,000 rows in 1 min 14 s\n")
    rows = table(text, "pass")
    assert rows[0] == ["read", "1,000", "900", "50", "10", "3", "5", "2", "30"]
    assert rows[1] == ["judge", "1,000", "980", "0", "0", "0", "0", "8", "12"]
    assert rows[2] == ["total", "2,000", "1,880", "50", "10", "3", "5", "10", "42"]
    for row in rows:
        whole, *parts = numbers(row)
        assert whole == sum(parts)
    assert "failed: timeout 4, refused 1\n" in text
    assert "skipped: upstream 8, budget 2\n" in text
    assert "asked again within the run: rate_limited 12\n" in text


def test_the_summary_tells_cost_estimate_and_what_is_not_certain(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_report(capsys, make_report())
    assert "1,893 calls, 412,345 tokens in (2,048 from the provider's cache), 95,000 out\n" in text
    assert (
        "cost $0.3333, estimated $0.0889, at most $0.3100 for all of it; $0.0333 of it booked at its worst case" in text
    )
    assert "next: inlay status shows why cells failed; inlay retry makes them worth asking again" in text


def test_the_summary_shows_how_to_look_at_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_report(capsys, make_report(published="/data/out's.parquet", published_rows=50_425))
    assert "wrote /data/out's.parquet: 50,425 rows\n" in text
    select = draw_report.example_select("/data/out's.parquet", enrichment())
    assert select == "SELECT \"row id\", ai_sentiment, ai_stars, fair FROM '/data/out''s.parquet' LIMIT 10"


def test_a_stopped_run_says_why_and_what_to_do() -> None:
    report = make_report(stopped=BudgetReached("the budget is \x1b[31mgone", remedy="raise it"))
    assert draw_report.stopped_line(report) == "stopped: the budget is \\x1b[31mgone\n  → raise it"
    assert report.exit_code == 3


def test_a_run_that_had_nothing_to_do_is_one_line_and_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    idle = Tally([PassTally("read")]).summary()
    text = drawn_report(capsys, make_report(summary=idle, plan=make_plan(rows_to_do=0, rows_taken=0)))
    assert text == "reviews: nothing to do: every selected row is taken care of\nno call, $0\n"


def test_rows_beyond_the_limit_are_the_next_thing(capsys: pytest.CaptureFixture[str]) -> None:
    clean = Tally([PassTally("read", 1000, 1000)], rows_planned=1000, rows_done=1000).summary()
    assert "next: 200 rows more to do: inlay run\n" in drawn_report(capsys, make_report(summary=clean))


def make_status(**changes: Any) -> Status:
    part = PassStatus(
        name="read",
        model="compatible:qwen3",
        states={"done": 950, "partial": 3, "failed": 5, "in_flight": 2},
        kinds={"timeout": 4, "refused": 1, "invalid_output": 3},
        stale=12,
        cost_usd=0.33,
        priced=True,
        examples=(("k\x1b[31m1", "timeout", "no answer\nerror: forged"), ("顧客２", "refused", "x" * 500)),
    )
    line = {"pass": "read", "model": "compatible:qwen3", "input_tokens": 400, "output_tokens": 30}
    values: dict[str, Any] = {
        "enrichment": "reviews",
        "store": ".inlay/store.db",
        "rows": None,
        "passes": (part,),
        "runs": (
            {"run_id": 2, "started_at": 1.7e9, "ended_at": 1.7e9 + 74, "outcome": "stopped: budget",
             "summary": make_report().summary},
            {"run_id": 1, "started_at": 1.7e9, "ended_at": None, "outcome": "", "summary": {}},
        ),
        "ledger": (
            {**line, "outcome": "answered", "attempts": 950, "cost_nusd": NANO // 4},
            {**line, "outcome": "timeout", "attempts": 4, "cost_nusd": NANO // 4, "model": "compatible:other"},
        ),
    }  # fmt: skip
    return Status(**{**values, **changes})


def drawn_status(capsys: pytest.CaptureFixture[str], status: Status) -> str:
    draw_status.draw(screen.Page(), status, enrichment(), "inlay.yaml")
    return capsys.readouterr().out


def test_status_shows_coverage_that_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_status(capsys, make_status())
    row = table(text, "pass")[0]
    assert row[:2] == ["read", "compatible:qwen3"]
    assert "99.0%" in row
    whole, *parts, stale = numbers(row)
    assert (whole, parts, stale) == (960, [950, 3, 5, 0, 2], 12)
    assert whole == sum(parts)


def test_tokens_without_a_price_are_not_shown_as_free(capsys: pytest.CaptureFixture[str]) -> None:
    status = make_status()
    part = dataclasses.replace(status.passes[0], priced=False)
    ledger = tuple({**line, "cost_nusd": 0} for line in status.ledger)
    text = drawn_status(capsys, make_status(passes=(part,), ledger=ledger, runs=()))
    assert text.count("price unknown") == 3
    assert "$" not in text[text.index("\nCost\n") :].replace("US dollars", "")


def test_status_shows_failures_without_obeying_them(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_status(capsys, make_status())
    assert "read: timeout 4, invalid_output 3, refused 1\n" in text
    assert "  k\\x1b[31m1: timeout: no answer\\nerror: forged\n" in text
    assert "  顧客２: refused: " + "x" * 159 + "…\n" in text
    assert "\x1b" not in text


def test_status_shows_costs_by_model_and_the_last_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn_status(capsys, make_status())
    rows = table(text[text.index("\nCost\n") :], "pass")
    assert rows == [
        ["read", "compatible:other", "4", "400", "30", "$0.2500"],
        ["read", "compatible:qwen3", "950", "400", "30", "$0.2500"],
        ["total", "954", "800", "60", "$0.5000"],
    ]
    runs = table(text[text.index("\nLast runs\n") :], "run")
    assert runs[0] == ["2", "2023-11-14 22:13:20 UTC", "stopped: budget", "958", "1,893", "$0.3333", "1 min 14 s"]
    assert runs[1] == ["1", "2023-11-14 22:13:20 UTC", "not ended", "–", "–", "–", "–"]


def test_status_before_the_first_run_says_where_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    part = PassStatus("read", "lexical:1", {}, {}, 0, 0.0, True, ())
    text = drawn_status(capsys, make_status(passes=(part,), runs=(), ledger=()))
    assert "no run has reached a row yet; next: inlay plan\n" in text
    assert "Cost" not in text


def test_markup_in_names_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    marked = make_plan(rows_source=1, source="[red]x[/red] :smile: https://x.y", missing={"[b]": 1})
    text = drawn_plan(capsys, marked)
    assert "[red]x[/red] :smile: https://x.y" in text
    assert "[b] 1 (100.0%)" in text


def test_bars_are_full_only_when_it_is_all() -> None:
    assert screen.bar(1.0, 4) == "████"
    assert screen.bar(0.999, 4) != "████"
    assert screen.bar(0.0, 4) == "····"
    assert len(screen.bar(0.37, 10)) == 10


def test_json_on_the_screen_is_valid_and_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    screen.print_json(make_status().to_json())
    text = capsys.readouterr().out
    assert json.loads(text)["passes"][0]["examples"][0][0] == "k\x1b[31m1"
    assert "\x1b" not in text
    assert "顧客２" in text
