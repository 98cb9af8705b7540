"""Which fields of a declaration are judged, by which columns, and what an evaluation's own enrichments are called.

What stays true: a column that holds what is right is never read by the prompt that is judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inlay.errors import SpecError
from inlay.project.evaluation import EvalOptions
from inlay.project.fixes import Fields
from inlay.quality.comparing import Comparison, Synonyms
from inlay.quality.facts import Target
from inlay.quality.golden import read_synonyms
from inlay.spec.model import Enrichment
from inlay.spec.problems import show_text, suggest
from inlay.tables.records import RecordFile

# Behind the name of the enrichment: where shadow and golden cells are, and the figures of earlier evaluations.
SHADOW, GOLDEN, EARLIER = "~shadow", "~golden", "~eval"


def targets_of(
    enrichment: Enrichment, columns: Mapping[str, str], chosen: Mapping[str, str], *, some: bool = True
) -> tuple[Target, ...]:
    """Fields with the columns of the source that hold their known values. SpecError for a column that there is not,
    and, unless `some` is False, where no field has one."""
    if chosen:
        return tuple(_chosen(enrichment, columns, name, column) for name, column in chosen.items())
    out = []
    only = sum(len(spec.fields) for spec in enrichment.passes) == 1
    missing = enrichment.select.missing
    for spec in enrichment.passes:
        for name, definition in spec.fields.items():
            column = definition.original
            if column is None and missing is not None and (only or name == missing):
                column = missing
            if column is None and name in columns and name not in spec.inputs:
                column = name
            if column is not None:
                out.append(Target(spec.name, name, column))
    if not out and some:
        fields = [f"{spec.name}.{name}" for spec in enrichment.passes for name in spec.fields]
        raise SpecError(
            "no column of the source is known to hold what a field is to be",
            key="--field",
            remedy=f"write --field FIELD=COLUMN; fields: {', '.join(fields[:8])}",
        )
    return tuple(out)


def _chosen(enrichment: Enrichment, columns: Mapping[str, str], name: str, column: str) -> Target:
    spec, found = Fields(enrichment).find(name)
    if column not in columns:
        raise SpecError(
            f"`{show_text(column)}` is not a column of the source",
            key="--field",
            remedy=suggest(column, columns, what="columns"),
        )
    return Target(spec.name, found, column)


def golden_targets(enrichment: Enrichment, options: EvalOptions) -> tuple[Target, ...]:
    """By name: the field's own, with its prefix, or as `pass.field`."""
    assert options.golden is not None
    file = RecordFile(options.golden)
    names = file.columns or next((tuple(record) for _, record in file.records()), ())
    if options.fields:
        return tuple(_chosen(enrichment, dict.fromkeys(names, ""), *each) for each in options.fields.items())
    out = []
    for spec in enrichment.passes:
        for name in spec.fields:
            ways = (
                f"{enrichment.output.prefix}{spec.prefix}{name}",
                f"{spec.prefix}{name}",
                f"{spec.name}.{name}",
                name,
            )
            column = next((way for way in ways if way in names and way not in spec.inputs), None)
            if column is not None:
                out.append(Target(spec.name, name, column))
    if not out:
        fields = [name for spec in enrichment.passes for name in spec.fields]
        raise SpecError(
            "no column has the name of a field",
            file=file.name,
            remedy=f"name a column {' or '.join(fields[:5])}, or write --field FIELD=COLUMN; "
            f"its columns are {', '.join(map(show_text, names))}",
        )
    return tuple(out)


def refuse_leaks(enrichment: Enrichment, targets: Sequence[Target]) -> None:
    """A model that is told the answer cannot be judged."""
    for target in targets:
        for name in needed(enrichment, [target]):
            if target.column in enrichment.get_pass(name).inputs:
                raise SpecError(
                    f"the prompt of `{name}` reads `{show_text(target.column)}`, which holds what is right",
                    file=enrichment.file,
                    key="--field",
                    remedy="take it out of the prompt, or hold the field against another column",
                )


def needed(enrichment: Enrichment, targets: Sequence[Target]) -> set[str]:
    """The passes of these fields, and those that they read: the others are not asked."""
    out: set[str] = set()
    queue = [target.pass_name for target in targets]
    while queue:
        name = queue.pop()
        if name not in out:
            out.add(name)
            queue.extend(enrichment.get_pass(name).upstream_passes)
    return out


def read_by(enrichment: Enrichment, targets: Sequence[Target]) -> list[str]:
    """The columns that the passes of these fields read, for showing rows."""
    return list(dict.fromkeys(name for t in targets for name in enrichment.get_pass(t.pass_name).inputs))


def comparisons(enrichment: Enrichment, targets: Sequence[Target], options: EvalOptions) -> dict[Target, Comparison]:
    """How each field's values are compared."""
    synonyms = Synonyms() if options.synonyms is None else read_synonyms(options.synonyms)
    return {
        target: Comparison(enrichment.get_pass(target.pass_name).fields[target.field], synonyms, options.tolerance)
        for target in targets
    }


# --- figures
