"""Names to classes: which provider and which store a declaration may name, and where its code is.

A name leads to "module:Class", imported only when it is used. Third parties add names through the entry points
`inlay.providers` and `inlay.stores`; a name of ours always means ours. What stays true: nothing here imports an
adapter at import time, and an unknown name is answered with the nearest known one.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Any

from inlay.errors import SpecError


def load_target(target: str) -> Any:
    """Import what "module:Class" names, one of Inlay's own."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry:
    """One kind of adapter: our own names, those that installed packages add, and those that are only planned."""

    def __init__(self, kind: str, group: str, ours: Mapping[str, str], planned: Iterable[str] = ()) -> None:
        self.kind = kind
        self.group = group
        self.ours = dict(ours)
        self.planned = frozenset(planned)

    def names(self) -> list[str]:
        """Every name that can be used now, ours first."""
        return [*self.ours, *sorted(set(self._others()) - set(self.ours))]

    def load(self, name: str, *, key: str | None = None) -> Any:
        """Import what a name stands for. Raises SpecError (at `key`) with the nearest name, or why it will not load."""
        target = self.ours.get(name)
        if target is None:
            return self._load_other(name, key)
        return load_target(target)

    def unknown(self, name: str, *, key: str | None = None) -> SpecError:
        """The error for a name that is not there, to be raised."""
        known = self.names()
        listed = f"this version has {', '.join(known)}"
        if name in self.planned:
            return SpecError(f"{self.kind} `{name}` is not yet in this version", key=key, remedy=listed)
        near = difflib.get_close_matches(name.lower(), [*known, *self.planned], n=1)
        remedy = f"did you mean `{near[0]}`? {listed}" if near and near[0] in known else listed
        return SpecError(f"there is no {self.kind} `{name}`", key=key, remedy=remedy)

    def _others(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {entry.name: entry for entry in importlib.metadata.entry_points(group=self.group)}

    def _load_other(self, name: str, key: str | None) -> Any:
        entry = self._others().get(name)
        if entry is None:
            raise self.unknown(name, key=key)
        try:
            return entry.load()
        except (ImportError, AttributeError) as error:
            raise SpecError(
                f"{self.kind} `{name}` ({entry.value}) cannot be loaded: {error}",
                key=key,
                remedy="reinstall or update the package that adds it",
            ) from error


providers = Registry(
    "provider",
    "inlay.providers",
    {
        "openai": "inlay.providers.openai_chat:OpenAIChat",
        "compatible": "inlay.providers.compatible:CompatibleChat",
        "azure": "inlay.providers.azure:AzureChat",
        "anthropic": "inlay.providers.anthropic:AnthropicMessages",
        "bedrock": "inlay.providers.bedrock:BedrockConverse",
        "lexical": "inlay.providers.lexical:Lexical",
    },
)

stores = Registry(
    "store",
    "inlay.stores",
    {
        "sqlite": "inlay.stores.sqlite:SqliteStore",
        "memory": "inlay.stores.memory:MemoryStore",
        "mysql": "inlay.stores.server:ServerStore",
        "mariadb": "inlay.stores.server:ServerStore",
        "postgresql": "inlay.stores.server:ServerStore",
        "postgres": "inlay.stores.server:ServerStore",
    },
    planned=("s3",),
)
