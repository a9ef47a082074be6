"""`pins.json`: each distribution's pinned version, as keys that a DVC stage can depend on.

A stage depends on the keys of the distributions that it imports, so a new library in the locks, or
a new version of one that a stage does not import, leaves the stage up to date.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from packaging.requirements import Requirement

FILE = Path("infra/environment/locks/pins.json")
# The largest lock: every other one resolves to the same versions.
LOCK = Path("infra/environment/locks/development.txt")
# They keep what a stage computed: what they rest on computes nothing of it. MLflow requires
# scikit-learn, a new version of which would else make every `register` stale.
KEEPERS = frozenset({"mlflow", "mlflow-skinny", "mlflow-tracing"})
PIN = re.compile(r"^#? ?([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s,;]+)", re.MULTILINE)


def normalized(name: str) -> str:
    """Return a distribution's name as PyPA normalizes it: `ruamel-yaml` for `ruamel.yaml`.

    No dot is left, which would divide a key in DVC's parameters.
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned_versions(lock: Path) -> dict[str, str]:
    """Return the versions that a lock pins by distribution, torch's in its first line included."""
    return {normalized(name): version for name, version in PIN.findall(lock.read_text())}


def pins(top: Path) -> dict[str, str]:
    """Return each pinned distribution's version with a digest of all that it requires.

    The digest covers the versions of what the distribution requires in turn: scikit-learn's changes
    with SciPy's version. Extras are left out.
    """
    versions = pinned_versions(top / LOCK)
    found = {}
    for name, version in sorted(versions.items()):
        others = sorted(_closure(name, frozenset(versions)) - {name})
        text = " ".join(f"{each}=={versions[each]}" for each in others)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        found[name] = f"{version} on {digest}" if others else version
    return found


def render(found: Mapping[str, str]) -> str:
    """Return the text of `pins.json`."""
    return json.dumps(found, indent=1) + "\n"


def _closure(name: str, known: frozenset[str]) -> frozenset[str]:
    """Return `name` with all that it requires, directly or not, of what is pinned."""
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
    """Return the distributions that `name` requires here, without its extras."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        return frozenset()
    wanted = (Requirement(line) for line in lines)
    return frozenset(
        normalized(each.name)
        for each in wanted
        if each.marker is None or each.marker.evaluate({"extra": ""})
    )
