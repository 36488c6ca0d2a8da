"""What an answer costs: the operator's own prices, then the public ones, and never a guess."""

import pytest

from chains.prices import Prices
from chains.types import Usage, sum_of
from llama_service.settings import SettingsError, load_settings

SECRET = "x" * 40


def test_public_prices_are_those_of_openais_own_service() -> None:
    usage = Usage(1_000_000, 1_000_000, 2_000_000)
    prices = Prices({})
    dated, plain = (prices.cost("openai", name, usage, official=True) for name in ("gpt-4o-2024-08-06", "gpt-4o"))
    assert dated == plain
    assert dated is not None
    assert dated > 0
    assert prices.per_million("openai", "gpt-4o", official=True) == pytest.approx((2.5, 10))
    assert prices.cost("openai", "gpt-4o", usage, official=False) is None
    assert prices.cost("openai", "no-such-model", usage, official=True) is None


def test_what_the_provider_had_read_before_costs_less() -> None:
    prices = Prices({})
    fresh = prices.cost("openai", "gpt-4o", Usage(1000, 0, 1000), official=True)
    cached = prices.cost("openai", "gpt-4o", Usage(1000, 0, 1000, cached_tokens=800), official=True)
    more = prices.cost("openai", "gpt-4o", Usage(1000, 0, 1000, cached_tokens=9999), official=True)
    assert fresh is not None
    assert cached is not None
    assert more is not None
    assert more < cached < fresh


def test_a_sum_is_known_only_where_every_part_is() -> None:
    known, free, unknown = Usage(1, 1, 2, cost_usd=0.5), Usage(1, 1, 2, cost_usd=0.0), Usage(1, 1, 2)
    assert sum_of([known, free]).cost_usd == 0.5
    assert sum_of([known, unknown]).cost_usd is None


def test_an_operators_prices() -> None:
    told = "openai/gpt-4o=1:2, ollama/llama3.2:latest=0:0.5,"
    settings = load_settings(jwt_secret_key=SECRET, model_prices=told)
    assert settings.model_prices == {"openai/gpt-4o": (1, 2), "ollama/llama3.2:latest": (0, 0.5)}
    again = load_settings(jwt_secret_key=SECRET, model_prices=settings.as_variables()["MODEL_PRICES"])
    assert again.model_prices == settings.model_prices, "a child process gets the same"
    prices = Prices(settings.model_prices)
    assert prices.cost("ollama", "llama3.2:latest", Usage(10, 2_000_000, 0), official=False) == 1.0


@pytest.mark.parametrize("told", ["gpt-4=1:2", "openai/gpt-4=1", "openai/gpt-4=a:b", "openai/gpt-4=-1:2", "nonsense"])
def test_prices_that_make_no_sense_stop_the_start(told: str) -> None:
    with pytest.raises(SettingsError, match="MODEL_PRICES"):
        load_settings(jwt_secret_key=SECRET, model_prices=told)
