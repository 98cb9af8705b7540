"""The verbs: plan, run, status, retry, export, report, and the care of the store. Where rooms are wired together.

Each takes a declaration (a path to its YAML, or an Enrichment) and gives back plain values; nothing here prints.
Heavy rooms are imported when a verb needs them, so that `inlay --help` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inlay.types import usd

if TYPE_CHECKING:
    from inlay.batches import Batch
    from inlay.dumps.loading import LoadReport, Moment
    from inlay.planning.plan import Plan
    from inlay.project.account import Costs
    from inlay.project.bars import Shown
    from inlay.project.corrected import Corrections, Fix
    from inlay.project.dbt import DbtChanges
    from inlay.project.doctor import Diagnosis
    from inlay.project.evaluation import EvalOptions, EvalPlan, EvalReport
    from inlay.project.explanation import Explanation
    from inlay.project.keeping import Forgotten, Orphans, Unsure
    from inlay.project.pricing import ModelPrice
    from inlay.project.publishing import Published
    from inlay.project.rates import Comparison
    from inlay.project.report import Report, Status
    from inlay.project.running import RunOptions
    from inlay.project.warming import Warmed, Warmth
    from inlay.quality.facts import Disagreements, Remembered
    from inlay.reporting.facts import Facts
    from inlay.spec.model import Enrichment

    Declaration = str | Path | Enrichment

# No source has more rows; a plan that is not to be capped has this limit.
EVERY_ROW = 2**53

__all__ = [
    "arun",
    "batches",
    "cancel_batch",
    "clear",
    "clear_unsure",
    "compare_costs",
    "correct",
    "corrections",
    "costs",
    "disagreements",
    "doctor",
    "evaluate",
    "evaluations",
    "explain",
    "export",
    "forget",
    "load_dump",
    "look_at_dump",
    "orphans",
    "plan",
    "plan_evaluation",
    "prices",
    "prune",
    "prune_orphans",
    "report_facts",
    "report_html",
    "republish",
    "retry",
    "run",
    "show",
    "stats",
    "status",
    "unsure",
    "verify",
    "warm",
    "write_dbt",
    "write_report",
    "write_schema",
]


def plan(
    declaration: Declaration, *, limit: int | None = None, refresh: Sequence[str] = (), mode: str | None = None
) -> Plan:
    """What a run would do, why, and at what price. Pays nothing, writes nothing.

    `limit` caps the rows (None: INLAY_LIMIT's or the declaration's), `refresh=["stale"]` plans the stale cells in as
    well. `mode` (live, batch, auto) takes the place of the declaration's.
    """
    from inlay.project.batching import mode_notes
    from inlay.project.rounds import planned, waiting_notes
    from inlay.project.session import Session
    from inlay.project.switches import capped

    limit, said = capped(limit)
    with Session(declaration) as session:
        refs = session.refs()
        planner = planned(session, refs, session.rules(refs, refreshing(refresh)), limit=limit, mode=mode)
        try:
            notes = (*said, *session.notes(), *mode_notes(session, planner.plan), *waiting_notes(session))
            return replace(planner.plan, notes=notes)
        finally:
            planner.close()


def run(declaration: Declaration, options: RunOptions | None = None, **named: Any) -> Report:
    """Ask every cell that needs an answer, keep the answers, publish the table.

    Costs money (see `RunOptions`: limit, budget_usd, refresh, yes …, also as keyword arguments). Safe to repeat: what
    is answered is never asked again. Raises SpecError or PlanError before anything is sent; once running, a clean stop
    is told by `Report.stopped`, not raised. With `on_error="warn"` nothing is raised: see `Report.error`. Switches of
    the environment (INLAY_SKIP, INLAY_LIMIT …: `inlay.project.switches`) fill in what is not said here. Works inside a
    running event loop, as in a notebook.
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
    from inlay.project.embedding import embedded

    report = embedded(declaration, options)
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


