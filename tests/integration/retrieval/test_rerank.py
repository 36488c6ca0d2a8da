"""A server that reads question and passages together orders the best of them; without it the search goes on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from llama_service.settings import Settings
from tests.support import Person, serving

QUESTION = "Which tree is meant?"
TREES = ["oak", "elm", "fir", "ash", "yew", "beech"]


class RerankServer:
    """Speaks the wires of servers that rerank; likes passages about the yew best."""

    def __init__(self) -> None:
        self.wire = "cohere"
        self.fault: Callable[[], Awaitable[web.Response]] | None = None
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append((dict(request.headers), body))
        if self.fault is not None:
            return await self.fault()
        if self.wire == "tei":
            if "texts" not in body:
                return web.json_response({"error": "missing field `texts`", "error_type": "Validation"}, status=422)
            return web.json_response(
                [{"index": n, "score": float("yew" in text)} for n, text in enumerate(body["texts"])]
            )
        rows = [
            {"index": n, "relevance_score": 0.9 if "yew" in text else 0.1 - n / 1000}
            for n, text in enumerate(body["documents"])
        ]
        return web.json_response({"id": "1", "results": sorted(rows, key=lambda row: -row["relevance_score"])})


@pytest.fixture
async def reranker() -> AsyncIterator[RerankServer]:
    made = RerankServer()
    app = web.Application()
    app.router.add_post("/v1/rerank", made.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield made
    await runner.cleanup()


@pytest.fixture
async def asker(settings: Settings, reranker: RerankServer) -> AsyncIterator[Person]:
    own = {"rerank_url": reranker.url, "rerank_model": "reads-well", "rerank_api_key": SecretStr("rerank-secret")}
    async with serving(settings.model_copy(update=own)) as server:
        person = await Person.join(server.url)
        for tree in TREES:
            await person.indexed(f"{tree}.txt", f"This tree is the {tree}, of which the village is proud.".encode())
        yield person
        await person.close()


async def first(person: Person) -> str:
    found = await person.http.post("/search", json={"query": QUESTION, "k": 3})
    passages = found.json()["passages"]
    assert [p["score"] for p in passages] == sorted((p["score"] for p in passages), reverse=True)
    assert len(passages) == 3
    return str(passages[0]["file_name"])


async def test_the_best_passages_are_ordered_anew(asker: Person, reranker: RerankServer) -> None:
    assert await first(asker) == "yew.txt"
    headers, body = reranker.requests[-1]
    assert headers["Authorization"] == "Bearer rerank-secret"
    assert (body["model"], body["query"], len(body["documents"])) == ("reads-well", QUESTION, len(TREES))
    answer = await asker.ask(QUESTION)
    assert answer["sources"][0]["file_name"] == "yew.txt"
    trace = await asker.get(f"/messages/{answer['message_id']}/trace")
    step = next(node["output"] for node in trace["nodes"] if node["node"] == "retrieve")
    assert step["ms"]["rerank"] > 0
    assert step["candidates"][0]["file_name"] == "yew.txt"


async def test_a_server_of_teis_wire_is_asked_in_its_own(asker: Person, reranker: RerankServer) -> None:
    reranker.wire = "tei"
    assert await first(asker) == "yew.txt"
    assert await first(asker) == "yew.txt"
    assert [sorted(body) for _, body in reranker.requests] == [
        ["documents", "model", "query", "top_n"],
        ["query", "texts", "truncate"],
        ["query", "texts", "truncate"],
    ], "learned once"


async def broken() -> web.Response:
    return web.json_response({"error": "no"}, status=500)


async def incomplete() -> web.Response:
    return web.json_response({"results": [{"index": 4, "relevance_score": 0.9}]})


async def nonsense() -> web.Response:
    return web.Response(text="<html>hello</html>", content_type="text/html")


async def hanging() -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize("fault", [broken, incomplete, nonsense, hanging], ids=lambda fault: fault.__name__)
async def test_without_an_answer_the_search_goes_on(
    fault: Callable[[], Awaitable[web.Response]], asker: Person, reranker: RerankServer
) -> None:
    reranker.fault = fault
    await first(asker)
    asked = len(reranker.requests)
    answer = await asker.ask(QUESTION)
    assert answer["sources"]
    assert len(reranker.requests) == asked, "it is left alone for a while"
