"""Groups of serving packages: a server has them or not, and a version may need them."""

from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class ServingGroup:
    """Packages beyond those that every server has."""

    packages: dict[str, str]
    """The module that each distribution provides."""

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(self.packages.values())


# As in pyproject.toml.
GROUPS = {
    "vision": ServingGroup({"opencv-python-headless": "cv2", "av": "av", "zxing-cpp": "zxingcpp"}),
    "audio": ServingGroup({"av": "av"}),
    "language": ServingGroup({"tokenizers": "tokenizers"}),
}


class ServingGroupMissing(Exception):
    """Raised when a version needs a group of packages that this server lacks."""


def check_groups(required: list[str]) -> None:
    """Check that all packages of the groups are installed, without importing them.

    Raises:
        ServingGroupMissing: one is not.
    """
    for name in required:
        packages = GROUPS[name].packages if name in GROUPS else {"a later release": name}
        lacking = [each for each, module in packages.items() if find_spec(module) is None]
        if lacking:
            raise ServingGroupMissing(f"needs the serving group {name} ({', '.join(lacking)})")
