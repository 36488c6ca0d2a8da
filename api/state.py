"""Everything that lives as long as the application, in one typed object."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from api.metrics import Metrics
from auth.limits import LoginLimiter
from auth.oidc import OidcClient
from auth.passwords import PasswordHasher
from auth.provider_tokens import ProviderTokens
from auth.tokens import TokenService
from chains.models import ModelRegistry
from chains.types import ProviderStatus
from graphs.chat import Graph
from graphs.runs.engine import RunEngine
from graphs.runs.start import TurnStarter
from graphs.tools.catalog import ToolCatalog
from ingestion.jobs import Ingestion
from llama_service.settings import ProviderName, Settings
from llama_service.tasks import end_task
from llama_service.vault import Vault
from persistence.blobs import BlobStore
from persistence.budgets import BudgetKeeper
from persistence.model_rules import ModelRules
from persistence.search import Retriever
from persistence.session import Database
from persistence.vectors import VectorIndex

log = structlog.get_logger(__name__)

PROBE_EVERY = 4.0  # seconds


class ProviderWatch:
    """The providers' states, refreshed in the background so that no turn waits for a probe."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._task: asyncio.Task[None] | None = None
        self.status: dict[ProviderName, ProviderStatus] = {}

    async def start(self) -> None:
        """Ask once, then go on asking."""
        self.status = await self._registry.status()
        self._task = asyncio.create_task(self._watch(), name="provider-watch")

    async def close(self) -> None:
        """Stop asking."""
        await end_task(self._task)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY)
            before = {name: state.available for name, state in self.status.items()}
            self.status = await self._registry.status()
            for name, state in self.status.items():
                if before.get(name) != state.available:
                    log.info("provider_changed", provider=name, available=state.available)


@dataclass(slots=True)
class AppState:
    """The application's resources; made in the lifespan, closed with it."""

    settings: Settings
    database: Database
    graph: Graph
    registry: ModelRegistry
    watch: ProviderWatch
    index: VectorIndex
    retriever: Retriever
    blobs: BlobStore
    ingestion: Ingestion
    runs: RunEngine
    turns: TurnStarter
    tools: ToolCatalog
    vault: Vault
    hasher: PasswordHasher
    tokens: TokenService
    limiter: LoginLimiter
    oidc: Mapping[str, OidcClient]
    provider_tokens: ProviderTokens
    budgets: BudgetKeeper
    model_rules: ModelRules
    metrics: Metrics
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def state_of(connection: HTTPConnection) -> AppState:
    """Return the application's resources for a request."""
    app: FastAPI = connection.app
    state: AppState = app.state.resources
    return state
