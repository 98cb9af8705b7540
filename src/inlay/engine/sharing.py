"""Which asks go out as one call.

What stays true: only what is ready at the same time shares a call, and nothing waits for company while its lane is
idle; what was sent in vain in a shared call goes again in a smaller one, or alone; a call whose worst case is not
covered by what its asks have reserved is taken apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from inlay.engine.passwork import PassWork, Variant
from inlay.engine.together import FULL_PACK, LARGEST_CALL, Record, Shared, fits, fuse_groups, pack_size
from inlay.engine.work import Call
from inlay.errors import SpecError
from inlay.providers.prices import estimate_tokens

_LOOKED_AT = 256  # records of a queue that are looked at for one pack


class Sharing:
    """Fusing and packing over one run."""

    def __init__(self, passes: Sequence[PassWork]) -> None:
        fuse_groups(passes)
        self._shapes: dict[tuple[int, ...], Shared | None] = {}
        self._kept: list[Variant] = []  # so that no variant's id is ever another's
        self._most: dict[str, int] = {}
        for part in passes:
            for step in part.steps():
                self._most[step.lane] = max(self._most.get(step.lane, 1), pack_size(step))

    def together(self, work: PassWork, works: Sequence[PassWork]) -> Shared | None:
        """The call of one row that this pass goes out in, with all the passes that are fused with it; None if alone."""
        group = [other for other in works if work.fuse is not None and other.fuse == work.fuse]
        if not group:
            return None
        variants = [other.variant() for other in group]
        return self._shape_of(tuple(id(variant) for variant in variants), variants, packed=False)

    def most(self, lane: str) -> int:
        """The most records in one call of this lane."""
        return self._most[lane]

    def take(self, lane: str, queue: deque[Record], *, idle: bool) -> list[Record]:
        """Take the records of the next call from a queue that is not empty; none where it is better to wait."""
        first = queue.popleft()
        if self._most[lane] == 1:
            return [first]
        size = self._size(first)
        if size == 1:
            return [first]
        key, pack = self._key(first), first[0].work.spec.pack
        tokens = self._tokens(first)
        if not fits(pack, 0, 0, tokens):
            return [first]
        taken, passed, full = [first], [], False
        while queue and len(taken) < size and len(passed) < _LOOKED_AT:
            record = queue.popleft()
            more = self._tokens(record)
            most = self._size(record)
            if most <= len(taken) or self._key(record) != key or not fits(pack, len(taken), 0, more):
                passed.append(record)
            elif not fits(pack, len(taken), tokens, more):
                passed.append(record)
                full = True
                break
            else:
                taken.append(record)
                tokens += more
                size = min(size, most)
        if not idle and not full and len(taken) < size and len(passed) < _LOOKED_AT:
            queue.extendleft(reversed([*taken, *passed]))
            return []
        queue.extendleft(reversed(passed))
        return taken

    def calls(self, records: Sequence[Record]) -> list[Call]:
        """Calls for records that were to go together, as far as they still can."""
        if len(records) == 1 and len(records[0]) == 1:
            return [Call([records[0]])]
        groups: dict[tuple[int, ...], list[Record]] = {}
        for record in records:
            groups.setdefault(self._key(record), []).append(record)
        out: list[Call] = []
        for key, group in groups.items():
            shared = self.shape(group) if len(key) > 1 or len(group) > 1 else None
            if shared is not None and shared.usable and shared.affordable(group):
                out.append(Call(group, shared))
            elif len(group) > 1:
                out += [call for record in group for call in self.calls([record])]
            else:
                out += [Call([[ask]]) for ask in group[0]]
        return out

    def shape(self, group: list[Record]) -> Shared | None:
        """What builds the call of these records, all of the same passes; None where the provider cannot take it."""
        key = self._key(group[0])
        variants = [ask.work.variant(ask.names, ask.repair) for ask in group[0]]
        return self._shape_of(key, variants, packed=len(group) > 1)

    def _shape_of(self, key: tuple[int, ...], variants: list[Variant], *, packed: bool) -> Shared | None:
        place = (*key, int(packed))
        if place not in self._shapes:
            self._kept += variants
            try:
                self._shapes[place] = Shared(variants, packed=packed)
            except SpecError:  # too much for one answer of this provider
                self._shapes[place] = None
        return self._shapes[place]

    def _key(self, record: Record) -> tuple[int, ...]:
        return tuple(id(ask.work.variant(ask.names, ask.repair)) for ask in record)

    def _size(self, record: Record) -> int:
        """How many records may be in this one's call."""
        if any(ask.alone for ask in record):
            return 1
        size = min(pack_size(ask.work) for ask in record)
        most = min((ask.most for ask in record if ask.most), default=size)
        return max(1, min(size, most))

    def _tokens(self, record: Record) -> int:
        return max(estimate_tokens(ask.user)[0] for ask in record)


def expected_pack(work: PassWork, tokens: int) -> int:
    """How many records of so many tokens a call of this pass is expected to hold, once many are waiting."""
    size = pack_size(work)
    if size == 1 or not fits(work.spec.pack, 0, 0, tokens):
        return 1
    most = FULL_PACK if work.spec.pack == "auto" else LARGEST_CALL
    return max(1, min(size, most // max(1, tokens)))
