"""From the store to a page that people read: the report of an enrichment."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from inlay.errors import SpecError
from inlay.project.account import Saved, saved_of
from inlay.project.session import Session
from inlay.publish.write import write_file
from inlay.reporting.facts import Facts, Saving
from inlay.reporting.gather import SAMPLES, Subject, gather
from inlay.reporting.page import render

REPORT_FILE = "report.html"
MOST_SAMPLES = 50


def facts(session: Session, *, samples: int = SAMPLES) -> Facts:
    """What a report says. Reads source and store; writes nothing, costs nothing."""
    if not 0 <= samples <= MOST_SAMPLES:
        raise SpecError(
            f"cannot show {samples} sample rows", key="samples", remedy=f"choose a number from 0 to {MOST_SAMPLES}"
        )
    session.check()
    parts = zip(session.compiled, session.refs(), session.labels, session.priced, strict=True)
    subjects = [Subject(compiled.spec, ref, label, priced) for compiled, ref, label, priced in parts]
    found = gather(
        session.enrichment,
        session.source,
        session.store(),
        subjects,
        made_at=time.time(),
        most_samples=samples,
    )
    return replace(found, savings=_savings(saved_of(session)))


def _savings(saved: Saved) -> tuple[Saving, ...]:
    found = (
        Saving("rows with equal inputs, answered once", saved.reuse_calls, saved.reuse_usd),
        Saving("fused and packed calls", saved.shared_calls, saved.shared_usd),
        Saving("batches, against the live price", None, saved.batch_usd),
        Saving("the provider's prompt cache", None, saved.cache_usd),
    )
    return tuple(saving for saving in found if saving.calls or saving.usd)


def write(session: Session, target: str | Path | None, *, samples: int = SAMPLES) -> Path:
    """Write the page; its path. Without `target` it stands beside the declaration. Atomic."""
    path = _place(session, target)
    write_file(path, render(facts(session, samples=samples)).encode())
    return path


def _place(session: Session, target: str | Path | None) -> Path:
    """Where the page goes. A file that is no report of ours is only replaced where somebody named it."""
    if target is not None:
        path = Path(target)
        if path.suffix.lower() not in (".html", ".htm"):
            raise SpecError(
                f"a report is a web page, and {path.name!r} does not end in .html",
                key="output",
                remedy=f"name it {path.with_suffix('.html').name}",
            )
        return path
    path = session.enrichment.folder / REPORT_FILE
    if path.is_file() and b'content="Inlay ' not in path.read_bytes()[:2000]:
        raise SpecError(
            f"{path} is there already, and Inlay did not write it",
            key="output",
            remedy="name another file with -o; -o replaces whatever it names",
        )
    return path
