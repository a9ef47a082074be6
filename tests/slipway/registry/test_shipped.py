"""A registered version carries the folder of its project: `model.py`, siblings, shared code."""

import gc
import json
import shutil
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.predict.artifacts import Unsafe, fetch, verify
from slipway.contract import shared_code
from slipway.contract.groups import serving_group
from slipway.contract.model import forget
from slipway.contract.shipped import Shipped
from slipway.registry import registered
from slipway.registry.copies import DigestMismatch
from slipway.registry.digest import digest
from slipway.registry.register import load_version, requirements
from tests.small_models import SmallModels, project

EXAMPLE = {"left": 21.0, "right": 20.7, "front": 14.2, "back": 16.0}


@pytest.fixture(scope="module")
def registry(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """A registry with a project of two graphs, whose `model.py` imports a sibling."""
    return SmallModels(tmp_path_factory.mktemp("readings"), ["readings"])


@pytest.fixture
def active(registry: SmallModels) -> Iterator[SmallModels]:
    with registry.active():
        yield registry


@pytest.fixture
def shipped(active: SmallModels, tmp_path: Path) -> Shipped:
    """The version, fetched and verified."""
    return registered.fetch("readings", None, tmp_path)[1]


def test_a_version_carries_the_siblings(shipped: Shipped) -> None:
    assert shipped.package is not None
    files = sorted(file.name for file in shipped.package.iterdir())
    assert files == ["model.py", "scaling.py"]
    assert shipped.code.read_text() == (project("readings").folder / "model.py").read_text()
    assert shipped.packages in shipped.parts


def test_a_project_without_siblings_ships_one_file(
    small_registry: SmallModels, tmp_path: Path
) -> None:
    shipped = registered.fetch("loans", None, tmp_path)[1]
    assert not shipped.packages.exists()
    own = project("loans").folder / "model.py"
    assert shipped.code.read_bytes() == own.read_bytes()


def test_versions_share_no_modules(shipped: Shipped, tmp_path: Path) -> None:
    other = Shipped(tmp_path / "other")
    shutil.copytree(shipped.folder, other.folder)
    assert other.package is not None
    scaling = other.package / "scaling.py"
    scaling.write_text(scaling.read_text().replace("USUAL, SPREAD = 18.0", "USUAL, SPREAD = 0.0"))
    one, two = shipped.load(), other.load()
    distances = [
        model.predict([model.input_type().model_validate(EXAMPLE)])[0].distance
        for model in (one, two, one)
    ]
    assert distances[0] == distances[2] < 0.2 < distances[1]


def test_loading_leaves_the_files_as_they_were_registered(
    active: SmallModels, tmp_path: Path
) -> None:
    version = active.client.get_model_version("readings", "1")
    wanted = version.tags["digest"]
    folder = fetch("readings", "1", wanted, tmp_path)
    model = Shipped(folder).load()
    model.predict([model.input_type().model_validate(EXAMPLE)])
    verify(folder, wanted)


def test_forgetting_a_model_frees_its_modules(shipped: Shipped) -> None:
    before = set(sys.modules)
    model = shipped.load()
    added = set(sys.modules) - before
    assert {name.rpartition(".")[2] for name in added} >= {"model", "scaling"}
    record = weakref.ref(model.input_type())
    forget(model)
    del model
    gc.collect()
    assert not added & set(sys.modules)
    assert record() is None


def test_code_that_fails_leaves_no_modules(shipped: Shipped) -> None:
    shipped.code.write_text("from .scaling import scaled\nraise RuntimeError('no')\n")
    before = set(sys.modules)
    with pytest.raises(RuntimeError, match="no"):
        shipped.declare()
    assert set(sys.modules) == before


def test_mlflow_loads_the_version(active: SmallModels) -> None:
    import mlflow

    models = [mlflow.pyfunc.load_model("models:/readings/1") for _ in range(2)]
    answers = [model.predict([EXAMPLE])[0] for model in models]
    assert answers[0].model_dump() == answers[1].model_dump()
    assert not answers[0].unusual
    # Each has modules of its own, so that the weights of one never answer for another.
    assert type(answers[0]) is not type(answers[1])
    typed = load_version("readings", "1")
    record = typed.input_type().model_validate(EXAMPLE)
    assert typed.predict([record])[0].model_dump() == answers[0].model_dump()


@pytest.mark.parametrize("damage", ["sibling", "entry", "addition"])
def test_every_shipped_file_is_verified(shipped: Shipped, damage: str) -> None:
    wanted = digest(shipped.parts)
    verify(shipped.folder, wanted)
    assert shipped.package is not None
    file = {
        "sibling": shipped.package / "scaling.py",
        "entry": shipped.entry,
        "addition": shipped.package / "more.py",
    }[damage]
    file.write_text(f"{file.read_text() if file.is_file() else ''}\nx = 1\n")
    with pytest.raises(DigestMismatch):
        verify(shipped.folder, wanted)


def test_links_and_pickles_among_the_siblings_are_refused(shipped: Shipped, tmp_path: Path) -> None:
    assert shipped.package is not None
    (tmp_path / "elsewhere.py").write_text("")
    (shipped.package / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(Unsafe, match=r"linked\.py is a link"):
        verify(shipped.folder, digest(shipped.parts))
    (shipped.package / "linked.py").unlink()
    (shipped.package / "table.pkl").write_bytes(b"x")
    with pytest.raises(Unsafe, match="a pickle runs code"):
        verify(shipped.folder, digest(shipped.parts))


def test_about_says_how_to_serve_the_version(shipped: Shipped) -> None:
    content = json.loads((shipped.about / "serving.json").read_text())
    assert content == {
        "track": "small",
        "primary": "accuracy",
        "latency_seconds": 1.0,
        "threads": 1,
        "requires": [],
        "media": False,
        "parity": "values",
        "iou": 0.9,
    }
    assert shared_code.changed(shipped.about) == []
    assert "slipway/contract/model.py" in json.loads((shipped.about / "code.json").read_text())


def test_requirements_name_the_packages_of_the_groups() -> None:
    plain, vision = requirements(), requirements(["vision"])
    added = {each.split("==")[0] for each in vision} - {each.split("==")[0] for each in plain}
    assert added == set(serving_group("vision").packages)
