"""Which models a group may use, and what models cost. For administrators."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, State
from api.errors import responses
from api.schemas.model_rules import (
    ModelPriceRead,
    ModelPriceSet,
    ModelPricesRead,
    ModelRuleRead,
    ModelRuleSet,
    ModelRulesRead,
)
from llama_service import errors
from llama_service.settings import ProviderName
from persistence import audit, model_rules

router = APIRouter(prefix="/admin", tags=["admin"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)


@router.get("/model-rules", responses=_ADMIN)
async def list_model_rules(admin: Admin, state: State) -> ModelRulesRead:
    """List all rules for models, everybody's first."""
    async with state.database.reading() as session:
        return ModelRulesRead(items=[ModelRuleRead.of(view) for view in await model_rules.list_all(session)])


@router.put("/model-rules", responses=_ADMIN | responses(errors.NotFound, errors.ValidationFailed))
async def set_model_rule(body: ModelRuleSet, admin: Admin, state: State) -> ModelRulesRead:
    """Set what a group, or everybody, may use of models; return all rules. Calls heed it within seconds."""
    values = body.model_dump(exclude={"group_id"})
    async with state.database.transaction() as session:
        row = await model_rules.put(session, body.group_id, values)
        # That there is a system prompt, not its text.
        told = values | {"group": body.group_id, "system_prompt": body.system_prompt is not None}
        await audit.note(session, "model_rule_set", admin, ("model_rule", row.id), **told)
    state.model_rules.forget()
    return await list_model_rules(admin, state)


@router.delete("/model-rules/{rule_id}", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def delete_model_rule(rule_id: UUID, admin: Admin, state: State) -> None:
    """Delete a rule for models."""
    async with state.database.transaction() as session:
        await model_rules.remove(session, rule_id)
        await audit.note(session, "model_rule_deleted", admin, ("model_rule", rule_id))
    state.model_rules.forget()


@router.get("/model-prices", responses=_ADMIN)
async def list_model_prices(admin: Admin, state: State) -> ModelPricesRead:
    """List the prices of models that were set here or by the settings; OpenAI's public ones count without being set."""
    async with state.database.reading() as session:
        rows = await model_rules.list_prices(session)
    edited = {(row.model_source, row.model_name): (row.input, row.output) for row in rows}
    given = {tuple(model.split("/", 1)): price for model, price in state.settings.model_prices.items()}
    items = [
        ModelPriceRead(
            model_source=source,
            model_name=name,
            input=price[0],
            output=price[1],
            origin="page" if (source, name) in edited else "settings",
        )
        for (source, name), price in sorted((given | edited).items())
    ]
    return ModelPricesRead(items=items)


@router.put("/model-prices", responses=_ADMIN | responses(errors.ValidationFailed))
async def set_model_price(body: ModelPriceSet, admin: Admin, state: State) -> ModelPricesRead:
    """Set what a model costs; return all prices. Answers, and budgets of money, count with it within seconds."""
    name = f"{body.model_source}/{body.model_name}"
    async with state.database.transaction() as session:
        await model_rules.put_price(
            session, source=body.model_source, name=body.model_name, given=body.input, made=body.output
        )
        await audit.note(session, "model_price_set", admin, None, model=name, input=body.input, output=body.output)
    state.model_rules.forget()
    return await list_model_prices(admin, state)


@router.delete(
    "/model-prices/{model_source}/{model_name:path}", status_code=204, responses=_ADMIN | responses(errors.NotFound)
)
async def delete_model_price(model_source: ProviderName, model_name: str, admin: Admin, state: State) -> None:
    """Delete a price that was set here: that of the settings, or the public one, counts again."""
    async with state.database.transaction() as session:
        await model_rules.remove_price(session, model_source, model_name)
        await audit.note(session, "model_price_deleted", admin, None, model=f"{model_source}/{model_name}")
    state.model_rules.forget()
