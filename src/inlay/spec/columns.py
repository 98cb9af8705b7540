"""The columns that a declaration publishes, by name: which key of the declaration makes each of them.

What stays true: every name that the published table can hold beside the source's own columns is made here, whatever
succeeds or fails in a run, so collisions are found before anything is paid for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment, OutputSpec, PassSpec

# What the history table beside a published one is named by.
HISTORY = "_history"
# One of each a row, whatever the passes are.
ROW_COLUMNS = ("enrichment_errors", "enriched_at", "enrichment_version", "enrichment_cost_usd")
# The same of a published table in a database, in its order.
TABLE_ROW_COLUMNS = (
    "input_hash", "enriched_at", "model_version", "enrichment_version", "enrichment_state", "enrichment_errors",
    "enrichment_cost_usd", "content_hash", "created_at", "updated_at",
)  # fmt: skip
# What `mode: column` adds to the source's own table beside the fields, behind the output's prefix.
MARK_COLUMNS = ("enriched_at", "model_version", "input_hash", "content_hash")


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
    if output.table is None:
        for column in (f"{spec.name}_success", f"avg_confidence_{spec.name}", f"{spec.name}_model"):
            yield column, "name"


def stamped(pass_name: str) -> tuple[str, str, str, str]:
    """What a table of a database says of each of several passes: hash of the input, model, moment, state."""
    return (
        f"{pass_name}_input_hash",
        f"{pass_name}_model_version",
        f"{pass_name}_enriched_at",
        f"{pass_name}_state",
    )


def row_columns(output: OutputSpec) -> tuple[str, ...]:
    """The columns that a published table has once a row."""
    if output.table is None:
        return ROW_COLUMNS
    if output.mode == "column":
        return tuple(f"{output.prefix}{name}" for name in MARK_COLUMNS)
    return TABLE_ROW_COLUMNS


def input_column(name: str) -> str:
    """Where a table keeps the value of a source column that an answer was given for."""
    return f"input_{name}"


def table_columns(enrichment: Enrichment) -> Iterator[tuple[str, str]]:
    """(column, the key of the declaration that makes it) for every column of a table of a database, in its order,
    those of the source's key excepted."""
    output, several = enrichment.output, len(enrichment.passes) > 1
    own = output.mode == "table"
    if own and output.inputs:
        for name in dict.fromkeys(name for spec in enrichment.passes for name in spec.inputs):
            yield input_column(name), "output.inputs"
    for index, spec in enumerate(enrichment.passes):
        for column, below in pass_columns(spec, output):
            yield column, f"passes[{index}].{below}"
    if own and several:
        for index, spec in enumerate(enrichment.passes):
            for column in stamped(spec.name):
                yield column, f"passes[{index}].name"
    for column in row_columns(output):
        yield column, "output.prefix" if output.mode == "column" else "output.table"
