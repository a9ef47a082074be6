"""The split of a project's traffic among its versions; stored as a tag in the registry."""

import json
import time
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG = "slipway.policy"
# The champion gets the requests that the others do not get.
CHAMPION, CHALLENGER, SHADOW = VARIANTS = ("champion", "challenger", "shadow")

LONGEST_SECONDS = 600

Percent = Annotated[float, Field(ge=0, le=100)]


class Policy(BaseModel):
    """The split of a project's traffic; the default sends everything to the champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    challenger: Percent = 0
    """Percentage of requests that the challenger serves: an A/B test with `key`, else a canary."""
    key: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")] | None = None
    """A field of the record: the same value always gets the same version. The header Slipway-Key
    does the same for any record and has precedence."""
    salt: Annotated[str, Field(max_length=64)] = ""
    """A new salt assigns the keys anew, so that a second test does not reuse the first's groups."""
    shadow: Percent = 0
    """Percentage of requests that are mirrored to the shadow, whose predictions are only logged."""
    since: float = 0
    """Unix time from which a comparison counts: the last change of the traffic split."""

    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)] = 10
    """Time limit of a request; of a slow model at least twice its longest call, unless it is set
    by hand."""
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests that may wait for the model; the next one gets 503 and Retry-After."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Calls of the model at the same time, for models that do not run on the event loop."""


def read(text: str | None) -> Policy:
    """Return the policy in a tag's text, or the default one without a tag.

    Raises:
        pydantic.ValidationError: the tag does not hold a policy.
    """
    return Policy.model_validate_json(text) if text else Policy()


def for_latency(policy: Policy, seconds: float) -> Policy:
    """Return the policy with more time for a model whose longest call takes `seconds`.

    A time limit that was set by hand stays.
    """
    if "timeout_seconds" in policy.model_fields_set:
        return policy
    limit = min(LONGEST_SECONDS, max(policy.timeout_seconds, 2 * seconds))
    return policy.model_copy(update={"timeout_seconds": limit})


def write(registry: "MlflowClient", project: str, policy: Policy) -> Policy:
    """Write the policy and return it as written; servers follow within their reload time.

    Raises:
        mlflow.exceptions.MlflowException: the registry has no such project, or is unavailable.
    """
    before = read(registry.get_registered_model(project).tags.get(TAG))
    split = ("challenger", "key", "salt")
    same = all(getattr(before, name) == getattr(policy, name) for name in split)
    since = before.since if same else round(time.time(), 3)
    written = policy.model_copy(update={"since": since})
    # A time limit counts as set by hand even if it is the default one.
    kept = written.model_dump(exclude_defaults=True)
    if "timeout_seconds" in written.model_fields_set:
        kept["timeout_seconds"] = written.timeout_seconds
    registry.set_registered_model_tag(project, TAG, json.dumps(kept))
    return written