def load_dump(
    declaration: Declaration | None = None,
    *,
    dump: str | None = None,
    into: str | None = None,
    tables: Sequence[str] = (),
    protect: Sequence[str] = (),
    date: str | None = None,
    allow_incomplete: bool = False,
    dry_run: bool = False,
    watch: Callable[[Moment], None] | None = None,
) -> LoadReport:
    """Bring a dump of mysqldump's into a database: all of its tables, or none. Pays nothing. Idempotent.

    The declaration's `load` says what and where to; `dump`, `into` (a URL, or `${VAR}`), `tables` and `date` (today,
    latest, or a day like 2026-02-11) take its place, and do without one. Tables of a protected name, those that the
    declaration publishes, and Inlay's own are left as they are. `dry_run` changes nothing; `watch` hears how far it is.
    Raises SpecError, SourceError for the dump (with its line), TargetError for the database; either way its tables
    are as they were.
    """
    from inlay.project.dumps import load_one

    return load_one(
        declaration,
        dump=dump,
        into=into,
        tables=tables,
        protect=protect,
        date=date,
        allow_incomplete=allow_incomplete,
        dry_run=dry_run,
        watch=watch,
    )


def look_at_dump(
    declaration: Declaration | None = None,
    *,
    dump: str | None = None,
    tables: Sequence[str] = (),
    date: str | None = None,
    watch: Callable[[Moment], None] | None = None,
) -> LoadReport:
    """The tables of a dump, with their rows and bytes. Reads all of it; asks no database; pays nothing."""
    from inlay.project.dumps import load_one

    return load_one(declaration, dump=dump, tables=tables, date=date, list_only=True, watch=watch)


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


