"""Triton repositories: configs, builds and the command `slipway triton build`.

Only Triton's public image has the backends onnx and tensorrt: their configs are read back here, not
run.
"""

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from typer.testing import CliRunner

from services.predict.triton import config
from services.predict.triton.champions import NoChampion, champions
from services.predict.triton.commands import app
from services.predict.triton.repository import Registered, build
from services.predict.triton.settings import TritonSettings
from services.predict.triton.signature import read_signature
from slipway.contract.graph import OnnxRuntimeGraph
from slipway.contract.shipped import Shipped
from slipway.registry import tracking
from slipway.registry.copies import DigestMismatch
from tests.services import fake_models as fake
from tests.services.predict.triton.triton_graphs import (
    SETTINGS,
    fixed,
    lookup,
    misdeclared,
    scalar,
    ship_graph,
    ship_graphs,
    tensor,
)
from tests.small_models import NAMES, SmallModels


@pytest.fixture(scope="module")
def ships(
    small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Shipped]:
    """The verified champions of the small models."""
    with small_models.active():
        registered = champions(list(NAMES), tmp_path_factory.mktemp("champions"))
    return {each.name: each.shipped for each in registered}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shipped]:
    return ship_graphs(tmp_path_factory.mktemp("graphs"))


def build_config(model: Registered, folder: Path, **options):  # type: ignore[no-untyped-def]
    built = build([model], folder, **options)
    assert built.skipped == {}
    return config.read((folder / model.name / "config.pbtxt").read_text())


def test_configs_of_onnx_and_tensorrt_contain_the_settings(
    graphs: dict[str, Shipped], tmp_path: Path
) -> None:
    settings = TritonSettings.model_validate(
        {
            "max_batch_size": 32,
            "preferred_batch_sizes": [8, 32],
            "max_queue_delay_microseconds": 700,
            "queue": {"max_queue_size": 99, "timeout_microseconds": 4000},
            "instances": {"count": 2},
            "precision": "FP32",
            "max_workspace_size_bytes": 2**28,
            "engine_cache": "/cache",
        }
    )
    model = Registered("lookup", "7", graphs["lookup"])
    onnx_config = build_config(model, tmp_path / "onnx", backend="onnx", settings=settings)
    tensorrt = build_config(model, tmp_path / "tensorrt", backend="tensorrt", settings=settings)
    for each in (onnx_config, tensorrt):
        assert (each.name, each.backend, each.platform) == (
            "lookup",
            "onnxruntime",
            "onnxruntime_onnx",
        )
        assert each.default_model_filename == "model.onnx"
        assert each.max_batch_size == 32
        assert list(each.version_policy.specific.versions) == [7]
        batching = each.dynamic_batching
        assert list(batching.preferred_batch_size) == [8, 32]
        assert batching.max_queue_delay_microseconds == 700
        assert batching.default_queue_policy.max_queue_size == 99
        assert batching.default_queue_policy.default_timeout_microseconds == 4000
        assert [warm.batch_size for warm in each.model_warmup] == [1, 32]
        assert each.instance_group[0].count == 2
        assert (list(each.input[0].dims), list(each.input[0].reshape.shape)) == ([1], [])
        assert each.input[0].HasField("reshape")
    assert onnx_config.instance_group[0].kind == onnx_config.instance_group[0].KIND_CPU
    assert not onnx_config.HasField("optimization")
    assert tensorrt.instance_group[0].kind == tensorrt.instance_group[0].KIND_GPU
    (accelerator,) = tensorrt.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert dict(accelerator.parameters) == {
        "precision_mode": "FP32",
        "max_workspace_size_bytes": str(2**28),
        "trt_engine_cache_enable": "true",
        "trt_engine_cache_path": "/cache",
    }
    files = {file.name for file in (tmp_path / "tensorrt/lookup").rglob("*") if file.is_file()}
    assert files == {"config.pbtxt", "model.onnx"}


def test_inputs_and_outputs_are_those_of_the_champions(
    ships: dict[str, Shipped], tmp_path: Path
) -> None:
    loans = build_config(
        Registered("loans", "1", ships["loans"]), tmp_path / "models", backend="onnx"
    )
    kinds = {each.name: (each.data_type, list(each.dims)) for each in loans.input}
    text, number = (config.messages.DataType.Value(f"TYPE_{kind}") for kind in ("STRING", "FP32"))
    assert kinds == {"numbers": (number, [3]), "categories": (text, [2])}
    images = build_config(
        Registered("shapes", "1", ships["shapes"]), tmp_path / "m", backend="onnx"
    )
    assert [list(each.dims) for each in (*images.input, *images.output)] == [[1, 8, 8], [3]]


