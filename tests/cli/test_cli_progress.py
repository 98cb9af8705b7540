"""A run while it is going: rates from counters, plain lines without a terminal, redrawn lines on one."""

from __future__ import annotations

import errno
import io
import sys
import threading
from collections import Counter
from typing import Any

import pytest

from inlay.cli import progress
from inlay.engine.tally import PassTally, Tally
from inlay.planning.plan import Plan
from inlay.project.running import Gauges
from inlay.types import NANO, Budget


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_gauges(budget: Budget | None = None, before: int = 0) -> Gauges:
    plan = Plan("reviews", "x.csv", 200, 200, 200, 200, {}, (), None, None)
    tally = Tally([PassTally("read", planned=200), PassTally("judge", planned=200)], rows_planned=200)
    return Gauges(tally, plan, budget, before, lambda: 17)


def test_rates_and_what_is_to_go_follow_the_last_seconds() -> None:
    gauges, clock = make_gauges(), Clock()
    meter = progress.Meter(gauges, clock)
    clock.now += 10
    gauges.tally.passes[0].done, gauges.tally.calls = 100, 100
    first = meter.read()
    assert (first.calls_per_second, first.eta_s) == (10.0, 30.0)
    # It slows down to one a second: after a while only that counts.
    for _ in range(20):
        clock.now += 1
        gauges.tally.passes[0].done += 1
        gauges.tally.calls += 1
        last = meter.read()
    assert last.calls_per_second == pytest.approx(1.0)
    assert last.eta_s == pytest.approx(400 - 120)
    assert last.seconds == 30.0


def test_nobody_can_say_how_long_before_anything_is_done() -> None:
    gauges, clock = make_gauges(), Clock()
    meter = progress.Meter(gauges, clock)
    clock.now += 1
    moment = meter.read()
    assert moment.eta_s is None
    assert "to go" not in progress.line(moment)
    assert "budget" not in progress.line(moment)


def test_what_is_left_of_the_budget_counts_what_earlier_runs_spent() -> None:
    gauges, clock = make_gauges(Budget(5 * NANO, "day"), before=3 * NANO), Clock()
    gauges.tally.cost_nusd = NANO // 2
    assert progress.Meter(gauges, clock).read().budget_left_usd == 1.5
    gauges.tally.cost_nusd = 9 * NANO
    assert progress.Meter(gauges, clock).read().budget_left_usd == 0


def test_a_plain_line_says_it_all() -> None:
    gauges, clock = make_gauges(Budget(5 * NANO)), Clock()
    meter = progress.Meter(gauges, clock)
    tally = gauges.tally
    tally.rows_done, tally.calls, tally.cost_nusd, tally.waiting_for_others = 90, 105, NANO // 4, 2
    tally.passes[0].done, tally.passes[0].partial = 90, 1
    tally.passes[0].failed["timeout"], tally.passes[1].failed["timeout"], tally.passes[1].failed["refused"] = 4, 3, 2
    tally.retries = Counter(rate_limited=6)
    clock.now += 20
    assert progress.line(meter.read()) == (
        "20 s: 90 of 200 rows, 100 of 400 cells, 105 calls, 5.2/s, 17 in flight, $0.2500, $4.75 of the budget left, "
        "1 min 00 s to go, failed 9 (timeout 7, refused 2), partial 1, asked again 6 (rate_limited 6), "
        "waiting for another runner: 2"
    )


class Heard(io.StringIO):
    """A stream that is no terminal and says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def flush(self) -> None:
        self.heard.set()


def test_lines_are_written_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Heard()
    monkeypatch.setattr(sys, "stderr", stream)
    shown = progress.Progress(every_s=0.01)
    shown.watch(make_gauges())
    assert stream.heard.wait(30)
    shown.close()
    shown.close()
    assert "0 of 200 rows, 0 of 400 cells" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    shown = progress.Progress(quiet=True, every_s=0.001)
    shown.watch(make_gauges())
    shown.say("a word")
    assert shown.in_flight == 17
    shown.close()
    assert capsys.readouterr() == ("", "")


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "gone")


def test_a_reader_that_left_ends_the_display_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = progress.Progress(every_s=0.001)
    monkeypatch.setattr(sys, "stderr", Broken())
    shown.watch(make_gauges())
    shown.say("a word")
    thread = shown._thread
    assert thread is not None
    thread.join(30)
    assert not thread.is_alive()
    shown.close()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch, **env: str) -> str:
    stream: Any = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", **env}.items():
        monkeypatch.setenv(name, value)
    shown = progress.Progress()
    shown.watch(make_gauges(Budget(NANO)))
    shown.say("key \x1b[2J said so")
    shown.close()
    return stream.getvalue()


def test_a_terminal_shows_lines_that_are_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn_on_a_terminal(monkeypatch)
    assert "rows 0/200" in text
    assert "$1.00 of the budget left" in text
    assert "\x1b[2K" in text, "the lines are wiped when it ends"
    assert "\\x1b[2J said so" in text
    assert "\x1b[2J" not in text


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    text = drawn_on_a_terminal(monkeypatch, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*m", text.replace("\x1b[0m", ""))


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn_on_a_terminal(monkeypatch, TERM="dumb")
    assert text == "key \\x1b[2J said so\n"
