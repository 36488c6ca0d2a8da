"""Ollama. Wire: https://github.com/ollama/ollama/blob/main/docs/api.md"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import orjson
import structlog
from langchain_core.embeddings import Embeddings
from langchain_core.messages import BaseMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings
from pydantic import ConfigDict, Field, PrivateAttr

from chains.faults import complaint
from chains.providers.base import Provider
from chains.providers.events import JsonDecoder
from chains.providers.lean import LeanModel
from chains.providers.reading import LineReader
from chains.providers.stream import ended, read_deltas
from chains.providers.thinking import parts_of, reasoning_of
from chains.providers.vectors import vectors_of
from chains.providers.wire import Call, Refused, Wire, borrowed
from chains.types import Capabilities, Delta, End, ModelInfo, ToolCall, Usage
from llama_service.errors import AppError, ProviderBadAnswer
from llama_service.settings import ProviderName, Settings

log = structlog.get_logger(__name__)

CONTEXT_TOKENS = 8192
"""Asked for with each chat: Ollama's own default is smaller and cuts the prompt's head without a word, and another
value from one turn to the next makes it load the model again."""

_EMBED_BATCH = 64

_REFUSALS = {"tools": "does not support tools", "think": "does not support thinking"}


class OllamaParser:
    """Parser of one answer in lines of JSON; the last has `done`."""

    __slots__ = ("_calls", "_decoder", "_events", "_model", "_reason", "_usage", "done", "is_busy", "reasoning")

    def __init__(self) -> None:
        self.done = False
        self.is_busy = False
        self.reasoning: list[str] = []
        self._decoder = JsonDecoder()
        self._events = 0
        self._reason: str | None = None
        self._model: str | None = None
        self._usage: Usage | None = None
        self._calls: list[ToolCall] = []

    @property
    def complete(self) -> bool:
        """Whether a reason for the end was given."""
        return self._reason is not None

    @property
    def is_ragged(self) -> bool:
        """Whether halves of surrogate pairs came."""
        return self._decoder.is_ragged

    def rest(self) -> str:
        """Return nothing: each line is complete."""
        return ""

    def feed(self, line: bytes) -> str:
        """Take a line of the stream, return the text it brings."""
        if not line or self.done:
            return ""
        event = self._decoder.decode(line)
        if event is None:
            raise ProviderBadAnswer
        self._events += 1
        try:
            return self._read(event)
        except (LookupError, TypeError, AttributeError, ValueError) as error:
            raise ProviderBadAnswer from error

    def _read(self, event: dict[str, Any]) -> str:
        message = event.get("message") or {}
        if event.get("done"):
            self.done = True
            self._reason = str(event.get("done_reason") or "stop")
            self._model = event.get("model")
            given, made = event.get("prompt_eval_count"), event.get("eval_count")
            if given is not None and made is not None:
                self._usage = Usage(int(given), int(made), int(given) + int(made))
        if calls := message.get("tool_calls"):
            self.is_busy = True
            for call in calls:
                function = call["function"]
                arguments = orjson.dumps(function.get("arguments") or {}).decode()
                number = len(self._calls) + 1
                self._calls.append(ToolCall(f"call_{number}", str(function["name"]), arguments))
        if reasoning := reasoning_of(message):
            self.reasoning.append(reasoning)
        reasoning, text = parts_of(message.get("content") or "")
        if reasoning:
            self.reasoning.append(reasoning)
        return text

    def end(self) -> End:
        """Tell how the answer ended."""
        reason = ended(self._reason, events=self._events)
        return End(reason, self._usage, self._model, tuple(self._calls))


class LeanChatOllama(LeanModel, ChatOllama):
    """LangChain's ChatOllama, its stream read by our own pooled session."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model_provider: ClassVar[str] = "ollama"
    wire: Wire | None = Field(default=None, exclude=True, repr=False)
    _dropped: set[str] = PrivateAttr(default_factory=set)

    def _outside_loop(self) -> Self:
        return self.model_copy(update={"wire": None})

    def _deltas(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> AsyncGenerator[Delta, None]:
        request_id = given.pop("request_id", "")
        effort, choice = given.pop("reasoning_effort", None), given.pop("tool_choice", None)
        if choice == "none":  # the wire knows no choice
            given.pop("tools", None)
        temperature, limit = given.pop("temperature", self.temperature), given.pop("max_tokens", self.num_predict)
        params = self._chat_params(list(messages), stop, **{**given, "stream": True})
        options = {**params["options"], "temperature": temperature, "num_predict": limit}
        params["options"] = {name: value for name, value in options.items() if value is not None}
        if effort is not None:
            # A level for gpt-oss, which knows nothing else; yes or no for the others.
            params["think"] = effort if "gpt-oss" in self.model and effort != "none" else effort != "none"
        return read_deltas(self._open(params, request_id), OllamaParser())

    @asynccontextmanager
    async def _open(self, params: dict[str, Any], request_id: str) -> AsyncIterator[LineReader]:
        """Open the stream; tools and thinking are left out, from then on, for a model that is told to have none."""
        async with borrowed(self.wire) as wire:
            call = partial(self._request, params, request_id)
            async with wire.stream_learning(call, partial(self._learn, params)) as lines:
                yield lines

    def _request(self, params: dict[str, Any], request_id: str) -> Call:
        payload = {name: value for name, value in params.items() if value is not None and name not in self._dropped}
        headers = {"X-Request-ID": request_id} if request_id else {}
        return Call(f"{self.base_url}/api/chat", payload, headers)

    def _learn(self, params: dict[str, Any], refusal: Refused) -> bool:
        """Note what the model does not have; False where the refusal is about something else, or about it again."""
        told = complaint(refusal.body) if refusal.status == 400 else ""
        refused = {name for name, words in _REFUSALS.items() if params.get(name) is not None and words in told}
        refused -= self._dropped
        self._dropped |= refused
        return bool(refused)


class LeanOllamaEmbeddings(OllamaEmbeddings):
    """LangChain's OllamaEmbeddings; the asynchronous calls go over `wire`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    wire: Wire | None = Field(default=None, exclude=True, repr=False)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return a vector for each text, in order. Raises an AppError."""
        vectors: list[list[float]] = []
        async with borrowed(self.wire) as wire:
            for begin in range(0, len(texts), _EMBED_BATCH):
                part = texts[begin : begin + _EMBED_BATCH]
                answer = await _json(wire, Call(f"{self.base_url}/api/embed", {"model": self.model, "input": part}))
                vectors += vectors_of(answer.get("embeddings"), count=len(part))
        return vectors

    async def aembed_query(self, text: str) -> list[float]:
        """Return the vector of a text. Raises an AppError."""
        return (await self.aembed_documents([text]))[0]


async def _json(wire: Wire, call: Call, *, within: float | None = None) -> dict[str, Any]:
    try:
        answer = await wire.json(call, within=within)
    except Refused as refusal:
        raise refusal.error from None
    if not isinstance(answer, dict):
        raise ProviderBadAnswer
    return answer


class OllamaProvider(Provider):
    """The Ollama server at `EMBEDDINGS_BASEURL`."""

    name: ProviderName = "ollama"
    assumed_window = CONTEXT_TOKENS
    continues_prefix = True

    def __init__(self, settings: Settings, wire: Wire) -> None:
        super().__init__(settings, wire)
        self._blind: set[str] = set()
        self._shown: dict[tuple[str, Any], dict[str, Any]] = {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    @property
    def url(self) -> str | None:
        """Ollama's address."""
        return self.settings.embeddings_baseurl

    @property
    def default_model(self) -> str | None:
        """`OLLAMA_CHAT_MODEL`."""
        return self.settings.ollama_chat_model

    @property
    def embeddings_model(self) -> str | None:
        """`OLLAMA_EMBED_MODEL`."""
        return self.settings.ollama_embed_model

    def missing(self) -> str | None:
        """Nothing: the address has a default."""
        return None if self.url else "EMBEDDINGS_BASEURL is not set"

    def chat_model(self, name: str) -> LeanChatOllama:
        """Return the model of this name."""
        return LeanChatOllama(
            model=name,
            base_url=self.url,
            num_ctx=CONTEXT_TOKENS,
            wire=self.wire,
            client_kwargs={"verify": self._tls},  # or each model loads the certificates anew: 50 ms
        )

    def embeddings(self) -> Embeddings:
        """Return embeddings of `OLLAMA_EMBED_MODEL`."""
        return LeanOllamaEmbeddings(model=self.embeddings_model or "", base_url=self.url, wire=self.wire)

    async def list_models(self) -> list[ModelInfo]:
        """Ask for the pulled models; those that only embed are left out."""
        call = Call(f"{self.url}/api/tags", method="GET")
        rows = (await _json(self.wire, call, within=self.settings.provider_probe_timeout)).get("models")
        if not isinstance(rows, list):
            raise ProviderBadAnswer
        chatting = [row for row in rows if isinstance(row, dict) and _chats(row)]
        shown = await asyncio.gather(*(self._show(row) for row in chatting))
        kept = [{**row, **told} for row, told in zip(chatting, shown, strict=True) if _chats({**row, **told})]
        infos = [self._info(row, row) for row in kept]
        self._windows.update({info.name: info.context_window for info in infos if info.context_window})
        told = {info.name for info, row in zip(infos, kept, strict=True) if row.get("capabilities")}
        self._blind = {info.name for info in infos if info.name in told and not info.capabilities.vision}
        self._without_tools = {info.name for info in infos if info.name in told and not info.capabilities.tools}
        return sorted(infos, key=lambda info: (not info.default, info.name))

    def sees(self, model: str) -> bool:
        """Unless the server told that the model does not."""
        return model not in self._blind

    async def probe(self) -> None:
        """Ask for the version, which costs the server nothing."""
        call = Call(f"{self.url}/api/version", method="GET")
        await _json(self.wire, call, within=self.settings.provider_probe_timeout)

    async def _show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a model can do; kept for as long as the model is the same. Old servers don't tell."""
        key = (str(row["name"]), row.get("digest"))
        if key not in self._shown:
            call = Call(f"{self.url}/api/show", {"model": key[0]})
            try:
                self._shown[key] = await _json(self.wire, call, within=self.settings.provider_probe_timeout / 2)
            except AppError as error:
                log.info("ollama_model_not_shown", model=key[0], code=error.code)
                return {}
        return self._shown[key]

    def _info(self, row: Mapping[str, Any], shown: Mapping[str, Any]) -> ModelInfo:
        details = row.get("details") or {}
        told = shown.get("capabilities") or row.get("capabilities") or ()
        trained = next(
            (value for key, value in (shown.get("model_info") or {}).items() if key.endswith(".context_length")), None
        )
        families = details.get("families") or ()
        name = str(row["name"])
        return ModelInfo(
            name=name,
            size=row.get("size"),
            quantization=details.get("quantization_level") or None,
            context_window=min(CONTEXT_TOKENS, trained) if isinstance(trained, int) else CONTEXT_TOKENS,
            capabilities=Capabilities(
                tools="tools" in told, vision="vision" in told or "clip" in families or "mllama" in families
            ),
            default=name == self.default_model,
        )


def _chats(row: Mapping[str, Any]) -> bool:
    families = (row.get("details") or {}).get("families") or ()
    told = row.get("capabilities")
    if told:
        return "completion" in told
    return bool(row.get("name")) and not any("bert" in family for family in families) and "embed" not in row["name"]
