"""The care of single rows: unsure answers, rows that are gone from the source, people who want to be forgotten.

What stays true: nothing is deleted that was not counted and shown before; a source that is empty or has lost most of
its rows is taken for a failed load, and nothing of it is an orphan; what is forgotten is gone from the store's own
bytes, from the published table and from its history, whether or not the source still has the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from inlay.errors import PlanError, SpecError
from inlay.payload import decode_fields
from inlay.project.erasing import erase_published
from inlay.project.keys import shown_key, stored_key
from inlay.project.session import UNKNOWN, Session
from inlay.spec.problems import suggest
from inlay.tables.choosing import only
from inlay.tables.keys import missing_keys
from inlay.tables.sql import connect
from inlay.types import usd

CHUNK = 2_000
# Orphans are a part of the rows that runs have reached; more than this share looks like a load that failed.
MOST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Unsure:
    """Cells whose answer is less sure than wanted, by pass; what they cost is the best guess at asking them again."""

    keys: dict[str, list[str]]
    cost_usd: float

    @property
    def cells(self) -> int:
        """How many there are."""
        return sum(map(len, self.keys.values()))


def unsure(session: Session, below: float, *, passes: Sequence[str], fields: Sequence[str]) -> Unsure:
    """The answered cells with a field (one of `fields`, or any) whose confidence is below this. Reads the store."""
    if not 0 < below <= 1:
        raise SpecError(f"{below:g} is no confidence", key="--below", remedy="give a number above 0, and 1 at most")
    known = {name: spec.name for spec in session.passes for name in spec.fields}
    for name in fields:
        if name not in known:
            raise SpecError(f"there is no field {name!r}", key="--field", remedy=suggest(name, known))
    found: dict[str, list[str]] = {}
    cost = 0
    store = session.store()
    for spec, ref in zip(session.passes, session.refs(), strict=True):
        if ref.pass_id == UNKNOWN or (passes and spec.name not in passes):
            continue
        for keys in _chunks(_cell_keys(session, ref.pass_id)):
            for key, cell in store.read_cells(ref.pass_id, keys).items():
                if cell.answer is None or not cell.answer.payload:
                    continue
                answers = decode_fields(cell.answer.payload)
                if any(
                    answer.confidence is not None and answer.confidence < below
                    for name, answer in answers.items()
                    if not fields or name in fields
                ):
                    found.setdefault(spec.name, []).append(key)
                    cost += cell.answer.cost_nusd
    return Unsure(found, usd(cost))


def clear_unsure(session: Session, chosen: Unsure) -> dict[str, int]:
    """Forget these cells, so that the next run asks them. Destructive; atomic a pass."""
    out: dict[str, int] = {}
    store = session.store(write=True)
    for name, keys in chosen.keys.items():
        _add(out, store.clear(enrichment=session.enrichment.name, pass_name=name, keys=keys))
    return out


# --- rows that are gone from the source


@dataclass(frozen=True, slots=True)
class Orphans:
    """Rows that the store knows and the source has no more. `rows` are in the source now, `known` in the store."""

    keys: tuple[str, ...]
    rows: int
    known: int

    @property
    def many(self) -> bool:
        """Whether so many are gone that the source has probably not been loaded well."""
        return bool(self.keys) and (not self.rows or len(self.keys) > MOST_SHARE * self.known)


def orphans(session: Session) -> Orphans:
    """Compare the store's rows with the source's. Reads the source's keys, writes nothing."""
    session.check()
    known: set[str] = set()
    for ref in session.refs():
        if ref.pass_id != UNKNOWN:
            known.update(_cell_keys(session, ref.pass_id))
    key = session.enrichment.source.key
    with closing(connect()) as con:
        gone = missing_keys(con, session.source, key, known)
        narrow = only(session.source, key)
        (rows,) = con.execute(f"SELECT count(*) FROM {narrow.attach(con)}").fetchall()[0]  # noqa: S608 (our relation)
    return Orphans(tuple(sorted(gone)), int(rows), len(known))


def prune_orphans(session: Session, found: Orphans, *, even_many: bool = False) -> dict[str, int]:
    """Delete what the store and the published tables hold of them; corrections stay. Destructive, idempotent.

    Raises PlanError where the source is empty or has lost more than half of its rows, unless `even_many`.
    """
    if found.many and not even_many:
        lost = "is empty" if not found.rows else f"has lost {len(found.keys):,} of the {found.known:,} rows known"
        raise PlanError(
            f"{session.source.title} {lost}: that looks like a load that failed, so nothing was deleted",
            remedy="load it again; if it is meant, say so: --yes",
        )
    out: dict[str, int] = {}
    for keys in _chunks(found.keys):
        _add(out, erase_published(session, keys))
        _add(out, session.store(write=True).clear(enrichment=session.enrichment.name, keys=keys))
    return out


# --- people who want to be forgotten


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went: `deleted` counts by kind. `still_there` are keys that the source still has: the next run would ask
    them again."""

    deleted: dict[str, int]
    still_there: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)


def forget_rows(session: Session, keys: Sequence[Any]) -> Forgotten:
    """Erase rows everywhere. See `inlay.project.forget`."""
    from inlay.project.known import GOLDEN, SHADOW
    from inlay.project.publishing import publish

    enrichment = session.enrichment
    wanted = list(dict.fromkeys(stored_key(enrichment, key) for key in keys))
    # The published rows go first: should this be cut short, the store still knows whom it is about.
    deleted = erase_published(session, wanted)
    # What evaluations asked of them is kept apart, and would hold on to the answers.
    for name in (enrichment.name, enrichment.name + SHADOW, enrichment.name + GOLDEN):
        _add(deleted, session.store(write=True).forget(name, wanted))
    notes = []
    there, problem = _still_there(session, wanted)
    if problem:
        notes.append(f"the source could not be looked at ({problem}), so nobody knows whether it still has the row")
    if there:
        shown = ", ".join(shown_key(enrichment, key) for key in there)
        notes.append(
            f"still in the source: {shown}; the next run asks again, unless they are deleted or left out there"
        )
    if deleted.get("batch_lines"):
        notes.append(f"files of open batches in {session.batch_folder} hold what was sent, until a run collects them")
    if enrichment.output.files is not None and not problem:
        path = session.target(enrichment.output.files)
        if path.exists():
            publish(session, session.refs(), path)
            notes.append(f"{path.name} was written anew")
    notes.append("backups, and files that you exported, are yours to mend")
    return Forgotten(deleted, tuple(shown_key(enrichment, key) for key in there), tuple(notes))


def _still_there(session: Session, keys: Sequence[str]) -> tuple[list[str], str]:
    from inlay.errors import InlayError

    try:
        with closing(connect()) as con:
            gone = missing_keys(con, session.source, session.enrichment.source.key, keys)
    except InlayError as error:
        return [], error.message
    return [key for key in keys if key not in gone], ""


def _cell_keys(session: Session, pass_id: int) -> Iterator[str]:
    for batch in session.store().scan_cells(pass_id, ("key",)):
        yield from batch.column(0).to_pylist()


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _add(into: dict[str, int], counts: dict[str, int]) -> None:
    for kind, count in counts.items():
        into[kind] = into.get(kind, 0) + count
