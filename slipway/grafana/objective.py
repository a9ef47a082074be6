"""Numbers of infra/slo for thresholds, so that none is written twice; and an objective narrowed."""

from dataclasses import dataclass

from slipway.grafana.promql import PROJECT
from slipway.slo.objectives import Objective, promises


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


def chosen(objective: Objective) -> Objective:
    """The objective, of the projects alone that a dashboard's reader has chosen."""
    if objective.latency is not None:
        matchers = ",".join(filter(None, (PROJECT, objective.latency.matchers)))
        return objective.model_copy(
            update={"latency": objective.latency.model_copy(update={"matchers": matchers})}
        )
    assert objective.ratio is not None
    ratio = {
        name: selector.replace("{", f"{{{PROJECT},", 1)
        if "{" in selector
        else f"{selector}{{{PROJECT}}}"
        for name, selector in objective.ratio.model_dump().items()
    }
    return objective.model_copy(update={"ratio": objective.ratio.model_copy(update=ratio)})
