"""Proof of a backup: brought back into a scratch instance, started as `up` starts it, and asked what it knew before."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
from pydantic import SecretStr

from auth.tokens import TokenService
from llama_service.errors import OperatorError
from llama_service.runtime.keys import jwt_key_file, keep_key, previous_jwt_key_file
from llama_service.runtime.process import Child, ChildFailed, ChildSpec, base_environment, free_port, package_root, tail
from llama_service.runtime.stores import open_database
from llama_service.settings import Settings
from persistence.backup import Manifest, Say, keys_of, restore
from persistence.backup_probe import Probe, choose_probes, cut_off
from persistence.migrate import Applied
from persistence.session import Database
from persistence.tables import User

_MOST_PROBES: Final = 5
_START_SECONDS: Final = 180.0
_INDEX_SECONDS: Final = 90.0  # without a vector more: it is compared twice a minute
_ANSWER_SECONDS: Final = 600.0
# Where the real instance keeps its things, and through what it reaches others: none of it is the scratch instance's.
_PLACES: Final = (
    *("jwt_secret_key", "jwt_secret_key_previous", "data_dir", "host", "port", "root_path", "blob_dir", "blob_url"),
    *("database_url", "database_session_url", "alembic_database_url"),
    *("oidc", "aihub_as_user", "default_tools", "smtp_url"),
    *("metrics_port", "otel_exporter_otlp_endpoint", "otel_exporter_otlp_headers"),
    *("vector_store", "milvus_token", "chroma_url", "chroma_token", "vectordb_path"),
)


class BackupUnusable(OperatorError):
    """An instance was made of a backup, and does not know what it should."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a scratch instance made of a backup has shown.

    `found` of `asked` questions led to a file that had answered them before. `answer` is the model that answered the
    first of them again, or why none did.
    """

    name: str
    manifest: Manifest
    asked: int
    found: int
    answered: bool
    answer: str
    migrations: Sequence[Applied] = ()


async def check_backup(
    settings: Settings, source: str, say: Say, *, name: str | None, identity: Path | None
) -> Checked:
    """Bring a backup back into a scratch instance, start it, and ask it; nothing of the real instance is touched.

    Needs the room of the whole instance below TMPDIR. Raises BackupError, SealError, ChildFailed, BackupUnusable.
    """
    with tempfile.TemporaryDirectory(prefix="llama-service-backup-") as scratch:
        folder = Path(scratch) / "data"
        kept = await asyncio.to_thread(keys_of, settings, source, name, identity)
        key = kept.get("jwt_secret_key") or settings.jwt_secret_key.get_secret_value()
        own = {place: Settings.model_fields[place].get_default(call_default_factory=True) for place in _PLACES}
        there = settings.model_copy(update={**own, "data_dir": folder, "jwt_secret_key": SecretStr(key)})
        async with open_database(there) as parts:
            reached = there.model_copy(update={"database_url": SecretStr(parts["database_url"])})
            restored = await restore(reached, source, say, name=name, verify=True, identity=identity)
            if restored.problems:
                raise BackupUnusable("not all of it is as it was:\n" + "\n".join(restored.problems))
            questions = await _prepare(reached)
        keep_key(jwt_key_file(folder), key)
        if previous := kept.get("jwt_secret_key_previous"):
            keep_key(previous_jwt_key_file(folder), previous)
        say("start", 0, 1)
        async with _running(there) as url, aiohttp.ClientSession(url) as http:
            say("start", 1, 1)
            found = await _search(http, questions, say)
            answered, answer = await _chat(http, questions[0]) if questions else (False, "there is nothing to ask")
            return Checked(
                restored.name, restored.manifest, len(questions), found, answered, answer, restored.migrations
            )


@dataclass(frozen=True, slots=True)
class _Question:
    """A probe, and the access token of whoever asked it."""

    probe: Probe
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


async def _prepare(settings: Settings) -> list[_Question]:
    """End what was under way, choose what to ask, and sign in whoever asked it; in the scratch instance's database."""
    database, tokens = Database(settings.postgres, 2), TokenService(settings)
    try:
        async with database.transaction() as session:
            await cut_off(session)
            questions = []
            for probe in await choose_probes(session, _MOST_PROBES):
                user = await session.get_one(User, probe.user_id)
                issued = await tokens.issue(session, user, user_agent="verify-backup", ip="127.0.0.1")
                questions.append(_Question(probe, issued.access_token))
            return questions
    finally:
        await database.close()


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[str]:
    """Run `up` on the scratch instance's data folder, on a free port of loopback; yield its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    here = {name: path.resolve() for name in ("embedded_model_path", "ui_dir") if (path := getattr(settings, name))}
    told = settings.model_copy(update=here).as_variables().items()
    chosen = {name: value for name, value in told if name.lower() not in _PLACES}
    own = {"DATA_DIR": str(settings.data_dir), "HOST": "127.0.0.1", "PORT": str(port)}

    async def is_ready() -> bool:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http,
                http.get(f"{url}/health") as answer,
            ):
                return answer.status == 200
        return False

    spec = ChildSpec(
        name="scratch",
        argv=[sys.executable, "-m", "llama_service", "up"],
        env={**base_environment(PYTHONPATH=str(package_root())), **chosen, **own},
        log_dir=settings.data_dir / "logs",
        is_ready=is_ready,
        ready_timeout=_START_SECONDS,
        stop_timeout=60,
        death_signal=signal.SIGTERM,
        cwd=settings.data_dir,  # where no .env lies
    )
    child = Child(spec)
    try:
        await child.start()
    except ChildFailed as failed:
        raise BackupUnusable(f"the instance made of it does not start: {failed}\n{tail(spec.log_path)}") from None
    try:
        yield url
    finally:
        await child.stop()


async def _search(http: aiohttp.ClientSession, questions: Sequence[_Question], say: Say) -> int:
    """Return how many questions find one of their files.

    The vector index is built anew behind the start: what was not found is sought again as long as that goes on.
    """
    time = asyncio.get_running_loop().time
    missing, seen, grown_at = list(questions), -1, time()
    while True:
        indexed, vectors = await _index_counts(http)
        missing = [question for question in missing if not await _finds(http, question)]
        say("questions", len(questions) - len(missing), len(questions))
        if indexed > seen:
            seen, grown_at = indexed, time()
        if not missing or indexed >= vectors or time() > grown_at + _INDEX_SECONDS:
            return len(questions) - len(missing)
        await asyncio.sleep(1)


async def _index_counts(http: aiohttp.ClientSession) -> tuple[int, int]:
    """Return how many vectors the index holds, and how many there are."""
    async with http.get("/ready") as answer:
        vectors = (await answer.json())["checks"]["vectors"]
    return (vectors["indexed"] or 0, vectors["vectors"]) if vectors["ok"] else (0, 1)


async def _finds(http: aiohttp.ClientSession, question: _Question) -> bool:
    probe = question.probe
    asked = {"query": probe.question, "conversation_id": str(probe.conversation_id) if probe.conversation_id else None}
    async with http.post("/api/v1/search", json=asked, headers=question.headers) as answer:
        told: dict[str, Any] = await answer.json()
        if answer.status != 200:
            raise BackupUnusable(f"a search failed: {_code_of(told)}")
    wanted = set(map(str, probe.file_ids))
    return any(passage["file_id"] in wanted for passage in told["passages"])


async def _chat(http: aiohttp.ClientSession, question: _Question) -> tuple[bool, str]:
    """Ask a question once more, in a new chat; return whether it was answered, and by which model or why not."""
    body = {"message": question.probe.question, "tools": []}
    time = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with http.post("/api/v1/chat", json=body, headers=question.headers, timeout=time) as answer:
            told: dict[str, Any] = await answer.json()
    except TimeoutError:
        return False, f"no answer within {_ANSWER_SECONDS:g} s"
    except aiohttp.ClientError as lost:
        raise BackupUnusable(f"the instance made of it went away while it was asked: {type(lost).__name__}") from None
    if answer.status != 200:
        return False, _code_of(told)
    return True, f"{told['model_source']}/{told['model_name']}"


def _code_of(told: dict[str, Any]) -> str:
    return str(told.get("error", {}).get("code", told))
