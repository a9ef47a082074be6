"""Groups of serving packages: a server has them or not, and a version may need them.

Each module of this package is a group. A stage depends only on the modules of the groups that its
project requires, so a package more in one group makes no other project stale.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules


@dataclass(frozen=True)
class ServingGroup:
    """Packages beyond those that every server has."""

    packages: dict[str, str]
    """The module that each distribution provides."""

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(self.packages.values())


class ServingGroupMissing(Exception):
    """Raised when a version needs a group of packages that this server lacks."""


def group_names() -> list[str]:
    """Return the names of all groups in alphabetical order."""
    return sorted(each.name for each in iter_modules(__path__))


@cache
def serving_group(name: str) -> ServingGroup:
    """Return the group called `name`.

    Raises:
        KeyError: there is no such group.
    """
    if name not in group_names():
        raise KeyError(f"no serving group {name!r}; there are {', '.join(group_names())}")
    # Imported by name: the walk through imports must not find the groups that nobody requires.
    return ServingGroup(import_module(f"{__name__}.{name}").PACKAGES)


def check_groups(required: list[str]) -> None:
    """Check that all packages of the groups are installed, without importing them.

    Raises:
        ServingGroupMissing: one is not.
    """
    for name in required:
        known = name in group_names()
        packages = serving_group(name).packages if known else {"a later release": name}
        lacking = [each for each, module in packages.items() if find_spec(module) is None]
        if lacking:
            raise ServingGroupMissing(f"needs the serving group {name} ({', '.join(lacking)})")
