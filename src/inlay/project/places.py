"""The addresses of a declaration, with their variables filled in at the moment they are used and kept nowhere.

What stays true: what is returned holds the secret, so it is passed on and never stored in a declaration, plan or
report; every mistake names the file and the line of the key that holds the address.
"""

from __future__ import annotations

from collections.abc import Mapping

from inlay.databases.address import Address, parse
from inlay.errors import SpecError
from inlay.spec.environment import expand
from inlay.spec.model import Enrichment


def filled_in(enrichment: Enrichment, text: str, key: str, env: Mapping[str, str]) -> str:
    """A text of the declaration with its `${VAR}` filled in. Raises SpecError at `key`."""

    def fail(message: str, remedy: str) -> None:
        raise _at(enrichment, key, message, remedy)

    return expand(text, env, fail)


def address_of(enrichment: Enrichment, text: str, key: str, env: Mapping[str, str]) -> Address:
    """The database that a text of the declaration names. Raises SpecError at `key`, without the address."""
    try:
        return parse(filled_in(enrichment, text, key, env), enrichment.folder, key=key)
    except SpecError as error:
        raise _at(enrichment, key, error.message, error.remedy) from None


def _at(enrichment: Enrichment, key: str, message: str, remedy: str) -> SpecError:
    return SpecError(message, file=enrichment.file, line=enrichment.lines.get(key), key=key, remedy=remedy)
