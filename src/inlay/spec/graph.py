"""The order of passes: a pass comes after those whose answers it reads.

What stays true: passes that do not depend on each other keep the order of the file, so the same declaration always
gives the same order; a circle is an error that names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from inlay.errors import SpecError
from inlay.spec.model import PassSpec


def find_cycle(passes: Sequence[PassSpec]) -> tuple[str, ...]:
    """The names of a circle of passes, the first repeated at the end; empty when there is none."""
    reads = {spec.name: list(spec.upstream_passes) for spec in passes}
    reads = {name: [other for other in others if other in reads] for name, others in reads.items()}
    left = dict(reads)
    while True:  # take away what depends on nothing that is left; what stays lies on a circle or behind one
        free = [name for name, others in left.items() if not any(other in left for other in others)]
        if not free:
            break
        for name in free:
            del left[name]
    if not left:
        return ()
    walk = [next(iter(left))]
    while True:
        following = next(name for name in left[walk[-1]] if name in left)
        if following in walk:
            return (*walk[walk.index(following) :], following)
        walk.append(following)


def ordered(passes: Sequence[PassSpec]) -> tuple[PassSpec, ...]:
    """The passes so that each stands after all that it reads; otherwise in the order of the declaration.

    Raises SpecError where passes read each other in a circle.
    """
    if cycle := find_cycle(passes):
        raise SpecError(cycle_message(cycle), remedy=CYCLE_REMEDY)
    names = {spec.name for spec in passes}
    placed: dict[str, PassSpec] = {}
    waiting = list(passes)
    while waiting:
        for spec in waiting:
            if all(name in placed or name not in names for name in spec.upstream_passes):
                placed[spec.name] = spec
                waiting.remove(spec)
                break
    return tuple(placed.values())


CYCLE_REMEDY = "a pass can only read passes that do not read it; take one of these references out"


def cycle_message(cycle: Sequence[str]) -> str:
    """One sentence that names a circle of passes."""
    if len(cycle) == 2:
        return f"the pass `{cycle[0]}` reads its own answers"
    return f"passes read each other in a circle: {' → '.join(cycle)}"
