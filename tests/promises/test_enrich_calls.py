"""`inlay.enrich` pays once: by the provider's own books, whatever kind of frame, key, loop or thread."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

import inlay
from inlay.errors import BudgetReached, Interrupted, PlanError, ProviderUnusable
from inlay.project.declaring import declare, save
from inlay.spec.field_lines import read_lines
from inlay.spec.quick import Quick
from inlay.testing import Simulator

LINES = ("sentiment: positive|neutral|negative", "stars: integer, 1..5 - how satisfied", "topics: list[string]")
FIELDS = {name: text.strip() for name, _, text in (line.partition(":") for line in LINES)}
VOICES = ("Lovely and clean", "駅から遠いが静か", "خدمة سيئة", "Mediocre 😐", "Ужасно", "맛있어요")
PRICES = (0.1, 0.5)


def texts(number: int) -> list[dict[str, Any]]:
    return [{"id": place, "text": f"{VOICES[place % 6]} #{place}", "other": f"o{place}"} for place in range(number)]


class Books:
    """`enrich` against the simulator, and how many calls that made."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.options: dict[str, Any] = {
            "fields": FIELDS,
            "model": "compatible:sim",
            "endpoint": sim.endpoint,
            "prices": PRICES,
        }

    def __call__(self, data: Any, **more: Any) -> Any:
        return inlay.enrich(data, **{**self.options, **more})

    def calls(self, work: Callable[[], Any]) -> int:
        before = len(self.sim.ledger)
        work()
        return len(self.sim.ledger) - before


@pytest.fixture
def books(tmp_path: Path, sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.chdir(tmp_path)
    return Books(sim)


def test_the_same_call_again_asks_nothing(books: Books) -> None:
    frame = pd.DataFrame(texts(30))
    found: list[pd.DataFrame] = []
    assert books.calls(lambda: found.append(books(frame))) == 30
    assert books.calls(lambda: found.append(books(frame))) == 0
    pd.testing.assert_frame_equal(*found)
    assert Path(".inlay/store.db").is_file()


def test_without_a_key_rows_may_move_and_come(books: Books) -> None:
    rows = texts(20)
    books(pl.DataFrame(rows))
    assert books.calls(lambda: books(pl.DataFrame(rows[::-1]))) == 0
    assert books.calls(lambda: books(pl.DataFrame([{"id": 99, "text": "new", "other": ""}, *rows]))) == 1
    assert books.calls(lambda: books(pl.DataFrame(rows[5:]))) == 0
    changed = [{**row, "other": "changed"} for row in rows]
    assert books.calls(lambda: books(pl.DataFrame(changed), prompt="Read: {{ text }}")) == 20
    assert books.calls(lambda: books(pl.DataFrame(rows), prompt="Read: {{ text }}")) == 0, "nothing it reads differs"


def test_one_kind_of_frame_pays_for_all(books: Books) -> None:
    rows = texts(10)
    Path("rows.jsonl").write_text(pd.DataFrame(rows).to_json(orient="records", lines=True, force_ascii=False))
    kinds = [rows, pd.DataFrame(rows), pl.DataFrame(rows), pa.Table.from_pylist(rows), pa.RecordBatch.from_pylist(rows)]
    assert books.calls(lambda: books(rows)) == 10
    for frame in kinds:
        assert books.calls(lambda frame=frame: books(frame, key="id")) == 0
    assert books.calls(lambda: books("rows.jsonl", name="enrich", key="id")) == 0


def test_equal_texts_are_one_call(books: Books) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "a", "a"]})
    out: list[pd.DataFrame] = []
    assert books.calls(lambda: out.append(books(frame))) == 2
    assert len(out[0]) == 4
    assert out[0]["stars"][0] == out[0]["stars"][2]


def test_another_prompt_is_asked_and_the_first_one_is_still_paid(books: Books) -> None:
    frame = pd.DataFrame(texts(8))
    books(frame)
    assert books.calls(lambda: books(frame, prompt="Otherwise: {{ text }}")) == 8
    assert books.calls(lambda: books(frame, prompt="Otherwise: {{ text }}")) == 0
    assert books.calls(lambda: books(frame)) == 0


