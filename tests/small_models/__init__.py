"""Small projects for the tests, trained through all stages and registered in MLflow.

`loans` takes numbers and text, one of them optional, and is explained; `shapes` takes a picture;
`houses` takes numbers only and predicts whole columns. All three are trained and registered in
about one second, while a project in `pipelines/` takes eight seconds of processor time: a test
that needs just any served model uses these.

Tests name the others themselves, as in `SmallModels(folder, ["words"])`: `words` streams a word
letter by letter; `readings` has two graphs and a sibling of `model.py`; `dots` finds boxes in
pictures, with records as labels. The data sets lie in `data/`.
"""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from slipway.project import Project
from slipway.training.workspace import Workspace
from tests.conftest import ROOT
from tests.services.fake_models import ModelRegistryFixture

FOLDER = Path(__file__).parent
NAMES = ("houses", "loans", "shapes")


def project(name: str) -> Project:
    """Return the small project called `name`."""
    return Project(FOLDER / "pipelines" / "small" / name)


PROJECTS = [project(name) for name in NAMES]


def make_repository(folder: Path) -> Path:
    """Lay out a Slipway repository in `folder` whose projects are the small ones."""
    folder.mkdir(parents=True)
    (folder / "pipelines").symlink_to(FOLDER / "pipelines")
    for name in ("pyproject.toml", "infra", "slipway"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@contextmanager
def inside(repository: Path) -> Iterator[None]:
    """Work in the repository: its projects are found, and the small data sets are fetched."""
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(repository):
        patch.setenv("SLIPWAY_DATASETS", str(FOLDER / "data"))
        yield


def train(name: str, folder: Path) -> Workspace:
    """Train the small project in `folder`; call it inside a repository of small projects."""
    from slipway.stages.evaluate import evaluate
    from slipway.stages.fit import fit
    from slipway.stages.prepare import prepare

    found = project(name)
    work = Workspace(found, found.params, folder)
    for stage in (prepare, fit, evaluate):
        stage(work)
    return work


class SmallModels(ModelRegistryFixture):
    """A registry that holds small projects, each with a champion as version 1.

    `works` holds the workspace that each was trained in, by name.
    """

    def __init__(self, folder: Path, names: Sequence[str] = NAMES) -> None:
        super().__init__(folder)
        from slipway.registry.signed import register

        self.repository = make_repository(folder / "repository")
        self.works: dict[str, Workspace] = {}
        with self.active():
            for name in names:
                self.works[name] = train(name, folder / "trained" / name)
                register(self.works[name])

    @contextmanager
    def active(self) -> Iterator[None]:
        """Use this registry and its repository in this process until the block ends."""
        with pytest.MonkeyPatch.context() as patch, inside(self.repository):
            patch.setenv("SLIPWAY_HOME", str(self.home))
            patch.setenv("MLFLOW_TRACKING_URI", self.uri)
            yield
