"""An objective of infra/slo, of the projects alone that a dashboard's reader has chosen."""

from slipway.grafana.promql import PROJECT
from slipway.slo.objectives import Objective


def chosen(objective: Objective) -> Objective:
    """With the variable `project` in each of its selectors."""
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
