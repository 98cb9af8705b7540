"""`inlay dbt`: the declaration as sources, a staging model and macros of a dbt project."""

from __future__ import annotations

import click

from inlay.cli import options


@click.command(context_settings=options.CONTEXT)
@options.declaration
@click.option("--project", "folder", metavar="DIR", default=".", help="The dbt project.  [default: this folder]")
@click.option(
    "--source-table",
    metavar="TABLE",
    help="The table that holds the rows in the warehouse, where the source is files, a query or named otherwise there.",
)
@click.option(
    "--source", metavar="NAME", help="The dbt source of tables that are named without a schema.  [default: raw]"
)
@click.option("--model", metavar="NAME", help="The staging model.  [default: stg_ and the name of the table]")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if something would change.")
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would change, as a diff.")
@click.option("--force", is_flag=True, help="Take the new version of what was edited between Inlay's marks, too.")
@options.as_json
@options.quiet
@click.pass_context
def dbt(
    ctx: click.Context,
    declaration: str,
    folder: str,
    source_table: str | None,
    source: str | None,
    model: str | None,
    check: bool,
    dry_run: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write the declaration into a dbt project.

    It writes sources with descriptions and tests, a staging model stg_<table>, and macros/inlay.sql, which gives each
    column a person's correction, else the source's own value, else a rule's, else the model's, else the default. Models
    build before there is a published table, too. Files that are there are added to: what you wrote stays. Neither a
    database nor a model is asked, and a second time changes nothing.

    \b
    Examples:
      inlay dbt --project warehouse
      inlay dbt --project warehouse --dry-run
      inlay dbt --project warehouse --check           # in CI
      inlay dbt reviews.yaml --project warehouse --source-table staging.reviews
    """
    from inlay import project
    from inlay.cli import screen, words

    done = project.write_dbt(
        declaration,
        folder,
        source_table=source_table,
        source=source,
        model=model,
        check=check or dry_run,
        force=force,
    )
    told = "would be " if check or dry_run else ""
    if as_json:
        files = [{"path": change.path, "action": change.action, "diff": change.diff} for change in done.files]
        screen.print_json({"model": done.model, "written": not told, "files": files, "notes": list(done.notes)})
    elif not quiet:
        if dry_run:
            for change in done.files:
                click.echo("\n".join(words.escaped(line) for line in change.diff.split("\n")), nl=False)
        for change in done.files:
            click.echo(f"{told}{change.action} {words.escaped(change.path)}", err=dry_run)
        for note in done.notes:
            click.echo(f"note: {words.escaped(note)}", err=True)
        if not done.files:
            click.echo("nothing to change", err=dry_run)
        elif not told:
            click.echo(f"next: dbt build --select +{words.escaped(done.model)}", err=dry_run)
    if check and done.files:
        ctx.exit(1)
