"""`POST /v1/responses`: OpenAI's newer shape of a chat, over the same answers.

https://platform.openai.com/docs/api-reference/responses
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from api.deps import State
from api.errors import request_id_of
from api.openai.answers import Answer
from api.openai.asker import Asker, AskerRoute
from api.openai.errors import PREFIX, error_body
from api.openai.routes import answer_to
from api.openai.schemas import ChatCompletionRequest, Message, Metadata, Strict, refuse_others
from api.schemas.common import Body
from api.streaming import EventStream
from chains.types import ReasoningEffort
from llama_service.errors import AppError
from llama_service.ids import new_id

router = APIRouter(prefix=PREFIX, include_in_schema=False, route_class=AskerRoute)
log = structlog.get_logger(__name__)

# What changes nothing at these values; at any other, it would be swallowed.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (True, False),
    "text": ({"format": {"type": "text"}}, {}),
    "top_p": (1,),
    "truncation": ("disabled",),
    "background": (False,),
    "include": ([],),
    "service_tier": ("auto", "default"),
}


class _Part(Strict):
    """A piece of a message; annotations and the like of an answer that is handed back say nothing new."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["input_text", "output_text", "text", "input_image"]
    text: str = ""
    image_url: str | None = None

    def as_chat(self) -> dict[str, Any]:
        """Return the part as chat completions know it."""
        if self.type == "input_image":
            return {"type": "image_url", "image_url": {"url": self.image_url or ""}}
        return {"type": "text", "text": self.text}


class _Item(BaseModel):
    """A message of the input."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[_Part]

    def as_chat(self) -> dict[str, Any]:
        """Return the message as chat completions know it."""
        if isinstance(self.content, str):
            return {"role": self.role, "content": self.content}
        return {"role": self.role, "content": [part.as_chat() for part in self.content]}


class _ReasoningOptions(Strict):
    """How much the model is to think."""

    effort: ReasoningEffort | None = None
    summary: Literal["auto"] | None = None


class ResponseRequest(Body):
    """`POST /v1/responses`. Other than at OpenAI nothing is kept unless `store` says so."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=220)
    input: Annotated[str, Field(min_length=1)] | Annotated[list[_Item], Field(min_length=1, max_length=2000)]
    instructions: str | None = None
    stream: bool = False
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1)
    reasoning: _ReasoningOptions | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    file_ids: list[UUID] | None = Field(default=None, max_length=200)
    library_ids: list[UUID] | None = Field(default=None, max_length=100)
    use_rag: bool | None = None
    _chat: ChatCompletionRequest = PrivateAttr()

    @property
    def chat(self) -> ChatCompletionRequest:
        """The request as chat completions know it."""
        return self._chat

    @model_validator(mode="after")
    def _nothing_is_swallowed(self) -> "ResponseRequest":
        refuse_others(self, _NEUTRAL)
        self._chat = self._as_chat()
        return self

    def _as_chat(self) -> ChatCompletionRequest:
        items = [_Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        messages = [item.as_chat() for item in items]
        if self.instructions:
            messages.insert(0, {"role": "system", "content": self.instructions})
        return ChatCompletionRequest(
            model=self.model,
            messages=[Message.model_validate(message) for message in messages],
            stream=self.stream,
            temperature=self.temperature,
            max_completion_tokens=self.max_output_tokens,
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
            store=self.store,
            metadata=self.metadata,
            file_ids=self.file_ids,
            library_ids=self.library_ids,
            use_rag=self.use_rag,
        )


@router.post("/responses", response_model=None)
async def create_response(
    body: ResponseRequest, request: Request, asker: Asker, state: State
) -> dict[str, Any] | EventStream:
    """Answer, whole or as events; see `chat_completions`, which does the same in the older shape."""
    answer = await answer_to(body.chat, asker, request_id_of(request), state)
    told = _Response(body, answer)
    if body.stream:
        return EventStream(told.events())
    async with aclosing(answer.deltas()) as deltas:
        async for delta in deltas:
            told.take(delta)
    return await told.completed()


class _Response:
    """A response as it grows, and its events."""

    def __init__(self, body: ResponseRequest, answer: Answer) -> None:
        self._body = body
        self._answer = answer
        self._id, self._item = f"resp_{new_id().hex}", f"msg_{new_id().hex}"
        self._created = int(time.time())
        self._text: list[str] = []
        self._number = -1

    def take(self, delta: dict[str, Any]) -> str:
        """Take a piece of the answer in; return its text."""
        text = str(delta.get("content", ""))
        self._text.append(text)
        return text

    async def completed(self) -> dict[str, Any]:
        """Return the whole response."""
        limit = self._answer.finish_reason == "length"
        details = {"incomplete_details": {"reason": "max_output_tokens"}} if limit else {}
        output = [await self._message("incomplete" if limit else "completed")]
        return self._shape("incomplete" if limit else "completed", output=output, usage=self._usage(), **details)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the response's events as they come."""
        yield self._event("response.created", response=self._shape("in_progress"))
        yield self._event("response.in_progress", response=self._shape("in_progress"))
        empty = {"type": "message", "id": self._item, "role": "assistant", "status": "in_progress", "content": []}
        yield self._event("response.output_item.added", output_index=0, item=empty)
        place = {"item_id": self._item, "output_index": 0, "content_index": 0}
        bare = {"type": "output_text", "text": "", "annotations": []}
        yield self._event("response.content_part.added", **place, part=bare)
        try:
            async with aclosing(self._answer.deltas()) as deltas:
                async for delta in deltas:
                    if text := self.take(delta):
                        yield self._event("response.output_text.delta", **place, delta=text, logprobs=[])
        except AppError as error:
            log.warning("response_broke_off", code=error.code)
            told = error_body(error)["error"]
            failure = {"code": told["code"], "message": told["message"]}
            yield self._event("response.failed", response=self._shape("failed", error=failure))
            return
        whole = await self.completed()
        (message,) = whole["output"]
        (part,) = message["content"]
        for index, annotation in enumerate(part["annotations"]):
            name = "response.output_text.annotation.added"
            yield self._event(name, **place, annotation_index=index, annotation=annotation)
        yield self._event("response.output_text.done", **place, text=part["text"], logprobs=[])
        yield self._event("response.content_part.done", **place, part=part)
        yield self._event("response.output_item.done", output_index=0, item=message)
        yield self._event(f"response.{whole['status']}", response=whole)

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        data = orjson.dumps({"type": kind, "sequence_number": self._number, **fields})
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    async def _message(self, status: str) -> dict[str, Any]:
        cited = [
            {"type": "file_citation", **annotation["file_citation"]} for annotation in await self._answer.annotations()
        ]
        part = {"type": "output_text", "text": "".join(self._text), "annotations": cited}
        return {"type": "message", "id": self._item, "role": "assistant", "status": status, "content": [part]}

    def _shape(self, status: str, **more: Any) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "model": self._answer.model,
            "instructions": self._body.instructions,
            "temperature": self._body.temperature,
            "max_output_tokens": self._body.max_output_tokens,
            "store": bool(self._answer.metadata),
            "metadata": self._answer.metadata,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "incomplete_details": None,
            "output": [],
            "usage": None,
            **more,
        }

    def _usage(self) -> dict[str, Any]:
        read, written, both = self._answer.tokens
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": both,
        }
