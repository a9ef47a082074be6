"""Find the projects that a command's arguments name."""

from collections.abc import Sequence

from slipway.fault import Fault
from slipway.names import unknown
from slipway.project import Project, discover


def named(names: Sequence[str] | None) -> list[Project]:
    """Return the projects with these names (`titanic`, or `ml/titanic`), or all without names.

    Raises:
        Fault: there is no such project; the message suggests another.
    """
    projects = discover()
    by_name = {each.name: each for each in projects}
    by_place = {f"{each.track}/{each.name}": each for each in projects}
    if not names:
        return projects
    for name in names:
        if name not in by_name and name not in by_place:
            raise Fault(unknown("project", name, list(by_name)))
    return [by_name.get(name) or by_place[name] for name in names]
