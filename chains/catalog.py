"""Which models there are and which providers answer: asked side by side, kept for some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeVar

import structlog

from chains.prices import Prices
from chains.providers.base import Provider
from chains.types import ModelInfo, ModelList, ProviderStatus
from llama_service.errors import AppError, ProviderTimeout
from llama_service.kept import Kept
from llama_service.settings import ProviderName, Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

KEPT_SECONDS = 5.0


class Catalog:
    """Lists and states of the providers."""

    def __init__(self, settings: Settings, providers: Mapping[ProviderName, Provider], prices: Prices) -> None:
        self._timeout = settings.provider_probe_timeout
        self._providers = providers
        self._prices = prices
        self._models = {name: Kept(self._asker(name), KEPT_SECONDS) for name in providers}
        self._probes = {name: Kept(self._prober(name), KEPT_SECONDS) for name in providers}
        self.last_local: ProviderName = "ollama"

    async def local(self) -> ProviderName:
        """Return what `local` means now: Ollama where it answers, else the embedded model."""
        answers = (await self._probes["ollama"].get()).available
        self.last_local = "ollama" if answers else "embedded"
        return self.last_local

    async def models(self, name: ProviderName) -> ModelList:
        """Return the chat models of a provider."""
        return await self._models[name].get()

    async def status(self) -> dict[ProviderName, ProviderStatus]:
        """Return the state of all providers."""
        states = await asyncio.gather(*(probe.get() for probe in self._probes.values()))
        return dict(zip(self._probes, states, strict=True))

    def _asker(self, name: ProviderName) -> Callable[[], Awaitable[ModelList]]:
        async def ask() -> ModelList:
            provider = self._providers[name]
            try:
                provider.require(provider.missing())
                models = await self._within(provider.list_models())
                # Beside the event loop: some hundred names are looked up in a long list, which is read first.
                return ModelList(name, await asyncio.to_thread(self._priced, provider, models))
            except AppError as error:
                return ModelList(name, [], error.message)

        return ask

    def _priced(self, provider: Provider, models: list[ModelInfo]) -> list[ModelInfo]:
        prices = [self._prices.per_million(provider.name, m.name, official=provider.is_official) for m in models]
        return [
            replace(model, cost_input=price[0], cost_output=price[1]) if price else model
            for model, price in zip(models, prices, strict=True)
        ]

    def _prober(self, name: ProviderName) -> Callable[[], Awaitable[ProviderStatus]]:
        async def probe() -> ProviderStatus:
            provider = self._providers[name]
            started = time.monotonic()
            try:
                provider.require(provider.missing())
                await self._within(provider.probe())
            except AppError as error:
                return ProviderStatus(False, None, provider.url, error.message)
            return ProviderStatus(True, round((time.monotonic() - started) * 1000), provider.url, None)

        return probe

    async def _within(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except TimeoutError as error:
            raise ProviderTimeout from error
