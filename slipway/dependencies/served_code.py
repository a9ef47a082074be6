"""Find the code that a project's model needs when it is served."""

from dataclasses import dataclass
from pathlib import Path

from slipway.dependencies.imports import files_imported_by
from slipway.dependencies.stages import has_code
from slipway.project import Project


@dataclass(frozen=True)
class ServedCode:
    """The files that `model.py` imports, directly or indirectly."""

    siblings: tuple[Path, ...]
    """Files in the project's folder, which are shipped with it."""
    shared: tuple[str, ...]
    """Files of the library, relative to the repository."""


def served_code(project: Project, top: Path | None = None) -> ServedCode:
    """Return the code that the project's `model.py` needs, in the repository `top`.

    Raises:
        SyntaxError: one of the files is not valid Python.
    """
    repository = top or project.folder.parents[2]
    folder = repository / "pipelines" / project.track / project.name
    model = folder / "model.py"
    files = sorted(file for file in files_imported_by([model], repository) if has_code(file))
    return ServedCode(
        tuple(file for file in files if file.parent == folder and file != model),
        tuple(
            file.relative_to(repository).as_posix()
            for file in files
            if file.is_relative_to(repository / "slipway")
        ),
    )
