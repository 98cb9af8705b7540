"""What a field may be: its type, its limits, and what is asked beside the value.

What stays true: a FieldSpec is frozen and complete (every default is filled in), a field is nullable unless it says
otherwise, and nothing here knows of prompts, providers or files.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FieldType = Literal["string", "text", "integer", "number", "boolean", "date", "datetime", "enum", "list", "object"]
FIELD_TYPES: tuple[str, ...] = FieldType.__args__  # type: ignore[attr-defined]

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]


class Frozen(BaseModel):
    """The base of every part of a declaration: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, populate_by_name=True, allow_inf_nan=False)


class FieldSpec(Frozen):
    """One column that a pass answers.

    `string` is one line, `text` may be long. `enum` takes `values` (or `values_file`, read by the loader). `list` is
    a list of `items` (default string); `object` has `fields` of its own. `min`/`max` bound numbers and dates,
    `max_length` bounds text in characters, `max_items` bounds lists, `pattern` is a regular expression that the whole
    string must match. `confidence` and `evidence` ask the model for a number in 0..1 and a verbatim quote.
    `original` names a source column whose value, where it is not missing, is published in place of an answer; `default`
    is published where there is neither. Neither is seen by the model.
    """

    type: FieldType = "string"
    description: str = ""
    nullable: bool = True
    values: tuple[str, ...] = ()
    values_file: str | None = None
    min: int | float | dt.date | dt.datetime | None = None
    max: int | float | dt.date | dt.datetime | None = None
    max_length: int | None = Field(default=None, ge=1)
    max_items: int | None = Field(default=None, ge=1)
    pattern: str | None = None
    items: FieldSpec | None = None
    fields: dict[FieldName, FieldSpec] = Field(default_factory=dict)
    confidence: bool = False
    evidence: bool = False
    original: str | None = None
    default: Any = None

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            if len(pattern) > 1000:
                raise ValueError("a regular expression takes at most 1,000 characters")
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _fits_type(self) -> Self:
        kind = self.type

        def only(attribute: str, *kinds: str) -> None:
            if getattr(self, attribute) not in (None, (), {}) and kind not in kinds:
                raise ValueError(f"`{attribute}` belongs to type {' or '.join(kinds)}, not to {kind}")

        only("values", "enum")
        only("values_file", "enum")
        only("min", "integer", "number", "date", "datetime")
        only("max", "integer", "number", "date", "datetime")
        only("max_length", "string", "text")
        only("pattern", "string", "text")
        only("max_items", "list")
        only("items", "list")
        only("fields", "object")
        only("original", *(name for name in FIELD_TYPES if name not in ("list", "object")))
        if kind == "enum" and not self.values and not self.values_file:
            raise ValueError("an enum needs `values` or `values_file`")
        if self.values and self.values_file:
            raise ValueError("give `values` or `values_file`, not both")
        if len(set(self.values)) != len(self.values):
            doubled = sorted(value for value, count in Counter(self.values).items() if count > 1)
            raise ValueError(f"`values` holds {', '.join(doubled[:10])} more than once")
        if kind == "object" and not self.fields:
            raise ValueError("an object needs `fields`")
        if self.items is not None and (self.items.confidence or self.items.evidence):
            raise ValueError("`confidence` and `evidence` belong to the list, not to its items")
        if any(part.confidence or part.evidence for part in self.fields.values()):
            raise ValueError("`confidence` and `evidence` belong to the object, not to its fields")
        inner = (*(() if self.items is None else (self.items,)), *self.fields.values())
        if any(part.original is not None or part.default is not None for part in inner):
            raise ValueError("`original` and `default` belong to the whole field")
        low, high = self.min, self.max
        if low is not None and high is not None:
            try:
                wrong = low > high  # type: ignore[operator]
            except TypeError:
                raise ValueError("`min` and `max` are of different types") from None
            if wrong:
                raise ValueError(f"`min` {low} is above `max` {high}")
        return self

    @property
    def item(self) -> FieldSpec:
        """What a list holds: `items`, or a plain string."""
        return self.items or FieldSpec()

    def definition(self) -> dict[str, Any]:
        """The part of the recipe that this field is: what the model is told, where it differs from its default."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"values_file", "original", "default"})
