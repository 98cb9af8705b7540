"""The page as people meet it: drawn by Chromium in both schemes, on a phone, on paper, with hostile text in it."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from inlay import project
from inlay.testing import Simulator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium

HOSTILE = (
    '</script><img src=x onerror="window.ran=1"><script>window.ran=1;alert(1)</script>',
    "<svg onload=window.ran=1> {{ 7*7 }} {% raw %} ${7*7} <!-- ",
    "invoice \u202egnp.exe\u202c zero\u200bwidth \u2066isolated \u2067never closed",
    "العربية: خدمة ممتازة <b>جدا</b> 123 hotel",
    'javascript:alert(1) " onmouseover="window.ran=1" x="\'></td></table>',
    "</title></style><style>body{display:none}</style>",
)
AXE = "axe_playwright_python"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, place_kind: Any) -> Path:
    """A report over hostile texts, failures, two runs, and a cell of a megabyte."""
    with Simulator(null_share=0.2) as sim:
        place = place_kind(tmp_path_factory.mktemp("report"), sim.endpoint)
        texts = [(f"r{index:02}<i>", f"{HOSTILE[index % 6]} ({index})") for index in range(24)]
        texts.append(("long", "a word " * 150_000))
        place.rows(texts)
        place.run()
        sim.control(faults=[{"fault": "wrong_schema", "record": "7\\*7"}, {"fault": "refusal", "record": "invoice"}])
        place.rows([(key, f"{text} edited") for key, text in texts[:20]] + texts[20:])
        place.run(limit=18)
    return project.write_report(place.declaration)


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    """Chromium, started once the report is there: its driver keeps an event loop of its own in this thread."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-quic"]
        )
        yield running
        running.close()


class Visit:
    """One look at the report: its page, and what it asked for, said or tried meanwhile."""

    def __init__(self, browser: Browser, report: Path, *, width: int = 1280, **context: Any) -> None:
        self._context = browser.new_context(viewport={"width": width, "height": 900}, **context)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(180_000)  # a busy machine is no failure
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss()))
        self.page.goto(report.as_uri())

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *details: object) -> None:
        self._context.close()

    def open_all(self) -> None:
        self.page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true })")

    def style(self, selector: str, name: str) -> str:
        return self.page.evaluate("([s, n]) => getComputedStyle(document.querySelector(s))[n]", [selector, name])