def test_the_same_kind_comes_back_with_the_answers_beside(books: Books) -> None:
    rows = texts(6)
    named = ["sentiment", "sentiment_evidence", "sentiment_evidence_verified", "sentiment_null_reason"]
    frame = pd.DataFrame(rows, index=pd.Index(list("fedcba"), name="letter"))
    frame["other"] = frame["other"].astype("category")
    out = books(frame)
    pd.testing.assert_frame_equal(out[frame.columns], frame)
    assert list(out.columns[:7]) == ["id", "text", "other", *named]
    assert str(out["stars"].dtype) == "Int64"
    assert "inlay_key" not in out.columns
    assert "enriched_at" not in out.columns
    assert list(frame.columns) == ["id", "text", "other"], "the frame that was given stays as it was"

    table = books(pa.Table.from_pylist(rows))
    assert isinstance(table, pa.Table)
    assert table.select(["id", "text", "other"]).to_pylist() == rows
    assert table.schema.field("topics").type == pa.list_(pa.string())
    assert isinstance(books(pa.RecordBatch.from_pylist(rows)), pa.RecordBatch)
    polars = books(pl.DataFrame(rows))
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == list(out.columns)
    plain = books(rows)
    assert plain == table.to_pylist() == polars.to_dicts()
    assert isinstance(books(rows, into="pandas"), pd.DataFrame)
    assert isinstance(books(frame, into="polars"), pl.DataFrame)
    assert {"read_success", "enriched_at", "enrichment_errors"} <= set(books(frame, details=True).columns)


def test_frames_without_rows_and_one_call_after_another(books: Books) -> None:
    empty = books(pd.DataFrame({"text": pd.Series([], dtype=str)}))
    assert (len(empty), "sentiment" in empty.columns) == (0, True)
    assert books(pa.RecordBatch.from_pydict({"text": pa.array([], pa.string())})).num_rows == 0
    once = books(pd.DataFrame(texts(3)))
    twice = books(once, fields={"tone": "polite|rude"}, prompt="{{ text }}")
    assert list(twice.columns) == [*once.columns, *(c for c in twice.columns if c.startswith("tone"))]


class Review(BaseModel):
    """A review of a hotel."""

    sentiment: Literal["positive", "negative"] | None = Field(description="the guest's mood")
    stars: int | None = Field(ge=1, le=5)


def test_a_pydantic_class_says_the_fields(books: Books) -> None:
    out = books([{"text": "今日は晴れ"}], fields=Review)
    assert set(out[0]) == {"text", "sentiment", "sentiment_null_reason", "stars", "stars_null_reason"}
    asked = books.sim.ledger.calls[-1]
    assert asked.tries == 1


def test_a_table_is_given_back_as_a_report_too(books: Books, tmp_path: Path) -> None:
    pd.DataFrame(texts(5)).to_csv("rows.csv", index=False)
    given = Quick(read_lines(LINES), ("rows.csv",), model="compatible:sim", endpoint=books.sim.endpoint, key=("id",))
    report = inlay.run(declare(given))
    wide = report.to_arrow()
    assert wide.num_rows == 5
    assert {"id", "stars", "enriched_at"} <= set(wide.column_names)
    assert report.to_polars().height == len(report.to_pandas()) == 5
    assert str(report.to_pandas()["stars"].dtype) == "Int64"
    published = inlay.run(declare(Quick(**{**vars(given), "output": {"files": "out.parquet"}})))
    assert published.to_arrow().drop_columns(["enriched_at"]).equals(wide.drop_columns(["enriched_at"]))
    assert pickle.loads(pickle.dumps(published)).to_arrow().num_rows == 5


