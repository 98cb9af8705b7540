"""Cells of a notebook, executed by a real kernel: the loop that runs there, the bar, and Ctrl-C."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inlay
from inlay.testing import Simulator

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # theirs, of their own imports
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

SOURCE = Path(inlay.__file__).resolve().parents[1]
SETUP = """
import pandas as pd
import inlay
frame = pd.DataFrame({{"text": [f"駅から <b>遠い</b> #{{n}}" for n in range({rows})]}})
options = dict(
    fields={{"mood": "good|bad", "stars": "integer, 1..5"}},
    model="compatible:sim", endpoint={endpoint!r}, prices=(0.1, 0.5),
)
"""


class Kernel:
    """A kernel in a folder of its own; `cell` executes code and gives back its outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def cells(self, *codes: str) -> list[list[dict[str, Any]]]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in codes])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(self.folder)}}).execute()
        return [cell.outputs for cell in notebook.cells]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    return Kernel(tmp_path)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(null_share=0, latency=0.05) as running:
        yield running


def setup(simulator: Simulator, rows: int = 40) -> str:
    return SETUP.format(rows=rows, endpoint=simulator.endpoint)


def shown(outputs: list[dict[str, Any]]) -> list[str]:
    """The HTML of every display, the last state of each."""
    return [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]


def printed(outputs: list[dict[str, Any]]) -> str:
    return "".join(output.get("text", "") for output in outputs)


def test_a_cell_enriches_a_frame_and_shows_a_bar(kernel: Kernel, simulator: Simulator) -> None:
    _, first, second, result = kernel.cells(
        setup(simulator),
        "out = inlay.enrich(frame, **options)",
        "same = inlay.enrich(frame, **options); pd.testing.assert_frame_equal(out, same)",
        "print(len(out), out['mood'].notna().all(), list(out.columns)[:2])",
    )
    (bar,) = shown(first)
    assert '<progress value="40" max="40"' in bar
    assert "40 of 40 rows · $" in bar
    assert "nothing to do" in shown(second)[0]
    assert printed(result) == "40 True ['text', 'mood']\n"
    assert len(simulator.ledger) == 40


def test_a_bar_is_not_shown_where_it_is_unwanted(kernel: Kernel, simulator: Simulator) -> None:
    _, quiet = kernel.cells(setup(simulator, 3), "out = inlay.enrich(frame, progress=False, **options)")
    assert quiet == []


def test_await_and_run_work_in_a_cell(kernel: Kernel, simulator: Simulator) -> None:
    (kernel.folder / "rows.csv").write_text("id,text\n1,a\n2,b\n", encoding="utf-8")
    (kernel.folder / "inlay.yaml").write_text(
        "name: rows\nsource: {files: rows.csv, key: id}\npasses: [{name: read, model: compatible:sim, "
        f'endpoint: "{simulator.endpoint}", prompt: "{{{{ text }}}}", fields: {{mood: good|bad}}}}]\n',
        encoding="utf-8",
    )
    _, awaited, ran, again = kernel.cells(
        setup(simulator, 5),
        "out = await inlay.aenrich(frame, **options); print(len(out))",
        "report = inlay.run('inlay.yaml'); print(report.exit_code, len(report.to_pandas()))",
        "report = await inlay.arun('inlay.yaml'); print(report.plan.nothing_to_do)",
    )
    assert printed(awaited) == "5\n"
    assert "5 of 5 rows" in shown(awaited)[0]
    assert printed(ran) == "0 2\n"
    assert "2 of 2 rows" in shown(ran)[0]
    assert printed(again) == "True\n"


INTERRUPT = """
import json, os, signal, threading, time, urllib.request
books = options["endpoint"].removesuffix("/v1") + "/ledger/summary"
def interrupt():
    while json.load(urllib.request.urlopen(books))["calls"] < 5:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)  # what the stop button of a notebook does
threading.Thread(target=interrupt).start()
try:
    inlay.enrich(frame, **options)
except inlay.RunStopped as stop:
    print(stop.kind, 0 < stop.report.summary["rows_done"] < len(frame))
"""


def test_the_stop_button_stops_cleanly(kernel: Kernel, simulator: Simulator) -> None:
    simulator.control(latency=0.3)
    _, stopped, left = kernel.cells(
        setup(simulator, 2_000),
        INTERRUPT,
        "partly = inlay.enrich(frame, budget_usd=0, on_stop='return'); "
        "print(len(partly), partly['mood_null_reason'].eq('pending').any())".replace("frame,", "frame, **options,"),
    )
    assert printed(stopped) == "interrupted True\n"
    assert "stopped: interrupted" in shown(stopped)[0]
    assert printed(left) == "2000 True\n"


def test_a_mistake_is_an_error_of_the_cell(kernel: Kernel, simulator: Simulator) -> None:
    with pytest.raises(CellExecutionError, match="did you mean `text`"):
        kernel.cells(setup(simulator, 3), "inlay.enrich(frame, prompt='{{ txt }}', **options)")
    assert len(simulator.ledger) == 0
