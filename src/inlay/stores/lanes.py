"""Lanes in an SQL store: which runners press one provider, endpoint and model now, and what it told them.

What stays true: a runner writes its own rows alone; rows of dead runners and old ones count for nothing and are removed
by whoever meets them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from inlay.stores.attempts import Alive
from inlay.stores.rows import has_table
from inlay.stores.transactions import Con
from inlay.types import LaneNote

LANE_MS = 10_000  # a note that is older counts for nothing

_SAID = ("busy", "gate_until", "requests", "tokens", "told_at")


def share_lanes(
    con: Con, runner: str, notes: Sequence[LaneNote], *, now_ms: int, alive: Alive
) -> dict[str, tuple[LaneNote, ...]]:
    """See `contracts.Store.share_lanes`; inside the caller's write transaction."""
    if not notes:
        leave(con, runner)
        return {}
    names = ("expires_at", *_SAID)
    con.executemany(
        f"INSERT INTO lanes (lane, runner, {', '.join(names)}) VALUES (?, ?{', ?' * len(names)}) "
        f"ON CONFLICT (lane, runner) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names)}",
        [(note.lane, runner, now_ms + LANE_MS, *_row(note)) for note in notes],
    )
    found: dict[str, list[LaneNote]] = {note.lane: [] for note in notes}
    rows = con.execute(f"SELECT lane, runner, expires_at, {', '.join(_SAID)} FROM lanes WHERE runner <> ?", (runner,))
    for lane, other, expires, *said in rows.fetchall():
        if not alive(other, expires, now_ms):
            con.execute("DELETE FROM lanes WHERE lane = ? AND runner = ?", (lane, other))
        elif lane in found:
            found[lane].append(_note(lane, said))
    return {lane: tuple(others) for lane, others in found.items()}


def leave(con: Con, runner: str) -> None:
    """Forget what a runner noted; inside the caller's write transaction."""
    con.execute("DELETE FROM lanes WHERE runner = ?", (runner,))


def problems(con: Con) -> Iterator[str]:
    """One sentence for each note that nobody can have written."""
    if not has_table(con, "lanes"):
        return
    for lane, runner, *said in con.execute(f"SELECT lane, runner, expires_at, {', '.join(_SAID)} FROM lanes"):
        if not all(isinstance(value, (int, float)) and math.isfinite(value) and value >= 0 for value in said):
            yield f"what runner {runner!r} noted of the lane {lane!r} makes no sense"


def _row(note: LaneNote) -> tuple[float, ...]:
    gate, told = int(note.gate_until * 1000), int(note.told_at * 1000)
    return int(note.busy), gate, note.requests_per_minute, note.tokens_per_minute, told


def _note(lane: str, said: Sequence[float]) -> LaneNote:
    busy, gate, requests, tokens, told = said
    return LaneNote(lane, bool(busy), gate / 1000, requests, tokens, told / 1000)
