"""`llama-service doctor`: looks at settings and parts, and says of each what is wrong and what to do.

Nothing is changed, and no model is asked.
"""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

import psycopg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from chains.models import ModelRegistry
from ingestion.index import IndexKeeper
from llama_service import __version__
from llama_service.errors import AppError
from llama_service.settings import Settings, SettingsError
from persistence.blobs import open_blobs
from persistence.migrate import Schema, revisions, schema_of
from persistence.rotation import named, survey, vault_of
from persistence.session import Database
from persistence.vectors import VectorIndex, check_engine, open_index

State = Literal["ok", "warning", "failure"]
_PATIENCE: Final = 10.0  # seconds for each look
_OLDEST_POSTGRES: Final = 14
_CLOCK_SECONDS: Final = 2.0
_LOW_BYTES: Final = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look has found; `advice` is what to do about it, empty where all is well."""

    state: State
    subject: str
    text: str
    advice: str = ""


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything, side by side where it can be."""
    found = [Finding("ok", "version", f"llama-service {__version__}"), *_of_settings(settings), *_of_disk(settings)]
    try:
        check_engine(settings)
    except SettingsError as wrong:
        return [*found, Finding("failure", "settings", str(wrong), "Install it, or set another VECTOR_STORE")]
    async with AsyncExitStack() as stack:
        database = Database(settings.postgres, 4)
        stack.push_async_callback(database.close)
        registry = ModelRegistry(settings)
        await registry.start()
        stack.push_async_callback(registry.close)
        index = open_index(settings, database)
        stack.push_async_callback(index.close)
        keeper = IndexKeeper(database, index, registry.embeddings())
        database_findings = await _look("database", lambda: _of_database(settings, database))
        found += database_findings
        if all(finding.state != "failure" for finding in database_findings):
            found += await _look("secrets", lambda: _of_secrets(settings, database))
            found += await _look("work", lambda: _of_work(database))
            found += await _look("index", lambda: _of_index(index, keeper))
        found += await _look("files", lambda: _of_blobs(settings))
        found += await _look("models", lambda: _of_models(settings, registry))
    return found


async def _look(subject: str, look: Callable[[], Awaitable[Iterable[Finding]]]) -> list[Finding]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return list(await look())
    except TimeoutError:
        return [
            Finding("failure", subject, f"no answer within {_PATIENCE:g} s", "See whether it runs, and is reachable")
        ]
    except AppError as error:
        return [Finding("failure", subject, error.message, "See whether it runs, and what its log says")]
    except (SQLAlchemyError, psycopg.Error, OSError) as error:
        said = str(error).strip().partition("\n")[0]
        return [Finding("failure", subject, f"can't be reached: {said}", "See whether it runs, and the address of it")]


def _of_settings(settings: Settings) -> Iterable[Finding]:
    is_https = (settings.public_url or "").startswith("https://")
    if is_https and not settings.cookie_secure:
        yield Finding(
            "warning", "settings", "PUBLIC_URL is https, and COOKIE_SECURE is not set", "Set COOKIE_SECURE=true"
        )
    if "*" in settings.allowed_origins and is_https:
        yield Finding(
            "warning", "settings", "ALLOWED_ORIGINS lets every site call the API", "Name the sites that may, or none"
        )
    if settings.allow_registration and is_https:
        yield Finding(
            "warning",
            "settings",
            "whoever reaches the address may make an account",
            "Set ALLOW_REGISTRATION=false, unless that is wanted, and invite people",
        )
    hub = (settings.aihub_url, settings.aihub_keycloak_host)
    if not settings.aihub_verify_ssl and any((address or "").startswith("https://") for address in hub):
        told = "AIHUB_VERIFY_SSL=false: whoever is on the way to the hub can read the password and every question"
        advice = "Set AIHUB_VERIFY_SSL=true; the system's authorities count, the company's own among them"
        yield Finding("warning", "settings", told, advice)
    yield Finding("ok", "settings", f"were read; the default model is of {settings.default_model_source}")


def _of_disk(settings: Settings) -> Iterable[Finding]:
    folder = settings.data_dir if settings.data_dir.exists() else settings.data_dir.parent
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        yield Finding("failure", "disk", f"{folder} can't be looked at: {error.strerror}", "Name a folder: DATA_DIR")
        return
    told = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB are free at {folder}"
    if usage.free < _LOW_BYTES:
        yield Finding("warning", "disk", told, "Make room: the database stops where the disk is full")
    else:
        yield Finding("ok", "disk", told)


async def _of_database(settings: Settings, database: Database) -> list[Finding]:
    before = time.time()
    async with database.reading() as session:
        row = (
            await session.execute(
                text(
                    "SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS now,"
                    " (SELECT count(*) FROM pg_stat_activity) AS used,"
                    " current_setting('max_connections')::int AS most"
                )
            )
        ).one()
    found = [Finding("ok", "database", f"Postgres {row.version // 10000}.{row.version % 10000} answers")]
    if row.version // 10000 < _OLDEST_POSTGRES:
        found.append(Finding("warning", "database", "this Postgres is too old", f"Use {_OLDEST_POSTGRES} or newer"))
    found.append(_of_schema(await asyncio.to_thread(schema_of, settings.postgres_session)))
    apart = abs(row.now.timestamp() - (before + time.time()) / 2)
    if apart > _CLOCK_SECONDS:
        told = f"the clocks of this machine and of the database are {apart:.0f} s apart"
        found.append(Finding("warning", "clock", told, "Let both be set by a time server: leases and codes go by them"))
    else:
        found.append(Finding("ok", "clock", f"agrees with the database's ({datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC)"))
    if row.used > row.most * 0.8:
        told = f"{row.used} of {row.most} connections are used"
        found.append(Finding("warning", "database", told, "Raise max_connections, or lower DATABASE_POOL_SIZE"))
    return found


