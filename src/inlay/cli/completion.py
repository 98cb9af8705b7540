"""`inlay completion`: what makes a shell complete commands, options, files and passes."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes the Tab key complete.

    It completes commands, options, declarations (YAML files), the passes of a declaration after --pass, and kinds of
    failure after --kind. bash needs to be 4.4 or newer.

    \b
    Examples:
      inlay completion bash >> ~/.bashrc
      inlay completion zsh >> ~/.zshrc
      inlay completion fish > ~/.config/fish/completions/inlay.fish
    """
    from click.shell_completion import get_completion_class

    group = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(group, {}, "inlay", "_INLAY_COMPLETE").source().strip())
