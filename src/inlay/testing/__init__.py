"""Public tools for testing what asks a model: a simulated provider that is a real HTTP server and keeps books.

    from inlay.testing import Simulator

    with Simulator(latency=0.05, faults=[{"fault": "http_429", "share": 0.3}]) as sim:
        ...  # point a client at sim.endpoint, or at sim.endpoints["anthropic"]
    assert sim.ledger.paid_again() == {}

`Simulator` lives in this process, `SimulatorProcess` and `python -m inlay.testing` in one of their own. The server
needs the extra `testing`. It speaks the wires of OpenAI, Azure, Anthropic and Bedrock, batches included. `FAULTS` and
`BATCH_FAULTS` list everything that can be made to go wrong.
"""

from __future__ import annotations

from inlay.testing.batch_faults import BATCH_FAULTS, BatchFaultRule
from inlay.testing.faults import FAULTS, Fault
from inlay.testing.ledger import BatchEntry, BatchRequest, Call, Ledger
from inlay.testing.process import SimulatorProcess
from inlay.testing.settings import FaultRule, LatencySpec, Price, SimulatorSpec
from inlay.testing.simulator import Simulator
from inlay.testing.wire import SimRequest

__all__ = [
    "BATCH_FAULTS",
    "FAULTS",
    "BatchEntry",
    "BatchFaultRule",
    "BatchRequest",
    "Call",
    "Fault",
    "FaultRule",
    "LatencySpec",
    "Ledger",
    "Price",
    "SimRequest",
    "Simulator",
    "SimulatorProcess",
    "SimulatorSpec",
]
