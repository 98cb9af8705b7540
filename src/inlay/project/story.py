"""The fields of one cell told one by one: values, where they come from, their evidence in its text, and what they were.

What stays true: an evidence's place is looked up in the text that was sent for that answer, never in the row's present
text; a human's value stands before the model's, which is told beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from inlay.payload import decode_fields
from inlay.project.explanation import EarlierAnswer, FieldStory, Quote
from inlay.spec.model import PassSpec
from inlay.types import CellEvent, Correction, Evidence, FieldAnswer, StoredAnswer

# A sentence longer than this on one side of the quote is cut there (characters).
AROUND = 160
_END = re.compile(r"[.!?。！？؟।\n]+[\s”\"’')\]」』]*")


def fields(
    spec: PassSpec,
    answer: StoredAnswer | None,
    model: str,
    corrections: Mapping[str, Correction],
    sent: Mapping[str, tuple[str, str] | None],
) -> tuple[FieldStory, ...]:
    """Every field that is declared, answered or corrected, the declared ones first. `sent` is the answer's input."""
    answered = {} if answer is None else decode_fields(answer.payload)
    names = list(dict.fromkeys((*spec.fields, *answered, *corrections)))
    return tuple(_field(name, spec, answered.get(name), model, corrections.get(name), sent) for name in names)


def _field(
    name: str,
    spec: PassSpec,
    found: FieldAnswer | None,
    model: str,
    correction: Correction | None,
    sent: Mapping[str, tuple[str, str] | None],
) -> FieldStory:
    shown = found if correction is None else correction.answer
    quote = None if found is None or found.evidence is None else quoted(found.evidence, sent)
    return FieldStory(
        name=name,
        column=spec.column(name),
        value=None if shown is None else shown.value,
        null_reason=None if shown is None else shown.null_reason,
        source="" if shown is None else shown.source or f"model:{model}",
        declared=name in spec.fields,
        confidence=None if found is None else found.confidence,
        evidence=quote,
        problem=None if found is None else found.problem,
        given=None if found is None else found.value,
        given_null_reason=None if found is None else found.null_reason,
        note="" if correction is None else correction.note,
        author="" if correction is None else correction.author,
        corrected_at=None if correction is None else correction.at,
    )


def quoted(evidence: Evidence, sent: Mapping[str, tuple[str, str] | None]) -> Quote:
    """Evidence with the rest of its sentence."""
    form = None if evidence.source is None else sent.get(evidence.source)
    start, end = evidence.start, evidence.end
    if form is None or start is None or end is None:
        return Quote(evidence.quote, evidence.verified, evidence.source, start, end)
    text = form[1]
    before = text[max(0, start - AROUND) : start]
    ends = [match.end() for match in _END.finditer(before)]
    before = before[ends[-1] :] if ends else before if start <= AROUND else f"…{before}"
    after = text[end : end + AROUND]
    if text[start:end].endswith(("\n", "。")):
        after = ""
    elif (stop := _END.search(after)) is not None:
        after = after[: stop.end()].rstrip()
    elif end + AROUND < len(text):
        after += "…"
    return Quote(text[start:end], evidence.verified, evidence.source, start, end, before, after)


def earlier(
    present: StoredAnswer | None,
    history: Sequence[CellEvent],
    answers: Mapping[int, StoredAnswer],
    models: Mapping[int, str],
) -> tuple[EarlierAnswer, ...]:
    """The cell's earlier answers whose values differ from the present ones, newest first, each once."""
    now = {} if present is None else decode_fields(present.payload)
    out: list[EarlierAnswer] = []
    seen = set() if present is None else {present.answer_id}
    for event in reversed(history):
        answer = None if event.answer_id is None else answers.get(event.answer_id)
        if answer is None or answer.answer_id in seen:
            continue
        seen.add(answer.answer_id)
        was = decode_fields(answer.payload)
        differing = {
            name: (found.value, found.null_reason)
            for name, found in was.items()
            if name not in now or (found.value, found.null_reason) != (now[name].value, now[name].null_reason)
        }
        if differing:
            model = models.get(answer.recipe_id, "")
            out.append(EarlierAnswer(answer.created_at, model, answer.run_id, answer.state, differing))
    return tuple(out)
