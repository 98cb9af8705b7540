"""The declaration as frozen values: one Enrichment, whether it came from YAML or from Python.

What stays true: every default is visible here and nowhere else; nothing here reads a file, the environment or the
clock; a secret never appears, only the name of the variable that holds it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from inlay.fingerprint import recipe_digest, recipe_text
from inlay.spec.fields import FieldName, FieldSpec, Frozen
from inlay.spec.rules import RuleSpec

# Part of every recipe: raise it when the wording around the user's prompt changes what models answer.
ASK_VERSION = 1
# The column that `key: "*"` makes of a row's whole content.
CONTENT_KEY = "inlay_key"

# A password between `://user:` and `@`, where neither comes from a variable.
_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@")


def _no_password(value: str) -> str:
    """An address as it stands in the declaration: `${VAR}` is filled in when it is used, and nowhere kept."""
    if _PASSWORD.search(value):
        raise ValueError("holds a password: keep the whole address in an environment variable, and write ${NAME}")
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Normalizer = Literal["nfkc", "trim", "collapse_space"]
Secret = Annotated[str, AfterValidator(_no_password)]
ColumnType = Literal["text", "integer", "number", "boolean", "date", "datetime"]


class SourceSpec(Frozen):
    """Where the rows are, in files or in a database, and what tells them apart."""

    files: tuple[str, ...] = ()
    """Parquet, CSV or JSONL files: a path or glob (`**` too), or a list of them. Paths start in this file's folder."""
    connection: Secret | None = None
    """In place of files, the database: ${VAR} with a URL like mysql://user:password@host/db, or sqlite:///a.db."""
    table: str | None = Field(default=None, min_length=1)
    """The table of the database, such as staging.tenants; a name with odd characters is written "quoted"."""
    query: str | None = Field(default=None, min_length=1)
    """In place of a table, a query in the database's own SQL."""
    key: tuple[str, ...]
    """The column or columns that tell every row apart: together unique and never null. "*" is the whole row."""
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    """What the files are, where their ending does not say."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """Column → type. CSV columns are text exactly as written (007 stays 007), unless one is given a type here."""
    content_key: bool = False
    """Whether the key is made of the row's whole content; written `key: "*"`."""

    @model_validator(mode="before")
    @classmethod
    def _content(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("key") in ("*", ["*"], ("*",)):
            return {**data, "key": (CONTENT_KEY,), "content_key": True}
        return data

    @field_validator("files", "key", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("files", "key")
    @classmethod
    def _not_empty(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not all(value):
            raise ValueError("needs at least one")
        if len(set(value)) != len(value):
            raise ValueError("names one twice")
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if not self.files and self.connection is None:
            raise ValueError("needs `files`, or a `connection` with a `table`")
        if self.files and self.connection is not None:
            raise ValueError("rows come from `files` or from a `connection`, not from both")
        if self.connection is None:
            if self.table is not None or self.query is not None:
                raise ValueError("a `table` or `query` needs the `connection` to its database")
            return self
        if (self.table is None) == (self.query is None):
            raise ValueError("a `connection` needs a `table` or a `query`, one of the two")
        if self.content_key:
            raise ValueError("rows of a database need a key of their own: name its columns")
        if self.format != "auto":
            raise ValueError("`format` belongs to `files`")
        return self

    @property
    def named(self) -> str:
        """The place as messages name it: the files, the table, or that it is a query."""
        if self.files:
            return ", ".join(self.files)
        return self.table or "the query"

    @model_validator(mode="after")
    def _content_stands_alone(self) -> Self:
        if "*" in self.key:
            raise ValueError('`key: "*"` means the whole row: it stands alone')
        if self.content_key and self.key != (CONTENT_KEY,):
            raise ValueError('a key made of the content is written `key: "*"`')
        return self


class SelectSpec(Frozen):
    """Which rows are worked on. Left out: all of them."""

    where: str | None = None
    """SQL over the source's columns that is true for the rows to take: the database's own, or DuckDB's for files."""
    missing: str | None = None
    """Only rows where this column is null, empty, blank or one of `placeholders`."""
    placeholders: tuple[str, ...] = ()
    """Texts that count as missing, such as n/a."""
    order_by: str | None = None
    """SQL that puts the most urgent rows first: the database's own, or DuckDB's for files."""
    limit: int | None = Field(default=None, ge=0)
    """How many rows that need work one run takes up: 0 takes none; left out, all."""
    known: bool = False
    """The other way round: only rows whose `missing` column has a value. Set by `inlay eval --shadow`."""


class PassSpec(Frozen):
    """One prompt that answers several fields of each row. From Python, `fields` may be a pydantic class."""

    name: Name
    """Names the pass in the store and in the table's columns: letters, digits, - and _."""
    prompt: str
    """What is asked, as a Jinja template: {{ column }}, {{ row['a column'] }}, {{ passes.earlier.field }}."""
    fields: dict[FieldName, FieldSpec] = Field(min_length=1)
    """Name → field: the columns that this pass answers, each a type (`integer`, `a|b|c`) or keys."""
    rules: tuple[RuleSpec, ...] = ()
    """What is given without asking a model, in order; what they leave open is asked."""
    model: str = "auto"
    """`provider:name`, a name of `models`, or auto: what the environment has a key for, else the built-in lexical."""
    models: tuple[str, ...] = ()
    """A cascade in place of `model`, cheapest first: the next one is asked where an answer does not suffice."""
    escalate_below: float | None = Field(default=None, ge=0, le=1)
    """In a cascade, the confidence that suffices; left out, 0.7. Invalid and ambiguous fields never suffice."""
    accept_above: float | None = Field(default=None, ge=0, le=1)
    """The confidence from which an answer is published; a lower one is kept and marked, and not bought again."""
    fuse: Literal["auto", "never"] = "auto"
    """Whether passes that read the same inputs and ask the same model go out as one call a row."""
    pack: Literal["auto"] | Annotated[int, Field(ge=1, le=64)] = 1
    """How many records go out in one call: 1, a number, or auto for as many as are short."""
    untrusted: bool = False
    """Whether records come from strangers who may write instructions into them: they are then never packed."""
    endpoint: str | None = None
    """Where the model's server is, such as http://127.0.0.1:8000/v1; left out, the provider's own."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The name of the environment variable that holds the key; never the key itself."""
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    """The cloud region of the model, such as eu-central-1; left out, what the environment says."""
    wire: str | None = Field(default=None, pattern=r"^[a-z_]+$")
    """Which of the provider's wires carries the calls, such as chat or responses; left out, its usual one."""
    inputs: tuple[str, ...] = ()
    """The columns that the answer depends on; left out, those that the prompt reads."""
    named: str = ""
    """The name of `models` that `model` stood for; found by the loader."""
    upstream: tuple[tuple[str, str], ...] = ()
    """(pass, field) of what the prompt reads of earlier passes; found by the loader."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    """Goes before each field's name in the table."""
    lead: str = ""
    """`output.prefix`, ahead of `prefix`; set by the loader."""
    normalize: tuple[Normalizer, ...] = ()
    """Differences in the text that do not make another input: nfkc, trim, collapse_space."""
    ttl_s: float | None = Field(default=None, gt=0)
    """Seconds after which an answer is asked again; written `ttl`."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sent only where it is given: some models refuse it."""
    max_output_tokens: int | None = Field(default=None, ge=16)
    """The most that one answer may be long; left out, enough for the fields."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the provider's request body, such as {reasoning_effort: low}."""
    prices: PriceSpec | None = None
    """What the model costs, where the built-in table does not know or you pay something else."""
    abilities: AbilitiesSpec | None = None
    """What the model can do, where the built-in table does not know or is no longer right."""
    priced_as: str | None = Field(default=None, min_length=1)
    """Whose list price it has, where its name does not say: gpt-6-luna for an Azure deployment, or provider:name."""

    @field_validator("fields", mode="before")
    @classmethod
    def _of_class(cls, value: Any) -> Any:
        """A pydantic class stands for its fields."""
        if isinstance(value, type):
            from inlay.spec.pydantic_fields import fields_of, is_pydantic_class

            return fields_of(value) if is_pydantic_class(value) else value
        return value

    def recipe(self, model: str) -> str:
        """The canonical text of what makes an answer this answer: prompt, inputs, fields, model, sampling.

        `model` is the resolved one (never "auto"). Limits, prices, abilities, endpoint, prefix, ttl and
        `max_output_tokens` are not part of it: they change what an answer costs or where it goes, not what it is. Nor
        are rules: what they give a row is part of its input, so that editing one touches only the rows where it gives
        something else.
        """
        return recipe_text(
            {
                "ask": ASK_VERSION,
                "prompt": self.prompt,
                "inputs": sorted(self.inputs),
                "upstream": sorted(f"{name}.{field}" for name, field in self.upstream),
                "normalize": sorted(self.normalize),
                "fields": [[name, spec.definition()] for name, spec in self.fields.items()],
                "model": model,
                "temperature": self.temperature,
                "options": self.options,
            }
        )

    def column(self, field: str) -> str:
        """The published column of a field: the output's prefix, the pass's own, the field's name."""
        return f"{self.lead}{self.prefix}{field}"

    @property
    def suffices_from(self) -> float:
        """The confidence from which an answer of a cascade suffices."""
        if self.escalate_below is not None:
            return self.escalate_below
        return 0.7 if self.accept_above is None else self.accept_above

    @model_validator(mode="after")
    def _one_model_or_several(self) -> Self:
        if self.models and "model" in self.model_fields_set:
            raise ValueError("`model` and `models` cannot both be given")
        if len(self.models) == 1 or ("models" in self.model_fields_set and not self.models):
            raise ValueError("`models` is a cascade of two or more; a single one is `model`")
        if len(set(self.models)) != len(self.models):
            raise ValueError("`models` names one twice")
        if self.escalate_below is not None and not self.models:
            raise ValueError("`escalate_below` belongs to a cascade: give `models`")
        if self.escalate_below is not None and not any(spec.confidence for spec in self.fields.values()):
            raise ValueError("`escalate_below` needs a field with `confidence: true`")
        if self.accept_above is not None and not any(spec.confidence for spec in self.fields.values()):
            raise ValueError("`accept_above` needs a field with `confidence: true`")
        if self.untrusted and self.pack not in (1, "auto"):
            raise ValueError("an untrusted pass is never packed: remove `pack` or `untrusted`")
        return self

    def digest(self, model: str) -> bytes:
        """SHA-256 of the recipe."""
        return recipe_digest(self.recipe(model))

    @property
    def upstream_passes(self) -> tuple[str, ...]:
        """Names of the earlier passes that this one reads, each once, in the order they are first read."""
        return tuple(dict.fromkeys(name for name, _ in self.upstream))


class PriceSpec(Frozen):
    """What a model costs, in US dollars per million tokens; overrides the built-in table."""

    input_per_million: float = Field(ge=0)
    """US dollars for a million tokens of prompt."""
    output_per_million: float = Field(ge=0)
    """US dollars for a million tokens of answer."""
    cached_input_per_million: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens that the provider had in its cache; left out, as input."""
    cache_write_per_million: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens that the provider put into its cache; left out, as input."""
    batch_multiplier: float | None = Field(default=None, ge=0, le=1)
    """What a call in a batch costs, as a part of these prices; left out, the provider's own (0.5), or 1."""


class AbilitiesSpec(Frozen):
    """What a model can do; what is left out is as the built-in table has it."""

    structured: Literal["json_schema", "forced_tool", "prompt"] | None = None
    """How an answer's shape is asked for: a schema that the provider enforces, a tool that must be called, or words."""
    temperature: bool | None = None
    """Whether the model takes a temperature."""
    thinking: Literal["none", "asked", "default", "between_tools", "always"] | None = None
    """Whether the model thinks before it answers: never, when asked, by default, or always."""
    efforts: tuple[str, ...] | None = None
    """The words that the model takes for its effort, such as [low, high]."""
    cache_marks: bool | None = None
    """Whether the provider's prompt cache wants marks in the request."""
    cache_min_tokens: int | None = Field(default=None, ge=0)
    """The shortest beginning of a request, in tokens, that the prompt cache keeps."""
    batch: bool | None = None
    """Whether the provider takes the model in batches."""
    max_output_tokens: int | None = Field(default=None, ge=16)
    """The most tokens that the model writes in one answer, thinking included."""


class LimitsSpec(Frozen):
    """How hard to press a provider. Left out, a run finds its own level."""

    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    """The most calls in flight; left out, it finds its own level."""
    requests_per_second: float | None = Field(default=None, gt=0)
    """The most calls that begin in a second."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """The most calls that begin in a minute."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """The most tokens, in and out, in a minute."""
    timeout_s: float = Field(default=120.0, gt=0, le=3600)
    """Seconds that a whole call may take."""


class ModelSpec(Frozen):
    """A model under a name of its own: what passes say of a model, said once. Keys of the pass come before these."""

    model: str
    """`provider:name`. The short form `small: openai:gpt-6-luna` is the same as `small: {model: openai:gpt-6-luna}`."""
    endpoint: str | None = None
    """Where its server is, such as http://127.0.0.1:8000/v1; left out, the provider's own."""
    region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    """Its cloud region, such as eu-central-1; left out, what the environment says."""
    wire: str | None = Field(default=None, pattern=r"^[a-z_]+$")
    """Which of the provider's wires carries the calls; left out, its usual one."""
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The name of the environment variable that holds its key; never the key itself."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sent only where it is given: some models refuse it."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the provider's request body; those of a pass are added, and come first."""
    prices: PriceSpec | None = None
    """What it costs, where the built-in table does not know or you pay something else."""
    limits: LimitsSpec | None = None
    """How hard to press it; left out, the file's `limits`."""


class BudgetSpec(Frozen):
    """The most that may be spent. `per: run` lasts until a run ends by itself: a stopped run goes on with the rest."""

    usd: float = Field(ge=0)
    """US dollars. The short form `budget: 5` is the same as `budget: {usd: 5}`."""
    per: Literal["run", "day", "month", "total"] = "run"
    """What it is for. A run that was stopped goes on with what is left of its budget; days and months are UTC."""


class FailuresSpec(Frozen):
    """When to give up: a whole run, or a single cell."""

    max_percent: float = Field(default=20.0, ge=0, le=100)
    """A run stops, resumably, once more of its cells than this failed."""
    min_cells: int = Field(default=50, ge=1)
    """How many cells must be through before `max_percent` counts."""
    max_tries: int = Field(default=3, ge=1)
    """Runs in a row that may fail a cell before it is left alone."""


class OutputSpec(Frozen):
    """The published table: where it goes and what is in it."""

    files: str | None = None
    """The file to write: .parquet, .csv or .jsonl. The short form `output: out.parquet` is the same."""
    table: str | None = Field(default=None, min_length=1)
    """In place of a file, a table of a database: one row a key, made and widened where it is missing."""
    connection: Secret | None = None
    """The database of `table`, as ${VAR}; left out, that of the source."""
    mode: Literal["table", "column"] = "table"
    """Whether `table` is a table of its own, or the source's, which gets the columns and no new rows."""
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    """Goes before each field's name in the table, ahead of the pass's own prefix; llm_ makes llm_nationality."""
    history: bool = True
    """Whether a second table, named like it with _history, holds every answer there ever was."""
    inputs: bool = False
    """Whether `table` also holds the values that each answer was given for, as input_…; they are copies in clear."""
    columns: tuple[str, ...] | None = None
    """Source columns that go along; left out, all of them."""
    rows: Literal["all", "selected"] = "all"
    """Whether rows outside the selection are in the table."""
    evidence: bool = True
    """Whether the table holds `…_evidence` and `…_evidence_verified`, for fields that ask for them."""
    confidence: bool = True
    """Whether the table holds `…_confidence`, for fields that ask for it."""
    null_reasons: bool = True
    """Whether the table holds `…_null_reason`, why there is no value."""
    sources: bool = True
    """Whether the table holds `…_source`, who gave each value: human, original, rule, model or default."""

    @field_validator("files")
    @classmethod
    def _known_ending(cls, value: str | None) -> str | None:
        if value is not None and Path(value).suffix.lower() not in (".parquet", ".csv", ".jsonl"):
            raise ValueError("must end in .parquet, .csv or .jsonl")
        return value

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.files is not None and self.table is not None:
            raise ValueError("the output is a file or a `table`, not both; `inlay export` writes the other")
        if self.table is None and (self.connection is not None or self.mode == "column"):
            raise ValueError("`connection` and `mode` belong to a `table`")
        if self.table is not None and (self.columns is not None or self.rows != "all"):
            raise ValueError("`columns` and `rows` belong to `files`: a `table` has the key and the answers")
        if self.inputs and (self.table is None or self.mode == "column"):
            raise ValueError("`inputs` belongs to a `table` of its own: elsewhere the source's columns stand beside")
        return self


class LoadSpec(Frozen):
    """A dump that `inlay load` brings into the database before rows are planned."""

    dump: str
    """A mysqldump file, .sql or .sql.gz: a path or s3://bucket/key. {date:%Y%m%d} stands for a day."""
    into: Secret | None = None
    """The database, as ${VAR}; left out, that of the source."""
    tables: tuple[str, ...] = ()
    """The tables of the dump to load; left out, all of them."""
    protect: tuple[str, ...] = ()
    """Tables that are never dropped or changed, beside those that Inlay publishes and keeps."""
    date: Literal["today", "latest"] = "today"
    """Which day the dump is of: today, or the latest that there is."""
    time_zone: str = "UTC"
    """Whose today it is, such as Asia/Tokyo."""

    @field_validator("tables", "protect", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone, like UTC or Asia/Tokyo") from None
        return value


class ActionSpec(Frozen):
    """Something that is done when a run has ended, or when a row's input changed: a command or a webhook."""

    command: tuple[str, ...] = ()
    """A program with its arguments, started without a shell; what happened comes as JSON on its standard input."""
    webhook: Secret | None = None
    """A URL that gets what happened as JSON, by POST; ${VAR} where it holds a secret."""
    when: tuple[Literal["success", "failure"], ...] = ("success", "failure")
    """After which runs: success (exit code 0 or 1), failure (any other end), or both."""
    timeout_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds that it may take."""

    @field_validator("command", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        return tuple(shlex.split(value)) if isinstance(value, str) else value

    @field_validator("when", mode="before")
    @classmethod
    def _one_or_both(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.command) == (self.webhook is not None):
            raise ValueError("needs a `command` or a `webhook`, one of the two")
        return self


class BatchSpec(Frozen):
    """How batches are made. Bedrock needs `bucket` and `role_arn`; the other providers need none of this."""

    above: int = Field(default=200, ge=0)
    """With `mode: auto`, more planned calls than this go into batches."""
    fewest: int | None = Field(default=None, ge=1)
    """Fewer planned calls than this go out live, whatever the mode; left out, what the provider takes at least."""
    requests: int = Field(default=20_000, ge=1, le=100_000)
    """The most calls in one batch; the provider's own limit holds too."""
    megabytes: float = Field(default=100.0, gt=0, le=1000)
    """The most megabytes of one batch; the provider's own limit holds too."""
    bucket: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    """Bedrock: the S3 bucket, in the region of the model, that requests and answers go through."""
    prefix: str = Field(default="inlay", pattern=r"^[A-Za-z0-9][A-Za-z0-9/_.=-]*$", max_length=200)
    """Bedrock: where in the bucket."""
    role_arn: str | None = Field(default=None, pattern=r"^arn:[A-Za-z0-9-]+:iam::[0-9]{12}:role/.+$")
    """Bedrock: the service role that reads and writes there."""
    window_hours: int = Field(default=24, ge=24, le=168)
    """Bedrock: how many hours a batch may take."""
    poll_s: float = Field(default=5.0, gt=0, le=3600)
    """Seconds between two looks at a batch; they grow to twelve times that."""
    lost_after_s: float = Field(default=600.0, gt=0, le=86_400)
    """Seconds for which an order whose answer was lost is looked for before it counts as never made."""


class Enrichment(Frozen):
    """A whole declaration. Frozen; `folder` is where relative paths start (the folder of its file)."""

    name: Name
    """Names the enrichment in the store: letters, digits, - and _."""
    source: SourceSpec
    """Where the rows are, and what tells them apart."""
    passes: tuple[PassSpec, ...] = Field(min_length=1)
    """What is asked, in one pass or several; a later one may read the answers of earlier ones."""
    models: dict[Name, ModelSpec] = Field(default_factory=dict)
    """Name → model: names of your own for `model` of a pass, each `provider:name` or keys."""
    select: SelectSpec = SelectSpec()
    """Which rows are worked on; left out, all."""
    mode: Literal["live", "batch", "auto"] = "live"
    """How calls go out: live, one by one; batch, half the price within a day; auto, batch where there are many."""
    batch: BatchSpec = BatchSpec()
    """How batches are made."""
    limits: LimitsSpec = LimitsSpec()
    """How hard to press a provider."""
    budget: BudgetSpec | None = None
    """The most that may be spent; left out, a run above 1 US dollar asks first."""
    failures: FailuresSpec = FailuresSpec()
    """When to give up."""
    output: OutputSpec = OutputSpec()
    """The table to write after each run; left out, `inlay export` writes one."""
    store: Secret | None = None
    """Where answers are kept: a file, or ${VAR} with a database's URL; left out, .inlay/store.db beside this file."""
    load: LoadSpec | None = None
    """A dump to load before rows are planned; `inlay load` and `inlay run --load` do it."""
    after: tuple[ActionSpec, ...] = ()
    """What is done when a run has ended, well or not: commands and webhooks, in order."""
    on_change: tuple[ActionSpec, ...] = ()
    """What is told of rows that were asked again because their input changed, once after each run."""
    version: str = "1"
    """Your own word for this version of the declaration, published as enrichment_version."""

    _folder: Path = PrivateAttr(default_factory=Path.cwd)
    _file: Path | None = PrivateAttr(default=None)
    _lines: dict[str, int] = PrivateAttr(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where relative paths of the declaration start."""
        return self._folder

    @property
    def file(self) -> Path | None:
        """The file it was read from, or None."""
        return self._file

    @property
    def lines(self) -> dict[str, int]:
        """The line of every key path (`passes[0].fields.stars`) of the file it was read from; empty otherwise."""
        return self._lines

    def limits_of(self, named: str) -> LimitsSpec:
        """The limits of a model: its own, where a name of `models` gives some, or the file's."""
        model = self.models.get(named)
        return self.limits if model is None or model.limits is None else model.limits

    def get_pass(self, name: str) -> PassSpec:
        """The pass of that name; KeyError otherwise."""
        for spec in self.passes:
            if spec.name == name:
                return spec
        raise KeyError(name)


PassSpec.model_rebuild()
