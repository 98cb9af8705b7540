"""The SQL that the macros make, run without dbt: Jinja renders them, the database itself tells its columns.

So MySQL's own SQL is proven, too: its adapter dbt-mysql ended with dbt 1.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
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
            "dbt": SimpleNamespace(
                type_string=lambda: "text",
                type_bigint=lambda: "bigint",
                type_boolean=lambda: "boolean",
                type_timestamp=lambda: "timestamp",
            ),
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


DIRTY = (
    ("integer", "7", 7),
    ("integer", "-12", -12),
    ("integer", "7 pieces", None),
    ("integer", "n/a", None),
    ("integer", "", None),
    ("number", "7.25", 7.25),
    ("number", "1e3", 1000.0),
    ("number", "about 7", None),
    ("boolean", "true", True),
    ("boolean", "No", False),
    ("boolean", "perhaps", None),
    ("date", "2024-02-29", "2024-02-29"),
    ("date", "2023-12-31", "2023-12-31"),
    ("date", "2023-02-29", None),
    ("date", "2024-06-31", None),
    ("date", "gestern", None),
    ("datetime", "2024-06-30 12:30:00", "2024-06-30 12:30:00"),
    ("datetime", "2024-06-30 25:30:00", None),
    ("datetime", "soon", None),
)
_ADAPTERS = {"postgresql": "postgres"}


def test_one_odd_value_of_the_source_fails_no_build(database_kind: str, database_url: str, tmp_path: Path) -> None:
    with Database(parse(database_url, tmp_path)).connect() as con:
        macros = Macros(con, _ADAPTERS.get(database_kind, database_kind))
        con.run("CREATE TABLE dirty (n INTEGER, x VARCHAR(40))")
        con.executemany("INSERT INTO dirty VALUES (?, ?)", [(n, text) for n, (_, text, _) in enumerate(DIRTY)])
        for n, (kind, text, value) in enumerate(DIRTY):
            read = macros.globals["adapter"].dispatch("inlay_read")("x", kind)
            ((found,),) = con.run(f"SELECT {read} FROM dirty WHERE n = {n}").fetchall()
            if database_kind == "sqlite" and kind in ("date", "datetime"):
                assert found == text, "which has no dates: they are text there"
            elif isinstance(value, str):
                assert str(found) == value, (kind, text)
            else:
                assert found == value, (kind, text)
