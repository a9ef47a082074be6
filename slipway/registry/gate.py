"""The gate: what a model must reach before it may be promoted."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

CONDITION = re.compile(r"^(>=|<=)\s*([-+0-9.eE]+)$")


class GateNotMet(Exception):
    """`gate not met: accuracy >= 0.78, got 0.71`, every condition that fell short."""


@dataclass(frozen=True)
class Condition:
    metric: str
    sign: str
    bound: float

    def met_by(self, value: float) -> bool:
        if math.isnan(value):
            return False
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def better(self, one: float, other: float) -> bool:
        """Whether `one` is strictly better than `other`; not-a-number is never better."""
        if math.isnan(other):
            return not math.isnan(one)
        return one > other if self.sign == ">=" else one < other

    def __str__(self) -> str:
        return f"{self.metric} {self.sign} {self.bound:g}"


@dataclass(frozen=True)
class Gate:
    conditions: tuple[Condition, ...]

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> "Gate":
        """From `{"accuracy": ">= 0.78"}`.

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
        """The same metrics and directions with bounds that anything reaches."""
        return Gate(
            tuple(
                Condition(each.metric, each.sign, -math.inf if each.sign == ">=" else math.inf)
                for each in self.conditions
            )
        )

    def condition(self, metric: str) -> Condition:
        """Raises KeyError: the gate says nothing of `metric`."""
        for condition in self.conditions:
            if condition.metric == metric:
                return condition
        raise KeyError(f"the gate has no condition on {metric!r}")

    def shortfalls(self, metrics: Mapping[str, float]) -> list[str]:
        """`accuracy >= 0.78, got 0.71` for each condition not met."""
        short = []
        for condition in self.conditions:
            value = metrics.get(condition.metric)
            if value is None:
                short.append(f"{condition}, got no such metric")
            elif not condition.met_by(value):
                short.append(f"{condition}, got {value:.4g}")
        return short

    def check(self, metrics: Mapping[str, float]) -> None:
        """Raises GateNotMet: a condition is not met."""
        if short := self.shortfalls(metrics):
            raise GateNotMet("gate not met: " + "; ".join(short))
