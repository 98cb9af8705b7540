"""`store warm`: answers that somebody has already, taken over so that nobody pays for them.

    inlay store warm old_predictions.csv --field nationality=llm_nationality --confidence nationality=llm_confidence

A table or file gives values by row key; each becomes the answer to what the row says now. What stays true: a cell that
has an answer is left alone; a value is held to its field as a model's answer is, and one that does not fit is counted,
shown and left out; the answers say where they came from (`warm:NAME`) wherever they appear, cost nothing, and are
written in transactions of a few hundred, so that the same command, typed again, goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from inlay.contracts import Source
from inlay.engine.coerce import Part, compile_field
from inlay.engine.passwork import PassWork
from inlay.engine.rows import Cells
from inlay.engine.scalars import Unfit
from inlay.engine.work import Row, Target
from inlay.errors import PlanError, SpecError
from inlay.fingerprint_sql import key_sql, quote_ident, value_sql
from inlay.payload import encode_fields, values_hash
from inlay.planning.planner import PlannedRow
from inlay.project.keys import shown_key
from inlay.project.places import address_of
from inlay.project.session import Session
from inlay.spec.model import PassSpec, SourceSpec
from inlay.spec.problems import suggest
from inlay.stores.liveness import new_runner
from inlay.tables.databases import DatabaseSource
from inlay.tables.files import FileSource
from inlay.tables.sql import connect, translate
from inlay.types import CellState, FieldAnswer, NewAnswer, NullReason, Reason, Settlement

if TYPE_CHECKING:
    import duckdb

EVERY_ROW = 2**53
GROUP = 200
EXAMPLES = 5
NOT_GIVEN = "not among what was taken over"
_OPEN = (Reason.NEW, Reason.RETRY)


@dataclass(frozen=True, slots=True)
class Warmth:
    """Where answers come from and what is what: `fields` and `confidences` map a field to a column of it.

    Exactly one of `file` and `table` (of the source's database, or of `output.connection`'s). `named` stands behind
    `warm:` (left out: the file's or table's name).
    """

    fields: Mapping[str, str]
    file: Path | None = None
    table: str | None = None
    confidences: Mapping[str, str] = field(default_factory=dict)
    pass_name: str | None = None
    named: str | None = None


@dataclass(slots=True)
class Warmed:
    """What was taken over. `rows` are in the file; of the cells that need an answer `warmed` got one (`partial` of them
    not in every field), `unfit` had a value that does not fit, `empty` none, `absent` no line of the file. `answered`
    cells had one already, or get it from a rule."""

    rows: int = 0
    warmed: int = 0
    partial: int = 0
    unfit: int = 0
    empty: int = 0
    absent: int = 0
    answered: int = 0
    dry_run: bool = False
    examples: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)


def warm_cells(session: Session, given: Warmth, *, dry_run: bool) -> Warmed:
    """Take them over. See `inlay.project.warm`."""
    spec = _pass_of(session, given)
    source = _source(session, given)
    columns = _checked(session, spec, given, source)
    refs = session.refs() if dry_run else session.register()
    rules = session.rules(refs, frozenset())
    works = session.works(refs, rules)
    work = next(work for work in works if work.name == spec.name)
    named = f"warm:{given.named or (given.file.stem if given.file is not None else given.table)}"
    counts = Warmed(dry_run=dry_run)
    with closing(connect()) as con:
        counts.rows = _load(con, source, session.enrichment.source.key, columns)
        taker = _Taker(session, works, work, given, columns, named, counts)
        with closing(session.planner(refs, rules, limit=EVERY_ROW)) as planner:
            reasons = planner.plan.passes[work.index].reasons
            counts.answered = sum(count for reason, count in reasons.items() if reason not in _OPEN)
            with nullcontext() if dry_run else _Writer(session, counts) as writer:
                for batch in planner.rows(GROUP):
                    settlements = taker.take(batch, _values(con, columns, [row.key for row in batch]))
                    if writer is not None:
                        writer.commit(settlements)
    return counts


# --- what is what


def _pass_of(session: Session, given: Warmth) -> PassSpec:
    if not given.fields:
        raise SpecError(
            "no field is named that answers are taken over for", key="--field", remedy="--field NAME=COLUMN"
        )
    names = [spec.name for spec in session.passes]
    if given.pass_name is not None and given.pass_name not in names:
        raise SpecError(f"there is no pass {given.pass_name!r}", key="--pass", remedy=suggest(given.pass_name, names))
    fitting = [
        spec
        for spec in session.passes
        if given.pass_name in (None, spec.name) and all(name in spec.fields for name in given.fields)
    ]
    if len(fitting) != 1:
        known = ", ".join(f"{spec.name}.{name}" for spec in session.passes for name in spec.fields)
        what = "stand in several passes" if fitting else "are not fields of one pass"
        raise SpecError(
            f"{', '.join(given.fields)} {what}", key="--field", remedy=f"name one pass by --pass; fields are: {known}"
        )
    (spec,) = fitting
    if spec.upstream:
        raise SpecError(
            f"pass {spec.name} reads the answers of earlier passes, so what it was asked is not in the rows alone",
            key="--pass",
            remedy="warm the earlier passes; this one is asked for once they are answered",
        )
    for name in given.confidences:
        if name not in given.fields or not spec.fields[name].confidence:
            raise SpecError(
                f"{name} takes no confidence", key="--confidence", remedy="name a field that is warmed and asks for it"
            )
    return spec


def _source(session: Session, given: Warmth) -> Source:
    """The file or table as a source with the declaration's key."""
    enrichment = session.enrichment
    key = enrichment.source.key
    if (given.file is None) == (given.table is None):
        raise SpecError("name a file or a table", remedy="inlay store warm FILE …, or --table NAME")
    if given.file is not None:
        return FileSource(SourceSpec(files=(str(given.file),), key=key), Path.cwd())
    for text, place in (
        (enrichment.source.connection, "source.connection"),
        (enrichment.output.connection, "output.connection"),
    ):
        if text is not None:
            address = address_of(enrichment, text, place, session.env)
            spec = SourceSpec.model_validate({"connection": text, "table": given.table, "key": key})
            return DatabaseSource(spec, address)
    raise SpecError(
        "the declaration names no database that the table could be in",
        key="--table",
        remedy="name a file, or give `source.connection` or `output.connection`",
    )


