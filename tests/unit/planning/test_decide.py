"""The rule of what is asked: every case by name, and the SQL held equal to the Python."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inlay.planning.decide import ASKED, RETRYABLE, CellFacts, Rule
from inlay.types import Reason

NOW = 1_800_000_000.0


def rule(**changes) -> Rule:
    values = {
        "recipe_id": 7,
        "comparable": frozenset({7, 6}),
        "now": NOW,
        "ttl_s": None,
        "max_tries": 3,
        "refresh": frozenset(),
    }
    return Rule(**{**values, **changes})


def cell(**changes) -> CellFacts:
    values = {"recipe_id": 7, "state": "done", "reason": "", "tries": 0, "answered_at": NOW - 100}
    return CellFacts(**{**values, **changes})


@pytest.mark.parametrize(
    ("facts", "same", "changes", "expected"),
    [
        (None, True, {}, Reason.NEW),
        (cell(), True, {}, Reason.CACHED),
        (cell(), False, {}, Reason.INPUT_CHANGED),
        (cell(recipe_id=6), False, {}, Reason.INPUT_CHANGED),
        (cell(recipe_id=6), True, {}, Reason.STALE),
        # Another recipe with other inputs: hashes say nothing, so no surprise bill.
        (cell(recipe_id=5), False, {}, Reason.STALE),
        (cell(), True, {"ttl_s": 99.0}, Reason.EXPIRED),
        (cell(), True, {"ttl_s": 101.0}, Reason.CACHED),
        (cell(state="failed", reason="timeout", tries=1), True, {}, Reason.RETRY),
        (cell(state="failed", reason="timeout", tries=3), True, {}, Reason.GIVEN_UP),
        (cell(state="failed", reason="refused", tries=1), True, {}, Reason.GIVEN_UP),
        (cell(state="failed", reason="refused", tries=9, recipe_id=5), True, {}, Reason.RETRY),
        (cell(state="partial", reason="invalid_output", tries=1), True, {}, Reason.RETRY),
        (cell(state="failed", reason="timeout", tries=9), False, {}, Reason.INPUT_CHANGED),
        (cell(state="skipped", reason="upstream"), True, {}, Reason.GIVEN_UP),
    ],
)
def test_each_case(facts, same, changes, expected):
    assert rule(**changes).decide(facts, same_input=same) is expected


def test_stale_is_asked_only_on_request():
    assert not rule().asks(Reason.STALE)
    assert rule(refresh=frozenset({Reason.STALE})).asks(Reason.STALE)
    assert all(rule().asks(reason) for reason in ASKED)
    assert not rule().asks(Reason.GIVEN_UP)


facts_strategy = st.one_of(
    st.none(),
    st.builds(
        CellFacts,
        recipe_id=st.sampled_from([5, 6, 7]),
        state=st.sampled_from(["done", "failed", "partial", "skipped"]),
        reason=st.sampled_from(["", "refused", "upstream", *RETRYABLE]),
        tries=st.integers(0, 5),
        answered_at=st.sampled_from([NOW - 1000.5, NOW - 10.25, NOW]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    facts=st.lists(st.tuples(facts_strategy, st.booleans()), min_size=1, max_size=6),
    ttl=st.sampled_from([None, 10.25, 500.0]),
    max_tries=st.integers(1, 4),
)
def test_sql_and_python_agree(facts, ttl, max_tries):
    judge = rule(ttl_s=ttl, max_tries=max_tries)
    con = duckdb.connect()
    columns = "n INT, recipe_id INT, state VARCHAR, reason VARCHAR, tries INT, answered_at DOUBLE, same BOOLEAN"
    con.execute(f"CREATE TABLE c({columns})")
    for number, (facts_, same) in enumerate(facts):
        values = [None] * 5
        if facts_ is not None:
            values = [facts_.recipe_id, facts_.state, facts_.reason, facts_.tries, facts_.answered_at]
        con.execute("INSERT INTO c VALUES (?, ?, ?, ?, ?, ?, ?)", [number, *values, same])
    reason = judge.sql("c", "c.same")
    rows = con.execute(f"SELECT {reason}, {judge.asked_sql(reason)} FROM c ORDER BY n").fetchall()
    con.close()
    expected = [judge.decide(cell_facts, same_input=same) for cell_facts, same in facts]
    assert [row[0] for row in rows] == [reason.value for reason in expected]
    assert [row[1] for row in rows] == [judge.asks(reason) for reason in expected]
