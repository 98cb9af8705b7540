"""The wide table: rows in = rows out, one schema whatever failed, and no answer to another input."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inlay.errors import InlayError, SourceError
from inlay.fingerprint import address, canonical, normalize_text, short_hash, upstream_hash
from inlay.payload import encode_fields, values_hash
from inlay.publish.wide import WideTable
from inlay.publish.write import write
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment, OutputSpec, PassSpec, SelectSpec, SourceSpec
from inlay.stores.memory import MemoryStore
from inlay.tables.files import FileSource
from inlay.tables.sql import connect, prepare
from inlay.types import (
    CellState,
    CellWrite,
    Claim,
    Claimed,
    Evidence,
    FieldAnswer,
    NewAnswer,
    NullReason,
    PassRecord,
    PassRef,
    Settlement,
)

MODEL = "test:model"
READ = PassSpec(
    name="read",
    prompt="{{ text }}",
    inputs=("text",),
    normalize=("trim",),
    prefix="r_",
    fields={
        "mood": FieldSpec(type="enum", values=("good", "bad"), confidence=True, evidence=True),
        "stars": FieldSpec(type="integer", confidence=True),
        "score": FieldSpec(type="number"),
        "ok": FieldSpec(type="boolean"),
        "day": FieldSpec(type="date"),
        "moment": FieldSpec(type="datetime"),
        "tags": FieldSpec(type="list"),
        "place": FieldSpec(type="object", fields={"city": FieldSpec(), "since": FieldSpec(type="date")}),
    },
)
JUDGE = PassSpec(
    name="judge",
    prompt="{{ passes.read.mood }}",
    upstream=(("read", "mood"),),
    fields={"verdict": FieldSpec(type="text")},
)
WHOLE = {
    "mood": FieldAnswer("good", confidence=0.75, evidence=Evidence("最高", True, "text", 0, 2)),
    "stars": FieldAnswer(None, NullReason.NOT_STATED, confidence=0.1),
    "score": FieldAnswer(2**60 + 1),
    "ok": FieldAnswer(True),
    "day": FieldAnswer("2024-02-29"),
    "moment": FieldAnswer("2024-01-01T09:00:00+09:00"),
    "tags": FieldAnswer(["é", "👩‍🚀"]),
    "place": FieldAnswer({"city": "القاهرة", "since": "1999-01-01"}),
}


class Bench:
    """A declaration over one CSV with a store that is filled by hand, cell by cell."""

    def __init__(self, folder: Path, text: str, *, passes: tuple[PassSpec, ...] = (READ,), **rest: Any) -> None:
        self.folder = folder
        self.put(text)
        self.enrichment = Enrichment(
            name="reviews", source=SourceSpec(files=("in.csv",), key=("id",)), passes=passes, version="7", **rest
        )
        self.clock = 1_700_000_000.0
        self.store = MemoryStore(clock=lambda: self.clock, alive=lambda runner, expires, now: True)
        self.refs = self.store.register(
            [PassRecord("reviews", spec.name, spec.recipe(MODEL), spec.digest(MODEL)) for spec in passes]
        )
        self.run = self.store.begin_run("reviews", runner="r")

    def put(self, text: str) -> None:
        (self.folder / "in.csv").write_text(text, encoding="utf-8")

    def answer(
        self,
        key: str,
        text: str | None,
        fields: dict[str, FieldAnswer] | None,
        *,
        index: int = 0,
        state: CellState = CellState.DONE,
        reason: str = "",
        upstream: bytes = b"",
        cost: int = 2_000_000,
    ) -> NewAnswer | None:
        spec, ref = self.enrichment.passes[index], self.refs[index]
        source = canonical([normalize_text(text, spec.normalize) if text else text] if spec.inputs else [])
        data = source + upstream
        print_ = address(spec.digest(MODEL), data)
        new, attempt, known = None, None, None
        if fields is not None:
            [claimed] = self.store.claim([Claim(print_, ref.pass_id, 0)], run=self.run, budget=None)
            if isinstance(claimed, Claimed):
                attempt = claimed.attempt_id
                new = NewAnswer(
                    print_, ref.recipe_id, state, encode_fields(fields), values_hash(fields), data, cost_nusd=cost
                )
            else:
                known = claimed.answer.answer_id
        cell = CellWrite(
            ref.pass_id, key, ref.recipe_id, short_hash(source), short_hash(data), upstream, state, reason,
            message="why" if reason else "", tries=0 if state == CellState.DONE else 1, answer_id=known,
        )  # fmt: skip
        self.store.commit([Settlement(attempt, answer=new, cost_nusd=cost if new else 0, cells=(cell,))], run=self.run)
        return new

    def table(self, **output: Any) -> pa.Table:
        enrichment = self.enrichment.model_copy(update={"output": OutputSpec(**output)})
        con = connect(threads=1)
        try:
            prepare(con)
            source = FileSource(enrichment.source, self.folder)
            wide = WideTable(enrichment, source, self.store, list(zip(enrichment.passes, self.refs, strict=True)), con)
            return pa.Table.from_batches(wide.batches(), schema=wide.schema)
        finally:
            con.close()


TEXT = "id,text\n1, 最高 \n2,سيئ\n3,\n"


def test_answers_stand_beside_their_rows(tmp_path):
    bench = Bench(tmp_path, TEXT)
    bench.answer("1", " 最高 ", WHOLE)
    bench.answer("2", "سيئ", {"mood": FieldAnswer(None, NullReason.INVALID, problem="x"), "stars": FieldAnswer(3)},
                 state=CellState.PARTIAL, reason="invalid_output")  # fmt: skip
    first, second, third = bench.table().to_pylist()
    assert list(first) == [
        "id", "text",
        "r_mood", "r_mood_confidence", "r_mood_evidence", "r_mood_evidence_verified", "r_mood_null_reason",
        "r_mood_source", "r_stars", "r_stars_confidence", "r_stars_null_reason", "r_stars_source",
        *(f"r_{name}{end}" for name in ("score", "ok", "day", "moment", "tags", "place")
          for end in ("", "_null_reason", "_source")),
        "read_success", "avg_confidence_read", "read_model",
        "enrichment_errors", "enriched_at", "enrichment_version", "enrichment_cost_usd",
    ]  # fmt: skip
    assert (first["id"], first["text"]) == ("1", " 最高 ")
    assert (first["r_mood"], first["r_mood_confidence"], first["r_mood_evidence"]) == ("good", 0.75, "最高")
    assert first["r_mood_evidence_verified"] is True
    assert (first["r_mood_null_reason"], first["r_stars"], first["r_stars_null_reason"]) == (None, None, "not_stated")
    assert first["r_score"] == float(2**60 + 1)
    assert first["r_ok"] is True
    assert first["r_day"] == dt.date(2024, 2, 29)
    assert first["r_moment"] == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert first["r_tags"] == ["é", "👩‍🚀"]
    assert first["r_place"] == {"city": "القاهرة", "since": dt.date(1999, 1, 1)}
    assert first["read_success"] is True
    assert first["avg_confidence_read"] == 0.75  # the confidence of a null does not count
    assert first["read_model"] == MODEL
    assert first["enrichment_errors"] is None
    assert first["enriched_at"].timestamp() == bench.clock
    assert first["enrichment_version"] == "7"
    assert first["enrichment_cost_usd"] == 0.002
    assert (first["r_mood_source"], first["r_stars_source"]) == (f"model:{MODEL}", f"model:{MODEL}")
    assert (second["r_mood"], second["r_mood_null_reason"], second["r_stars"]) == (None, "invalid", 3)
    assert second["read_success"] is False
    assert json.loads(second["enrichment_errors"]) == [
        {"pass": "read", "state": "partial", "kind": "invalid_output", "message": "why", "fields": ["mood"]}
    ]
    assert (third["text"], third["r_mood"], third["r_mood_null_reason"]) == (None, None, "pending")
    assert (third["read_success"], third["enriched_at"], third["enrichment_cost_usd"]) == (False, None, 0.0)
    assert third["enrichment_errors"] is None


def test_a_changed_input_publishes_nothing_of_the_old_answer(tmp_path):
    bench = Bench(tmp_path, TEXT)
    bench.answer("1", " 最高 ", WHOLE)
    bench.put("id,text\n1,最高\n")  # trimmed: the same input for this pass
    assert bench.table()["r_mood"].to_pylist() == ["good"]
    bench.put("id,text\n1,最低\n")
    [row] = bench.table().to_pylist()
    assert (row["r_mood"], row["r_mood_null_reason"], row["read_success"]) == (None, "input_changed", False)
    assert (row["enriched_at"], row["read_model"], row["enrichment_cost_usd"]) == (None, None, 0.0)


def test_an_answer_to_another_upstream_is_not_published(tmp_path):
    bench = Bench(tmp_path, "id,text\n1,a\n", passes=(READ, JUDGE))
    first = bench.answer("1", "a", WHOLE)
    assert first is not None
    bench.answer("1", None, {"verdict": FieldAnswer("fine")}, index=1, upstream=upstream_hash([first.values_hash]))
    assert bench.table()["verdict"].to_pylist() == ["fine"]
    changed = {**WHOLE, "mood": FieldAnswer("bad", confidence=0.9)}
    bench.put("id,text\n1,b\n")
    bench.answer("1", "b", changed)
    [row] = bench.table().to_pylist()
    assert (row["r_mood"], row["verdict"], row["verdict_null_reason"]) == ("bad", None, "input_changed")


def test_upstream_order_with_dashes_in_names(tmp_path):
    # "a-b.x" sorts before "a.x" as text, but the pass a before the pass a-b
    one = PassSpec(name="a", prompt="{{ text }}", inputs=("text",), fields={"x": FieldSpec()})
    two = PassSpec(name="a-b", prompt="{{ text }}!", inputs=("text",), fields={"y": FieldSpec()})
    both = PassSpec(name="c", prompt="-", upstream=(("a", "x"), ("a-b", "y")), fields={"z": FieldSpec()})
    bench = Bench(tmp_path, "id,text\n1,t\n", passes=(one, two, both))
    answers = [
        bench.answer("1", "t", {"x": FieldAnswer("1")}),
        bench.answer("1", "t", {"y": FieldAnswer("2")}, index=1),
    ]
    bench.answer("1", None, {"z": FieldAnswer("3")}, index=2,
                 upstream=upstream_hash([part.values_hash for part in answers if part]))  # fmt: skip
    assert bench.table()["z"].to_pylist() == ["3"]


def test_the_schema_is_the_same_whatever_failed(tmp_path):
    schemas = []
    for name, state in (("done", CellState.DONE), ("failed", CellState.FAILED), ("none", None)):
        folder = tmp_path / name
        folder.mkdir()
        bench = Bench(folder, TEXT)
        for key, text in (("1", " 最高 "), ("2", "سيئ"), ("3", None)):
            if state is CellState.DONE:
                bench.answer(key, text, WHOLE)
            elif state is CellState.FAILED:
                bench.answer(key, text, None, state=state, reason="refused")
        table = bench.table()
        assert table.num_rows == 3
        schemas.append(table.schema)
        pq.write_table(table, folder / "out.parquet")
        schemas.append(pq.read_schema(folder / "out.parquet").remove_metadata())
        if state is CellState.FAILED:
            assert table["r_tags_null_reason"].to_pylist() == ["failed"] * 3
            kinds = [json.loads(text)[0]["kind"] for text in table["enrichment_errors"].to_pylist()]
            assert kinds == ["refused"] * 3
    assert {str(schema.remove_metadata()).replace("element:", "item:") for schema in schemas} == {
        str(schemas[0]).replace("element:", "item:")
    }


def test_output_switches_and_selected_rows(tmp_path):
    bench = Bench(tmp_path, TEXT, select=SelectSpec(where="id <> '2'"))
    bench.answer("1", " 最高 ", WHOLE)
    table = bench.table(columns=("text",), confidence=False, evidence=False, null_reasons=False, sources=False)
    assert table.column_names[:9] == [
        "text", "r_mood", "r_stars", "r_score", "r_ok", "r_day", "r_moment", "r_tags", "r_place",
    ]  # fmt: skip
    assert not [
        name
        for name in table.column_names
        if "_evidence" in name or name.endswith(("_reason", "_confidence", "_source"))
    ]
    assert bench.table()["r_mood_null_reason"].to_pylist() == [None, "not_selected", "pending"]
    assert bench.table(rows="selected")["id"].to_pylist() == ["1", "3"]


def test_rows_that_share_an_answer_each_show_its_price(tmp_path):
    bench = Bench(tmp_path, "id,text\n1,a\n2,a\n")
    bench.answer("1", "a", WHOLE, cost=5_000_000)
    bench.answer("2", "a", WHOLE)
    assert bench.table()["enrichment_cost_usd"].to_pylist() == [0.005, 0.005]


def test_source_order_over_many_batches_and_twin_keys(tmp_path):
    keys = [f"{n * 7919 % 5000}" for n in range(5000)] + ["é", "e\u0301"]
    bench = Bench(tmp_path, "id,text\n" + "".join(f"{key},t{key}\n" for key in keys))
    for key in ("4999", "é", "e\u0301"):
        bench.answer(key, f"t{key}", {**WHOLE, "tags": FieldAnswer([key])})
    table = bench.table()
    assert table["id"].to_pylist() == keys
    found = {row["id"]: row["r_tags"] for row in table.select(["id", "r_tags"]).to_pylist() if row["r_tags"]}
    assert found["4999"] == ["4999"]
    # two rows, but in NFC one text: so one answer, which both rows show
    assert (found["é"], found["e\u0301"], len(found)) == (["é"], ["é"], 3)


def test_a_shape_of_an_older_recipe_is_null_with_a_reason(tmp_path):
    bench = Bench(tmp_path, "id,text\n1,a\n")
    odd = {"stars": "many", "score": 10**400, "day": "gestern", "moment": "0001-01-01T00:00:00+14:00", "tags": "x",
           "place": 5, "ok": "yes", "mood": 3}  # fmt: skip
    bench.answer("1", "a", {name: FieldAnswer(value) for name, value in odd.items() if name != "score"})
    [row] = bench.table().to_pylist()
    assert {row[f"r_{name}"] for name in odd} == {None}
    assert {row[f"r_{name}_null_reason"] for name in odd if name != "score"} == {"invalid"}
    assert row["r_score_null_reason"] == "not_asked"


def test_source_types_that_parquet_has_not(tmp_path):
    con = connect(threads=1)
    con.execute(
        f"COPY (SELECT 1 AS id, INTERVAL '1 day' AS i, uuid() AS u, {{'a': INTERVAL '2 days'}} AS s, "
        f"TIMESTAMP_NS '2024-01-01 00:00:00.000000001' AS n, 'x' AS text) TO '{tmp_path / 'in.parquet'}'"
    )
    con.close()
    bench = Bench(tmp_path, TEXT)
    bench.enrichment = bench.enrichment.model_copy(
        update={"source": SourceSpec(files=("in.parquet",), key=("id",), types={})}
    )
    table = bench.table()
    assert table["i"].to_pylist() == ["1 day"]
    assert json.loads(table["s"].to_pylist()[0]) == {"a": "2 days"}
    for ending in ("parquet", "csv", "jsonl"):
        assert write(tmp_path / f"out.{ending}", table.schema, table.to_batches()) == 1
    assert "2024-01-01 00:00:00.000000001" in (tmp_path / "out.csv").read_text()


def test_a_source_that_breaks_on_the_way_is_named(tmp_path):
    lines = "".join(f"{n},{'x' * 100}\n" for n in range(400_000))
    bench = Bench(tmp_path, f"id,text\n{lines}bad,line,here\n")
    with pytest.raises(SourceError, match=r"in\.csv, line 400002"):
        bench.table()


def test_a_pass_that_the_store_never_saw_is_pending(tmp_path):
    bench = Bench(tmp_path, TEXT)
    bench.refs = [PassRef(-1, -1)]
    assert bench.table()["r_mood_null_reason"].to_pylist() == ["pending"] * 3


def test_an_unknown_where_is_an_error_of_ours(tmp_path):
    bench = Bench(tmp_path, TEXT, select=SelectSpec(where="nope = 1"))
    with pytest.raises(InlayError, match="nope"):
        bench.table()
