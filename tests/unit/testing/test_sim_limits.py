"""Token buckets, their headers, capacity, and headers that lie."""

from __future__ import annotations

import pytest

from inlay.testing import Simulator, SimulatorSpec
from inlay.testing.limits import Limits, duration


def admitted(limits: Limits, *, seconds: float, step: float, tokens: int = 1) -> int:
    """How many calls get in when one is tried every `step` seconds."""
    tries = round(seconds / step)
    return sum(limits.admit("m", tokens, index * step) is None for index in range(tries))


def test_600_a_minute_is_a_burst_and_then_ten_a_second():
    limits = Limits(SimulatorSpec(requests_per_minute=600), 0.0)
    first = sum(limits.admit("m", 1, 0.0) is None for _ in range(100))
    assert first == 20  # burst_s = 2
    assert sum(limits.admit("m", 1, 0.1 + index / 1000) is None for index in range(99)) == 1
    assert admitted(Limits(SimulatorSpec(requests_per_minute=600), 0.0), seconds=60, step=0.01) in (619, 620)


def test_evenly_spaced_calls_at_the_limit_all_get_in():
    limits = Limits(SimulatorSpec(requests_per_minute=600, burst_s=0.1), 0.0)
    assert admitted(limits, seconds=30, step=0.1) == 300


def test_tokens_are_counted_and_a_large_call_waits_for_a_full_bucket():
    limits = Limits(SimulatorSpec(tokens_per_minute=6000), 0.0)  # 100 a second, 200 at once
    assert limits.admit("m", 150, 0.0) is None
    refused = limits.admit("m", 150, 0.0)
    assert refused is not None
    assert refused.kind == "rate_tokens"
    assert refused.retry_after_s == pytest.approx(1.0)
    assert limits.admit("m", 150, 1.0) is None
    assert limits.admit("m", 450, 2.0) is not None
    assert limits.admit("m", 450, 20.0) is None  # full, so in it goes, and the debt is paid off first
    assert limits.admit("m", 10, 21.0) is not None


def test_a_call_refused_by_one_bucket_takes_nothing_from_the_other():
    limits = Limits(SimulatorSpec(requests_per_minute=60, tokens_per_minute=600, burst_s=10), 0.0)
    assert limits.admit("m", 100, 0.0) is None
    assert all(limits.admit("m", 100, 0.0) is not None for _ in range(50))
    assert limits.admit("m", 0, 0.0) is None


def test_rejected_calls_count_where_the_provider_counts_them():
    spec = SimulatorSpec(requests_per_minute=60, burst_s=2, count_rejected=True)
    limits = Limits(spec, 0.0)
    assert sum(limits.admit("m", 1, 0.0) is None for _ in range(4)) == 2
    assert limits.admit("m", 1, 1.5) is not None  # two refused calls have to be made up for first
    assert limits.admit("m", 1, 6.0) is None


def test_429_and_headers_on_the_wire(client):
    with Simulator(requests_per_minute=6, burst_s=20, tokens_per_minute=60_000) as sim:
        answers = [client.ask(sim.endpoint) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    first, _, last = answers
    assert first.headers["x-ratelimit-limit-requests"] == "6"
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert first.headers["x-ratelimit-reset-requests"].endswith("s")
    assert first.headers["x-ratelimit-limit-tokens"] == "60000"
    assert int(first.headers["x-ratelimit-remaining-tokens"]) == 20_000 - first.json["usage"]["prompt_tokens"]
    assert "retry-after" not in first.headers
    assert last.json["error"]["code"] == "rate_limit_exceeded"
    assert last.json["error"]["type"] == "requests"
    assert 0 < int(last.headers["retry-after-ms"]) <= 10_000
    assert int(last.headers["retry-after"]) == -(-int(last.headers["retry-after-ms"]) // 1000)


def test_real_traffic_stays_within_the_limit(client):
    with Simulator(requests_per_minute=1200, burst_s=0.5) as sim:
        while sim.ledger.span_s < 1.0:
            client.ask(sim.endpoint)
        let_in = [call.arrived_s for call in sim.ledger.calls if call.status == 200]
        assert sim.ledger.by_status[429] > 0
    for index, start in enumerate(let_in):
        for later, end in enumerate(let_in[index:], 1):
            assert later <= 10 + 20 * (end - start) + 1.01


@pytest.mark.parametrize(
    ("lie", "says"),
    [("zero", "0"), ("negative", "-1"), ("day", "86400"), ("text", "in a little while"), ("missing", None)],
)
def test_lying_retry_after(client, lie, says):
    with Simulator(faults=[{"fault": "http_429"}], lying_headers=lie) as sim:
        headers = client.ask(sim.endpoint).headers
    assert headers.get("retry-after") == says
    assert "retry-after-ms" not in headers


def test_other_lies(client):
    with Simulator(faults=[{"fault": "http_429"}], lying_headers="past_date") as sim:
        assert client.ask(sim.endpoint).headers["retry-after"].endswith("GMT")
        sim.control(lying_headers="remaining_negative")
        assert client.ask(sim.endpoint).headers["x-ratelimit-remaining-requests"] == "-1"
        sim.control(lying_headers="rotate")
        seen = [client.ask(sim.endpoint).headers.get("retry-after") for _ in range(7)]
        assert seen[:3] == ["0", "-1", "86400"]
        assert None in seen


def test_capacity_gives_503_above_it(client):
    with Simulator(max_concurrency=1, latency=30) as sim, client.dial(sim.endpoint) as busy:
        busy.sendall(client.raw())
        while sim.summary()["open"] == 0:
            pass
        assert client.ask(sim.endpoint).status == 503


def test_durations_as_openai_writes_them():
    told = {0: "0s", 0.12: "120ms", 0.0001: "1ms", 1: "1s", 1.5: "1.5s", 60: "1m0s", 360: "6m0s", 61.25: "1m1.25s"}
    assert {seconds: duration(seconds) for seconds in told} == told
