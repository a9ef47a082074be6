"""How a project's traffic is divided among its versions, kept as a tag in the registry."""

import time
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "slipway.policy"
# What it divides among; the champion gets what the others leave.
CHAMPION, CHALLENGER, SHADOW = VARIANTS = ("champion", "challenger", "shadow")

Percent = Annotated[float, Field(ge=0, le=100)]


class Policy(BaseModel):
    """The default sends everything to the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    challenger: Percent = 0
    """Of the requests. With `key` an A/B test, without a canary."""
    key: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")] | None = None
    """A field of the record by which a caller always meets the same version. The header
    Slipway-Key does the same for any record and outranks it."""
    salt: Annotated[str, Field(max_length=64)] = ""
    """Another salt deals the keys anew: a second test is not read off the first one's groups."""
    shadow: Percent = 0
    """Of the requests that are asked of the version called `shadow` as well, and only logged."""
    since: float = 0
    """Unix time from which the comparison counts: when the traffic was last divided anew."""

    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests that may wait for the model; the next one gets 503 and Retry-After."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Calls of the model at once, for models that do not run on the event loop."""


def read(text: str | None) -> Policy:
    """From the tag; without one, the default.

    Raises:
        pydantic.ValidationError: the tag does not hold a policy.
    """
    return Policy.model_validate_json(text) if text else Policy()


def write(registry: "MlflowClient", project: str, policy: Policy) -> Policy:
    """Servers follow within their reload time; the policy as it was written.

    Raises:
        mlflow.exceptions.MlflowException: the registry has no such project, or is away.
    """
    before = read(registry.get_registered_model(project).tags.get(TAG))
    dealt = ("challenger", "key", "salt")
    same = all(getattr(before, name) == getattr(policy, name) for name in dealt)
    since = before.since if same else round(time.time(), 3)
    written = policy.model_copy(update={"since": since})
    text = written.model_dump_json(exclude_defaults=True)
    registry.set_registered_model_tag(project, TAG, text)
    return written
