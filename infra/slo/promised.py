"""Read the numbers of one objective, so that no other file repeats them."""

from dataclasses import dataclass

from infra.slo.objectives import promises


@dataclass(frozen=True)
class Promised:
    budget: float
    """Share of requests that may fail."""
    latency_seconds: float
    """The latency limit; infinite for objectives without one."""


def promised(service: str, name: str) -> Promised:
    """Return the objective's numbers. Raises KeyError: the service has no such objective."""
    for promise in promises():
        for each in promise.objectives:
            if (promise.service, each.name) == (service, name):
                seconds = each.latency.seconds if each.latency else float("inf")
                return Promised(budget=each.budget, latency_seconds=seconds)
    raise KeyError(f"infra/slo/{service}.yaml has no objective {name}")
