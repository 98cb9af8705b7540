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

from inlay.errors import SpecError
from inlay.payload import decode_fields
from inlay.project.corrected import Corrected, Corrections, Fix
from inlay.project.fixes import Values, find_field
from inlay.project.keys import no_such_row, shown_key, stored_key
from inlay.project.session import Session
from inlay.spec.model import PassSpec
from inlay.spec.problems import MAX_PROBLEMS
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
    keys = list(dict.fromkeys(correction.key for correction in found))
    in_force = {_place(one): one for one in session.store().corrections(enrichment.name, keys=keys)} if keys else {}
    for fix, correction in zip(wanted, found, strict=True):
        if correction.withdrawn and _place(correction) not in in_force:
            message = f"{_what(session, correction)} has no correction that could be withdrawn"
            problems.append(SpecError(message, file=fix.file, line=fix.line, remedy="`inlay corrections` lists them"))
    _raise_any(wanted, problems)
    new = [one for one in found if replace(in_force.get(_place(one), _NONE), at=0.0) != one]
    if new:
        session.store(write=True).correct(enrichment.name, new)
    changed = {_place(one) for one in new}
    lines = [
        replace(line, new=(line.pass_name, line.key, line.field) in _shown_places(session, changed))
        for line in _beside(session, found, set())
    ]
    return Corrections(enrichment.name, lines)


_NONE = Correction("", "", "", None)


def _shown_places(session: Session, places: Iterable[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    return {(name, shown_key(session.enrichment, key), field) for name, key, field in places}


def _place(correction: Correction) -> tuple[str, str, str]:
    return correction.pass_name, correction.key, correction.field


def _what(session: Session, correction: Correction) -> str:
    return f"{correction.pass_name}.{correction.field} of row {shown_key(session.enrichment, correction.key)!r}"


def _checked(session: Session, fixes: Sequence[Fix]) -> tuple[list[Correction], list[SpecError]]:
    """The corrections that the fixes are, and every mistake in them."""
    enrichment = session.enrichment
    values = Values()
    found: list[Correction] = []
    problems: list[SpecError] = []
    firsts: dict[tuple[str, str, str], tuple[Correction, Fix]] = {}
    places: dict[str, Fix] = {}
    for fix in fixes:
        shown = ""
        try:
            key = stored_key(enrichment, fix.key)
            shown = shown_key(enrichment, key)
            places.setdefault(key, fix)
            spec, field = find_field(enrichment, fix.field)
            value, reason = (None, None) if fix.withdrawn else values.read(spec, field, fix)
            correction = Correction(spec.name, key, field, value, reason, fix.note, fix.author, fix.withdrawn)
            first, where = firsts.setdefault(_place(correction), (correction, fix))
            if (first.value, first.null_reason, first.withdrawn) != (value, reason, fix.withdrawn):
                line = f" (before in line {where.line})" if where.line is not None else ""
                raise SpecError(f"{field} is corrected twice, differently{line}", remedy="keep one of the two")
            found.append(correction)
        except SpecError as error:
            problems.append(_placed(error, fix, shown))
            if len(problems) >= MAX_PROBLEMS:
                break
    problems += _missing(session, places)
    return found, problems


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
                column=one.field if spec is None else f"{spec.prefix}{one.field}",
                value=one.value,
                null_reason=one.null_reason,
                note=one.note,
                author=one.author,
                withdrawn=one.withdrawn,
                at=one.at,
                given=None if given is None else given.value,
                given_null_reason=None if given is None else given.null_reason,
                given_by="" if given is None else given.source or model,
                problem=_problem(one, spec, values, gone),
                read_by=tuple(other.name for other in session.passes if (one.pass_name, one.field) in other.upstream),
            )


def _problem(one: Correction, spec: PassSpec | None, values: Values, gone: set[str]) -> str:
    """Why a correction has no effect any more."""
    if spec is None:
        return f"there is no pass {one.pass_name} any more"
    if one.field not in spec.fields:
        return f"pass {one.pass_name} has no field {one.field} any more"
    if one.key in gone:
        return "the source has no such row any more"
    return "" if one.withdrawn else values.problem(spec, one.field, one.value)
