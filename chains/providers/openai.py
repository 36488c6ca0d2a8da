"""OpenAI, and every server that speaks its wire: vLLM, llama.cpp, LM Studio, LiteLLM and others.

Wire: https://platform.openai.com/docs/api-reference/chat-streaming
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr

from chains.faults import complaint
from chains.providers.base import Provider
from chains.providers.lean import LeanModel
from chains.providers.openai_embeddings import LeanOpenAIEmbeddings
from chains.providers.openai_models import is_chat_model, known_window, model_info, sees_pictures
from chains.providers.openai_parser import OpenAIParser
from chains.providers.reading import LineReader
from chains.providers.stream import read_deltas
from chains.providers.wire import Call, Refused, Wire, borrowed
from chains.types import Delta, ModelInfo
from llama_service.errors import ProviderBadAnswer
from llama_service.settings import ProviderName

OFFICIAL_URL = "https://api.openai.com/v1"


# vLLM without a parser for tools: `"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser`.
_NOT_TAKEN = re.compile(
    r"unsupported|not support|unknown|unrecognized|unexpected|extra|not (permitted|allowed)|tool choice requires"
)


class LeanChatOpenAI(LeanModel, ChatOpenAI):
    """LangChain's ChatOpenAI, its stream read by our own pooled session.

    Parameters, messages, tools and usage are LangChain's. `legacy_max_tokens` sends `max_tokens`, as most servers
    that are not OpenAI's want it. What a server refuses (usage in the stream, a parameter's name) is remembered for
    the life of the object.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model_provider: ClassVar[str] = "openai"
    wire: Wire | None = Field(default=None, exclude=True, repr=False)
    legacy_max_tokens: bool = False
    _dropped: set[str] = PrivateAttr(default_factory=set)
    _renamed: dict[str, str] = PrivateAttr(default_factory=dict)
    _system_role: str = PrivateAttr(default="system")

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: a model holds the session of its process."""
        return False

    def _outside_loop(self) -> Self:
        return self.model_copy(update={"wire": None})

    def _deltas(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> AsyncGenerator[Delta, None]:
        request_id = given.pop("request_id", "")
        return read_deltas(self._open(self._stream_payload(messages, stop, given), request_id), OpenAIParser())

    # Structured answers are parsed by OpenAI's SDK, through LangChain's own methods.

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        stream = ChatOpenAI._astream if "response_format" in kwargs else LeanModel._astream
        return stream(self, messages, stop, run_manager, **kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if "response_format" in kwargs:
            return await ChatOpenAI._agenerate(self, messages, stop, run_manager, **kwargs)
        return await LeanModel._agenerate(self, messages, stop, run_manager, **kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        stream = ChatOpenAI._stream if "response_format" in kwargs else LeanModel._stream
        yield from stream(self, messages, stop, run_manager, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        generate = ChatOpenAI._generate if "response_format" in kwargs else LeanModel._generate
        return generate(self, messages, stop, run_manager, **kwargs)

    def _stream_payload(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> dict[str, Any]:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        payload: dict[str, Any] = self._get_request_payload(list(messages), stop=stop, **given, **options)
        limit = payload.pop("max_completion_tokens", None)
        if limit is not None:
            payload["max_tokens" if self.legacy_max_tokens else "max_completion_tokens"] = limit
        return payload

    @asynccontextmanager
    async def _open(self, payload: dict[str, Any], request_id: str) -> AsyncIterator[LineReader]:
        """Open the stream; what the server refuses is left out or renamed, and the rest asked again.

        Each thing is learned once, so there are at most as many tries as there are things to learn.
        """
        async with borrowed(self.wire) as wire:
            call = partial(self._call_adapted, payload, request_id)
            async with wire.stream_learning(call, partial(self._learn, payload)) as lines:
                yield lines

    def _call_adapted(self, payload: dict[str, Any], request_id: str) -> Call:
        return self._call(self._adapted(payload), request_id)

    def _call(self, payload: dict[str, Any], request_id: str) -> Call:
        headers = {"X-Request-ID": request_id} if request_id else {}
        if isinstance(self.openai_api_key, SecretStr) and (key := self.openai_api_key.get_secret_value()):
            headers["Authorization"] = f"Bearer {key}"
        return Call(f"{self.openai_api_base or OFFICIAL_URL}/chat/completions", payload, headers)

    def _adapted(self, payload: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in payload.items() if name not in self._dropped}
        adapted = {self._renamed.get(name, name): value for name, value in kept.items()}
        if self._system_role != "system":
            adapted["messages"] = with_system_as(self._system_role, adapted["messages"])
        return adapted

    def _learn(self, payload: dict[str, Any], refusal: Refused) -> bool:
        """Note which parameter the server does not take; False where the refusal is about something else."""
        if refusal.status not in (400, 422):
            return False
        words = complaint(refusal.body)
        if self._system_role != "user" and _ROLE_REFUSED.search(words):
            self._system_role = "developer" if self._system_role == "system" else "user"
            return True
        for name, meant in _OPTIONAL:
            if name in payload and name not in self._dropped and meant in words and _NOT_TAKEN.search(words):
                self._dropped.add(name)
                return True
        for name, other in (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")):
            if name in payload and name not in self._renamed and _names_parameter(words, name):
                self._renamed[name] = other
                return True
        return False


# What a server may do without, and the word by which it refuses it. Dropped with the tools goes the choice among them.
_OPTIONAL = (
    ("stream_options", "stream_options"),
    ("temperature", "temperature"),
    ("reasoning_effort", "reasoning"),
    ("tools", "tool"),
    ("tool_choice", "tool"),
)
_ROLE_REFUSED = re.compile(r"role.{0,80}\b(system|developer)\b|\b(system|developer)\b.{0,20}(role|messages?\b)")


def with_system_as(role: str, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return messages for a model that takes no role `system`: another role's, or at the head of the first question."""
    if role != "user":
        return [{**message, "role": role} if message["role"] == "system" else message for message in messages]
    rules = "\n\n".join(str(message["content"]) for message in messages if message["role"] == "system")
    others = [message for message in messages if message["role"] != "system"]
    first = next((place for place, message in enumerate(others) if message["role"] == "user"), None)
    if first is None or not rules:
        return others
    asked = {**others[first], "content": f"{rules}\n\n{others[first]['content']}"}
    return [*others[:first], asked, *others[first + 1 :]]


