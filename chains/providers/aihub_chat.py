"""AI HUB's chat as a chat model of LangChain."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar, Self
from urllib.parse import quote
from uuid import UUID

from langchain_core.language_models import LangSmithParams
from langchain_core.messages import BaseMessage
from pydantic import PrivateAttr, SecretStr

from chains.counting import count_tokens
from chains.providers.aihub_access import Access
from chains.providers.aihub_exchange import HubDenied
from chains.providers.aihub_limits import WireMessage, fit
from chains.providers.aihub_token import Account, SignInFailed
from chains.providers.aihub_wire import AIHubParser, whole_answer
from chains.providers.lean import LeanModel
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

    model_provider: ClassVar[str] = "aihub"
    asks_as_user: ClassVar[bool] = True
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

    def _outside_loop(self) -> Self:
        alone = self.model_copy()
        alone._access = None  # a session belongs to one loop
        return alone

    async def _deltas(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> AsyncGenerator[Delta, None]:
        """Yield notices of what the limits cut, the answer's text as it comes, then an End."""
        asked = self.model_copy(update={"model": given.get("model", self.model)})
        params = ModelParams(given.get("temperature"), given.get("max_tokens"))
        told, notices = fit(messages)
        for notice in notices:
            yield Notice(notice)
        stops = StopCutter(stop or self.stop)
        async with aclosing(asked._answer(told, params, given.get("request_id", ""), _user_of(given))) as parts:
            async for part in parts:
                if isinstance(part, End):
                    if rest := stops.rest():
                        yield rest
                    yield asked._completed(part, told)
                elif isinstance(part, Reasoning):
                    yield part
                elif isinstance(part, str) and (text := stops.feed(part)):
                    yield text
                if stops.hit:
                    yield End("stop", model=asked.model)
                    return

    async def _answer(
        self, told: list[WireMessage], params: ModelParams, trace: str, user_id: UUID | None
    ) -> AsyncGenerator[Delta, None]:
        try:
            async with aclosing(self._answer_as(told, params, trace, user_id)) as parts:
                async for part in parts:
                    yield part
        except ProviderAuthFailed:
            if self._used().acts_for(user_id):
                raise HubDenied from None  # it is the user who may not, not this server's account
            raise

    async def _answer_as(
        self, told: list[WireMessage], params: ModelParams, trace: str, user_id: UUID | None
    ) -> AsyncGenerator[Delta, None]:
        if not self.stream_path:
            body = self._body(told, params, stream=False)
            text, end = whole_answer(
                await self._used().json(f"models/{quote(self.model, safe='')}/chat", body, trace=trace, user_id=user_id)
            )
            for delta in split_whole(text):
                yield delta
            yield end
            return
        for again in (True, False):
            started = False
            try:
                async with aclosing(self._stream_once(told, params, trace, user_id)) as parts:
                    async for part in parts:
                        started = True
                        yield part
                return
            except SignInFailed:
                raise
            except ProviderAuthFailed:
                if started or not again:
                    raise
                self._used().renew(user_id)

    def _stream_once(
        self, told: list[WireMessage], params: ModelParams, trace: str, user_id: UUID | None
    ) -> AsyncGenerator[Delta, None]:
        path = self.stream_path.replace("{model}", quote(self.model, safe=""))
        opened = self._used().stream(path, self._body(told, params, stream=True), trace=trace, user_id=user_id)
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
        usage, model = end.usage, end.model or self.model
        if usage is None or usage.input_tokens or usage.output_tokens:
            return replace(end, model=model)
        given = min(usage.total_tokens, sum(count_tokens(message["text"]) for message in told))
        split = Usage(given, usage.total_tokens - given, usage.total_tokens, estimated=True)
        return End(end.finish_reason, split, model)

    def _used(self) -> Access:
        if self._access is None:
            secret = self.client_secret.get_secret_value()
            password = self.password.get_secret_value() if self.password else None
            account = Account(self.token_url, self.client_id, secret, self.username, password, self.verify_tls)
            self._access = Access(self.hub_url, account)
        return self._access

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


def _user_of(given: dict[str, Any]) -> UUID | None:
    """Return who asks, None for nobody with an account."""
    try:
        return UUID(given.get("user_id", ""))
    except ValueError:
        return None
