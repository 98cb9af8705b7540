"""Open batches outside of a run: collecting what has ended for a look at the state, and cancelling one.

What stays true: nothing here orders anything, so nothing here costs money; a look never fails for a batch.
"""

from __future__ import annotations

from pathlib import Path

from inlay.batches import Batch
from inlay.errors import InlayError, SpecError, StoreError
from inlay.project.batching import Batching
from inlay.project.rounds import collect
from inlay.project.running import RunOptions, in_loop
from inlay.project.session import Session
from inlay.spec.model import Enrichment
from inlay.stores import liveness


def collected(declaration: str | Path | Enrichment) -> list[str]:
    """Collect what has ended, where batches are open and their keys are at hand; what to tell of it."""
    with Session(declaration) as session:
        if not session.store().journal.batches(session.enrichment.name):
            return []
    runner = liveness.new_runner()
    try:
        with Session(declaration, need_keys=True) as session:
            return collect(session, runner, RunOptions(), order=False)
    except InlayError as error:
        return [f"open batches were not looked at: {error.message}"]
    finally:
        liveness.retire(runner)


def cancel(session: Session, name: str) -> Batch:
    """See `project.cancel_batch`."""
    known = session.store(write=True).journal.batches(session.enrichment.name)
    found = [batch for batch in known if name and batch.submission.startswith(name.lower())]
    if len(found) != 1:
        shown = ", ".join(batch.submission[:8] for batch in found or known)
        raise SpecError(
            f"there are {len(found)} open batches that begin with {name!r}" if found else f"no open batch is {name!r}",
            key="BATCH",
            remedy=f"choose one of: {shown}"
            if shown
            else "none is open; `inlay batch list --all` shows those that are over",
        )
    runner = liveness.new_runner()

    async def work() -> Batch | None:
        async with Batching(session, runner, order=False) as batching:
            return await batching.cancel(found[0].submission)

    try:
        batch = in_loop(work)
    finally:
        liveness.retire(runner)
    if batch is None:
        raise StoreError(
            f"another process works on batch {found[0].submission}", remedy="stop that run (Ctrl-C), then cancel again"
        )
    return batch
