"""What `/metrics` tells, and the gauges that are looked at now and then rather than kept."""

import asyncio
from collections.abc import Mapping

import structlog
from prometheus_client import generate_latest
from sqlalchemy.exc import SQLAlchemyError

from chains.models import ModelRegistry
from graphs.runs.engine import RunEngine
from ingestion.index import IndexKeeper
from llama_service import metrics
from llama_service.errors import AppError
from persistence.checkpoints import Pool
from persistence.gauges import DatabaseGauges
from persistence.session import Database

log = structlog.get_logger(__name__)

SAMPLED_EVERY = 5.0  # seconds
_PATIENCE = 3.0


class Metrics:
    """The series of this process, of those that share a folder with it, and of the database."""

    def __init__(
        self, database: Database, checkpoints: Pool, registry: ModelRegistry, engine: RunEngine, keeper: IndexKeeper
    ) -> None:
        self._database = database
        self._checkpoints = checkpoints
        self._registry = registry
        self._engine = engine
        self._keeper = keeper
        self._gauges = DatabaseGauges(database)

    async def rendered(self) -> bytes:
        """Return all series in Prometheus's text format; the database's are left out while it is away."""
        self.sample()
        database = b""
        metrics.DATABASE_REACHABLE.set(0)
        try:
            async with asyncio.timeout(_PATIENCE):
                database = await self._gauges.rendered()
                metrics.DATABASE_REACHABLE.set(1)
                metrics.INDEX_VECTORS.set((await self._keeper.recent.get()).indexed or 0)
        except (SQLAlchemyError, AppError, OSError) as error:
            log.warning("database_not_measured", error=type(error).__name__)
        return await asyncio.to_thread(generate_latest, metrics.registry()) + database

    async def sample_forever(self) -> None:
        """Look at the gauges every few seconds: another process may be the one that is asked."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLED_EVERY)

    def sample(self) -> None:
        """Note how busy connections, runs and providers are now."""
        metrics.RUNS_ACTIVE.set(self._engine.running)
        checkpoints = self._checkpoints.get_stats()
        metrics.DB_WAITING.labels("checkpoints").set(checkpoints.get("requests_waiting", 0))
        for pool, states in (self._database.pools() | {"checkpoints": _states(checkpoints)}).items():
            for state, count in states.items():
                metrics.DB_CONNECTIONS.labels(pool, state).set(count)
        for source, load in self._registry.load().items():
            metrics.PROVIDER_IN_FLIGHT.labels(source).set(load.in_flight)
            metrics.PROVIDER_WAITING.labels(source).set(load.waiting)
            metrics.PROVIDER_CIRCUIT_OPEN.labels(source).set(load.circuit_open)


def _states(stats: Mapping[str, int]) -> dict[str, int]:
    size, idle = stats["pool_size"], stats["pool_available"]
    return {"busy": size - idle, "idle": idle, "most": stats["pool_max"]}
