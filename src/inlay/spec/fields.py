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
    """One column that a pass answers: its type, its limits, and what is asked beside the value."""

    type: FieldType = "string"
    """What the value is: one line (`string`), longer text, a number, a date, one of `values`, a list or an object."""
    description: str = ""
    """What the field means, in words that the model reads."""
    nullable: bool = True
    """Whether the model may give no value, with a reason."""
    values: tuple[str, ...] = ()
    """The labels of an enum."""
    values_file: str | None = None
    """A text file with the labels of an enum, one a line."""
    min: int | float | dt.date | dt.datetime | None = None
    """The least number, date or datetime."""
    max: int | float | dt.date | dt.datetime | None = None
    """The greatest number, date or datetime."""
    max_length: int | None = Field(default=None, ge=1)
    """The most characters of a text."""
    max_items: int | None = Field(default=None, ge=1)
    """How many items of a list are kept."""
    pattern: str | None = None
    """A regular expression that the whole text must match."""
    items: FieldSpec | None = None
    """What a list holds; left out, strings."""
    fields: dict[FieldName, FieldSpec] = Field(default_factory=dict)
    """Name → field: the parts of an object."""
    confidence: bool = False
    """Ask for a number from 0 to 1 beside the value."""
    evidence: bool = False
    """Ask for a verbatim quote beside the value; it is looked up in the text that was sent."""
    original: str | None = None
    """A source column whose value, where it is not missing, is published in place of an answer; no model sees this."""
    default: Any = None
    """What is published where there is neither an original nor an answer; need not be one of `values`."""

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
