"""Settings of a service, each by a variable of the environment."""

import os
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway import home


class BadSettings(ValueError):
    """A variable does not hold what it should; the message names it."""


class Settings(BaseModel):
    """A subclass names its `prefix`: `SLIPWAY_PREDICT_WORKERS=4` sets `workers`, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]

    host: str = home.LOOPBACK
    """Another address than loopback needs at least one API key."""
    require_keys: bool = False
    """Also on loopback."""
    json_logs: bool = True

    @property
    def records(self) -> Path:
        """The model server's prediction log and feedback."""
        return home.home() / "predictions"

    @classmethod
    def variable(cls, field: str) -> str:
        """The variable that sets it."""
        return cls.prefix + field.upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Fields without a variable keep their defaults.

        Raises:
            BadSettings: a variable does not hold what it should.
        """
        names = {field: cls.variable(field) for field in cls.model_fields}
        given = {field: os.environ[name] for field, name in names.items() if name in os.environ}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False)
            raise BadSettings("\n".join(cls._told(fault) for fault in faults)) from None

    @classmethod
    def _told(cls, fault: object) -> str:
        place, told, given = fault["loc"], fault["msg"], fault["input"]  # type: ignore[index]
        name = cls.variable(str(place[0])) if place else cls.prefix + "..."
        return f"{name}: {told}, got {given!r:.60}"
