"""The verbs: plan, run, status, retry, export, report, and the care of the store. Where rooms are wired together.

Each takes a declaration (a path to its YAML, or an Enrichment) and gives back plain values; nothing here prints.
Heavy rooms are imported when a verb needs them, so that `inlay --help` stays fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.types import usd

if TYPE_CHECKING:
    from inlay.batches import Batch
    from inlay.planning.plan import Plan
    from inlay.project.account import Costs
    from inlay.project.bars import Shown
    from inlay.project.corrected import Corrections, Fix
    from inlay.project.doctor import Diagnosis
    from inlay.project.explanation import Explanation
    from inlay.project.pricing import ModelPrice
    from inlay.project.publishing import Published
    from inlay.project.report import Report, Status
    from inlay.project.running import RunOptions
    from inlay.reporting.facts import Facts
    from inlay.spec.model import Enrichment

    Declaration = str | Path | Enrichment

__all__ = [
    "arun",
    "batches",
    "cancel_batch",
    "clear",
    "correct",
    "corrections",
    "costs",
    "doctor",
    "explain",
    "export",
    "plan",
    "prices",
    "prune",
    "report_facts",
    "report_html",
    "republish",
    "retry",
    "run",
    "show",
    "stats",
    "status",
    "verify",
    "write_report",
    "write_schema",
]


def plan(
    declaration: Declaration, *, limit: int | None = None, refresh: Sequence[str] = (), mode: str | None = None
) -> Plan:
    """What a run would do, why, and at what price. Pays nothing, writes nothing.

    `limit` caps the rows (None: the declaration's), `refresh=["stale"]` plans the stale cells in as well.
    `mode` (live, batch, auto) takes the place of the declaration's.
    """
    from inlay.project.batching import mode_notes
    from inlay.project.rounds import planned, waiting_notes
    from inlay.project.session import Session

    with Session(declaration) as session:
        refs = session.refs()
        planner = planned(session, refs, session.rules(refs, refreshing(refresh)), limit=limit, mode=mode)
        try:
            notes = (*session.notes(), *mode_notes(session, planner.plan), *waiting_notes(session))
            return replace(planner.plan, notes=notes)
        finally:
            planner.close()


def run(declaration: Declaration, options: RunOptions | None = None, **named: Any) -> Report:
    """Ask every cell that needs an answer, keep the answers, publish the table.

    Costs money (see `RunOptions`: limit, budget_usd, refresh, yes …, also as keyword arguments). Safe to repeat: what
    is answered is never asked again. Raises SpecError or PlanError before anything is sent; once running, a clean stop
    is told by `Report.stopped`, not raised. Works inside a running event loop, as in a notebook.
    """
    from inlay.project.bars import Shown
    from inlay.project.control import loop_runs_here

    chosen = _run_options(options, named)
    if not loop_runs_here():
        return _run(declaration, chosen)
    shown = Shown(None if chosen.watch is None else False)
    return shown.wait(lambda control: _run(declaration, shown.options(chosen, control), shown))


async def arun(declaration: Declaration, options: RunOptions | None = None, **named: Any) -> Report:
    """`run` for async programs: the event loop goes on while it runs, and cancelling the task stops it cleanly.

    A cancelled run has finished and saved what was in flight when the cancellation comes through.
    """
    from inlay.project.bars import Shown

    chosen = _run_options(options, named)
    shown = Shown(None if chosen.watch is None else False)
    return await shown.wait_async(lambda control: _run(declaration, shown.options(chosen, control), shown))


def _run_options(options: RunOptions | None, named: dict[str, Any]) -> RunOptions:
    from inlay.project.running import RunOptions

    if options is not None:
        return options
    if "refresh" in named:
        named["refresh"] = refreshing(named["refresh"])
    return RunOptions(**named)


def _run(declaration: Declaration, options: RunOptions, shown: Shown | None = None) -> Report:
    from inlay.project.running import run_session
    from inlay.project.session import Session

    with Session(declaration, need_keys=True) as session:
        report = run_session(session, options)
    if shown is not None:
        shown.report = report
    return report


def refreshing(names: Sequence[str]) -> frozenset[Any]:
    """Refresh names as reasons; only "stale" can be asked for."""
    from inlay.errors import SpecError
    from inlay.types import Reason

    unknown = [name for name in names if name != "stale"]
    if unknown:
        raise SpecError(f"cannot refresh {', '.join(unknown)}", key="refresh", remedy="the only choice is: stale")
    return frozenset({Reason.STALE} if names else ())


def batches(declaration: Declaration, *, closed: bool = False) -> list[Batch]:
    """The open batches of an enrichment as the store knows them, oldest first; with `closed` all. Pays nothing."""
    from inlay.project.session import Session

    with Session(declaration) as session:
        return session.store().journal.batches(session.enrichment.name, closed=closed)


def cancel_batch(declaration: Declaration, submission: str) -> Batch:
    """Cancel an open batch, named by its submission or the beginning of it; the batch as it stands then.

    One that was not ordered yet gives its rows back at once. The provider stops one that runs when it can: what has run
    by then is paid, and collected by the next run, which asks the rest again. Raises SpecError where there is none, or
    several, of that name, StoreError where another process works on it, ProviderUnusable where it cannot be reached.
    """
    from inlay.project.canceling import cancel
    from inlay.project.session import Session

    with Session(declaration, need_keys=True) as session:
        return cancel(session, submission)


def status(declaration: Declaration) -> Status:
    """Coverage, states, failure kinds, costs and the latest runs, from the store. Pays nothing.

    Where batches are open and their key is at hand, what has ended is collected first; never fails for one.
    """
    from inlay.project.accepting import count_below
    from inlay.project.canceling import collected
    from inlay.project.report import PassStatus, Status
    from inlay.project.session import Session

    notes = collected(declaration)
    with Session(declaration) as session:
        store = session.store()
        name = session.enrichment.name
        known = store.passes(name)
        ledger = store.ledger(name)
        refs = session.refs()
        passes = []
        for spec, label, priced, ref in zip(session.passes, session.labels, session.priced, refs, strict=True):
            pass_id = known.get(spec.name)
            counts: Mapping[tuple[str, str], int] = {} if pass_id is None else store.counts(pass_id)
            states: dict[str, int] = {}
            kinds: dict[str, int] = {}
            for (state, reason), count in counts.items():
                states[state] = states.get(state, 0) + count
                if state in ("failed", "partial", "skipped"):
                    kinds[reason or state] = kinds.get(reason or state, 0) + count
            failures = [] if pass_id is None else store.failures(pass_id, limit=5)
            passes.append(
                PassStatus(
                    name=spec.name,
                    model=label,
                    states=states,
                    kinds=kinds,
                    stale=0 if pass_id is None else store.stale(pass_id, ref.recipe_id),
                    cost_usd=usd(sum(line["cost_nusd"] for line in ledger if line["pass"] == spec.name)),
                    priced=priced,
                    below=None if pass_id is None else count_below(store, spec, pass_id),
                    examples=tuple((cell.key, cell.reason, cell.message) for cell in failures),
                )
            )
        runs = tuple(asdict(record) for record in store.runs(name, 10))
        name_, place = session.store_place
        return Status(
            enrichment=name,
            store=str(place) or name_,
            rows=None,
            passes=tuple(passes),
            runs=runs,
            ledger=tuple(ledger),
            notes=(*session.learnt, *notes),
            batches=tuple(store.journal.batches(name)),
        )


def costs(
    declaration: Declaration, *, by: str = "pass", project: int | None = None, on: Sequence[str] = (), records: int = 20
) -> Costs:
    """What it has cost by run, pass, model, day or record, what was saved, and what more would cost. Pays nothing.

    `project` is a number of rows to reckon for, `on` names other models (`provider:name`) to reckon with; `records` is
    how many of the dearest rows `by="record"` gives.
    """
    from inlay.project.account import costs_of
    from inlay.project.session import Session

    with Session(declaration) as session:
        return costs_of(session, by=by, project=project, on=on, records=records)


def prices(models: Sequence[str] = (), *, declaration: Declaration | None = None) -> list[ModelPrice]:
    """What models cost: the list prices of `models` (`provider:name`), or of a declaration's models as a run would
    reckon with them. An unknown one has no lines, and the nearest names that are known. Pays nothing."""
    from inlay.project.pricing import prices_named, prices_of
    from inlay.project.session import Session

    if declaration is None:
        return prices_named(models)
    with Session(declaration) as session:
        return prices_of(session)


def retry(
    declaration: Declaration,
    *,
    passes: Sequence[str] = (),
    kinds: Sequence[str] = (),
    keys: Sequence[str] = (),
) -> dict[str, int]:
    """Make failed and partial cells worth asking again; the next run asks them. Pays nothing by itself.

    Empty filters mean all. Returns how many cells of each pass will be asked. Idempotent. Raises SpecError for a pass
    or a kind that there is not.
    """
    from inlay.project.session import Session

    with Session(declaration) as session:
        store = session.store(write=True)
        known = store.passes(session.enrichment.name)
        chosen = [name for name in pass_names(session, passes) if name in known]
        seen = {reason for name in chosen for _, reason in store.counts(known[name])} if kinds else set()
        _check_kinds(kinds, seen)
        return {
            name: store.reset_tries(known[name], kinds=list(kinds) or None, keys=list(keys) or None) for name in chosen
        }


def _check_kinds(kinds: Sequence[str], seen: set[str]) -> None:
    """Refuse a kind that no cell can have failed in: a slip of the pen would mark nothing, silently."""
    import difflib

    from inlay.errors import CELL_KINDS, SpecError

    for kind in kinds:
        if kind not in CELL_KINDS and kind not in seen:
            near = difflib.get_close_matches(kind, CELL_KINDS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(CELL_KINDS)}"
            raise SpecError(f"there is no kind of failure {kind!r}", key="--kind", remedy=hint)


def export(declaration: Declaration, target: str | Path, *, format: str | None = None) -> int:
    """Write the wide table to a file (.parquet, .csv, .jsonl) or to stdout (`-`, with `format` csv or jsonl).

    Pays nothing. The file appears whole or not at all. Returns the number of rows.
    """
    from inlay.project.publishing import publish
    from inlay.project.session import Session

    with Session(declaration) as session:
        session.check()
        if str(target) != "-":
            session.refuse_own_source(Path(target), key="-o")
        return publish(session, session.refs(), target, format=format)


def republish(declaration: Declaration) -> Published:
    """Publish where the declaration's `output` says, once more: from the store, without a call. Idempotent.

    Builds a table of a database again that was dropped, emptied or reloaded. Raises SpecError where there is no output.
    """
    from inlay.project import publishing
    from inlay.project.session import Session

    with Session(declaration) as session:
        return publishing.republish(session)


def show(declaration: Declaration, *, limit: int = 10) -> list[dict[str, Any]]:
    """The first rows of the wide table as plain values, by column name, in source order. Pays nothing."""
    from inlay.project.publishing import first_rows
    from inlay.project.session import Session

    with Session(declaration) as session:
        session.check()
        return first_rows(session, session.refs(), limit)


def doctor(declaration: Declaration | None = None, *, probe: bool = False) -> Diagnosis:
    """Which providers the environment offers, and what the declaration's models have and lack. Shows no secret.

    Asks no network, unless `probe`: then each model once, for free where its server lists its models, else with one
    short question of at most sixteen tokens. Raises SpecError for a wrong declaration.
    """
    from inlay.project.doctor import examine

    return examine(declaration, probe=probe)


def explain(declaration: Declaration, key: Any, *, prompt: bool = False) -> Explanation:
    """One row's whole story: each pass's state and reason, what changed, values, evidence, attempts, earlier answers.

    `key` is the value of the key column, or a list of values where the key has several columns. With `prompt`, each
    pass holds the exact request that would be sent. Pays nothing, writes nothing. Raises SpecError for a key that is
    neither in the source nor in the store; it names the nearest ones.
    """
    from inlay.project.explaining import explain_row
    from inlay.project.session import Session

    with Session(declaration) as session:
        return explain_row(session, key, prompt=prompt)


def correct(declaration: Declaration, fixes: Iterable[Fix]) -> Corrections:
    """Keep human values in place of the model's: published whatever is asked later, by any prompt or model.

    All fixes are checked first; then all are kept in one transaction, or none (SpecError, with every mistake). A key
    has to be in the source. Giving the same fix again changes nothing. Pays nothing; publishing is left to `export`
    or `run`. `inlay.project.fixes.read_fixes` reads them from a file.
    """
    from inlay.project.correcting import correct_rows
    from inlay.project.session import Session

    with Session(declaration) as session:
        return correct_rows(session, fixes)


def corrections(declaration: Declaration, *, history: bool = False) -> Corrections:
    """The corrections in force, each beside the answer it stands in for, and whether it still fits.

    With `history` every one ever made, withdrawals included. Pays nothing, writes nothing.
    """
    from inlay.project.correcting import list_corrections
    from inlay.project.session import Session

    with Session(declaration) as session:
        return list_corrections(session, history=history)


def write_report(declaration: Declaration, target: str | Path | None = None, *, samples: int = 12) -> Path:
    """Write one self-contained web page about the enrichment: coverage, values, confidence, cost, changes, rows.

    Without `target` it is report.html beside the declaration. The page loads nothing, runs no script and is smaller
    than 600 kB whatever the table's size. Pays nothing. The file appears whole or not at all; its path is returned.
    """
    from inlay.project import page
    from inlay.project.session import Session

    with Session(declaration) as session:
        return page.write(session, target, samples=samples)


def report_html(declaration: Declaration, *, samples: int = 12) -> str:
    """The page of `write_report` as text, for a notebook or a mail."""
    from inlay.project import page
    from inlay.project.session import Session
    from inlay.reporting.page import render

    with Session(declaration) as session:
        return render(page.facts(session, samples=samples))


def report_facts(declaration: Declaration, *, samples: int = 12) -> Facts:
    """What `write_report` draws, as plain values."""
    from inlay.project import page
    from inlay.project.session import Session

    with Session(declaration) as session:
        return page.facts(session, samples=samples)


def write_schema(path: str | Path) -> Path:
    """Write the JSON Schema of declarations to a file, for editors; the path. Idempotent, atomic, needs no declaration.

    Beside a declaration it is looked for at `spec.schema.SCHEMA_FILE`, once the declaration begins with
    `spec.schema.COMMENT`, as those do that `init` and `enrich --save` write. Raises TargetError.
    """
    from inlay.project import schema

    return schema.write_schema(path)


def stats(declaration: Declaration) -> dict[str, Any]:
    """Sizes and row counts of the store."""
    from inlay.project.session import Session

    with Session(declaration) as session:
        return session.store().stats()


def verify(declaration: Declaration) -> list[str]:
    """Recompute every fingerprint and checksum of the store; one sentence for each thing that is wrong."""
    from inlay.project.session import Session

    with Session(declaration) as session:
        return session.store().verify()


def prune(declaration: Declaration, *, keep_days: float = 0.0, dry_run: bool = False) -> dict[str, int]:
    """Delete answers that no cell refers to any more. Destructive; atomic. Counts of what went (or would go)."""
    from inlay.project.session import Session

    with Session(declaration) as session:
        store = session.store(write=not dry_run)
        return store.prune(enrichment=session.enrichment.name, keep_days=keep_days, dry_run=dry_run)


def clear(declaration: Declaration, *, passes: Sequence[str] = (), keys: Sequence[str] = ()) -> dict[str, int]:
    """Forget cells so that they are new again; the next run pays for them. Destructive; atomic a pass."""
    from inlay.project.session import Session

    with Session(declaration) as session:
        store = session.store(write=True)
        name = session.enrichment.name
        out: dict[str, int] = {}
        for pass_name in pass_names(session, passes) if passes else [None]:
            for kind, count in store.clear(enrichment=name, pass_name=pass_name, keys=list(keys) or None).items():
                out[kind] = out.get(kind, 0) + count
        return out


def pass_names(session: Any, names: Sequence[str]) -> list[str]:
    """The chosen passes (all, if none is named), or a SpecError with the nearest right name."""
    import difflib

    from inlay.errors import SpecError

    known = [spec.name for spec in session.passes]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise SpecError(f"there is no pass {name!r}", key="passes", remedy=hint)
    return list(names) or known
