"""`inlay.enrich`: answers beside the rows of a frame or a file, in one call.

It is a declared run all the same: a declaration is made of what is given, and planned, priced, paid and kept as any
other, in `.inlay/` of the present folder. What stays true: the same call again asks nothing; fields or a prompt that
were changed are asked, since they were given just now (a declared run would only call the old answers stale); rows
come back as many as they were, in their order.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from pydantic import ValidationError

from inlay.contracts import Source
from inlay.errors import RunStopped, SpecError
from inlay.project.bars import Shown
from inlay.project.control import Control
from inlay.project.publishing import as_arrow
from inlay.project.report import Report
from inlay.project.results import beside, check_kind, converted
from inlay.project.running import RunOptions, run_session
from inlay.project.session import Session
from inlay.spec.check import check_columns
from inlay.spec.columns import field_columns
from inlay.spec.field_lines import raise_mistakes, read_fields
from inlay.spec.model import CONTENT_KEY, Enrichment, SourceSpec
from inlay.spec.problems import Problems
from inlay.spec.pydantic_fields import hint_of, is_pydantic_class
from inlay.spec.quick import Quick, in_words_of, quick_enrichment
from inlay.spec.sentences import translate
from inlay.tables.files import FileSource
from inlay.tables.frames import TITLE, FrameSource, arrow_table, frame_kind
from inlay.types import Reason

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

    from inlay.spec.fields import FieldSpec

    Fields = Mapping[str, FieldSpec | str | Sequence[str] | Mapping[str, Any] | type[BaseModel]] | type[BaseModel]

Frame = TypeVar("Frame")
# The name in the store of what is asked of frames, which have none of their own.
NAME = "enrich"
# What mistakes call the keys of the declaration that is made.
WORDS = {
    "source.key": "key",
    "source.files": "data",
    "passes[0].prompt": "prompt",
    "passes[0].inputs": "prompt",
    "passes[0].fields": "fields",
    "passes[0].prices": "prices",
    "passes[0].prefix": "prefix",
    "passes[0].endpoint": "endpoint",
    "passes[0].model": "model",
    "passes[0].api_key_env": "api_key_env",
    "select.limit": "limit",
    "budget.usd": "budget_usd",
    "budget": "budget_usd",
}
PHRASES = (
    (r"give the pass a prefix, for example `prefix: (\w+)`.*", r'rename the field, or give prefix="\1"'),
    (r"give the pass `prices:.*", "give prices=(IN, OUT), in US dollars per million tokens, or leave out budget_usd"),
)


class EnrichOptions(TypedDict, total=False):
    """The keywords of `enrich` beside `data`, `fields` and `into`; what each of them does is said there."""

    prompt: str | None
    key: str | Sequence[str] | None
    model: str
    endpoint: str | None
    api_key_env: str | None
    prices: tuple[float, float] | None
    name: str | None
    prefix: str
    store: str | Path | None
    budget_usd: float | None
    limit: int | None
    details: bool
    progress: bool | None
    yes: bool
    on_stop: Literal["raise", "return"]


@dataclass(frozen=True)
class _Order:
    """One call of `enrich`, as it was made."""

    data: Any
    fields: Any
    into: str | None = None
    prompt: str | None = None
    key: str | Sequence[str] | None = None
    model: str = "auto"
    endpoint: str | None = None
    api_key_env: str | None = None
    prices: tuple[float, float] | None = None
    name: str | None = None
    prefix: str = ""
    store: str | Path | None = None
    budget_usd: float | None = None
    limit: int | None = None
    details: bool = False
    progress: bool | None = None
    yes: bool = False
    on_stop: str = "raise"


@overload
def enrich(data: str | Path, *, fields: Fields, into: None = None, **options: Unpack[EnrichOptions]) -> pa.Table: ...
@overload
def enrich(data: Frame, *, fields: Fields, into: None = None, **options: Unpack[EnrichOptions]) -> Frame: ...
@overload
def enrich(data: Any, *, fields: Fields, into: Literal["arrow"], **options: Unpack[EnrichOptions]) -> pa.Table: ...
@overload
def enrich(
    data: Any, *, fields: Fields, into: Literal["pandas", "polars"], **options: Unpack[EnrichOptions]
) -> Any: ...
def enrich(
    data: Any,
    *,
    fields: Fields,
    prompt: str | None = None,
    key: str | Sequence[str] | None = None,
    model: str = "auto",
    endpoint: str | None = None,
    api_key_env: str | None = None,
    prices: tuple[float, float] | None = None,
    name: str | None = None,
    prefix: str = "",
    store: str | Path | None = None,
    budget_usd: float | None = None,
    limit: int | None = None,
    into: Literal["arrow", "pandas", "polars"] | None = None,
    details: bool = False,
    progress: bool | None = None,
    yes: bool = False,
    on_stop: Literal["raise", "return"] = "raise",
) -> Any:
    """Ask a model for new columns of a table; the same kind of table comes back, with the answers beside its rows.

    `data` is a pandas or polars DataFrame, an Arrow table, anything that offers `__arrow_c_stream__`, a list of dicts,
    or the path of a Parquet, CSV or JSONL file (which gives an Arrow table). `fields` are a pydantic class, or names
    with short forms (`"positive|neutral|negative"`, `"integer, 1..5 - how satisfied"`), FieldSpecs or keys of a
    declaration. Without a `prompt` one is made of the fields and the text columns; without a `key` (one column or
    several) rows are known by their content.

    Costs money, at most `budget_usd` dollars; without one, more than about a dollar needs `yes=True`. Every answer is
    kept in `.inlay/` of the present folder (or in `store`) under `name`, so the same call again asks nothing. `limit`
    caps the rows that one call takes up. `prices` are US dollars per million tokens in and out, where Inlay knows none.
    `into` chooses another kind of table; `details` adds columns for model, cost, time and errors. `progress` shows a
    bar; left out, in notebooks. Works inside a running event loop, too.

    Raises SpecError, PlanError or SourceError before anything is paid. Where the run stops early (budget, credentials,
    Ctrl-C) it raises a RunStopped whose `report` says how far it came: answers are safe, the same call goes on;
    `on_stop="return"` gives back the table as far as it came instead.
    """
    order = _Order(**locals())
    shown = Shown(progress)
    with in_words_of(WORDS, PHRASES):
        return shown.wait(lambda control: _carry_out(order, shown, control))


@overload
async def aenrich(
    data: str | Path, *, fields: Fields, into: None = None, **options: Unpack[EnrichOptions]
) -> pa.Table: ...
@overload
async def aenrich(data: Frame, *, fields: Fields, into: None = None, **options: Unpack[EnrichOptions]) -> Frame: ...
@overload
async def aenrich(
    data: Any, *, fields: Fields, into: Literal["arrow"], **options: Unpack[EnrichOptions]
) -> pa.Table: ...
@overload
async def aenrich(
    data: Any, *, fields: Fields, into: Literal["pandas", "polars"], **options: Unpack[EnrichOptions]
) -> Any: ...
async def aenrich(data: Any, *, fields: Any, **options: Any) -> Any:
    """`enrich` for async programs: the event loop goes on while it runs, and cancelling the task stops it cleanly.

    A cancelled call has finished and saved what was in flight when the cancellation comes through. Takes and raises
    what `enrich` does.
    """
    order = _Order(data, fields, **options)
    shown = Shown(order.progress)
    with in_words_of(WORDS, PHRASES):
        return await shown.wait_async(lambda control: _carry_out(order, shown, control))


aenrich.__signature__ = inspect.signature(enrich)  # type: ignore[attr-defined]


# --- the call --------------------------------------------------------------------------------------------------------


def _carry_out(order: _Order, shown: Shown, control: Control | None) -> Any:
    """Read, declare, run, and put the answers beside the rows. Costs money."""
    check_kind(order.into)
    if order.on_stop not in ("raise", "return"):
        raise SpecError(f"cannot {order.on_stop!r} on a stop", key="on_stop", remedy='write "raise" or "return"')
    if order.limit is not None and order.limit < 0:
        raise SpecError(f"must be 0 or more, got {order.limit}", key="limit")
    rows = _Rows.of(order.data, _key(order.key))
    given = Quick(
        fields=read_fields(order.fields),
        files=rows.files,
        prompt=order.prompt,
        key=_key(order.key),
        model=order.model,
        endpoint=order.endpoint,
        api_key_env=order.api_key_env,
        prices=order.prices,
        name=order.name or (None if rows.table is None else NAME),
        prefix=order.prefix,
        hint=hint_of(order.fields) if is_pydantic_class(order.fields) else "",
        budget_usd=order.budget_usd,
        store=None if order.store is None else str(order.store),
    )
    enrichment = quick_enrichment(given, rows.columns, Path.cwd())
    check_columns(enrichment, rows.source.columns())
    if rows.table is not None:  # its own columns need not come back from the store's side
        enrichment = enrichment.model_copy(update={"output": enrichment.output.model_copy(update={"columns": ()})})
    options = RunOptions(limit=order.limit, yes=order.yes, refresh=frozenset({Reason.STALE}))
    with Session(enrichment, need_keys=True, source=rows.source) as session:
        report = run_session(session, shown.options(options, control))
        wide = as_arrow(session, session.refs())
    answers = wide if order.details else wide.select(_wanted(enrichment, wide))
    table = answers if rows.table is None else beside(rows.table, "arrow", answers)
    report = shown.report = replace(report, table=table)
    if report.stopped is not None and order.on_stop == "raise":
        raise _stopped(report)
    if order.into is not None and order.into != rows.kind:
        return converted(table, order.into)
    if rows.table is None:
        return table
    if rows.kind in ("pandas", "polars", "rows"):
        return beside(order.data, rows.kind, answers)
    return table.combine_chunks().to_batches()[0] if rows.kind == "batch" and table.num_rows else table


def _key(key: str | Sequence[str] | None) -> tuple[str, ...] | None:
    return None if key is None else (key,) if isinstance(key, str) else tuple(key)


@dataclass(frozen=True)
class _Rows:
    """What `data` holds, ready to be run over; `table` is None for files. `columns` are those of the user's own."""

    kind: str
    files: tuple[str, ...]
    source: Source
    columns: Mapping[str, str]
    table: pa.Table | None = None

    @classmethod
    def of(cls, data: Any, key: tuple[str, ...] | None) -> _Rows:
        """Raises SourceError or SpecError for what is no table."""
        if isinstance(data, str | Path):
            files, kind, table = (str(data),), "arrow", None
        else:
            files, kind, table = (TITLE,), frame_kind(data), arrow_table(data)
        spec = source_spec(files, key)
        source = FileSource(spec, Path.cwd()) if table is None else FrameSource(table, spec)
        columns = source.columns()
        if spec.content_key:
            columns.pop(CONTENT_KEY)
        return cls(kind, files, source, columns, table)


def source_spec(files: tuple[str, ...], key: tuple[str, ...] | None) -> SourceSpec:
    """The source of a quick enrichment. Raises SpecError."""
    try:
        return SourceSpec.model_validate({"files": files, "key": key or "*"})
    except ValidationError as error:
        problems = Problems()
        translate(error, problems, shown={}, prefix="source", within=("source",))
        raise_mistakes(problems)
        raise


def _wanted(enrichment: Enrichment, wide: pa.Table) -> list[str]:
    """The source's columns, and of the answers: values, confidence, evidence and why there is none."""
    (spec,) = enrichment.passes
    output = enrichment.output.model_copy(update={"sources": False})
    answers = [
        column
        for name, field_spec in spec.fields.items()
        for column in field_columns(spec.column(name), field_spec, output)
    ]
    own = wide.column_names[: wide.column_names.index(answers[0])]
    return [*own, *answers]


def _stopped(report: Report) -> RunStopped:
    error = report.stopped
    assert error is not None
    error.report = report
    error.add_note("Every answer so far is safe in the store, and the same call goes on from there.")
    return error
