"""The command line: `llama-service up | serve | worker | migrate | create-admin | reset-two-factor | reindex |
doctor | backup | restore | audit`.

The kernel imports nothing of the layers above it: they are called by name.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from llama_service import __version__
from llama_service.logging import configure_logging
from llama_service.runtime.keys import (
    ADMIN_EMAIL,
    ADMIN_NAME,
    admin_password_file,
    configured_jwt_key,
    jwt_key_file,
    jwt_key_overrides,
    new_password,
    write_secret,
)
from llama_service.settings import Settings, SettingsError, load_settings

EXIT_SETTINGS = 2

app = typer.Typer(
    name="llama-service",
    help="A self-hosted, multi-user chat server that answers from your own files.",
    epilog="Settings come from the environment and from .env; .env.example lists them all.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

HostOption = Annotated[str | None, typer.Option(help="Address to listen on [HOST].", show_default=False)]
PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on [PORT].", show_default=False)]
DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder for the database, files, index and logs [DATA_DIR].", show_default=False)
]


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


@app.command()
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

    given = _given(host=host, port=port, data_dir=data_dir)
    folder = _first_look(given).data_dir
    try:
        key = jwt_key_overrides(folder, create=True)
    except OSError as refused:
        _fail(f"DATA_DIR={folder}: {refused.strerror}", EXIT_SETTINGS)
    settings = _settings(**given, **key)
    configure_logging(settings)
    raise typer.Exit(run_up(settings, Console(highlight=False), reload=reload))


@app.command()
def serve(
    host: HostOption = None,
    port: PortOption = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    gate: Annotated[bool, typer.Option("--gate", hidden=True)] = False,
) -> None:
    """Serve the API and the web page, on a database and models that the settings name."""
    run = _upper("api.main", "serve")
    if gate:
        # `up` has us load the code while it starts the parts below, and then sends their addresses.
        os.environ.update(json.loads(sys.stdin.read() or "{}"))
    settings = _ready(**_given(host=host, port=port))
    run(settings, settings.host, settings.port, workers)


@app.command()
def worker() -> None:
    """Work off the queue: read uploaded files and index them."""
    settings = _ready()
    _upper("ingestion.worker", "run")(settings)


@app.command()
def migrate() -> None:
    """Bring the database's schema up to date; safe to run at any time."""
    settings = _ready()
    _upper("persistence.migrate", "migrate")(settings)
    typer.echo("The database is up to date.")


@app.command("create-admin")
def create_admin(
    username: Annotated[str, typer.Option(help="Name to sign in with.")] = ADMIN_NAME,
    email: Annotated[str, typer.Option(help="E-mail address.")] = ADMIN_EMAIL,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="ADMIN_PASSWORD", help="Password; one is generated where it is absent.", show_default=False
        ),
    ] = None,
) -> None:
    """Create an administrator."""
    settings = _ready()
    chosen = password or new_password()
    if not _upper("auth.admin", "create_admin")(settings, username, email, chosen):
        _fail(f"there is a user {username!r} or an e-mail address {email!r} already")
    typer.echo(f"Created the administrator {username}.")
    if password is None:
        typer.echo(f"Password: {chosen}  (shown only now)")


@app.command("reset-two-factor")
def reset_two_factor(username: Annotated[str, typer.Argument(help="Name or e-mail address of the account.")]) -> None:
    """Let somebody in again who has lost phone and recovery codes: the password alone is enough from now on."""
    settings = _ready()
    if not _upper("auth.admin", "reset_two_factor")(settings, username):
        _fail(f"there is no user {username!r} with two-factor sign-in")
    typer.echo(f"Two-factor sign-in of {username} is off.")


@app.command()
def reindex() -> None:
    """Build the vector index anew from the database; the service may go on meanwhile."""
    settings = _ready()
    columns = (TextColumn("Indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("passages", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        count = _upper("ingestion.reindex", "reindex")(settings, advance)
    typer.echo(f"Indexed {count} passages.")


@app.command()
def doctor(data_dir: DataDirOption = None) -> None:
    """Look at settings and parts, and say what is wrong and what to do; nothing is changed."""
    settings = _ready(**_given(data_dir=data_dir))
    findings = asyncio.run(_upper("api.doctor", "examine")(settings))
    for finding in findings:
        typer.echo(f"{_MARKS[finding.state]} {finding.subject}: {finding.text}")
        if finding.advice:
            typer.echo(f"          {finding.advice}.")
    if any(finding.state == "failure" for finding in findings):
        raise typer.Exit(1)


_MARKS = {"ok": "ok       ", "warning": "warning  ", "failure": "FAILURE  "}


@app.command()
def backup(
    target: Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix (AWS_* reach it).")],
    data_dir: DataDirOption = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave JWT_SECRET_KEY out; without it stored secrets can't be read.")
    ] = False,
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            help="Encrypt for this public key of age (age1…); may be given several times.", show_default=False
        ),
    ] = None,
) -> None:
    """Save database, files and keys; the service may go on meanwhile. What is there already is not sent again."""

    async def work(settings: Settings, say: Say) -> Any:
        return await _upper("persistence.backup", "backup")(
            settings, target, say, with_keys=not without_keys, recipients=recipient or ()
        )

    saved = _with_database(_given(data_dir=data_dir), work)
    typer.echo(f"Saved {saved.name}: {sum(saved.manifest.counts.values())} rows, {saved.manifest.blobs} files.")
    if saved.damaged:
        _fail(
            f"{len(saved.damaged)} files are missing or damaged here, and could not be saved:\n"
            + "\n".join(saved.damaged)
        )


