"""The registry of models: a source and a name become answers, embeddings, lists and states.

A new provider is one file in `chains/providers` and one line in `PROVIDER_TYPES`.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TypeAlias
from uuid import UUID

from langchain_core.messages import BaseMessage

from chains.catalog import Catalog
from chains.counting import count_prompt, count_tokens
from chains.embeddings import EmbeddingsHandle
from chains.metering import measured
from chains.prices import Prices
from chains.prompts import under_rules
from chains.providers.aihub import AIHubProvider
from chains.providers.aihub_exchange import SubjectTokens
from chains.providers.base import Provider
from chains.providers.embedded import EmbeddedProvider
from chains.providers.lean import LeanModel, deltas_of
from chains.providers.ollama import OllamaProvider
from chains.providers.openai import OpenAIProvider
from chains.providers.wire import Limits, Wire
from chains.rerank import Reranker
from chains.resilience import Policy, is_unreachable
from chains.types import (
    Attempt,
    Completion,
    End,
    Load,
    ModelList,
    ModelParams,
    Notice,
    ProviderStatus,
    Reasoning,
    StreamEnd,
    StreamItem,
    StreamStart,
    Target,
    Usage,
)
from llama_service.errors import (
    AppError,
    ModelCannot,
    ModelNotAllowed,
    ModelNotFound,
    ProviderBadAnswer,
    ProviderTimeout,
)
from llama_service.settings import ModelSource, ProviderName, Settings
from persistence.model_policy import EVERY_MODEL, AllowedModel, ModelAccess, ModelPolicy
from persistence.spending import MARGIN, Budgets, Grant, Price, Spent

PROVIDER_TYPES: Mapping[ProviderName, type[Provider]] = {
    "embedded": EmbeddedProvider,
    "ollama": OllamaProvider,
    "openai": OpenAIProvider,
    "aihub": AIHubProvider,
}

_MODELS_KEPT = 64
_SLACK = 64  # tokens between what is counted and a window's end
_LONGEST_ANSWER = 4_096  # tokens that are reserved for an answer without a limit of its own, which it then has
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_NAME = re.compile(r"(?!\.+$)[^\x00-\x20\x7f]{1,200}")
"""Names go into addresses too: no dots alone, nothing invisible."""

Prompt: TypeAlias = Sequence[BaseMessage] | Callable[[Target], Sequence[BaseMessage]]
"""Messages, or a function that makes them for the model that is going to be asked (its window may differ)."""


@dataclass(frozen=True, slots=True)
class ModelCandidate:
    """A source that may answer: the model that is asked there, and the source that it stands in for, if any."""

    source: ModelSource
    name: str | None
    fallback_from: ModelSource | None
    has_fallback: bool


@dataclass(slots=True)
class _Tally:
    """How far a call has come, for what it is counted with; `usage` is there when it has ended by itself."""

    has_begun: bool = False
    parts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    usage: Usage | None = None

    def estimate(self, prompt: Sequence[BaseMessage], end: End) -> Usage:
        """Return what an answer has cost whose provider does not tell."""
        calls = [f"{call.name}{call.arguments}" for call in end.tool_calls]
        return _estimate(prompt, [*self.parts, *self.thoughts, *calls])


class ModelRegistry:
    """Everything that asks a model goes through here. One for a process, open between `start` and `close`."""

    def __init__(
        self,
        settings: Settings,
        subjects: SubjectTokens | None = None,
        budgets: Budgets | None = None,
        policy: ModelPolicy | None = None,
    ) -> None:
        """Prepare the providers of these settings.

        `subjects` gives users' own tokens to the provider that asks in their name (`AIHUB_AS_USER`); `budgets` limits
        what calls spend; `policy` tells which models their askers may use, and what they cost.
        """
        self._settings = settings
        self._budgets = budgets
        self._rules = policy
        self._wire = Wire(Limits.of(settings))
        self._policy = Policy(settings)
        self._prices = Prices(settings.model_prices)
        self._providers = {name: kind(settings, self._wire) for name, kind in PROVIDER_TYPES.items()}
        if subjects is not None:
            self._providers["aihub"] = AIHubProvider(settings, self._wire, subjects)
        self._catalog = Catalog(settings, self._providers, self._prices)
        self._models: dict[tuple[ProviderName, str], LeanModel] = {}
        self._making = asyncio.Lock()
        self._embeddings: EmbeddingsHandle | None = None

    async def start(self) -> None:
        """Open the pool of connections. No provider is called."""
        await self._wire.start()
        for provider in self._providers.values():
            provider.warn()

    async def close(self) -> None:
        """Close every connection; calls in flight end with an error."""
        await self._wire.close()

    async def resolve(self, source: ModelSource | None, name: str | None) -> Target:
        """Return what will be asked. Only `local` and a hub without a set model need a look, which is cached.

        Raises NotConfigured where the source is not set up, another AppError where the look fails.
        """
        requested = source or self._settings.default_model_source
        chosen: ProviderName = await self._catalog.local() if requested == "local" else requested
        provider = self._providers[chosen]
        provider.require(provider.missing())
        if name is not None and not _NAME.fullmatch(name):
            raise ModelNotFound
        model = name or provider.default_model
        if model is None:
            models = (await self._catalog.models(chosen)).models
            model = models[0].name if models else None
        if model is None:
            raise ProviderBadAnswer("The model provider lists no model; the operator has to name one.")
        return Target(chosen, model, requested)

    async def access_of(self, user_id: UUID | str | None) -> ModelAccess:
        """Return which models somebody may use; an id that is none of an account's is of nobody."""
        if self._rules is None:
            return EVERY_MODEL
        asker = user_id if isinstance(user_id, UUID) else _asker(user_id or "")
        return await self._rules.access(asker)

    def candidates(
        self, source: ModelSource | None, name: str | None, access: ModelAccess = EVERY_MODEL
    ) -> list[ModelCandidate]:
        """Return who may answer, in the order in which they are asked: one at least.

        A source that is named is never replaced; one that stands in answers with its own default model. Without one
        only what is allowed is among them. Raises ModelNotAllowed where that is nothing.
        """
        if source is not None:
            return [ModelCandidate(source, name, None, has_fallback=False)]
        settings = self._settings
        default = access.default or AllowedModel(settings.default_model_source)
        order = [AllowedModel(default.source, name or default.name)]
        order += [AllowedModel(other) for other in settings.model_fallback_sources if other != default.source]
        if access.allowed is not None:
            order = self._allowed(order, access, is_named=name is not None)
        first, *others = order
        stand_ins = [ModelCandidate(other.source, other.name, first.source, other != others[-1]) for other in others]
        return [ModelCandidate(first.source, first.name, None, bool(others)), *stand_ins]

    def _allowed(self, order: Sequence[AllowedModel], access: ModelAccess, *, is_named: bool) -> list[AllowedModel]:
        """Return those of these that are allowed, each with a model that is; else the first one that is allowed at all.

        A model that the caller has named is not replaced. Raises ModelNotAllowed.
        """
        found: list[AllowedModel] = []
        for wanted in order:
            sources: Sequence[ProviderName] = ("ollama", "embedded") if wanted.source == "local" else (wanted.source,)
            for source in sources:
                if access.allows(source, wanted.name or self._providers[source].default_model):
                    found.append(AllowedModel(source, wanted.name))
                elif not is_named and (other := access.first_of(source)) is not None:
                    found.append(AllowedModel(source, other))
        if not found and access.allowed and not is_named:
            found.append(access.allowed[0])
        if not found or (is_named and found[0].name != order[0].name):
            raise ModelNotAllowed
        return found

    async def stream(
        self,
        messages: Prompt,
        *,
        source: ModelSource | None = None,
        name: str | None = None,
        params: ModelParams = ModelParams(),  # noqa: B008  (frozen)
        user_id: str = "",
        request_id: str = "",
        attempts: list[Attempt] | None = None,
        spent: list[Usage] | None = None,
        fallback_from: ModelSource | None = None,
        has_fallback: bool = False,
        may_be_empty: bool = False,
    ) -> AsyncGenerator[StreamItem, None]:
        """Yield a StreamStart when the first token is there, the text as it comes, then a StreamEnd.

        One source is asked, the default one where none is named. `attempts` is filled as they happen, for callers that
        want them after an error too. `spent` gets what the call has cost when it has ended, by itself or not; nothing
        where the model was not asked. `fallback_from` is the source that this one stands in for; with `has_fallback` a
        server that does not listen is not asked twice. `may_be_empty` is for the rest of an answer that may have been
        all of it: without it an answer that has no text is an error. Closing the generator ends the provider's
        request. Raises an AppError.
        """
        tried: list[Attempt] = [] if attempts is None else attempts
        target = await self._checked(source, name, params, user_id)
        prompt = messages(target) if callable(messages) else messages
        model = await self.chat_model(target)
        async with self._paid(target, prompt, params, user_id, spent) as (params, tally):
            chunks = self._policy.stream(
                target,
                lambda: model.stream_messages(prompt, params, request_id=request_id, user_id=user_id),
                user_id=user_id,
                attempts=tried,
                patient=not has_fallback,
            )
            notices: list[str] = []
            async with measured(target, prompt, params) as meter, aclosing(chunks):
                async for message in chunks:
                    for delta in deltas_of(message):
                        if isinstance(delta, Notice):
                            notices.append(delta.text)
                            continue
                        if not tally.has_begun:
                            tally.has_begun = True
                            meter.note_first()
                            begun = (target.source, target.model, fallback_from, list(tried), notices, message.id)
                            yield StreamStart(*begun)
                        if isinstance(delta, End):
                            tally.usage = self._priced(target, delta.usage or tally.estimate(prompt, delta))
                            meter.note_end(delta, tally.usage, tally.parts)
                            calls_tools = delta.tool_calls and params.tools and params.tool_choice != "none"
                            if not (any(tally.parts) or may_be_empty or calls_tools):
                                raise ProviderBadAnswer(_without_text(delta))
                            told = delta.model or target.model
                            yield StreamEnd(delta.finish_reason, tally.usage, told, list(tried), delta.tool_calls)
                        elif isinstance(delta, Reasoning):
                            tally.thoughts.append(delta.text)
                            yield delta
                        else:
                            tally.parts.append(delta)
                            yield delta
                if not tally.has_begun:
                    raise ProviderBadAnswer(_without_text(End("stop")))

    async def _checked(self, source: ModelSource | None, name: str | None, params: ModelParams, user_id: str) -> Target:
        """Return what will be asked. Raises ModelNotAllowed, ModelCannot, and what `resolve` raises."""
        target = await self.resolve(source, name)
        if not (await self.access_of(user_id)).allows(target.source, target.model):
            raise ModelNotAllowed
        await self._learn_prices()
        if params.tools and not self._providers[target.source].has_tools:
            raise ModelCannot.because("no_tools", "This model takes no tools; leave them out or choose another model.")
        return target

    async def _reserved(
        self, budgets: Budgets, target: Target, prompt: Sequence[BaseMessage], params: ModelParams, user_id: str
    ) -> Grant:
        """Reserve what a call may spend. Raises BudgetExceeded."""
        official = self._providers[target.source].is_official
        price = self._prices.per_million(target.source, target.model, official=official)
        window = self.context_window(target.source, target.model)
        counted = count_prompt(prompt) + count_tokens(str(params.tools or ""))
        # What is asked for has to fit into the window beside the prompt, or servers refuse the call.
        room = max(window - counted - _SLACK, _SLACK)
        answer = params.max_tokens or min(_LONGEST_ANSWER, window // 4, room)
        given = ceil(counted * MARGIN)
        return await budgets.reserve(_asker(user_id), given, answer, Price(*price) if price else None)

    @asynccontextmanager
    async def _paid(
        self,
        target: Target,
        prompt: Sequence[BaseMessage],
        params: ModelParams,
        user_id: str,
        spent: list[Usage] | None,
    ) -> AsyncIterator[tuple[ModelParams, "_Tally"]]:
        """Reserve what a call may spend, where anything is limited, and settle it when the call has ended, however.

        The answer then has the limit that was reserved for it. What a call that broke off has cost is estimated; it
        is put into `spent`, too. Raises BudgetExceeded.
        """
        tally, grant, was_sent = _Tally(), None, False
        budgets = self._budgets if self._budgets is not None and await self._budgets.is_limited() else None
        if budgets is not None:
            grant = await self._reserved(budgets, target, prompt, params, user_id)
            params = replace(params, max_tokens=grant.answer_tokens or params.max_tokens)
        try:
            yield params, tally
        except AppError as error:
            was_sent = isinstance(error, ProviderTimeout)  # it was read, and may have been thought about
            raise
        except BaseException:
            was_sent = True  # somebody did not wait for it
            raise
        finally:
            usage, is_asked_for = tally.usage, grant is not None or spent is not None
            if usage is None and (tally.has_begun or was_sent) and is_asked_for:
                usage = self._priced(target, _estimate(prompt, [*tally.parts, *tally.thoughts]))
            if usage is not None and spent is not None:
                spent.append(usage)
            if budgets is not None and grant is not None:
                settled = Spent(usage.total_tokens, usage.cost_usd or 0.0, was_asked=True) if usage else Spent()
                budgets.settle(grant, settled)

    async def complete(
        self,
        messages: Sequence[BaseMessage],
        *,
        source: ModelSource | None = None,
        name: str | None = None,
        params: ModelParams = ModelParams(),  # noqa: B008  (frozen)
        user_id: str = "",
        request_id: str = "",
    ) -> Completion:
        """Return a whole answer, under the rules of whoever asks.

        Where the default source can't be reached, a fallback answers with its own model.
        """
        tried: list[Attempt] = []
        first_error: AppError | None = None
        access = await self.access_of(user_id)
        for candidate in self.candidates(source, name, access):
            items = self.stream(
                under_rules(messages, access.system_prompt),
                source=candidate.source,
                name=candidate.name,
                params=params,
                user_id=user_id,
                request_id=request_id,
                attempts=tried,
                fallback_from=candidate.fallback_from,
                has_fallback=candidate.has_fallback,
            )
            try:
                return await completion_of(items)
            except AppError as error:
                first_error = first_error or error
                if not is_unreachable(error):
                    raise
        raise first_error or ProviderBadAnswer

    async def _learn_prices(self) -> None:
        if self._rules is not None:
            self._prices.edited = await self._rules.prices()

    def _priced(self, target: Target, usage: Usage) -> Usage:
        official = self._providers[target.source].is_official
        return replace(usage, cost_usd=self._prices.cost(target.source, target.model, usage, official=official))

    def reranker(self) -> Reranker | None:
        """Return what reads questions and passages together, None where no address is set."""
        return Reranker(self._settings, self._wire) if self._settings.rerank_url else None

    def embeddings(self) -> EmbeddingsHandle:
        """Return the embeddings of `EMBEDDINGS_SOURCE`; the same object each time."""
        if self._embeddings is None:
            provider = self._providers[self._settings.embeddings_source]
            self._embeddings = EmbeddingsHandle(provider, self._policy)
        return self._embeddings

    async def list_models(self, mode: ModelSource, access: ModelAccess = EVERY_MODEL) -> ModelList:
        """Return the chat models of a source that may be used, at most some seconds old.

        Never raises for a provider's state.
        """
        await self._learn_prices()
        source: ProviderName = await self._catalog.local() if mode == "local" else mode
        listed = await self._catalog.models(source)
        return ModelList(mode, [model for model in listed.models if access.allows(source, model.name)], listed.error)

    async def status(self) -> dict[ProviderName, ProviderStatus]:
        """Return the state of each provider, at most some seconds old, within the probe's time-out."""
        return await self._catalog.status()

    def context_window(self, source: ModelSource | None, name: str | None) -> int:
        """Return how many tokens a model reads, as told or assumed, prompt and answer together."""
        requested = source or self._settings.default_model_source
        provider = self._providers[self._catalog.last_local if requested == "local" else requested]
        return provider.context_window(name or provider.default_model or "")

    def takes_tools(self, source: ProviderName, name: str) -> bool:
        """Whether tools may be offered to a model: its wire has them, and nobody told that the model has none."""
        return self._providers[source].takes_tools(name)

    def sees(self, source: ProviderName, name: str) -> bool:
        """Whether pictures may be shown to a model, as far as that is known."""
        return self._providers[source].sees(name)

    def default_model(self, source: ProviderName) -> str | None:
        """Return the model that a provider answers with where none is named, if the settings say so."""
        return self._providers[source].default_model

    def continues_prefix(self, source: ProviderName) -> bool:
        """Whether a provider's models go on with an unfinished answer that stands at the end of the prompt."""
        return self._providers[source].continues_prefix

    def load(self) -> dict[str, Load]:
        """Return how busy each provider is, by its name, and its embeddings, by `name:embeddings`."""
        return self._policy.load()

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens `text` has; see `chains.counting`."""
        return count_tokens(text)

    async def chat_model(self, target: Target) -> LeanModel:
        """Return LangChain's model of a target, without the policy; it is kept for the next call.

        Making one takes up to 0.2 s of CPU (the SDKs build their clients), so it is done in a thread; so does finding
        its price for the first time, which is asked for at the end of each answer.
        """
        key = (target.source, target.model)
        if key in self._models:
            return self._models[key]
        async with self._making:
            if key not in self._models:
                model = await asyncio.to_thread(self._make, target)
                if len(self._models) >= _MODELS_KEPT:  # names come from users: no growth without end
                    self._models.clear()
                self._models[key] = model
            return self._models[key]

    def _make(self, target: Target) -> LeanModel:
        provider = self._providers[target.source]
        self._prices.per_million(target.source, target.model, official=provider.is_official)
        return provider.chat_model(target.model)


async def completion_of(items: AsyncGenerator[StreamItem, None]) -> Completion:
    """Read a stream to its end and return the whole answer."""
    parts: list[str] = []
    thoughts: list[str] = []
    start: StreamStart | None = None
    end: StreamEnd | None = None
    async with aclosing(items):
        async for item in items:
            if isinstance(item, str):
                parts.append(item)
            elif isinstance(item, Reasoning):
                thoughts.append(item.text)
            elif isinstance(item, StreamStart):
                start = item
            else:
                end = item
    if start is None or end is None:
        raise ProviderBadAnswer
    return Completion("".join(parts), start, end, "".join(thoughts))


def _asker(user_id: str) -> UUID | None:
    """Return the account that asks; ids of anonymous callers are none of an account's."""
    return UUID(user_id) if _UUID.fullmatch(user_id) else None


def _without_text(end: End) -> str:
    """Return the sentence about an answer that has no text."""
    if end.tool_calls:
        return "The model asked for a tool instead of answering, and has none here; ask again or choose another model."
    if end.finish_reason == "length":
        return "The model reached the limit of its answer before its first word; allow a longer answer."
    return "The model ended its answer without a word; ask again or choose another model."


def _estimate(messages: Sequence[BaseMessage], parts: Sequence[str]) -> Usage:
    given, made = count_prompt(messages), count_tokens("".join(parts))
    return Usage(given, made, given + made, estimated=True)
