"""`full.yaml`: a project's changes of `prepare` and `fit` for a machine with a GPU."""

import ast
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.fault import Fault
from slipway.project import Params, Project

FILE = "full.yaml"
# By key: the file and the function that take its values as keyword arguments.
TAKERS = {"prepare": ("data.py", "splits"), "fit": ("train.py", "fit")}


class FullProfile(BaseModel):
    """The content of `full.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prepare: dict[str, Any] = {}
    """Changed keyword arguments of `data.splits`."""
    fit: dict[str, Any] = {}
    """Changed keyword arguments of `train.fit`."""


def has_full_profile(project: Project) -> bool:
    """Return whether the project has a `full.yaml`."""
    return (project.folder / FILE).is_file()


def full_params(project: Project) -> Params:
    """Return the project's parameters with the changes in `full.yaml`; the gate stays.

    Raises:
        Fault: the project has no `full.yaml`.
        ValueError: a key of it is unknown, or it changes nothing.
    """
    if not has_full_profile(project):
        raise Fault(f"{project.name} has no {FILE}, so there is no full profile to train")
    profile, params = read_full_profile(project), project.params
    changes = {
        "prepare": {**params.prepare, **profile.prepare},
        "fit": {**params.fit, **profile.fit},
    }
    return params.model_copy(update=changes)


def read_full_profile(project: Project) -> FullProfile:
    """Return the content of the project's `full.yaml`.

    Raises:
        ValueError: a key of it is unknown, or it changes nothing; the message names the field.
    """
    file = project.folder / FILE
    try:
        values = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{FILE}: {error}") from error
    if not isinstance(values, dict) or not values:
        raise ValueError(f"{FILE}: it must change prepare or fit")
    try:
        profile = FullProfile.model_validate(values)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ValueError(f"{FILE}: {'; '.join(lines)}") from error
    for key, (name, function) in TAKERS.items():
        known = _keywords(project.folder / name, function)
        for field in getattr(profile, key):
            if known is not None and field not in known:
                raise ValueError(f"{FILE}: {key}.{field}: {name}'s {function} has no such argument")
    return profile


def _keywords(file: Path, function: str) -> set[str] | None:
    """Return the keyword arguments of a function, read without importing its file.

    None if they are unknown: the file does not define the function, or it takes any keyword.
    """
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name == function and not node.args.kwarg:
            return {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
    return None
