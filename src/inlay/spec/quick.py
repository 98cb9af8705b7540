"""An enrichment without a file: made from fields, and perhaps a prompt and a key, for a command line or a call.

What stays true: what is made depends on names alone (the fields' and the columns', never on rows), so the same call
over a grown table makes the same prompt, and asks only what is new.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inlay.errors import SourceError, SpecError
from inlay.spec.columns import ROW_COLUMNS
from inlay.spec.field_lines import raise_mistakes
from inlay.spec.fields import FieldSpec
from inlay.spec.model import Enrichment
from inlay.spec.problems import Problems, show_text
from inlay.spec.prompt import RESERVED, is_plain_name
from inlay.spec.resolve import resolve
from inlay.spec.sentences import translate

# The name of the only pass.
_READ = "read"
_MADE_ANEW = frozenset((*ROW_COLUMNS, f"{_READ}_success", f"avg_confidence_{_READ}", f"{_READ}_model"))
# Names of columns that tell rows apart or say when and where, and are no text to judge by.
_NOT_TEXT = re.compile(
    r"(?:.*[_ -])?(?:id|ids|key|uuid|guid|index|idx|hash|date|datetime|time|timestamp|url|uri|link|at)"
    r"|(?:unnamed: ?|column)\d+|.*_(?:null_reason|evidence|source|success|model)|avg_confidence_.*",
    re.IGNORECASE,
)
_CAMEL_ID = re.compile(r".*[a-z](?:Id|ID|Url|URL|At)")
_TEXT_TYPES = frozenset(("VARCHAR", "VARCHAR[]"))
_JINJA = re.compile(r"\{(?=[{%#])")


@dataclass(frozen=True)
class Quick:
    """What was given on the line or in the call. `fields` are read already; None is "not said"."""

    fields: Mapping[str, FieldSpec]
    files: tuple[str, ...]
    prompt: str | None = None
    key: tuple[str, ...] | None = None
    model: str = "auto"
    endpoint: str | None = None
    api_key_env: str | None = None
    prices: tuple[float, float] | None = None
    name: str | None = None
    prefix: str = ""
    hint: str = ""
    budget_usd: float | None = None
    limit: int | None = None
    output: Mapping[str, Any] = field(default_factory=dict)
    store: str | None = None
    pass_name: str = _READ


def quick_enrichment(given: Quick, columns: Mapping[str, str], folder: Path) -> Enrichment:
    """The whole declaration, resolved; `columns` are the source's (name to DuckDB type). Raises SpecError."""
    data: dict[str, Any] = {
        "name": name_for(given.files) if given.name is None else given.name,
        "source": {"files": given.files, "key": given.key or "*"},
        "passes": [
            {
                "name": given.pass_name,
                "model": given.model,
                "endpoint": given.endpoint,
                "api_key_env": given.api_key_env,
                "prompt": made_prompt(given, columns) if given.prompt is None else given.prompt,
                "prefix": given.prefix,
                "fields": dict(given.fields),
                "prices": _prices(given.prices),
            }
        ],
        "select": {"limit": given.limit},
        "budget": None if given.budget_usd is None else {"usd": given.budget_usd},
        "output": {"columns": _left_of_earlier(columns), **given.output},
        "store": given.store,
    }
    try:
        enrichment = Enrichment.model_validate(data)
    except ValidationError as error:
        problems = Problems()
        translate(error, problems, shown={})
        raise_mistakes(problems, "there are")
        raise
    enrichment._folder = folder
    return resolve(enrichment)


def _prices(prices: tuple[float, float] | None) -> dict[str, float] | None:
    return None if prices is None else {"input_per_million": prices[0], "output_per_million": prices[1]}


def _left_of_earlier(columns: Mapping[str, str]) -> tuple[str, ...] | None:
    """The columns to publish where the source is itself an enriched table: all but those that are made anew."""
    kept = tuple(name for name in columns if name not in _MADE_ANEW)
    return kept if len(kept) < len(columns) else None


