"""What `llama-service up` starts below the service: of Postgres, Chroma and the models what the settings lack."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType

import structlog

from llama_service.runtime.chroma import EmbeddedChroma
from llama_service.runtime.embeddings import EmbeddedEmbedder
from llama_service.runtime.locks import FileLock
from llama_service.runtime.model import EmbeddedModel
from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.runtime.process import Child, ChildFailed
from llama_service.runtime.progress import Progress
from llama_service.runtime.weights import WeightsMissing, demo_parts
from llama_service.settings import Settings

log = structlog.get_logger(__name__)

_LONGEST_PAUSE = 30.0  # seconds between two restarts of a part that keeps dying
_GOOD_LIFE = 60.0  # seconds after which a part counts as healthy again
_CRASH_LOOP = 3  # deaths in a row after which Chroma's index is suspected


class EmbeddedStack:
    """The embedded parts under one supervisor; an async context manager.

    `start` returns as soon as Postgres and Chroma answer; entering the context waits for the embeddings as well. The
    chat model goes on loading.
    `environment` holds the addresses for the service. A part that dies is started again on its old address. `model` and
    `embedder` switch parts off. Raises FolderInUse where another stack owns the data folder, ChildFailed where
    Postgres or Chroma can't run; a missing model or embedder is no reason not to start.
    """

    def __init__(self, settings: Settings, progress: Progress, *, model: bool = True, embedder: bool = True) -> None:
        data_dir = settings.data_dir.resolve()
        logs = data_dir / "logs"
        models = data_dir / "models"
        own_key = settings.embedded_api_key
        self._key = own_key.get_secret_value() if own_key else secrets.token_urlsafe(32)
        self._settings = settings
        self._progress = progress
        self._lock = FileLock(data_dir / "lock")
        self._postgres = EmbeddedPostgres(data_dir, logs) if settings.database_url is None else None
        needs_chroma = settings.vector_engine == "chroma" and settings.chroma_url is None
        self._chroma = EmbeddedChroma(settings.vectordb_dir, logs) if needs_chroma else None
        self._model = (
            EmbeddedModel(
                models,
                logs,
                model_path=settings.embedded_model_path,
                context_tokens=settings.embedded_context_tokens,
                api_key=self._key,
            )
            if model and settings.embedded_chat_url is None
            else None
        )
        self._embedder = (
            EmbeddedEmbedder(models, logs, api_key=self._key)
            if embedder and settings.embedded_embeddings_url is None
            else None
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._model_task: asyncio.Task[None] | None = None
        self._embedder_task: asyncio.Task[None] | None = None
        self.environment: dict[str, str] = {}

    async def __aenter__(self) -> "EmbeddedStack":
        await self.start()
        try:
            await self.embeddings_ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def acquire(self) -> None:
        """Take the data folder for ourselves. Raises FolderInUse."""
        await self._lock.acquire()

    async def start(self) -> None:
        """Start every part and wait for Postgres and Chroma; `acquire` is a part of it where it was not called."""
        if self._lock.fd < 0:
            await self.acquire()
        try:
            if self._embedder:
                self._embedder_task = self._spawn(self._start_embedder(self._embedder))
            if self._model:
                self._announce_model(self._model)
            async with asyncio.TaskGroup() as together:
                together.create_task(self._start_postgres())
                together.create_task(self._start_chroma())
        except ExceptionGroup as failed:
            await self.stop()
            raise failed.exceptions[0] from None
        except BaseException:
            await self.stop()
            raise

    async def embeddings_ready(self) -> bool:
        """Wait until the embeddings answer; say whether there are any."""
        if self._embedder_task is not None:
            await asyncio.shield(self._embedder_task)
        return "EMBEDDED_EMBEDDINGS_URL" in self.environment

    async def models_ready(self) -> bool:
        """Wait until the chat model has loaded; say whether there is one."""
        if self._model_task is not None:
            await asyncio.shield(self._model_task)
        return "EMBEDDED_CHAT_URL" in self.environment

    async def stop(self) -> None:
        """End every part, Postgres last."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        parts = (self._model, self._embedder, self._chroma)
        await asyncio.gather(*(part.stop() for part in parts if part))
        if self._postgres:
            await self._postgres.stop()
        self._lock.release()

    async def _start_postgres(self) -> None:
        if self._postgres is None:
            return
        self._progress.begin("Postgres", "starting the database")
        await self._postgres.start()
        self.environment["DATABASE_URL"] = self._postgres.dsn
        self._watch(self._postgres.child)
        self._progress.finish("Postgres")

    async def _start_chroma(self) -> None:
        if self._chroma is None:
            return
        self._progress.begin("Chroma", "starting the vector index")
        await self._chroma.start()
        self.environment |= {"CHROMA_URL": self._chroma.url, "CHROMA_TOKEN": self._chroma.token}
        self._watch(self._chroma.child, self._suspect_chroma)
        self._progress.finish("Chroma")

    async def _suspect_chroma(self) -> None:
        if self._chroma:
            self._chroma.move_aside()

    async def _start_embedder(self, embedder: EmbeddedEmbedder) -> None:
        self._progress.begin("Embeddings", "loading multilingual-e5-small")
        try:
            await embedder.start()
        except (ChildFailed, WeightsMissing) as failed:
            log.warning("embedder_left_out", reason=str(failed))
            self._progress.skip("Embeddings", str(failed))
            return
        self.environment |= {"EMBEDDED_EMBEDDINGS_URL": embedder.url, "EMBEDDED_API_KEY": self._key}
        self._watch(embedder.child)
        self._progress.finish("Embeddings")

    def _announce_model(self, model: EmbeddedModel) -> None:
        if self._settings.embedded_model_path is None:
            try:
                demo_parts()
            except WeightsMissing as missing:
                self._progress.skip("Model", str(missing))
                return
        self.environment |= {"EMBEDDED_CHAT_URL": model.url, "EMBEDDED_API_KEY": self._key}
        self._progress.begin("Model", "loading in the background")
        self._model_task = self._spawn(self._load_model(model))

    async def _load_model(self, model: EmbeddedModel) -> None:
        try:
            weights = await model.prepare(lambda done, total: self._progress.advance("Model", done, total))
            await model.spawn(weights)
            await model.child.wait_ready()
        except (ChildFailed, WeightsMissing, OSError) as failed:
            self.environment.pop("EMBEDDED_CHAT_URL", None)
            log.warning("model_left_out", reason=str(failed))
            self._progress.skip("Model", str(failed))
            return
        self._watch(model.child)
        self._progress.finish("Model", weights.name)

    def _watch(self, child: Child, suspect: Callable[[], Awaitable[None]] | None = None) -> None:
        self._spawn(_keep_alive(child, suspect))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.append(task)
        return task


async def _keep_alive(child: Child, suspect: Callable[[], Awaitable[None]] | None) -> None:
    """Start `child` again whenever it dies, with growing pauses; `suspect` is called when it keeps dying."""
    deaths = 0
    while True:
        born = time.monotonic()
        code = await child.wait()
        deaths = 1 if time.monotonic() - born > _GOOD_LIFE else deaths + 1
        pause = min(0.5 * 2 ** (deaths - 1), _LONGEST_PAUSE)
        log.warning("child_died", child=child.spec.name, code=code, restart_in=pause, log=str(child.spec.log_path))
        await asyncio.sleep(pause)
        if suspect and deaths == _CRASH_LOOP:
            await suspect()
        try:
            await child.start()
        except ChildFailed as failed:
            log.error("child_not_restarted", child=child.spec.name, reason=str(failed))
