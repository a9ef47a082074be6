"""The faults to inject, derived from docker-compose.yml."""

from collections.abc import Mapping
from typing import Any

from infra.chaos.faults import Cut, Fill, InjectedFault, Kill, KillChildren, Pause

# The services that a prediction passes through; the last only when features are looked up.
PATH = ("proxy", "predict", "redis")
# Services that may hang without dying: the stores and a model server. Their clients must not hang.
HANGS = ("redis", "postgres", "mlflow", "predict")
# The services whose first process replaces its children; callers see the death of these.
SUPERVISORS = ("proxy", "predict")
# The service whose volume is filled.
RECORDER = "predict"
QUICK = ("kill predict", "kill redis", "pause mlflow", Fill.name)


def long_running(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the services that Docker keeps running, with their number of replicas."""
    return {
        name: int(each.get("deploy", {}).get("replicas", 1))
        for name, each in config["services"].items()
        if each.get("restart", "no") != "no"
    }


def faults(config: Mapping[str, Any], *, left_out: list[str]) -> list[InjectedFault]:
    """Return every fault, for the configuration that `docker compose config` prints.

    Raises:
        KeyError: a service of `PATH`, `SUPERVISORS` or `HANGS` is not in the file any more.
    """
    services = {name: count for name, count in long_running(config).items() if name not in left_out}
    for name in (*PATH, *SUPERVISORS, *HANGS):
        services[name]
    every: list[InjectedFault] = [
        Kill(name, number) for name, count in services.items() for number in range(1, count + 1)
    ]
    every += [KillChildren(name, 1) for name in SUPERVISORS]
    every += [Pause(name, 1) for name in HANGS]
    every += [
        Cut(name, 1, network) for name in PATH for network in config["services"][name]["networks"]
    ]
    return [*every, Fill(RECORDER)]


def select(every: list[InjectedFault], names: list[str]) -> list[InjectedFault]:
    """Return the faults with these names, or all if no name is given.

    Raises:
        ValueError: a name is unknown.
    """
    known = {each.name: each for each in every}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no fault {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names] or every
