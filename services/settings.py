"""Settings of a service, each by a variable of the environment."""

import os
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A subclass names its `prefix`: `SLIPWAY_PREDICT_WORKERS=4` sets `workers`, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]

    @classmethod
    def variable(cls, field: str) -> str:
        """The variable that sets it."""
        return cls.prefix + field.upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Fields without a variable keep their defaults.

        Raises:
            pydantic.ValidationError: a variable does not hold what it should.
        """
        names = {field: cls.variable(field) for field in cls.model_fields}
        given = {field: os.environ[name] for field, name in names.items() if name in os.environ}
        return cls.model_validate(given)
