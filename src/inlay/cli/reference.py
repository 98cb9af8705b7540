"""`python -m inlay.cli.reference`: the reference of every command as Markdown, made from the commands themselves.

`docs/cli.md` is its output; a test holds the two equal.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from inlay.cli.main import EXIT_CODES, cli
from inlay.project.switches import SWITCHES

ENVIRONMENT = (
    *SWITCHES.items(),
    ("NO_COLOR", "set to anything: no colour"),
    ("TERM", "`dumb`: plain progress lines instead of a display that is redrawn"),
    ("COLUMNS", "the width of tables"),
    ("INLAY_LOG_FORMAT", "`json`: runs tell what they do as one JSON object a line, as with `--log-format json`"),
    ("INLAY_TRACEBACK", "set to anything: errors show where in the code they happened"),
)


def reference() -> str:
    """The whole page."""
    return "\n".join(_page()).rstrip() + "\n"


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below a group with its full name, groups before their commands."""
    with click.Context(group, info_name=path) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            assert command is not None
            yield f"{path} {name}", command
            if isinstance(command, click.Group):
                yield from commands(command, f"{path} {name}")


def _page() -> Iterator[str]:
    yield "# The command line"
    yield ""
    yield "<!-- Made by `python -m inlay.cli.reference`; edit the commands, not this page. -->"
    yield ""
    yield from _text(cli.help or "")
    for path, command in commands(cli, "inlay"):
        yield f"## {path}"
        yield ""
        yield from _usage(path, command)
        yield from _text(command.help or "")
        yield from _options(path, command)
    yield "## Exit codes"
    yield ""
    yield "| code | meaning |"
    yield "|---|---|"
    yield from _codes()
    yield ""
    yield "## Environment"
    yield ""
    yield "| variable | meaning |"
    yield "|---|---|"
    for name, meaning in ENVIRONMENT:
        yield f"| `{name}` | {meaning} |"


def _usage(path: str, command: click.Command) -> Iterator[str]:
    with click.Context(command, info_name=path, **command.context_settings) as ctx:
        yield "```"
        yield " ".join([path, *command.collect_usage_pieces(ctx)])
        yield "```"
        yield ""


def _text(help_text: str) -> Iterator[str]:
    """Paragraphs as they are; a block after `\\b` is a title and commands."""
    for paragraph in inspect.cleandoc(help_text).split("\n\n"):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].strip() == "\b":
            yield lines[1]
            yield ""
            yield "```bash"
            yield from inspect.cleandoc("\n".join(lines[2:])).splitlines()
            yield "```"
        else:
            yield " ".join(line.strip() for line in lines)
        yield ""


def _options(path: str, command: click.Command) -> Iterator[str]:
    with click.Context(command, info_name=path, **command.context_settings) as ctx:
        records = [
            record
            for parameter in command.get_params(ctx)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)) is not None
        ]
    yield "| option | meaning |"
    yield "|---|---|"
    for names, meaning in records:
        cell = " ".join(meaning.split()).replace("|", "\\|")
        yield f"| `{names.replace('|', chr(92) + '|')}` | {cell} |"
    yield ""


def _codes() -> Iterator[str]:
    code, meaning = "", ""
    for line in EXIT_CODES.splitlines()[2:]:
        first, _, rest = line.strip().partition(" ")
        if first.isdigit():
            if code:
                yield f"| {code} | {meaning} |"
            code, meaning = first, rest.strip()
        else:
            meaning += " " + line.strip()
    yield f"| {code} | {meaning} |"


if __name__ == "__main__":
    click.echo(reference(), nl=False)
