"""Traces as a collector gets them: a request, its run, the graph's nodes, models, tools and statements in one tree."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench.load import Account, clients
from bench.stage import Script, Stage, stage
from llama_service.runtime.process import free_port
from tests.support import eventually

pytestmark = pytest.mark.timeout(180)

QUESTION = "When was the lighthouse of Ristna built?"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Collector:
    """What came in by OTLP."""

    url: str
    spans: list[Span] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """Keep what a service sends."""
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            assert told["service.name"] == "answers"
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response()

    def of(self, trace: str) -> list[Span]:
        """Return the spans of a trace."""
        return [span for span in self.spans if span.trace_id.hex() == trace]


def attributes(span: Span) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector on loopback."""
    port = free_port()
    made = Collector(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A session of connections."""
    async with clients() as session:
        yield session


@pytest.fixture(scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Stores, doubles and room for processes."""
    script = Script(tokens=None, rate=400, rounds=1)
    async with stage(tmp_path_factory.mktemp("traces"), fsync=False, script=script) as made:
        yield made


@asynccontextmanager
async def asked(made: Stage, http: aiohttp.ClientSession, name: str, **environment: str) -> AsyncIterator[str]:
    """Serve, ask once within somebody's trace, stop in order; yield the request's id."""
    api = await made.serve(name, **environment)
    anna = await Account(http, api.url).join()
    await anna.upload("lighthouse.txt", b"The lighthouse of Ristna was built in 1874.")
    headers = {**anna.headers, "traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": f"traced-{name}"}
    body = {"message": QUESTION, "tools": ["calculate"]}
    async with http.post(f"{api.url}/api/v1/chat", json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
    async with http.get(f"{api.url}/api/v1/conversations?q=Ristna", headers=headers) as answer:
        assert answer.status == 200
    await api.child.stop()
    yield f"traced-{name}"


def ancestors(spans: list[Span], span: Span) -> Iterator[Span]:
    by_id = {other.span_id: other for other in spans}
    while (above := by_id.get(span.parent_span_id)) is not None:
        yield above
        span = above


async def test_a_turn_is_one_tree_without_its_text(
    made: Stage, http: aiohttp.ClientSession, collector: Collector
) -> None:
    places = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic%20c2VjcmV0,x-project=one",
        "OTEL_SERVICE_NAME": "answers",
    }
    async with asked(made, http, "traced", **places) as request_id:
        spans = collector.of(TRACE)
    assert {"authorization": "Basic c2VjcmV0", "x-project": "one"}.items() <= collector.headers[0].items()
    by_name = {span.name: span for span in spans}
    request = by_name["POST /api/v1/chat"]
    assert (request.kind, request.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, PARENT)
    assert attributes(request)["llama.request.id"] == request_id

    def path(name: str) -> list[str]:
        return [above.name for above in ancestors(spans, by_name[name])]

    turn = ["invoke_agent chat", "POST /api/v1/chat"]
    for node in ("retrieve", "augment", "generate", "tools", "persist"):
        assert path(node) == turn, node
    models = [span for span in spans if span.name.startswith("chat ")]
    above = [[other.name for other in ancestors(spans, model)] for model in models]
    assert above.count(["generate", *turn]) == 2, (
        above
    )  # one asks for the tool, one answers; a title's is below the run
    assert path("execute_tool calculate") == ["tools", *turn]
    told = attributes(models[-1])
    assert told["gen_ai.operation.name"] == "chat"
    assert (told["gen_ai.usage.input_tokens"] > 0, told["gen_ai.usage.output_tokens"] > 0) == (True, True)
    assert told["gen_ai.response.time_to_first_chunk"] > 0
    run = attributes(by_name["invoke_agent chat"])
    assert (run["llama.run.status"], run["llama.request.id"]) == ("completed", request_id)
    statements = [span for span in spans if "db.statement" in attributes(span) or "db.query.text" in attributes(span)]
    assert any("retrieve" in [above.name for above in ancestors(spans, span)] for span in statements)
    # The file's job is a trace of its own; what the process does by itself is none.
    assert any(span.name.startswith("ingest ") and not span.parent_span_id for span in collector.spans)
    roots = {span.name for span in collector.spans if not span.parent_span_id}
    assert not [name for name in roots if not name.startswith(("ingest ", "GET ", "POST ", "invoke_agent"))], roots
    assert not [name for span in collector.spans for name in attributes(span) if name.startswith("url.")]
    assert not [span.name for span in collector.spans if span.events or span.status.message]
    everything = "".join(map(str, collector.spans))
    assert [word for word in ("Ristna", "lighthouse", made.environment["JWT_SECRET_KEY"]) if word in everything] == []


async def test_texts_are_shown_where_the_operator_wants_them(
    made: Stage, http: aiohttp.ClientSession, collector: Collector
) -> None:
    shown = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/",
        "OTEL_SERVICE_NAME": "answers",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    }
    async with asked(made, http, "shown", **shown):
        models = [attributes(span) for span in collector.of(TRACE) if span.name.startswith("chat ")]
    first = json.loads(models[0]["gen_ai.input.messages"])
    assert first[-1]["role"] == "user"
    assert QUESTION in first[-1]["parts"][0]["content"]
    said = [json.loads(model["gen_ai.output.messages"])[0]["parts"][0]["content"] for model in models]
    assert any(said)


async def test_a_collector_that_is_away_costs_no_answer(made: Stage, http: aiohttp.ClientSession) -> None:
    api = await made.serve("nobody", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    anna = await Account(http, api.url).join()
    answers = await asyncio.gather(*(anna.call("POST", "/chat", {"message": QUESTION}) for _ in range(5)))
    assert all(answer["response"] for answer in answers)

    async def is_up() -> bool:
        async with http.get(f"{api.url}/health") as answer:
            return answer.status == 200

    await eventually(is_up)
