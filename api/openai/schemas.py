"""Requests of OpenAI's wire, as far as they are understood here. https://platform.openai.com/docs/api-reference"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from api.schemas.common import Body, clean
from chains.types import ReasoningEffort
from llama_service.errors import ValidationFailed

# What changes nothing at these values; at any other, it would be swallowed.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "response_format": ({"type": "text"},),
    "parallel_tool_calls": (True,),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
}
# They say who asks, or help a cache: nothing is to be done with them.
_NOTED = frozenset({"user", "safety_identifier", "prompt_cache_key"})


OneOrMore = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""Texts; one may stand alone."""


def refused(name: str, why: str) -> ValidationFailed:
    """Return the error for a parameter that is not done here."""
    detail = {"loc": ["body", name], "msg": why, "type": "unsupported_parameter"}
    return ValidationFailed("This is not done here.", details=[detail])


def refuse_others(request: BaseModel, neutral: Mapping[str, Sequence[Any]]) -> None:
    """Refuse what a request names beside its fields, but for values at which it changes nothing."""
    for name, value in (request.model_extra or {}).items():
        if value is not None and name not in _NOTED and value not in neutral.get(name, ()):
            raise refused(name, f"only {neutral[name][0]!r} is" if name in neutral else "is not known")


class Strict(BaseModel):
    """A part of a request; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class TextPart(Strict):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """A picture as a data URL: this server opens no addresses for its clients."""

    url: str = Field(pattern=r"^data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/=]+$", max_length=12_000_000)
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Strict):
    """A picture in a question."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class FunctionCall(Strict):
    """What a model has called; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"


def arguments_of(text: str) -> dict[str, Any]:
    """Return the arguments of a call from their text. Raises ValueError for one that is no JSON object."""
    try:
        arguments = json.loads(text or "{}")
    except RecursionError:
        raise ValueError("arguments are nested too deeply") from None
    if not isinstance(arguments, dict):
        raise ValueError("arguments are a JSON object")
    cleaned: dict[str, Any] = clean(arguments)
    return cleaned


class Call(Strict):
    """A call of a tool."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall

    @field_validator("function")
    @classmethod
    def _is_json(cls, function: FunctionCall) -> FunctionCall:
        arguments_of(function.arguments)
        return function


class Message(BaseModel):
    """A message of a conversation; a refusal, a name and the like may stand beside it."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = Field(default=None, max_length=128)
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The text, its parts put together."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content if isinstance(part, TextPart))
        return self.content or ""

    @property
    def shows_pictures(self) -> bool:
        """Whether there are pictures among the parts."""
        return isinstance(self.content, list) and any(isinstance(part, ImagePart) for part in self.content)

    @model_validator(mode="after")
    def _pictures_in_questions(self) -> "Message":
        if self.role != "user" and self.shows_pictures:
            raise ValueError("only a question shows pictures")
        return self

    def as_langchain(self) -> BaseMessage:
        """Return LangChain's message."""
        if self.role in ("system", "developer"):
            return SystemMessage(self.text)
        if self.role == "user" and isinstance(self.content, list) and self.shows_pictures:
            return HumanMessage([part.model_dump() for part in self.content])
        if self.role == "user":
            return HumanMessage(self.text)
        if self.role == "tool":
            return ToolMessage(self.text, tool_call_id=self.tool_call_id or "")
        calls = [
            ToolCall(name=call.function.name, args=arguments_of(call.function.arguments), id=call.id)
            for call in self.tool_calls or ()
        ]
        return AIMessage(self.text, tool_calls=calls)


class StreamOptions(Strict):
    """Whether the tokens are told at the end of a stream."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Tool(BaseModel):
    """A function that the model may call; it is run by who asks."""

    type: Literal["function"]
    function: dict[str, Any]


class Metadata(Strict):
    """What a request says of itself."""

    conversation_id: UUID | None = None


class ChatCompletionRequest(Body):
    """`POST /v1/chat/completions`."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=220)
    messages: list[Message] = Field(min_length=1, max_length=2000)
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: OneOrMore | None = Field(default=None, max_length=16)
    tools: list[Tool] | None = Field(default=None, max_length=128)
    tool_choice: Literal["auto", "none"] | None = None
    reasoning_effort: ReasoningEffort | None = None
    # Not OpenAI's (`extra_body` of its clients): answer from these files and libraries, or from all of one's own.
    file_ids: list[UUID] | None = Field(default=None, max_length=200)
    library_ids: list[UUID] | None = Field(default=None, max_length=100)
    use_rag: bool | None = None
    # Either makes it a turn that is kept; of the metadata only `conversation_id` is understood.
    store: bool | None = None
    metadata: Metadata | None = None

    @property
    def conversation_id(self) -> UUID | None:
        """The conversation that the question belongs to."""
        return self.metadata.conversation_id if self.metadata else None

    @property
    def is_kept(self) -> bool:
        """Whether question and answer are kept."""
        return bool(self.store) or self.conversation_id is not None

    @property
    def wants_sources(self) -> bool:
        """Whether files are to be searched: where some are named, or it is asked for."""
        return self.names_files if self.use_rag is None else self.use_rag

    @property
    def names_files(self) -> bool:
        """Whether files or libraries are named that are to be searched alone."""
        return bool(self.file_ids or self.library_ids)

    @field_validator("messages")
    @classmethod
    def _has_a_question(cls, messages: list[Message]) -> list[Message]:
        if all(message.role in ("system", "developer") for message in messages):
            raise ValueError("there is no question among them")
        return messages

    @model_validator(mode="after")
    def _nothing_is_swallowed(self) -> "ChatCompletionRequest":
        refuse_others(self, _NEUTRAL)
        return self


class EmbeddingRequest(Body):
    """`POST /v1/embeddings`. Tokens in place of texts are not taken: they are another model's."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(min_length=1, max_length=220)
    input: OneOrMore = Field(min_length=1, max_length=2048)
    encoding_format: Literal["float", "base64"] = "float"
    user: str | None = None
