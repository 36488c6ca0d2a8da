"""Which models there are, and who answers."""

from dataclasses import asdict

from fastapi import APIRouter

from api.deps import State, Visitor
from api.errors import responses
from api.schemas.models import DefaultModelRead, ModelListRead, ModelRead, StatusList, StatusRead
from chains.plan import plan
from llama_service import errors
from llama_service.settings import ModelSource

router = APIRouter(prefix="/models", tags=["models"])


@router.get("/list", responses=responses(errors.ValidationFailed))
async def list_models(mode: ModelSource, visitor: Visitor, state: State) -> ModelListRead:
    """List the chat models of a source; one that can't be asked gives an empty list and says why."""
    found = await state.registry.list_models(mode)
    shapes = [ModelRead.model_validate(asdict(model)) for model in found.models]
    return ModelListRead(mode=mode, models=shapes, count=len(shapes), error=found.error)


@router.get("/default")
async def default_model(visitor: Visitor, state: State) -> DefaultModelRead:
    """Say which model answers now where a question and its conversation name none."""
    provider, fallback_from = plan(state.settings, state.watch.status, None)
    return DefaultModelRead(
        model_source=provider, model_name=state.registry.default_model(provider), fallback_from=fallback_from
    )


@router.get("/status")
async def status(visitor: Visitor, state: State) -> StatusList:
    """Say which providers answer; where, and what is wrong, only to who is signed in."""
    states = await state.registry.status()
    shapes = {
        name: StatusRead(
            available=found.available,
            latency_ms=found.latency_ms,
            url=found.url if visitor else None,
            error=found.error if visitor else None,
        )
        for name, found in states.items()
    }
    return StatusList(**shapes)
