"""Files of one shape as a relation, and several of them as one: what every format's reader hands over.

What stays true: all columns are selected by name, one by one, so that files may order them differently; a column that
some files lack is null there; a column of two types is an error that names both files; names are unique whatever their
case, since DuckDB does not tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inlay.errors import SourceError
from inlay.fingerprint_sql import quote_ident, quote_text
from inlay.tables.paths import SourceFile


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive files of one shape. `reader` is a table function call with `{files}` (and `{more}`) to fill in."""

    files: tuple[SourceFile, ...]
    columns: Mapping[str, str]
    reader: str

    def relation(self, *, files: Sequence[SourceFile] | None = None, more: str = "") -> str:
        """What to select FROM; `more` are extra options of the reader, each with a leading comma."""
        paths = ", ".join(quote_text(file.duckdb_path) for file in files or self.files)
        # `{more}` first: a path could hold that text, and column names come after both marks.
        return self.reader.replace("{more}", more, 1).replace("{files}", f"[{paths}]", 1)


def merged_columns(parts: Sequence[Part], free: Iterable[str]) -> dict[str, str]:
    """All columns of all parts, in order of first appearance. Those in `free` may differ in type."""
    columns: dict[str, str] = {}
    origin: dict[str, Part] = {}
    free = set(free)
    for part in parts:
        for name, kind in part.columns.items():
            if name not in columns:
                columns[name] = kind
                origin[name] = part
            elif columns[name] != kind and name not in free:
                first, second = origin[name].files[0].path, part.files[0].path
                raise SourceError(
                    f"column {name!r} is {columns[name]} in {first.name} and {kind} in {second.name}",
                    remedy=f"write the files alike, or give the column one type: `types: {{{name}: text}}`",
                )
    check_names(columns, parts[0].files[0].path.name if len(parts) == 1 else "the files together")
    return columns


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse column names that DuckDB cannot carry or tell apart. Raises SourceError."""
    seen: dict[str, str] = {}
    for name in names:
        if not name or "\0" in name:
            raise SourceError(
                f"{where}: a column has no usable name ({name!r})", remedy="give every column a name without NUL"
            )
        # DuckDB folds ASCII alone.
        folded = "".join(char.lower() if char.isascii() else char for char in name)
        twin = seen.setdefault(folded, name)
        if twin != name:
            raise SourceError(
                f"{where}: columns {twin!r} and {name!r} differ only by case, which SQL does not see",
                remedy="rename one of them in the files",
            )


def combined_sql(
    parts: Sequence[Part], columns: Mapping[str, str], expressions: Mapping[str, Mapping[str, str]]
) -> str:
    """One query over all parts, in their order. `expressions` gives, by column and its type in a part, what to select
    instead of the bare column."""
    queries: list[str] = []
    for part in parts:
        selected: list[str] = []
        for name, kind in columns.items():
            own = part.columns.get(name)
            if own is None:
                # The type is that of the expression where there is one.
                value = f"CAST(NULL AS {kind})"
            else:
                value = expressions.get(name, {}).get(own, quote_ident(name))
            selected.append(f"{value} AS {quote_ident(name)}")
        queries.append(f"SELECT {', '.join(selected)} FROM {part.relation()}")
    return f"({' UNION ALL '.join(queries)})"
