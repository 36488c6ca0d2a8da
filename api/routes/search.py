"""Search in files, without a model."""

from fastapi import APIRouter

from api.deps import CurrentUser, State
from api.errors import responses
from api.schemas.files import SearchRequest, SearchResponse
from llama_service import errors
from persistence import conversations
from persistence.access import check_named
from persistence.search import Scope

router = APIRouter(tags=["search"])


@router.post("/search", responses=responses(errors.NotAuthenticated, errors.NotFound, errors.ValidationFailed))
async def search(body: SearchRequest, user: CurrentUser, state: State) -> SearchResponse:
    """Return the best passages, ranked as the chat ranks them, of the files and libraries that are named.

    Else, in a conversation, of what that one searches; without one, of your own files and your default libraries.
    """
    library = True
    async with state.database.reading() as session:
        if body.conversation_id is not None:
            library = (await conversations.get(session, user.id, body.conversation_id)).search_library
        await check_named(session, user.id, body.file_ids, body.library_ids)
    scope = Scope(user.id, body.conversation_id, body.file_ids, library, body.library_ids)
    return SearchResponse.of(*await state.retriever.search(scope, body.query, body.k))
