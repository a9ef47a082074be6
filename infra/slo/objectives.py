"""A service's file `infra/slo/<service>.yaml`: its objectives and its other alerts."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slipway import home

Duration = Annotated[str, Field(pattern="^[1-9][0-9]*[smhd]$")]
Severity = Literal["critical", "warning"]
Summary = Annotated[str, Field(min_length=10, max_length=300)]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the seconds of a duration: `5m` is 300."""
    return int(duration[:-1]) * SECONDS[duration[-1]]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Burn(_Strict):
    """A burn-rate alert: the error budget burns at `factor` times the sustainable rate.

    The long window shows that it matters, the short one that it still goes on.
    """

    factor: float = Field(gt=0)
    long: Duration
    short: Duration
    severity: Severity

    @model_validator(mode="after")
    def _in_order(self) -> "Burn":
        if seconds(self.short) >= seconds(self.long):
            raise ValueError(f"short must be shorter than long, got {self.short} and {self.long}")
        return self


# Table 5-8 of "The Site Reliability Workbook" (Beyer et al., O'Reilly 2018), chapter 5, for a
# period of 30 days: 2 % of the budget gone in an hour, 5 % in six hours, 10 % in three days.
BURNS = (
    Burn(factor=14.4, long="1h", short="5m", severity="critical"),
    Burn(factor=6, long="6h", short="30m", severity="critical"),
    Burn(factor=1, long="3d", short="6h", severity="warning"),
)


class Ratio(_Strict):
    """Counters of failed requests and of all requests."""

    errors: str = Field(min_length=1)
    """A selector, like `slipway_requests_total{status=~"5.."}`."""
    total: str = Field(min_length=1)


class LatencyObjective(_Strict):
    """A histogram: requests that took longer than `seconds` count as failed."""

    histogram: str = Field(pattern="^[a-z_]+$")
    """The metric's name without `_bucket`."""
    seconds: float = Field(gt=0)
    """An upper bound of one of its buckets; the telemetry contract test checks this."""
    matchers: str = ""
    """Label matchers of the selector, such as `variant!="shadow"`."""


class Objective(_Strict):
    """An objective: `percent` of the requests of each project succeed."""

    name: str = Field(pattern="^[a-z_]+$")
    percent: float = Field(ge=50, lt=100)
    ratio: Ratio | None = None
    latency: LatencyObjective | None = None
    least_errors: int = Field(5, ge=1)
    """Minimum of errors in the long window: one failed request of a few must not page."""
    burns: Annotated[tuple[Burn, ...], Field(min_length=1)] = BURNS

    @model_validator(mode="after")
    def _one_indicator(self) -> "Objective":
        if (self.ratio is None) == (self.latency is None):
            raise ValueError(f"objective {self.name} needs either `ratio` or `latency`")
        return self

    @property
    def budget(self) -> float:
        """The share of requests that may fail."""
        return round(1 - self.percent / 100, 8)

    @property
    def windows(self) -> list[str]:
        """The windows of all burns, the shortest first."""
        return sorted(
            {each for burn in self.burns for each in (burn.short, burn.long)}, key=seconds
        )


class Alert(_Strict):
    """An alert with its own expression."""

    name: str = Field(pattern="^[A-Z][A-Za-z]+$")
    expr: str = Field(min_length=1)
    lasts: Duration | None = None
    """The time for which the condition must hold before the alert fires."""
    severity: Severity
    retrain: bool = False
    """True if retraining can cure it: adds `action="retrain"`, which routes it to the trainer."""
    summary: Summary


class ServiceObjectives(_Strict):
    """The content of a service's file."""

    service: str = Field(pattern="^[a-z]+$")
    objectives: list[Objective] = []
    alerts: list[Alert] = []

    @model_validator(mode="after")
    def _one_name_each(self) -> "ServiceObjectives":
        names = [each.name for each in self.objectives] + [each.name for each in self.alerts]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"defined twice: {', '.join(twice)}")
        return self


def folder() -> Path:
    return home.root() / "infra" / "slo"


def read(file: Path) -> ServiceObjectives:
    """Read one file; its name is the service's name.

    Raises:
        ValueError: a field is missing, unknown or malformed; the message names file and field.
    """
    try:
        return ServiceObjectives.model_validate({"service": file.stem, **_mapping(file)})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        message = re.sub("^Value error, ", "", first["msg"])
        raise ValueError(f"{file}: {place}: {message}") from error


def _mapping(file: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: invalid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: a mapping of `objectives` and `alerts` is expected")
    return content


def promises(place: Path | None = None) -> list[ServiceObjectives]:
    """Return the objectives and alerts of every service, sorted by name."""
    return [read(file) for file in sorted((place or folder()).glob("*.yaml"))]
