"""How a version comes to serve: the checks, the steps, and the rules that send it back."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Seconds = Annotated[float, Field(gt=0, le=30 * 86400)]
Share = Annotated[float, Field(ge=0, lt=1)]
Check = Literal["gate", "parity", "comparison"]


class Plan(BaseModel):
    """The defaults suit a model with some requests a second; every figure can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    checks: tuple[Check, ...] = ("gate", "parity", "comparison")
    """Before it sees a request. What is left out is named in the promotion log."""
    parity_error: Annotated[float, Field(ge=0)] = 1e-3
    """At most, relative above 1, between the training framework and what is served."""
    parity_agreement: Annotated[float, Field(ge=0, le=1)] = 0.999
    """At least, of labels."""
    comparison_seconds: Seconds = 900

    shadow: Annotated[float, Field(ge=0, le=100)] = 10
    """Percent of the requests that the version is asked in secret; 0 leaves the shadow out."""
    shadow_requests: Annotated[int, Field(ge=1)] = 200
    shadow_seconds: Annotated[float, Field(ge=0)] = 300

    canary: Annotated[
        tuple[Annotated[float, Field(gt=0, le=90)], ...], Field(min_length=1, max_length=10)
    ] = (5, 25, 50)
    """Percent of the requests that it answers, step by step. At most 90: the champion must
    answer enough to be compared with."""
    requests: Annotated[int, Field(ge=1)] = 300
    """That it must have answered in a step, at least."""
    truths: Annotated[int, Field(ge=0)] = 0
    """That must have come back in a step, for each of the two versions, at least."""
    seconds: Annotated[float, Field(ge=0)] = 300
    """Of a step, at least, from when the servers answer with it."""
    patience_seconds: Seconds = 86400
    """Of the shadow or a step, at most: what cannot be proven is sent back."""
    serve_seconds: Seconds = 120
    """Until every server answers with it."""
    blind_seconds: Seconds = 300
    """Without figures from a server, at most: nobody answers callers unwatched."""

    alpha: Annotated[float, Field(gt=0, le=0.2)] = 0.01
    """The probability, at most, that a version as good as the champion is sent back by any of
    the statistical rules at any look: each rule in each stage has an equal share of it."""
    error_margin: Share = 0
    """The share of failed requests above the champion's that is put up with."""
    slow_quantile: Annotated[float, Field(ge=0.5, le=0.999)] = 0.95
    slow_ratio: Annotated[float, Field(ge=1, le=100)] = 2
    slow_floor_seconds: Annotated[float, Field(ge=0)] = 0.01
    """A request is slow beyond the champion's quantile times the ratio, and beyond it by the
    floor; a version is when more of its requests are, by 1 - quantile, than of the champion's."""
    baseline_requests: Annotated[int, Field(ge=20)] = 100
    """Of the champion, at least, before its quantile is taken."""
    quality_margin: Annotated[float, Field(ge=0)] = 0
    """By how much its mean score may be below the champion's, in the unit of the scores."""
    disagreement: Annotated[float, Field(gt=0, lt=1)] | None = 0.3
    """The share of requests, at most, that the shadow answers otherwise than the champion."""
    tolerance: Share = 0.1
    """Relative; numbers closer than it agree. Labels agree when they are equal."""

    interval_seconds: Annotated[float, Field(gt=0, le=60)] = 2
    """Between two looks."""

    @field_validator("canary")
    @classmethod
    def _rises(cls, steps: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(steps)):
            raise ValueError(f"each step must be above the one before, got {list(steps)}")
        return steps

    @property
    def tests(self) -> int:
        """Statistical rules times the stages in which they are asked: errors and latency and
        quality in each step, errors and disagreement in the shadow."""
        return 3 * len(self.canary) + (2 if self.shadow else 0)

    @property
    def coverage(self) -> float:
        """Of each rule's interval, so that all of them together hold with 1 - alpha."""
        return 1 - self.alpha / self.tests


class BadPlan(ValueError):
    """The message names the field and what would fit."""


def default() -> Plan:
    """That of the file $SLIPWAY_ROLLOUT_PLAN, if it is set.

    Raises:
        BadPlan, OSError: as `read` does.
    """
    file = os.environ.get("SLIPWAY_ROLLOUT_PLAN")
    return read(Path(file)) if file else Plan()


def read(file: Path) -> Plan:
    """From YAML; what it leaves out keeps its default.

    Raises:
        BadPlan: a field is unknown or out of range, or the file is no mapping.
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
        return Plan(**{str(name): value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadPlan(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
