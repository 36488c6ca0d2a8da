"""Shapes of statistics and of the server's state."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Shape
from api.schemas.models import StatusRead


class DayUsage(Shape):
    """Answers, tokens and US dollars of a day (UTC)."""

    day: str
    answers: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class ModelUsage(Shape):
    """Answers, tokens and US dollars of a model; those whose price nobody knows count nothing."""

    model: str
    answers: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class UserStats(Shape):
    """What an account has and used; `bytes` are of its files, days and models of the last 90 days.

    Tokens and costs are those of answers that were made here, not of imported ones.
    """

    conversations: int
    messages: int
    files: int
    bytes: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    by_day: list[DayUsage]
    by_model: list[ModelUsage]
    files_limit: int | None = Field(default=None, description="Files that the account may have; null for the server")
    bytes_limit: int | None = None


class ErrorEntry(Shape):
    """An error of this server or of a provider; the request's lines in the log have the same id."""

    request_id: str
    where: str
    code: str
    status: int
    at: datetime


class ErrorList(Shape):
    """The newest errors of the process that answers, newest first."""

    items: list[ErrorEntry]


class IndexState(Shape):
    """Postgres's passages and vectors, and how many the index holds (null: it can't be asked)."""

    engine: str = Field(description="What keeps the index: Chroma, pgvector or Milvus")
    passages: int
    vectors: int
    indexed: int | None
    other_model: int = Field(description="Files that were embedded by another model; `reindex` embeds them anew")


class SystemStats(UserStats):
    """The same over all accounts, and the server's own state. Sizes are in bytes."""

    users: int
    running: int
    queue: dict[str, int]
    providers: dict[str, StatusRead]
    sizes: dict[str, int]
    checkpoint_bytes_per_turn: int | None
    index: IndexState
    started_at: datetime


class Health(Shape):
    """The process is alive."""

    status: Literal["healthy"]
    version: str
    timestamp: datetime


class Readiness(Shape):
    """Whether the server can do its work, and the state of each part that it needs."""

    status: Literal["ready", "degraded", "unavailable"]
    checks: dict[str, dict[str, Any]]
