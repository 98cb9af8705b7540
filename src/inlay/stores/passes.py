"""Passes and their recipes in an SQL store.

What stays true: nothing here is ever changed or deleted; a recipe is known by its digest, and its text is checked
against it whenever it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inlay.fingerprint import recipe_digest
from inlay.stores.attempts import take_numbers
from inlay.stores.rows import damaged, line_sum
from inlay.stores.transactions import Con
from inlay.types import PassRecord


def recipe_text(row: Sequence[Any]) -> str:
    """(recipe_id, recipe, digest) as the text, checked."""
    if recipe_digest(row[1]) != row[2]:
        raise damaged(f"recipe {row[0]}")
    return row[1]


def find_pass(con: Con, record: PassRecord) -> tuple[int, int] | None:
    """(pass_id, recipe_id) of a pass with its recipe; None where anything of it is not known yet."""
    return con.execute(
        "SELECT p.pass_id, r.recipe_id FROM passes p JOIN pass_recipes pr ON pr.pass_id = p.pass_id "
        "JOIN recipes r ON r.recipe_id = pr.recipe_id WHERE p.enrichment = ? AND p.name = ? AND r.digest = ?",
        (record.enrichment, record.name, record.recipe_digest),
    ).fetchone()


def add_pass(con: Con, record: PassRecord) -> tuple[int, int]:
    """The same, after adding what was not known."""
    found = con.execute(
        "SELECT pass_id FROM passes WHERE enrichment = ? AND name = ?", (record.enrichment, record.name)
    ).fetchone()
    recipe = con.execute("SELECT recipe_id FROM recipes WHERE digest = ?", (record.recipe_digest,)).fetchone()
    pass_id = found[0] if found else take_numbers(con, "pass", 1)
    recipe_id = recipe[0] if recipe else take_numbers(con, "recipe", 1)
    if not found:
        row = (pass_id, record.enrichment, record.name)
        con.execute(
            "INSERT INTO passes (pass_id, enrichment, name, check_sum) VALUES (?, ?, ?, ?)", (*row, line_sum(row))
        )
    if not recipe:
        con.execute(
            "INSERT INTO recipes (recipe_id, digest, recipe) VALUES (?, ?, ?)",
            (recipe_id, record.recipe_digest, record.recipe),
        )
    con.execute(
        "INSERT INTO pass_recipes (pass_id, recipe_id) VALUES (?, ?) ON CONFLICT (pass_id, recipe_id) DO NOTHING",
        (pass_id, recipe_id),
    )
    return pass_id, recipe_id
