"""The primary metric of a project in `metrics.json`: on test rows, and of the baseline there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Candidates are compared with this one.
BASELINE = "baseline"


@dataclass(frozen=True)
class PrimaryMetric:
    """A metric of the served model on test rows, and what it is held against."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    """The ends of its 95 % interval on the test rows; None if it was not estimated."""
    baseline: float | None
    """The baseline's on the same test rows; None if it was not scored there."""
    validation: float | None
    """The chosen candidate's on validation rows."""
    baseline_validation: float | None
    """The baseline's on validation rows."""

    @classmethod
    def from_results(cls, results: Mapping[str, Any], name: str) -> "PrimaryMetric":
        """Read the metric `name` from the content of `metrics.json`."""
        metrics: dict[str, float] = results["metrics"]
        tried: dict[str, dict[str, float]] = results.get("candidates", {})
        low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
        return cls(
            name,
            metrics.get(name),
            None if low is None or high is None else (low, high),
            metrics.get(f"{BASELINE}_{name}"),
            tried.get(results.get("chosen", ""), {}).get(name),
            tried.get(BASELINE, {}).get(name),
        )
