"""Commands that run the service or a part of it."""

import json
import os
import sys
from typing import Annotated

import structlog
import typer
from rich.console import Console

from llama_service.cli.common import EXIT_SETTINGS, DataDirOption, fail, first_look, given, ready
from llama_service.logging import configure_logging
from llama_service.runtime.keys import (
    ADMIN_EMAIL,
    ADMIN_NAME,
    admin_password_file,
    jwt_key_overrides,
    new_password,
    write_secret,
)
from llama_service.settings import load_settings

HostOption = Annotated[str | None, typer.Option(help="Address to listen on [HOST].", show_default=False)]
PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on [PORT].", show_default=False)]


def up(
    host: HostOption = None,
    port: PortOption = None,
    data_dir: DataDirOption = None,
    reload: Annotated[bool, typer.Option("--reload", help="Restart the API when its code changes.")] = False,
) -> None:
    """Start everything: Postgres, Chroma, the models, and the service on top of them.

    What you have set yourself (DATABASE_URL, CHROMA_URL, VECTOR_STORE, ...) is used instead of the embedded part.
    Ctrl-C ends it all; a second Ctrl-C at once.
    """
    from llama_service.runtime.up import run_up

    options = given(host=host, port=port, data_dir=data_dir)
    folder = first_look(options).data_dir
    try:
        key = jwt_key_overrides(folder, create=True)
    except OSError as refused:
        fail(f"DATA_DIR={folder}: {refused.strerror}", EXIT_SETTINGS)
    settings = load_settings(**options, **key)
    configure_logging(settings)
    raise typer.Exit(run_up(settings, Console(highlight=False), reload=reload))


def serve(
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    gate: Annotated[bool, typer.Option("--gate", hidden=True)] = False,
) -> None:
    """Serve the API and the web page, on a database and models that the settings name."""
    from api.main import serve as run_server

    if gate:
        # `up` has us load the code while it starts the parts below, and then sends their addresses.
        os.environ.update(json.loads(sys.stdin.read() or "{}"))
    settings = ready(**given(host=host, port=port))
    run_server(settings, settings.host, settings.port, workers)


def worker() -> None:
    """Work off the queue: read uploaded files and index them."""
    from ingestion.worker import run as run_worker

    run_worker(ready())


def prepare() -> None:
    """Migrate, and make the first administrator where there is none; `up` runs this before the API."""
    from auth.admin import create_admin, has_admin
    from persistence.migrate import migrate

    settings = ready()
    migrate(settings)
    if has_admin(settings):
        return
    password = new_password()
    write_secret(admin_password_file(settings.data_dir), password)
    if not create_admin(settings, ADMIN_NAME, ADMIN_EMAIL, password):
        admin_password_file(settings.data_dir).unlink()
        structlog.get_logger(__name__).warning("admin_not_created", reason="the name is taken", name=ADMIN_NAME)
