"""Which models there are, and who answers."""

import re
from dataclasses import asdict

from fastapi import APIRouter

from api.deps import State, Visitor
from api.errors import responses
from api.schemas.models import DefaultModelRead, ModelListRead, ModelRead, StatusList, StatusRead
from chains.plan import expected
from llama_service import errors
from llama_service.settings import ModelSource

router = APIRouter(prefix="/models", tags=["models"])


@router.get("/list", responses=responses(errors.ValidationFailed))
async def list_models(mode: ModelSource, visitor: Visitor, state: State) -> ModelListRead:
    """List the chat models of a source that you may use; one that can't be asked gives an empty list and says why."""
    access = await state.registry.access_of(visitor.user.id if visitor else None)
    found = await state.registry.list_models(mode, access)
    shapes = [ModelRead.model_validate(asdict(model)) for model in found.models]
    return ModelListRead(mode=mode, models=shapes, count=len(shapes), error=found.error)


@router.get("/default", responses=responses(errors.ModelNotAllowed))
async def default_model(visitor: Visitor, state: State) -> DefaultModelRead:
    """Say which model answers you now where a question and its conversation name none."""
    access = await state.registry.access_of(visitor.user.id if visitor else None)
    provider, chosen = expected(state.registry.candidates(None, None, access), state.watch.status)
    name = chosen.name or state.registry.default_model(provider)
    return DefaultModelRead(model_source=provider, model_name=name, fallback_from=chosen.fallback_from)


@router.get("/status")
async def status(visitor: Visitor, state: State) -> StatusList:
    """Say which providers answer; where, and what is wrong, only to who is signed in."""
    states = await state.registry.status()
    shapes = {
        name: StatusRead(
            available=found.available,
            latency_ms=found.latency_ms,
            url=re.sub(r"//[^/@]*@", "//", found.url) if visitor and found.url else None,
            error=found.error if visitor else None,
        )
        for name, found in states.items()
    }
    return StatusList(**shapes)
