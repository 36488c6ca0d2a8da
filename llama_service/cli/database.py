"""Commands on what is kept: the schema, the index, backups, the audit log."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from llama_service.cli.common import DataDirOption, fail, first_look, given, ready
from llama_service.logging import configure_logging
from llama_service.runtime.keys import (
    configured_jwt_key,
    jwt_key_file,
    jwt_key_overrides,
    keep_key,
    previous_jwt_key_file,
    replace_kept_key,
)
from llama_service.runtime.running import is_older_than
from llama_service.settings import Settings, load_settings

Say = Callable[[str, int, int], None]
Result = TypeVar("Result")
SourceArgument = Annotated[str, typer.Argument(help="Where `backup` has saved: a folder, or s3://bucket/prefix.")]
NameOption = Annotated[str | None, typer.Option(help="The backup of this name; else the newest.", show_default=False)]
IdentityOption = Annotated[
    Path | None, typer.Option(help="File of age's secret key, for a backup that is encrypted.", show_default=False)
]


def migrate(
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be done, which tables are locked and for how long.")
    ] = False,
) -> None:
    """Bring the database's schema up to date; safe to run at any time, and while the version before this one serves."""
    from persistence.migrate import Applied
    from persistence.migrate import migrate as bring_up_to_date

    if plan:
        _show_plan(ready())
        return

    def say(applied: Applied) -> None:
        locked = ", ".join(f"{table} ({mode})" for table, mode in sorted(applied.locks.items()))
        typer.echo(f"{applied.revision} {applied.title}: {applied.seconds:.2f} s, locked {locked or 'nothing'}")

    bring_up_to_date(ready(), say)
    typer.echo("The database is up to date.")


def _show_plan(settings: Settings) -> None:
    from llama_service.runtime.migration_plan import plan

    planned = asyncio.run(plan(settings))
    for migration in planned:
        typer.echo(f"{migration.revision} {migration.title}")
        for work in migration.tables:
            typer.echo(
                f"    {work.table}: {work.work}, {work.lock}; {work.rows:,} rows, {work.size / 1e6:,.1f} MB: "
                f"{work.blocks} for about {max(work.seconds, 0.1):.1f} s"
            )
        if not migration.tables:
            typer.echo("    no table that is there is locked")
    typer.echo(f"{len(planned)} migrations would be applied." if planned else "The database is up to date.")


def reindex() -> None:
    """Build the vector index anew from the database; the service may go on meanwhile."""
    from ingestion.reindex import reindex as build_anew

    settings = ready()
    columns = (TextColumn("Indexing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("passages", total=None)
        count = build_anew(settings, lambda done, total: bar.update(task, completed=done, total=total))
    typer.echo(f"Indexed {count} passages.")


def rotate_keys(
    data_dir: DataDirOption = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Only make a new key where `up` keeps it; then start `up` anew.")
    ] = False,
) -> None:
    """Encrypt stored secrets anew under JWT_SECRET_KEY; JWT_SECRET_KEY_PREVIOUS reads those of the key before.

    The service may go on, if each of its processes was started with both keys. Safe to repeat.
    """
    from persistence.rotation import rotate_keys as encrypt_anew

    options = given(data_dir=data_dir)
    folder = first_look(options).data_dir
    if new_key:
        _replace_kept_key(folder)
        return
    if is_older_than(folder, jwt_key_file(folder)):
        fail("`up` was started before the key was made: start it anew first, so that it can read what is encrypted")

    async def work(settings: Settings, _: Say) -> Mapping[str, int]:
        return await encrypt_anew(settings)

    for table, count in _with_database(options, work).items():
        typer.echo(f"{table}: {count} encrypted anew.")
    typer.echo("Every stored secret is under the current key.")


def _replace_kept_key(folder: Path) -> None:
    if configured_jwt_key() is not None:
        fail("JWT_SECRET_KEY is set: put it into JWT_SECRET_KEY_PREVIOUS, and a new one into its place")
    if previous_jwt_key_file(folder).exists():
        fail(f"{previous_jwt_key_file(folder)} is there: run `rotate-keys`, and take that file away first")
    if not replace_kept_key(folder):
        fail(f"there is no key in {folder} yet: `up` makes one")
    typer.echo(f"Made a new key in {jwt_key_file(folder)}; the one before is in {previous_jwt_key_file(folder)}.")
    typer.echo("Start `up` anew, run `llama-service rotate-keys`, then take the file of the previous key away.")


def doctor(data_dir: DataDirOption = None) -> None:
    """Look at settings and parts, and say what is wrong and what to do; nothing is changed."""
    from api.doctor import examine

    findings = asyncio.run(examine(ready(**given(data_dir=data_dir))))
    for finding in findings:
        typer.echo(f"{_MARKS[finding.state]} {finding.subject}: {finding.text}")
        if finding.advice:
            typer.echo(f"          {finding.advice}.")
    if any(finding.state == "failure" for finding in findings):
        raise typer.Exit(1)


_MARKS = {"ok": "ok       ", "warning": "warning  ", "failure": "FAILURE  "}


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
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Then delete all but so many of the newest, and what only they held.", show_default=False
        ),
    ] = None,
) -> None:
    """Save database, files and keys; the service may go on meanwhile. What is there already is not sent again."""
    from persistence.backup import Saved
    from persistence.backup import backup as save

    async def work(settings: Settings, say: Say) -> Saved:
        return await save(settings, target, say, with_keys=not without_keys, recipients=recipient or (), keep=keep)

    saved = _with_database(given(data_dir=data_dir), work)
    typer.echo(f"Saved {saved.name}: {sum(saved.manifest.counts.values())} rows, {saved.manifest.blobs} files.")
    if saved.deleted:
        typer.echo(f"Deleted {', '.join(saved.deleted)}.")
    if saved.damaged:
        fail(
            f"{len(saved.damaged)} files are missing or damaged here, and could not be saved:\n"
            + "\n".join(saved.damaged)
        )


