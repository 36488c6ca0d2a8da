"""Alive and ready, for whoever watches; metrics for Prometheus."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from psycopg import Error as PsycopgError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.deps import State
from api.schemas.stats import Health, Readiness
from api.state import AppState
from llama_service import __version__
from llama_service.errors import AppError

router = APIRouter(tags=["operation"])

_PATIENCE = 3.0  # seconds for each check


@router.get("/health")
async def health() -> Health:
    """Say that the process is alive; touches nothing else."""
    return Health(status="healthy", version=__version__, timestamp=datetime.now(UTC))


async def _check(work: Awaitable[Any]) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await work
    except TimeoutError:
        return {"ok": False, "error": "no answer in time"}
    except (SQLAlchemyError, PsycopgError, AppError, OSError) as error:
        return {"ok": False, "error": error.message if isinstance(error, AppError) else "can't be reached"}
    return {"ok": True, **(found or {})}


async def _database(state: AppState) -> dict[str, Any]:
    async with state.database.reading() as session:
        await session.execute(text("SELECT 1"))
    return {}


async def _queue(state: AppState) -> dict[str, Any]:
    return {"depth": await state.ingestion.depth()}


async def _vectors(state: AppState) -> dict[str, Any]:
    await state.index.ping()
    health = await state.ingestion.keeper.recent.get()
    return {"engine": state.index.engine, "indexed": health.indexed, "vectors": health.vectors}


@router.get("/ready", responses={503: {"model": Readiness, "description": "A part that is needed is missing."}})
async def ready(state: State, response: Response) -> Readiness:
    """Say whether the server can work. Without its database it can't; without any other part it can less."""
    names = ("database", "queue", "vectors", "blobs")
    found = await asyncio.gather(
        _check(_database(state)), _check(_queue(state)), _check(_vectors(state)), _check(state.blobs.ping())
    )
    checks: dict[str, dict[str, Any]] = dict(zip(names, found, strict=True))
    providers = {name: status.available for name, status in state.watch.status.items()}
    checks["models"] = {"ok": any(providers.values()), "available": providers}
    if not checks["database"]["ok"] or not checks["queue"]["ok"]:
        response.status_code = 503
        return Readiness(status="unavailable", checks=checks)
    complete = all(check["ok"] for check in checks.values())
    return Readiness(status="ready" if complete else "degraded", checks=checks)


@router.get("/metrics", response_class=Response)
async def metrics(state: State) -> Response:
    """Return what is measured, in Prometheus's text format: of this machine's processes, and of the database."""
    return Response(await state.metrics.rendered(), media_type=CONTENT_TYPE_LATEST)
