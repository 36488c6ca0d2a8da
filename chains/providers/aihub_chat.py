"""AI HUB's chat as a chat model of LangChain."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr, SecretStr

from chains.counting import count_tokens
from chains.providers.aihub_access import Access
from chains.providers.aihub_limits import WireMessage, fit
from chains.providers.aihub_token import Account, SignInFailed
from chains.providers.aihub_wire import AIHubParser, whole_answer
from chains.providers.base import LeanModel
from chains.providers.own_loop import iterate_in_own_loop
from chains.providers.stops import StopCutter
from chains.providers.stream import read_deltas, split_whole
from chains.types import Delta, End, ModelParams, Notice, Reasoning, Usage
from llama_service.errors import ProviderAuthFailed

DEFAULT_TEMPERATURE = 0.7
DEFAULT_MAX_TOKENS = 2000


class ChatAIHub(LeanModel):
    """Chat model of an AI HUB.

    `stream_path` may hold `{model}`; where it is empty the answer comes as one chunk. The hub has no stop sequences
    and no tools: the former are kept here, the latter are not offered. Raises AppErrors.
    """

    model: str
    hub_url: str
    token_url: str
    client_id: str
    client_secret: SecretStr
    username: str | None = None
    password: SecretStr | None = None
    verify_tls: bool = True
    stream_path: str = ""
    temperature: float = DEFAULT_TEMPERATURE
    max_tokens: int = DEFAULT_MAX_TOKENS
    stop: list[str] | None = None
    _access: Access | None = PrivateAttr(default=None)

    @classmethod
    def over(cls, access: Access, model: str, *, stream_path: str) -> "ChatAIHub":
        """Return a model that shares the session and the tokens of `access`."""
        account = access.account
        chat = cls(
            model=model,
            hub_url=access.hub_url,
            token_url=account.token_url,
            client_id=account.client_id,
            client_secret=SecretStr(account.client_secret),
            username=account.username,
            password=SecretStr(account.password) if account.password else None,
            verify_tls=account.verify_tls,
            stream_path=stream_path,
        )
        chat._access = access
        return chat

    async def stream_deltas(
        self, messages: Sequence[BaseMessage], params: ModelParams, *, request_id: str = ""
    ) -> AsyncGenerator[Delta, None]:
        """Yield notices of what the limits cut, the answer's text as it comes, then an End."""
        told, notices = fit(messages)
        for notice in notices:
            yield Notice(notice)
        stops = StopCutter(params.stop or self.stop)
        async with aclosing(self._answer(told, params, request_id)) as parts:
            async for part in parts:
                if isinstance(part, End):
                    if rest := stops.rest():
                        yield rest
                    yield self._completed(part, told)
                elif isinstance(part, Reasoning):
                    yield part
                elif isinstance(part, str) and (text := stops.feed(part)):
                    yield text
                if stops.hit:
                    yield End("stop")
                    return

    async def _answer(self, told: list[WireMessage], params: ModelParams, trace: str) -> AsyncGenerator[Delta, None]:
        if not self.stream_path:
            body = self._body(told, params, stream=False)
            text, end = whole_answer(
                await self._used().json(f"models/{quote(self.model, safe='')}/chat", body, trace=trace)
            )
            for delta in split_whole(text):
                yield delta
            yield end
            return
        for again in (True, False):
            started = False
            try:
                async with aclosing(self._stream_once(told, params, trace)) as parts:
                    async for part in parts:
                        started = True
                        yield part
                return
            except SignInFailed:
                raise
            except ProviderAuthFailed:
                if started or not again:
                    raise
                self._used().tokens.forget()

    def _stream_once(self, told: list[WireMessage], params: ModelParams, trace: str) -> AsyncGenerator[Delta, None]:
        path = self.stream_path.replace("{model}", quote(self.model, safe=""))
        opened = self._used().stream(path, self._body(told, params, stream=True), trace=trace)
        return read_deltas(opened, AIHubParser())

    def _body(self, told: list[WireMessage], params: ModelParams, *, stream: bool) -> dict[str, Any]:
        temperature = self.temperature if params.temperature is None else params.temperature
        return {
            "messages": told,
            "parameters": {
                "stream": stream,
                "temperature": temperature,
                "maxTokens": str(params.max_tokens or self.max_tokens),
                "reasoningOptions": {"mode": "DISABLED"},
            },
        }

    def _completed(self, end: End, told: list[WireMessage]) -> End:
        """Split a bare total into what was given and what was made, by estimate."""
        usage = end.usage
        if usage is None or usage.input_tokens or usage.output_tokens:
            return end
        given = min(usage.total_tokens, sum(count_tokens(message["text"]) for message in told))
        split = Usage(given, usage.total_tokens - given, usage.total_tokens, estimated=True)
        return End(end.finish_reason, split, end.model)

    def _used(self) -> Access:
        if self._access is None:
            secret = self.client_secret.get_secret_value()
            password = self.password.get_secret_value() if self.password else None
            account = Account(self.token_url, self.client_id, secret, self.username, password, self.verify_tls)
            self._access = Access(self.hub_url, account)
        return self._access

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        params = ModelParams(kwargs.get("temperature"), kwargs.get("max_tokens"), stop)
        asked = self.model_copy(update={"model": kwargs.get("model", self.model)})
        async with aclosing(asked.stream_deltas(messages, params)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Notice):
                    continue
                if isinstance(delta, Reasoning):
                    thought = AIMessageChunk(content="", additional_kwargs={"reasoning_content": delta.text})
                    yield ChatGenerationChunk(message=thought)
                    continue
                chunk = asked._chunk(delta)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _chunk(self, delta: str | End) -> ChatGenerationChunk:
        if isinstance(delta, str):
            return ChatGenerationChunk(message=AIMessageChunk(content=delta))
        told = {"model_name": self.model, "model_provider": "aihub", "finish_reason": delta.finish_reason}
        usage = delta.usage and UsageMetadata(
            input_tokens=delta.usage.input_tokens,
            output_tokens=delta.usage.output_tokens,
            total_tokens=delta.usage.total_tokens,
        )
        return ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata=told, usage_metadata=usage))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        alone = self.model_copy()
        alone._access = None  # a session belongs to one loop
        for chunk in iterate_in_own_loop(lambda: alone._astream(messages, stop, **kwargs)):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "aihub"
        return params

    @property
    def _llm_type(self) -> str:
        return "aihub"

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Names of the environment's variables for the secret fields."""
        return {"client_secret": "AIHUB_CLIENT_SECRET", "password": "AIHUB_PASSWORD"}
