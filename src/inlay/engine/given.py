"""What people wrote down in place of an answer, made to fit its field: what rules give a row, and fixed values.

What stays true: a value of a row that does not fit its field is not given, and the model is asked for it; a fixed
value of the declaration that does not fit is refused before anything is paid; the same text always reads the same; a
captured text is its own evidence, where the field wants some.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from inlay.engine.coerce import compile_field
from inlay.engine.scalars import Unfit
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment
from inlay.spec.problems import Problems, show_value
from inlay.types import Evidence, FieldAnswer, NullReason

RULE = "rule"
# Many rows are given the same; texts with captures are mostly their own.
_REMEMBERED = 4_096


def located(answer: FieldAnswer, texts: Mapping[str, str]) -> FieldAnswer:
    """The answer with the span of its evidence in the record's texts (input name to text), where it stands there."""
    quote = answer.evidence
    start = -1 if quote is None or quote.source is None else texts.get(quote.source, "").find(quote.quote)
    if quote is None or start < 0:
        return answer
    return replace(answer, evidence=replace(quote, start=start, end=start + len(quote.quote)))


class Given:
    """Reads the texts of `tables.rules` for one pass."""

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        self._fields = fields
        self._parts = {name: compile_field(name, spec) for name, spec in fields.items()}
        self._seen: dict[str, Mapping[str, FieldAnswer]] = {}

    def read(self, text: str) -> Mapping[str, FieldAnswer]:
        """Field to answer, for the fields that a rule gives and whose value fits. Not to be changed."""
        found = self._seen.get(text)
        if found is None:
            found = self._read(text)
            if len(self._seen) >= _REMEMBERED:
                self._seen.clear()
            self._seen[text] = found
        return found

    def _read(self, text: str) -> Mapping[str, FieldAnswer]:
        out: dict[str, FieldAnswer] = {}
        for name, piece in orjson.loads(text).items():
            try:
                out[name] = self._answer(name, piece)
            except Unfit:
                continue
        return out

    def _answer(self, name: str, piece: Mapping[str, Any]) -> FieldAnswer:
        if "n" in piece:
            return FieldAnswer(None, NullReason(piece["n"]), source=RULE)
        if "m" not in piece:  # written down by people: `none` is the word, not a null
            return FieldAnswer(self._parts[name].read(piece["v"]), source=RULE)
        value, reason = self._parts[name].settle(piece["v"])
        evidence = Evidence(piece["m"], True, piece["c"]) if self._fields[name].evidence else None
        return FieldAnswer(value, reason, evidence=evidence, source=RULE)


def settled(enrichment: Enrichment) -> Enrichment:
    """The declaration with its fixed values (`default` of fields) in the form that its fields want.

    Raises SpecError with every one, and every value in `set` of a rule, that does not fit its field.
    """
    problems = Problems(enrichment.file)
    problems.lines = enrichment.lines
    passes = []
    for index, spec in enumerate(enrichment.passes):
        fields = dict(spec.fields)
        for name, field in spec.fields.items():
            if field.default is not None:
                value = _fitting(name, field, field.default, f"passes[{index}].fields.{name}.default", problems)
                fields[name] = field.model_copy(update={"default": value})
        for number, rule in enumerate(spec.rules):
            for name, value in rule.set.items() if rule.lookup is None else ():
                if value is not None:
                    place = f"passes[{index}].rules[{number}].set.{name}"
                    _fitting(name, spec.fields[name], value, place, problems)
        passes.append(spec.model_copy(update={"fields": fields}))
    problems.raise_any()
    return enrichment.model_copy(update={"passes": tuple(passes)})


def _fitting(name: str, field: FieldSpec, value: Any, key: str, problems: Problems) -> Any:
    if key.endswith(".default") and field.type == "enum" and isinstance(value, str):
        return value  # published where there is no answer: a word that the model could not choose
    try:
        return compile_field(name, field).read(value)
    except Unfit as unfit:
        remedy = f"its values are: {', '.join(field.values[:20])}" if field.values else ""
        said = str(unfit)
        message = f"{show_value(value)} {said}" if said.startswith(("is ", "has ")) else said
        problems.add(f"the value does not fit the field: {message}", problems.known_key(key), remedy=remedy)
        return None
