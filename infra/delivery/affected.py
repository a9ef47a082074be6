"""The projects whose stages DVC has to run again after a change, and the inputs that changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.delivery.inputs import ProjectInputs, declared
from infra.delivery.revision import GitRevision


@dataclass(frozen=True)
class Changes:
    """Changes from a revision to the working tree; projects by folder (`pipelines/ml/titanic`)."""

    since: GitRevision
    projects: tuple[str, ...]
    """All projects in the working tree."""
    reasons: Mapping[str, tuple[str, ...]]
    """The changed inputs of each project that has any."""
    removed: tuple[str, ...]
    unmet: Mapping[str, list[str]]
    """Inputs that differ from `dvc.lock`, by project: these projects have yet to be trained."""


def changes(root: Path, name: str) -> Changes:
    """Return what changed since the revision `name`, tracked or new, committed or not.

    Raises:
        UnknownRevision: git knows no such commit here.
    """
    since = GitRevision.resolve(root, name)
    changed = since.changed()
    inputs = declared(since, changed)
    seen = [file for file in changed if file not in inputs.ignored]
    reasons = {
        project: found
        for project, current in inputs.now.items()
        if (found := _reasons(inputs.before.get(project), current, seen))
    }
    removed = tuple(sorted(inputs.before.keys() - inputs.now.keys()))
    return Changes(since, tuple(sorted(inputs.now)), reasons, removed, inputs.unmet)


def _reasons(
    before: ProjectInputs | None, now: ProjectInputs, changed: list[str]
) -> tuple[str, ...]:
    if before is None:
        return ("new",)
    files = [file for file in changed if now.hold(file) or before.hold(file)]
    keys = before.values.keys() | now.values.keys()
    values = [key for key in keys if before.values.get(key) != now.values.get(key)]
    return (*files, *sorted(values))