def test_it_says_what_it_must(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        page = visit.page
        assert page.title() == "reviews · Inlay report"
        assert page.inner_text("h1") == "reviews"
        assert page.locator("h2").all_inner_texts() == [
            "Coverage",
            "Fields",
            "Rows to look at",
            "Failures",
            "What the last run changed",
            "Cost and runs",
        ]
        tiles = page.inner_text("#figures")
        assert "Rows\n25" in tiles
        assert "$" in tiles
        assert page.locator(".card").count() >= 10
        assert page.locator("svg.chart").count() > 8
        assert page.locator("#failures tbody tr").count() >= 2
        assert "reword the prompt" in page.inner_text("#failures")
        assert page.locator("#changes tbody tr").count() > 2
        assert page.locator("#cost tbody tr").count() == 5  # two runs, two passes and their sum


def test_each_line_of_coverage_adds_up(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        for row in visit.page.locator("#coverage .scroll").nth(1).locator("tbody tr:not(.group)").all():
            numbers = [int(text) for text in row.locator("td.num").all_inner_texts() if text.isdigit()]
            assert sum(numbers) == 25, row.inner_text()


def test_nothing_is_asked_of_any_network_and_nothing_is_complained_about(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.open_all()
        visit.page.wait_for_load_state("networkidle")
        assert visit.requests == [report.as_uri()]
        assert visit.said == []


def test_hostile_text_is_text(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.open_all()
        page = visit.page
        assert page.evaluate("() => window.ran") is None
        assert (
            page.locator(
                "script, img, iframe, object, link, main style, main svg[onload], .record b, .sample td b"
            ).count()
            == 0
        )
        text = page.inner_text("main")
        assert "<img src=x onerror=" in text
        assert "{{ 7*7 }}" in text
        assert "r00<i>" in text
        assert "U+202E" in text
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", text)
        assert visit.style("body", "display") == "block"
        assert visit.said == []


def test_arabic_reads_from_right_to_left_and_leaves_its_neighbours_alone(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.open_all()
        arabic = visit.page.locator(".record dd", has_text="العربية").first
        assert arabic.evaluate("one => getComputedStyle(one).direction") == "rtl"
        english = visit.page.locator(".record dd", has_text="javascript:").first
        assert english.evaluate("one => getComputedStyle(one).direction") == "ltr"


def test_both_schemes_have_colours_of_their_own(browser: Browser, report: Path) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with Visit(browser, report, color_scheme=scheme) as visit:
            seen[scheme] = [
                visit.style("body", "backgroundColor"),
                visit.style("body", "color"),
                visit.style("mark", "backgroundColor"),
                visit.style("svg .p-value", "fill"),
            ]
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


@pytest.mark.parametrize(("scheme", "width"), [("light", 360), ("dark", 1280)])
def test_axe_finds_nothing(browser: Browser, report: Path, scheme: str, width: int) -> None:
    axe = Path(importlib.util.find_spec(AXE).origin or "").with_name("axe.min.js")  # type: ignore[union-attr]
    # The page's own policy would keep axe out.
    with Visit(browser, report, color_scheme=scheme, width=width, bypass_csp=True) as visit:
        visit.open_all()
        visit.page.add_script_tag(content=axe.read_text(encoding="utf-8"))
        found = visit.page.evaluate("async () => await axe.run(document, {resultTypes: ['violations']})")
        assert len(found["passes"]) > 10
        assert [
            (one["id"], one["help"], [node["target"] for node in one["nodes"][:3]]) for one in found["violations"]
        ] == []


@pytest.mark.parametrize("width", [320, 360, 768])
def test_the_page_does_not_scroll_sideways(browser: Browser, report: Path, width: int) -> None:
    with Visit(browser, report, width=width) as visit:
        visit.open_all()
        assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= width
        if width < 700:
            wide = visit.page.locator("#coverage .scroll").nth(1)
            assert wide.evaluate("one => one.scrollWidth > one.clientWidth"), "a wide table scrolls by itself"


def test_a_number_leads_to_its_quote_by_keyboard_too(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        visit.open_all()
        link = visit.page.locator(".sample a[href^='#s']").first
        target = (link.get_attribute("href") or "")[1:]
        link.focus()
        visit.page.keyboard.press("Enter")
        assert visit.page.evaluate("() => document.querySelector(':target').id") == target
        assert visit.page.locator("mark:has(:target)").count() == 1
        for one in visit.page.locator(".sample a[href^='#s']").all():
            assert visit.page.locator(f"[id='{(one.get_attribute('href') or '')[1:]}']").count() == 1


def test_samples_fold_by_keyboard(browser: Browser, report: Path) -> None:
    with Visit(browser, report) as visit:
        sample = visit.page.locator("details.sample").nth(3)
        assert not sample.evaluate("one => one.open")
        sample.locator("> summary").focus()
        visit.page.keyboard.press("Enter")
        assert sample.evaluate("one => one.open")


def test_on_paper_it_is_light_and_unfolded(browser: Browser, report: Path) -> None:
    with Visit(browser, report, color_scheme="dark") as visit:
        visit.page.emulate_media(media="print", color_scheme="dark")
        assert visit.style("body", "backgroundColor") == "rgb(255, 255, 255)"
        assert visit.style("nav", "display") == "none"
        folded = visit.page.locator("details.sample").nth(3)
        assert not folded.evaluate("one => one.open")
        assert folded.evaluate("one => one.querySelector('.record').getBoundingClientRect().height") > 20


def test_a_megabyte_of_text_is_a_short_excerpt(browser: Browser, report: Path) -> None:
    assert report.stat().st_size < 600_000
    with Visit(browser, report) as visit:
        visit.open_all()
        for text in visit.page.locator(".record dd").all_inner_texts():
            assert len(text) < 3_000
