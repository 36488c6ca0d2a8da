"""What an answer costs: the operator's own prices, else the public ones of OpenAI's models.

The public prices are those of the `genai-prices` package, which its maintainers keep up; nothing is asked over the
network.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from chains.types import Usage

_MILLION = 1_000_000


class Prices:
    """Prices in US dollars for a million tokens in and out; `own` ones (`MODEL_PRICES`) are by `source/model`.

    Those that administrators have set (`edited`) go before them.

    The first look at a public price reads the package's list, 0.2 s of CPU; a model's own first look takes 0.3 ms.
    """

    def __init__(self, own: Mapping[str, tuple[float, float]]) -> None:
        self._own = own
        self.edited: Mapping[str, tuple[float, float]] = {}

    def _set_for(self, source: str, model: str) -> tuple[float, float] | None:
        key = f"{source}/{model}"
        return self.edited.get(key) or self._own.get(key)

    def cost(self, source: str, model: str, usage: Usage, *, official: bool) -> float | None:
        """Return US dollars, None where no price is known. `official` tells that OpenAI itself has answered."""
        own = self._set_for(source, model)
        if own is not None:
            return (usage.input_tokens * own[0] + usage.output_tokens * own[1]) / _MILLION
        if not official or _public(model) is None:
            return None
        cached = min(usage.cached_tokens, usage.input_tokens) or None
        priced = PricedUsage(
            input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=cached
        )
        return float(calc_price(priced, model, provider_id="openai").total_price)

    def per_million(self, source: str, model: str, *, official: bool) -> tuple[float, float] | None:
        """Return what a million tokens in and a million tokens out cost, None where no price is known."""
        if (own := self._set_for(source, model)) is not None:
            return own
        return _public(model) if official else None


@lru_cache(maxsize=1024)
def _public(model: str) -> tuple[float, float] | None:
    prices: list[Decimal] = []
    for usage in (PricedUsage(input_tokens=_MILLION), PricedUsage(output_tokens=_MILLION)):
        try:
            prices.append(calc_price(usage, model, provider_id="openai").total_price)
        except LookupError:
            return None
    return float(prices[0]), float(prices[1])
