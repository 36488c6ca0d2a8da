"""Today's date, which a model can't know."""

from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from langchain_core.tools import StructuredTool
from pydantic import Field

from graphs.tools.spec import ToolFailed, ToolSpec


async def current_date(
    timezone: Annotated[str | None, Field(description="A name like Europe/Berlin; UTC where none is given")] = None,
) -> str:
    """Return today's date, the weekday and the time."""
    try:
        now = datetime.now(ZoneInfo(timezone) if timezone else UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolFailed("There is no such time zone.") from None
    return now.strftime("%A, %Y-%m-%d, %H:%M") + f" ({timezone or 'UTC'})"


SPEC = ToolSpec(StructuredTool.from_function(coroutine=current_date), title="Today's date")