@app.command()
def restore(
    source: Annotated[str, typer.Argument(help="Where `backup` has saved: a folder, or s3://bucket/prefix.")],
    name: Annotated[
        str | None, typer.Option(help="The backup of this name; else the newest.", show_default=False)
    ] = None,
    identity: Annotated[
        Path | None, typer.Option(help="File of age's secret key, for a backup that is encrypted.", show_default=False)
    ] = None,
    data_dir: DataDirOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file once more where it is kept now, and compare.")
    ] = False,
) -> None:
    """Bring a backup back into an empty instance; then start the service as always."""
    given = _given(data_dir=data_dir)
    first = _first_look(given)
    _restore_keys(first, _keys_of(first, source, name, identity))

    async def work(settings: Settings, say: Say) -> Any:
        return await _upper("persistence.backup", "restore")(
            settings, source, say, name=name, verify=verify, identity=identity
        )

    restored = _with_database(given, work)
    manifest = restored.manifest
    typer.echo(f"Restored {restored.name}: {sum(manifest.counts.values())} rows, {manifest.blobs} files.")
    if restored.problems:
        _fail("not all of it is as it was:\n" + "\n".join(restored.problems))


def _keys_of(first: Settings, source: str, name: str | None, identity: Path | None) -> dict[str, str]:
    try:
        keys: dict[str, str] = _upper("persistence.backup", "keys_of")(first, source, name, identity)
    except _said_as_they_are() as failed:
        _fail(str(failed))
    return keys


def _restore_keys(first: Settings, keys: dict[str, str]) -> None:
    """Keep the backup's key where the operator has set none. Fails where they have set another one."""
    key = keys.get("jwt_secret_key")
    if key is None:
        return
    path = jwt_key_file(first.data_dir)
    kept = configured_jwt_key() or (path.read_text().strip() if path.exists() else None)
    if kept is None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, key)
    elif kept != key:
        _fail("JWT_SECRET_KEY is not the backup's, without which stored secrets can't be read: set that one")


Say = Callable[[str, int, int], None]


def _with_database(given: dict[str, Any], work: Callable[[Settings, Say], Awaitable[Any]]) -> Any:
    """Do something with the database, which is started where nothing else runs it, and show how far it is."""
    from llama_service.runtime.stores import open_database

    first = _first_look(given)
    configure_logging(first)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    async def run(bar: Progress) -> Any:
        tasks: dict[str, TaskID] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        async with open_database(first) as parts:
            settings = _settings(**given, **jwt_key_overrides(first.data_dir), **parts)
            configure_logging(settings)
            return await work(settings, say)

    try:
        with Progress(*columns, console=Console(stderr=True)) as bar:
            return asyncio.run(run(bar))
    except _said_as_they_are() as failed:
        _fail(str(failed))


# Errors whose text is for the operator.
_SAID_AS_THEY_ARE = (
    ("persistence.backup", "BackupError"),
    ("persistence.sealing", "SealError"),
    ("llama_service.runtime.process", "ChildFailed"),
    ("llama_service.runtime.locks", "FolderInUse"),
)


def _said_as_they_are() -> tuple[type[Exception], ...]:
    return tuple(getattr(importlib.import_module(module), name) for module, name in _SAID_AS_THEY_ARE)


audit_app = typer.Typer(help="The audit log.", no_args_is_help=True)
app.add_typer(audit_app, name="audit")


@audit_app.callback()
def _audit() -> None:
    """The audit log: who did what, and whether all of it is still what was written."""


@audit_app.command("verify")
def audit_verify(
    expect: Annotated[
        str | None,
        typer.Option(
            help="NUMBER:HASH of a row, as an earlier run printed it, that has to be there.", show_default=False
        ),
    ] = None,
) -> None:
    """Compute the audit log's chain of hashes anew; a row that was changed, taken out or put in is found."""
    settings = _ready()
    rows, last, problem = _upper("persistence.audit_check", "check")(settings, expect)
    if problem is not None:
        _fail(problem)
    typer.echo(f"{rows} rows are what was written. The last one: {last or 'none'}")


@app.command(hidden=True)
def prepare() -> None:
    """Migrate, and make the first administrator where there is none; `up` runs this before the API."""
    settings = _ready()
    _upper("persistence.migrate", "migrate")(settings)
    if _upper("auth.admin", "has_admin")(settings):
        return
    password = new_password()
    write_secret(admin_password_file(settings.data_dir), password)
    if not _upper("auth.admin", "create_admin")(settings, ADMIN_NAME, ADMIN_EMAIL, password):
        admin_password_file(settings.data_dir).unlink()
        structlog.get_logger(__name__).warning("admin_not_created", reason="the name is taken", name=ADMIN_NAME)


def _given(**options: object) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _settings(**given: Any) -> Settings:
    try:
        return load_settings(**given)
    except SettingsError as wrong:
        _fail(str(wrong), EXIT_SETTINGS)


def _first_look(given: dict[str, Any]) -> Settings:
    """Return the settings as far as they are known without what lies in the data folder: any key does for that."""
    return _settings(**{"jwt_secret_key": new_password() * 3, **given})


def _ready(**given: Any) -> Settings:
    """Return the settings; what they lack comes from an `up` that runs on the same data folder, if one does."""
    from llama_service.runtime.running import found_parts

    first = _first_look(given)
    kept = jwt_key_overrides(first.data_dir, create=False)
    settings = _settings(**given, **kept, **found_parts(first))
    configure_logging(settings)
    return settings


def _upper(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a layer above the kernel; what it raises about settings becomes one line."""
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)

    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except SettingsError as wrong:
            _fail(str(wrong), EXIT_SETTINGS)
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None

    return call


def _fail(message: str, code: int = 1) -> NoReturn:
    sys.stderr.write("".join(f"llama-service: {line}\n" for line in message.splitlines()))
    raise typer.Exit(code)