def _names_parameter(words: str, name: str) -> bool:
    return name in words and _NOT_TAKEN.search(words) is not None


class OpenAIProvider(Provider):
    """OpenAI's service, or the server at `OPENAI_BASE_URL`."""

    name: ProviderName = "openai"

    @property
    def url(self) -> str | None:
        """The base address, with its version."""
        return self.settings.openai_base_url

    @property
    def default_model(self) -> str | None:
        """`OPENAI_MODEL`."""
        return self.settings.openai_model

    @property
    def embeddings_model(self) -> str | None:
        """`OPENAI_EMBED_MODEL`."""
        return self.settings.openai_embed_model

    @property
    def is_official(self) -> bool:
        """Whether this is OpenAI's own service, whose models and prices are known."""
        return self.url == OFFICIAL_URL

    @property
    def api_key(self) -> SecretStr:
        """The key; empty for a server that wants none."""
        return self.settings.openai_api_key or SecretStr("")

    def missing(self) -> str | None:
        """OpenAI wants a key; a server of one's own may do without."""
        if self.is_official and not self.api_key.get_secret_value():
            return "OPENAI_API_KEY is not set"
        return None

    def chat_model(self, name: str) -> LeanChatOpenAI:
        """Return the model of this name."""
        return LeanChatOpenAI(
            model=name,
            base_url=self.url,
            api_key=self.api_key if self.api_key.get_secret_value() else SecretStr("none"),
            use_responses_api=False,
            stream_usage=True,
            max_retries=0,
            wire=self.wire,
            legacy_max_tokens=not self.is_official,
        )

    def embeddings(self) -> Embeddings:
        """Return embeddings of `OPENAI_EMBED_MODEL`."""
        return self._embeddings(self.url or OFFICIAL_URL)

    def _embeddings(self, url: str) -> Embeddings:
        return LeanOpenAIEmbeddings(
            model=self.embeddings_model or "",
            openai_api_base=url,
            openai_api_key=self.api_key if self.api_key.get_secret_value() else SecretStr("none"),
            check_embedding_ctx_length=False,  # it would download a tokenizer
            max_retries=0,
            chunk_size=64,
            wire=self.wire,
        )

    async def list_models(self) -> list[ModelInfo]:
        """Ask for the models and keep those that chat."""
        answer = await self._ask_models()
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise ProviderBadAnswer
        found = [row for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        infos = [
            model_info(row, default=self.default_model)
            for row in found
            if is_chat_model(row["id"], official=self.is_official)
        ]
        self._windows.update({info.name: info.context_window for info in infos if info.context_window})
        return sorted(infos, key=lambda info: (not info.default, info.name))

    async def _ask_models(self) -> Any:
        headers = {}
        if key := self.api_key.get_secret_value():
            headers["Authorization"] = f"Bearer {key}"
        call = Call(f"{self.url}/models", method="GET", headers=headers)
        try:
            return await self.wire.json(call, within=self.settings.provider_probe_timeout)
        except Refused as refusal:
            raise refusal.error from None

    def sees(self, model: str) -> bool:
        """As the profile of a known model says; of others the server knows best."""
        return sees_pictures(model)

    def context_window(self, model: str) -> int:
        """Return the window that the server told, else the published one."""
        return self._windows.get(model) or known_window(model) or self.assumed_window
