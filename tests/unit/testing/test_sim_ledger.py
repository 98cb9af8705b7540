"""The books: what is entered, what it costs to the nano-dollar, and that it survives."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inlay.errors import StoreError
from inlay.testing import Ledger, Price, Simulator
from inlay.testing.ledger import sha256_of
from inlay.testing.settings import cost_nusd


@given(
    st.decimals(0, 100, places=4),
    st.decimals(0, 100, places=4),
    st.integers(0, 2_000_000),
    st.integers(0, 100_000),
    st.integers(0, 100_000),
)
def test_cost_is_exact_and_rounded_up_once(price_in, price_out, prompt, cached, completion):
    cached = min(cached, prompt)
    price = Price(
        input_per_million=float(price_in), output_per_million=float(price_out), cached_input_per_million=0.005
    )
    exact = (
        Fraction(price_in) * (prompt - cached) + Fraction(5, 1000) * cached + Fraction(price_out) * completion
    ) * 1000
    assert cost_nusd(price.rates(), prompt, cached, completion) == -(-exact.numerator // exact.denominator)


def test_a_call_costs_what_its_usage_says(client):
    prices = {"gpt-sim": {"input_per_million": 0.035, "output_per_million": 0.14}, "*": {"input_per_million": 1}}
    with Simulator(prices=prices, completion_tokens=7) as sim:
        usage = client.ask(sim.endpoint).json["usage"]
        other = client.ask(sim.endpoint, client.body(model="another")).json["usage"]
        first, second = sim.ledger.calls
    assert first.cost_nusd == usage["prompt_tokens"] * 35 + 7 * 140
    assert second.cost_nusd == other["prompt_tokens"] * 1000 + 7 * 500
    assert usage["completion_tokens"] == 7
    assert sim.ledger.billed_nusd == first.cost_nusd + second.cost_nusd == sim.summary()["billed_nusd"]


def test_reasoning_is_billed_within_the_cap(client):
    with Simulator(lambda request: "word " * 8, reasoning_tokens=50) as sim:
        usage = client.ask(sim.endpoint).json["usage"]
        capped = client.ask(sim.endpoint, client.body(max_completion_tokens=30)).json
    assert usage["completion_tokens"] == 60
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 50
    assert capped["usage"]["completion_tokens"] == 30
    assert capped["choices"][0]["finish_reason"] == "length"
    assert capped["choices"][0]["message"]["content"] == ""


def test_repeated_system_message_is_cached(client):
    def body(user: str):
        messages = [{"role": "system", "content": "規則 rule " * 600}, {"role": "user", "content": user}]
        return client.body(messages=messages)

    price = Price(input_per_million=1, output_per_million=0, cached_input_per_million=0.1)
    with Simulator(prompt_cache=True, prices=price) as sim:
        usages = [client.ask(sim.endpoint, body(user)).json["usage"] for user in "ab"]
        costs = [call.cost_nusd for call in sim.ledger.calls]
    assert [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages] == [0, 1152]
    prompt = usages[1]["prompt_tokens"]
    assert costs == [prompt * 1000, (prompt - 1152) * 1000 + 1152 * 100]


@pytest.mark.parametrize("bill", [True, False])
def test_a_client_that_leaves_is_billed_as_configured(client, bill):
    with Simulator(latency=30, bill_abandoned=bill) as sim:
        with client.dial(sim.endpoint) as sock:
            sock.sendall(client.raw())
            while sim.summary()["open"] == 0:
                time.sleep(0.005)
        while sim.summary()["open"]:
            time.sleep(0.005)
        (call,) = sim.ledger.calls
    assert (call.outcome, call.status) == ("abandoned", 0)
    assert (call.cost_nusd > 0) is bill
    assert (call.completion_tokens > 0) is bill


def test_clear_forgets_finished_calls_and_keeps_those_in_flight(client):
    with Simulator(latency=30) as sim, client.dial(sim.endpoint) as sock:
        sim.control(faults=[{"fault": "http_500", "calls": [1]}])
        client.ask(sim.endpoint)
        sock.sendall(client.raw())
        while sim.summary()["open"] == 0:
            time.sleep(0.005)
        sim.clear()
        assert [(call.number, call.outcome) for call in sim.ledger.calls] == [(2, "open")]
        sim.control(latency=0)
        client.ask(sim.endpoint)
        assert [call.number for call in sim.ledger.calls] == [2, 3]
        sock.close()
        while sim.summary()["open"]:
            time.sleep(0.005)
        sim.clear()
        assert client.ask(sim.endpoint).status == 500
        assert [call.number for call in sim.ledger.calls] == [1]


def test_questions_to_the_books(client):
    faults = [{"fault": "http_500", "record": "犬"}]
    with Simulator(faults=faults, key_pattern=r"id=(\S+)", keep_messages=True) as sim:
        for user in ("id=猫-1 x", "id=犬-2 x", "id=猫-1 x", "nothing"):
            client.ask(sim.endpoint, client.body(user))
        books = sim.ledger
        live = sim.summary()
    assert [call.key for call in books.calls] == ["猫-1", "犬-2", "猫-1", ""]
    assert [call.number for call in books.calls_with_key("猫-1")] == [1, 3]
    assert [call.tries for call in books.calls_for("id=猫-1 x")] == [1, 2]
    assert books.paid_again() == {sha256_of("id=猫-1 x"): 2}
    assert (books.distinct, books.by_status, books.by_fault) == (3, {200: 3, 500: 1}, {"http_500": 1})
    assert [(call.system, call.user) for call in books.calls][3] == ("Answer.", "nothing")
    assert sum(books.per_second()) == 4
    assert books.summary() == live
    times = [call.arrived_s for call in books.calls]
    assert times == sorted(times)
    assert all(call.arrived_s <= call.ended_s for call in books.calls)
    assert books.rate_per_s() == pytest.approx(3 / (times[-1] - times[0]))


def test_empty_books_answer_too():
    books = Ledger()
    assert (len(books), books.billed_nusd, books.distinct, books.max_concurrency) == (0, 0, 0, 0)
    assert (books.rate_per_s(), books.span_s, books.per_second(), books.by_status) == (0.0, 0.0, [], {})


def test_concurrency_is_counted_at_arrival(client):
    with Simulator(latency=30) as sim:
        socks = [client.dial(sim.endpoint) for _ in range(5)]
        for sock in socks:
            sock.sendall(client.raw())
        while sim.summary()["calls"] < 5:
            time.sleep(0.005)
        assert sorted(call.concurrency for call in sim.ledger.calls) == [1, 2, 3, 4, 5]
        for sock in socks:
            sock.close()
    assert sim.ledger.max_concurrency == 5


def test_file_holds_each_call_as_soon_as_its_answer_is_there(client, tmp_path):
    path = tmp_path / "books.jsonl"
    with Simulator(ledger_file=path) as sim:
        for count in range(1, 4):
            client.ask(sim.endpoint, client.body(f"記録 {count}"))
            assert len(Ledger.read(path)) == count
        assert Ledger.read(path) == sim.ledger
        sim.clear()
        assert len(sim.ledger) == 0
    assert len(Ledger.read(path)) == 3


def test_snapshot_does_not_change_and_jsonl_round_trips(client, sim):
    client.ask(sim.endpoint)
    before = sim.ledger
    client.ask(sim.endpoint)
    assert (len(before), len(sim.ledger)) == (1, 2)
    assert Ledger.read(sim.ledger.to_jsonl()) == sim.ledger


def test_a_file_cut_off_in_its_last_line_is_read_to_there(client, sim, tmp_path):
    client.ask(sim.endpoint)
    whole = sim.ledger.to_jsonl()
    assert len(Ledger.read(whole + whole[:40])) == 1
    with pytest.raises(StoreError, match="line 1"):
        Ledger.read(b"nonsense\n" + whole)
    with pytest.raises(StoreError, match="cannot be read"):
        Ledger.read(tmp_path / "none.jsonl")


def test_sums_alone_where_calls_are_not_kept(client):
    with Simulator(keep_calls=False) as sim:
        for _ in range(3):
            client.ask(sim.endpoint)
        assert len(sim.ledger) == 0
        assert (sim.summary()["calls"], sim.summary()["by_status"]) == (3, {"200": 3})
