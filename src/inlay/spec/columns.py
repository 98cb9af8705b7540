"""The columns that a declaration publishes, by name: which key of the declaration makes each of them.

What stays true: every name that the published table can hold beside the source's own columns is made here, whatever
succeeds or fails in a run, so collisions are found before anything is paid for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inlay.spec.fields import FieldSpec
from inlay.spec.model import OutputSpec, PassSpec

# One of each a row, whatever the passes are.
ROW_COLUMNS = ("enrichment_errors", "enriched_at", "enrichment_version", "enrichment_cost_usd")


def suggested_prefix(pass_name: str) -> str:
    """A prefix that keeps a pass's columns apart from others, for remedies."""
    return re.sub(r"[^A-Za-z0-9]", "", pass_name)[:3].lower() + "_"


def field_columns(name: str, spec: FieldSpec, output: OutputSpec) -> Iterator[str]:
    """The columns of one field, the value's own (`name`, prefix included) first."""
    yield name
    if spec.confidence and output.confidence:
        yield f"{name}_confidence"
    if spec.evidence and output.evidence:
        yield f"{name}_evidence"
        yield f"{name}_evidence_verified"
    if output.null_reasons:
        yield f"{name}_null_reason"
    if output.sources:
        yield f"{name}_source"


def pass_columns(spec: PassSpec, output: OutputSpec) -> Iterator[tuple[str, str]]:
    """(column, key below the pass that makes it) for every column of a pass."""
    for field, definition in spec.fields.items():
        for column in field_columns(spec.column(field), definition, output):
            yield column, f"fields.{field}"
    for column in (f"{spec.name}_success", f"avg_confidence_{spec.name}", f"{spec.name}_model"):
        yield column, "name"
