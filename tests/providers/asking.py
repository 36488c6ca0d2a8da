"""Short ways for tests to set up a registry and to ask it."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from chains.models import ModelRegistry
from chains.types import StreamEnd, StreamStart
from llama_service.settings import Settings
from tests.providers.aihub import STREAM_PATH, AIHubServer

Open = Callable[..., Any]

QUESTION = "Why is the sky blue over the sea?"
PROMPT: list[BaseMessage] = [SystemMessage("Answer briefly."), HumanMessage(QUESTION)]
EXPECTED = "You asked 33 characters, backwards: sea the over blue sky the is Why."


async def ask(
    registry: ModelRegistry, prompt: Sequence[BaseMessage] | None = None, **how: Any
) -> tuple[StreamStart, str, StreamEnd]:
    """Return the parts of a whole answer, having checked their order."""
    items = [item async for item in registry.stream(prompt or PROMPT, **how)]
    start, *deltas, end = items
    assert isinstance(start, StreamStart)
    assert isinstance(end, StreamEnd)
    assert all(isinstance(delta, str) for delta in deltas)
    return start, "".join(str(delta) for delta in deltas), end


def settings_for(**given: Any) -> Settings:
    """Return settings that point nowhere but where `given` says, with short times."""
    quiet: dict[str, Any] = {
        "jwt_secret_key": "t" * 40,
        "openai_base_url": "http://127.0.0.1:9/v1",
        "embeddings_baseurl": "http://127.0.0.1:9",
        "provider_connect_timeout": 0.5,
        "provider_first_token_timeout": 0.4,
        "provider_between_tokens_timeout": 0.3,
        "provider_probe_timeout": 0.5,
        "provider_max_retries": 2,
    }
    return Settings(_env_file=None, **{**quiet, **given})


def hub_settings(hub: AIHubServer, **given: Any) -> dict[str, Any]:
    """Return the settings that make `hub` the AI HUB."""
    return {
        "aihub_url": hub.url,
        "aihub_keycloak_host": hub.token_url,
        "aihub_client_id": hub.client_id,
        "aihub_client_secret": hub.client_secret,
        "aihub_model": "hub-chat",
        "aihub_embed_model": "hub-embed",
        "aihub_chat_stream_path": STREAM_PATH,
        "aihub_verify_ssl": True,
        **given,
    }
