"""Write the files that are generated from code: `pins.json` and each project's `dvc.yaml`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from slipway.dependencies import pins
from slipway.dependencies.dvcfile import dvc_yaml
from slipway.files import replace_text
from slipway.project import Project


def generate(top: Path, projects: Iterable[Project]) -> Iterator[Path]:
    """Write the generated files that are out of date, and yield their paths.

    Raises:
        UnseenInput: a project's code opens something by a computed name.
    """
    wanted = {top / pins.FILE: pins.render(pins.pins(top))}
    wanted |= {project.folder / "dvc.yaml": dvc_yaml(project) for project in projects}
    for file, text in wanted.items():
        if not file.is_file() or file.read_text() != text:
            replace_text(file, text)
            yield file