def _checked(session: Session, spec: PassSpec, given: Warmth, source: Source) -> dict[str, str]:
    """Field (or `field?`, its confidence) to column; every one is there. Raises SpecError."""
    there = source.columns()
    for name in session.enrichment.source.key:
        if name not in there:
            raise SpecError(
                f"{source.title} has no key column {name}", key="key", remedy=suggest(name, there, what="there are")
            )
    columns = dict(given.fields) | {f"{name}?": column for name, column in given.confidences.items()}
    for name, column in columns.items():
        if column not in there:
            key = "--confidence" if name.endswith("?") else "--field"
            raise SpecError(
                f"{source.title} has no column {column}", key=key, remedy=suggest(column, there, what="there are")
            )
    return columns


# --- reading


def _load(con: duckdb.DuckDBPyConnection, source: Source, key: Sequence[str], columns: Mapping[str, str]) -> int:
    """Lay what is taken over into a temporary table by key. Raises PlanError for a key that says two things."""
    import duckdb

    types = source.columns()
    parts = ", ".join(
        f"{value_sql(column, types[column])} AS v{number}" for number, column in enumerate(columns.values())
    )
    try:
        con.execute(
            f"CREATE TEMP TABLE warm AS SELECT {key_sql(key, types)} AS k, {parts} FROM {source.attach(con)} "  # noqa: S608
            f"WHERE {' AND '.join(f'{quote_ident(name)} IS NOT NULL' for name in key)}"
        )
        (rows,) = con.execute("SELECT count(*) FROM warm").fetchall()[0]
        con.execute("CREATE OR REPLACE TEMP TABLE warm AS SELECT DISTINCT * FROM warm")
        twice = con.execute("SELECT k FROM warm GROUP BY k HAVING count(*) > 1 ORDER BY k LIMIT 5").fetchall()
    except duckdb.Error as error:
        raise translate(error, source.title) from None
    if twice:
        shown = ", ".join(repr(row[0]) for row in twice)
        raise PlanError(
            f"{source.title} has several lines for one key, and they differ: {shown}",
            remedy="keep the line of each key that counts",
        )
    return int(rows)


def _values(
    con: duckdb.DuckDBPyConnection, columns: Mapping[str, str], keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    names = ", ".join(f"v{number}" for number in range(len(columns)))
    query = f"SELECT k, {names} FROM warm WHERE k IN (SELECT unnest(?))"  # noqa: S608 (names of our own)
    rows = con.execute(query, [list(keys)]).fetchall()
    return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}


