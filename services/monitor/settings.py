"""What can be set of the monitor, each by a variable of the environment."""

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
    """`time,count` of a variable."""
    return tuple(word.strip() for word in value.split(",")) if isinstance(value, str) else value


def _object(value: Any) -> Any:
    """`{"repurchase": 7776000}` of a variable."""
    return json.loads(value) if isinstance(value, str) else value


class Settings(settings.Settings):
    """`SLIPWAY_MONITOR_INTERVAL_SECONDS=60` sets `interval_seconds`, and so on."""

    prefix = "SLIPWAY_MONITOR_"

    interval_seconds: Seconds = 300
    """From the end of one round to the start of the next."""

    windows: Annotated[tuple[Window, ...], BeforeValidator(_words), Field(min_length=1)] = (
        "time",
        "count",
    )
    window_seconds: Seconds = DAY
    """Of the window by time. A day, so that the hours of the day weigh as they do in any other."""
    window_rows: Annotated[int, Field(ge=100, le=50_000)] = 1000
    """Of the window by count: the newest rows, none older than a week."""
    sample_rows: Annotated[int, Field(ge=100, le=50_000)] = 2000
    """Drawn from the window by time."""
    least_rows: Annotated[int, Field(ge=20)] = 100
    """A window, or a reference, of fewer rows is not judged."""

    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.001
    """The chance of a false alarm in a window, over all its fields."""
    numbers: Annotated[float, Field(gt=0)] = 0.1
    """Least effect of a number: Wasserstein distance in standard deviations."""
    categories: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Least effect of a category: Jensen-Shannon distance."""

    maturity_seconds: Annotated[float, Field(ge=0)] = HOUR
    """Predictions older than this count for performance: of younger ones only those have a truth
    whose truth comes early, and these are seldom like the others."""
    maturity: Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_object)] = Field(
        default_factory=dict
    )
    """By project, where it differs: {"repurchase": 7776000}."""
    label_seconds: Seconds = 7 * DAY
    """Of the window of performance, which ends where maturity begins."""
    label_rows: Annotated[int, Field(ge=100, le=100_000)] = 5000
    """The newest of its truths are scored."""

    fields: Count = 100
    """Columns of a project that are watched; the answer's go before the record's."""
    projects: Count = 200
    reports: Annotated[int, Field(ge=0, le=1000)] = 10
    """HTML reports kept of a project, the alarming ones no longer than others."""
    report_seconds: Annotated[float, Field(ge=0)] = 6 * HOUR
    """A report is written when an alarm starts, and otherwise so often."""
    history_bytes: Annotated[int, Field(ge=10_000)] = 64 * 2**20
    """Of a project's history; then it goes on in a new file, and the one before is kept."""

    webhook: Annotated[str, Field(pattern="^(https?://.+)?$")] = ""
    """Told of alarms as Alertmanager would: the trainer's http://127.0.0.1:8020/v1/alerts."""
    webhook_key: str = ""
    """Sent along as `Authorization: Bearer`."""
    webhook_repeat_seconds: Seconds = 4 * HOUR
    """An alarm that goes on is told of again."""

    @property
    def folder(self) -> Path:
        """What the monitor keeps: references, history, reports."""
        return home.home() / "monitor"

    def maturity_of(self, project: str) -> float:
        return self.maturity.get(project, self.maturity_seconds)
