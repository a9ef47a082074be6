"""Compare a project before and after a change: worse metrics, and whether it would be promoted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from infra.delivery.outcome import ProjectOutcome
from slipway.contract.gate import Condition

# Metrics are rounded to 6 significant digits.
DIGITS = 6


@dataclass(frozen=True)
class MetricChange:
    """The change of one metric; None on a side that does not have it."""

    metric: str
    before: float | None
    now: float | None
    condition: Condition | None
    """The gate's condition that says which direction is better: the current one, or the old one."""

    @property
    def changed(self) -> bool:
        return self.before != self.now

    @property
    def worse(self) -> bool:
        """True if the metric became worse.

        A metric that is gone counts as worse. A metric that no gate names has no direction. NaN is
        worse than a number.
        """
        if self.before is None:
            return False
        if self.now is None:
            return True
        return self.condition is not None and self.condition.better(self.before, self.now)

    @property
    def by(self) -> float | None:
        if self.before is None or self.now is None:
            return None
        difference = self.now - self.before
        return float(f"{difference:.{DIGITS}g}") if math.isfinite(difference) else difference


@dataclass(frozen=True)
class ProjectComparison:
    """A project's results on both sides; `before` is None for a project that had none."""

    before: ProjectOutcome | None
    now: ProjectOutcome

    @property
    def differences(self) -> list[MetricChange]:
        """Return the difference of every metric on either side, the primary one first."""
        before = self.before.metrics if self.before else {}
        names = [self.now.primary, *self.now.metrics, *before]
        return [
            MetricChange(name, before.get(name), self.now.metrics.get(name), self._condition(name))
            for name in dict.fromkeys(names)
        ]

    @property
    def worse(self) -> list[MetricChange]:
        return [each for each in self.differences if each.worse]

    @property
    def same_rows(self) -> bool:
        return self.before is not None and self.before.data == self.now.data

    def loosened(self) -> Iterator[str]:
        """Yield a sentence for each condition of the gate that was relaxed or removed."""
        if self.before is None:
            return
        conditions = {each.metric: each for each in self.now.gate.conditions}
        for old in self.before.gate.conditions:
            new = conditions.get(old.metric)
            if new is None:
                yield f"the gate no longer requires {old}"
            elif new.sign != old.sign or old.better(old.bound, new.bound):
                yield f"the gate required {old} and now requires {new}"
        if self.before.primary != self.now.primary:
            yield f"the primary metric was {self.before.primary} and is now {self.now.primary}"

    def promotion(self) -> tuple[bool | None, str]:
        """Return whether registration would make the new model champion, and why.

        The first value is None if only registration can decide: it scores the champion on the new
            rows.
        """
        if short := self.now.gate.shortfalls(self.now.metrics):
            return False, "gate not met: " + "; ".join(short)
        if self.before is None or self.before.primary not in self.before.metrics:
            return True, "gate met, nothing to compare with"
        if not self.same_rows or self.now.primary not in self.before.metrics:
            return None, "gate met; the test rows differ, so registration scores both models"
        primary = self.now.primary
        now, old = self.now.metrics[primary], self.before.metrics[primary]
        figures = (
            f"{primary} {now:.4g} against {old:.4g} before, on the same {self.now.rows:,} rows"
        )
        if self.now.condition.better(old, now):
            return False, f"worse: {figures}"
        return True, f"not worse: {figures}"

    def _condition(self, metric: str) -> Condition | None:
        gates = [self.now.gate, *([self.before.gate] if self.before else [])]
        found = (each for gate in gates for each in gate.conditions if each.metric == metric)
        return next(found, None)
