"""The chat as LangServe routes: for RemoteRunnable, and for the playground.

A graph's own `/stream` would give node updates; this is a generator of tokens around the same turn that the REST API
begins, so that it is kept, checked and seen in the page like any other.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID

from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig, RunnableGenerator
from langserve import CustomUserType, add_routes
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.deps import Chatter
from api.errors import request_id_of
from api.schemas.chat import ChatRequest, turn_request
from api.schemas.common import clean_text
from api.state import AppState
from graphs.runs.start import TurnCaller
from llama_service.errors import BadRequest, Interrupted, error_of
from llama_service.settings import ModelSource

PATH = "/langserve/chat"
# The playground reads `stream_log`; of this generator it shows the answer, and no state, for there is none.
_ENDPOINTS: Any = (
    "invoke",
    "stream",
    "stream_log",
    "playground",
    "input_schema",
    "output_schema",
    "config_schema",
)


class LangServeOptions(BaseModel):
    """What may stand beside the messages. With `conversation_id` that conversation goes on."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: UUID | None = None
    model_source: ModelSource | None = None
    model_name: str | None = None
    use_rag: bool = True


class LangServeInput(CustomUserType):
    """Messages of which the last is the question, and the fields of `LangServeOptions`.

    The playground works with inputs that declare one list of messages and nothing else: the options are not declared.
    """

    model_config = ConfigDict(extra="allow")

    messages: list[HumanMessage | AIMessage | SystemMessage] = Field(min_length=1)

    @property
    def options(self) -> LangServeOptions:
        """The options that came along."""
        return LangServeOptions.model_validate(self.model_extra or {})

    @model_validator(mode="after")
    def _known_options(self) -> "LangServeInput":
        LangServeOptions.model_validate(self.model_extra or {})
        return self


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


def _history(given: LangServeInput) -> list[tuple[str, str]]:
    """Return the messages that the client itself holds, where no conversation does."""
    if given.options.conversation_id is not None:
        return []
    roles = {"human": "user", "ai": "assistant", "system": "system"}
    return [(roles[message.type], clean_text(str(message.text))) for message in given.messages[:-1]]


async def _texts(state: AppState, run_id: UUID) -> AsyncIterator[str]:
    """Yield a run's text as it comes; raise the error that it ends with."""
    async for events in state.runs.read(run_id):
        for event in events:
            if event.name == "chunk":
                yield event.data["content"]
            elif event.name == "error":
                raise error_of(event.data["error"]["code"], event.data["error"]["message"])
            elif event.is_last:
                return
    # This server is being stopped; another one goes on with the run.
    raise Interrupted


def install(app: FastAPI) -> None:
    """Add the routes; each asks who is calling, the playground and its assets too."""

    async def speak(
        inputs: AsyncIterator[LangServeInput | dict[str, Any]], config: RunnableConfig
    ) -> AsyncIterator[str]:
        state: AppState = app.state.resources
        identity = config["configurable"]
        async for given in inputs:
            asked = given if isinstance(given, LangServeInput) else LangServeInput.model_validate(given)
            request = ChatRequest(message=_question(asked), **asked.options.model_dump())
            turn = replace(turn_request(request), history=_history(asked))
            run = await state.turns.start_turn(turn, TurnCaller(identity["user_id"]), identity["request_id"])
            async for text in _texts(state, run.run_id):
                yield text

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

    @app.get(
        f"{PATH}/c/{{config_hash}}/{{kind}}_schema", include_in_schema=False, dependencies=[Depends(_note_chatter)]
    )
    async def schema(request: Request, config_hash: str, kind: Literal["input", "output"]) -> RedirectResponse:
        # The playground asks for the schemas of a configuration; there is only one.
        return RedirectResponse(f"{request.scope.get('root_path', '')}{PATH}/{kind}_schema")
