"""`explain`: one row's whole story, from the source, the store and the plan.

What stays true: nothing is written and nothing paid; the reasons are those of the planner and the published values
those of the wide table, both run on this one row; the request is made by the code that would send it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from inlay.contracts import Store
from inlay.engine.ask import answer_schema, system_prompt
from inlay.engine.passwork import PassWork
from inlay.engine.rows import Cells
from inlay.engine.sharing import Sharing
from inlay.engine.work import Answered, Ask, Row, Target
from inlay.errors import InvalidRequest
from inlay.fingerprint import canonical, plain
from inlay.payload import decode_fields
from inlay.planning.onerow import Facts, OneRow, OneRowStore, read_facts, read_given
from inlay.planning.plan import PassPlan
from inlay.project import story
from inlay.project.changes import changed_inputs, changed_recipe, inputs_of
from inlay.project.explanation import AnswerStory, Change, Explanation, PassStory, Request
from inlay.project.keys import no_such_row, shown_key, stored_key
from inlay.project.session import UNKNOWN, Session
from inlay.publish.wide import WideTable
from inlay.spec.columns import ROW_COLUMNS
from inlay.tables.keys import nearest_keys
from inlay.tables.sql import connect
from inlay.types import CellEvent, CellState, Correction, PassRef, Reason, StoredAnswer, StoredCell, usd


@dataclass(slots=True)
class _Known:
    """All that is known of the row before the passes are told one by one; lists are by pass."""

    refs: list[PassRef]
    facts: Facts | None
    cells: list[StoredCell | None]
    corrections: list[dict[str, Correction]]
    given: dict[int, str] = field(default_factory=dict)
    plans: list[PassPlan | None] = field(default_factory=list)
    reasons: list[Reason | None] = field(default_factory=list)


def explain_row(session: Session, key: Any, *, prompt: bool) -> Explanation:
    """The story of the row with this key. See `inlay.explain`."""
    session.check()
    enrichment = session.enrichment
    wanted = stored_key(enrichment, key)
    one = OneRow(session.source, enrichment.source.key, wanted)
    inputs = sorted({name for compiled in session.compiled for name in compiled.inputs})
    published: dict[str, Any] = {}
    with closing(connect()) as con:
        facts = read_facts(con, one, enrichment.select, inputs)
        known = _look_up(session, wanted, facts)
        if facts is None and not any(known.cells) and not any(known.corrections):
            near = nearest_keys(con, session.source, enrichment.source.key, [wanted])
            raise no_such_row(enrichment, wanted, near[wanted])
        if facts is not None:
            passes = list(zip(session.passes, known.refs, strict=True))
            table = WideTable(enrichment, one, session.store(), passes, con)
            # The source's columns come first in the table, then those of the enrichment.
            own = [column.name for column in table.schema][_source_columns(session) :]
            published = {name: row[name] for batch in table.batches() for row in batch.to_pylist() for name in own}
    if facts is not None and any(spec.rules for spec in session.passes):
        with closing(connect()) as con:
            known.given = read_given(con, one, enrichment, session.passes)
    _plan(session, one, wanted, known)
    return Explanation(
        enrichment=enrichment.name,
        source=session.source.title,
        key=shown_key(enrichment, wanted),
        in_source=facts is not None,
        selected=facts is not None and facts.selected,
        left_out="" if facts is None else facts.left_out,
        row={} if facts is None else {name: plain(value) for name, value in facts.values.items()},
        published={name: value for name, value in published.items() if name not in ROW_COLUMNS},
        passes=_Teller(session, wanted, known, prompt=prompt).tell(),
        notes=tuple(session.notes()),
    )


def _source_columns(session: Session) -> int:
    chosen = session.enrichment.output.columns
    return len(session.source.columns() if chosen is None else chosen)


def _look_up(session: Session, wanted: str, facts: Facts | None) -> _Known:
    store = session.store()
    refs = session.refs()
    cells = [store.read_cells(ref.pass_id, [wanted]).get(wanted) if ref.pass_id != UNKNOWN else None for ref in refs]
    by_pass: dict[str, dict[str, Correction]] = {}
    for correction in store.corrections(session.enrichment.name, keys=[wanted]):
        by_pass.setdefault(correction.pass_name, {})[correction.field] = correction
    return _Known(refs, facts, cells, [by_pass.get(spec.name, {}) for spec in session.passes])


def _plan(session: Session, one: OneRow, wanted: str, known: _Known) -> None:
    """What the next run would do with the row."""
    known.plans = [None] * len(known.refs)
    known.reasons = [None] * len(known.refs)
    if known.facts is None or not known.facts.selected:
        return
    store = cast("Store", OneRowStore(session.store(), wanted))
    rules = session.rules(known.refs, frozenset())
    with closing(session.planner(known.refs, rules, limit=1, source=one, store=store)) as planner:
        known.plans = list(planner.plan.passes)
    for index, part in enumerate(known.plans):
        assert part is not None
        known.reasons[index] = next(reason for reason, count in part.reasons.items() if count)


class _Teller:
    """Tells the passes in the order in which they read each other."""

    def __init__(self, session: Session, wanted: str, known: _Known, *, prompt: bool) -> None:
        self.session = session
        self.store = session.store()
        self.wanted = wanted
        self.known = known
        self.prompt = prompt
        rules = session.rules(known.refs, frozenset())
        self.works = session.works(known.refs, rules)
        self.sharing = Sharing(self.works)
        self.cells = Cells(self.works)
        self.asked = [
            reason is not None and (reason is Reason.UPSTREAM or work.rule.asks(reason))
            for reason, work in zip(known.reasons, self.works, strict=True)
        ]
        self.row = self._row()

    def tell(self) -> tuple[PassStory, ...]:
        """Every pass."""
        return tuple(self._pass(work) for work in self.works)

    def _row(self) -> Row:
        """The row as the engine would have it, with the answers that a run would not ask for again."""
        known = self.known
        values = {} if known.facts is None else known.facts.values
        row = Row(self.wanted, values, list(known.reasons), [b""] * len(self.works), known.given)
        for work in self.works:
            index, cell = work.index, known.cells[work.index]
            said = {name: found.answer for name, found in known.corrections[index].items() if name in work.fields}
            if said:
                row.human[index] = said
            if cell is not None:
                row.stored[index] = cell
            if self.asked[index]:
                continue
            if cell is None or cell.answer is None or not cell.answer.payload:
                row.answered(index, None)
                continue
            fields = decode_fields(cell.answer.payload)
            row.answered(index, Answered(fields, cell.answer.values_hash, cell.state is CellState.DONE))
        return row

    # --- one pass

    def _pass(self, work: PassWork) -> PassStory:
        known, index = self.known, work.index
        cell, plan = known.cells[index], known.plans[index]
        answer = None if cell is None else cell.answer
        recipe = None if answer is None else self.store.recipe(answer.recipe_id)
        model = "" if recipe is None else json.loads(recipe)["model"]
        sent: Mapping[str, Any] = {}
        if answer is not None and recipe is not None:
            sent = inputs_of(json.loads(recipe), self.store.answer_input(answer.answer_id))
        request, unsendable = self._request(work) if self.prompt else (None, "")
        history = [] if cell is None else self.store.history(cell.pass_id, cell.key)
        answers = self.store.answers([event.answer_id for event in history if event.answer_id is not None])
        raw = None if answer is None else self.store.answer_raw(answer.answer_id)
        return PassStory(
            name=work.name,
            model=work.model.full_name,
            state=CellState.PENDING if cell is None else cell.state,
            reason=known.reasons[index],
            asked=self.asked[index],
            reused=plan is not None and plan.reused > 0,
            ruled=plan is not None and plan.ruled > 0,
            cost_usd=None if plan is None else plan.cost_usd,
            worst_usd=None if plan is None else plan.worst_usd,
            waits_for=tuple(self.works[number].name for number in work.upstream if self.asked[number]),
            kind="" if cell is None else cell.reason,
            message="" if cell is None else cell.message,
            tries=0 if cell is None else cell.tries,
            updated_at=None if cell is None else cell.updated_at,
            answer=None if answer is None else _answer(answer, model),
            fields=story.fields(work.spec, answer, model, known.corrections[index], sent),
            inputs_changed=() if answer is None else self._changed(work, sent),
            recipe_changed=() if recipe is None else changed_recipe(recipe, work.spec.recipe(work.model.full_name)),
            attempts=self._attempts(work, answers.values()),
            earlier=story.earlier(answer, history, answers, self._models(answers.values())),
            history=tuple(_event(event) for event in history),
            raw=None if raw is None else raw.decode("utf-8", "replace"),
            request=request,
            unsendable=unsendable,
        )

    def _models(self, answers: Any) -> dict[int, str]:
        numbers = {answer.recipe_id for answer in answers}
        return {number: json.loads(self.store.recipe(number))["model"] for number in numbers}

    def _changed(self, work: PassWork, sent: Mapping[str, Any]) -> tuple[Change, ...]:
        """What the answer read, beside what the pass would read now; earlier passes only where they are answered."""
        if self.known.facts is None:
            return ()
        upstream, _, missing = self.cells.upstream(work, self.row)
        values = work.compiled.source_values(self.row.values)
        given = self.known.given.get(work.index, "")
        if missing is None:
            data = work.compiled.canonical_input(values, upstream, given)
        else:
            data = canonical(values) + (b"!" + given.encode("utf-8", "surrogatepass") if given else b"")
        recipe = json.loads(work.spec.recipe(work.model.full_name))
        present = inputs_of(recipe, data)
        if missing is not None:
            unread = {f"{name}.{field}" for name, field in work.spec.upstream}
            sent = {name: form for name, form in sent.items() if name not in unread}
        return changed_inputs(sent, present)

    def _attempts(self, work: PassWork, answers: Any) -> tuple[Mapping[str, Any], ...]:
        """The calls for every address that the cell had, and for the one that it has now."""
        addresses = {answer.fingerprint for answer in answers}
        if self.known.facts is not None and self.cells.upstream(work, self.row)[2] is None:
            addresses.add(self.cells.open(work, Target(self.row, b"", 0, False)).fingerprint)
        return tuple(
            {
                "at": attempt.opened_at,
                "run_id": attempt.run_id,
                "outcome": attempt.outcome,
                "model": attempt.model,
                **asdict(attempt.usage),
                "cost_usd": usd(attempt.cost_nusd),
                "estimated": attempt.estimated,
                "latency_ms": attempt.latency_ms,
            }
            for attempt in self.store.attempts(sorted(addresses))
        )

    def _request(self, work: PassWork) -> tuple[Request | None, str]:
        """What would be sent, or why nothing can be."""
        if self.known.facts is None:
            return None, "the row is not in the source any more"
        waits = [self.works[number].name for number in work.upstream if self.asked[number]]
        if waits:
            return None, f"it reads {', '.join(waits)}, which the next run asks first"
        missing = self.cells.upstream(work, self.row)[2]
        if missing is not None:
            return None, f"{missing}, so this pass is skipped"
        ask = self.cells.open(work, Target(self.row, b"", 0, False))
        if ask.ruled:
            return None, "rules give every field, so nothing is sent"
        try:
            self.cells.prepare(work, ask)
        except InvalidRequest as error:
            return None, error.message
        names = ask.names or tuple(work.fields)
        company = self._company(work)
        if len(company) > 1 and (shared := self.sharing.shape([company])) is not None:
            sent = shared.request([company])[0]
            return Request(
                fields=names,
                system=shared.system,
                user=shared.user(company),
                schema=shared.schema,
                url=sent.url,
                body=json.loads(sent.body),
                together=tuple(other.work.name for other in company),
            ), ""
        fields = {name: spec for name, spec in work.fields.items() if name in names}
        encode = work.variant(ask.names, ask.repair).encode
        alone = None if encode is None else encode(ask.user)
        return Request(
            fields=names,
            system=system_prompt(fields),
            user=ask.user,
            schema=answer_schema(fields),
            url=None if alone is None else alone.url,
            body=None if alone is None else json.loads(alone.body),
        ), ""

    def _company(self, work: PassWork) -> list[Ask]:
        """The asks that go out in one call with this pass's, its own among them: of fused passes that are asked too."""
        found: list[Ask] = []
        for other in self.works:
            together = other is work or (work.fuse is not None and other.fuse == work.fuse and self.asked[other.index])
            if not together or (work.fuse is not None and not self.asked[work.index] and other is not work):
                continue
            ask = self.cells.open(other, Target(self.row, b"", 0, False))
            if not ask.ruled:
                self.cells.prepare(other, ask)
                found.append(ask)
        return found


def _answer(answer: StoredAnswer, model: str) -> AnswerStory:
    return AnswerStory(
        answer.created_at, model, answer.served_model, answer.run_id, answer.state, usd(answer.cost_nusd)
    )


def _event(event: CellEvent) -> dict[str, Any]:
    return {
        "at": event.at,
        "run_id": event.run_id,
        "state": event.state.value,
        "kind": event.reason,
        "message": event.message,
        "answer_id": event.answer_id,
    }
