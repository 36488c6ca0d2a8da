"""What a call of a model takes, for whoever watches: as series for Prometheus, and as a span where anybody traces.

The span's attributes are OpenTelemetry's for generative AI; texts are in it where the operator asks for them.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from langchain_core.messages import BaseMessage

from chains.types import End, ModelParams, Target, Usage
from llama_service import tracing
from llama_service.metrics import PROVIDER_FIRST_TOKEN_SECONDS, PROVIDER_TOKEN_RATE, PROVIDER_TOKENS

# The conventions' name where they have one.
_PROVIDERS: Final = {"openai": "openai", "ollama": "ollama", "aihub": "aihub", "embedded": "llama.cpp"}
_ROLES: Final = {"human": "user", "ai": "assistant"}


class CallMeter:
    """One call, from now on."""

    def __init__(self, target: Target, prompt: Sequence[BaseMessage], params: ModelParams) -> None:
        self._source = target.source
        self._began = time.perf_counter()
        self._first: float | None = None
        self.span = tracing.begin_span(
            f"chat {target.model}",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": _PROVIDERS[target.source],
                "gen_ai.request.model": target.model,
                "gen_ai.request.temperature": params.temperature,
                "gen_ai.request.max_tokens": params.max_tokens,
                "gen_ai.request.stream": True,
            },
        )
        if tracing.shows_text() and self.span.is_recording():
            self.span.set_attribute("gen_ai.input.messages", json.dumps([_message(message) for message in prompt]))

    def note_first(self) -> None:
        """Hear that the first text, or thought, is there."""
        self._first = time.perf_counter()
        seconds = self._first - self._began
        PROVIDER_FIRST_TOKEN_SECONDS.labels(self._source).observe(seconds)
        self.span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def note_end(self, end: End, usage: Usage, parts: Sequence[str]) -> None:
        """Hear how an answer ended by itself, what it cost, and its text."""
        PROVIDER_TOKENS.labels(self._source, "prompt").inc(usage.input_tokens)
        PROVIDER_TOKENS.labels(self._source, "answer").inc(usage.output_tokens)
        if self._first is not None and usage.output_tokens > 1:
            seconds = max(time.perf_counter() - self._first, 1e-6)
            PROVIDER_TOKEN_RATE.labels(self._source).observe((usage.output_tokens - 1) / seconds)
        if not self.span.is_recording():
            return
        self.span.set_attributes(
            {
                "gen_ai.response.finish_reasons": [end.finish_reason],
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
            }
        )
        if end.model is not None:
            self.span.set_attribute("gen_ai.response.model", end.model)
        if tracing.shows_text():
            said = {"role": "assistant", "parts": _text("".join(parts)), "finish_reason": end.finish_reason}
            self.span.set_attribute("gen_ai.output.messages", json.dumps([said]))


@asynccontextmanager
async def measured(target: Target, prompt: Sequence[BaseMessage], params: ModelParams) -> AsyncIterator[CallMeter]:
    """Measure a call for as long as the block lasts."""
    meter = CallMeter(target, prompt, params)
    try:
        yield meter
    except (GeneratorExit, asyncio.CancelledError):
        raise  # the caller has heard enough
    except BaseException as error:
        tracing.note_error(meter.span, error)
        raise
    finally:
        meter.span.end()


def _message(message: BaseMessage) -> dict[str, Any]:
    return {"role": _ROLES.get(message.type, message.type), "parts": _text(message.text)}


def _text(content: str) -> list[dict[str, str]]:
    return [{"type": "text", "content": content}]
