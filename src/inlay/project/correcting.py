"""`correct` and `corrections`: human values in place of the model's, kept and listed.

What stays true: every fix is checked before any is kept, and all are kept in one transaction or none; nothing is asked
of a model; a correction that no longer fits the declaration or the source is said to, and kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any

from inlay.errors import SpecError
from inlay.payload import decode_fields
from inlay.project.corrected import Corrected, Corrections, Fix
from inlay.project.fixes import Fields, Values
from inlay.project.keys import no_such_row, shown_key, stored_key
from inlay.project.session import Session
from inlay.spec.model import PassSpec
from inlay.spec.problems import MAX_PROBLEMS, show_text
from inlay.tables.keys import missing_keys, nearest_keys
from inlay.tables.sql import connect
from inlay.types import Correction, FieldAnswer

# All of them are held in memory at once, and written in one transaction.
MAX_FIXES = 100_000
_SUGGESTED = 5  # missing keys that get suggestions: each is compared with every key of the source
_CHUNK = 500


def correct_rows(session: Session, fixes: Iterable[Fix]) -> Corrections:
    """Check and keep. See `inlay.project.correct`."""
    session.check()
    wanted = list(islice(iter(fixes), MAX_FIXES + 1))
    if len(wanted) > MAX_FIXES:
        raise SpecError(f"more than {MAX_FIXES:,} corrections at once", remedy="give them in several files")
    found, problems = _checked(session, wanted)
    _raise_any(wanted, problems)
    enrichment = session.enrichment
    in_force = {_place(one): one for one in _in_force(session, [one.key for one in found])}
    new = {_place(one): one for one in found if replace(in_force.get(_place(one), _NONE), at=0.0) != one}
    if new:
        session.store(write=True).correct(enrichment.name, list(new.values()))
    beside = zip(found, _beside(session, found, set()), strict=True)
    return Corrections(enrichment.name, [replace(line, new=_place(one) in new) for one, line in beside])


_NONE = Correction("", "", "", None)


def _place(correction: Correction) -> tuple[str, str, str]:
    return correction.pass_name, correction.key, correction.field


def _in_force(session: Session, keys: Iterable[str]) -> list[Correction]:
    asked = list(dict.fromkeys(keys))
    return session.store().corrections(session.enrichment.name, keys=asked) if asked else []


def _checked(session: Session, fixes: Sequence[Fix]) -> tuple[list[Correction], list[SpecError]]:
    """The corrections that the fixes are, and every mistake in them."""
    enrichment = session.enrichment
    fields, values = Fields(enrichment), Values()
    found: list[Correction] = []
    problems: list[SpecError] = []
    firsts: dict[tuple[str, str, str], tuple[Correction, Fix]] = {}
    places: dict[str, Fix] = {}
    for fix in fixes:
        shown = ""
        try:
            key = stored_key(enrichment, fix.key)
            shown = shown_key(enrichment, key)
            if fix.withdrawn:
                correction = _withdrawal(session, fields, key, fix)
            else:
                places.setdefault(key, fix)
                spec, field = fields.find(fix.field)
                value, reason = values.read(spec, field, fix)
                correction = Correction(spec.name, key, field, value, reason, fix.note, fix.author)
            first, where = firsts.setdefault(_place(correction), (correction, fix))
            if _said(first) != _said(correction):
                line = f" (before in line {where.line})" if where.line is not None else ""
                raise SpecError(f"{fix.field} is corrected twice, differently{line}", remedy="keep one of the two")
            found.append(correction)
        except SpecError as error:
            problems.append(_placed(error, fix, shown))
            if len(problems) >= MAX_PROBLEMS:
                break
    problems += _missing(session, places)
    return found, problems


def _said(correction: Correction) -> tuple[Any, ...]:
    return correction.value, correction.null_reason, correction.withdrawn


def _withdrawal(session: Session, fields: Fields, key: str, fix: Fix) -> Correction:
    """What takes a correction back, even one whose row or field is gone."""
    there = {f"{one.pass_name}.{one.field}": one for one in _in_force(session, [key])}
    meant = fields.meant(fix.field) or [path for path, one in there.items() if fix.field in (path, one.field)]
    found = [there[path] for path in meant if path in there]
    if len(found) == 1:
        return Correction(found[0].pass_name, key, found[0].field, None, None, fix.note, fix.author, withdrawn=True)
    if found:
        raise SpecError(f"`{fix.field}` is corrected in several passes", remedy=f"write one of: {', '.join(meant)}")
    listed = f"corrected are: {', '.join(there)}" if there else "no field of this row is corrected"
    raise SpecError(f"`{show_text(fix.field)}` has no correction that could be taken back", remedy=listed)


def _placed(error: SpecError, fix: Fix, key: str) -> SpecError:
    """A mistake with its key, file and line."""
    what = f"row {key}" if key else None
    return SpecError(error.message, file=fix.file, line=fix.line, key=what, remedy=error.remedy)


def _missing(session: Session, places: dict[str, Fix]) -> list[SpecError]:
    """Keys that the source does not have, the first few with those that are written most like them."""
    source = session.source
    columns = session.enrichment.source.key
    with closing(connect()) as con:
        gone = missing_keys(con, source, columns, places)
        ordered = [key for key in places if key in gone][:MAX_PROBLEMS]
        near = nearest_keys(con, source, columns, ordered[:_SUGGESTED]) if ordered else {}
    return [
        no_such_row(session.enrichment, key, near.get(key, ()), file=places[key].file, line=places[key].line)
        for key in ordered
    ]


def _raise_any(fixes: Sequence[Fix], problems: Sequence[SpecError]) -> None:
    """All mistakes as one error; nothing was kept."""
    if not problems:
        return
    shown = sorted(problems[:MAX_PROBLEMS], key=lambda problem: problem.line or 0)
    if len(shown) == 1:
        raise shown[0]
    many = f"{MAX_PROBLEMS} mistakes or more" if len(problems) >= MAX_PROBLEMS else f"{len(shown)} mistakes"
    file = next((fix.file for fix in fixes if fix.file), None)
    title = f"{file or 'the corrections'}: {many}, so nothing was kept:"
    raise SpecError(title, file=file, line=shown[0].line, problems=shown)


# --- listing


def list_corrections(session: Session, *, history: bool) -> Corrections:
    """Those in force, or all ever made. See `inlay.project.corrections`."""
    session.check()
    enrichment = session.enrichment
    found = session.store().corrections(enrichment.name, history=history)
    with closing(connect()) as con:
        gone = missing_keys(con, session.source, enrichment.source.key, {one.key for one in found})
    return Corrections(enrichment.name, list(_beside(session, found, gone)))


def _beside(session: Session, found: Sequence[Correction], gone: set[str]) -> Iterator[Corrected]:
    """Corrections beside the answers that they stand in for."""
    enrichment, store = session.enrichment, session.store()
    known = store.passes(enrichment.name)
    passes = {spec.name: spec for spec in session.passes}
    values = Values()
    models: dict[int, str] = {}
    for start in range(0, len(found), _CHUNK):
        part = found[start : start + _CHUNK]
        answers: dict[tuple[str, str], tuple[dict[str, FieldAnswer], str]] = {}
        for name in {one.pass_name for one in part} & known.keys():
            keys = sorted({one.key for one in part if one.pass_name == name})
            for key, cell in store.read_cells(known[name], keys).items():
                if cell.answer is None:
                    continue
                number = cell.answer.recipe_id
                if number not in models:
                    models[number] = json.loads(store.recipe(number))["model"]
                answers[name, key] = decode_fields(cell.answer.payload), models[number]
        for one in part:
            fields, model = answers.get((one.pass_name, one.key), ({}, ""))
            given = fields.get(one.field)
            spec = passes.get(one.pass_name)
            yield Corrected(
                key=shown_key(enrichment, one.key),
                pass_name=one.pass_name,
                field=one.field,
                column=one.field if spec is None else spec.column(one.field),
                value=one.value,
                null_reason=one.null_reason,
                note=one.note,
                author=one.author,
                withdrawn=one.withdrawn,
                at=one.at,
                given=None if given is None else given.value,
                given_null_reason=None if given is None else given.null_reason,
                given_by="" if given is None else given.source or f"model:{model}",
                problem=_problem(one, spec, values, gone),
                read_by=tuple(other.name for other in session.passes if (one.pass_name, one.field) in other.upstream),
            )


def _problem(one: Correction, spec: PassSpec | None, values: Values, gone: set[str]) -> str:
    """Why a correction does not fit any more."""
    if spec is None:
        return f"there is no pass {one.pass_name} any more"
    if one.field not in spec.fields:
        return f"pass {one.pass_name} has no field {one.field} any more"
    if one.key in gone:
        return "the source has no such row any more"
    return "" if one.withdrawn else values.problem(spec, one.field, one.value)