class _Taker:
    """Turns rows and what was given for them into answers."""

    def __init__(
        self,
        session: Session,
        works: Sequence[PassWork],
        work: PassWork,
        given: Warmth,
        columns: Mapping[str, str],
        named: str,
        counts: Warmed,
    ) -> None:
        self._session = session
        self._store = session.store()
        self._cells = Cells(works)
        self._work = work
        self._given = given
        self._columns = columns
        self._named = named
        self._counts = counts
        self._parts: dict[str, Part] = {name: compile_field(name, work.spec.fields[name]) for name in given.fields}

    def take(self, batch: Sequence[PlannedRow], found: Mapping[str, Mapping[str, Any]]) -> list[Settlement]:
        """One settlement for each cell that is warmed."""
        counts, work = self._counts, self._work
        out: list[Settlement] = []
        for planned in batch:
            if planned.reasons[work.index] not in _OPEN:
                continue
            values = found.get(planned.key)
            if values is None:
                counts.absent += 1
                continue
            fields = self._fields(planned.key, values)
            if fields is None:
                continue
            row = Row(planned.key, planned.values, planned.reasons, planned.source_hashes, planned.given)
            target = Target(row, b"", 0, False)
            ask = self._cells.open(work, target)
            if ask.ruled or ask.known:
                counts.answered += 1  # rules give it for free
                continue
            whole = all(answer.null_reason is not NullReason.INVALID for answer in fields.values())
            state = CellState.DONE if whole else CellState.PARTIAL
            answer = NewAnswer(
                fingerprint=ask.fingerprint,
                recipe_id=work.answer_recipe_id,
                state=state,
                payload=encode_fields(fields),
                values_hash=values_hash(fields),
                input=ask.input,
                error_kind=None if whole else "invalid_output",
                error_message=None if whole else NOT_GIVEN,
                served_model=self._named,
            )
            kind, message = ("", "") if whole else ("invalid_output", NOT_GIVEN)
            counts.warmed += 1
            counts.partial += not whole
            out.append(Settlement(answer=answer, cells=(self._cells.write(work, ask, target, state, kind, message),)))
        if out:
            known = self._store.find_answers([item.answer.fingerprint for item in out if item.answer is not None])
            kept = [item for item in out if item.answer is not None and item.answer.fingerprint not in known]
            counts.answered += len(out) - len(kept)
            counts.warmed -= len(out) - len(kept)
            return kept
        return out

    def _fields(self, key: str, values: Mapping[str, Any]) -> dict[str, FieldAnswer] | None:
        """The answer's fields; None where nothing is given, or something that does not fit."""
        counts = self._counts
        fields: dict[str, FieldAnswer] = {}
        empty = 0
        for name in self._work.fields:
            value = values.get(name) if name in self._given.fields else None
            if value is None or (isinstance(value, str) and not value.strip()):
                empty += name in self._given.fields
                fields[name] = FieldAnswer(None, NullReason.INVALID, problem=NOT_GIVEN)
                continue
            try:
                read, reason = self._parts[name].settle(value)
                sure = _confidence(values.get(f"{name}?"))
            except Unfit as unfit:
                counts.unfit += 1
                if len(counts.examples) < EXAMPLES:
                    counts.examples.append(f"{shown_key(self._session.enrichment, key)}: {name} {unfit}")
                return None
            fields[name] = FieldAnswer(read, reason, confidence=sure, source=self._named)
        if empty == len(self._given.fields):
            counts.empty += 1
            return None
        return fields


def _confidence(value: Any) -> float | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise Unfit("has a confidence that is not between 0 and 1")
    return number


class _Writer:
    """A run of its own, in which the answers are kept; it leaves the budget of a stopped run as it is."""

    def __init__(self, session: Session, counts: Warmed) -> None:
        self._session = session
        self._counts = counts

    def __enter__(self) -> Self:
        self._store = self._session.store(write=True)
        self._record = self._store.begin_run(self._session.enrichment.name, runner=new_runner())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "stopped: error" if kind is not None else "done"
        if kind is None and self._record.budget_run != self._record.run_id:
            outcome = "stopped: warmed"  # the next run still has what the stopped one before left of its budget
        self._store.end_run(self._record.run_id, outcome=outcome, summary={"warmed": self._counts.warmed})

    def commit(self, settlements: Sequence[Settlement]) -> None:
        """Keep them, all or none."""
        if settlements:
            self._store.commit(settlements, run=self._record)
