"""Arithmetic, exactly: what language models are bad at."""

import asyncio
import math
from typing import Annotated, Any

from langchain_core.tools import StructuredTool
from pydantic import Field
from simpleeval import SimpleEval

from graphs.tools.spec import ToolFailed, ToolSpec

_FUNCTIONS = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "log10", "log2", "sin", "cos", "tan", "floor")},
    **{"ceil": math.ceil, "abs": abs, "round": round, "min": min, "max": max},
}


def _value(expression: str) -> Any:
    # Powers, shifts and texts are bounded by the library.
    return SimpleEval(functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e}).eval(expression.replace("^", "**"))


async def calculate(
    expression: Annotated[
        str, Field(description="For example (1200 * 1.19) / 12 or sqrt(2) ^ 3", min_length=1, max_length=1000)
    ],
) -> str:
    """Calculate an arithmetic expression exactly."""
    try:
        value = await asyncio.to_thread(_value, expression)
        shown = f"{value:.15g}" if isinstance(value, float) else str(value)
    except Exception as error:  # the library raises its own kinds and Python's: all of them are about the expression
        raise ToolFailed(f"This can't be calculated: {str(error)[:300] or type(error).__name__}") from None
    return shown[:2000]


SPEC = ToolSpec(StructuredTool.from_function(coroutine=calculate), title="Calculate")
