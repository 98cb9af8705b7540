"""Foreign text on a page."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from inlay.reporting.markup import foreign, plain_text, shown


def test_markup_is_text() -> None:
    assert shown("</script><img src=x onerror=1> & \"'") == (
        "&lt;/script&gt;&lt;img src=x onerror=1&gt; &amp; &#34;&#39;"
    )


def test_what_is_hidden_is_shown_and_what_scripts_need_stays() -> None:
    assert shown("a\u202eb") == 'a<span class="ctl">U+202E</span>b'
    assert shown("zero\u200bwidth") == 'zero<span class="ctl">U+200B</span>width'
    assert shown("half \ud83d pair") == 'half <span class="ctl">U+D83D</span> pair'
    assert plain_text("\x1b[31m\u2066") == "‹U+001B›[31m‹U+2066›"
    for text in (
        "می\u200cخواهم",
        "👩\u200d💻",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "tab\tline\n",
    ):
        assert shown(text) == text
    assert "U+E0041" in shown("hidden\U000e0041 tag")


@given(st.text())
def test_no_text_is_markup_or_unwritable(text: str) -> None:
    page = foreign(text)
    page.encode("utf-8")
    rest = re.sub(r'</?(?:bdi dir="auto"|bdi|span class="ctl"|span)>', "", page)
    assert "<" not in rest
    assert ">" not in rest
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b]", rest)
