"""Which projects a change makes DVC run again, and through what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.delivery.inputs import Inputs, declared
from slipway.delivery.revision import Revision


@dataclass(frozen=True)
class Changes:
    """Between a revision and the working tree; projects by folder, like `pipelines/ml/titanic`."""

    since: Revision
    projects: tuple[str, ...]
    """All that there are now."""
    reasons: Mapping[str, tuple[str, ...]]
    """What changed of a project's inputs, for those where something did."""
    removed: tuple[str, ...]
    unmet: Mapping[str, list[str]]
    """What `dvc.lock` was not written from: these have yet to be trained."""


def changes(root: Path, name: str) -> Changes:
    """What changed since the revision `name`, tracked or new, committed or not.

    Raises:
        UnknownRevision: git knows no such commit here.
    """
    since = Revision.of(root, name)
    changed = since.changed()
    told = declared(since, changed)
    seen = [file for file in changed if file not in told.ignored]
    reasons = {
        project: found
        for project, inputs in told.now.items()
        if (found := _reasons(told.before.get(project), inputs, seen))
    }
    removed = tuple(sorted(told.before.keys() - told.now.keys()))
    return Changes(since, tuple(sorted(told.now)), reasons, removed, told.unmet)


def _reasons(before: Inputs | None, now: Inputs, changed: list[str]) -> tuple[str, ...]:
    if before is None:
        return ("new",)
    files = [file for file in changed if now.hold(file) or before.hold(file)]
    keys = before.values.keys() | now.values.keys()
    values = [key for key in keys if before.values.get(key) != now.values.get(key)]
    return (*files, *sorted(values))
