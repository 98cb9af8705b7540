"""`inlay schema`: the JSON Schema of declarations, for editors."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@click.option("-o", "--output", metavar="FILE", help="Write it here, whole or not at all.  [default: standard output]")
def schema(output: str | None) -> None:
    """Print the JSON Schema of declarations, for editors.

    Editors that speak YAML (VS Code, Neovim, JetBrains and others) complete keys, explain them and mark mistakes as you
    type. Nothing is fetched: the schema is a file beside the declaration. Write it again after an upgrade.

    \b
    They find it by the first line of the declaration:
      # yaml-language-server: $schema=.inlay/inlay.schema.json

    \b
    Examples:
      inlay schema -o .inlay/inlay.schema.json
      inlay schema | jq '.["$defs"].FieldSpec.properties | keys'
    """
    from inlay import project
    from inlay.cli import screen, words
    from inlay.spec import schema as document

    if output is None or output == "-":
        screen.print_json(document.schema())
        return
    project.write_schema(output)
    click.echo(f"wrote {words.escaped(output)}", err=True)
