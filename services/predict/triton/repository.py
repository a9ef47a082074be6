"""Writes a Triton model repository: `<name>/config.pbtxt` and `<name>/<version>/`.

Each graph is a model of its own in Triton: `model.onnx` has the name of its project, and
`decoder.onnx` is `<project>.decoder`.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as messages  # type: ignore[import-untyped]

from services.predict.triton import config as configs
from services.predict.triton.config import GRAPH, PYTHON
from services.predict.triton.settings import Backend, TritonSettings
from services.predict.triton.signature import GraphRefused, read_signature
from slipway.contract.shipped import Shipped

CONFIG = "config.pbtxt"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Registered:
    """A version from the registry, fetched and verified by the caller."""

    name: str
    version: str
    shipped: Shipped


@dataclass
class Built:
    """The outcome of a build, for each model."""

    models: dict[str, list[str]] = field(default_factory=dict)
    """By name in Triton the versions in the repository, the one just built first."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Projects that were not built, with the reason; their previous versions stay."""
    cold: dict[str, str] = field(default_factory=dict)
    """Models built without a warm-up, with the reason."""
    removed: list[str] = field(default_factory=list)
    """Models removed by `prune`."""


def build(
    models: Iterable[Registered],
    folder: Path,
    *,
    backend: Backend,
    settings: TritonSettings | None = None,
    prune: bool = False,
) -> Built:
    """Write the models into `folder`; a server that polls it never sees a half-written model.

    A new model appears by a single rename. An existing model gets its new version first, then its
    config, and loses its oldest version last; each file is replaced by a rename, and not touched
    if its bytes are the same. The previous version stays as long as its inputs and outputs match
    those of the new one. With `prune`, models that are not in `models` are removed.

    Raises:
        ValueError: a name or version is invalid in Triton, the settings do not fit the backend,
            or `folder` is a mount.
    """
    settings = settings or TritonSettings()
    settings.kind(backend)
    built, names = Built(), set()
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_dev != folder.absolute().parent.stat().st_dev:
        raise ValueError(
            f"{folder} is a mount point; build into a folder inside it, since files cannot "
            "be renamed into place from another disk"
        )
    # Next to the repository: on the same disk, and not visible to the server.
    with tempfile.TemporaryDirectory(
        dir=folder.absolute().parent, prefix=f".{folder.name}-"
    ) as scratch:
        for each in models:
            _check(each)
            try:
                staged = _stage_all(each, Path(scratch), folder, backend=backend, settings=settings)
            except GraphRefused as refused:
                built.skipped[each.name] = str(refused)
                names |= _models_of(each.name, folder)
                continue
            for name, (versions, trial_error) in staged.items():
                _publish(Path(scratch) / name, folder / name, Path(scratch) / "old")
                names.add(name)
                built.models[name] = versions
                if settings.warmup and trial_error:
                    built.cold[name] = f"it does not run on zeros and empty texts: {trial_error}"
        if prune:
            for place in sorted(folder.iterdir()):
                if place.name not in names and (place / CONFIG).is_file():
                    _remove(place, Path(scratch) / "old")
                    built.removed.append(place.name)
    return built


def _check(model: Registered) -> None:
    if not NAME.fullmatch(model.name):
        raise ValueError(f"name must be letters, digits, _ - and dots, got {model.name!r}")
    if not VERSION.fullmatch(model.version):
        raise ValueError(f"version of {model.name} must be a number from 1, got {model.version!r}")


def _models_of(project: str, folder: Path) -> set[str]:
    """Return the names in the repository of the project's graphs."""
    names = {place.name for place in folder.iterdir()}
    return {name for name in names if name == project or name.startswith(f"{project}.")}


