"""`source.types`: the types that a declaration gives to columns, and the values that do not fit them.

What stays true: nothing is bent to fit. A whole number has no fraction, a date no time of day; a moment with an offset
becomes that moment in UTC; a blank text is null. A value that does not fit is an error that shows it, found before
anything is asked.
"""

from __future__ import annotations

from inlay.fingerprint import WHITE_SPACE_CHARACTERS
from inlay.fingerprint_sql import plain_sql, quote_ident, quote_text

DUCKDB_TYPES = {
    "text": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "datetime": "TIMESTAMP",
}
_PATTERNS = {"integer": "[+-]?[0-9]+", "date": "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"}
_SPACES = quote_text(WHITE_SPACE_CHARACTERS)


def text_sql(column: str, duckdb_type: str) -> str:
    """A column as text; JSON strings without their quotes, JSON null as null."""
    if duckdb_type != "JSON":
        return plain_sql(column, duckdb_type)
    name = quote_ident(column)
    return (
        f"CASE WHEN json_type({name}) = 'VARCHAR' THEN {name} ->> '$' ELSE nullif(CAST({name} AS VARCHAR), 'null') END"
    )


def typed_sql(column: str, duckdb_type: str, wanted: str) -> str:
    """A column in the type that the declaration gives it; null where it does not fit (see `misfit_sql`)."""
    target = DUCKDB_TYPES[wanted]
    if duckdb_type == target:
        return quote_ident(column)
    if wanted == "date" and duckdb_type.startswith("TIMESTAMP"):
        return f"CAST({quote_ident(column)} AS DATE)"
    text = text_sql(column, duckdb_type)
    if wanted == "text":
        return text
    text = f"trim({text}, {_SPACES})"
    if wanted == "datetime":
        # A cast to TIMESTAMP would drop the offset.
        return f"make_timestamp(epoch_us(TRY_CAST({text} AS TIMESTAMP WITH TIME ZONE)))"
    cast = f"TRY_CAST({text} AS {target})"
    pattern = _PATTERNS.get(wanted)
    return f"CASE WHEN regexp_full_match({text}, '{pattern}') THEN {cast} END" if pattern else cast


def misfit_sql(column: str, duckdb_type: str, wanted: str) -> str:
    """A condition: the value is there and does not fit."""
    text = text_sql(column, duckdb_type)
    return f"(trim({text}, {_SPACES}) <> '' AND ({typed_sql(column, duckdb_type, wanted)}) IS NULL)"
