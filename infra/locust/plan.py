"""The plan of a load test, passed to Locust's process in one environment variable."""

import os
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from infra.locust.limits import Limits
from slipway import home

VARIABLE = "SLIPWAY_LOAD_PLAN"
ALLOWED = "SLIPWAY_LOAD_ANYWHERE"


class TargetRefused(Exception):
    """The server is not on this machine, or its address is not plain http; the message says
    which."""


class LoadPlan(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(default_factory=lambda: f"http://{home.LOOPBACK}:{home.port('predict')}")
    anywhere: bool = False
    """True if another machine's server may be loaded."""
    key: Annotated[str, Field(pattern=r"^[\x21-\x7e]*$", repr=False)] = ""
    """An API key of scope `predict`, if the server requires one."""
    users: Annotated[int, Field(ge=1, le=1000)] = 8
    """Number of users; each waits for its response, then 0.1 to 0.3 s."""
    seconds: Annotated[float, Field(gt=0, le=3600)] = 20
    """Duration of each of the two loads."""
    rate: Annotated[float, Field(gt=0, le=10_000)] = 20
    """Requests a second of the open loop."""
    batch_rows: Annotated[int, Field(ge=2, le=1000)] = 4
    """Records in a batch request."""
    limits: Limits = Field(default_factory=Limits)

    @field_validator("host")
    @classmethod
    def _without_slash(cls, host: str) -> str:
        return host.rstrip("/")

    def check(self) -> None:
        """Check that the host is allowed and plain http.

        Raises:
            Refused: it is not.
        """
        place = urlsplit(self.host)
        # The generator of the open loop speaks no TLS.
        if place.scheme != "http" or not place.hostname or place.path:
            raise TargetRefused(f"host must have the form http://HOST:PORT, got {self.host!r}")
        if not self.anywhere and not home.on_loopback(place.hostname):
            raise TargetRefused(
                f"{place.hostname} is not this machine, and load on a server that is not yours is "
                f"an attack; if it is yours: {ALLOWED}=1"
            )

    @classmethod
    def from_environment(cls) -> "LoadPlan":
        """Return the plan that the parent process passed on, or the default."""
        return cls.model_validate_json(os.environ.get(VARIABLE, "{}"))
