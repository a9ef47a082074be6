"""Models of several graphs on Triton: each graph is a model of its own there."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from services.predict.backend import VersionFiles
from services.predict.model_process import try_out
from services.predict.triton import config
from services.predict.triton.repository import Registered, build
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.contract.shipped import Shipped
from slipway.registry import registered
from tests.services.predict.triton.triton_graphs import (
    SETTINGS,
    install_triton_or_skip,
    lookup,
    misdeclared,
    run_triton,
    ship_graph,
)
from tests.small_models import SmallModels

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/predict/triton/*", "services/predict/backend.py", "slipway/contract/graph.py")

GRAPHS = ["readings.decoder", "readings.encoder"]


@pytest.fixture(scope="module")
def readings(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shipped]:
    """A champion with an encoder and a decoder."""
    models = SmallModels(tmp_path_factory.mktemp("registry"), ["readings"])
    with models.active():
        yield registered.fetch("readings", None, tmp_path_factory.mktemp("own"))[1]


def names_in(repository: Path) -> list[str]:
    return sorted(each.name for each in repository.iterdir())


def test_each_graph_becomes_a_model(readings: Shipped, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    built = build([Registered("readings", "3", readings)], repository, backend="onnx")
    assert built.models == {name: ["3"] for name in GRAPHS}
    assert names_in(repository) == GRAPHS
    decoder = config.read((repository / "readings.decoder" / "config.pbtxt").read_text())
    assert decoder.name == "readings.decoder"
    assert [each.name for each in decoder.input] == ["codes"]
    stored = repository / "readings.decoder" / "3" / "model.onnx"
    assert stored.read_bytes() == (readings.weights / "decoder.onnx").read_bytes()


def test_models_without_a_champion_are_removed_with_all_their_graphs(
    readings: Shipped, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    one = Registered("lookup", "1", ship_graph(tmp_path / "lookup", lookup([1.0])))
    build([Registered("readings", "3", readings), one], repository, backend="onnx")
    built = build([one], repository, backend="onnx", prune=True)
    assert built.removed == GRAPHS
    assert names_in(repository) == ["lookup"]


def test_a_graph_that_is_refused_keeps_the_previous_version_of_all(
    readings: Shipped, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    build([Registered("readings", "3", readings)], repository, backend="onnx")
    wrong = Shipped(tmp_path / "wrong")
    shutil.copytree(readings.folder, wrong.folder)
    bad = ship_graph(tmp_path / "bad", misdeclared()).weights / "model.onnx"
    shutil.copy(bad, wrong.weights / "encoder.onnx")
    built = build([Registered("readings", "4", wrong)], repository, backend="onnx", prune=True)
    assert built.models == {}
    assert built.removed == []
    assert built.skipped["readings"].startswith("encoder.onnx: y is declared (1, 2)")
    assert names_in(repository) == GRAPHS
    assert not (repository / "readings.decoder" / "4").exists()


def test_tensors_in_separate_files_keep_the_names_that_the_graph_has(tmp_path: Path) -> None:
    large = ship_graph(tmp_path / "one", lookup([float(each) for each in range(500)]))
    (file,) = large.weights.iterdir()
    data = "table.onnx.data"
    graph = onnx.load(file)
    file.unlink()
    onnx.save(graph, large.weights / "table.onnx", save_as_external_data=True, location=data)
    for version in ("1", "2"):
        build([Registered("big", version, large)], tmp_path / "models", backend="python")
    for version in ("1", "2"):
        copied = OnnxRuntimeGraph(tmp_path / "models" / "big.table" / version / "model.onnx")
        assert copied.run({"place": np.array([499])})["value"].tolist() == [499.0]


def test_a_server_runs_every_graph_on_triton(readings: Shipped, tmp_path: Path) -> None:
    install_triton_or_skip()
    repository = tmp_path / "models"
    build([Registered("readings", "1", readings)], repository, backend="python", settings=SETTINGS)
    with run_triton(repository, tmp_path / "log") as triton:
        # The try-out compares its predictions with the shipped ones.
        profile = try_out(VersionFiles("readings", "1", readings.folder, triton.grpc), 64)
    assert profile.one_seconds > 0
