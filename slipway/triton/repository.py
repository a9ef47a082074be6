"""Registered models as a Triton model repository: `<name>/config.pbtxt`, `<name>/<version>/`."""

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tritonclient.grpc import model_config_pb2 as messages  # type: ignore[import-untyped]

from slipway.contract.shipped import Shipped
from slipway.triton import config as configs
from slipway.triton.config import GRAPH, PYTHON
from slipway.triton.settings import Backend, TritonSettings
from slipway.triton.signature import GraphRefused, signature

CONFIG = "config.pbtxt"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Registered:
    """A version from the registry, its bytes verified by whoever fetched it."""

    name: str
    version: str
    shipped: Shipped


@dataclass
class Built:
    """What became of each model."""

    models: dict[str, list[str]] = field(default_factory=dict)
    """The versions that stand in the repository, the one just built first."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Why; what stood in the repository before stays."""
    cold: dict[str, str] = field(default_factory=dict)
    """Why a model has no warm-up."""
    removed: list[str] = field(default_factory=list)


def build(
    models: Iterable[Registered],
    folder: Path,
    *,
    backend: Backend,
    settings: TritonSettings | None = None,
    prune: bool = False,
) -> Built:
    """Write the models into `folder`; a server that polls it never sees one half written.

    A model appears whole, by one rename. One that stands already gets its new version first, its
    config next, and loses its oldest version last; each file is replaced by a rename, and not
    touched when its bytes are the same. The version before stays for as long as it takes the same
    inputs and gives the same outputs. With `prune`, models that are not among `models` go.

    Raises:
        ValueError: a name or version that Triton cannot have, settings against the backend, or
            `folder` is a mount.
    """
    settings = settings or TritonSettings()
    settings.kind(backend)
    built, given = Built(), set()
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_dev != folder.absolute().parent.stat().st_dev:
        raise ValueError(
            f"{folder} is a disk of its own, build into a folder in it: nothing can "
            "be renamed into place from outside"
        )
    # Beside the repository: on the same disk, and out of the server's sight.
    with tempfile.TemporaryDirectory(
        dir=folder.absolute().parent, prefix=f".{folder.name}-"
    ) as scratch:
        for each in models:
            _check(each)
            given.add(each.name)
            try:
                versions, untried = _stage(
                    each, Path(scratch), folder / each.name, backend=backend, settings=settings
                )
            except GraphRefused as refused:
                built.skipped[each.name] = str(refused)
                continue
            _put(Path(scratch) / each.name, folder / each.name, Path(scratch) / "old")
            built.models[each.name] = versions
            if settings.warmup and untried:
                built.cold[each.name] = f"it does not run on zeros and empty texts: {untried}"
        if prune:
            for place in sorted(folder.iterdir()):
                if place.name not in given and (place / CONFIG).is_file():
                    _away(place, Path(scratch) / "old")
                    built.removed.append(place.name)
    return built


def _check(model: Registered) -> None:
    if not NAME.fullmatch(model.name):
        raise ValueError(f"name must be letters, digits, _ - and dots, got {model.name!r}")
    if not VERSION.fullmatch(model.version):
        raise ValueError(f"version of {model.name} must be a number from 1, got {model.version!r}")


def _stage(
    model: Registered,
    scratch: Path,
    place: Path,
    *,
    backend: Backend,
    settings: TritonSettings,
) -> tuple[list[str], str]:
    """The model's folder as it shall be; its versions, and why it was not tried, if so."""
    weights, staged = model.shipped.weights, scratch / model.name
    if not (weights / GRAPH).is_file():
        raise GraphRefused(f"no artifacts/weights/{GRAPH}: its weights are no ONNX graph")
    _copy(weights, staged / model.version, backend)
    # Of the copy: tensors that the graph keeps in files of their own must be there too.
    found = signature(staged / model.version / GRAPH)
    config = configs.model_config(
        model.name, found, [model.version], backend=backend, settings=settings
    )
    versions = [model.version]
    for before in _standing(place, config):
        if before != model.version and len(versions) < settings.versions:
            _copy(place / before, staged / before, backend)
            versions.append(before)
    policy = config.version_policy.specific
    del policy.versions[:]
    policy.versions.extend(int(version) for version in versions)
    (staged / CONFIG).write_text(configs.write(config))
    return versions, found.untried


def _copy(source: Path, target: Path, backend: Backend) -> None:
    target.mkdir(parents=True)
    # Large graphs keep their tensors beside them, as model.onnx.data.
    for file in source.glob(f"{GRAPH}*"):
        shutil.copyfile(file, target / file.name)
    if backend == "python":
        shutil.copyfile(Path(__file__).with_name("python_model.py"), target / PYTHON)


def _standing(place: Path, new: messages.ModelConfig) -> list[str]:
    """The versions in the repository that the config `new` also describes, newest built first."""
    if not (place / CONFIG).is_file():
        return []
    old = configs.read((place / CONFIG).read_text())
    if list(old.input) != list(new.input) or list(old.output) != list(new.output):
        return []
    versions = [str(version) for version in old.version_policy.specific.versions]
    return [version for version in versions if (place / version / GRAPH).is_file()]


def _put(staged: Path, place: Path, old: Path) -> None:
    if not place.exists():
        staged.rename(place)
        return
    wanted = {file.relative_to(staged) for file in staged.rglob("*")}
    for version in (each for each in staged.iterdir() if each.is_dir()):
        if not (place / version.name).exists():
            version.rename(place / version.name)
            continue
        for file in version.iterdir():
            _replace(file, place / version.name / file.name)
    _replace(staged / CONFIG, place / CONFIG)
    for path in sorted(place.rglob("*")):
        ours = path.exists() and "__pycache__" not in path.parts  # Triton's Python writes these
        if ours and path.relative_to(place) not in wanted:
            _away(path, old)
    shutil.rmtree(staged)


def _replace(new: Path, target: Path) -> None:
    # The same bytes keep their time: a polling server loads again what has another.
    if not target.is_file() or target.read_bytes() != new.read_bytes():
        new.replace(target)


def _away(path: Path, old: Path) -> None:
    """Out of the repository in one step; deleted with the scratch folder."""
    old.mkdir(exist_ok=True)
    path.rename(Path(tempfile.mkdtemp(dir=old)) / path.name)
