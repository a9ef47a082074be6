"""A project before and after a change: what became worse, and whether it would be promoted."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from slipway.delivery.outcome import Outcome
from slipway.registry.gate import Condition

# Metrics are kept to 6 significant digits.
DIGITS = 6


@dataclass(frozen=True)
class Difference:
    """Of one metric; None on the side that does not have it."""

    metric: str
    before: float | None
    now: float | None
    condition: Condition | None
    """That says which way is better, from the gate now, else from the one before."""

    @property
    def changed(self) -> bool:
        return self.before != self.now

    @property
    def worse(self) -> bool:
        """One that is gone is worse than any; which way one goes that no gate names, nobody said.

        A metric that is not a number is worse than one that is.
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
class Comparison:
    """`before` is None for a project that was never run then."""

    before: Outcome | None
    now: Outcome

    @property
    def differences(self) -> list[Difference]:
        """Of every metric on either side, the primary one first."""
        before = self.before.metrics if self.before else {}
        names = [self.now.primary, *self.now.metrics, *before]
        return [
            Difference(name, before.get(name), self.now.metrics.get(name), self._condition(name))
            for name in dict.fromkeys(names)
        ]

    @property
    def worse(self) -> list[Difference]:
        return [each for each in self.differences if each.worse]

    @property
    def same_rows(self) -> bool:
        return self.before is not None and self.before.data == self.now.data

    def loosened(self) -> Iterator[str]:
        """A sentence for each condition that asks for less than it did, or no more at all."""
        if self.before is None:
            return
        asked = {each.metric: each for each in self.now.gate.conditions}
        for old in self.before.gate.conditions:
            new = asked.get(old.metric)
            if new is None:
                yield f"the gate no longer asks for {old}"
            elif new.sign != old.sign or old.better(old.bound, new.bound):
                yield f"the gate asked for {old} and now asks for {new}"
        if self.before.primary != self.now.primary:
            yield f"it was compared by {self.before.primary} and is now by {self.now.primary}"

    def promotion(self) -> tuple[bool | None, str]:
        """Whether the rule of registration would make it champion, and why.

        None where only registration can tell: it asks the champion the new test rows.
        """
        if short := self.now.gate.shortfalls(self.now.metrics):
            return False, "gate not met: " + "; ".join(short)
        if self.before is None or self.before.primary not in self.before.metrics:
            return True, "gate met, nothing to compare with"
        if not self.same_rows or self.now.primary not in self.before.metrics:
            return None, "gate met; the test rows are others, so registration asks both"
        primary = self.now.primary
        now, old = self.now.metrics[primary], self.before.metrics[primary]
        told = f"{primary} {now:.4g} against {old:.4g} before, on the same {self.now.rows:,} rows"
        if self.now.condition.better(old, now):
            return False, f"worse: {told}"
        return True, f"not worse: {told}"

    def _condition(self, metric: str) -> Condition | None:
        gates = [self.now.gate, *([self.before.gate] if self.before else [])]
        found = (each for gate in gates for each in gate.conditions if each.metric == metric)
        return next(found, None)
