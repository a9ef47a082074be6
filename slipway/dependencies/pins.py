"""`pins.json`: the pinned version of each distribution, as keys that DVC stages depend on.

A stage depends on the keys of the distributions that it imports. A new library in the locks, or a
new version of one that a stage does not import, leaves the stage up to date.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

FILE = Path("infra/environment/locks/pins.json")
# The largest lock; the other locks pin the same versions.
LOCK = Path("infra/environment/locks/development.txt")
# These only store what a stage computed, so their own requirements do not matter: MLflow requires
# scikit-learn, a new version of which would otherwise make every `register` stale.
KEEPERS = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"})
OLDEST_PYTHON = {"python_full_version": "3.11.0"}
PIN = re.compile(r"^#? ?([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s,;]+)", re.MULTILINE)


def normalized(name: str) -> str:
    """Return a distribution's name as PyPA normalizes it: `ruamel-yaml` for `ruamel.yaml`.

    The name has no dot, which DVC would take for a separator of nested keys.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_versions(lock: Path) -> dict[str, str]:
    """Return the versions that a lock pins, by distribution; includes torch in its first line."""
    return {normalized(name): version for name, version in PIN.findall(lock.read_text())}


def pins(top: Path) -> dict[str, str]:
    """Return each pinned distribution's version with a digest of its requirements.

    The digest covers the versions of all direct and indirect requirements, without extras:
    scikit-learn's changes with SciPy's version.
    """
    versions = pinned_versions(top / LOCK)
    keys = {}
    for name, version in sorted(versions.items()):
        others = sorted(_closure(name, frozenset(versions)) - {name})
        text = " ".join(f"{each}=={versions[each]}" for each in others)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        keys[name] = f"{version} on {digest}" if others else version
    return keys


def render(keys: Mapping[str, str]) -> str:
    """Return the text of `pins.json`."""
    return json.dumps(keys, indent=1) + "\n"


def _closure(name: str, known: frozenset[str]) -> frozenset[str]:
    """Return `name` and its direct and indirect requirements that are pinned."""
    if name in KEEPERS:
        return frozenset({name})
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found.add(each)
        waiting += _required(each) & known
    return frozenset(found)


@cache
def _required(name: str) -> frozenset[str]:
    """Return the distributions that `name` requires on this platform, without extras.

    They are those of the oldest supported Python: redis requires async-timeout before 3.11.3 only,
    and the pins must be equal on every Python 3.11.
    """
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return frozenset()
    wanted = (Requirement(line) for line in lines)
    return frozenset(
        normalized(each.name)
        for each in wanted
        if each.marker is None or each.marker.evaluate({"extra": "", **OLDEST_PYTHON})
    )


def missing(top: Path) -> list[str]:
    """Return the pinned distributions that are not installed, whose requirements are unknown.

    A lock also pins what other platforms need; those are no requirement of anything installed here.
    """
    known = frozenset(pinned_versions(top / LOCK))
    installed = {normalized(each.name) for each in distributions()}
    needed = {name for each in known & installed for name in _required(each) & known}
    return sorted(needed - installed)
