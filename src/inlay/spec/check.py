"""A declaration against the columns that its source really has; nothing is read here but their names.

What stays true: everything that names a source column is checked before the first row is read, every mistake is found
at once, and each names the line of the declaration that is to be changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inlay.spec.columns import MARK_COLUMNS, ROW_COLUMNS, pass_columns, suggested_prefix, table_columns
from inlay.spec.model import Enrichment
from inlay.spec.problems import Problems, TooManyProblems, join_key, show_text, suggest


def check_columns(enrichment: Enrichment, columns: Mapping[str, str]) -> None:
    """Raise SpecError with every mistake unless all named columns are in `columns` (name to type, source order)
    and no published column takes the name of a source column that goes along.
    """
    problems = Problems(enrichment.file)
    problems.lines = enrichment.lines
    try:
        passes = {spec.name: next(iter(spec.fields)) for spec in enrichment.passes}
        for column, key, what in _named(enrichment):
            if column in columns:
                continue
            remedy = suggest(column, columns, what="columns") or "the source has no columns"
            if what == "the input" and column in passes:
                remedy = f"an earlier answer is read with its field: {{{{ passes.{column}.{passes[column]} }}}}"
            problems.add(
                f"{what} `{show_text(column)}` is not a column of the source", problems.known_key(key), remedy=remedy
            )
        if enrichment.output.table is None:
            _check_collisions(enrichment, columns, problems)
        else:
            _check_table(enrichment, columns, problems)
    except TooManyProblems:
        pass
    problems.raise_any()


def _named(enrichment: Enrichment) -> Iterator[tuple[str, str, str]]:
    """(column, key, what it is called) for everything that names a source column."""
    source, select, output = enrichment.source, enrichment.select, enrichment.output
    for index, column in enumerate(source.key):
        yield column, f"source.key[{index}]", "the key"
    for column in source.types:
        yield column, join_key("source.types", column), "the typed column"
    if select.missing is not None:
        yield select.missing, "select.missing", "the column"
    for index, spec in enumerate(enrichment.passes):
        declared = f"passes[{index}].inputs"
        from_prompt = enrichment.lines and declared not in enrichment.lines
        for place, column in enumerate(spec.inputs):
            key = f"passes[{index}].prompt" if from_prompt else f"{declared}[{place}]"
            yield column, key, "the input"
        for name, field in spec.fields.items():
            if field.original is not None:
                yield field.original, f"passes[{index}].fields.{name}.original", "the column"
        for number, rule in enumerate(spec.rules):
            if rule.column is not None:
                yield rule.column, f"passes[{index}].rules[{number}].column", "the column"
            for column in rule.by:
                yield column, f"passes[{index}].rules[{number}].by", "the column"
    for index, column in enumerate(output.columns or ()):
        yield column, f"output.columns[{index}]", "the column"


def _check_collisions(enrichment: Enrichment, columns: Mapping[str, str], problems: Problems) -> None:
    kept = columns if enrichment.output.columns is None else enrichment.output.columns
    taken = {column.casefold(): column for column in kept if column in columns}
    for index, spec in enumerate(enrichment.passes):
        for column, below in pass_columns(spec, enrichment.output):
            if (own := taken.get(column.casefold())) is not None:
                key = f"passes[{index}].{below}"
                remedy = (
                    f"give the pass a prefix, for example `prefix: {suggested_prefix(spec.name)}`"
                    if below.startswith("fields")
                    else "rename the pass"
                )
                remedy += f", or leave `{show_text(own)}` out of `output.columns`"
                problems.add(
                    f"publishes `{column}`, but the source has a column `{show_text(own)}`", key, remedy=remedy
                )
    for column in ROW_COLUMNS:
        if (own := taken.get(column)) is not None:
            problems.add(
                f"the source's column `{own}` has the name of a column that every published table holds",
                problems.known_key("output.columns"),
                remedy=f"leave `{own}` out of `output.columns`",
            )


def _check_table(enrichment: Enrichment, columns: Mapping[str, str], problems: Problems) -> None:
    """No two columns of a table of a database may share a name, whatever their case; the source's stand there too: its
    key in a table of its own, all of them where the answers go into the source's table."""
    output = enrichment.output
    inside = output.mode == "column"
    kept = columns if inside and not already_there(enrichment, columns) else enrichment.source.key
    taken = {column.casefold(): f"the source's column `{show_text(column)}`" for column in kept}
    for column, key in table_columns(enrichment):
        other = taken.setdefault(column.casefold(), column)
        if other is column:
            continue
        remedy = "rename it in the source (a `query` may), or rename the pass"
        if inside or ".fields." in key:
            remedy = "give the answers a prefix of their own, for example `output: {prefix: llm_}`"
        whose = other if other.startswith("the source's") else "another column of the table"
        problems.add(f"publishes `{column}`, which is the name of {whose}", problems.known_key(key), remedy=remedy)


def already_there(enrichment: Enrichment, columns: Mapping[str, str]) -> bool:
    """Whether the source's table has the columns of `mode: column` from an earlier run."""
    found = {column.casefold() for column in columns}
    return all(f"{enrichment.output.prefix}{name}".casefold() in found for name in MARK_COLUMNS)
