"""Shapes of rules for models and of their prices."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from api.schemas.common import Body, Shape
from llama_service.errors import InvalidValue
from llama_service.settings import ProviderName
from persistence.model_rules import RuleView

ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
SystemPrompt = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8_000)]
Dollars = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]


class AllowedModelShape(Body, Shape):
    """A model that may be used; without a name every model of the source."""

    source: ProviderName
    name: ModelName | None = None


class ModelRuleSet(Body):
    """What a group (null: everybody) may use of models. One that is there for the same group is replaced.

    `allowed` null allows every model, where no other rule says otherwise: what the lists of a person's groups allow
    counts together, and everybody's list for who is in no group that has one. `default_source` and `default_name`
    answer where nobody chooses a model; a group's goes before everybody's. `system_prompt` stands before every prompt
    and can't be removed; everybody's and those of all groups count.
    """

    group_id: UUID | None = None
    allowed: Annotated[list[AllowedModelShape], Field(max_length=200)] | None = None
    default_source: ProviderName | None = None
    default_name: ModelName | None = None
    system_prompt: SystemPrompt | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.allowed is None and self.default_source is None and self.system_prompt is None:
            raise InvalidValue("empty_rule", "say something: allowed, default_source or system_prompt")
        if self.default_name is not None and self.default_source is None:
            raise InvalidValue("default_source", "default_name needs default_source")
        if self.allowed is not None and self.default_source is not None:
            named = [model.name for model in self.allowed if model.source == self.default_source]
            if not named or (self.default_name not in (None, *named) and None not in named):
                raise InvalidValue("default_not_allowed", "the default model is not among the allowed ones")
        return self


class ModelRuleRead(Shape):
    """A rule for models; `group` is the group's name, null for everybody."""

    id: UUID
    group_id: UUID | None
    group: str | None
    allowed: list[AllowedModelShape] | None
    default_source: ProviderName | None
    default_name: str | None
    system_prompt: str | None

    @classmethod
    def of(cls, view: RuleView) -> Self:
        """Return a rule as administrators see it."""
        names = ("id", "group_id", "allowed", "default_source", "default_name", "system_prompt")
        return cls.model_validate({name: getattr(view.rule, name) for name in names} | {"group": view.group})


class ModelRulesRead(Shape):
    """All rules for models, everybody's first."""

    items: list[ModelRuleRead]


class ModelPriceSet(Body):
    """What a model costs, in US dollars for a million tokens in and out; it goes before every other price."""

    model_source: ProviderName
    model_name: ModelName
    input: Dollars
    output: Dollars


class ModelPriceRead(Shape):
    """What a model costs, in US dollars for a million tokens; `origin` is where that was set."""

    model_source: str
    model_name: str
    input: float
    output: float
    origin: Literal["page", "settings"]


class ModelPricesRead(Shape):
    """The prices that were set here, and by `MODEL_PRICES` where none was set here."""

    items: list[ModelPriceRead]
