"""Rules of a pass: free, deterministic values that are tried before any model.

What stays true: a rule is data (SQL of the declaration, a regular expression, a table), never code of a record; the
first rule that has a value for a field decides that field; a rule names only fields of its own pass.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from inlay.spec.fields import FieldName, Frozen


class RuleSpec(Frozen):
    """When a row fits, the fields that this gives, without asking a model. What is given must all hold."""

    when: str | None = None
    """DuckDB SQL over the row, any column; `name ~ '…'` matches the whole text."""
    column: str | None = None
    """The column that `pattern` is searched in."""
    pattern: str | None = None
    """A regular expression (RE2 syntax); a named group (?P<field>…) is the value of that field."""
    lookup: str | None = None
    """A CSV, Parquet or JSONL file with one line a key; its columns named like fields are their values."""
    by: dict[str, str] = Field(default_factory=dict)
    """What is looked up: a column, a list of them, or row column → file column where the names differ."""
    set: dict[FieldName, Any] = Field(default_factory=dict)
    """Field → fixed value; with `lookup`, field → column of the file."""
    null_reason: Literal["not_applicable", "not_stated", "ambiguous"] = "not_applicable"
    """The reason of a null in `set`: not_applicable, not_stated or ambiguous."""

    @field_validator("by", mode="before")
    @classmethod
    def _same_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: value}
        return {name: name for name in value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.when is None and self.pattern is None and self.lookup is None:
            raise ValueError("a rule needs `when`, `pattern` or `lookup`")
        if (self.column is None) != (self.pattern is None):
            raise ValueError("`column` and `pattern` belong together")
        if (self.lookup is None) != (not self.by):
            raise ValueError("`lookup` and `by` belong together: which column of the row is looked up?")
        if self.lookup is None and not self.set and not self.groups:
            raise ValueError("a rule needs `set`, or named groups in its `pattern`: (?P<field>…)")
        if self.lookup is not None and not all(isinstance(name, str) for name in self.set.values()):
            raise ValueError("`set` of a lookup says which column of the file each field takes")
        doubled = [name for name in self.groups if name in self.set]
        if doubled and self.lookup is None:
            raise ValueError(f"`set` and the pattern both give {', '.join(doubled)}")
        return self

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @property
    def groups(self) -> dict[str, int]:
        """The fields that the pattern's named groups give: name to number of the group."""
        return dict(re.compile(self.pattern).groupindex) if self.pattern is not None else {}
