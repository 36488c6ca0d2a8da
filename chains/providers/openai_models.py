"""What is known of OpenAI's models: which of them chat, what they read and can do."""

import re
from collections.abc import Mapping
from typing import Any

from langchain_openai.data._profiles import _PROFILES  # public only through an instance for each model

from chains.types import Capabilities, ModelInfo

_OFFICIAL_NO_CHAT = re.compile(
    r"embed|whisper|tts|dall-e|moderation|davinci|babbage|transcribe|realtime|audio|image|sora|codex|instruct"
    r"|deep-research|computer-use|-pro\b|search"
)
_NO_CHAT = re.compile(r"embed|whisper|\btts|rerank|\bbge-|\be5-|moderation")

_DATE = re.compile(r"-\d{4}(-\d{2}-\d{2})?$")


def _profile(name: str) -> Mapping[str, Any]:
    """Return LangChain's profile of an OpenAI model (data of models.dev), by its name with or without date."""
    return _PROFILES.get(name) or _PROFILES.get(_DATE.sub("", name)) or {}


def known_window(name: str) -> int | None:
    """Return the tokens that a model of OpenAI's reads, None for a model that is not known."""
    return _profile(name).get("max_input_tokens") or None


def sees_pictures(name: str) -> bool:
    """Whether a model takes pictures; one that is not known may."""
    profile = _profile(name)
    return bool(profile.get("image_inputs")) if profile else True


def is_chat_model(name: str, *, official: bool) -> bool:
    """Tell by its name whether a model chats through `/chat/completions`."""
    return not (_OFFICIAL_NO_CHAT if official else _NO_CHAT).search(name.lower())


def _told_window(row: Mapping[str, Any]) -> int | None:
    """Return the window that a server tells: vLLM, LM Studio and others, llama.cpp, each in its own field."""
    meta = row.get("meta")
    told = [row.get(key) for key in ("max_model_len", "context_length", "context_window", "max_context_length")]
    if isinstance(meta, dict):
        told += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    return next((int(value) for value in told if isinstance(value, int) and value > 0), None)


def model_info(row: Mapping[str, Any], *, default: str | None) -> ModelInfo:
    """Return what is known of a row of `/models`."""
    name = str(row["id"])
    profile = _profile(name)
    meta = row.get("meta")
    size = meta.get("size") if isinstance(meta, dict) else None
    return ModelInfo(
        name=name,
        size=size if isinstance(size, int) else None,
        context_window=_told_window(row) or known_window(name),
        max_output_tokens=profile.get("max_output_tokens") or None,
        capabilities=Capabilities(tools=bool(profile.get("tool_calling")), vision=bool(profile.get("image_inputs"))),
        default=name == default,
    )
