"""The page of a report: one HTML file that needs nothing else.

What stays true: no script, no address, nothing to load: the page's own policy forbids all but its one style sheet, by
that sheet's hash. Foreign text goes through `markup`; the size is bounded by showing less, never by cutting markup.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from inlay.reporting import charts, words
from inlay.reporting.facts import PARTS, Facts, Pass, is_local, part_of
from inlay.reporting.markup import foreign, plain_text, shown

MOST_BYTES = 600_000
# What is shown at most, from plenty to little: samples, bars of a field, characters of a description, fields.
_DETAIL = (
    (50, 20, 400, 10_000),
    (12, 20, 240, 10_000),
    (12, 10, 120, 10_000),
    (6, 6, 80, 10_000),
    (3, 3, 0, 300),
    (0, 3, 0, 100),
    (0, 3, 0, 0),
)

PART_WORDS = {
    "value": "value",
    "null": "null, with a reason",
    "failed": "failed",
    "waiting": "waiting",
    "not_selected": "not selected",
}
STATE_WORDS = {"input_changed": "text changed", "in_flight": "under way", "not_selected": "not selected"}
_STATE_ORDER = ("done", "partial", "failed", "skipped", "in_flight", "pending", "input_changed", "not_selected")
_FAVOURED = ("human", "original", "rule", "model", "default")


def render(facts: Facts) -> str:
    """The page as HTML, at most MOST_BYTES in UTF-8."""
    html = ""
    for samples, bars, description, cards in _DETAIL:
        html = _render(_less(facts, samples, bars, description), cards)
        if len(html.encode()) <= MOST_BYTES:
            break
    return html


def _less(facts: Facts, samples: int, bars: int, description: int) -> Facts:
    """The same facts with no more than this of what there may be much of."""
    passes = []
    for part in facts.passes:
        fields = []
        for field in part.fields:
            found = tuple(
                one
                if one.kind != "values" or len(one.bars) <= bars
                else replace(one, bars=one.bars[:bars], others=one.others + sum(bar.count for bar in one.bars[bars:]))
                for one in field.distributions
            )
            text = field.description
            text = text if len(text) <= description else f"{text[: description - 1]}…" if description else ""
            fields.append(replace(field, distributions=found, description=text))
        passes.append(replace(part, fields=tuple(fields)))
    return replace(facts, passes=tuple(passes), samples=facts.samples[:samples])


def _render(facts: Facts, cards: int) -> str:
    style = _file("report.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    states = [name for name in _STATE_ORDER if any(part.states.get(name) for part in facts.passes)]
    others = sorted({name for part in facts.passes for name in part.states} - set(_STATE_ORDER))
    return (
        _template()
        .render(
            facts=facts,
            style=Markup(style),  # noqa: S704 (our own file)
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            states=[*states, *others],
            parts=[name for name in PARTS if any(f.parts[name] for part in facts.passes for f in part.fields)],
            cards=cards,
            sources=_sources(facts),
            models=_models(facts.passes),
            runs=facts.runs[::-1],
            confident=any(f.confidence for part in facts.passes for f in part.fields),
            quoted=facts.totals.evidence_found + facts.totals.evidence_missed,
        )
        .lstrip()
    )


def _models(passes: tuple[Pass, ...]) -> dict[str, tuple[bool, list[str]]]:
    """Model to whether it is local, and the passes in which it has answered."""
    out: dict[str, tuple[bool, list[str]]] = {}
    for part in passes:
        for model in part.models:
            out.setdefault(model, (is_local(model), []))[1].append(part.name)
    return out


def _sources(facts: Facts) -> dict[str, int]:
    """Values by where they come from: people first, then the source's own, rules, models and defaults."""
    sums: dict[str, int] = {}
    for part in facts.passes:
        for field in part.fields:
            for name, count in field.sources.items():
                sums[name] = sums.get(name, 0) + count

    def order(name: str) -> tuple[int, int, str]:
        kind = name.partition(":")[0]
        return (_FAVOURED.index(kind) if kind in _FAVOURED else len(_FAVOURED), -sums[name], name)

    return {name: sums[name] for name in sorted(sums, key=order)}


def _file(name: str) -> str:
    return resources.files("inlay.reporting").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    env = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters.update(
        shown=shown,
        foreign=foreign,
        plain=plain_text,
        count=words.count,
        dollars=words.dollars,
        duration=words.duration,
        when=words.when,
        short=words.short,
        spaced=lambda name: STATE_WORDS.get(name, name.replace("_", " ")),
        source=_source_words,
        coded=_coded,
        value=_value,
    )
    env.globals.update(
        counted=words.counted,
        percent=_percent,
        bad_reasons=("failed", "invalid", "refused", "skipped"),
        share_bar=charts.share_bar,
        parts_bar=charts.parts_bar,
        histogram=charts.histogram,
        confidence_chart=charts.confidence,
        over_runs=charts.over_runs,
        part_words=PART_WORDS,
        state_parts=_state_parts,
    )
    return env.from_string(_file("report.html"))


def _percent(part: float, whole: float) -> str:
    return words.percent(part, whole).replace(".0%", "%")


def _state_parts(states: Mapping[str, int]) -> dict[str, int]:
    """The states of a pass's cells in the colours of the parts of a field."""
    out: dict[str, int] = dict.fromkeys(PARTS, 0)
    for state, count in states.items():
        out["value" if state == "done" else part_of(state)] += count
    return out


def _coded(sentence: str) -> Markup:
    """A sentence of ours with what stands between backticks as code."""
    parts = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _source_words(name: str) -> str:
    kind, mark, model = name.partition(":")
    if kind == "model" and mark:
        return f"{model} (word matcher, no model)" if is_local(model) else model
    return {
        "human": "corrected by hand",
        "original": "already in the source",
        "rule": "rule",
        "default": "default of the declaration",
    }.get(name, name)


def _value(value: Any) -> Markup:
    """A JSON-shaped value: texts as they are, lists as items beside each other, objects by name."""
    if isinstance(value, bool):
        return escape(str(value).lower())
    if isinstance(value, int | float):
        return Markup("{}").format(f"{value:,}" if isinstance(value, int) else f"{value:,.10g}")
    if isinstance(value, list):
        if not value:
            return Markup('<span class="soft">none</span>')
        return Markup(" ").join(Markup('<span class="item">{}</span>').format(_value(part)) for part in value)
    if isinstance(value, dict):
        return Markup(", ").join(
            Markup("{}: {}").format(shown(str(name)), _value(part)) for name, part in value.items()
        )
    if value is None:
        return Markup('<span class="soft">null</span>')
    return foreign(str(value))
