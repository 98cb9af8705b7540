"""The part of the store contract that is about lanes: see `inlay.testing.store_contract`."""

from __future__ import annotations

from pathlib import Path

from inlay.testing.store_scene import StoreOpening
from inlay.types import LaneNote

LANE = "compatible:模型 'x' https://api.example/v1"
BUSY, QUIET = LaneNote(LANE, True), LaneNote(LANE, False)


class LanesContract(StoreOpening):
    """What runners on one store tell one another of the limits they share."""

    def test_each_hears_what_the_others_noted_last_of_its_own_lanes(self, tmp_path: Path) -> None:
        store = self.scene(tmp_path).store
        told = LaneNote(LANE, True, 1_795_176_010.5, 599.5, 1e9, 1_795_175_999.25)
        other = LaneNote("مزود", True)
        assert store.share_lanes("a", [told]) == {LANE: ()}
        assert store.share_lanes("a", [told]) == {LANE: ()}, "its own notes are not told it"
        assert store.share_lanes("b", [QUIET, other]) == {LANE: (told,), other.lane: ()}
        assert store.share_lanes("a", [BUSY]) == {LANE: (QUIET,)}
        heard = store.share_lanes("c", [other])
        assert heard == {other.lane: (other,)}, "nothing of lanes that it does not work on"
        assert set(store.share_lanes("d", [QUIET])[LANE]) == {BUSY, QUIET}
        assert store.verify() == []

    def test_who_leaves_dies_or_falls_silent_takes_nothing_of_a_lane(self, tmp_path: Path) -> None:
        dead: set[str] = set()
        scene = self.scene(tmp_path, dead)
        store = scene.store
        for runner in "ab":
            store.share_lanes(runner, [BUSY])
        assert store.share_lanes("c", [QUIET]) == {LANE: (BUSY, BUSY)}
        assert store.share_lanes("b", []) == {}
        assert store.share_lanes("c", [QUIET]) == {LANE: (BUSY,)}
        dead.add("a")
        assert store.share_lanes("c", [QUIET]) == {LANE: ()}
        dead.clear()
        assert store.share_lanes("c", [QUIET]) == {LANE: ()}, "the notes of the dead are gone for good"
        scene.clock.now += 5
        assert store.share_lanes("d", [BUSY]) == {LANE: (QUIET,)}
        scene.clock.now += 9
        assert store.share_lanes("e", [BUSY]) == {LANE: (BUSY,)}
        assert store.verify() == []

    def test_the_end_of_a_run_leaves_its_lanes(self, tmp_path: Path) -> None:
        scene = self.scene(tmp_path)
        run, other = scene.begin("a"), scene.begin("b")
        for runner in "ab":
            scene.store.share_lanes(runner, [BUSY])
        scene.store.end_run(run.run_id, outcome="cancelled", summary={})
        assert scene.store.share_lanes("c", [BUSY]) == {LANE: (BUSY,)}
        scene.store.end_run(other.run_id, outcome="done", summary={})
        assert scene.store.share_lanes("d", [BUSY]) == {LANE: (BUSY,)}, "c alone"
