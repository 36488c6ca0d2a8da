"""Statistics: one's own, and the server's."""

from contextlib import suppress
from dataclasses import asdict
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncSession

from api.deps import Admin, CurrentUser, Session, State
from api.errors import responses
from api.schemas.models import StatusRead
from api.schemas.stats import DayUsage, IndexState, ModelUsage, SystemStats, UserStats
from llama_service import errors
from persistence import stats

router = APIRouter(prefix="/stats", tags=["stats"])


async def usage_of(session: AsyncSession, user_id: UUID | None) -> UserStats:
    """Return what an account, or all of them, have and used."""
    totals = await stats.totals(session, user_id)
    days = await stats.by_day(session, user_id)
    models = await stats.by_model(session, user_id)
    return UserStats(
        **totals,
        input_tokens=sum(row["input_tokens"] for row in models),
        output_tokens=sum(row["output_tokens"] for row in models),
        cost_usd=sum(row["cost_usd"] for row in models),
        by_day=[DayUsage(day=row.pop("key"), **row) for row in days],
        by_model=[ModelUsage(model=row.pop("key"), **row) for row in models],
    )


@router.get("/user", responses=responses(errors.NotAuthenticated))
async def user_stats(user: CurrentUser, session: Session, state: State) -> UserStats:
    """Return what the account has and used, and may have."""
    usage = await usage_of(session, user.id)
    usage.files_limit = state.settings.max_files_per_user
    usage.bytes_limit = int(state.settings.max_bytes_per_user_mb * 1024 * 1024)
    return usage


@router.get("/system", responses=responses(errors.NotAuthenticated, errors.Forbidden))
async def system_stats(admin: Admin, state: State) -> SystemStats:
    """Return the same over all accounts, and the server's own state."""
    async with state.database.reading() as session:
        usage = await usage_of(session, None)
        sizes = await stats.sizes(session)
        answers = await stats.answers(session)
    # A store that is away is told by `/ready`; the other figures are wanted then more than ever.
    with suppress(errors.DependencyUnavailable):
        sizes["blobs"] = await state.blobs.usage()
    # Counted now: another process may be the one that indexes.
    health = await state.ingestion.keeper.measure()
    return SystemStats(
        **usage.model_dump(),
        users=sizes.pop("users"),
        running=sizes.pop("running"),
        queue=await state.ingestion.depth(),
        providers={name: StatusRead.model_validate(found) for name, found in state.watch.status.items()},
        checkpoint_bytes_per_turn=sizes["checkpoints"] // answers if answers else None,
        sizes=sizes,
        index=IndexState(engine=state.index.engine, **asdict(health)),
        started_at=state.started_at,
    )
