"""`select` and the row key as SQL: which rows are taken, why a value counts as missing, and which keys will not do.

What stays true: SQL of the declaration cannot leave the brackets it is put in; a row where a condition is unknown is
not selected; names and placeholders are quoted, never pasted.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence

import duckdb

from inlay.errors import PlanError
from inlay.fingerprint import WHITE_SPACE_CHARACTERS, key_parts
from inlay.fingerprint_sql import key_sql, nfc_sql, plain_sql, quote_text
from inlay.spec.model import SelectSpec
from inlay.tables.sql import translate

_SHOWN = 5


def condition_sql(select: SelectSpec, types: Mapping[str, str]) -> str:
    """A condition that is true for the selected rows (`where` and `missing`); null or false for the others.

    `types` is the source's columns (name to DuckDB type). Raises PlanError where `where` is not one expression or
    `missing` is no column; what DuckDB finds wrong with `where` shows when the query runs (see `sql.translate`).
    """
    conditions: list[str] = []
    if select.where is not None:
        conditions.append(expression_sql(select.where, "select.where"))
    if select.missing is not None:
        conditions.append(f"({missing_reason_sql(select, types)}) IS {'' if select.known else 'NOT '}NULL")
    return " AND ".join(conditions) or "true"


def select_sql(relation: str, select: SelectSpec, types: Mapping[str, str]) -> str:
    """The query for the selected rows with all their columns, without order and limit. Raises as `condition_sql`."""
    condition = condition_sql(select, types)
    return f"SELECT * FROM {relation}" + ("" if condition == "true" else f" WHERE {condition}")


def order_sql(select: SelectSpec) -> str:
    """`order_by` as an ORDER BY clause, or "". Raises PlanError where it is not a list of expressions."""
    if select.order_by is None:
        return ""
    # Brackets would make a list of it one expression; the check needs them, the clause must not have them.
    return f"ORDER BY {expression_sql(select.order_by, 'select.order_by', brackets=False)}"


def missing_reason_sql(select: SelectSpec, types: Mapping[str, str]) -> str:
    """An expression: why `select.missing` counts as missing in a row (null, empty, blank, placeholder), or NULL."""
    name = select.missing
    assert name is not None, "select.missing is not set"
    return absence_sql(name, select.placeholders, types)


def absence_sql(name: str, placeholders: Sequence[str], types: Mapping[str, str]) -> str:
    """The same for any column; `placeholders` are words that stand for no value. PlanError for no column."""
    if name not in types:
        near = difflib.get_close_matches(name, types, n=1)
        raise PlanError(
            f"`select.missing` names {name!r}, which is no column of the source",
            remedy=f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(types)}",
        )
    text = plain_sql(name, types[name])
    trimmed = f"trim({text}, {quote_text(WHITE_SPACE_CHARACTERS)})"
    cases = [f"WHEN {text} IS NULL THEN 'null'", f"WHEN {text} = '' THEN 'empty'", f"WHEN {trimmed} = '' THEN 'blank'"]
    if placeholders:
        # Unicode has several spellings of one text; a placeholder is meant in each.
        words = {unicodedata.normalize("NFC", word).strip(WHITE_SPACE_CHARACTERS) for word in placeholders}
        listed = ", ".join(quote_text(word) for word in sorted(words))
        cases.append(f"WHEN {nfc_sql(trimmed)} IN ({listed}) THEN 'placeholder'")
    return f"CASE {' '.join(cases)} END"


def missing_reasons(
    con: duckdb.DuckDBPyConnection, relation: str, select: SelectSpec, types: Mapping[str, str]
) -> dict[str, int]:
    """Rows of the source by why `select.missing` counts as missing in them; reasons without a row are left out."""
    reason = missing_reason_sql(select, types)
    try:
        rows = con.execute(
            f"SELECT reason, count(*) FROM (SELECT {reason} AS reason FROM {relation}) "
            "WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
        ).fetchall()
    except duckdb.Error as error:
        raise translate(error, "select.missing") from None
    return {str(name): int(count) for name, count in rows}


def expression_sql(text: str, what: str, *, brackets: bool = True) -> str:
    """SQL of the declaration, made safe to stand inside a larger statement: it cannot end it or leave its brackets."""
    depth = 0
    encoded = text.encode("utf-8", "surrogatepass")
    # Offsets are in bytes; the tokens of strings, quoted names and comments hide what they hold.
    for offset, kind in duckdb.tokenize(text):
        mark = encoded[offset : offset + 1] if kind == duckdb.token_type.operator else b""
        depth += (mark == b"(") - (mark == b")")
        if mark == b";" or depth < 0:
            depth = -1
            break
    if depth or not text.strip():
        raise PlanError(
            f"`{what}` is not one SQL expression: {' '.join(text.split())[:120]!r}",
            remedy="check its brackets, and leave out any semicolon",
        )
    # The line break ends a comment that the expression may end with.
    return f"({text}\n)" if brackets else f"{text}\n"


def check_keys(
    con: duckdb.DuckDBPyConnection,
    relation: str,
    key: Sequence[str],
    types: Mapping[str, str],
    title: str = "the source",
) -> int:
    """Refuse null and repeated row keys; the number of rows. Raises PlanError that shows up to five offending keys.

    One reading of the key columns, by 64-bit hashes (about 30 bytes a row); keys are grouped only once some repeat.
    """
    text = key_sql(key, types)
    names = ", ".join(key)
    try:
        rows, filled, distinct = con.execute(
            f"SELECT count(*), count(k), count(DISTINCT hash(k)) FROM (SELECT {text} AS k FROM {relation})"
        ).fetchall()[0]
        if filled < rows:
            raise PlanError(
                f"{title}: the row key ({names}) is null in {rows - filled} of {rows} rows",
                remedy="choose a key that every row has, or leave those rows out at the source",
            )
        # Equal hashes may still be different keys: only the exact count accuses.
        if distinct < rows:
            groups = f"SELECT k, count(*) AS n FROM (SELECT {text} AS k FROM {relation}) GROUP BY k HAVING n > 1"
            repeated = con.execute(f"{groups} ORDER BY n DESC, k LIMIT {_SHOWN + 1}").fetchall()
            if repeated:
                raise repeated_keys([(key_parts(text, len(key)), count) for text, count in repeated], key, title)
    except duckdb.Error as error:
        raise translate(error, title) from None
    return int(rows)


def repeated_keys(worst: Sequence[tuple[Sequence[str], int]], key: Sequence[str], title: str) -> PlanError:
    """The error for keys (their parts, and in how many rows they are) that tell no row apart; one more than is shown
    says that there are more."""
    shown = [f"{' + '.join(map(repr, parts))} ({count} rows)" for parts, count in worst[:_SHOWN]]
    more = "; and more" if len(worst) > _SHOWN else ""
    return PlanError(
        f"{title}: the row key ({', '.join(key)}) is not unique: {'; '.join(shown)}{more}",
        remedy="add columns to source.key until it tells every row apart, or remove the duplicates",
    )
