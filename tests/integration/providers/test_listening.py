"""Who listens to model calls hears them: callbacks, tracers, and LangGraph's own `messages` mode."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import LLMResult
from langgraph.checkpoint.memory import InMemorySaver

from graphs.chat import build
from graphs.context import ChatContext
from graphs.state import turn_input
from tests.providers import OpenAIServer

CONFIG: Any = {"configurable": {"thread_id": "1"}}


@pytest.fixture(scope="module")
async def openai() -> AsyncIterator[OpenAIServer]:
    """One server for all: a process keeps the models that it has made."""
    async with OpenAIServer() as running:
        yield running


@pytest.fixture
def graph(openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The chat as `langgraph dev` loads it: without services of an application around it."""
    environment = {
        "JWT_SECRET_KEY": "l" * 40,
        "DEFAULT_MODEL_SOURCE": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.url,
        "DATABASE_URL": "",
        "CHROMA_URL": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    openai.script(tokens=["One ", "two ", "three."], delay=0.06)
    return build(InMemorySaver())


class Listener(AsyncCallbackHandler):
    """Writes down what it hears of chat models."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heard: list[str] = []
        self.ends: list[Any] = []

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        self.asked.append(str(messages[0][-1].content))

    async def on_llm_new_token(self, token: str | list[str | dict[str, Any]], **kwargs: Any) -> None:
        self.heard.append(str(token))

    async def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        message = response.generations[0][0].message  # type: ignore[union-attr]
        self.ends.append(message)


async def test_callbacks_hear_question_tokens_and_usage(graph: Any) -> None:
    listener = Listener()
    config = {**CONFIG, "callbacks": [listener]}
    state = await graph.ainvoke(turn_input(HumanMessage("Count.")), config, context=ChatContext())
    assert state["messages"][-1].content == "One two three."
    assert listener.asked == ["Count."]
    assert [token for token in listener.heard if token] == ["One ", "two ", "three."]
    (end,) = listener.ends
    assert end.content == "One two three."
    assert end.response_metadata["finish_reason"] == "stop"
    assert end.usage_metadata["output_tokens"] == 3


async def test_messages_mode_streams_the_answer_once(graph: Any) -> None:
    pieces: list[AIMessageChunk] = []
    given = turn_input(HumanMessage("Count."))
    async for message, told in graph.astream(given, CONFIG, context=ChatContext(), stream_mode="messages"):
        assert told["langgraph_node"] == "generate"
        pieces.append(message)
    assert [piece.content for piece in pieces if piece.content] == ["One ", "two ", "three."]
    kept = (await graph.aget_state(CONFIG)).values["messages"][-1]
    assert {piece.id for piece in pieces} == {kept.id}


async def test_without_a_listener_the_answer_is_the_same(graph: Any) -> None:
    pieces = [
        part
        async for part in graph.astream(
            turn_input(HumanMessage("Count.")), CONFIG, context=ChatContext(), stream_mode="custom"
        )
    ]
    assert "".join(pieces) == "One two three."
