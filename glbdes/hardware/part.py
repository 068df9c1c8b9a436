"""What the parts of a profile have in common: frozen models, and numbers of bearable size."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from glbdes.scenario.sizes import MOST_PATH, MOST_TOKENS, bearable, plain

Positive = Annotated[float, Field(gt=0), AfterValidator(bearable)]
NonNegative = Annotated[float, Field(ge=0), AfterValidator(bearable)]
Text = Annotated[str, Field(max_length=MOST_PATH), AfterValidator(plain)]
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
# A list in TOML is a tuple here; lengths are checked against one another by the profile's rules.
Positives = Annotated[tuple[Positive, ...], Field(strict=False)]


class Part(BaseModel):
    """Frozen, closed to keys that it does not know, and strict: text is never taken for a number, nor infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
