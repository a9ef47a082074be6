"""Write what is generated from the code: each project's `dvc.yaml`, and `pins.json`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from slipway.dependencies import pins
from slipway.dependencies.dvcfile import dvc_yaml
from slipway.files import replace_text
from slipway.project import Project


def generate(top: Path, projects: Iterable[Project]) -> Iterator[Path]:
    """Write the files that differ from what their sources say; yields them.

    Raises:
        UnseenInput: a project's code opens something whose name is computed.
    """
    wanted = {top / pins.FILE: pins.render(pins.pins(top))}
    wanted |= {project.folder / "dvc.yaml": dvc_yaml(project) for project in projects}
    for file, text in wanted.items():
        if not file.is_file() or file.read_text() != text:
            replace_text(file, text)
            yield file
