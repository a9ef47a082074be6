"""What can be set of the model server, each by a variable of the environment."""

import os
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reload_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often the registry is asked for moved aliases."""
    body_bytes: Annotated[int, Field(gt=0)] = 16 * 2**20
    batch_rows: Annotated[int, Field(gt=0)] = 10_000

    @classmethod
    def from_environment(cls) -> "Settings":
        """From SLIPWAY_PREDICT_RELOAD_SECONDS and so on.

        Raises:
            pydantic.ValidationError: a variable does not hold what it should.
        """
        names = {field: f"SLIPWAY_PREDICT_{field.upper()}" for field in cls.model_fields}
        given = {field: os.environ[name] for field, name in names.items() if name in os.environ}
        return cls.model_validate(given)
