"""Lanes in an SQL store: which runners press one provider, endpoint and model now.

What stays true: a runner writes its own rows alone; rows of dead runners and old ones count for nothing and are removed
by whoever meets them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from inlay.stores.attempts import Alive
from inlay.types import LaneNote

LANE_MS = 10_000  # a note that is older counts for nothing


def share_lanes(
    con: sqlite3.Connection, runner: str, notes: Sequence[LaneNote], *, now_ms: int, alive: Alive
) -> dict[str, tuple[LaneNote, ...]]:
    """See `contracts.Store.share_lanes`; inside the caller's write transaction."""
    if not notes:
        con.execute("DELETE FROM lanes WHERE runner = ?", (runner,))
        return {}
    con.executemany(
        "INSERT INTO lanes (lane, runner, expires_at, busy, gate_until) VALUES (?, ?, ?, ?, ?) ON CONFLICT "
        "(lane, runner) DO UPDATE SET expires_at = excluded.expires_at, busy = excluded.busy, "
        "gate_until = excluded.gate_until",
        [(note.lane, runner, now_ms + LANE_MS, note.busy, int(note.gate_until * 1000)) for note in notes],
    )
    found: dict[str, list[LaneNote]] = {note.lane: [] for note in notes}
    rows = con.execute("SELECT lane, runner, expires_at, busy, gate_until FROM lanes WHERE runner <> ?", (runner,))
    for lane, other, expires, busy, gate in rows.fetchall():
        if not alive(other, expires, now_ms):
            con.execute("DELETE FROM lanes WHERE lane = ? AND runner = ?", (lane, other))
        elif lane in found:
            found[lane].append(LaneNote(lane, bool(busy), gate / 1000))
    return {lane: tuple(others) for lane, others in found.items()}
