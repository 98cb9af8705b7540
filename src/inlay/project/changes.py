"""What differs between the answer that is kept and what would be asked now: its inputs, and its recipe.

What stays true: an answer's input is read back from the very bytes that its address covers, so what is shown here is
what was sent then; nothing is compared that the recipe does not name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inlay.fingerprint import Form, read_canonical
from inlay.project.explanation import Change

GIVEN = "given by rules"  # the name of what rules gave, among the inputs
_PARTS = ("model", "prompt", "inputs", "upstream", "normalize", "temperature", "options", "ask")


def inputs_of(recipe: Mapping[str, Any], data: bytes) -> dict[str, Form]:
    """The inputs of an answer by name: columns, GIVEN, and `pass.field` for what it read of earlier passes.

    Without the last where the bytes hold no more: the earlier passes are unanswered. ValueError for bytes that do not
    fit the recipe.
    """
    read = read_canonical(data)
    # In the order of the bytes: by pass, then field; the joined names may sort otherwise ("a-b.x").
    upstream = [".".join(pair) for pair in sorted(tuple(name.split(".", 1)) for name in recipe["upstream"])]
    found: dict[str, Form] = dict(zip(sorted(recipe["inputs"]), read.values, strict=True))
    if read.given:
        found[GIVEN] = ("s", read.given)
    if read.upstream:
        found.update(zip(upstream, read.upstream, strict=True))
    return found


def changed_inputs(before: Mapping[str, Form], after: Mapping[str, Form]) -> tuple[Change, ...]:
    """The inputs that differ, those that both have first."""
    changed = [
        Change(name, "changed", _text(before[name]), _text(after[name]))
        for name in after
        if name in before and before[name] != after[name]
    ]
    added = [Change(name, "added", None, _text(after[name])) for name in after if name not in before]
    removed = [Change(name, "removed", _text(before[name]), None) for name in before if name not in after]
    return (*changed, *added, *removed)


def _text(form: Form) -> str | None:
    return None if form is None else form[1]


def changed_recipe(before: str, after: str) -> tuple[Change, ...]:
    """What differs between two recipes (canonical JSON texts); each field that differs is a change of its own."""
    if before == after:
        return ()
    old, new = json.loads(before), json.loads(after)
    changes = [
        Change(part, "changed", old.get(part), new.get(part))
        for part in (*_PARTS, *sorted((old.keys() | new.keys()) - {*_PARTS, "fields"}))
        if old.get(part) != new.get(part)
    ]
    was, now = dict(old["fields"]), dict(new["fields"])
    for name, definition in now.items():
        if name not in was:
            changes.append(Change(f"fields.{name}", "added", None, definition))
        elif was[name] != definition:
            changes.append(Change(f"fields.{name}", "changed", was[name], definition))
    changes += [Change(f"fields.{name}", "removed", was[name], None) for name in was if name not in now]
    if list(was) != list(now) and set(was) == set(now):
        changes.append(Change("fields", "changed", list(was), list(now)))  # their order is a part of the recipe
    return tuple(changes)
