"""The macros' SQL for MySQL's own adapter, run in MariaDB without dbt: dbt-mysql ended with dbt 1.7.

Jinja renders the macros here; what they ask of dbt (dispatch, columns, quoting) is answered from the database.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from silver import ANSWERS, DECLARATION, EXPECTED, TENANTS

from inlay.databases.address import parse
from inlay.databases.connection import Connection, Database
from inlay.publish.dbt import DbtField, dbt_model
from inlay.publish.dbt_sql import macros_file
from inlay.spec.load import load_text
from inlay.testing.servers import MariaDB


class _Return(Exception):
    """dbt's `return`: a macro's value that is no text."""


@dataclass(frozen=True)
class Column:
    """A column as dbt's adapters give it."""

    name: str
    dtype: str

    def is_string(self) -> bool:
        return "char" in self.dtype or "text" in self.dtype

    def is_integer(self) -> bool:
        return "int" in self.dtype


@dataclass(frozen=True)
class Relation:
    """A table as dbt's adapters give it."""

    schema: str
    identifier: str
    database: None = None

    def __str__(self) -> str:
        return f"`{self.schema}`.`{self.identifier}`"


class Macros:
    """The macros of macros/inlay.sql, by name."""

    def __init__(self, con: Connection, kind: str) -> None:
        self._kind = kind
        self._con = con
        text = re.sub(r"\{% test .*?\{% endtest %\}", "", macros_file(), flags=re.DOTALL)
        environment = jinja2.Environment(extensions=["jinja2.ext.do"])
        names = re.findall(r"\{% macro (\w+)", text)
        self.globals: dict[str, Any] = {name: self._macro(name) for name in names}
        self.globals |= {
            "execute": True,
            "return": self._returned,
            "exceptions": SimpleNamespace(warn=print),
            "adapter": SimpleNamespace(
                dispatch=lambda name: self.globals.get(f"{kind}__{name}") or self.globals[f"default__{name}"],
                quote=lambda name: f"`{name}`",
                get_relation=lambda **named: Relation(named["schema"], named["identifier"]),
                get_columns_in_relation=self._columns,
            ),
        }
        self._templates = {
            name: environment.from_string(body, globals=self.globals)
            for name, body in zip(names, re.findall(r"\{% macro .*?\{%-? endmacro -?%\}", text, re.DOTALL), strict=True)
        }

    def _macro(self, name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            try:
                return getattr(self._templates[name].module, name)(*given, **named)
            except _Return as returned:
                return returned.args[0]

        return call

    def _returned(self, value: Any) -> None:
        raise _Return(value)

    def _columns(self, relation: Relation) -> list[Column]:
        found = self._con.dialect.table_columns(self._con, (relation.schema, relation.identifier))
        return [Column(column.name, column.native.lower()) for column in found]


def _spec(field: DbtField) -> SimpleNamespace:
    parts = {"name": field.name, "answer": field.answer, "kind": field.kind, "inputs": field.inputs}
    parts |= {"original": field.original, "default": field.default, "confidence": field.confidence}

    class Spec(dict):
        __getattr__ = dict.get

    return Spec(parts)


@pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_bin"])
def test_the_silver_rule_in_mysql_s_own_sql(mariadb: MariaDB, collation: str) -> None:
    url = mariadb.url(f"silver_{collation[-3:].strip('_')}")
    address = parse(url, None)  # type: ignore[arg-type]
    model = dbt_model(load_text(DECLARATION.format(tenants="s.tenants", cache="s.cache"), addresses=False))
    with Database(address).connect() as con:
        con.run("DROP TABLE IF EXISTS tenants, cache")
        own = f"DEFAULT CHARSET utf8mb4 COLLATE {collation}"
        con.run(f"CREATE TABLE tenants (id INT PRIMARY KEY, full_name VARCHAR(191), nationality VARCHAR(191)) {own}")
        con.run(
            "CREATE TABLE cache (id INT PRIMARY KEY, llm_nationality VARCHAR(191), "
            "llm_nationality_confidence DECIMAL(5,4), llm_nationality_null_reason VARCHAR(64), "
            f"llm_nationality_source VARCHAR(191), input_full_name TEXT) {own}"
        )
        con.executemany("INSERT INTO tenants VALUES (?, ?, ?)", TENANTS)
        con.executemany("INSERT INTO cache VALUES (?, ?, ?, ?, ?, ?)", [(key, *row) for key, row in ANSWERS.items()])
        macros = Macros(con, "mysql")
        query = macros.globals["inlay_enriched"](
            Relation(address.database, "tenants"),
            Relation(address.database, "cache"),
            list(model.key),
            [_spec(field) for field in model.fields],
            list(model.placeholders),
        )
        rows = con.run(
            "SELECT id, nationality, nationality_source, llm_nationality, llm_nationality_null_reason "
            f"FROM ({query}) q ORDER BY id"
        ).fetchall()
    assert {row[0]: tuple(row[1:]) for row in rows} == EXPECTED
