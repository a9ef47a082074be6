"""The numbers of one objective, for what measures against them, so that none is written twice."""

from dataclasses import dataclass

from slipway.slo.objectives import promises


@dataclass(frozen=True)
class Promised:
    budget: float
    """Share of requests that may go wrong."""
    latency_seconds: float
    """Infinite for an objective on something else."""


def promised(service: str, name: str) -> Promised:
    """Raises KeyError: the service has no such objective."""
    for promise in promises():
        for each in promise.objectives:
            if (promise.service, each.name) == (service, name):
                seconds = each.latency.seconds if each.latency else float("inf")
                return Promised(budget=each.budget, latency_seconds=seconds)
    raise KeyError(f"infra/slo/{service}.yaml has no objective {name}")
