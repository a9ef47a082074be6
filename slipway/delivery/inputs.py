"""What DVC compares before it runs a project's stages again, as its files declare it.

Two revisions are asked of DVC itself, so interpolated names, folders, parameters and outputs of
other projects count as they do for `dvc repro`. Nothing needs to be trained or fetched.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.stage import Stage

    from slipway.delivery.revision import Revision


@dataclass(frozen=True)
class Inputs:
    """Of one project, at one revision."""

    files: frozenset[str]
    """Below the root; a folder stands for all that it holds. Outputs kept in git are among them:
    one that is changed by hand makes DVC run its stage again."""
    values: Mapping[str, Any]
    """Commands and parameters by the stage that names them."""

    def hold(self, file: str) -> bool:
        return any(file == each or file.startswith(f"{each}/") for each in self.files)


@dataclass(frozen=True)
class Declared:
    """By project folder, like `pipelines/ml/titanic`, before and in the working tree."""

    before: Mapping[str, Inputs]
    now: Mapping[str, Inputs]
    ignored: frozenset[str]
    """Of the changed files, those that `.dvcignore` hides."""
    unmet: Mapping[str, list[str]]
    """What `dvc.lock` was not written from, as the working tree is."""


def declared(since: "Revision", changed: list[str]) -> Declared:
    """Ask DVC at both revisions.

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
    """The stages below a folder that holds a project, with that folder."""
    for stage in repo.index.stages:
        place = Path(_place(repo, str(stage.path)))
        if place.match("pipelines/*/*/dvc.yaml"):
            yield str(place.parent), stage


def _place(repo: "Repo", path: str) -> str:
    return Path(path).relative_to(repo.root_dir).as_posix()


def _by_project(repo: "Repo") -> dict[str, Inputs]:
    files: dict[str, set[str]] = {}
    values: dict[str, dict[str, Any]] = {}
    for project, stage in _projects(repo):
        for each in (stage, *_upstream(repo, stage)):
            files.setdefault(project, set()).update(_files(repo, each))
            values.setdefault(project, {}).update(_values(repo, each))
    return {name: Inputs(frozenset(files[name]), values[name]) for name in files}


def _upstream(repo: "Repo", stage: "Stage") -> set["Stage"]:
    """The stages whose outputs it reads, also through others."""
    import networkx

    found: set[Stage] = networkx.descendants(repo.index.graph, stage)
    return found


def _files(repo: "Repo", stage: "Stage") -> Iterator[str]:
    from dvc.dependency.param import ParamsDependency

    place = Path(_place(repo, str(stage.path)))
    # A file of one data set (`dvc add`) is its own lock.
    yield str(place.with_suffix(".lock") if place.suffix == ".yaml" else place)
    for dependency in stage.deps:
        # Of a parameter file, only the values named count.
        if dependency.is_in_repo and not isinstance(dependency, ParamsDependency):
            yield _place(repo, dependency.fs_path)
    for output in stage.outs:
        if output.is_in_repo and not output.use_cache:
            yield _place(repo, output.fs_path)


def _values(repo: "Repo", stage: "Stage") -> dict[str, Any]:
    from dvc.dependency.param import ParamsDependency

    name = f"{_place(repo, str(stage.path))}:{getattr(stage, 'name', None) or ''}"
    told: dict[str, Any] = {f"{name} cmd": stage.cmd}
    for side in ("deps", "outs"):
        told[f"{name} {side}"] = sorted(str(each.def_path) for each in getattr(stage, side))
    for dependency in stage.deps:
        if isinstance(dependency, ParamsDependency):
            place = _place(repo, dependency.fs_path)
            read = dependency.read_params()
            told |= {f"{place} {key}": value for key, value in read.items()}
    return told


def _unmet(repo: "Repo") -> dict[str, list[str]]:
    """By project, the inputs and committed results that `dvc.lock` has otherwise.

    Files that DVC keeps out of git are not looked at: a fresh clone has none of them.
    """
    made = {output.fs_path for stage in repo.index.stages for output in stage.outs}
    unmet: dict[str, list[str]] = {}
    for project, stage in _projects(repo):
        told = unmet.setdefault(project, [])
        if stage.cmd_changed:
            told.append(f"the command of {stage.name}")
        inputs = [each for each in stage.deps if each.fs_path not in made]
        kept = [each for each in stage.outs if not each.use_cache]
        told += [_place(repo, each.fs_path) for each in (*inputs, *kept) if each.workspace_status()]
    return {project: sorted(set(told)) for project, told in unmet.items() if told}