def test_what_is_saved_means_the_same(books: Books, tmp_path: Path) -> None:
    pd.DataFrame(texts(9)).to_csv("レビュー rows.csv", index=False)
    given = Quick(
        read_lines(LINES),
        ("レビュー rows.csv",),
        model="compatible:sim",
        endpoint=books.sim.endpoint,
        output={"files": "out.jsonl"},
    )
    enrichment = declare(given)
    assert books.calls(lambda: inlay.run(enrichment)) == 9
    before = Path("out.jsonl").read_bytes()
    for place in ("inlay.yaml", "a folder/b/inlay.yaml"):
        assert save(enrichment, place)
        assert not save(enrichment, place), "the same text is no change"
        assert books.calls(lambda place=place: inlay.run(place)) == 0
        assert Path("out.jsonl").read_bytes() == before
    with pytest.raises(inlay.SpecError, match="there already"):
        save(inlay.load("inlay.yaml").model_copy(update={"version": "2"}), "inlay.yaml")
    assert save(inlay.load("inlay.yaml").model_copy(update={"version": "2"}), "inlay.yaml", overwrite=True)


# --- stops -----------------------------------------------------------------------------------------------------------


def test_a_budget_stops_it_and_the_same_call_goes_on(books: Books) -> None:
    frame = pd.DataFrame(texts(40))
    with pytest.raises(BudgetReached) as caught:
        books(frame, budget_usd=0.0)
    assert len(books.sim.ledger) == 0
    few = caught.value.report.plan.worst_usd / 40 * 1.5
    with pytest.raises(BudgetReached) as caught:
        books(frame, budget_usd=few)
    report = caught.value.report
    done = report.summary["rows_done"]
    assert 0 < done < 40
    assert report.to_arrow().num_rows == 40
    assert pickle.loads(pickle.dumps(caught.value)).report.summary == report.summary
    partly = books(frame, budget_usd=0.0, on_stop="return")
    assert partly["sentiment_null_reason"].eq("pending").sum() == 40 - done
    assert books.calls(lambda: books(frame, budget_usd=50)) == 40 - done


def test_without_a_budget_more_than_a_dollar_needs_a_yes(books: Books) -> None:
    frame = pd.DataFrame(texts(5))
    dear = {"prices": (100_000.0, 100_000.0)}
    with pytest.raises(PlanError, match="no budget is set") as caught:
        books(frame, **dear)
    assert "yes=True" in caught.value.remedy
    assert len(books.sim.ledger) == 0
    assert books.calls(lambda: books(frame, yes=True, **dear)) == 5


def test_a_key_that_is_refused_is_raised_with_its_cause(books: Books) -> None:
    books.sim.control(faults=[{"fault": "http_401"}])
    with pytest.raises(ProviderUnusable) as caught:
        books(pd.DataFrame(texts(5)))
    assert "safe" in "".join(caught.value.__notes__)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"key": "idd"}, "key: the key `idd` is not a column"),
    "prompt": ({"prompt": "{{ txt }}"}, "prompt: the input `txt` is not a column"),
    "template": ({"prompt": "{{ text"}, "prompt: the template is not valid"),
    "into": ({"into": "excel"}, "into: there is no frame 'excel'"),
    "fields": ({"fields": {"a": "integr"}}, "fields.a.type: unknown type 'integr'"),
    "a column's name": ({"fields": {"text": "string"}}, "fields text: publishes `text`"),
    "model": ({"model": "opnai:x"}, "model: there is no provider `opnai`"),
    "limit": ({"limit": -1}, "limit: must be 0 or more"),
    "budget": ({"budget_usd": -1.0}, "budget_usd: must be 0 or more"),
    "a budget without prices": ({"budget_usd": 1.0, "prices": None}, "budget_usd: there is a budget, but the price"),
    "on_stop": ({"on_stop": "ignore"}, "on_stop: cannot 'ignore'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_said_in_the_words_of_the_call(books: Books, case: str) -> None:
    more, message = MISTAKES[case]
    with pytest.raises(inlay.SpecError) as caught:
        books(pd.DataFrame(texts(3)), **more)
    assert str(caught.value).startswith(message)
    assert len(books.sim.ledger) == 0


# --- loops, threads and signals --------------------------------------------------------------------------------------


@pytest.fixture
def slow(books: Books) -> Iterator[Books]:
    """Answers take a while, so that a stop comes in the middle."""
    books.sim.control(latency=0.2)
    yield books
    books.sim.control(latency=0)


def asked(books: Books, number: int) -> None:
    """Wait until so many calls have arrived."""
    for _ in range(6_000):
        if len(books.sim.ledger) >= number:
            return
        time.sleep(0.005)
    raise AssertionError("no call was made")


def test_inside_a_running_loop(books: Books) -> None:
    frame = pd.DataFrame(texts(5))
    Path("rows.jsonl").write_text(frame.to_json(orient="records", lines=True, force_ascii=False))
    given = Quick(read_lines(LINES), ("rows.jsonl",), model="compatible:sim", endpoint=books.sim.endpoint)

    async def cell() -> tuple[pd.DataFrame, inlay.Report]:
        return books(frame), inlay.run(declare(given))

    out, report = asyncio.run(cell())
    assert len(out) == 5
    assert report.exit_code == 0


def test_an_async_call_lets_the_loop_go_on(slow: Books) -> None:
    async def main() -> tuple[pd.DataFrame, int]:
        turns = 0

        async def turning() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.005)

        other = asyncio.create_task(turning())
        out = await inlay.aenrich(pd.DataFrame(texts(20)), **slow.options)
        other.cancel()
        return out, turns

    out, turns = asyncio.run(main())
    assert len(out) == 20
    assert turns > 10


