"""Rules of a pass as SQL: what they give each row, as one JSON text, or NULL where they give nothing.

    {"mood":{"v":"good"},"pay":{"v":"1,200","m":"1,200 EUR","c":"text"},"visa":{"n":"not_applicable"}}

"v" is a value as it was written, captured or looked up (`engine.given` makes it fit its field), "n" the reason of a
null, "m" and "c" the matched text and the column it stands in. What stays true: fields come in declared order and only
where a rule gives them, so the text changes exactly when what is given changes: it is part of the cell's input.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import duckdb

from inlay.errors import PlanError
from inlay.fingerprint import WHITE_SPACE_CHARACTERS
from inlay.fingerprint_sql import nfc_sql, plain_sql, quote_text
from inlay.spec.model import Enrichment, PassSpec, SourceSpec
from inlay.spec.problems import suggest
from inlay.spec.rules import RuleSpec
from inlay.tables.files import FileSource
from inlay.tables.select import expression_sql
from inlay.tables.sql import translate

_SHOWN = 5


class Rules:
    """The rules of one pass on one connection. Lookup files are read when this is made.

    `sql` is an expression over the source's columns. Raises PlanError or SourceError where a rule does not fit.
    """

    def __init__(
        self,
        enrichment: Enrichment,
        spec: PassSpec,
        types: Mapping[str, str],
        relation: str,
        con: duckdb.DuckDBPyConnection,
    ) -> None:
        self._types = types
        self._con = con
        self._relation = relation
        self._folder = enrichment.folder
        self._index = [part.name for part in enrichment.passes].index(spec.name)
        self._given: dict[str, list[str]] = {name: [] for name in spec.fields}
        self._places: list[tuple[str, list[str]]] = []
        for number, rule in enumerate(spec.rules):
            place = f"passes[{self._index}].rules[{number}]"
            pieces = list(self._pieces(rule, number, place))
            self._places.append((place, [piece for _, piece in pieces]))
            for name, piece in pieces:
                if name in self._given:
                    self._given[name].append(piece)
        self.check()
        self.sql = self._whole()

    def check(self, *, rows: bool = False) -> None:
        """Find the rule that DuckDB refuses, and name it; with `rows`, the one that fails for some row."""
        for place, pieces in self._places:
            shown = ", ".join(f"max({piece})" if rows else piece for piece in pieces) or "1"
            try:
                self._con.execute(f"SELECT {shown} FROM {self._relation}" + ("" if rows else " LIMIT 0")).fetchall()
            except duckdb.Error as error:
                raise translate(error, place) from None

    def _whole(self) -> str:
        parts = []
        for name, pieces in self._given.items():
            if pieces:
                found = pieces[0] if len(pieces) == 1 else f"coalesce({', '.join(pieces)})"
                parts.append(f"{quote_text(json.dumps(name) + ':')} || {found}")
        return f"('{{' || nullif(concat_ws(',', {', '.join(parts)}), '') || '}}')" if parts else "NULL"

    def _pieces(self, rule: RuleSpec, number: int, place: str) -> Iterator[tuple[str, str]]:
        """(field, expression) for every field that a rule may give; the expression is JSON text or NULL."""
        conditions = []
        if rule.when is not None:
            conditions.append(expression_sql(rule.when, f"{place}.when"))
        if rule.column is not None and rule.pattern is not None:
            text = plain_sql(rule.column, self._types[rule.column])
            pattern = quote_text(rule.pattern)
            conditions.append(f"regexp_matches({text}, {pattern})")
            for name, group in rule.groups.items():
                yield name, _when(conditions, _captured(text, rule.pattern, group, rule.column))
        if rule.lookup is not None:
            for name, found in self._looked_up(rule, number, place):
                value = f"nullif(trim({found}), '')"
                yield name, _when([*conditions, f"{value} IS NOT NULL"], _object({"v": _json(value)}))
            return
        for name, value in rule.set.items():
            fixed = {"n": rule.null_reason} if value is None else {"v": value}
            piece = quote_text(json.dumps(fixed, ensure_ascii=False, separators=(",", ":"), default=str))
            yield name, _when(conditions, piece)

    # --- lookup tables

    def _looked_up(self, rule: RuleSpec, number: int, place: str) -> Iterator[tuple[str, str]]:
        """(field, expression) for the columns of a lookup file; the file becomes a temporary table."""
        assert rule.lookup is not None
        source = FileSource(SourceSpec(files=(rule.lookup,), key=tuple(rule.by.values())), Path(self._folder))
        columns = source.columns()
        fields = rule.set or {name: name for name in self._given if name in columns}
        for column, key in [*((name, "by") for name in rule.by.values()), *((name, "set") for name in fields.values())]:
            if column not in columns:
                raise PlanError(
                    f"`{place}.{key}` names {column!r}, which is no column of {rule.lookup}",
                    remedy=suggest(column, columns, what="its columns"),
                )
        if not fields:
            raise PlanError(
                f"`{place}.lookup`: no column of {rule.lookup} has the name of a field",
                remedy=f"say which it is: `set: {{{next(iter(self._given))}: column}}` ({', '.join(columns)})",
            )
        table = f"__lookup{self._index}_{number}"
        values = "".join(
            f", {plain_sql(column, columns[column])} AS c{at}" for at, column in enumerate(fields.values())
        )
        key = _lookup_key(rule.by.values(), columns)
        self._make(f"CREATE TEMP TABLE {table} AS SELECT {key} AS k{values} FROM {source.attach(self._con)}", source)
        self._refuse_doubled(table, rule, place)
        wanted = _lookup_key(rule.by, self._types)
        for at, name in enumerate(fields):
            yield name, f"(SELECT c{at} FROM {table} WHERE k = {wanted})"

    def _make(self, sql: str, source: FileSource) -> None:
        try:
            self._con.execute(sql)
        except duckdb.Error as error:
            raise translate(error, source.title) from None

    def _refuse_doubled(self, table: str, rule: RuleSpec, place: str) -> None:
        doubled = self._con.execute(
            f"SELECT k FROM {table} WHERE k IS NOT NULL GROUP BY k HAVING count(*) > 1 ORDER BY k LIMIT {_SHOWN}"
        ).fetchall()
        if doubled:
            raise PlanError(
                f"`{place}.lookup`: {rule.lookup} holds {', '.join(repr(key) for (key,) in doubled)} more than once",
                remedy=f"keep one line for each {' + '.join(rule.by.values())}",
            )


def _lookup_key(columns: Iterable[str], types: Mapping[str, str]) -> str:
    """The text that two tables are compared by: NFC, without white space around it; NULL where a part is NULL."""
    parts = [f"trim({nfc_sql(plain_sql(name, types[name]))}, {quote_text(WHITE_SPACE_CHARACTERS)})" for name in columns]
    return parts[0] if len(parts) == 1 else " || ".join(f"strlen({part}) || ':' || ({part})" for part in parts)


def _captured(text: str, pattern: str, group: int, column: str) -> str:
    """What a group captured and what matched, by one search (within a lambda, which has its argument computed once)."""
    names = ", ".join(f"'g{number}'" for number in range(group + 1))
    search = f"regexp_extract({text}, {quote_text(f'({pattern})')}, [{names}])"
    piece = _object({"v": _json(f"trim(x.g{group})"), "m": _json("x.g0"), "c": quote_text(json.dumps(column))})
    return f"list_transform([{search}], lambda x: CASE WHEN trim(x.g{group}) <> '' THEN {piece} END)[1]"


def _json(text: str) -> str:
    return f"CAST(to_json({text}) AS VARCHAR)"


def _object(parts: Mapping[str, str]) -> str:
    """A JSON object of these expressions, each of them JSON text."""
    inner = " || ',' || ".join(f"{quote_text(json.dumps(name) + ':')} || {sql}" for name, sql in parts.items())
    return f"'{{' || {inner} || '}}'"


def _when(conditions: list[str], piece: str) -> str:
    return f"CASE WHEN {' AND '.join(conditions)} THEN {piece} END" if conditions else f"({piece})"


def rules_of(
    enrichment: Enrichment,
    spec: PassSpec,
    types: Mapping[str, str],
    relation: str,
    con: duckdb.DuckDBPyConnection,
) -> Rules | None:
    """The rules of a pass, or None where it has none."""
    return Rules(enrichment, spec, types, relation, con) if spec.rules else None


def given_suffix(column: str) -> str:
    """What a canonical input ends with for the text that rules give (`canonical_given` in Python); never NULL."""
    return f"coalesce('!' || {column}, '')"