def _stage_all(
    model: Registered, scratch: Path, folder: Path, *, backend: Backend, settings: TritonSettings
) -> dict[str, tuple[list[str], str]]:
    """Stage every graph of the model; return versions and trial error by name in Triton.

    Raises:
        GraphRefused: the model has no graph, or Triton cannot serve one of them.
    """
    files = sorted(model.shipped.weights.glob("*.onnx"))
    if not files:
        raise GraphRefused("no ONNX graph in artifacts/weights: Triton runs nothing else")
    staged = {}
    for file in files:
        name = configs.triton_name(model.name, file.stem)
        try:
            staged[name] = _stage(
                file, name, model.version, scratch, folder / name, backend, settings
            )
        except GraphRefused as refused:
            problem = str(refused) if file.name == GRAPH else f"{file.name}: {refused}"
            raise GraphRefused(problem) from refused
    return staged


def _stage(
    file: Path,
    name: str,
    version: str,
    scratch: Path,
    place: Path,
    backend: Backend,
    settings: TritonSettings,
) -> tuple[list[str], str]:
    """Write the graph's new folder into `scratch`; return its versions and the trial error."""
    staged = scratch / name
    _copy_graph(file, staged / version, backend)
    # Read from the copy: tensors stored in separate files must have been copied too.
    graph_signature = read_signature(staged / version / GRAPH)
    config = configs.model_config(
        name, graph_signature, [version], backend=backend, settings=settings
    )
    versions = [version]
    for before in _compatible_versions(place, config):
        if before != version and len(versions) < settings.versions:
            _copy_version(place / before, staged / before, backend)
            versions.append(before)
    policy = config.version_policy.specific
    del policy.versions[:]
    policy.versions.extend(int(each) for each in versions)
    (staged / CONFIG).write_text(configs.write(config))
    return versions, graph_signature.trial_error


def _copy_graph(graph: Path, target: Path, backend: Backend) -> None:
    """Copy a graph as `model.onnx`, with the files of its tensors.

    Large graphs store those in a separate file, such as `decoder.onnx.data`, whose name is in the
    graph.
    """
    target.mkdir(parents=True)
    for file in graph.parent.glob(f"{graph.name}*"):
        shutil.copyfile(file, target / (GRAPH if file == graph else file.name))
    _add_python(target, backend)


def _copy_version(source: Path, target: Path, backend: Backend) -> None:
    """Copy a version that is in the repository already."""
    target.mkdir(parents=True)
    for file in source.glob("*.onnx*"):
        shutil.copyfile(file, target / file.name)
    _add_python(target, backend)


def _add_python(target: Path, backend: Backend) -> None:
    if backend == "python":
        shutil.copyfile(Path(__file__).with_name("python_model.py"), target / PYTHON)


def _compatible_versions(place: Path, new: messages.ModelConfig) -> list[str]:
    """Return the versions in the repository that the config `new` also fits, newest first."""
    if not (place / CONFIG).is_file():
        return []
    old = configs.read((place / CONFIG).read_text())
    if list(old.input) != list(new.input) or list(old.output) != list(new.output):
        return []
    versions = [str(version) for version in old.version_policy.specific.versions]
    return [version for version in versions if (place / version / GRAPH).is_file()]


def _publish(staged: Path, place: Path, old: Path) -> None:
    if not place.exists():
        staged.rename(place)
        return
    new_paths = {file.relative_to(staged) for file in staged.rglob("*")}
    for version in (each for each in staged.iterdir() if each.is_dir()):
        if not (place / version.name).exists():
            version.rename(place / version.name)
            continue
        for file in version.iterdir():
            _replace(file, place / version.name / file.name)
    _replace(staged / CONFIG, place / CONFIG)
    for path in sorted(place.rglob("*")):
        # Triton's Python writes __pycache__.
        if (
            path.exists()
            and "__pycache__" not in path.parts
            and path.relative_to(place) not in new_paths
        ):
            _remove(path, old)
    shutil.rmtree(staged)


def _replace(new: Path, target: Path) -> None:
    # Keep the timestamp of unchanged files: a polling server reloads files with a new one.
    if not target.is_file() or target.read_bytes() != new.read_bytes():
        new.replace(target)


def _remove(path: Path, old: Path) -> None:
    """Move `path` out of the repository; it is deleted with the scratch folder."""
    old.mkdir(exist_ok=True)
    path.rename(Path(tempfile.mkdtemp(dir=old)) / path.name)
