"""What can go wrong with calls of several asks and with cascades: money, strange names, refusals, silence, and passes
that ask the very same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from durable_scene import Scene, texts
from obliging import answers, obliging, records_of, spoiling

from inlay import project
from inlay.errors import StoreError
from inlay.stores.sqlite import SqliteStore
from inlay.testing import SimRequest, Simulator

ROWS = 40
MOOD = {"mood": {"type": "enum", "values": ["good", "bad"], "confidence": True}}


@contextmanager
def place(folder: Path, answer: Callable[[SimRequest], Any] | None = obliging, **settings: Any) -> Iterator[Scene]:
    folder.mkdir(exist_ok=True)
    with Simulator(answer, **settings) as sim:
        scene = Scene(folder, sim)
        scene.rows(texts(ROWS))
        yield scene


def in_order(scene: Scene) -> None:
    scene.is_sound()
    scene.nothing_open()


def in_time(work: Callable[[], Any], seconds: float = 60) -> Any:
    """What a run gives that might hang."""
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert out, "the run hangs, or has failed"
    return out[0]


# --- money -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [5, 9, 17, 33])
def test_a_pack_costs_no_more_than_its_asks_have_reserved(tmp_path: Path, rows: int) -> None:
    """A model that fills all the room it is given, whatever the size of the pack."""
    prices = {"input_per_million": 0.1, "output_per_million": 3}
    with place(tmp_path / "a", prices={"*": prices}, completion_tokens=10**6) as scene:
        scene.rows(texts(rows))
        scene.declare(passes=[scene.one_pass(pack=64, max_output_tokens=220, prices=prices)])
        scene.run()
        calls = scene.ledger.calls
        assert calls[0].completion_tokens > 220, "they went together"
        with scene.open_store() as store, store._db.read() as con:
            query = "SELECT cost, reserved FROM attempts ORDER BY attempt_id"
            booked = con.execute(query).fetchall()
        assert calls[0].cost_nusd == sum(cost for cost, _ in booked[:rows]) <= sum(kept for _, kept in booked[:rows])
        assert scene.ledger.billed_nusd == sum(cost for cost, _ in booked)
        in_order(scene)


def test_passes_of_different_prices_are_not_fused(tmp_path: Path) -> None:
    with place(tmp_path / "a") as scene:
        dear = {"input_per_million": 1, "output_per_million": 5}
        one = scene.one_pass("one", fields={"one": "string"})
        scene.declare(passes=[one, scene.one_pass("two", fields={"two": "string"}, prices=dear)])
        assert scene.calls_of() == 2 * ROWS


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_provider_that_takes_no_shared_schema_is_asked_one_by_one(tmp_path: Path) -> None:
    fault = {"fault": "http_400_schema", "record": "s, one a line|The tasks;", "share": 1.0}
    with place(tmp_path / "one") as one, place(tmp_path / "many", faults=[fault]) as many:
        for scene, more in ((one, {}), (many, {"pack": 8})):
            passes = [scene.one_pass(name, fields={name: "string"}, **more) for name in ("first", "second")]
            scene.declare(passes=passes, limits={"concurrency": 4})
        one.run()
        assert many.run().exit_code == 0
        assert len(many.ledger) <= 2 * ROWS + 8, "five packs that were claimed at once, and one question to the server"
        assert one.table(costs=False) == many.table(costs=False)
        in_order(many)


def test_a_pack_that_times_out_is_not_paid_for_at_every_size(tmp_path: Path) -> None:
    fault = {"fault": "reset_mid_body", "record": "s, one a line", "share": 1.0}
    with place(tmp_path / "many", faults=[fault]) as many:
        many.rows(texts(16))
        many.declare(passes=[many.one_pass(pack=16)], limits={"concurrency": 4})
        assert many.calls_of() <= 3 + 16
        in_order(many)


def test_two_refused_halves_find_the_record_among_newcomers(tmp_path: Path) -> None:
    bad = texts(400)[13]["text"]
    fault = {"fault": "http_400_filter", "record": json.dumps(bad, ensure_ascii=False)[1:-1] + '"', "share": 1.0}
    with place(tmp_path / "many", faults=[fault, {**fault, "record": bad + "$"}]) as many:
        many.rows(texts(400))
        many.declare(passes=[many.one_pass(pack=16)], limits={"concurrency": 2})
        report = many.run()
        (part,) = report.summary["passes"]
        assert (part["done"], part["failed"]) == (399, {"content_filtered": 1})
        assert report.summary["calls"] <= 25 + 2 * 5 + 4


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 17, 33, 100])
def test_nobody_waits_for_company_that_does_not_come(tmp_path: Path, rows: int) -> None:
    with place(tmp_path / "many", latency="uniform:0.001,0.02") as many:
        for turn in range(4):
            many.rows(texts(rows))
            many.declare(
                passes=[
                    many.one_pass(f"read{turn}", f"{turn} {{{{ text }}}}", pack=32, fields={f"n{turn}": MOOD["mood"]}),
                    many.one_pass(
                        f"next{turn}", f"{turn} {{{{ passes.read{turn}.n{turn} }}}} of {{{{ text }}}}", pack=32
                    ),
                ],
                limits={"concurrency": 2},
            )
            report = in_time(lambda: many.run(yes=True))
            assert report.exit_code == 0
        in_order(many)


def test_a_store_that_breaks_while_a_try_is_booked_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise StoreError("the disk is full", remedy="make room")

    with place(tmp_path / "many", faults=[{"fault": "hang_up", "calls": [2], "share": 1.0}]) as many:
        many.declare(passes=[many.one_pass(pack=16)])
        with monkeypatch.context() as patch:
            patch.setattr(SqliteStore, "extend", broken)
            found = in_time(lambda: _error_of(lambda: many.run()), 30)
        assert isinstance(found, StoreError)
        many.run()
        in_order(many)


def _error_of(work: Callable[[], Any]) -> Exception | None:
    try:
        work()
    except Exception as error:  # judged by the caller, in another thread
        return error
    return None


# --- names and texts -------------------------------------------------------------------------------------------------


def test_only_what_the_prompt_reads_is_sent(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: SimRequest) -> str:
        seen.extend(values for _, values in records_of(request))
        return obliging(request)

    with place(tmp_path / "many", answer) as many:
        many.rows([{**row, "other": "" if number else "o"} for number, row in enumerate(texts(20))])
        prompt = "Of {{ text }} and {{ other }}"
        many.declare(passes=[many.one_pass(prompt=prompt, inputs=["text", "id", "other"], pack=10)])
        many.run()
    assert {tuple(sorted(values)) for values in seen} == {("other", "text")}


def test_a_prompt_with_logic_is_packed_as_it_is(tmp_path: Path) -> None:
    seen: list[str] = []

    def answer(request: SimRequest) -> str:
        seen.append(request.user)
        return obliging(request)

    prompt = "{% if other %}Read this review: {{ text }}{% endif %}"
    with place(tmp_path / "one") as one, place(tmp_path / "many", answer) as many:
        one.declare(passes=[one.one_pass(prompt=prompt)])
        many.declare(passes=[many.one_pass(prompt=prompt, pack=10)])
        one.run()
        assert many.calls_of() == ROWS / 10
        assert one.table(costs=False) == many.table(costs=False)
    assert all('"prompt":"Read this review: ' in user and '"record"' not in user for user in seen)


NAMES = ['the "text"', "a {brace} b", "テキスト 😀", "read.sentiment", "prompt", "id", "answers"]


@pytest.mark.parametrize("column", NAMES)
def test_columns_of_any_name_travel_together(tmp_path: Path, column: str) -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: SimRequest) -> str:
        found = list(records_of(request))
        seen.extend(values for name, values in found if name)
        return obliging(request)

    quoted = f"row['{column}']"
    with place(tmp_path / "many", answer) as many:
        many.rows([{"key": row["id"], column: row["text"]} for row in texts(ROWS)])
        later = f"{{{{ passes.read.sentiment }}}} of {{{{ {quoted} }}}}"
        passes = [
            many.one_pass(prompt=f"Of {{{{ {quoted} }}}}", pack=10),
            many.one_pass("later", later, pack=10, fields={"later": "string"}),
        ]
        many.declare(source={"files": "rows.csv", "key": "key"}, passes=passes)
        assert many.run().exit_code == 0
        in_order(many)
    assert {values[column] for values in seen} == {row["text"] for row in texts(ROWS)}


def test_fields_and_passes_of_the_same_names(tmp_path: Path) -> None:
    with place(tmp_path / "one") as one, place(tmp_path / "many") as many:
        for scene, more in ((one, {"fuse": "never"}), (many, {"pack": 8})):
            scene.declare(
                passes=[
                    scene.one_pass("alpha", fields={"beta": "string", "nulls": "integer"}, **more),
                    scene.one_pass("beta", fields={"alpha": "a|b", "answers": "string"}, **more),
                    scene.one_pass("nulls", fields={"id": "boolean", "answer": "string"}, prefix="n_", **more),
                ]
            )
            assert scene.run().exit_code == 0
        assert len(many.ledger) == ROWS / 8
        assert one.table(costs=False) == many.table(costs=False)


def test_many_fields_in_one_call_or_in_as_many_as_the_provider_takes(tmp_path: Path) -> None:
    with place(tmp_path / "one") as one, place(tmp_path / "many") as many:
        for scene, more in ((one, {"fuse": "never"}), (many, {"pack": 4})):
            scene.rows(texts(8))
            scene.declare(
                passes=[
                    scene.one_pass(
                        f"p{part}",
                        fields={
                            f"f{part}_{n}": {"type": "string", "evidence": True, "confidence": True} for n in range(24)
                        },
                        **more,
                    )
                    for part in range(4)
                ]
            )
            plan = project.plan(scene.file)
            assert scene.calls_of() == plan.calls
        assert one.table(costs=False) == many.table(costs=False)


def test_a_broken_pack_does_not_settle_what_contradicts_itself(tmp_path: Path) -> None:
    """An entry that gives one field twice, in a text that is no JSON as a whole, and a lone surrogate in another."""

    def answer(request: SimRequest) -> str:
        said = answers(request)
        if not isinstance(said, dict) or set(said) != {"answers"}:
            return json.dumps(said)
        lines = [json.dumps(entry) for entry in said["answers"]]
        lines[0] = lines[0].replace('"stars": ', '"stars": 1, "stars": 2, "gone": ')
        lines[1] = lines[1].replace('"topics": [', '"topics": ["\\ud800", ').replace('"stars": ', '"stars": "x", "y": ')
        return "[" + " ".join(lines)

    with place(tmp_path / "one") as one, place(tmp_path / "many", answer) as many:
        one.declare(passes=[one.one_pass()])
        many.declare(passes=[many.one_pass(pack=10)])
        one.run()
        assert many.calls_of() == ROWS / 10 * 3, "two of ten are asked again, for what was wrong"
        stars = [row["stars"] for row in one.rows_out()]
        assert [row["stars"] for row in many.rows_out()] == stars
        in_order(many)


# --- passes that ask the very same -----------------------------------------------------------------------------------


@pytest.mark.parametrize("pack", [1, 8])
def test_two_passes_that_ask_the_same_are_asked_once(tmp_path: Path, pack: int) -> None:
    with place(tmp_path / "a") as scene:
        passes = [scene.one_pass(name, prefix=f"{name}_", pack=pack) for name in ("one", "two")]
        scene.declare(passes=passes)
        report = in_time(lambda: scene.run())
        assert report.exit_code == 0
        assert len(scene.ledger) == ROWS / pack
        assert all(row["one_sentiment"] == row["two_sentiment"] for row in scene.rows_out())
        assert all(row["two_success"] for row in scene.rows_out())
        assert scene.calls_of() == 0
        in_order(scene)


def test_a_cascade_beside_a_pass_with_its_first_model(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> str:
        sure = 0.9 if request.model == "large" else 0.5
        return json.dumps({"mood": {"value": "good", "confidence": sure}, "nulls": []})

    with place(tmp_path / "a", answer) as scene:
        plain = scene.one_pass("plain", "{{ text }}", model="compatible:small", fields=MOOD, prefix="p_")
        wise = scene.one_pass("wise", "{{ text }}", models=["compatible:small", "compatible:large"], fields=MOOD)
        del wise["model"]
        scene.declare(passes=[plain, wise])
        assert in_time(lambda: scene.run()).exit_code == 0
        assert len(scene.ledger) == 2 * ROWS
        assert {row["mood_source"] for row in scene.rows_out()} == {"model:compatible:large"}
        assert {row["p_mood_source"] for row in scene.rows_out()} == {"model:compatible:small"}
        in_order(scene)


def test_a_cascade_pays_for_a_failing_last_step_once_an_input(tmp_path: Path) -> None:
    def answer(request: SimRequest) -> str:
        if request.model == "large":
            return json.dumps({"mood": {"value": "lukewarm", "confidence": 0.9}, "nulls": []})
        return json.dumps({"mood": {"value": "good", "confidence": 0.5}, "nulls": []})

    with place(tmp_path / "a", answer) as scene:
        scene.rows(texts(ROWS, distinct=1))
        wise = scene.one_pass("wise", "{{ text }}", models=["compatible:small", "compatible:large"], fields=MOOD)
        del wise["model"]
        scene.declare(passes=[wise], limits={"concurrency": 1})
        scene.run()
        assert [call.model for call in scene.ledger.calls].count("small") == 1
        assert [call.model for call in scene.ledger.calls].count("large") == 2, "asked, and asked again for its field"


def test_a_cascade_in_packs(tmp_path: Path) -> None:
    def sure(request: SimRequest, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for (_, values), entry in zip(records_of(request), entries, strict=True):
            good = request.model == "large" or values["text"].endswith("3")
            entry["answer"] = {"mood": {"value": "good", "confidence": 0.9 if good else 0.2}, "nulls": []}
        return entries

    with place(tmp_path / "a", spoiling(sure)) as scene:
        wise = scene.one_pass(
            "wise", "{{ text }}", models=["lexical", "compatible:small", "compatible:large"], fields=MOOD, pack=8
        )
        del wise["model"]
        scene.declare(passes=[wise], failures={"max_percent": 100})
        assert scene.run().exit_code == 0
        assert [call.model for call in scene.ledger.calls].count("small") <= 6
        assert [call.model for call in scene.ledger.calls].count("large") <= 7
        assert scene.calls_of() == 0
        in_order(scene)
