"""A run as a step of somebody else's job: switched by the environment, ended by actions, and never in its host's way.

    report = inlay.run("tenants.yaml", on_error="warn")      # a failed enrichment must not fail the load
    print(report.line)

    switches → whose turn is it → the run → after: commands and webhooks → report, or error

What stays true: with `on_error="warn"` nothing is raised but what ends the host itself (Ctrl-C, SystemExit); what
happened is in the report and, as a warning, in the log named `inlay`; actions are done whether the run went well,
stopped or raised; they can change neither its report's figures nor its exit code.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from inlay.engine.events import ActionFailed, RunWaiting
from inlay.errors import AlreadyRunning, InlayError
from inlay.project.actions import carry_out
from inlay.project.logs import told
from inlay.project.report import Report, ReportedError
from inlay.project.running import RunOptions, run_session
from inlay.project.session import Session
from inlay.project.switches import MEANWHILE, SKIP, Switches
from inlay.project.turns import Turn
from inlay.spec.load import load
from inlay.spec.model import ActionSpec, Enrichment

LOG = logging.getLogger("inlay")
SUCCESS, FAILURE, SKIPPED = "success", "failure", "skipped"


def embedded(declaration: str | Path | Enrichment, options: RunOptions) -> Report:
    """`inlay.run`, with everything around the run itself. Costs money; safe to call again at any time."""
    warn = options.on_error == "warn"
    enrichment: Enrichment | None = declaration if isinstance(declaration, Enrichment) else None
    try:
        switches = Switches.of(os.environ)
        if switches.skip:
            return _skipped(declaration, options)
        options, notes = switches.over(options)
        warn = options.on_error == "warn"
        _check(options)
        enrichment = declaration if isinstance(declaration, Enrichment) else load(declaration)
        report = _run(enrichment, options)
        report = replace(report, notes=(*notes, *report.notes))
    except Exception as error:
        report = Report.nothing(_name(enrichment or declaration), error=ReportedError.of(error))
        failed = _after(enrichment, report, options)
        if not warn:
            for sentence in failed:
                error.add_note(sentence)
            raise
        _warn(report, error)
        return replace(report, notes=tuple(failed))
    return replace(report, notes=(*report.notes, *_after(enrichment, report, options)))


def _check(options: RunOptions) -> None:
    from inlay.errors import SpecError

    for name, value, choices in (
        ("on_error", options.on_error, ("raise", "warn")),
        ("if_running", options.if_running or "join", MEANWHILE),
    ):
        if value not in choices:
            raise SpecError(f"{name} is {value!r}", key=name, remedy=f"it is one of: {', '.join(choices)}")


def _run(enrichment: Enrichment, options: RunOptions) -> Report:
    """Plan alone, or run once it is this run's turn."""
    from inlay import project

    if options.dry_run:
        refresh = tuple(reason.value for reason in options.refresh)
        plan = project.plan(enrichment, limit=options.limit, refresh=refresh, mode=options.mode)
        return Report.nothing(plan.enrichment, plan=plan, notes=plan.notes, dry_run=True, declaration=enrichment)
    limit = enrichment.select.limit if options.limit is None else options.limit
    with Session(enrichment, need_keys=limit != 0) as session, Turn(session) as turn:
        meanwhile = options.if_running or "join"
        session.check()  # a declaration that does not fit its source leaves nothing behind
        if not turn.take() and meanwhile != "join":
            who = turn.who()
            if meanwhile == "exit":
                return Report.nothing(session.enrichment.name, skipped=f"{who} is going", declaration=enrichment)
            _wait(turn, who, options)
        return run_session(session, options)


def _wait(turn: Turn, who: str, options: RunOptions) -> None:
    if options.listener is not None:
        options.listener(RunWaiting(who, options.wait_for_s))
    control = options.control
    if not turn.wait(options.wait_for_s, lambda: control is not None and control.asked):
        raise AlreadyRunning(
            f"{turn.who()} is still going after {options.wait_for_s:g} s",
            remedy="nothing was sent; run the same command again later, or wait longer (--wait-for, wait_for_s=…)",
        )


def _skipped(declaration: str | Path | Enrichment, options: RunOptions) -> Report:
    """Nothing is opened. Whoever waits for the end of the run is told all the same, as far as the file can be read."""
    enrichment: Enrichment | None = None
    try:
        enrichment = declaration if isinstance(declaration, Enrichment) else load(declaration)
    except InlayError:
        pass  # a wrong file is no reason to do something when told to do nothing
    name = _name(declaration) if enrichment is None else enrichment.name
    report = Report.nothing(name, skipped=f"{SKIP} is set", declaration=enrichment)
    return replace(report, notes=tuple(_after(enrichment, report, options)))


def _name(declaration: str | Path | Enrichment) -> str:
    return declaration.name if isinstance(declaration, Enrichment) else Path(str(declaration)).stem


def _warn(report: Report, error: Exception) -> None:
    facts = told(error)
    remedy = f" ({facts['remedy']})" if facts["remedy"] else ""
    trace = bool(os.environ.get("INLAY_TRACEBACK"))
    LOG.warning("%s: %s%s", report.enrichment, facts["message"], remedy, exc_info=error if trace else None)


# --- after the run ---------------------------------------------------------------------------------------------------


def _after(enrichment: Enrichment | None, report: Report, options: RunOptions) -> Sequence[str]:
    """Do what the declaration wants done now; a sentence for each action that failed."""
    if enrichment is None or not enrichment.after or report.dry_run:
        return []
    how = outcome_for_actions(report)

    def wanted(action: ActionSpec) -> bool:
        return (SUCCESS if how == SKIPPED else how) in action.when

    failed = carry_out(enrichment, "after", message(report, how), os.environ, wanted=wanted)
    if options.listener is not None:
        for sentence in failed:
            options.listener(ActionFailed(sentence))
    return failed


def outcome_for_actions(report: Report) -> str:
    """success: it came to its end, even where some cells failed; failure: it stopped early or raised; skipped."""
    if report.skipped:
        return SKIPPED
    return FAILURE if report.error is not None or report.stopped is not None else SUCCESS


def message(report: Report, how: str) -> dict[str, Any]:
    """What an `after` action reads. Keys are stable; no text of a record and no secret is among it."""
    stopped = report.stopped
    return {
        "event": "run_ended",
        "id": uuid.uuid4().hex,
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "enrichment": report.enrichment,
        "outcome": how,
        "exit_code": report.exit_code,
        "line": report.line,
        "run": report.run_id or None,
        "selected": report.plan.rows_selected,
        "enriched": report.enriched,
        "failed": report.failed,
        "cost_usd": report.summary["cost_usd"],
        "seconds": round(report.seconds, 3),
        "published": report.published,
        "published_rows": report.published_rows,
        "stopped": None if stopped is None else {"kind": stopped.kind, "message": stopped.message},
        "error": None if report.error is None else {"kind": report.error.kind, "message": report.error.message},
        "skipped": report.skipped or None,
    }
