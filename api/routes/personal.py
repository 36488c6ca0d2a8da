"""What a person has said once for all of their conversations: instructions, and what is remembered of them."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import CurrentUser, Session
from api.errors import responses
from api.schemas.personal import MemoriesRead, MemoryCreate, MemoryRead, ProfileChange, ProfileRead
from llama_service import errors
from persistence import personal

router = APIRouter(tags=["personal"])

_SIGNED_IN = responses(errors.NotAuthenticated)
_WRITTEN = _SIGNED_IN | responses(errors.ValidationFailed)


@router.get("/profile", responses=_SIGNED_IN)
async def get_profile(user: CurrentUser, session: Session) -> ProfileRead:
    """Return what all of your conversations respect."""
    return ProfileRead.model_validate(await personal.profile(session, user.id))


@router.patch("/profile", responses=_WRITTEN)
async def change_profile(body: ProfileChange, user: CurrentUser, session: Session) -> ProfileRead:
    """Change what is present in the body; the next question respects it, in old conversations too."""
    values = body.model_dump(exclude_unset=True)
    return ProfileRead.model_validate(await personal.save_profile(session, user.id, values))


@router.get("/memories", responses=_SIGNED_IN)
async def list_memories(user: CurrentUser, session: Session) -> MemoriesRead:
    """Return what is remembered of you."""
    rows = await personal.memories(session, user.id)
    return MemoriesRead(items=[MemoryRead.model_validate(row) for row in rows])


@router.post("/memories", status_code=201, responses=_WRITTEN | responses(errors.Conflict))
async def add_memory(body: MemoryCreate, user: CurrentUser, session: Session) -> MemoryRead:
    """Have something remembered; what is known already is returned."""
    return MemoryRead.model_validate(await personal.remember(session, user.id, body.text))


@router.delete("/memories", status_code=204, responses=_SIGNED_IN)
async def delete_all_memories(user: CurrentUser, session: Session) -> None:
    """Forget everything that is remembered of you."""
    await personal.forget_all(session, user.id)


@router.delete("/memories/{memory_id}", status_code=204, responses=_SIGNED_IN | responses(errors.NotFound))
async def delete_memory(memory_id: UUID, user: CurrentUser, session: Session) -> None:
    """Forget one thing."""
    await personal.forget(session, user.id, memory_id)
