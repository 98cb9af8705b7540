"""Settings: what is accepted, what is refused, and latencies drawn from a seed."""

from __future__ import annotations

import random
import statistics

import pytest

from inlay.errors import SpecError
from inlay.testing import SimulatorSpec


@pytest.mark.parametrize(
    ("text", "kind", "a", "b"),
    [
        (0.2, "fixed", 0.2, 0.0),
        ("0.2", "fixed", 0.2, 0.0),
        ("fixed:1", "fixed", 1.0, 0.0),
        ("uniform:0.1,0.4", "uniform", 0.1, 0.4),
        ("lognormal:0.5,0.6", "lognormal", 0.5, 0.6),
        ("tokens:0.1,0.002", "tokens", 0.1, 0.002),
    ],
)
def test_latencies_are_read(text, kind, a, b):
    latency = SimulatorSpec.of({"latency": text}).latency
    assert (latency.kind, latency.a, latency.b) == (kind, a, b)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latency": "0.1,0.2"}, "needs 1 number"),
        ({"latency": "uniform:1"}, "needs 2 numbers"),
        ({"latency": "gamma:1,2"}, "latency.kind"),
        ({"latency": -1}, "greater than or equal"),
        ({"requests_per_minut": 5}, "did you mean requests_per_minute"),
        ({"table": {"(": "x"}}, "not a regular expression"),
        ({"faults": [{"fault": "reset", "share": 2}]}, "faults.0.share"),
        ({"faults": [{"fault": "reset", "often": 2}]}, "no such setting"),
        ({"key_pattern": "["}, "not a regular expression"),
        ({"seed": "x", "burst_s": 0}, "2 mistakes"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(SpecError) as caught:
        SimulatorSpec.of(settings)
    assert words in str(caught.value)


def test_some_settings_are_fixed_while_it_runs():
    with pytest.raises(SpecError, match="keep_calls"):
        SimulatorSpec().changed({"keep_calls": False})
    assert SimulatorSpec(seed=3).changed({"null_share": 0}).seed == 3


def test_json_form_round_trips_without_keys():
    spec = SimulatorSpec.of({"latency": "uniform:1,2", "api_keys": ["sk-secret"], "faults": [{"fault": "reset"}]})
    assert "sk-secret" not in repr(spec) + str(spec.to_json())
    assert SimulatorSpec.of(spec.with_keys_json()) == spec
    assert SimulatorSpec.of(spec.to_json()) == spec.changed({"api_keys": None})


def drawn(text: object, tokens: int = 10, seed: int = 1) -> list[float]:
    draw = SimulatorSpec.of({"latency": text}).latency.drawn_from(random.Random(seed))
    return [draw(tokens) for _ in range(4000)]


def test_latencies_follow_their_distribution_and_seed():
    assert set(drawn(0.2)) == {0.2}
    even = drawn("uniform:0.1,0.4")
    assert 0.1 <= min(even) < 0.11 < 0.39 < max(even) <= 0.4
    skewed = drawn("lognormal:0.5,0.6")
    assert statistics.median(skewed) == pytest.approx(0.5, rel=0.1)
    assert statistics.mean(skewed) == pytest.approx(0.5 * 2.718281828 ** (0.6**2 / 2), rel=0.1)
    assert drawn("tokens:0.1,0.01", tokens=30)[:2] == pytest.approx([0.4, 0.4])
    assert drawn("uniform:0,1", seed=2) == drawn("uniform:0,1", seed=2) != drawn("uniform:0,1", seed=3)