def test_two_at_once_in_one_loop_pay_once(slow: Books) -> None:
    frame = pd.DataFrame(texts(12))

    async def both() -> list[pd.DataFrame]:
        return await asyncio.gather(*(inlay.aenrich(frame, **slow.options) for _ in range(2)))

    found: list[pd.DataFrame] = []
    assert slow.calls(lambda: found.extend(asyncio.run(both()))) == 12
    pd.testing.assert_frame_equal(*found)


def test_a_cancelled_task_has_stopped_cleanly(slow: Books) -> None:
    frame = pd.DataFrame(texts(400))

    async def main() -> None:
        task = asyncio.create_task(inlay.aenrich(frame, **slow.options))
        await asyncio.to_thread(asked, slow, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for thread in [thread for thread in threading.enumerate() if thread.name == "inlay-run"]:
            thread.join(30)  # its result is here already: it is at its last line
            assert not thread.is_alive()

    asyncio.run(main())
    made = len(slow.sim.ledger)
    assert 3 <= made < 400
    slow.sim.control(latency=0)
    assert slow.calls(lambda: slow(frame)) == 400 - made, "what was in flight is kept, not asked again"


def test_arun_is_cancelled_like_any_task(slow: Books) -> None:
    Path("rows.jsonl").write_text(pd.DataFrame(texts(300)).to_json(orient="records", lines=True, force_ascii=False))
    given = Quick(read_lines(LINES), ("rows.jsonl",), model="compatible:sim", endpoint=slow.sim.endpoint)

    async def main() -> None:
        task = asyncio.create_task(inlay.arun(declare(given)))
        await asyncio.to_thread(asked, slow, 3)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(main())
    assert inlay.status(declare(given)).runs[0]["outcome"] == "stopped: interrupted"


@pytest.mark.parametrize("looped", [False, True], ids=["in a script", "in a running loop"])
def test_ctrl_c_stops_it_cleanly(slow: Books, looped: bool) -> None:
    frame = pd.DataFrame(texts(400))

    async def cell() -> None:
        # As a kernel does it: Ctrl-C is a KeyboardInterrupt in the main thread, whatever the loop.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        slow(frame)

    other = threading.Thread(target=lambda: (asked(slow, 3), os.kill(os.getpid(), signal.SIGINT)))
    before = signal.getsignal(signal.SIGINT)
    other.start()
    try:
        with pytest.raises(Interrupted) as caught:
            asyncio.run(cell()) if looped else slow(frame)
    finally:
        other.join()
        signal.signal(signal.SIGINT, before)
    assert caught.value.report.summary["rows_done"] >= 3
    made = len(slow.sim.ledger)
    assert 3 <= made < 400
    slow.sim.control(latency=0)
    assert slow.calls(lambda: slow(frame)) == 400 - made
