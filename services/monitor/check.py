"""A check of a project: drift of its windows, performance on its labels, and its groups."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.monitor import drift
from services.monitor.catalogue import Reference
from services.monitor.drift import FieldDrift, Rule
from services.monitor.labels import LabelledPrediction
from services.monitor.settings import WEEK, Settings
from services.monitor.traffic import ComparedRow, Watched
from services.monitor.window_sampler import WindowSample
from slipway.quality import fairness, performance
from slipway.quality.fairness import GroupedRows, Slices
from slipway.quality.performance import Margin, Pair, Score

Outcome = Literal["judged", "too_few_rows", "no_reference", "failed"]


class WindowCheck(BaseModel):
    """A window of the champion's traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: str
    since: float
    """Unix time of its start."""
    rows: int
    sampled: int
    unreadable: int
    judged: bool
    note: str = ""
    """The reason if it was not judged."""
    fields: list[FieldDrift] = []

    @property
    def drifted(self) -> list[FieldDrift]:
        return [each for each in self.fields if each.drifted]

    @property
    def input_share(self) -> float:
        return drift.share_drifted([each for each in self.fields if not each.in_prediction])

    @property
    def prediction_share(self) -> float:
        return drift.share_drifted([each for each in self.fields if each.in_prediction])


class PerformanceCheck(BaseModel):
    """Performance on the labels of predictions that are old enough to have one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    since: float
    until: float
    """Unix times of the predictions, not of their labels."""
    predictions: int
    labelled: int
    scores: list[Score]
    reference: list[Score]
    worse: list[str]

    @property
    def labelled_share(self) -> float:
        return min(1.0, self.labelled / self.predictions) if self.predictions else 0.0


class Check(BaseModel):
    """The result of one check of a project."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str
    version: str
    time: float
    seconds: float
    outcome: Outcome
    note: str = ""
    registry: str
    windows: list[WindowCheck] = []
    performance: PerformanceCheck | None = None
    fairness: list[Slices] = []
    left_out: tuple[str, ...] = ()
    report: str | None = None
    """The id of the HTML report that was written for it."""

    @property
    def drift_alarm(self) -> bool:
        return any(window.drifted for window in self.windows)

    @property
    def performance_alarm(self) -> bool:
        return self.performance is not None and bool(self.performance.worse)

    def drift_summary(self) -> str:
        """Return `age (wasserstein 0.42), sex (missing)`, of the window that drifted most."""
        if not self.drift_alarm:
            return ""
        most = max(self.windows, key=lambda window: len(window.drifted))
        fields = [
            f"{each.field} ({each.method} {each.effect:.2f})"
            if "values" in each.because
            else f"{each.field} ({', '.join(each.because)})"
            for each in sorted(most.drifted, key=lambda each: each.p_value)
        ]
        more = f" and {len(fields) - 5} more" if len(fields) > 5 else ""
        return ", ".join(fields[:5]) + more


def look(
    watched: Watched, settings: Settings, now: float
) -> tuple[
    list[tuple[WindowCheck, WindowSample[ComparedRow]]], PerformanceCheck | None, list[Slices]
]:
    """Return the window checks with their rows, the performance check and the groups.

    Raises:
        sqlite3.Error: the feedback cannot be read.
    """
    reference = watched.reference
    windows = [
        (_window(name, drawn, reference, settings), drawn)
        for name, drawn in _samples(watched, settings, now)
    ]
    rows = max((drawn.rows for _, drawn in windows), key=len, default=[])
    labelled, found = _performance(watched, settings, now)
    return windows, found, _fairness(watched, rows, labelled)


def _samples(
    watched: Watched, settings: Settings, now: float
) -> list[tuple[str, WindowSample[ComparedRow]]]:
    draw = {
        "time": lambda: watched.sampler.since(now - settings.window_seconds),
        "count": lambda: watched.sampler.latest(since=now - WEEK),
    }
    return [(name, draw[name]()) for name in settings.windows]


def _window(
    name: str, drawn: WindowSample[ComparedRow], reference: Reference, settings: Settings
) -> WindowCheck:
    rule = Rule(
        alpha=settings.alpha,
        numbers=settings.numbers,
        categories=settings.categories,
        least_rows=settings.least_rows,
    )
    note, fields = "", []
    if len(drawn.rows) < rule.least_rows:
        note = f"{len(drawn.rows)} rows, at least {rule.least_rows} are needed"
    elif len(reference.rows) < rule.least_rows:
        note = (
            f"the reference has {len(reference.rows)} rows, at least {rule.least_rows} are needed"
        )
    else:
        table = reference.layout.table(row.values for row in drawn.rows)
        fields = drift.compare(reference.table, table, reference.layout, rule)
    return WindowCheck(
        window=name,
        since=drawn.since,
        rows=drawn.total,
        sampled=len(drawn.rows),
        unreadable=drawn.unreadable,
        judged=not note,
        note=note,
        fields=fields,
    )


def _performance(
    watched: Watched, settings: Settings, now: float
) -> tuple[list[LabelledPrediction], PerformanceCheck]:
    reference = watched.reference
    until = now - settings.maturity_for(watched.version.name)
    # The ends are rounded, so that predictions and labels cover exactly the same time.
    predictions, since, until = watched.sampler.count(until - settings.label_seconds, until)
    mature = watched.labels.mature(since=since, until=until)
    scores: list[Score] = []
    if reference.target is not None:
        scores = performance.scores(
            [(each.prediction, each.label) for each in mature.rows], reference.target
        )
    rewards = performance.mean_score([each.score for each in mature.rows if each.score is not None])
    return mature.rows, PerformanceCheck(
        since=since,
        until=until,
        predictions=predictions,
        labelled=mature.total,
        scores=[*scores, *([rewards] if rewards else [])],
        reference=reference.scores,
        worse=performance.degraded_metrics(scores, reference.scores, Margin(alpha=settings.alpha)),
    )


def _fairness(
    watched: Watched, rows: list[ComparedRow], labelled: list[LabelledPrediction]
) -> list[Slices]:
    target = watched.reference.target
    if target is None:
        return []
    known: list[dict[str, Any]] = watched.reference.rows
    pairs = target.pairs(known)
    found = []
    for field in watched.reference.declaration.protected:
        groups = [watched.groups(row.get("record") or {})[field] for row in known]
        reference = GroupedRows(
            predictions=[
                (group, row["prediction"]) for group, row in zip(groups, known, strict=True)
            ],
            labelled=list(zip(groups, pairs, strict=True)) if len(pairs) == len(known) else [],
        )
        window = GroupedRows(
            predictions=[(row.groups[field], row.prediction) for row in rows],
            labelled=[_labelled(watched, field, each) for each in labelled],
        )
        found.append(fairness.slices(field, window, reference, target))
    return found


def _labelled(watched: Watched, field: str, each: LabelledPrediction) -> tuple[str, Pair]:
    return watched.groups(each.protected)[field], (each.prediction, each.label)
