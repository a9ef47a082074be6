"""The faults that docker-compose.yml gives cause to."""

from collections.abc import Mapping
from typing import Any

from infra.chaos.faults import Cut, Fault, Fill, Kill, Pause

# Through which a prediction passes, the last one only when features are looked up.
PATH = ("proxy", "predict", "redis")
# What may hang instead of dying, and whose client must not: the stores, and a server among others.
HANGS = ("redis", "postgres", "mlflow", "predict")
# Whose volume is filled.
RECORDER = "predict"
QUICK = ("kill predict", "kill redis", "pause mlflow", Fill.name)


def long_running(config: Mapping[str, Any]) -> dict[str, int]:
    """Services that Docker keeps running, with their replicas."""
    return {
        name: int(each.get("deploy", {}).get("replicas", 1))
        for name, each in config["services"].items()
        if each.get("restart", "no") != "no"
    }


def faults(config: Mapping[str, Any], *, left_out: list[str]) -> list[Fault]:
    """Every one, for the file as `docker compose config` shows it.

    Raises:
        KeyError: a service of the path is not in the file any more.
    """
    services = {name: count for name, count in long_running(config).items() if name not in left_out}
    for name in (*PATH, *HANGS):
        services[name]
    found: list[Fault] = [
        Kill(name, number) for name, count in services.items() for number in range(1, count + 1)
    ]
    found += [Pause(name, 1) for name in HANGS]
    found += [
        Cut(name, 1, network) for name in PATH for network in config["services"][name]["networks"]
    ]
    return [*found, Fill(RECORDER)]


def chosen(found: list[Fault], names: list[str]) -> list[Fault]:
    """Those of these names; all where none is given.

    Raises:
        ValueError: there is none of a name.
    """
    known = {each.name: each for each in found}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no fault {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in names] or found
