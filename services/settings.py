"""Base class for the settings of a service, read from environment variables."""

import os
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway import home


class BadSettings(ValueError):
    """Raised when a variable has an invalid value; the message names the variable."""


class Settings(BaseModel):
    """The common settings. A subclass defines `prefix`, as in `SLIPWAY_PREDICT_WORKERS=4`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]

    host: str = home.LOOPBACK
    """The address to listen on; any but loopback needs at least one API key."""
    require_keys: bool = False
    """True if requests need an API key on loopback as well."""
    json_logs: bool = True

    @property
    def records(self) -> Path:
        """The folder of the model server's prediction log and feedback."""
        return home.home() / "predictions"

    @classmethod
    def variable(cls, field: str) -> str:
        """Return the environment variable that sets the field."""
        return cls.prefix + field.upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Read the settings; fields without a variable keep their defaults.

        Raises:
            BadSettings: a variable has an invalid value.
        """
        names = {field: cls.variable(field) for field in cls.model_fields}
        given = {field: os.environ[name] for field, name in names.items() if name in os.environ}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False)
            raise BadSettings("\n".join(cls._format_fault(fault) for fault in faults)) from None

    @classmethod
    def _format_fault(cls, fault: object) -> str:
        location, message, value = fault["loc"], fault["msg"], fault["input"]  # type: ignore[index]
        name = cls.variable(str(location[0])) if location else cls.prefix + "..."
        return f"{name}: {message}, got {value!r:.60}"
