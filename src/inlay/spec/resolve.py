"""What a declaration means beyond its single keys: prompts, inputs, references between passes, published names.

The same for YAML and for Python. What stays true: a resolved PassSpec has `inputs` and `upstream` filled in, each
prompt compiles, references between passes exist and make no circle, and no two columns are published under one name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from inlay.errors import SpecError
from inlay.spec.columns import pass_columns, row_columns, suggested_prefix
from inlay.spec.graph import CYCLE_REMEDY, cycle_message, find_cycle
from inlay.spec.model import Enrichment, ModelSpec, OutputSpec, PassSpec
from inlay.spec.named import check_models, put_in
from inlay.spec.problems import Problems, TooManyProblems, join_key, show_text, suggest
from inlay.spec.prompt import Prompt


@dataclass(frozen=True, slots=True)
class PromptPlace:
    """Where a prompt's text stands: its file, the line it begins in, and whether each of its lines is one there."""

    file: str | None
    line: int | None
    by_line: bool


def resolve(enrichment: Enrichment) -> Enrichment:
    """The declaration with each pass's `inputs` and `upstream` filled in. Raises SpecError with every mistake.

    Idempotent: what is already resolved comes back equal.
    """
    problems = Problems(enrichment.file)
    problems.lines = enrichment.lines
    resolved = dict(enumerate(enrichment.passes))
    try:
        resolved = resolve_passes(resolved, enrichment.output, problems, models=enrichment.models)
    except TooManyProblems:
        pass
    problems.raise_any()
    return with_passes(enrichment, resolved)


def with_passes(enrichment: Enrichment, passes: Mapping[int, PassSpec]) -> Enrichment:
    """A copy with other passes; its file, folder and lines stay."""
    return enrichment.model_copy(update={"passes": tuple(passes[index] for index in sorted(passes))})


def resolve_passes(
    passes: Mapping[int, PassSpec],
    output: OutputSpec,
    problems: Problems,
    *,
    all_names: Iterable[str] = (),
    places: Mapping[str, PromptPlace] | None = None,
    models: Mapping[str, ModelSpec] | None = None,
) -> dict[int, PassSpec]:
    """Check and fill in the passes that are valid by themselves, by their number in the file.

    `all_names` also names the others, so that a reference to one of those is no second mistake.
    """
    models = models or {}
    check_models(models, problems)
    for name, model in models.items():
        _check_endpoint(model.endpoint, join_key(join_key("models", name), "endpoint"), problems)
    names = dict.fromkeys((*(spec.name for spec in passes.values()), *all_names))
    first: dict[str, int] = {}
    resolved: dict[int, PassSpec] = {}
    for index, spec in passes.items():
        if spec.name in first:
            place = f"passes[{first[spec.name]}]"
            problems.add(f"`{spec.name}` is already the name of {place}", f"passes[{index}].name", remedy="rename one")
        first.setdefault(spec.name, index)
        _check_endpoint(spec.endpoint, f"passes[{index}].endpoint", problems)
        _check_rules(spec, index, problems)
        spec = spec.model_copy(update={"lead": output.prefix})
        resolved[index] = put_in(_with_inputs(spec, index, problems, places or {}), index, models, problems)
    by_name = {name: passes[index] for name, index in first.items()}
    for index, spec in resolved.items():
        _check_upstream(spec, index, by_name, names, problems)
    unique = [resolved[index] for index in first.values()]
    if cycle := find_cycle(unique):
        problems.add(cycle_message(cycle), f"passes[{first[cycle[0]]}].prompt", remedy=CYCLE_REMEDY)
    _check_published({index: resolved[index] for index in first.values()}, output, problems)
    return resolved


def compile_prompt(text: str, key: str, problems: Problems, places: Mapping[str, PromptPlace]) -> Prompt | None:
    """The compiled prompt, or None with its mistakes recorded."""
    if not text.strip():
        problems.add("the prompt is empty", key, remedy="say what to answer, about {{ a_column }}")
        return None
    try:
        return Prompt.compile(text, key=key)
    except SpecError as error:
        for mistake in error.problems or (error,):
            _add_template_mistake(mistake, key, text, places.get(key), problems)
        return None


