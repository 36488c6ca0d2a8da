"""What an API key may do on each route: the scope that it needs, by the function that answers.

A route that is not named here takes no key at all, so a new one is closed to keys until somebody decides. The test of
`docs/authorisation.md` fails for a route about which nobody has.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request

from api.root_path import path_of
from auth.keys import Scope

_LANGSERVE: Final = "/langserve/"

_ROUTES: Mapping[Scope, Mapping[str, str]] = {
    "chat": {
        "routes.chat": "chat chat_stream run_status run_stream run_cancel run_resume",
        "routes.messages": "replay",
        "routes.tools": "list_tools",
        "routes.assistants": "list_assistants get_assistant",
        "routes.prompts": "list_prompts",
        "openai.routes": "chat_completions embeddings",
        "openai.responses": "create_response",
        "agent_server.assistants": "search_assistants count_assistants get_assistant get_graph get_schemas "
        "get_subgraphs",
        "agent_server.runs": "create_run stream_run wait_run create_alone stream_alone wait_alone list_runs get_run "
        "join_run join_stream cancel_run",
    },
    "conversations:read": {
        "routes.conversations": "list_conversations get_conversation list_messages export_conversation "
        "conversation_usage",
        "routes.messages": "trace",
        "routes.projects": "list_projects get_project",
        "routes.studio": "checkpoints",
        "agent_server.threads": "search_threads count_threads get_thread get_state get_state_at get_state_of "
        "post_history get_history",
    },
    "conversations:write": {
        "routes.conversations": "create_conversation import_conversations change_conversation delete_conversation",
        "routes.messages": "feedback withdraw_feedback",
        "routes.projects": "create_project change_project delete_project",
        "agent_server.threads": "create_thread patch_thread delete_thread update_state",
    },
    "files:read": {
        "routes.files": "list_files get_status get_file content extracted_text chunks",
        "routes.search": "search",
        "routes.libraries": "list_libraries get_library list_library_files",
    },
    "files:write": {
        "routes.files": "upload delete process attach detach replace",
        "routes.libraries": "add_library_file remove_library_file",
    },
    "models:read": {"routes.models": "list_models default_model status", "openai.routes": "list_models get_model"},
}
SCOPE_OF: Final[Mapping[str, Scope]] = {
    f"api.{module}.{name}": scope
    for scope, modules in _ROUTES.items()
    for module, names in modules.items()
    for name in names.split()
}
# For people who are signed in, and for those who are not yet: no key is good there.
CLOSED_TO_KEYS: Final = frozenset(
    f"api.{module}.{name}"
    for module, names in {
        "routes.auth": "register invitation_state login refresh logout me ways_to_sign_in change_me delete_me "
        "change_password forgot_password reset_password sessions end_session",
        "routes.two_factor": "begin_two_factor confirm_two_factor renew_recovery_codes switch_two_factor_off",
        "routes.oidc": "methods oidc_login oidc_callback oidc_backchannel_logout delete_identity",
        "routes.api_keys": "list_api_keys create_api_key revoke_api_key",
        "routes.assistants": "create_assistant change_assistant delete_assistant",
        "routes.shares": "create_share list_shares revoke_share read_share",
        "routes.prompts": "create_prompt change_prompt delete_prompt",
        "routes.personal": "get_profile change_profile list_memories add_memory delete_memory delete_all_memories",
        "routes.admin": "list_users change_user change_users delete_user user_usage recent_errors list_feedback "
        "list_invitations create_invitation delete_invitation list_all_libraries take_over_library",
        "routes.mcp_servers": "list_mcp_servers create_mcp_server change_mcp_server delete_mcp_server",
        "routes.stats": "user_stats system_stats",
        "routes.audit": "list_audit",
        "routes.announcements": "list_announcements create_announcement delete_announcement",
        "routes.budgets": "budgets_left list_budgets set_budget delete_budget",
        "routes.model_rules": "list_model_rules set_model_rule delete_model_rule list_model_prices set_model_price "
        "delete_model_price",
        "routes.retention": "get_retention set_retention preview_retention apply_retention list_holds place_hold "
        "release_hold preview_user_erasure erase_user",
        "routes.groups": "list_groups create_group change_group delete_group list_group_members "
        "set_group_member remove_group_member",
        "routes.libraries": "create_library change_library delete_library list_library_members set_library_member "
        "remove_library_member",
        "routes.studio": "graph",
        "routes.health": "health ready metrics",
        "agent_server.assistants": "is_ok info",
    }.items()
    for name in names.split()
)


def scope_of(path: str, endpoint: Callable[..., Any]) -> Scope | None:
    """Return the scope that a key needs for a route, None where no key is good for it."""
    if path.startswith(_LANGSERVE):
        return "chat"
    return SCOPE_OF.get(f"{endpoint.__module__}.{endpoint.__name__}")


def required_scope(request: Request) -> Scope | None:
    """Return the scope that a key needs for the route of this request, None where no key is good for it."""
    endpoint = request.scope.get("endpoint")
    return scope_of(path_of(request), endpoint) if endpoint else None
