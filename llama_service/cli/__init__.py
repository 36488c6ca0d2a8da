"""The command line: `llama-service up | serve | worker | migrate | backup | restore | …`.

The topmost layer: commands import what they run by name, each when it is called, so that `--help` stays quick.
"""

from typing import Annotated

import typer

from llama_service import __version__
from llama_service.cli import accounts, database, run
from llama_service.cli.common import Commands

app = typer.Typer(
    name="llama-service",
    cls=Commands,
    help="A self-hosted, multi-user chat server that answers from your own files.",
    epilog="Settings come from the environment and from .env; .env.example lists them all.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llama-service {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A self-hosted, multi-user chat server that answers from your own files."""


app.command()(run.up)
app.command()(run.serve)
app.command()(run.worker)
app.command(hidden=True)(run.prepare)
app.command()(database.migrate)
app.command()(database.reindex)
app.command()(database.backup)
app.command()(database.restore)
app.command()(database.verify_backup)
app.command()(database.rotate_keys)
app.command()(database.doctor)
app.add_typer(database.audit, name="audit")
app.command()(accounts.create_admin)
app.command()(accounts.reset_two_factor)
