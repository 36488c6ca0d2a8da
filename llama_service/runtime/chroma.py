"""The embedded Chroma: its server on loopback, as a child, for those who have its token.

It is an index and not a store: what it holds can be rebuilt from Postgres. So a folder that it can't open is moved
aside and the service starts with an empty one.
"""

import contextlib
import json
import secrets
import shutil
import sys
import time
from pathlib import Path
from types import TracebackType

import structlog

from llama_service.runtime.http import get
from llama_service.runtime.locks import FileLock
from llama_service.runtime.process import (
    Child,
    ChildFailed,
    ChildSpec,
    HasChild,
    base_environment,
    free_port,
    package_root,
)

log = structlog.get_logger(__name__)

_KEPT_CORRUPT = 2


class EmbeddedChroma(HasChild):
    """A Chroma server that keeps its index in `path`; `url` is its address, `token` opens it. An async context manager.

    Raises ChildFailed where it can't run even on an empty folder, FolderInUse where another process uses `path`.
    """

    what = "chroma was"

    def __init__(self, path: Path, log_dir: Path, *, ready_timeout: float = 60) -> None:
        self._path = path.resolve()
        self._log_dir = log_dir
        self._ready_timeout = ready_timeout
        self.token = secrets.token_urlsafe(32)
        self._lock = FileLock(self._path.with_name(f"{self._path.name}.lock"))
        self._port = free_port()

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start the server; where it can't open its folder, move that aside and start empty."""
        await self._lock.acquire(wait_seconds=10)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            await self._start_somehow()
        except BaseException:
            await self.stop()
            raise

    async def _start_somehow(self) -> None:
        try:
            return await self._start_child()
        except ChildFailed:
            self._port = free_port()  # somebody may have taken the first one in between
        try:
            return await self._start_child()
        except ChildFailed:
            if not any(self._path.iterdir()):
                raise
            self.move_aside()
        await self._start_child()

    async def _start_child(self) -> None:
        self._child = Child(self._spec())
        await self._child.start()

    async def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            await self._child.stop()
        self._lock.release()

    async def __aenter__(self) -> "EmbeddedChroma":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def move_aside(self) -> None:
        """Put the index out of the way, under a name that tells when; the server must not be running."""
        aside = self._path.with_name(f"{self._path.name}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}")
        self._path.rename(aside)
        self._path.mkdir()
        log.warning("chroma_index_unreadable", moved_to=str(aside), consequence="the index is rebuilt")
        for old in sorted(self._path.parent.glob(f"{self._path.name}.corrupt-*"))[:-_KEPT_CORRUPT]:
            shutil.rmtree(old)

    def _spec(self) -> ChildSpec:
        options = ["--path", str(self._path), "--port", str(self._port)]
        return ChildSpec(
            name="chroma",
            argv=[sys.executable, "-m", "llama_service.runtime.chroma_server", *options],
            env=base_environment(ANONYMIZED_TELEMETRY="False", CHROMA_TOKEN=self.token, PYTHONPATH=str(package_root())),
            log_dir=self._log_dir,
            is_ready=self._is_ready,
            ready_timeout=self._ready_timeout,
            keep_fds=(self._lock.fd,),
            # Chroma would read an operator's .env in the folder that it is started in.
            cwd=self._path.parent,
        )

    async def _is_ready(self) -> bool:
        """Whether the server answers, and can read its own catalogue: a torn one shows only there."""
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            status, _ = await get(f"{self.url}/api/v2/heartbeat")
            if status != 200:
                return False
            status, body = await get(
                f"{self.url}/api/v2/tenants/default_tenant/databases/default_database/collections?limit=1",
                api_key=self.token,
            )
            return status == 200 and isinstance(json.loads(body), list)
        return False
