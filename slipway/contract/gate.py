"""The gate: the metrics that a model must reach before it may be promoted."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

CONDITION = re.compile(r"^(>=|<=)\s*([-+0-9.eE]+)$")


class GateNotMet(Exception):
    """Raised with every condition that failed: `gate not met: accuracy >= 0.78, got 0.71`."""


@dataclass(frozen=True)
class Condition:
    """One bound on one metric, such as `accuracy >= 0.78`."""

    metric: str
    sign: str
    bound: float

    def met_by(self, value: float) -> bool:
        """Return whether `value` satisfies the condition; NaN never does."""
        if math.isnan(value):
            return False
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def better(self, one: float, other: float) -> bool:
        """Return whether `one` is strictly better than `other`; NaN is never better."""
        if math.isnan(other):
            return not math.isnan(one)
        return one > other if self.sign == ">=" else one < other

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"


@dataclass(frozen=True)
class Gate:
    """All conditions of a project's gate."""

    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> "Gate":
        """Build a gate from texts such as `{"accuracy": ">= 0.78"}`.

        Raises:
            ValueError: a condition is not `>=` or `<=` and a number.
        """
        if not isinstance(texts, Mapping) or not texts:
            raise ValueError('gate must name at least one condition, like accuracy: ">= 0.78"')
        conditions = []
        for metric, text in texts.items():
            match = CONDITION.match(str(text))
            if not match:
                raise ValueError(
                    f'gate {metric} must read ">= number" or "<= number", got {text!r}'
                )
            conditions.append(Condition(metric, match[1], float(match[2])))
        return cls(tuple(conditions))

    def opened(self) -> "Gate":
        """Return a gate with the same metrics and directions that every model passes."""
        return Gate(
            tuple(
                Condition(each.metric, each.sign, -math.inf if each.sign == ">=" else math.inf)
                for each in self.conditions
            )
        )

    def condition(self, metric: str) -> Condition:
        """Return the condition on `metric`.

        Raises:
            KeyError: the gate has no condition on it.
        """
        for condition in self.conditions:
            if condition.metric == metric:
                return condition
        raise KeyError(f"the gate has no condition on {metric!r}")

    def shortfalls(self, metrics: Mapping[str, float]) -> list[str]:
        """Return one line such as `accuracy >= 0.78, got 0.71` per condition that is not met."""
        short = []
        for condition in self.conditions:
            value = metrics.get(condition.metric)
            if value is None:
                short.append(f"{condition}, got no such metric")
            elif not condition.met_by(value):
                short.append(f"{condition}, got {value:.4g}")
        return short

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raise GateNotMet if a condition is not met."""
        if short := self.shortfalls(metrics):
            raise GateNotMet("gate not met: " + "; ".join(short))
