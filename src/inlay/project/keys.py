"""Row keys as people write them and as the store keeps them, and what to say of one that no row has."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from inlay.errors import SpecError
from inlay.fingerprint import key_parts, key_text

if TYPE_CHECKING:
    from inlay.spec.model import Enrichment

_SHOWN = 80
_SCALARS = (str, int, float, bool, Decimal, dt.date, dt.time, bytes)


def stored_key(enrichment: Enrichment, key: Any) -> str:
    """A row's key as the store writes it. SpecError for one that does not fit the declaration's key columns.

    `key` is the value of the one key column (as text or in its own type), or a list of values, one a column.
    """
    columns = enrichment.source.key
    values = list(key) if isinstance(key, list | tuple) else [key]
    if len(values) == len(columns) and all(isinstance(value, _SCALARS) for value in values):
        text = key_text(values)
        if text is not None and _is_text(text):
            return text
    if len(columns) == 1:
        remedy = "give the value of the key column"
    else:
        remedy = f"write a JSON list of {len(columns)} values, for example '[\"JP\", 7]'"
    raise SpecError(f"{_cut(str(key))!r} is not a key of {_columns(columns)}", key="key", remedy=remedy)


def parsed_parts(enrichment: Enrichment, text: str) -> Any:
    """A key as it is typed, for `stored_key`: plain text for one column, the values of a JSON list for several."""
    if len(enrichment.source.key) == 1:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def parsed_key(enrichment: Enrichment, text: str) -> str:
    """A key as it is typed, in the store's form. SpecError where it does not fit the key columns."""
    return stored_key(enrichment, parsed_parts(enrichment, text))


def shown_key(enrichment: Enrichment, key: str) -> str:
    """A stored key as `parsed_key` takes it."""
    columns = len(enrichment.source.key)
    if columns == 1:
        return key
    try:
        return json.dumps(key_parts(key, columns), ensure_ascii=False)
    except ValueError:  # the declaration's key has changed since
        return key


def no_such_row(
    enrichment: Enrichment, key: str, near: Sequence[str], *, file: str | None = None, line: int | None = None
) -> SpecError:
    """The error for a key that the source does not have."""
    shown = [_cut(shown_key(enrichment, text)) for text in near]
    remedy = f"nearest there: {', '.join(shown)}" if shown else f"check the key ({_columns(enrichment.source.key)})"
    return SpecError(
        f"no row of {_cut(enrichment.source.named)} has the key {_cut(shown_key(enrichment, key))!r}",
        file=file,
        line=line,
        remedy=remedy,
    )


def _columns(columns: Sequence[str]) -> str:
    return f"the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _is_text(text: str) -> bool:
    """Whether it is whole Unicode; half a surrogate pair, which a terminal may hand over, is in no file."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