def restore(
    source: SourceArgument,
    name: NameOption = None,
    identity: IdentityOption = None,
    data_dir: DataDirOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file once more where it is kept now, and compare.")
    ] = False,
) -> None:
    """Bring a backup back into an empty instance; then start the service as always."""
    from persistence.backup import Restored, keys_of
    from persistence.backup import restore as bring_back

    options = given(data_dir=data_dir)
    first = first_look(options)
    keys = keys_of(first, source, name, identity)
    known = _known_keys(first, keys)

    async def work(settings: Settings, say: Say) -> Restored:
        return await bring_back(settings, source, say, name=name, verify=verify, identity=identity)

    key = known.get("jwt_secret_key") or keys.get("jwt_secret_key") or first.jwt_secret_key
    restored = _with_database({**options, "jwt_secret_key": key}, work)
    _keep_keys(first, keys, known)
    manifest = restored.manifest
    typer.echo(f"Restored {restored.name}: {sum(manifest.counts.values())} rows, {manifest.blobs} files.")
    if restored.problems:
        fail("not all of it is as it was:\n" + "\n".join(restored.problems))


def verify_backup(
    source: SourceArgument,
    name: NameOption = None,
    identity: IdentityOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Bring a backup back into a scratch instance, start that, ask what it has answered before, and throw it away.

    The running instance is not touched. Exits with 1 where the backup is damaged or its instance knows less; for cron.
    """
    from llama_service.runtime.backup_check import check_backup

    first = first_look(given(data_dir=data_dir))
    settings = load_settings(**given(data_dir=data_dir), **jwt_key_overrides(first.data_dir, create=False))
    configure_logging(settings)
    with _progress() as say:
        checked = _to_the_end(check_backup(settings, source, say, name=name, identity=identity))
    rows, files = sum(checked.manifest.counts.values()), checked.manifest.blobs
    typer.echo(f"Restored {checked.name}: {rows} rows, {files} files, each read again.")
    for applied in checked.migrations:
        typer.echo(f"Migrated {applied.revision} {applied.title}: {applied.seconds:.2f} s.")
    typer.echo(f"Asked {checked.asked} questions that files had answered: {checked.found} found such a file again.")
    typer.echo(f"Answered by {checked.answer}." if checked.answered else f"No model answered: {checked.answer}.")
    if checked.found < checked.asked:
        fail(f"{checked.asked - checked.found} of {checked.asked} questions find none of their files any more")


def _known_keys(first: Settings, keys: Mapping[str, str]) -> dict[str, str]:
    """Return the keys that are set or kept here. Fails where the backup's is none of them."""
    known = jwt_key_overrides(first.data_dir, create=False)
    if configured := configured_jwt_key():
        known["jwt_secret_key"] = configured
    if first.jwt_secret_key_previous is not None:
        known["jwt_secret_key_previous"] = first.jwt_secret_key_previous.get_secret_value()
    key = keys.get("jwt_secret_key")
    if key is not None and "jwt_secret_key" in known and key not in known.values():
        fail("JWT_SECRET_KEY is not the backup's, without which stored secrets can't be read: set that one")
    return known


def _keep_keys(first: Settings, keys: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Keep the keys of a backup that was brought back, where there are none."""
    for name, path in (
        ("jwt_secret_key", jwt_key_file(first.data_dir)),
        ("jwt_secret_key_previous", previous_jwt_key_file(first.data_dir)),
    ):
        if name in keys and name not in known:
            keep_key(path, keys[name])


def _with_database(options: dict[str, Any], work: Callable[[Settings, Say], Awaitable[Result]]) -> Result:
    """Do something with the database, which is started where nothing else runs it, and show how far it is."""
    from llama_service.runtime.stores import open_database

    first = first_look(options)
    configure_logging(first)

    async def run(say: Say) -> Result:
        async with open_database(first) as parts:
            kept = jwt_key_overrides(first.data_dir, create="jwt_secret_key" not in options)
            settings = load_settings(**{**kept, **options, **parts})
            configure_logging(settings)
            return await work(settings, say)

    with _progress() as say:
        return _to_the_end(run(say))


def _to_the_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Run something that a SIGTERM cancels as Ctrl-C does: opened backups must not stay behind in a scratch folder."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    return asyncio.run(work)


@contextmanager
def _progress() -> Iterator[Say]:
    """Show how far something is, a bar for each of its parts."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def say(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield say


audit = typer.Typer(help="The audit log.", no_args_is_help=True)


@audit.callback()
def _audit() -> None:
    """The audit log: who did what, and whether all of it is still what was written."""


@audit.command("verify")
def audit_verify(
    expect: Annotated[
        str | None,
        typer.Option(
            help="NUMBER:HASH of a row, as an earlier run printed it, that has to be there.", show_default=False
        ),
    ] = None,
) -> None:
    """Compute the audit log's chain of hashes anew; a row that was changed, taken out or put in is found."""
    from persistence.audit_check import check

    rows, last, problem = check(ready(), expect)
    if problem is not None:
        fail(problem)
    typer.echo(f"{rows} rows are what was written. The last one: {last or 'none'}")
