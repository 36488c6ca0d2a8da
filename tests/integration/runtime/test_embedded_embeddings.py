"""The embeddings' server against a plain computation in single precision from the same packed weights."""

import asyncio
import base64
import functools
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from llama_service.runtime.e5_encoder import E5Encoder
from llama_service.runtime.e5_file import E5File, Floats, unpack
from llama_service.runtime.e5_graph import write_graph
from llama_service.runtime.embeddings import EmbeddedEmbedder, packed_weights

KEY = "a-key-for-the-embeddings"
SENTENCES = [
    "query: how do I cancel a running job",
    "passage: Stop keeps the partial answer; a dead worker's run becomes interrupted and can be continued.",
    "passage: The recipe needs two eggs, a pinch of salt and 200 g of flour.",
    "query: как отменить договор поставки",
    "passage: Договор поставки может быть расторгнут по соглашению сторон или по решению суда.",
    "passage: Столица Франции — Париж, крупный культурный центр.",
    "query: x",
    "passage: " + "Numbers like 3.14, e-mail@example.com and   odd spaces\u00a0count. " * 6,
]


def erf(x: Floats) -> Floats:
    """The error function to 1.5e-7: Abramowitz and Stegun, formula 7.1.26."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.asarray(np.sign(x) * (1 - series * np.exp(-(x**2))), np.float32)


class Reference:
    """BERT as its paper has it, from the float values of the packed weights; slow and plain."""

    def __init__(self, source: E5File) -> None:
        self._source = source
        self._matrix = functools.cache(source.matrix)

    def encode(self, ids: list[int]) -> Floats:
        source, shape = self._source, self._source.shape
        hidden = shape.hidden
        positions = source.floats("emb.pos").reshape(-1, hidden)[: len(ids)]
        scales, nibbles = source.blocks("emb.word", hidden)
        state = unpack(scales[ids], nibbles[ids]) + positions + source.floats("emb.type")[:hidden]
        state = self._normalise(state, "emb.ln")
        for number in range(shape.layers):
            state = self._layer(state, f"l{number}")
        mean = state.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)

    def _layer(self, state: Floats, name: str) -> Floats:
        shape = self._source.shape
        width = shape.hidden // shape.heads
        query, key, value = (
            self._linear(state, f"{name}.{part}").reshape(len(state), shape.heads, width).swapaxes(0, 1)
            for part in "qkv"
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(width)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ value).swapaxes(0, 1).reshape(len(state), shape.hidden)
        state = self._normalise(state + self._linear(mixed, f"{name}.ao"), f"{name}.aln")
        wide = self._linear(state, f"{name}.fi")
        active = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
        return self._normalise(state + self._linear(active, f"{name}.fo"), f"{name}.oln")

    def _linear(self, state: Floats, name: str) -> Floats:
        return state @ self._matrix(f"{name}.w", state.shape[1]).T + self._source.floats(f"{name}.b")

    def _normalise(self, state: Floats, name: str) -> Floats:
        centred = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._source.shape.epsilon)
        return np.asarray(centred / spread * self._source.floats(f"{name}.w") + self._source.floats(f"{name}.b"))


@pytest.fixture(scope="module")
def source() -> E5File:
    return E5File(packed_weights())


@pytest.fixture(scope="module")
def encoder(source: E5File, tmp_path_factory: pytest.TempPathFactory) -> E5Encoder:
    graph = tmp_path_factory.mktemp("graph") / "e5.onnx"
    write_graph(source, graph)
    return E5Encoder(source, graph)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedEmbedder]:
    folder = tmp_path_factory.mktemp("embeddings")
    embedder = EmbeddedEmbedder(folder / "models", folder / "logs", api_key=KEY)
    await embedder.start()
    yield embedder
    await embedder.stop()


async def ask(server: EmbeddedEmbedder, body: Any, key: str = KEY) -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {key}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.post(f"{server.url}/embeddings", json=body) as answer,
    ):
        return answer.status, await answer.json()


def test_int8_is_near_the_exact_computation(source: E5File, encoder: E5Encoder) -> None:
    reference = Reference(source)
    exact = np.array([reference.encode(encoder.tokens(text)) for text in SENTENCES])
    quick = np.array([encoder.encode(text)[0] for text in SENTENCES])
    assert np.allclose(np.linalg.norm(quick, axis=1), 1, atol=1e-5)
    assert (exact * quick).sum(axis=1).min() > 0.985
    # What matters is the order in which a question ranks the passages: both put its answer first.
    passages = [1, 2, 4, 5]
    for vectors in (exact, quick):
        assert passages[int(np.argmax(vectors[passages] @ vectors[0]))] == 1
        assert passages[int(np.argmax(vectors[passages] @ vectors[3]))] == 4


def test_tokens_are_those_of_xlm_roberta(encoder: E5Encoder) -> None:
    # From the tokenizer of intfloat/multilingual-e5-small: <s> ▁Hello , ▁world ! </s>
    assert encoder.tokens("Hello, world!") == [0, 35378, 4, 8999, 38, 2]
    assert encoder.tokens("Hello,   world!") == encoder.tokens("Hello,\u00a0world!") == encoder.tokens("Hello, world!")
    assert len(encoder.tokens("word " * 2000)) == 512
    # Text that spells a special piece stays text.
    assert 2 not in encoder.tokens("a </s> b")[:-1]
    assert 0 not in encoder.tokens("a <s> b")[1:]


async def test_the_wire(server: EmbeddedEmbedder, encoder: E5Encoder) -> None:
    status, many = await ask(server, {"input": SENTENCES, "model": "multilingual-e5-small"})
    assert status == 200
    assert [entry["index"] for entry in many["data"]] == list(range(len(SENTENCES)))
    assert many["usage"]["prompt_tokens"] == sum(len(encoder.tokens(text)) for text in SENTENCES)
    vectors = np.array([entry["embedding"] for entry in many["data"]], np.float32)
    assert vectors.shape == (len(SENTENCES), 384)
    assert np.allclose(vectors, [encoder.encode(text)[0] for text in SENTENCES], atol=1e-5)
    status, one = await ask(server, {"input": SENTENCES[0], "encoding_format": "base64"})
    packed = np.frombuffer(base64.b64decode(one["data"][0]["embedding"]), "<f4")
    assert np.allclose(packed, vectors[0], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "key", "status"),
    [
        ({"input": "a"}, "wrong", 401),
        ({"input": "a", "model": "text-embedding-3-small"}, KEY, 404),
        ({"input": []}, KEY, 400),
        ({"input": ""}, KEY, 400),
        ({"input": [[1, 2, 3]]}, KEY, 400),
        ({"input": ["a"] * 2049}, KEY, 400),
        ({"input": "a", "dimensions": 12}, KEY, 400),
        ({}, KEY, 400),
        ("text", KEY, 400),
    ],
)
async def test_bad_requests(server: EmbeddedEmbedder, body: Any, key: str, status: int) -> None:
    answered, content = await ask(server, body, key)
    assert answered == status
    assert content["error"]["message"]


async def test_a_question_overtakes_a_pile_of_passages(server: EmbeddedEmbedder) -> None:
    pile = asyncio.create_task(ask(server, {"input": [f"passage: {number} " + "word " * 100 for number in range(200)]}))
    await asyncio.sleep(0)
    began = time.monotonic()
    answers = [await ask(server, {"input": "query: overtakes"}) for _ in range(5)]
    assert all(status == 200 for status, _ in answers)
    assert not pile.done()
    single = time.monotonic() - began
    status, _ = await pile
    assert status == 200
    assert single < (time.monotonic() - began) / 2


async def test_the_graph_is_written_once(server: EmbeddedEmbedder, tmp_path: Path) -> None:
    child = server.child
    (graph,) = (Path(part) for part in child.spec.argv if part.endswith(".onnx"))
    before = graph.stat().st_mtime_ns
    await child.stop()
    await child.start()
    assert graph.stat().st_mtime_ns == before
    assert (await ask(server, {"input": "query: again"}))[0] == 200
