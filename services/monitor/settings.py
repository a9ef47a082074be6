"""Settings of the monitor, each from an environment variable."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from services import settings
from slipway import home

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Window = Literal["time", "count"]
HOUR, DAY = 3600.0, 86_400.0
WEEK = 7 * DAY


def _words(value: Any) -> Any:
    """Split a variable such as `time,count`."""
    return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value


def _object(value: Any) -> Any:
    """Parse a variable such as `{"repurchase": 7776000}`."""
    return json.loads(value) if isinstance(value, str) else value


class Settings(settings.Settings):
    """The monitor's settings: `SLIPWAY_MONITOR_INTERVAL_SECONDS=60` sets `interval_seconds`."""

    prefix = "SLIPWAY_MONITOR_"

    interval_seconds: Seconds = 300
    """From the end of one round to the start of the next."""

    windows: Annotated[tuple[Window, ...], BeforeValidator(_words), Field(min_length=1)] = (
        "time",
        "count",
    )
    window_seconds: Seconds = DAY
    """Length of the time window. A whole day, so that each hour of the day has its usual weight."""
    window_rows: Annotated[int, Field(ge=100, le=50_000)] = 1000
    """Rows of the count window: the newest, none older than a week."""
    sample_rows: Annotated[int, Field(ge=100, le=50_000)] = 2000
    """Rows that are sampled from the time window."""
    least_rows: Annotated[int, Field(ge=20)] = 100
    """Windows and references with fewer rows are not judged."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """The probability of a false alarm in a window, over all its fields."""
    numbers: Annotated[float, Field(gt=0)] = 0.1
    """Least effect for numbers: Wasserstein distance in standard deviations."""
    categories: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Least effect for categories: Jensen-Shannon distance."""

    maturity_seconds: Annotated[float, Field(ge=0)] = HOUR
    """Age at which predictions count for performance. Younger predictions have a label only if it
    arrives early, and these are seldom representative."""
    maturity: Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_object)] = Field(
        default_factory=dict
    )
    """By project, where it differs from `maturity_seconds`: {"repurchase": 7776000}."""
    label_seconds: Seconds = 7 * DAY
    """Length of the performance window, which ends `maturity_seconds` ago."""
    label_rows: Annotated[int, Field(ge=100, le=100_000)] = 5000
    """The newest labels of the performance window that are scored."""

    fields: Count = 100
    """Columns of a project that are compared; the prediction's come before the record's."""
    projects: Count = 200
    reports: Annotated[int, Field(ge=0, le=1000)] = 10
    """HTML reports that are kept for a project."""
    report_seconds: Annotated[float, Field(ge=0)] = 6 * HOUR
    """Time between reports; one is also written when an alarm starts."""
    history_bytes: Annotated[int, Field(ge=10_000)] = 64 * 2**20
    """Size at which a project's history continues in a new file; one older file is kept."""

    webhook: Annotated[str, Field(pattern="^(https?://.+)?$")] = ""
    """Receiver of alarms in Alertmanager's format, as the trainer's http://127.0.0.1:8020/v1/alerts."""
    webhook_key: str = ""
    """Sent to the receiver as `Authorization: Bearer`."""
    webhook_repeat_seconds: Seconds = 4 * HOUR
    """Time after which a continuing alarm is sent again."""

    @property
    def folder(self) -> Path:
        """The monitor's folder of references, history and reports."""
        return home.home() / "monitor"

    def maturity_for(self, project: str) -> float:
        """Return the age in seconds at which the project's predictions count."""
        return self.maturity.get(project, self.maturity_seconds)
