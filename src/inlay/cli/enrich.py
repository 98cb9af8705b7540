"""`inlay enrich`: new columns for a file in one command, without a declaration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from inlay.cli import options

if TYPE_CHECKING:
    from inlay.spec.model import Enrichment

# What mistakes call the keys of the declaration that is made.
WORDS = {
    "source.key": "--key",
    "source.files": "FILE",
    "passes[0].prompt": "--prompt",
    "passes[0].inputs": "--prompt",
    "passes[0].fields": "--field",
    "passes[0].endpoint": "--endpoint",
    "passes[0].model": "--model",
    "passes[0].api_key_env": "--api-key-env",
    "passes[0].prices": "--prices",
    "passes[0].prefix": "--prefix",
    "output.files": "-o",
    "output": "-o",
    "budget": "--budget",
    "store": "--store",
    "name": "--name",
    "endpoint": "--endpoint",
    "model": "--model",
}
PHRASES = (
    (r"give the pass a prefix, for example `prefix: (\w+)`.*", r"rename the field, or add --prefix \1"),
    (r"give the pass `prices:.*", "add --prices IN,OUT (US dollars per million tokens), or leave out --budget"),
)


class Prices(click.ParamType):
    """Two amounts of US dollars, parted by a comma."""

    name = "prices"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """`0.10,0.40` to two numbers, or a usage error."""
        parts = str(value).split(",")
        if len(parts) != 2:
            self.fail("give two prices in US dollars per million tokens, in and out, like 0.10,0.40", param, ctx)
        low, high = (options.Dollars().convert(part.strip(), param, ctx) for part in parts)
        return low, high


@click.command(context_settings=options.CONTEXT)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--field",
    "lines",
    multiple=True,
    required=True,
    metavar="'NAME: TYPE'",
    help="A column to ask for; may be repeated. TYPE as in a declaration (integer, a|b|c, list[string] …), then "
    "perhaps: , 1..5 , evidence , confidence , required , at most 5 and ' - description'.",
)
@click.option("--key", metavar="COL[,COL]", help="The columns that tell rows apart.  [default: the whole row]")
@click.option("--prompt", metavar="TEXT", help="What to ask, about {{ columns }}.  [default: made from the fields]")
@click.option("--prompt-file", metavar="FILE", help="Read the prompt from a file.")
@click.option("--model", default="auto", show_default=True, metavar="MODEL", help="provider:name, or auto.")
@click.option("--endpoint", metavar="URL", help="Where a server of your own is, for --model compatible:NAME.")
@click.option("--api-key-env", metavar="NAME", help="The environment variable that holds the key.")
@click.option(
    "--prices",
    type=Prices(),
    metavar="IN,OUT",
    help="US dollars per million tokens in and out, for a model whose price Inlay does not know.",
)
@options.budget_made
@options.limit_made
@click.option("-o", "--output", metavar="FILE", help="Write the table here (.parquet, .csv or .jsonl).")
@click.option("--prefix", default="", metavar="TEXT", help="Put this before the name of every new column.")
@click.option("--name", metavar="NAME", help="Its name in the store.  [default: made from the first file's name]")
@click.option("--store", metavar="PATH", help="Where answers are kept.  [default: .inlay/ in this folder]")
@click.option("--save", metavar="FILE", help="Also write a declaration that means the same, to go on with.")
@click.option("--yes", is_flag=True, help="Do not ask: neither about the price nor before a saved file is replaced.")
@click.option("--dry-run", is_flag=True, help="Show the plan; send nothing, write nothing.")
@options.as_json
@options.log_format
@click.option("--quiet", is_flag=True, help="Show no plan, no progress and no rows: only errors.")
@click.pass_context
def enrich(
    ctx: click.Context,
    files: tuple[str, ...],
    lines: tuple[str, ...],
    key: str | None,
    prompt: str | None,
    prompt_file: str | None,
    model: str,
    endpoint: str | None,
    api_key_env: str | None,
    prices: tuple[float, float] | None,
    budget: float | None,
    limit: int | None,
    output: str | None,
    prefix: str,
    name: str | None,
    store: str | None,
    save: str | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    log_format: str,
    quiet: bool,
) -> None:
    """Ask for new columns of a file in one command, without a declaration.

    Planned, priced and kept like any run: typed again, it asks only what is new; with another prompt or other fields,
    it asks those. Labels, numbers, dates and yes-or-no come with the quote that supports them, unless the field says
    `no evidence`. --save turns it all into a declaration for `inlay run`, which then asks nothing again.

    \b
    Examples:
      inlay enrich reviews.csv --field "sentiment: positive|neutral|negative"
      inlay enrich reviews.csv --key id --prompt "A hotel review: {{ text }}" --budget 1 -o out.parquet \\
          --field "stars: integer, 1..5 - how satisfied the guest is" --field "topics: list[string], at most 5"
      inlay enrich "logs/*.jsonl" --field "cause: text, evidence" --limit 20 --save inlay.yaml
    """
    from inlay.cli import screen
    from inlay.cli.run import Order, carry_out, dry
    from inlay.project.declaring import declare
    from inlay.project.declaring import save as save_declaration
    from inlay.spec.field_lines import read_lines
    from inlay.spec.quick import Quick, in_words_of

    if prompt is not None and prompt_file is not None:
        raise click.UsageError("give --prompt or --prompt-file, not both")
    with in_words_of(WORDS, PHRASES):
        given = Quick(
            fields=read_lines(lines),
            files=files,
            prompt=_prompt(prompt_file) if prompt_file is not None else prompt,
            key=_key(key, files),
            model=model,
            endpoint=endpoint,
            api_key_env=api_key_env,
            prices=prices,
            name=name,
            prefix=prefix,
            budget_usd=budget,
            limit=limit,
            output={} if output is None else {"files": output},
            store=store,
        )
        enrichment = declare(given)
        if not quiet and log_format == "text":
            _say_what_was_made(enrichment, given.prompt is None, key is None)
        if dry_run:
            dry(enrichment, None, limit, "stale", as_json=as_json)
            return
        if save is not None:
            _check_before_saving(enrichment)
            changed = save_declaration(enrichment, save, overwrite=yes, header=_HEADER)
            if not quiet and log_format == "text":
                click.echo(f"{'wrote' if changed else 'unchanged'}: {screen.escaped(save)}", err=True)
        order = Order(save, None, "stale", None, False, yes, True, as_json, quiet, log_format)
        code = carry_out(order, enrichment)
        if output is None and not as_json and not quiet:
            _show(enrichment)
    ctx.exit(code)


_HEADER = (
    "Written by `inlay enrich --save`: it means the same, and answers that are there are not asked again.",
    "",
    "  inlay plan      what would be asked, and its price; sends nothing",
    "  inlay run       asks what is new, keeps every answer, writes the output",
    "  inlay status    how far it is, and what failed",
)


def _prompt(file: str) -> str:
    """The text of --prompt-file."""
    from inlay.spec.field_lines import raise_mistakes
    from inlay.spec.forms import Forms, read_text
    from inlay.spec.problems import Problems

    problems = Problems()
    text = read_text(file, "--prompt-file", Forms(problems, Path.cwd()))
    raise_mistakes(problems)
    assert text is not None
    return text


def _key(text: str | None, files: tuple[str, ...]) -> tuple[str, ...] | None:
    """The columns of --key: the whole text where that is a column, else its parts between commas."""
    if text is None or text == "*":
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if len(parts) == 1:
        return (text,)
    from inlay.project.declaring import columns_of

    return (text,) if text in columns_of(files) else parts


def _check_before_saving(enrichment: Enrichment) -> None:
    """What does not fit the file is refused before a declaration of it is written."""
    from inlay.project.session import Session

    with Session(enrichment, need_keys=True) as session:
        session.check()


def _say_what_was_made(enrichment: Enrichment, prompt: bool, key: bool) -> None:
    """The prompt and the key that nobody gave, on standard error."""
    from inlay.cli.words import escaped
    from inlay.project.declaring import likely_keys

    if prompt:
        click.echo("prompt, made from the fields and the text columns (--prompt says it in your words):", err=True)
        for line in enrichment.passes[0].prompt.rstrip().splitlines():
            click.echo(f"  {escaped(line)}".rstrip(), err=True)
    if key:
        found = likely_keys(enrichment)
        text = "key: the whole row (column inlay_key), so rows may move and the file may grow"
        if found:
            shown = escaped(found[0])
            text += f"; {shown} is unique: --key {shown} keeps a row's history when its other columns change"
        click.echo(text, err=True)


def _show(enrichment: Enrichment) -> None:
    """The first rows, as `inlay show` draws them."""
    from inlay import project
    from inlay.cli import show

    rows = project.show(enrichment, limit=10)
    if rows:
        click.echo()
        show.draw(rows, show.answers(enrichment, list(rows[0])), everything=False)
        click.echo("write all of it: the same command with -o out.parquet (asks nothing again)")