def test_invalid_settings_are_refused(graphs: dict[str, Shipped], tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="at most max_batch_size 256, got 300"):
        TritonSettings.model_validate({"preferred_batch_sizes": [8, 300]})
    with pytest.raises(ValidationError, match="max_batchsize"):
        TritonSettings.model_validate({"max_batchsize": 3})
    on_cpu = TritonSettings.model_validate({"instances": {"kind": "KIND_CPU"}})
    model = Registered("lookup", "1", graphs["lookup"])
    with pytest.raises(ValueError, match="must be KIND_GPU for backend tensorrt"):
        build([model], tmp_path / "models", backend="tensorrt", settings=on_cpu)
    for wrong in (Registered("../lookup", "1", model.shipped), Registered("x", "0", model.shipped)):
        with pytest.raises(ValueError, match="must be"):
            build([wrong], tmp_path / "models", backend="onnx")


def test_models_that_cannot_be_served_are_skipped_with_the_reason(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    zipmap = Shipped(tmp_path / "zipmap")
    zipmap.weights.mkdir(parents=True)
    fitted = LogisticRegression().fit(rows, rows[:, 0] > 0)
    (zipmap.weights / "model.onnx").write_bytes(to_onnx(fitted, rows[:1]).SerializeToString())
    none = Shipped(tmp_path / "none")
    none.weights.mkdir(parents=True)
    broken = Shipped(tmp_path / "broken")
    broken.weights.mkdir(parents=True)
    (broken.weights / "model.onnx").write_bytes(b"no graph")
    wrong = ship_graph(tmp_path / "wrong", misdeclared())
    total = ship_graph(tmp_path / "total", scalar())
    models = {"zipmap": zipmap, "none": none, "broken": broken, "wrong": wrong, "total": total}
    built = build(
        [Registered(name, "1", each) for name, each in models.items()],
        tmp_path / "models",
        backend="onnx",
    )
    assert built.models == {}
    assert list((tmp_path / "models").iterdir()) == []
    assert "output_probability is seq(map(" in built.skipped["zipmap"]
    assert "zipmap=False" in built.skipped["zipmap"]
    assert "no ONNX graph in artifacts/weights" in built.skipped["none"]
    assert "does not load" in built.skipped["broken"]
    assert "y is declared (1, 2) but its real shape is (any, 2)" in built.skipped["wrong"]
    assert "sum has no axis" in built.skipped["total"]
    # The backend python uses the real shape.
    again = build([Registered("wrong", "1", wrong)], tmp_path / "models", backend="python")
    assert again.models == {"wrong": ["1"]}


def test_a_graph_that_fails_on_zeros_is_built_without_warm_up(tmp_path: Path) -> None:
    graph = lookup([1.0])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 7])
    graph.initializer.append(shape)
    graph.node[0].output[0] = "flat"
    graph.node.append(helper.make_node("Reshape", ["flat", "shape"], ["value"]))
    graph.output[0].CopyFrom(tensor("value", TensorProto.FLOAT, "rows", 7))
    picky = ship_graph(tmp_path / "picky", graph)
    assert "Reshape" in read_signature(picky.weights / "model.onnx").trial_error
    built = build([Registered("picky", "1", picky)], tmp_path / "models", backend="onnx")
    assert "does not run on zeros" in built.cold["picky"]
    written = config.read((tmp_path / "models/picky/config.pbtxt").read_text())
    assert list(written.model_warmup) == []


def test_tensors_in_separate_files_are_copied_or_the_model_is_skipped(tmp_path: Path) -> None:
    large = ship_graph(tmp_path / "one", lookup([float(each) for each in range(500)]))
    file = large.weights / "model.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="model.onnx.data")
    built = build([Registered("lookup", "1", large)], tmp_path / "models", backend="onnx")
    assert built.models == {"lookup": ["1"]}
    copied = OnnxRuntimeGraph(tmp_path / "models/lookup/1/model.onnx")
    assert copied.run({"place": np.array([499])})["value"].tolist() == [499.0]
    (large.weights / "model.onnx.data").unlink()
    built = build([Registered("lookup", "2", large)], tmp_path / "models", backend="onnx")
    assert "does not load" in built.skipped["lookup"]
    assert not (tmp_path / "models/lookup/2").exists()


