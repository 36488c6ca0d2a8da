"""Save everything and bring it back: the database, the bytes of files, the keys. The service goes on meanwhile.

A target is a folder or a bucket (`s3://bucket/prefix`). In it lie the bytes of files by content hash, shared by all
backups, so that each sends only what is new; and a folder for each backup: the database as `pg_dump` writes it, in one
snapshot, the list of the bytes that it names, the keys, and a manifest, written last: without it a backup is none.
What can be made from the rest (the vector index) is not saved.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from obstore.store import LocalStore, ObjectStore
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from llama_service import __version__
from llama_service.errors import NotFound, OperatorError
from llama_service.postgres_wheel import bundled_program
from llama_service.settings import Settings
from persistence.blobs import BlobStore, Received, key_of, open_blobs
from persistence.leftovers import BACKUP_LOCK
from persistence.migrate import Applied, migrate, revisions
from persistence.object_store import open_bucket
from persistence.sealing import SUFFIX, Opener, Seal, SealError
from persistence.vectors import pgvector

FORMAT: Final = 1
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_NAME: Final = r"\d{8}T\d{6}Z/"
_MANIFEST, _DATABASE, _BLOBS, _KEYS = "manifest.json", "database.dump", "blobs.txt", "keys.json"
_BLOCK: Final = 1 << 20
_AT_ONCE: Final = 4  # files that are copied side by side

Say = Callable[[str, int, int], None]
"""Told what is done, how much of it is done, and how much there is."""


class BackupError(OperatorError):
    """A backup could not be made or brought back; one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `counts` are rows by table, `schema` is the revision of the migrations."""

    format: int
    service: str
    created_at: str
    schema: str
    counts: Mapping[str, int]
    blobs: int
    blob_bytes: int
    hashes: Mapping[str, str]
    """SHA-256 of each file of the backup, as it lies there."""
    sealed: bool = False
    """Whether everything but this is encrypted (`persistence.sealing`)."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was made: its name, its manifest, how many bytes of files were new, and those that are damaged."""

    name: str
    manifest: Manifest
    sent: int
    damaged: Sequence[str]
    deleted: Sequence[str] = ()
    """Older backups that were deleted."""


async def backup(
    settings: Settings,
    target: str,
    say: Say,
    *,
    with_keys: bool = True,
    recipients: Sequence[str] = (),
    keep: int | None = None,
) -> Saved:
    """Save everything to a target, encrypted where there are `recipients` (public keys of age).

    With `keep`, all but so many of the newest backups are deleted then, and the bytes that they alone named; not where
    this one lacks something. Raises BackupError, SealError, SettingsError.
    """
    seal = Seal.to(recipients) if recipients else None
    store = _open(target, settings, make=True)
    blobs = open_blobs(settings)
    with tempfile.TemporaryDirectory(prefix="backup-") as folder:
        work = Path(folder)
        async with _snapshot(settings) as (connection, snapshot):
            created = datetime.now(UTC)
            name = created.strftime(_STAMP)
            schema, counts = await _state(connection)
            wanted = await _wanted_blobs(connection)
            say("database", 0, 1)
            await _run_program(
                "pg_dump",
                settings,
                *("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"),
                *await _without_index(connection),
                *("--file", str(work / _DATABASE)),
            )
            say("database", 1, 1)
            # The snapshot is not needed any more; the lock that keeps the bytes of deleted files is.
            await connection.execute("COMMIT")
            sent, damaged = await _send_blobs(store, blobs, wanted, say, seal)
            # To the end under the lock: nobody deletes meanwhile what this backup found there and did not send.
            keys = _keys_in_use(settings) if with_keys else None
            hashes = await asyncio.to_thread(_write_rest, work, wanted, keys, seal)
            total = sum(size for _, size in wanted)
            about = (FORMAT, __version__, created.isoformat(), schema, counts, len(wanted), total, hashes)
            manifest = Manifest(*about, sealed=seal is not None)
            for file in hashes:
                await asyncio.to_thread(store.put, f"{name}/{file}", work / file)
            if isinstance(store, LocalStore):
                # Texts and keys: for whoever made it alone, also where others may look into the folder around it.
                await asyncio.to_thread(_close_to_others, Path(target), name)
            await asyncio.to_thread(store.put, f"{name}/{_MANIFEST}", json.dumps(asdict(manifest), indent=1).encode())
            deleted = await asyncio.to_thread(_delete_old, store, keep, name) if keep and not damaged else []
    return Saved(name, manifest, sent, damaged, deleted)


