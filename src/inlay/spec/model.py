"""The declaration as frozen values: one Enrichment, whether it came from YAML or from Python.

What stays true: every default is visible here and nowhere else; nothing here reads a file, the environment or the
clock; a secret never appears, only the name of the variable that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from inlay.fingerprint import recipe_digest, recipe_text
from inlay.spec.fields import FieldName, FieldSpec, Frozen
from inlay.spec.rules import RuleSpec

# Part of every recipe: raise it when the wording around the user's prompt changes what models answer.
ASK_VERSION = 1
# The column that `key: "*"` makes of a row's whole content.
CONTENT_KEY = "inlay_key"

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
Normalizer = Literal["nfkc", "trim", "collapse_space"]
ColumnType = Literal["text", "integer", "number", "boolean", "date", "datetime"]


class SourceSpec(Frozen):
    """Where the rows are. Files may be Parquet, CSV or JSONL, one path or glob or several.

    CSV columns are read as text, exactly as written (007 stays 007); `types` gives some of them a type.
    `key` is one column or several; together unique and never null. `key: "*"` makes a key of the row's whole content:
    the column `inlay_key` (`key` names it then, and `content_key` is true).
    """

    files: tuple[str, ...]
    key: tuple[str, ...]
    format: Literal["auto", "parquet", "csv", "jsonl"] = "auto"
    types: dict[str, ColumnType] = Field(default_factory=dict)
    content_key: bool = False  # filled in for `key: "*"`

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
    def _content_stands_alone(self) -> Self:
        if "*" in self.key:
            raise ValueError('`key: "*"` means the whole row: it stands alone')
        if self.content_key and self.key != (CONTENT_KEY,):
            raise ValueError('a key made of the content is written `key: "*"`')
        return self


class SelectSpec(Frozen):
    """Which rows. `where` and `order_by` are DuckDB SQL over the source's columns.

    `missing` names a column: only rows where it is null, empty, blank or one of `placeholders` are selected.
    `limit` caps how many rows that need work are taken up in one run: 0 takes none, absent takes all.
    """

    where: str | None = None
    missing: str | None = None
    placeholders: tuple[str, ...] = ()
    order_by: str | None = None
    limit: int | None = Field(default=None, ge=0)


class PassSpec(Frozen):
    """One prompt that answers several fields. From Python, `fields` may be a pydantic class.

    `inputs` are the source columns that the answer depends on; left out, they are those that the prompt names.
    `rules` give values without asking; what they leave open is asked.
    `prefix` goes before each field's name in the published table. `ttl_s` (written `ttl: 30d`) lets answers expire.
    `temperature` is sent only where it is given. `options` are extra keys for the provider's request body.
    """

    name: Name
    prompt: str
    fields: dict[FieldName, FieldSpec] = Field(min_length=1)
    rules: tuple[RuleSpec, ...] = ()
    model: str = "auto"
    endpoint: str | None = None
    api_key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    inputs: tuple[str, ...] = ()
    upstream: tuple[tuple[str, str], ...] = ()  # (pass, field) that the prompt reads; found by the loader
    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    normalize: tuple[Normalizer, ...] = ()
    ttl_s: float | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=16)
    options: dict[str, Any] = Field(default_factory=dict)
    prices: PriceSpec | None = None

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

        `model` is the resolved one (never "auto"). Limits, prices, endpoint, prefix, ttl and `max_output_tokens` are
        not part of it: they change what an answer costs or where it goes, not what it is. Nor are rules: what they
        give a row is part of its input, so that editing one touches only the rows where it gives something else.
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
    output_per_million: float = Field(ge=0)
    cached_input_per_million: float | None = Field(default=None, ge=0)


class LimitsSpec(Frozen):
    """How hard to press a provider. `concurrency` is the most calls in flight; left out, it finds its own level."""

    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    requests_per_second: float | None = Field(default=None, gt=0)
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    timeout_s: float = Field(default=120.0, gt=0, le=3600)


class BudgetSpec(Frozen):
    """The most that may be spent. `per: run` lasts until a run ends by itself: a stopped run goes on with the rest."""

    usd: float = Field(ge=0)
    per: Literal["run", "day", "month", "total"] = "run"


class FailuresSpec(Frozen):
    """When to give up. A run stops once more than `max_percent` of its cells (and at least `min_cells`) failed.

    A cell is asked again by later runs until it has had `max_tries` runs without a whole answer.
    """

    max_percent: float = Field(default=20.0, ge=0, le=100)
    min_cells: int = Field(default=50, ge=1)
    max_tries: int = Field(default=3, ge=1)


class OutputSpec(Frozen):
    """The published table. `files` is one path ending in .parquet, .csv or .jsonl.

    `columns` are the source columns that go along (default all); `rows` says whether rows outside the selection do.
    `confidence`, `evidence`, `null_reasons` and `sources` (who gave a value) say which columns stand beside the values.
    """

    files: str | None = None
    columns: tuple[str, ...] | None = None
    rows: Literal["all", "selected"] = "all"
    evidence: bool = True
    confidence: bool = True
    null_reasons: bool = True
    sources: bool = True

    @field_validator("files")
    @classmethod
    def _known_ending(cls, value: str | None) -> str | None:
        if value is not None and Path(value).suffix.lower() not in (".parquet", ".csv", ".jsonl"):
            raise ValueError("must end in .parquet, .csv or .jsonl")
        return value


class Enrichment(Frozen):
    """A whole declaration. Frozen; `folder` is where relative paths start (the folder of its file)."""

    name: Name
    source: SourceSpec
    passes: tuple[PassSpec, ...] = Field(min_length=1)
    select: SelectSpec = SelectSpec()
    limits: LimitsSpec = LimitsSpec()
    budget: BudgetSpec | None = None
    failures: FailuresSpec = FailuresSpec()
    output: OutputSpec = OutputSpec()
    store: str | None = None
    version: str = "1"  # published as enrichment_version

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

    def get_pass(self, name: str) -> PassSpec:
        """The pass of that name; KeyError otherwise."""
        for spec in self.passes:
            if spec.name == name:
                return spec
        raise KeyError(name)


PassSpec.model_rebuild()
