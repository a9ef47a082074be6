"""The plan of a rollout: its checks, its steps, and the limits of its rules."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator

Seconds = Annotated[float, Field(gt=0, le=30 * 86400)]
Share = Annotated[float, Field(ge=0, lt=1)]
Check = Literal["gate", "parity", "comparison"]


class RolloutPlan(BaseModel):
    """The settings of a rollout; the defaults suit a model with a few requests per second."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    checks: tuple[Check, ...] = ("gate", "parity", "comparison")
    """Run before the version gets a request. The promotion log names those that are left out."""
    parity_error: Annotated[float, Field(ge=0)] = 1e-3
    """Largest error between training framework and served model; relative for values above 1."""
    parity_agreement: Annotated[float, Field(ge=0, le=1)] = 0.999
    """Smallest share of labels on which training framework and served model agree."""
    comparison_seconds: Seconds = 900
    """Time limit of the comparison with the champion."""

    shadow: Annotated[float, Field(ge=0, le=100)] = 10
    """Percentage of requests that are mirrored to the version; 0 skips the shadow stage."""
    shadow_requests: Annotated[int, Field(ge=1)] = 200
    """Mirrored requests that the stage needs at least."""
    shadow_seconds: Annotated[float, Field(ge=0)] = 300
    """Time that the stage takes at least."""

    canary: Annotated[
        tuple[Annotated[float, Field(gt=0, le=90)], ...], Field(min_length=1, max_length=10)
    ] = (5, 25, 50)
    """Percentage of requests that the version serves, step by step. At most 90, because the
    champion must serve enough to be compared with."""
    requests: Annotated[int, Field(ge=1)] = 300
    """Requests that a step needs at least."""
    labels: Annotated[int, Field(ge=0)] = Field(
        default=0, validation_alias=AliasChoices("labels", "truths")
    )
    """Labels that a step needs at least, for each of the two versions. Earlier versions
    wrote `truths`."""
    seconds: Annotated[float, Field(ge=0)] = 300
    """Time that a step takes at least, from when all servers serve the version."""
    patience_seconds: Seconds = 86400
    """Time limit of the shadow stage and of a step; then the version is rolled back."""
    serve_seconds: Seconds = 120
    """Time limit until every server serves the version."""
    blind_seconds: Seconds = 300
    """Time limit without metrics from a server: no version serves unobserved."""

    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    """Upper bound of the probability that any statistical rule, at any look, rolls back a version
    as good as the champion. Each rule in each stage has an equal share of it."""
    error_margin: Share = 0
    """Tolerated difference between the version's and the champion's share of failed requests."""
    slow_quantile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    slow_ratio: Annotated[float, Field(ge=1, le=100)] = 2
    slow_floor_seconds: Annotated[float, Field(ge=0)] = 0.01
    """A request is slow if it takes longer than the champion's quantile times the ratio, and longer
    than the quantile plus the floor. A version is slow if its share of slow requests exceeds the
    champion's by more than 1 - quantile."""
    baseline_requests: Annotated[int, Field(ge=20)] = 100
    """Requests of the champion that its quantile needs at least."""
    quality_margin: Annotated[float, Field(ge=0)] = 0
    """The margin by which its mean score may be below the champion's, in the unit of the scores."""
    disagreement: Annotated[float, Field(gt=0, lt=1)] | None = 0.3
    """Largest share of requests for which shadow and champion may differ."""
    tolerance: Share = 0.1
    """Numbers agree within this relative difference. Labels agree if they are equal."""

    interval_seconds: Annotated[float, Field(gt=0, le=60)] = 2
    """Time between two observations."""

    @field_validator("canary")
    @classmethod
    def _check_rising(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"each step must be above the one before, got {list(steps)}")
        return steps

    @property
    def tests(self) -> int:
        """The number of statistical tests: errors, latency and quality in each step, errors and
        disagreement in the shadow stage."""
        return 3 * len(self.canary) + (2 if self.shadow else 0)

    @property
    def coverage(self) -> float:
        """The coverage of each test's interval, so that all together hold with 1 - alpha."""
        return 1 - self.alpha / self.tests


class BadPlan(ValueError):
    """Raised for an invalid plan; the message names the field and the valid values."""


def default() -> RolloutPlan:
    """Return the plan in the file $SLIPWAY_ROLLOUT_PLAN if it is set, else the default plan.

    Raises:
        BadPlan, OSError: as `read` does.
    """
    file = os.environ.get("SLIPWAY_ROLLOUT_PLAN")
    return read(Path(file)) if file else RolloutPlan()


def read(file: Path) -> RolloutPlan:
    """Return the plan in a YAML file; missing fields keep their defaults.

    Raises:
        BadPlan: a field is unknown or out of range, or the file holds no mapping.
        OSError: the file cannot be read.
    """
    import yaml

    try:
        given = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise BadPlan(f"{file}: {error}") from None
    if not isinstance(given, dict):
        raise BadPlan(f"{file}: must be a mapping like `canary: [5, 25]`, got {given!r:.40}")
    try:
        return RolloutPlan(**{str(name): value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadPlan(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
