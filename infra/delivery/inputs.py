"""The inputs that DVC compares to decide whether a project's stages must run again.

DVC itself reads both revisions, so interpolated names, folders, parameters and outputs of other
projects count as they do for `dvc repro`. Nothing needs to be trained or fetched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

    from infra.delivery.revision import GitRevision


@dataclass(frozen=True)
class ProjectInputs:
    """The declared inputs of one project at one revision."""

    files: frozenset[str]
    """Paths below the root; a folder stands for its whole content. Includes outputs kept in git: if
    one is edited by hand, DVC runs its stage again."""
    values: Mapping[str, Any]
    """Commands and parameters by the stage that names them."""

    def hold(self, file: str) -> bool:
        """Return whether the file is one of the inputs or lies in one."""
        return any(file == each or file.startswith(f"{each}/") for each in self.files)


@dataclass(frozen=True)
class Declared:
    """Inputs by project folder (`pipelines/ml/titanic`), at the revision and in the working
    tree."""

    before: Mapping[str, ProjectInputs]
    now: Mapping[str, ProjectInputs]
    ignored: frozenset[str]
    """The changed files that `.dvcignore` hides."""
    unmet: Mapping[str, list[str]]
    """Inputs of the working tree that differ from `dvc.lock`, by project."""


def declared(since: "GitRevision", changed: list[str]) -> Declared:
    """Read the inputs at both revisions with DVC.

    Raises:
        dvc.exceptions.DvcException: a `dvc.yaml` is malformed; the message names it.
    """
    from dvc.repo import Repo

    with Repo(str(since.root)) as repo:
        now = _by_project(repo)
        unmet = _unmet(repo)
        hidden = {
            name for name in changed if repo.dvcignore.is_ignored_file(str(since.root / name))
        }
        with repo.switch(since.commit):
            before = _by_project(repo)
    return Declared(before, now, frozenset(hidden), unmet)


def _projects(repo: "Repo") -> Iterator[tuple[str, "Stage"]]:
    """Yield the stages inside project folders, with the folder."""
    for stage in repo.index.stages:
        place = Path(_place(repo, str(stage.path)))
        if place.match("pipelines/*/*/dvc.yaml"):
            yield str(place.parent), stage


def _place(repo: "Repo", path: str) -> str:
    return Path(path).relative_to(repo.root_dir).as_posix()


def _by_project(repo: "Repo") -> dict[str, ProjectInputs]:
    files: dict[str, set[str]] = {}
    values: dict[str, dict[str, Any]] = {}
    for project, stage in _projects(repo):
        for each in (stage, *_upstream(repo, stage)):
            files.setdefault(project, set()).update(_files(repo, each))
            values.setdefault(project, {}).update(_values(repo, each))
    return {name: ProjectInputs(frozenset(files[name]), values[name]) for name in files}


def _upstream(repo: "Repo", stage: "Stage") -> set["Stage"]:
    """Return the stages whose outputs this stage reads, directly or indirectly."""
    import networkx

    found: set[Stage] = networkx.descendants(repo.index.graph, stage)
    return found


def _files(repo: "Repo", stage: "Stage") -> Iterator[str]:
    from dvc.dependency.param import ParamsDependency

    place = Path(_place(repo, str(stage.path)))
    # A file of one data set (`dvc add`) serves as its own lock.
    yield str(place.with_suffix(".lock") if place.suffix == ".yaml" else place)
    for dependency in stage.deps:
        # A parameter file counts only with the values that are named.
        if dependency.is_in_repo and not isinstance(dependency, ParamsDependency):
            yield _place(repo, dependency.fs_path)
    for output in stage.outs:
        if output.is_in_repo and not output.use_cache:
            yield _place(repo, output.fs_path)


def _values(repo: "Repo", stage: "Stage") -> dict[str, Any]:
    from dvc.dependency.param import ParamsDependency

    name = f"{_place(repo, str(stage.path))}:{getattr(stage, 'name', None) or ''}"
    values: dict[str, Any] = {f"{name} cmd": stage.cmd}
    for side in ("deps", "outs"):
        values[f"{name} {side}"] = sorted(str(each.def_path) for each in getattr(stage, side))
    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            place = _place(repo, dependency.fs_path)
            read = dependency.read_params()
            values |= {f"{place} {key}": value for key, value in read.items()}
    return values


def _unmet(repo: "Repo") -> dict[str, list[str]]:
    """Return the inputs and committed results that differ from `dvc.lock`, by project.

    Files that DVC keeps out of git are skipped: a fresh clone has none of them.
    """
    outputs = {output.fs_path for stage in repo.index.stages for output in stage.outs}
    unmet: dict[str, list[str]] = {}
    for project, stage in _projects(repo):
        changed = unmet.setdefault(project, [])
        if stage.cmd_changed:
            changed.append(f"the command of {stage.name}")
        inputs = [each for each in stage.deps if each.fs_path not in outputs]
        kept = [each for each in stage.outs if not each.use_cache]
        changed += [
            _place(repo, each.fs_path) for each in (*inputs, *kept) if each.workspace_status()
        ]
    return {project: sorted(set(changed)) for project, changed in unmet.items() if changed}
