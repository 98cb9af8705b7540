"""Charts as inline SVG: bars of shares, histograms, columns over runs.

What stays true: colours come from the style sheet by class, so that both schemes and print have theirs; a chart is
a picture with a sentence that says what it shows, and its figures stand in a table beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from inlay.reporting.facts import PARTS, Confidence, Distribution
from inlay.reporting.markup import plain_text
from inlay.reporting.words import short

_WIDTH = 320.0
_WIDEST = 56.0  # a column over runs: few of them do not fill the room


def share_bar(part: int, whole: int) -> Markup:
    """One bar that fills its share of the room; the figure stands beside it."""
    width = 0.0 if not whole else max(100 * part / whole, 0.6 if part else 0)
    return Markup(  # noqa: S704 (numbers of our own)
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="track" width="100" height="8"/><rect class="fill" width="{width:.2f}" height="8"/></svg>'
    )


def parts_bar(parts: Mapping[str, int], order: Sequence[str] = PARTS) -> Markup:
    """Shares of a whole after each other, each in the colour of its name; the figures stand beside it."""
    whole = sum(parts.get(name, 0) for name in order) or 1
    at, rects = 0.0, []
    for name in order:
        width = 100 * parts.get(name, 0) / whole
        if width:
            # A sliver stays visible; a hair's breadth of ground between neighbours tells them apart without colour.
            drawn = max(width - (0.35 if at + width < 99.9 else 0), 0.5)
            rects.append(f'<rect class="p-{name}" x="{at:.2f}" width="{drawn:.2f}" height="8"/>')
            at += width
    return Markup(  # noqa: S704 (numbers of our own)
        '<svg class="bar parts" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="track" width="100" height="8"/>{"".join(rects)}</svg>'
    )


def histogram(found: Distribution, name: str) -> Markup:
    """Bins beside each other with what they begin at below."""
    counts = [bar.count for bar in found.bars]
    if found.kind == "moments":
        labels, between = [bar.text for bar in found.bars], False
        told = f"from {found.first} to {found.last}"
    else:
        lows = [bar.low or 0.0 for bar in found.bars]
        between = bool(found.bars) and found.bars[0].high != found.bars[0].low
        ends = [found.bars[-1].high or 0.0] if between else []
        labels = [short(edge) for edge in (*lows, *ends)]
        told = f"from {short(found.low or 0)} to {short(found.high or 0)}, mean {short(found.mean or 0)}"
    return _columns([counts], ["fill"], labels, between, f"Histogram of {name}: {found.counted:,} values {told}", 104)


def confidence(found: Confidence, name: str) -> Markup:
    """Ten bins over 0 to 1."""
    labels = ["0", "", "", "", "", "0.5", "", "", "", "", "1"]
    told = f"Confidence of {name}: mean {found.mean:.2f} over {found.counted:,} values"
    return _columns([found.bins], ["sure"], labels, True, told, 62)


def over_runs(series: Sequence[Sequence[float]], classes: Sequence[str], runs: Sequence[int], told: str) -> Markup:
    """A column a run, the series on top of each other."""
    return _columns(series, classes, [f"#{run}" for run in runs], False, told, 96, _WIDEST)


def _columns(
    series: Sequence[Sequence[float]],
    classes: Sequence[str],
    labels: Sequence[str],
    between: bool,
    told: str,
    height: float,
    widest: float = _WIDTH,
) -> Markup:
    """Columns; `labels` stand below them or, `between`, below their edges: as many as there is room for."""
    number = len(series[0]) if series else 0
    if not number:
        return Markup("")
    tallest = max(sum(values) for values in zip(*series, strict=True)) or 1
    step = min(_WIDTH / number, widest)
    gap = min(3.0, step * 0.18)
    rects = []
    for place in range(number):
        base = height
        for values, kind in zip(series, classes, strict=True):
            size = height * values[place] / tallest
            if values[place]:
                size = max(size, 1.5)
                base -= size
                rects.append(
                    f'<rect class="{kind}" x="{place * step + gap / 2:.1f}" y="{base:.1f}" '
                    f'width="{step - gap:.1f}" height="{size:.1f}" rx="1"/>'
                )
    texts = "".join(_labels(labels, step, between, height))
    return Markup(  # noqa: S704 (numbers of our own, and escaped texts)
        f'<svg class="chart" viewBox="0 0 {_WIDTH:.0f} {height + 18:.0f}" role="img" '
        f'aria-label="{escape(plain_text(told))}">'
        f'<line class="axis" x1="0" x2="{number * step:.1f}" y1="{height}" y2="{height}"/>'
        f"{''.join(rects)}{texts}</svg>"
    )


def _labels(labels: Sequence[str], step: float, between: bool, height: float) -> list[str]:
    widest = max(map(len, labels), default=1) * 6.2 + 10
    every = max(1, -(-int(widest) // max(1, int(step))))
    end = (len(labels) - 1) * step if between else len(labels) * step
    out = []
    for place in range(0, len(labels), every):
        if not labels[place]:
            continue
        x = place * step if between else (place + 0.5) * step
        anchor = "middle"
        half = len(labels[place]) * 3.1
        if x < half:
            x, anchor = 0.0, "start"
        elif x + half > max(end, 1.0) and x + half > _WIDTH:
            x, anchor = min(max(x, end), _WIDTH), "end"
        out.append(f'<text x="{x:.1f}" y="{height + 14:.1f}" text-anchor="{anchor}">{escape(labels[place])}</text>')
    return out
