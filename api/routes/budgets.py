"""Budgets: what may be spent on models, and what is left."""

from uuid import UUID

from fastapi import APIRouter

from api.deps import Admin, CurrentUser, Session, State
from api.errors import responses
from api.schemas.budgets import BudgetLeft, BudgetRead, BudgetSet, BudgetsLeft, BudgetsRead
from llama_service import errors
from persistence import audit, budgets, groups

router = APIRouter(tags=["budgets"])

_ADMIN = responses(errors.NotAuthenticated, errors.Forbidden)


@router.get("/stats/budget", responses=responses(errors.NotAuthenticated))
async def budgets_left(user: CurrentUser, session: Session) -> BudgetsLeft:
    """Return the budgets that your calls of models fall under, and what was used of them."""
    return BudgetsLeft(items=[BudgetLeft.of(standing) for standing in await budgets.of_user(session, user.id)])


@router.get("/admin/budgets", responses=_ADMIN)
async def list_budgets(admin: Admin, session: Session) -> BudgetsRead:
    """List all budgets, with what was used of them."""
    return BudgetsRead(items=[BudgetRead.of(standing) for standing in await budgets.list_all(session)])


@router.put("/admin/budgets", responses=_ADMIN | responses(errors.NotFound, errors.ValidationFailed))
async def set_budget(body: BudgetSet, admin: Admin, state: State) -> BudgetsRead:
    """Set a budget, in the place of one for the same subject and period; return all. Calls heed it within seconds."""
    async with state.database.transaction() as session:
        values = body.model_dump(exclude={"username"})
        if body.username is not None:
            values["user_id"] = (await groups.find_person(session, body.username)).id
        row = await budgets.put(session, values)
        await audit.note(session, "budget_set", admin, ("budget", row.id), **values)
    state.budgets.forget()
    async with state.database.reading() as session:
        return BudgetsRead(items=[BudgetRead.of(standing) for standing in await budgets.list_all(session)])


@router.delete("/admin/budgets/{budget_id}", status_code=204, responses=_ADMIN | responses(errors.NotFound))
async def delete_budget(budget_id: UUID, admin: Admin, state: State) -> None:
    """Delete a budget, with what was counted of it."""
    async with state.database.transaction() as session:
        await budgets.remove(session, budget_id)
        await audit.note(session, "budget_deleted", admin, ("budget", budget_id))
    state.budgets.forget()
