"""The chat as LangServe routes: for RemoteRunnable, and for the playground.

A graph's own `/stream` would give node updates; this is a generator of tokens around the same turn that the REST API
begins, so that it is kept, checked and seen in the page like any other.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from fastapi import Depends, FastAPI, Request
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableGenerator
from langserve import add_routes
from pydantic import BaseModel, ConfigDict, Field

from api import turns
from api.deps import Chatter
from api.errors import request_id_of
from api.schemas.chat import ChatRequest
from api.state import AppState
from llama_service.errors import BadRequest
from llama_service.settings import ModelSource

PATH = "/langserve/chat"
_ENDPOINTS: Any = ("invoke", "stream", "playground", "input_schema", "output_schema", "config_schema")


class LangServeInput(BaseModel):
    """A talk whose last message is the question. With `conversation_id` that conversation goes on instead."""

    model_config = ConfigDict(extra="forbid")

    messages: list[HumanMessage | AIMessage | SystemMessage] = Field(
        min_length=1, json_schema_extra={"widget": {"type": "chat", "input": "messages"}}
    )
    conversation_id: UUID | None = None
    model_source: ModelSource | None = None
    model_name: str | None = None
    use_rag: bool = True


async def _note_chatter(request: Request, user_id: Chatter) -> None:
    request.state.chatter = user_id


async def _server_config(config: dict[str, Any], request: Request) -> dict[str, Any]:
    """Put the server's own values in the place of whatever the client sent, last."""
    return {"configurable": {"user_id": request.state.chatter, "request_id": request_id_of(request)}}


def _question(given: LangServeInput) -> str:
    last = given.messages[-1]
    text = str(last.text)
    if not isinstance(last, HumanMessage) or not text.strip():
        raise BadRequest("The last message has to be a question.")
    return text


def _earlier(given: LangServeInput) -> list[tuple[str, str]]:
    """Return the talk that the client itself holds, where no conversation does."""
    if given.conversation_id is not None:
        return []
    roles = {"human": "user", "ai": "assistant", "system": "system"}
    return [(roles[message.type], str(message.text)) for message in given.messages[:-1]]


def install(app: FastAPI) -> None:
    """Add the routes; each asks who is calling, the playground and its assets too."""

    async def speak(
        inputs: AsyncIterator[LangServeInput | dict[str, Any]], config: RunnableConfig
    ) -> AsyncIterator[str]:
        state: AppState = app.state.resources
        identity = config["configurable"]
        async for given in inputs:
            asked = given if isinstance(given, LangServeInput) else LangServeInput.model_validate(given)
            request = ChatRequest(
                message=_question(asked),
                conversation_id=asked.conversation_id,
                model_source=asked.model_source,
                model_name=asked.model_name,
                use_rag=asked.use_rag,
            )
            services = await turns.begin(
                state, request, identity["user_id"], identity["request_id"], earlier=_earlier(asked)
            )
            async for text in state.runs.texts(services.begun.run_id):
                yield text
            if services.error is not None:
                raise services.error

    generator: Any = RunnableGenerator
    runnable = generator(speak, name="chat").with_types(input_type=LangServeInput, output_type=str)
    add_routes(
        app,
        runnable,
        path=PATH,
        enabled_endpoints=_ENDPOINTS,
        playground_type="chat",
        per_req_config_modifier=_server_config,
        dependencies=[Depends(_note_chatter)],
        config_keys=("configurable",),
    )
