"""Kinds of values and of tables in a scenario: each with the rules that one value must meet."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from glbdes.scenario.sizes import (
    MOST_NAME,
    MOST_ONE_WAY_S,
    MOST_PATH,
    MOST_S,
    MOST_TOKENS,
    MOST_WAKE_S,
    bearable,
    plain,
)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=MOST_NAME)]
File = Annotated[str, Field(min_length=1, max_length=MOST_PATH), AfterValidator(plain)]
Label = Annotated[str, Field(min_length=1, max_length=MOST_NAME), AfterValidator(plain)]  # a name of other people's
Number = Annotated[float, AfterValidator(bearable)]
Positive = Annotated[float, Field(gt=0), AfterValidator(bearable)]
NonNegative = Annotated[float, Field(ge=0), AfterValidator(bearable)]
Seconds = Annotated[float, Field(gt=0, le=MOST_S), AfterValidator(bearable)]
SomeSeconds = Annotated[float, Field(ge=0, le=MOST_S), AfterValidator(bearable)]
OneWayS = Annotated[float, Field(ge=0, le=MOST_ONE_WAY_S), AfterValidator(bearable)]
WakeS = Annotated[float, Field(ge=0, le=MOST_WAKE_S), AfterValidator(bearable)]
Tokens = Annotated[float, Field(gt=0, le=MOST_TOKENS), AfterValidator(bearable)]
Knot = Annotated[tuple[NonNegative, SomeSeconds], Field(strict=False)]


class Model(BaseModel):
    """Frozen, closed to keys that it does not know, and strict: text is never taken for a number, nor infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)
