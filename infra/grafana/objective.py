"""Restrict an objective of infra/slo to the projects that a dashboard's reader selected."""

from infra.grafana.promql import PROJECT
from infra.slo.objectives import Objective


def restrict(objective: Objective) -> Objective:
    """Return the objective with the variable `project` in each of its selectors."""
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