def _of_schema(schema: Schema) -> Finding:
    revision = schema.revision
    if schema.standing == "current":
        return Finding("ok", "database", f"the schema is up to date ({revision})")
    if schema.standing == "older":
        told = f"the schema is {revision or 'absent'}, not {revisions()[0]}"
        return Finding("failure", "database", told, "llama-service migrate")
    told = f"the schema ({revision}) is of a newer version than this one"
    if schema.standing == "newer":
        return Finding("warning", "database", f"{told}, which can work with it", "Install that version in the end")
    return Finding("failure", "database", told, "Install that version: this one can't know what has changed")


async def _of_secrets(settings: Settings, database: Database) -> list[Finding]:
    async with database.reading() as session:
        tables = await survey(session, vault_of(settings))
    found = []
    for table in tables:
        if table.unreadable:
            found.append(
                Finding("failure", "secrets", table.problem, "Set the key that they are under, or do as it says")
            )
        if table.outdated:
            told = f"{len(table.outdated)} of {table.table} are not under the current key: {named(table.outdated)}"
            found.append(Finding("warning", "secrets", told, "llama-service rotate-keys"))
    if not found:
        count = sum(table.count for table in tables)
        found.append(Finding("ok", "secrets", f"all {count} that are stored are under the current key"))
        if settings.jwt_secret_key_previous is not None:
            told = "JWT_SECRET_KEY_PREVIOUS is set, and nothing stored needs it"
            advice = (
                "Take it away (DATA_DIR/secrets/jwt.previous, where `up` keeps it), and start anew: tokens of it end"
            )
            found.append(Finding("warning", "secrets", told, advice))
    return found


_WORK = text(
    """
    SELECT (SELECT count(*) FROM runs WHERE status = 'running'
              AND lease_until < clock_timestamp() - interval '1 minute') AS orphaned,
           (SELECT count(*) FROM runs WHERE status = 'running') AS running,
           (SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'
              AND coalesce(scheduled_at, clock_timestamp()) <= clock_timestamp()) AS waiting,
           (SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing') AS doing,
           (SELECT count(*) FROM files WHERE status = 'failed') AS failed,
           (SELECT count(*) FROM blob_leftovers
            WHERE since < clock_timestamp() - interval '1 day') AS leftovers
    """
)


async def _of_work(database: Database) -> list[Finding]:
    async with database.reading() as session:
        row = (await session.execute(_WORK)).one()
    found = [Finding("ok", "answers", f"{row.running} are being written")]
    if row.orphaned:
        told = f"{row.orphaned} answers have no worker any more"
        found = [Finding("warning", "answers", told, "Start the API: a running one takes them up within seconds")]
    if row.waiting and not row.doing:
        told = f"{row.waiting} jobs wait, and nobody works"
        found.append(
            Finding("warning", "queue", told, "Start the API with INLINE_WORKER=true, or llama-service worker")
        )
    else:
        found.append(Finding("ok", "queue", f"{row.waiting} jobs wait, {row.doing} are worked on"))
    if row.failed:
        told = f"{row.failed} files could not be read"
        found.append(Finding("warning", "files", told, "Their owners see why, and can try again (Files)"))
    if row.leftovers:
        told = f"the bytes of {row.leftovers} deleted files are still there"
        found.append(Finding("warning", "files", told, "Start the API, and see whether BLOB_URL can be reached"))
    return found


async def _of_index(index: VectorIndex, keeper: IndexKeeper) -> list[Finding]:
    await index.ping()
    health = await keeper.measure()
    if health.indexed != health.vectors:
        told = f"{index.engine} holds {health.indexed} of {health.vectors} vectors"
        return [
            Finding("warning", "index", told, "A running API repairs it within a minute; else llama-service reindex")
        ]
    if health.other_model:
        told = f"{health.other_model} files were embedded by another model"
        return [Finding("warning", "index", told, "llama-service reindex, or the embeddings that were set before")]
    return [Finding("ok", "index", f"{index.engine} holds all {health.vectors} vectors")]


async def _of_blobs(settings: Settings) -> list[Finding]:
    await open_blobs(settings).ping()
    return [Finding("ok", "files", f"are kept in {settings.blob_url or settings.blobs_dir}")]


async def _of_models(settings: Settings, registry: ModelRegistry) -> list[Finding]:
    states = await registry.status()
    used = {settings.default_model_source, *settings.model_fallback_sources}
    if "local" in used:
        used |= {"ollama", "embedded"}
    found = []
    for name, state in states.items():
        if state.available:
            found.append(Finding("ok", "models", f"{name} answers"))
        elif name in used:
            found.append(
                Finding("warning", "models", f"{name} does not answer: {state.error}", "See its address and log")
            )
    if not any(state.available for state in states.values()):
        found.append(Finding("failure", "models", "no source of models answers", "Set one up: see .env.example"))
    return found