def name_for(files: Sequence[str]) -> str:
    """A name for the store, from the first file's own; the same file always gets the same one."""
    stem = Path(files[0]).name.split(".", 1)[0]
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")
    if not name or sum(char.isascii() for char in stem) * 2 < len(stem):
        name = f"table_{hashlib.sha256(stem.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return (name if name[0].isalpha() or name[0] == "_" else f"t_{name}")[:63]


# --- the prompt ------------------------------------------------------------------------------------------------------


def text_columns(columns: Mapping[str, str], key: Sequence[str] = ()) -> list[str]:
    """The columns that a made prompt reads: of text, and no key, id, time or address by their name; else all others."""
    others = [name for name in columns if name not in key and name not in _MADE_ANEW]
    texts = [
        name
        for name in others
        if columns[name] in _TEXT_TYPES and not _NOT_TEXT.fullmatch(name) and not _CAMEL_ID.fullmatch(name)
    ]
    return texts or others


def made_prompt(given: Quick, columns: Mapping[str, str]) -> str:
    """A prompt from the fields' names and descriptions and the table's text columns. Raises SpecError for none."""
    names = text_columns(columns, given.key or ())
    if not names:
        raise SpecError("the table has no column to read", key="passes[0].prompt", remedy="give a prompt of your own")
    asked = "; ".join(
        name + (f" ({_literal(spec.description.strip().rstrip('.'))})" if spec.description.strip() else "")
        for name, spec in given.fields.items()
    )
    head = f"{_literal(given.hint)}\n\n" if given.hint else ""
    if len(names) == 1:
        record = reference(names[0])
    else:
        record = "\n".join(f"{_literal(name)}: {reference(name)}" for name in names)
    return f"{head}Read this record and say: {asked}.\n\n{record}\n"


def reference(column: str) -> str:
    """How a prompt reads a column, whatever its name holds: `{{ text }}`, `{{ row["a column"] }}`."""
    if is_plain_name(column) and column not in RESERVED:
        return f"{{{{ {column} }}}}"
    quote = "'" if '"' in column and "'" not in column else '"'
    escaped = "".join(_ESCAPES.get(char, char) for char in column)
    return f"{{{{ row[{quote}{escaped.replace(quote, chr(92) + quote)}{quote}] }}}}"


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}


def _literal(text: str) -> str:
    """Words that a template prints as they are."""
    return _JINJA.sub("{ ", " ".join(text.split()))


# --- mistakes in the words of the caller -----------------------------------------------------------------------------


@contextmanager
def in_words_of(words: Mapping[str, str], phrases: Sequence[tuple[str, str]] = ()) -> Iterator[None]:
    """Let mistakes name the caller's own words (`--key`) in place of the declaration's keys (`source.key[0]`);
    `phrases` are regular expressions for remedies, and what to say instead."""
    try:
        yield
    except SourceError as error:
        error.message = error.message.removeprefix("source.files: ")
        raise
    except SpecError as error:
        raise _renamed(error, words, phrases).with_traceback(error.__traceback__) from error.__cause__


def _renamed(error: SpecError, words: Mapping[str, str], phrases: Sequence[tuple[str, str]]) -> SpecError:
    parts = [_renamed(problem, words, phrases) for problem in error.problems]
    if len(parts) == 1:
        return parts[0]
    remedy = error.remedy
    for ours, theirs in phrases:
        remedy = re.sub(ours, theirs, remedy)
    message = f"there are {len(parts)} mistakes:" if parts else error.message
    return SpecError(
        message,
        file=error.file,
        line=error.line,
        key=None if error.key is None else _word(error.key, words),
        remedy=remedy,
        problems=parts,
    )


def _word(key: str, words: Mapping[str, str]) -> str:
    for ours, theirs in words.items():
        if key == ours or key.startswith((f"{ours}.", f"{ours}[")):
            rest = key[len(ours) :].lstrip(".")
            return theirs if not rest or rest.startswith("[") else f"{theirs} {show_text(rest)}"
    return key
