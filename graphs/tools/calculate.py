"""Arithmetic, exactly: what language models are bad at."""

import ast
import asyncio
import math
import operator
from collections.abc import Callable
from typing import Annotated, Any

from langchain_core.tools import StructuredTool
from pydantic import Field
from simpleeval import DEFAULT_OPERATORS, NumberTooHigh, SimpleEval, safe_mult, safe_power

from graphs.tools.spec import ToolFailed, ToolSpec

_FUNCTIONS = {
    **{name: getattr(math, name) for name in ("sqrt", "exp", "log", "log10", "log2", "sin", "cos", "tan", "floor")},
    **{"ceil": math.ceil, "abs": abs, "round": round, "min": min, "max": max},
}
_MOST_BITS = 14_000  # of a whole number: what Python writes in digits (4,300 of them)


def _bounded(act: Callable[[Any, Any], Any], bits: Callable[[int, int], int]) -> Callable[[Any, Any], Any]:
    """Let an operator refuse whole numbers of more digits than are shown: they hold the processor, and all others up.

    The library bounds powers by their operands alone, at results of millions of digits.
    """

    def bounded(a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int) and bits(a, b) > _MOST_BITS:
            raise NumberTooHigh("The number would have too many digits.")
        return act(a, b)

    return bounded


_OPERATORS = {
    **DEFAULT_OPERATORS,
    ast.Pow: _bounded(safe_power, lambda a, b: int(math.log2(abs(a)) * max(0, b)) if a else 0),
    ast.Mult: _bounded(safe_mult, lambda a, b: a.bit_length() + b.bit_length()),
    ast.LShift: _bounded(operator.lshift, lambda a, b: a.bit_length() + max(0, b)),
}


def _value(expression: str) -> Any:
    # Texts are bounded by the library.
    calculator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={"pi": math.pi, "e": math.e})
    return calculator.eval(expression.replace("^", "**"))


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
