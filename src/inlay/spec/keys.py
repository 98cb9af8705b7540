"""What each key of the declaration means: the sentences below the keys in the models, read from their source.

The one source for the JSON Schema, for the tables of docs/declaration.md and for whoever reads the code. What stays
true: a key without a sentence is an error here, found by a test; reading them costs nothing until somebody asks.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment
from inlay.spec.sentences import FILE_KEYS, HIDDEN_KEYS, inner_models


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the file writes it. `info` is the model's own; None for a key that only the file knows."""

    name: str
    meaning: str
    info: FieldInfo | None

    @property
    def required(self) -> bool:
        """Whether it cannot be left out."""
        return self.info is not None and self.info.is_required()

    @property
    def default(self) -> Any:
        """What it is when left out; None where that is nothing, or said by its meaning."""
        if self.info is None or self.required:
            return None
        return self.info.get_default(call_default_factory=True, validated_data={})


def keys_of(model: type[BaseModel]) -> list[Key]:
    """The keys that a part of the file may hold, in the order of the model. KeyError for one without a sentence."""
    sentences = attribute_docs(model)
    hidden = HIDDEN_KEYS.get(model, ())
    own = [Key(name, sentences[name], info) for name, info in model.model_fields.items() if name not in hidden]
    return own + [Key(name, meaning, None) for name, meaning in FILE_KEYS.get(model, {}).items()]


def models() -> Iterator[type[BaseModel]]:
    """Every part of a declaration, the whole first, each once, in the order in which they are first named."""
    waiting: list[type[BaseModel]] = [Enrichment]
    seen: set[type[BaseModel]] = set()
    while waiting:
        model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        yield model
        waiting.extend(part for info in model.model_fields.values() for part in inner_models(info.annotation))
    assert FieldSpec in seen


@lru_cache(maxsize=64)
def attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """Attribute -> the text below it, on one line."""
    found: dict[str, str] = {}
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(model))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, after in zip(body.body, body.body[1:], strict=False):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[node.target.id] = " ".join(after.value.value.split())
    return found