def test_a_reader_sees_a_complete_model_during_builds(tmp_path: Path) -> None:
    """Versions, backends and settings change 40 times while a thread reads the repository."""
    repository = tmp_path / "models"
    models = {
        str(version): Registered(
            "lookup", str(version), ship_graph(tmp_path / str(version), lookup([float(version)]))
        )
        for version in (1, 2, 3)
    }
    whole = {each.version: graph_bytes(each) for each in models.values()}
    done, faults, reads = threading.Event(), [], []

    def read_repository() -> None:
        while not done.is_set():
            reads.append(None)
            if repository.is_dir() and (fault := inconsistency(repository, whole)):
                faults.append(fault)

    reading = threading.Thread(target=read_repository)
    reading.start()
    try:
        for turn in range(40):
            build(
                [models[str(turn % 3 + 1)]],
                repository,
                backend="python" if turn % 2 else "onnx",
                settings=SETTINGS.model_copy(update={"max_batch_size": 1 + turn // 5}),
            )
    finally:
        done.set()
        reading.join()
    assert faults == []
    assert len(reads) > 40
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def graph_bytes(model: Registered) -> bytes:
    return (model.shipped.weights / "model.onnx").read_bytes()


def inconsistency(repository: Path, whole: dict[str, bytes]) -> str:
    """Return what is missing or wrong, unless the config was replaced meanwhile."""
    names = sorted(each.name for each in repository.iterdir())
    if not names:
        return ""
    if names != ["lookup"]:
        return f"{names} in the repository"
    file = repository / "lookup" / "config.pbtxt"
    before = file.read_bytes()
    read = config.read(before.decode())
    fault = ""
    for version in map(str, read.version_policy.specific.versions):
        folder = repository / "lookup" / version
        try:
            if (folder / "model.onnx").read_bytes() != whole[version]:
                fault = f"model.onnx of v{version} differs"
            if read.backend == "python":
                compile((folder / "model.py").read_text(), "model.py", "exec")
        except FileNotFoundError as error:
            fault = f"v{version}: {error}"
    return fault if file.read_bytes() == before else ""


def test_an_unchanged_build_touches_nothing_and_pruning_removes(
    graphs: dict[str, Shipped], tmp_path: Path
) -> None:
    models = [Registered(name, "1", each) for name, each in graphs.items()]
    repository = tmp_path / "models"
    build(models, repository, backend="python")
    before = {file: file.stat().st_mtime_ns for file in repository.rglob("*")}
    build(models, repository, backend="python", prune=True)
    assert {file: file.stat().st_mtime_ns for file in repository.rglob("*")} == before
    built = build(models[:1], repository, backend="python", prune=True)
    assert sorted(built.removed) == sorted(each.name for each in models[1:])
    assert [each.name for each in repository.iterdir()] == [models[0].name]


def test_a_version_with_other_inputs_is_removed(tmp_path: Path) -> None:
    one = Registered("changing", "1", ship_graph(tmp_path / "one", lookup([1.0])))
    two = Registered("changing", "2", ship_graph(tmp_path / "two", fixed()))
    build([one], tmp_path / "models", backend="python")
    assert build([two], tmp_path / "models", backend="python").models == {"changing": ["2"]}
    folders = [each.name for each in (tmp_path / "models/changing").iterdir() if each.is_dir()]
    assert folders == ["2"]


def test_the_command_builds_verified_champions(small_registry: SmallModels, tmp_path: Path) -> None:
    repository, settings = tmp_path / "models", tmp_path / "settings.yaml"
    settings.write_text("max_batch_size: 16\n")
    options = ["--into", str(repository), "--backend", "python", "--settings", str(settings)]
    small_registry.add("graphless", fake.echo("graphless"))
    try:
        done = CliRunner().invoke(app, ["build", *options])
    finally:
        small_registry.client.delete_registered_model("graphless")
    assert done.exit_code == 0, done.output
    # A model without model.onnx is skipped.
    assert {each.name for each in repository.iterdir()} == set(NAMES)
    assert "graphless" in done.output
    assert config.read((repository / "houses/config.pbtxt").read_text()).max_batch_size == 16
    with pytest.raises(NoChampion, match="nobody has no champion"):
        CliRunner().invoke(app, ["build", "nobody", *options], catch_exceptions=False)
    settings.write_text("max_batch_size: many\n")
    done = CliRunner().invoke(app, ["build", *options])
    assert "max_batch_size: Input should be a valid integer" in str(done.exception)


def test_a_modified_champion_is_not_built(small_registry: SmallModels, tmp_path: Path) -> None:
    registry = tracking.client()
    champion = tracking.version_of(registry, "loans", tracking.CHAMPION)
    assert champion is not None
    place = registry.get_model_version_download_uri("loans", champion.version)
    file = Path(place.removeprefix("file://")) / "artifacts" / "weights" / "model.onnx"
    original = file.read_bytes()
    file.write_bytes(original + b"\0")
    try:
        with pytest.raises(DigestMismatch, match="loans v.*registered"):
            champions(["loans"], tmp_path)
    finally:
        file.write_bytes(original)