def _keys_in_use(settings: Settings) -> dict[str, str]:
    """Return the keys by which what is saved can be read: the previous one, too, while it is set."""
    keys = {"jwt_secret_key": settings.jwt_secret_key, "jwt_secret_key_previous": settings.jwt_secret_key_previous}
    return {name: key.get_secret_value() for name, key in keys.items() if key is not None}


def _write_rest(
    work: Path, wanted: Sequence[tuple[str, int]], keys: Mapping[str, str] | None, seal: Seal | None
) -> dict[str, str]:
    """Write the list of bytes and the keys beside the database, and seal all; return the hash of each file."""
    (work / _BLOBS).write_text("".join(f"{sha256} {size}\n" for sha256, size in wanted))
    if keys is not None:
        (work / _KEYS).write_text(json.dumps(keys))
    if seal is not None:
        # The list is left open: it says what the names of the sealed files do, and old backups are deleted by it.
        for path in [path for path in work.iterdir() if path.name != _BLOBS]:
            seal.close(path)
            path.unlink()
    return {path.name: _hash_of(path) for path in sorted(work.iterdir())}


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was brought back: its name and manifest, and what was found wrong with it afterwards."""

    name: str
    manifest: Manifest
    problems: Sequence[str]
    migrations: Sequence[Applied] = ()
    """What an older backup lacked, and how long it took."""


async def restore(
    settings: Settings,
    source: str,
    say: Say,
    *,
    name: str | None = None,
    verify: bool = False,
    identity: Path | None = None,
) -> Restored:
    """Bring a backup back into an empty instance: the newest one, or the one of that name.

    `identity` is a file of secret keys, for what was encrypted. Rows are counted and bytes hashed on their way; with
    `verify` bytes are read once more where they are kept now. Raises BackupError where there is no backup, where it is
    damaged, where the database is not empty, or where it is of a newer version, SealError where it can't be opened;
    then nothing was changed. Raises SettingsError.
    """
    store = _open(source, settings, make=False)
    chosen = name or await _newest(store)
    manifest = await _manifest_of(store, chosen)
    _check_schema(manifest)
    opener = _opener(manifest, identity)
    with tempfile.TemporaryDirectory(prefix="restore-") as folder:
        work = Path(folder)
        for file in manifest.hashes:
            await _fetch_part(store, chosen, manifest, file, work, opener)
        lines = (work / _BLOBS).read_text().splitlines()
        wanted_blobs = [(sha256, int(size)) for sha256, size in (line.split() for line in lines)]
        async with await _connect(settings) as connection:
            await _check_empty(connection)
            say("database", 0, 1)
            await _run_program(
                "pg_restore",
                settings,
                *("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(work / _DATABASE)),
            )
            say("database", 1, 1)
            # As the migration has it; rights of roles are not saved, since the roles may be others here.
            await connection.execute("REVOKE UPDATE, TRUNCATE ON audit_events FROM PUBLIC, CURRENT_USER")
            problems = await _count_again(connection, manifest)
    blobs = open_blobs(settings)
    problems += await _fetch_blobs(store, blobs, wanted_blobs, say, opener)
    migrations: list[Applied] = []
    await asyncio.to_thread(migrate, settings, migrations.append)
    if verify:
        problems += await _verify_blobs(blobs, wanted_blobs, say)
    return Restored(chosen, manifest, problems, migrations)


def keys_of(settings: Settings, source: str, name: str | None, identity: Path | None) -> Mapping[str, str]:
    """Return the keys that a backup holds; nothing where it was made without them. Raises BackupError, SealError."""

    async def look() -> Mapping[str, str]:
        store = _open(source, settings, make=False)
        chosen = name or await _newest(store)
        manifest = await _manifest_of(store, chosen)
        file = _KEYS + (SUFFIX if manifest.sealed else "")
        if file not in manifest.hashes:
            return {}
        with tempfile.TemporaryDirectory(prefix="restore-") as folder:
            await _fetch_part(store, chosen, manifest, file, Path(folder), _opener(manifest, identity))
            keys: Mapping[str, str] = json.loads((Path(folder) / _KEYS).read_text())
        return keys

    return asyncio.run(look())


# --- the target -----------------------------------------------------------------------------------------------------


def _open(place: str, settings: Settings, *, make: bool) -> ObjectStore:
    if place.startswith("s3://"):
        return open_bucket(place, settings)
    folder = Path(place).absolute()
    if not make and not folder.is_dir():
        raise BackupError(f"there is no folder {place}")
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return LocalStore(prefix=folder, automatic_cleanup=True)


def _close_to_others(target: Path, name: str) -> None:
    for folder in (target / name, target / "blobs"):
        if folder.is_dir():
            folder.chmod(0o700)


async def _newest(store: ObjectStore) -> str:
    names = _complete(await asyncio.to_thread(_paths, store, None))
    if not names:
        raise BackupError("there is no complete backup in that place")
    return names[0]


def _complete(paths: Sequence[str]) -> list[str]:
    """Return the names of the backups that have a manifest, newest first."""
    return sorted({path.partition("/")[0] for path in paths if path.endswith(f"/{_MANIFEST}")}, reverse=True)


def _delete_old(store: ObjectStore, keep: int, newest: str) -> list[str]:
    """Delete all but the `keep` newest backups and what was left by broken ones, then bytes that no list names.

    `newest` is one of those that stay, whatever clocks have said when the others were named.
    Returns the names of the deleted. Bytes stay where a list can't be read: that of a sealed backup was sealed, once.
    """
    paths = _paths(store, None)
    complete = [newest, *(name for name in _complete(paths) if name != newest)]
    kept, old = complete[:keep], complete[keep:]
    # The manifest goes first: what is half deleted is no backup any more.
    parts = [path for path in paths if re.match(_NAME, path) and path.partition("/")[0] not in kept]
    for path in sorted(parts, key=lambda path: not path.endswith(f"/{_MANIFEST}")):
        store.delete(path)
    named: set[str] = set()
    for name in kept:
        if f"{name}/{_BLOBS}" not in paths:
            return old
        suffix = SUFFIX if f"{name}/{_DATABASE}{SUFFIX}" in paths else ""
        lines = bytes(store.get(f"{name}/{_BLOBS}").bytes()).decode().splitlines()
        named |= {f"blobs/{key_of(line.split()[0])}{suffix}" for line in lines}
    store.delete([path for path in paths if path.startswith("blobs/") and path not in named])
    return old


async def _manifest_of(store: ObjectStore, name: str) -> Manifest:
    try:
        content = await asyncio.to_thread(lambda: bytes(store.get(f"{name}/{_MANIFEST}").bytes()))
    except FileNotFoundError:
        raise BackupError(f"there is no complete backup named {name}") from None
    told: dict[str, Any] = json.loads(content)
    if told["format"] != FORMAT:
        raise BackupError(f"the backup {name} has format {told['format']}; this version reads {FORMAT}")
    return Manifest(**told)


def _opener(manifest: Manifest, identity: Path | None) -> Opener | None:
    if not manifest.sealed:
        return None
    if identity is None:
        raise BackupError("the backup is encrypted: name the file of its secret key (--identity)")
    return Opener.of(identity)


async def _fetch_part(
    store: ObjectStore, name: str, manifest: Manifest, file: str, folder: Path, opener: Opener | None
) -> None:
    """Fetch a file of a backup into a folder, and open it. Raises BackupError where it is not what was written."""
    path = folder / file
    await _fetch(store, f"{name}/{file}", path)
    if await asyncio.to_thread(_hash_of, path) != manifest.hashes[file]:
        raise BackupError(f"{name}/{file} is damaged: it is not what was written")
    if opener is not None and file.endswith(SUFFIX):
        await asyncio.to_thread(opener.open, path, path.with_name(file.removesuffix(SUFFIX)))


# The library's calls are made in threads: its own coroutines go on in a thread of its own while the process ends, and
# were seen to abort it then.


def _paths(store: ObjectStore, prefix: str | None) -> list[str]:
    return [item["path"] for batch in store.list(prefix) for item in batch]


async def _fetch(store: ObjectStore, key: str, path: Path) -> None:
    def fetch() -> None:
        with path.open("wb") as file:
            for block in store.get(key).stream(min_chunk_size=_BLOCK):
                file.write(block)

    try:
        await asyncio.to_thread(fetch)
    except FileNotFoundError:
        raise BackupError(f"{key} is missing in the backup") from None


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the database ---------------------------------------------------------------------------------------------------


async def _connect(settings: Settings) -> psycopg.AsyncConnection[Any]:
    try:
        return await psycopg.AsyncConnection.connect(settings.postgres_session.libpq, autocommit=True)
    except psycopg.OperationalError as away:
        raise BackupError(f"the database can't be reached: {str(away).strip()}") from None


@asynccontextmanager
async def _snapshot(settings: Settings) -> AsyncIterator[tuple[psycopg.AsyncConnection[Any], str]]:
    """Hold a snapshot of the database, and the bytes of files that are deleted meanwhile."""
    async with await _connect(settings) as connection:
        await connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (BACKUP_LOCK,))
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = await (await connection.execute("SELECT pg_export_snapshot()")).fetchone()
        assert row is not None  # noqa: S101  (a function gives a row)
        yield connection, str(row[0])


async def _state(connection: psycopg.AsyncConnection[Any]) -> tuple[str, dict[str, int]]:
    there = await (await connection.execute("SELECT to_regclass('public.alembic_version')")).fetchone()
    if not there or there[0] is None:
        raise BackupError("there is nothing to save: the database has no schema of this service")
    row = await (await connection.execute("SELECT version_num FROM alembic_version")).fetchone()
    return str(row[0]) if row else "", await _counts(connection)


async def _counts(connection: psycopg.AsyncConnection[Any]) -> dict[str, int]:
    tables = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    counts = {}
    for (table,) in await (await connection.execute(tables)).fetchall():
        row = await (await connection.execute(f"SELECT count(*) FROM public.{table}")).fetchone()  # noqa: S608
        counts[table] = int(row[0]) if row else 0
    return counts


async def _without_index(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    """Return options of `pg_dump` that leave out a vector index in the database, and the extension that it needs.

    The dump can then be restored where that extension is absent.
    """
    rows = await (await connection.execute("SELECT extname FROM pg_extension ORDER BY extname")).fetchall()
    names = [str(name) for (name,) in rows]
    if pgvector.EXTENSION not in names:
        return []
    # By the others' names: an option that excludes one came with Postgres 17 only.
    others = [f"--extension={name}" for name in names if name != pgvector.EXTENSION]
    return [f"--exclude-schema={pgvector.SCHEMA}", *others]


async def _wanted_blobs(connection: psycopg.AsyncConnection[Any]) -> list[tuple[str, int]]:
    rows = await connection.execute("SELECT sha256, max(size) FROM files GROUP BY sha256 ORDER BY sha256")
    return [(str(sha256), int(size)) for sha256, size in await rows.fetchall()]


async def _check_empty(connection: psycopg.AsyncConnection[Any]) -> None:
    row = await (await connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).fetchone()
    if row and row[0]:
        raise BackupError("the database is not empty: name an empty one, or a new DATA_DIR")


async def _count_again(connection: psycopg.AsyncConnection[Any], manifest: Manifest) -> list[str]:
    found = await _counts(connection)
    wrong = [table for table, count in manifest.counts.items() if found.get(table) != count]
    return [f"{table}: {found.get(table)} rows, not {manifest.counts[table]}" for table in wrong]


def _check_schema(manifest: Manifest) -> None:
    if manifest.schema not in revisions():
        raise BackupError(
            f"the backup is of a newer version ({manifest.service}, schema {manifest.schema}): install that version"
        )


async def _run_program(name: str, settings: Settings, *arguments: str) -> None:
    """Run one of Postgres's programs on the database; the password goes by its environment. Raises BackupError."""
    told = conninfo_to_dict(settings.postgres_session.libpq)
    password = told.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    process = await asyncio.create_subprocess_exec(
        *(str(_program(name)), "--dbname", make_conninfo("", **told), *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    if process.returncode != 0:
        raise BackupError(f"{name} failed: {said.decode(errors='replace').strip()[-400:]}")


def _program(name: str) -> Path:
    found = bundled_program(name) or (Path(path) if (path := shutil.which(name)) else None)
    if found is None:
        raise BackupError(f"there is no {name}: install llama-service[embedded], or Postgres's client programs")
    return found


# --- the bytes of files ---------------------------------------------------------------------------------------------


async def _send_blobs(
    store: ObjectStore, blobs: BlobStore, wanted: Sequence[tuple[str, int]], say: Say, seal: Seal | None
) -> tuple[int, list[str]]:
    """Send what the target lacks; return how many bytes that was, and the hashes whose bytes are gone or damaged."""
    suffix = SUFFIX if seal else ""
    there = {path.rpartition("/")[2] for path in await asyncio.to_thread(_paths, store, "blobs/")}
    missing = [(sha256, size) for sha256, size in wanted if sha256 + suffix not in there]
    damaged: list[str] = []

    async def send(sha256: str) -> None:
        try:
            async with blobs.local(sha256) as path:
                if await asyncio.to_thread(_hash_of, path) != sha256:
                    damaged.append(sha256)
                    return
                with tempfile.TemporaryDirectory(prefix="backup-") as folder:
                    sealed = await asyncio.to_thread(_sealed_copy, seal, path, Path(folder)) if seal else path
                    await asyncio.to_thread(store.put, f"blobs/{key_of(sha256)}{suffix}", sealed)
        except NotFound:
            damaged.append(sha256)

    await _side_by_side([sha256 for sha256, _ in missing], send, say)
    return sum(size for sha256, size in missing if sha256 not in damaged), sorted(damaged)


def _sealed_copy(seal: Seal, path: Path, folder: Path) -> Path:
    """Seal bytes where nothing else lies: their own folder is not ours to write to."""
    link = folder / path.name
    link.symlink_to(path.absolute())
    return seal.close(link)


async def _fetch_blobs(
    store: ObjectStore, blobs: BlobStore, wanted: Sequence[tuple[str, int]], say: Say, opener: Opener | None
) -> list[str]:
    """Keep the bytes of a backup where files are kept now; return what is wrong with some."""
    sizes, problems = dict(wanted), list[str]()

    async def fetch(sha256: str) -> None:
        path, sealed = await blobs.spool.temporary(), await blobs.spool.temporary()
        try:
            if opener is None:
                await _fetch(store, f"blobs/{key_of(sha256)}", path)
            else:
                await _fetch(store, f"blobs/{key_of(sha256)}{SUFFIX}", sealed)
                await asyncio.to_thread(opener.open, sealed, path)
            if await asyncio.to_thread(_hash_of, path) != sha256:
                problems.append(f"the bytes {sha256} are damaged in the backup")
                return
            with path.open("rb") as file:
                head = file.read(65536)
            await blobs.keep(Received(path, sizes[sha256], sha256, head))
        except (BackupError, SealError) as missing:
            problems.append(f"the bytes {sha256}: {missing}")
        finally:
            path.unlink(missing_ok=True)
            sealed.unlink(missing_ok=True)

    await _side_by_side(list(sizes), fetch, say)
    return sorted(problems)


async def _verify_blobs(blobs: BlobStore, wanted: Sequence[tuple[str, int]], say: Say) -> list[str]:
    """Read all bytes where they are kept, and hash them; return what is wrong with some."""
    problems: list[str] = []

    async def verify(sha256: str) -> None:
        try:
            async with blobs.local(sha256) as path:
                if await asyncio.to_thread(_hash_of, path) != sha256:
                    problems.append(f"the bytes {sha256} are damaged")
        except NotFound:
            problems.append(f"the bytes {sha256} are missing")

    await _side_by_side([sha256 for sha256, _ in wanted], verify, say)
    return sorted(problems)


async def _side_by_side(hashes: Sequence[str], work: Callable[[str], Any], say: Say) -> None:
    slots, done = asyncio.Semaphore(_AT_ONCE), 0

    async def one(sha256: str) -> None:
        nonlocal done
        async with slots:
            await work(sha256)
        done += 1
        say("files", done, len(hashes))

    async with asyncio.TaskGroup() as group:
        for sha256 in hashes:
            group.create_task(one(sha256))
