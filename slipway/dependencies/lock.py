"""Compare a project with its `dvc.lock`, which records the inputs and outputs of the last run.

`dvc repro` overwrites a lock that differs without reporting it (dvc issues 2050, 11058).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# libyaml's loader is ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MISSING = "missing"
# No value of a parameter is this object.
ABSENT = object()


@dataclass(frozen=True)
class LockDifference:
    """One entry of a stage that differs from the lock."""

    stage: str
    kind: str
    """`cmd`, `dep`, `param` or `out`."""
    name: str

    def __str__(self) -> str:
        return f"{self.stage}: {self.kind} {self.name}".rstrip()


def read_yaml(file: Path) -> Any:
    """Return the content of a YAML file; None if it is missing."""
    return yaml.load(file.read_bytes(), LOADER) if file.is_file() else None


def stages_of(file: Path) -> dict[str, Any]:
    """Return the stages of a `dvc.yaml` or `dvc.lock` by name; none if it is missing or empty."""
    content = read_yaml(file)
    return dict((content or {}).get("stages") or {})


def md5(path: Path) -> str:
    """Return DVC's md5 of a file or a folder; `missing` if there is none.

    A folder's is the md5 of the names and md5s of its files, followed by `.dir`.
    """
    if path.is_file():
        return _md5_of_file(path)
    if not path.is_dir():
        return MISSING
    files = (each for each in path.rglob("*") if each.is_file())
    listed = sorted((each.relative_to(path).as_posix(), _md5_of_file(each)) for each in files)
    content = [{"md5": digest, "relpath": name} for name, digest in listed]
    return hashlib.md5(json.dumps(content).encode(), usedforsecurity=False).hexdigest() + ".dir"


def output_differences(lock: Mapping[str, Any], folder: Path) -> Iterator[LockDifference]:
    """Yield the outputs in `folder` whose bytes differ from the lock."""
    for stage, locked in lock.items():
        for out in locked.get("outs", ()):
            if md5(folder / out["path"]) != out["md5"]:
                yield LockDifference(stage, "out", out["path"])


def input_differences(folder: Path, *, outputs_too: bool = False) -> Iterator[LockDifference]:
    """Yield what makes the stages of the project in `folder` stale, like `dvc status`.

    Like DVC it ignores entries of the lock that `dvc.yaml` no longer names. Inputs that an earlier
    stage writes are compared only with `outputs_too`.
    """
    stages, lock = stages_of(folder / "dvc.yaml"), stages_of(folder / "dvc.lock")
    outputs = {_path(out) for stage in stages.values() for out in _outputs(stage)}
    for name, stage in stages.items():
        locked = lock.get(name)
        if locked is None:
            yield LockDifference(name, "stage", "never ran")
            continue
        if stage["cmd"] != locked.get("cmd"):
            yield LockDifference(name, "cmd", "")
        yield from _dependency_differences(name, stage, locked, folder, outputs, outputs_too)
        yield from _parameter_differences(name, stage, locked, folder)
        if outputs_too:
            yield from output_differences({name: locked}, folder)
            yield from _undeclared(name, stage, locked)


def is_current(folder: Path) -> bool:
    """Return whether `dvc repro` would run no stage of the project in `folder`.

    All files are hashed, also those that DVC would only look up in its cache. For a `dvc.yaml` with
    more than the generated ones have (interpolation, several commands, imports), return False and
    leave the decision to DVC.
    """
    file = folder / "dvc.yaml"
    if not file.is_file() or "${" in file.read_text() or list(folder.glob("*.dvc")):
        return False
    return next(input_differences(folder, outputs_too=True), None) is None


def _dependency_differences(
    name: str,
    stage: Mapping[str, Any],
    locked: Mapping[str, Any],
    folder: Path,
    outputs: set[str],
    outputs_too: bool,
) -> Iterator[LockDifference]:
    known = {dep["path"]: dep.get("md5") for dep in locked.get("deps", ())}
    for path in (_path(each) for each in stage.get("deps", ())):
        # An output of an earlier stage is compared as that stage's output.
        if path in outputs and not outputs_too:
            continue
        if known.get(path) != _digest_once((folder / path).resolve()):
            yield LockDifference(name, "dep", path)


def _parameter_differences(
    name: str, stage: Mapping[str, Any], locked: Mapping[str, Any], folder: Path
) -> Iterator[LockDifference]:
    known = locked.get("params") or {}
    declared: dict[str, list[str]] = {}
    for each in stage.get("params", ()):
        if isinstance(each, str):
            declared.setdefault("params.yaml", []).append(each)
        else:
            for file, keys in each.items():
                declared.setdefault(file, []).extend(keys)
    for file, keys in declared.items():
        values, before = _values((folder / file).resolve()), known.get(file) or {}
        for key in keys:
            value = _value_at(values, key)
            if value is ABSENT or before.get(key, ABSENT) != value:
                yield LockDifference(name, "param", f"{file} {key}")


def _value_at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, which may be a path like `gate.accuracy`; else ABSENT."""
    if key in values:
        return values[key]
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return ABSENT
        found = found[part]
    return found


def _undeclared(
    name: str, stage: Mapping[str, Any], locked: Mapping[str, Any]
) -> Iterator[LockDifference]:
    known = {out["path"] for out in locked.get("outs", ())}
    for path in sorted({_path(out) for out in _outputs(stage)} - known):
        yield LockDifference(name, "out", path)


def _outputs(stage: Mapping[str, Any]) -> list[Any]:
    return [*stage.get("outs", ()), *stage.get("metrics", ())]


def _path(entry: Any) -> str:
    """Return the path of a dependency or an output, which may have options."""
    return entry if isinstance(entry, str) else str(next(iter(entry)))


def _values(file: Path) -> Mapping[str, Any]:
    """Return the content of a parameters file. The JSON parser is faster than the YAML loader."""
    return _values_once(file, file.stat().st_mtime_ns) if file.is_file() else {}


@cache
def _values_once(file: Path, changed: int) -> Mapping[str, Any]:
    content = json.loads(file.read_bytes()) if file.suffix == ".json" else read_yaml(file)
    return content if isinstance(content, Mapping) else {}


def _digest_once(path: Path) -> str:
    """Return the md5 of a file or folder; a file's is computed once while it is unchanged."""
    if path.is_file():
        status = path.stat()
        return _digest_of(path, status.st_mtime_ns, status.st_size)
    return md5(path)


@cache
def _digest_of(path: Path, changed: int, size: int) -> str:
    return md5(path)


def _md5_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