def status(declaration: Declaration, *, targets: bool = False) -> Status:
    """Coverage, states, failure kinds, costs, the latest runs and days, from the store. Pays nothing.

    With `targets` the source is looked at as well: how many of its present targets need no call.
    Where batches are open and their key is at hand, what has ended is collected first; never fails for one.
    """
    from inlay.project.accepting import count_below
    from inlay.project.canceling import collected
    from inlay.project.rates import days, hit_rates
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
        return Status(
            enrichment=name,
            store=session.store_shown,
            rows=None,
            passes=tuple(passes),
            runs=runs,
            ledger=tuple(ledger),
            notes=(*session.learnt, *notes),
            batches=tuple(store.journal.batches(name)),
            days=days(store.ledger(name, days=True)),
            targets=hit_rates(plan(declaration, limit=EVERY_ROW)) if targets else None,
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


def compare_costs(declaration: Declaration, *, every_days: float = 1.0) -> Comparison:
    """What was paid, against what asking every target in every run would have cost, so far and in a month and a year
    of one run every `every_days`. From the ledger alone. Pays nothing."""
    from inlay.project.rates import compare
    from inlay.project.session import Session

    with Session(declaration) as session:
        return compare(session, every_days=every_days)


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


def evaluate(
    declaration: Declaration, options: EvalOptions | None = None, *, run: RunOptions | None = None, **named: Any
) -> EvalReport:
    """Hold answers against what is known: `shadow=500` rows whose value the source holds, or `golden="labels.csv"`.

    Asks what these rows lack, and judges the answers; they are never published, and stand in no status. Costs money as
    `run` does, with a budget of its own (see `EvalOptions` and `RunOptions`, all of them also as keyword arguments).
    Safe to repeat: what is answered is never asked again, here or in the real run. Raises SpecError, PlanError or
    SourceError before anything is sent; a clean stop is told by `EvalReport.run.stopped`. Works inside a running event
    loop, as in a notebook.
    """
    from inlay.project import evaluating
    from inlay.project.bars import Shown
    from inlay.project.control import loop_runs_here
    from inlay.project.evaluation import EvalOptions

    asked = {name: named.pop(name) for name in EvalOptions.__slots__ if name in named}
    options = EvalOptions(**asked) if options is None else options
    chosen = _run_options(run, named)
    if not loop_runs_here():
        return evaluating.evaluate(declaration, options, chosen)
    shown = Shown(None if chosen.watch is None else False)

    def work(control: Any) -> EvalReport:
        report = evaluating.evaluate(declaration, options, shown.options(chosen, control))
        shown.report = report.run
        return report

    return shown.wait(work)


def plan_evaluation(
    declaration: Declaration, options: EvalOptions | None = None, *, mode: str | None = None, **named: Any
) -> EvalPlan:
    """What `evaluate` would ask, and at what price. Pays nothing, writes nothing."""
    from inlay.project import evaluating
    from inlay.project.evaluation import EvalOptions

    return evaluating.plan_evaluation(declaration, options or EvalOptions(**named), mode=mode)


def evaluations(declaration: Declaration) -> list[Remembered]:
    """The evaluations that were made, newest first: when, of which model, on how many rows, how good. Pays nothing."""
    from inlay.project import evaluated
    from inlay.project.session import Session

    with Session(declaration) as session:
        return evaluated.evaluations(session)


def disagreements(declaration: Declaration, options: EvalOptions | None = None, **named: Any) -> list[Disagreements]:
    """Where the answers in the store differ from what the source holds, and which values were given. Pays nothing.

    Of the table as it is now, and of the rows that `evaluate(shadow=…)` has asked.
    """
    from inlay.project import evaluated
    from inlay.project.evaluation import EvalOptions

    return evaluated.find_disagreements(declaration, options or EvalOptions(**named))


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


def write_dbt(
    declaration: Declaration,
    folder: str | Path,
    *,
    source_table: str | None = None,
    source: str | None = None,
    model: str | None = None,
    check: bool = False,
    force: bool = False,
) -> DbtChanges:
    """Write the declaration into the dbt project in `folder`: sources, a staging model, macros. The changes made.

    Files that are there are added to; what was written by hand is kept. `source_table` names the warehouse's table of
    the rows where the source is files or a query, `source` the dbt source of tables without a schema, `model` the
    staging model. `check` only tells what would change; `force` replaces what was edited between Inlay's marks, too.
    Asks no database. Idempotent; each file is written whole or not at all. Raises SpecError, TargetError.
    """
    from inlay.project import dbt

    return dbt.write_dbt(
        declaration, folder, source_table=source_table, source=source, model=model, check=check, force=force
    )


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


def unsure(declaration: Declaration, below: float, *, passes: Sequence[str] = (), fields: Sequence[str] = ()) -> Unsure:
    """The cells with an answer (in one of `fields`, or any) less sure than this, and what they cost. Pays nothing."""
    from inlay.project import keeping
    from inlay.project.session import Session

    with Session(declaration) as session:
        return keeping.unsure(session, below, passes=pass_names(session, passes), fields=fields)


def clear_unsure(declaration: Declaration, chosen: Unsure) -> dict[str, int]:
    """Forget the cells that `unsure` found, so that the next run asks them. Destructive; atomic a pass."""
    from inlay.project import keeping
    from inlay.project.session import Session

    with Session(declaration) as session:
        return keeping.clear_unsure(session, chosen)


def orphans(declaration: Declaration) -> Orphans:
    """Rows that the store knows and the source has no more. Reads the source's keys; writes nothing."""
    from inlay.project import keeping
    from inlay.project.session import Session

    with Session(declaration) as session:
        return keeping.orphans(session)


def prune_orphans(declaration: Declaration, found: Orphans, *, even_many: bool = False) -> dict[str, int]:
    """Delete what the store and the published table hold of rows that are gone from the source; corrections stay.

    Destructive, idempotent. Raises PlanError where the source is empty or has lost more than half of its rows, which
    looks like a load that failed, unless `even_many`.
    """
    from inlay.project import keeping
    from inlay.project.session import Session

    with Session(declaration) as session:
        return keeping.prune_orphans(session, found, even_many=even_many)


def forget(declaration: Declaration, keys: Sequence[Any]) -> Forgotten:
    """Erase rows for good, a person's for example: inputs, answers, evidence, history and corrections in the store, and
    their rows in the published table and its history. Works for rows that the source has no more.

    Destructive, idempotent. A row that the source still has is asked again by the next run: see `still_there`.
    """
    from inlay.project import keeping
    from inlay.project.session import Session

    with Session(declaration) as session:
        return keeping.forget_rows(session, keys)


def warm(declaration: Declaration, given: Warmth, *, dry_run: bool = False) -> Warmed:
    """Take answers over from a table or a file, by row key, for cells that have none: a run does not ask those.

    Pays nothing. Safe to repeat: what is answered is left alone. Raises SpecError for fields or columns that there are
    not, PlanError where the lines of one key differ.
    """
    from inlay.project.session import Session
    from inlay.project.warming import warm_cells

    with Session(declaration) as session:
        return warm_cells(session, given, dry_run=dry_run)


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
