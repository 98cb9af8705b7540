"""Inlay: durable LLM columns in the tables you already have.

    import inlay

    print(inlay.plan("inlay.yaml").cost_usd)
    report = inlay.run("inlay.yaml", limit=100, budget_usd=1.00)
    frame = inlay.enrich(frame, fields={"sentiment": "positive|neutral|negative"}, budget_usd=1.00)

This is the public face; each name is imported when it is first used, so `import inlay` costs next to nothing. The
care of the store (stats, verify, prune, clear) is in `inlay.project`, every error in `inlay.errors`, and a simulated
provider for tests in `inlay.testing`.
"""

from __future__ import annotations

from inlay._version import __version__

# As in `typing`, whose import would cost more than all the rest.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from inlay.errors import InlayError, ProviderError, RunStopped, SpecError
    from inlay.planning.plan import Plan
    from inlay.project import arun, evaluate, explain, export, plan, retry, run, status, write_report
    from inlay.project.enriching import aenrich, enrich
    from inlay.project.explanation import Explanation
    from inlay.project.report import Report, Status
    from inlay.project.running import RunOptions
    from inlay.spec.fields import FieldSpec
    from inlay.spec.load import load
    from inlay.spec.model import Enrichment, PassSpec

__all__ = [
    "Enrichment",
    "Explanation",
    "FieldSpec",
    "InlayError",
    "PassSpec",
    "Plan",
    "ProviderError",
    "Report",
    "RunOptions",
    "RunStopped",
    "SpecError",
    "Status",
    "__version__",
    "aenrich",
    "arun",
    "enrich",
    "evaluate",
    "explain",
    "export",
    "load",
    "plan",
    "retry",
    "run",
    "status",
    "write_report",
]

_HOME = {
    "Enrichment": "inlay.spec.model",
    "Explanation": "inlay.project.explanation",
    "FieldSpec": "inlay.spec.fields",
    "InlayError": "inlay.errors",
    "PassSpec": "inlay.spec.model",
    "Plan": "inlay.planning.plan",
    "ProviderError": "inlay.errors",
    "Report": "inlay.project.report",
    "RunOptions": "inlay.project.running",
    "RunStopped": "inlay.errors",
    "SpecError": "inlay.errors",
    "Status": "inlay.project.report",
    "explain": "inlay.project",
    "aenrich": "inlay.project.enriching",
    "arun": "inlay.project",
    "enrich": "inlay.project.enriching",
    "evaluate": "inlay.project",
    "export": "inlay.project",
    "load": "inlay.spec.load",
    "plan": "inlay.project",
    "retry": "inlay.project",
    "run": "inlay.project",
    "status": "inlay.project",
    "write_report": "inlay.project",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'inlay' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
