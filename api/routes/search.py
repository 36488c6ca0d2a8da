"""Search in files, without a model."""

from fastapi import APIRouter

from api.deps import CurrentUser, State
from api.errors import responses
from api.schemas.files import SearchRequest, SearchResponse
from llama_service import errors
from persistence import conversations, files
from persistence.search import Scope

router = APIRouter(tags=["search"])


@router.post("/search", responses=responses(errors.NotAuthenticated, errors.NotFound, errors.ValidationFailed))
async def search(body: SearchRequest, user: CurrentUser, state: State) -> SearchResponse:
    """Return the best passages of your files, ranked as the chat ranks them; in a conversation, of what it searches."""
    library = True
    async with state.database.reading() as session:
        if body.conversation_id is not None:
            library = (await conversations.get(session, user.id, body.conversation_id)).search_library
        if body.file_ids and not await files.all_owned(session, user.id, body.file_ids):
            raise errors.NotFound
    scope = Scope(user.id, body.conversation_id, body.file_ids, library)
    return SearchResponse.of(*await state.retriever.search(scope, body.query, body.k))
