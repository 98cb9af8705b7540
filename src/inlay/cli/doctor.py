"""`inlay doctor`: which providers can be asked from here, and what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from inlay.cli import completing, options

if TYPE_CHECKING:
    from inlay.cli.screen import Page
    from inlay.project.doctor import Diagnosis, UsedModel


@click.command(context_settings=options.CONTEXT)
@click.argument("declaration", default=None, required=False, shell_complete=completing.declarations)
@click.option("--probe", is_flag=True, help="Ask each model of the declaration once; says first what that costs.")
@click.option("--yes", is_flag=True, help="Probe without asking first.")
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, declaration: str | None, probe: bool, yes: bool, as_json: bool) -> None:
    """Tell which providers can be asked from here, and what is missing.

    Looks at the environment and at the declaration's models (inlay.yaml, where it is there). Nothing is sent without
    --probe, and no key is ever shown. Exit code 1: something is missing for the declaration.

    \b
    Examples:
      inlay doctor
      inlay doctor reviews.yaml
      inlay doctor --probe            # one free or cheapest call to each model
      inlay doctor --json | jq .usable
    """
    from inlay import project
    from inlay.cli import screen

    if declaration is None and Path(options.DEFAULT_FILE).is_file():
        declaration = options.DEFAULT_FILE
    if probe and declaration is None:
        raise click.UsageError("--probe asks the models of a declaration, and there is none here.")
    if probe and not yes:
        asked = (
            "Each model is asked once: by its list of models (free), else by one question (well below a cent); a "
            "compatible server by at most three. Go on?"
        )
        click.confirm(asked, abort=True, err=True)
    found = project.doctor(declaration, probe=probe)
    if as_json:
        screen.print_json(found.to_json())
    else:
        _draw(screen.Page(), found)
    if not found.usable:
        ctx.exit(1)


def _draw(out: Page, found: Diagnosis) -> None:
    out.line("providers, as the environment offers them")
    for offer in found.providers:
        if offer.usable:
            where = f", endpoint from {offer.endpoint_from}" if offer.endpoint_from else ""
            out.line(f"  {offer.provider:<10} ready: {' and '.join(offer.credential)}{where}")
        else:
            out.line(f"  {offer.provider:<10} {offer.problem}")
            out.line(f"  {'':<10} → {offer.remedy}")
    out.line("  lexical    ready: built in, no language model")
    for extra, there in found.extras.items():
        state = "installed" if there else f"not installed: pip install 'inlay[{extra}]'"
        out.line(f"  extra {extra + ':':<8} {state}")
    out.line(f"model: auto: {found.auto}")
    if not found.declaration:
        return
    out.title(found.declaration)
    for model in found.models:
        _draw_model(out, model)
    if any(model.probed and model.problem for model in found.models):
        out.line("something is wrong")
    elif not found.usable:
        out.line("something is missing")
    elif any(model.probed for model in found.models):
        out.line("every model can be asked")
    else:
        out.line("nothing is missing, as far as can be seen from here; --probe asks each model once")


def _draw_model(out: Page, model: UsedModel) -> None:
    out.line(f"  {model.model}, for {', '.join(model.passes)}")
    lines = [
        ("endpoint", model.endpoint),
        ("wire", model.wire),
        ("key from", model.key_from),
        ("price", model.price),
        ("note", model.note),
        ("can", ", ".join(model.can)),
        ("cannot", ", ".join(model.cannot)),
        ("known by", model.abilities_from),
    ]
    if model.probed and not model.problem:
        took = "" if model.seconds is None else f" ({model.seconds * 1000:.0f} ms)"
        lines.append(("probed", f"{model.probed}{took}"))
    if model.problem:
        lines.append(("problem" if model.probed else "missing", model.problem))
        lines.append(("→", model.remedy))
    for name, value in lines:
        if value:
            out.line(f"    {name:<9} {value}")