def _with_inputs(spec: PassSpec, index: int, problems: Problems, places: Mapping[str, PromptPlace]) -> PassSpec:
    key = f"passes[{index}].prompt"
    prompt = compile_prompt(spec.prompt, key, problems, places)
    if prompt is None:
        return spec
    if spec.inputs:
        inputs = spec.inputs
        for column in prompt.columns:
            if column not in inputs:
                remedy = suggest(column, inputs, what="inputs") + "; add it to `inputs`, or leave `inputs` out"
                problems.add(f"the prompt reads `{show_text(column)}`, which is not in `inputs`", key, remedy=remedy)
    else:
        inputs = prompt.columns
    if not inputs and not prompt.upstream:
        problems.add(
            "the prompt reads no column, so every row would ask the same",
            key,
            remedy="name a column as {{ its_name }}",
        )
    return spec.model_copy(update={"inputs": inputs, "upstream": prompt.upstream})


def _add_template_mistake(
    mistake: SpecError, key: str, text: str, place: PromptPlace | None, problems: Problems
) -> None:
    line = mistake.line or 1
    message = mistake.message
    if place is None or not place.by_line:
        if "\n" in text.strip():
            message = f"line {line} of the prompt: {message}"
        problems.add(message, key, remedy=mistake.remedy)
        return
    at = None if place.line is None else place.line + line - 1
    problems.add(message, key, line=at, file=place.file, remedy=mistake.remedy)


def _check_upstream(
    spec: PassSpec, index: int, by_name: Mapping[str, PassSpec], names: Iterable[str], problems: Problems
) -> None:
    key = f"passes[{index}].prompt"
    for name, field in spec.upstream:
        source = by_name.get(name)
        shown = f"passes.{show_text(name)}.{show_text(field)}"
        if source is None:
            if name not in names:
                remedy = suggest(name, names, what="passes")
                problems.add(
                    f"the prompt reads `{shown}`, but there is no pass `{show_text(name)}`", key, remedy=remedy
                )
        elif field not in source.fields:
            message = f"the prompt reads `{shown}`, but the pass `{name}` has no field `{show_text(field)}`"
            problems.add(message, key, remedy=suggest(field, source.fields, what=f"fields of {name}"))


def _check_rules(spec: PassSpec, index: int, problems: Problems) -> None:
    """Rules give fields of their own pass."""
    for number, rule in enumerate(spec.rules):
        for names, below in ((rule.set, "set"), (rule.groups, "pattern")):
            for name in names:
                if name not in spec.fields:
                    remedy = suggest(name, spec.fields, what=f"fields of {spec.name}")
                    key = problems.known_key(f"passes[{index}].rules[{number}].{below}.{name}")
                    problems.add(
                        f"the rule gives `{show_text(name)}`, which is no field of the pass", key, remedy=remedy
                    )


def _check_endpoint(endpoint: str | None, key: str, problems: Problems) -> None:
    """An http(s) URL with a host and without credentials; messages never show the URL, which may hold some."""
    if endpoint is None or problems.covers(key):
        return
    example = "write it like http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(endpoint)
        host, _ = parts.hostname, parts.port
    except ValueError:
        problems.add("not a URL", key, remedy=example)
        return
    if not endpoint.isprintable() or " " in endpoint:
        problems.add("a URL holds no spaces or control characters", key, remedy=example)
        return
    if "@" in parts.netloc:
        problems.add(
            "a user name or password in the URL is not allowed: it would be stored and shown",
            key,
            remedy="keep the key in an environment variable and name it with `api_key_env`",
        )
    elif parts.scheme not in ("http", "https") or not host:
        problems.add("not an http or https URL", key, remedy=example)


def _check_published(passes: Mapping[int, PassSpec], output: OutputSpec, problems: Problems) -> None:
    """No two published columns may share a name; case does not tell them apart, as in SQL."""
    taken: dict[str, tuple[str, str]] = dict.fromkeys(row_columns(output), ("", "every published table"))
    for index, spec in passes.items():
        for column, below in pass_columns(spec, output):
            key = f"passes[{index}].{below}"
            place = (key, f"the pass `{spec.name}`")
            other = taken.setdefault(column.casefold(), place)
            if other != place and not problems.covers(key):
                remedy = f"give the pass a prefix, for example `prefix: {suggested_prefix(spec.name)}`"
                problems.add(f"publishes the column `{column}`, as {other[1]} does", key, remedy=remedy)
