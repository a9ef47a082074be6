"""Train the starters inside the stack, for when no checkout has trained them."""

from collections.abc import Sequence
from importlib.util import find_spec

from slipway.project import Project, discover
from slipway.repro import repro

# A package of each environment that the smaller ones lack, to detect which one is installed.
ADDS = {"training": "sklearn", "torch": "torch", "methods": "optuna"}


class CannotTrain(Exception):
    """This image lacks the project's environment, or there is no such project."""


def bootstrap(names: Sequence[str], *, jobs: int) -> tuple[list[str], list[str], list[str]]:
    """Train and register the projects named, or each starter that this image can train.

    Returns the names of projects that are up to date, that failed, and that were left out because
    the image lacks their environment.

    Raises:
        CannotTrain: a named project does not exist, or cannot be trained by this image.
    """
    every = {project.name: project for project in discover()}
    if unknown := [name for name in names if name not in every]:
        raise CannotTrain(f"no project {', '.join(unknown)}; there are {', '.join(sorted(every))}")
    chosen = [every[name] for name in names] or [
        project for project in every.values() if project.params.starter
    ]
    left_out = [project for project in chosen if not can_train(project)]
    if names and left_out:
        raise CannotTrain("; ".join(map(_missing_environment, left_out)))
    for project in left_out:
        print(_missing_environment(project), flush=True)
    trained = [project for project in chosen if project not in left_out]
    failed = repro(trained, jobs=jobs)
    done = [project.name for project in trained if project.name not in failed]
    return done, failed, [project.name for project in left_out]


def can_train(project: Project) -> bool:
    return find_spec(ADDS[project.params.environment]) is not None


def _missing_environment(project: Project) -> str:
    group = project.params.environment
    return (
        f"{project.name}: needs the packages of the group {group}, which this image lacks; "
        f"SLIPWAY_TRAINING_GROUP={group} docker compose build"
    )
