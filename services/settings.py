"""Base class for the settings of a service, read from environment variables."""

import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from slipway import home

HOST_NAME = r"^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$"


class BadSettings(ValueError):
    """Raised when a variable has an invalid value; the message names the variable."""


def _split(value: Any) -> Any:
    """Split a variable such as `models.example.org, predict`."""
    return tuple(re.split(r"[,\s]+", value.strip())) if isinstance(value, str) else value


HostNames = Annotated[tuple[Annotated[str, Field(pattern=HOST_NAME)], ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """The common settings. A subclass defines `prefix`, as in `SLIPWAY_PREDICT_WORKERS=4`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: ClassVar[str]

    host: str = home.LOOPBACK
    """The address to listen on; any but loopback needs at least one API key."""
    require_keys: bool = False
    """True if requests need an API key on loopback as well."""
    hosts: HostNames = ()
    """Names of this service in a Host header, separated by commas.

    IP addresses and localhost are always accepted. Without any name, others are accepted only if
    requests need a key: a page that DNS rebinding led to this machine has none.
    """
    connections: Annotated[int, Field(gt=0)] = 1000
    """Concurrent connections of a process; it responds 503 to more."""
    client_connections: Annotated[int, Field(gt=0)] = 1000
    """Concurrent connections from one address, which may be a proxy's."""
    slow_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time to receive a request, besides a second for each 16 KiB of its body, and the longest
    pause in which nothing of it arrives."""
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
