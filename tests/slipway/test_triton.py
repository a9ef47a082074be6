"""Triton as a second backend: repositories held against a real tritonserver on CPU.

The backends onnx and tensorrt exist in Triton's public image only: their configs are read back
here, not run.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from tritonclient.grpc import InferenceServerClient
from typer.testing import CliRunner

from slipway import home
from slipway.contract import Model, Record
from slipway.contract.graph import OnnxRuntimeGraph, opened_by
from slipway.contract.shipped import Shipped
from slipway.home import free_port
from slipway.registry import tracking
from slipway.registry.copies import DigestMismatch
from slipway.training.parity import parity
from slipway.triton import config, server
from slipway.triton.champions import NotChampion, champions
from slipway.triton.commands import app
from slipway.triton.graph import TritonGraph, TritonRefused, TritonUnavailable, opener
from slipway.triton.repository import Registered, build
from slipway.triton.server import Running, TritonFault
from slipway.triton.settings import TritonSettings
from slipway.triton.signature import signature
from tests.services import zoo as fake
from tests.small_models import NAMES, SmallModels
from tests.waiting import PATIENCE, until

LARGEST = 64
# A busy machine takes milliseconds over each request of those that are to meet.
SETTINGS = TritonSettings.model_validate(
    {"max_batch_size": LARGEST, "max_queue_delay_microseconds": 100_000}
)

TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "object": TensorProto.STRING,
}


def shipped(folder: Path, graph: onnx.GraphProto) -> Shipped:
    made = Shipped(folder)
    made.weights.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, made.weights / "model.onnx")
    return made


def tensor(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def echo() -> onnx.GraphProto:
    """Every type, of one value and of three values a row, comes back as it went in."""
    nodes, inputs, outputs = [], [], []
    for name, kind in TYPES.items():
        for width in ((), (3,)):
            own = f"{name}{len(width)}"
            nodes.append(helper.make_node("Identity", [own], [f"{own}_back"]))
            inputs.append(tensor(own, kind, "rows", *width))
            outputs.append(tensor(f"{own}_back", kind, "rows", *width))
    return helper.make_graph(nodes, "echo", inputs, outputs)


def lookup(values: list[float]) -> onnx.GraphProto:
    """The value at a place, one a row; a place outside fails the whole run."""
    table = onnx.numpy_helper.from_array(np.array(values, dtype=np.float32), "table")
    return helper.make_graph(
        [helper.make_node("Gather", ["table", "place"], ["value"])],
        "lookup",
        [tensor("place", TensorProto.INT64, "rows")],
        [tensor("value", TensorProto.FLOAT, "rows")],
        [table],
    )


def fixed() -> onnx.GraphProto:
    """Two by two, and nothing else."""
    node = helper.make_node("Neg", ["square"], ["negative"])
    square, negative = (tensor(name, TensorProto.FLOAT, 2, 2) for name in ("square", "negative"))
    return helper.make_graph([node], "fixed", [square], [negative])


def scalar() -> onnx.GraphProto:
    node = helper.make_node("ReduceSum", ["square"], ["sum"], keepdims=0)
    square, total = tensor("square", TensorProto.FLOAT, 2, 2), tensor("sum", TensorProto.FLOAT)
    return helper.make_graph([node], "scalar", [square], [total])


def misdeclared() -> onnx.GraphProto:
    node = helper.make_node("Neg", ["x"], ["y"])
    x, y = tensor("x", TensorProto.FLOAT, "rows", 2), tensor("y", TensorProto.FLOAT, 1, 2)
    return helper.make_graph([node], "misdeclared", [x], [y])


@pytest.fixture(scope="module")
def ships(
    small_models: SmallModels, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Shipped]:
    """The verified champions of the small models."""
    with small_models.active():
        found = champions(list(NAMES), tmp_path_factory.mktemp("champions"))
    return {each.name: each.shipped for each in found}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shipped]:
    folder = tmp_path_factory.mktemp("graphs")
    made = {"echo": echo(), "lookup": lookup([0.0, 1.0, 2.0]), "fixed": fixed()}
    return {name: shipped(folder / name, graph) for name, graph in made.items()}


@pytest.fixture(scope="module")
def installed() -> None:
    try:
        server.environment()
    except TritonFault as fault:
        pytest.skip(f"Triton runs nowhere here: {fault}")


@contextmanager
def triton(
    repository: Path, log: Path, *, ports: tuple[int, int, int] | None = None, poll: int = 0
) -> Iterator[Running]:
    http, grpc, metrics = ports or (free_port(), free_port(), free_port())
    with server.running(
        repository, http=http, grpc=grpc, metrics=metrics, log=log, poll_seconds=poll or None
    ) as running:
        yield running


@pytest.fixture(scope="module")
def running(
    installed: None,
    ships: dict[str, Shipped],
    graphs: dict[str, Shipped],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("triton")
    models = [Registered(name, "3", each) for name, each in (ships | graphs).items()]
    built = build(models, folder / "models", backend="python", settings=SETTINGS)
    assert built.skipped == built.cold == {}
    with triton(folder / "models", folder / "log") as here:
        yield here


def elsewhere(running: Running, ship: Shipped, name: str) -> Model:
    with opened_by(opener(running.grpc, name, "3")):
        return ship.load()


def told(model: Model, records: list[dict], count: int) -> list[Record]:
    form = model.input_type()
    repeated = (records * count)[:count]
    asked = [form.model_validate_json(json.dumps(each)) for each in repeated]
    return model.predict(asked)


@pytest.mark.parametrize("count", [1, 100, 2 * LARGEST + 1])
@pytest.mark.parametrize("name", NAMES)
def test_answers_are_those_of_onnx_runtime(
    running: Running, ships: dict[str, Shipped], name: str, count: int
) -> None:
    records = [each["input"] for each in ships[name].examples]
    here = told(ships[name].load(), records, count)
    there = told(elsewhere(running, ships[name], name), records, count)
    assert len(there) == count
    found = parity(here, there)
    assert found["parity_agreement"] == 1
    assert found["parity_error"] < 1e-6


@pytest.mark.parametrize("rows", [1, 7, LARGEST, LARGEST + 1, 3 * LARGEST])
def test_every_type_and_shape_comes_back(running: Running, rows: int) -> None:
    random = np.random.default_rng(rows)
    feeds = {}
    for name in TYPES:
        for width in ((), (3,)):
            array = random.integers(0, 2, (rows, *width))
            if name == "object":
                texts = np.array(["", "naïve ✓ \0 text"], dtype=object)
                feeds[f"{name}1" if width else f"{name}0"] = texts[array]
            else:
                feeds[f"{name}{len(width)}"] = array.astype(name)
    answer = TritonGraph(running.grpc, "echo", "3").run(feeds)
    assert answer.keys() == {f"{name}_back" for name in feeds}
    for name, array in feeds.items():
        back = answer[f"{name}_back"]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        # A model may go on calculating in what it got, as it may with ONNX Runtime's.
        back[:1] = back[-1:]


def test_texts_of_fixed_width_are_taken_too(running: Running, graphs: dict[str, Shipped]) -> None:
    shapes = {"0": (2,), "1": (2, 3)}
    feeds = {name + end: np.ones(shape, name) for name in TYPES for end, shape in shapes.items()}
    feeds |= {"object0": np.array(["a", "bcd"]), "object1": np.full((2, 3), "x")}
    here = OnnxRuntimeGraph(graphs["echo"].weights / "model.onnx").run(feeds)
    there = TritonGraph(running.grpc, "echo", "3").run(feeds)
    assert there["object0_back"].tolist() == here["object0_back"].tolist() == ["a", "bcd"]


def test_single_requests_that_come_together_run_together(
    running: Running, ships: dict[str, Shipped]
) -> None:
    """Fewer runs than requests, by Triton's own count, and nobody gets another's answer."""
    records = [each["input"] for each in ships["loans"].examples]
    model = elsewhere(running, ships["loans"], "loans")
    wanted = told(ships["loans"].load(), records, len(records))
    before = counts(running, "loans")
    places = [number % len(records) for number in range(320)]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda place: told(model, [records[place]], 1), places))
    inferences, executions = counts(running, "loans")
    assert inferences - before[0] == len(places)
    assert executions - before[1] <= len(places) / 4
    for place, answer in zip(places, answers, strict=True):
        assert parity([wanted[place]], answer)["parity_error"] < 1e-6


def counts(running: Running, name: str) -> tuple[int, int]:
    with InferenceServerClient(running.grpc) as client:
        found = client.get_inference_statistics(name, "3").model_stats[0]
    return found.inference_count, found.execution_count


def test_a_request_that_fails_does_not_fail_those_it_ran_with(running: Running) -> None:
    graph = TritonGraph(running.grpc, "lookup", "3")
    start = threading.Barrier(16)

    def ask(place: int) -> object:
        start.wait()
        try:
            return graph.run({"place": np.array([place])})["value"].tolist()
        except TritonRefused as refused:
            return refused

    places = [99 if number % 4 == 0 else number % 3 for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, places))
    for place, answer in zip(places, answers, strict=True):
        if place == 99:
            assert isinstance(answer, TritonRefused)
            assert "out of data bounds" in str(answer)
        else:
            assert answer == [float(place)]


def test_a_graph_without_a_row_axis_runs_whole(running: Running) -> None:
    answer = TritonGraph(running.grpc, "fixed", "3").run(
        {"square": np.array([[1, 2], [3, 4]], dtype=np.float32)}
    )
    assert answer["negative"].tolist() == [[-1, -2], [-3, -4]]


def test_what_triton_does_not_hold_is_refused(running: Running, tmp_path: Path) -> None:
    with pytest.raises(TritonRefused, match="nowhere v3.*not found"):
        TritonGraph(running.grpc, "nowhere", "3")
    with pytest.raises(TritonRefused, match="loans v4.*not found"):
        TritonGraph(running.grpc, "loans", "4")
    with pytest.raises(TritonRefused, match="other.onnx: Triton holds model.onnx only"):
        opener(running.grpc, "loans", "3")(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("feeds", "why"),
    [
        ({"place": np.array([0.5])}, "FP64"),
        ({"spot": np.array([1])}, "spot"),
        ({"place": np.array([[1, 2]])}, "shape"),
        ({}, "place|expected 1 inputs"),
        ({"place": np.array([1 + 2j])}, "complex128"),
    ],
)
def test_wrong_inputs_are_refused_with_the_reason(
    running: Running, feeds: dict[str, np.ndarray], why: str
) -> None:
    with pytest.raises(TritonRefused, match=why):
        TritonGraph(running.grpc, "lookup", "3").run(feeds)


def test_nobody_there_is_unavailable_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(TritonUnavailable, match="loans v1"):
        TritonGraph(f"{home.LOOPBACK}:{free_port()}", "loans", "1", seconds=PATIENCE)
    assert time.monotonic() - start < 20


def test_the_repository_changes_under_a_server_and_the_server_goes(
    installed: None, tmp_path: Path
) -> None:
    """v1 answers without a gap while v2 comes; then Triton hangs, is gone, and is back."""
    repository = tmp_path / "models"
    one = Registered("lookup", "1", shipped(tmp_path / "one", lookup([10.0])))
    two = Registered("lookup", "2", shipped(tmp_path / "two", lookup([20.0])))
    build([one], repository, backend="python", settings=SETTINGS)
    ports = (free_port(), free_port(), free_port())
    place = {"place": np.zeros(LARGEST, dtype=np.int64)}
    with triton(repository, tmp_path / "log", ports=ports, poll=1) as running:
        first = TritonGraph(running.grpc, "lookup", "1", seconds=PATIENCE)
        done, seen = threading.Event(), []

        def keep_asking() -> None:
            while not done.is_set():
                try:
                    seen.append(first.run(place)["value"].tolist() == [10.0] * LARGEST)
                except (TritonRefused, TritonUnavailable) as error:
                    seen.append(error)
                time.sleep(0.01)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            # Half the rows in one request now: the graph that is open has to find that out.
            smaller = SETTINGS.model_copy(update={"max_batch_size": LARGEST // 2})
            built = build([two], repository, backend="python", settings=smaller)
            assert built.models == {"lookup": ["2", "1"]}
            second = eventually(lambda: TritonGraph(running.grpc, "lookup", "2", seconds=PATIENCE))
            assert second.run(place)["value"].tolist() == [20.0] * LARGEST
            time.sleep(0.3)
        finally:
            done.set()
            asking.join()
        assert len(seen) > 20
        assert [each for each in seen if each is not True] == []

        impatient = TritonGraph(running.grpc, "lookup", "2", seconds=2)
        os.kill(running.process.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(TritonUnavailable, match="Deadline"):
                impatient.run(place)
            assert 1.5 < time.monotonic() - start < 20
        finally:
            os.kill(running.process.pid, signal.SIGCONT)
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert children
    assert running.process.returncode is not None
    # Whoever takes in orphans may be slow about it.
    eventually_gone(children)
    start = time.monotonic()
    with pytest.raises(TritonUnavailable, match="lookup v2"):
        second.run(place)
    assert time.monotonic() - start < 20
    with triton(repository, tmp_path / "log", ports=ports):
        answer = eventually(lambda: second.run(place))
        assert answer["value"].tolist() == [20.0] * LARGEST


def eventually_gone(processes: list[psutil.Process]) -> None:
    for each in processes:
        until(
            lambda each=each: not each.is_running() or each.status() == psutil.STATUS_ZOMBIE,  # type: ignore[misc]
            lambda each=each: f"{each} is still there",  # type: ignore[misc]
        )


def eventually(ask: Callable):  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (TritonRefused, TritonUnavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_the_time_for_a_call_is_set_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TRITON_SECONDS", "soon")
    with pytest.raises(ValueError, match="SLIPWAY_TRITON_SECONDS must be a positive number"):
        TritonGraph(f"{home.LOOPBACK}:{free_port()}", "loans", "1")


def built_config(model: Registered, folder: Path, **how):  # type: ignore[no-untyped-def]
    built = build([model], folder, **how)
    assert built.skipped == {}
    return config.read((folder / model.name / "config.pbtxt").read_text())


def test_configs_of_onnx_and_tensorrt_hold_the_settings(
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
    onnx_config = built_config(model, tmp_path / "onnx", backend="onnx", settings=settings)
    tensorrt = built_config(model, tmp_path / "tensorrt", backend="tensorrt", settings=settings)
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
    loans = built_config(
        Registered("loans", "1", ships["loans"]), tmp_path / "models", backend="onnx"
    )
    kinds = {each.name: (each.data_type, list(each.dims)) for each in loans.input}
    text, number = (config.messages.DataType.Value(f"TYPE_{kind}") for kind in ("STRING", "FP32"))
    assert kinds == {"numbers": (number, [3]), "categories": (text, [2])}
    images = built_config(
        Registered("shapes", "1", ships["shapes"]), tmp_path / "m", backend="onnx"
    )
    assert [list(each.dims) for each in (*images.input, *images.output)] == [[1, 8, 8], [3]]


def test_settings_that_cannot_be_are_refused(graphs: dict[str, Shipped], tmp_path: Path) -> None:
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


def test_what_cannot_be_served_is_named_with_the_reason(tmp_path: Path) -> None:
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
    wrong = shipped(tmp_path / "wrong", misdeclared())
    total = shipped(tmp_path / "total", scalar())
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
    assert "no artifacts/weights/model.onnx" in built.skipped["none"]
    assert "does not load" in built.skipped["broken"]
    assert "y is declared (1, 2) but comes out (any, 2)" in built.skipped["wrong"]
    assert "sum has no axis" in built.skipped["total"]
    # Our Python model goes by what comes out.
    again = build([Registered("wrong", "1", wrong)], tmp_path / "models", backend="python")
    assert again.models == {"wrong": ["1"]}


def test_a_graph_that_fails_on_zeros_is_built_without_warm_up(tmp_path: Path) -> None:
    graph = lookup([1.0])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, 7])
    graph.initializer.append(shape)
    graph.node[0].output[0] = "flat"
    graph.node.append(helper.make_node("Reshape", ["flat", "shape"], ["value"]))
    graph.output[0].CopyFrom(tensor("value", TensorProto.FLOAT, "rows", 7))
    made = shipped(tmp_path / "picky", graph)
    assert "Reshape" in signature(made.weights / "model.onnx").untried
    built = build([Registered("picky", "1", made)], tmp_path / "models", backend="onnx")
    assert "does not run on zeros" in built.cold["picky"]
    written = config.read((tmp_path / "models/picky/config.pbtxt").read_text())
    assert list(written.model_warmup) == []


def test_tensors_beside_the_graph_come_along_or_it_is_refused(tmp_path: Path) -> None:
    made = shipped(tmp_path / "one", lookup([float(each) for each in range(500)]))
    file = made.weights / "model.onnx"
    onnx.save(onnx.load(file), file, save_as_external_data=True, location="model.onnx.data")
    built = build([Registered("lookup", "1", made)], tmp_path / "models", backend="onnx")
    assert built.models == {"lookup": ["1"]}
    copied = OnnxRuntimeGraph(tmp_path / "models/lookup/1/model.onnx")
    assert copied.run({"place": np.array([499])})["value"].tolist() == [499.0]
    (made.weights / "model.onnx.data").unlink()
    built = build([Registered("lookup", "2", made)], tmp_path / "models", backend="onnx")
    assert "does not load" in built.skipped["lookup"]
    assert not (tmp_path / "models/lookup/2").exists()


def test_whoever_looks_while_it_is_written_sees_a_whole_model(tmp_path: Path) -> None:
    """Versions, backends and settings change 40 times under a reader that never stops."""
    repository = tmp_path / "models"
    models = {
        str(version): Registered(
            "lookup", str(version), shipped(tmp_path / str(version), lookup([float(version)]))
        )
        for version in (1, 2, 3)
    }
    whole = {each.version: signature_bytes(each) for each in models.values()}
    done, faults, looks = threading.Event(), [], []

    def look() -> None:
        while not done.is_set():
            looks.append(None)
            if repository.is_dir() and (fault := torn(repository, whole)):
                faults.append(fault)

    looking = threading.Thread(target=look)
    looking.start()
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
        looking.join()
    assert faults == []
    assert len(looks) > 40
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def signature_bytes(model: Registered) -> bytes:
    return (model.shipped.weights / "model.onnx").read_bytes()


def torn(repository: Path, whole: dict[str, bytes]) -> str:
    """What is missing, unless the config was replaced meanwhile."""
    names = sorted(each.name for each in repository.iterdir())
    if not names:
        return ""
    if names != ["lookup"]:
        return f"{names} in the repository"
    file = repository / "lookup" / "config.pbtxt"
    before = file.read_bytes()
    read = config.read(before.decode())
    found = ""
    for version in map(str, read.version_policy.specific.versions):
        folder = repository / "lookup" / version
        try:
            if (folder / "model.onnx").read_bytes() != whole[version]:
                found = f"model.onnx of v{version} is another"
            if read.backend == "python":
                compile((folder / "model.py").read_text(), "model.py", "exec")
        except FileNotFoundError as error:
            found = f"v{version}: {error}"
    return found if file.read_bytes() == before else ""


def test_the_same_again_touches_nothing_and_pruning_removes(
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


def test_a_version_with_other_inputs_does_not_stay_beside_the_new(tmp_path: Path) -> None:
    one = Registered("changing", "1", shipped(tmp_path / "one", lookup([1.0])))
    two = Registered("changing", "2", shipped(tmp_path / "two", fixed()))
    build([one], tmp_path / "models", backend="python")
    assert build([two], tmp_path / "models", backend="python").models == {"changing": ["2"]}
    folders = [each.name for each in (tmp_path / "models/changing").iterdir() if each.is_dir()]
    assert folders == ["2"]


def test_the_command_builds_verified_champions(small_registry: SmallModels, tmp_path: Path) -> None:
    repository, settings = tmp_path / "models", tmp_path / "settings.yaml"
    settings.write_text("max_batch_size: 16\n")
    words = ["--into", str(repository), "--backend", "python", "--settings", str(settings)]
    small_registry.add("graphless", fake.echo("graphless"))
    try:
        done = CliRunner().invoke(app, ["build", *words])
    finally:
        small_registry.client.delete_registered_model("graphless")
    assert done.exit_code == 0, done.output
    # A model without one graph of that name is left out.
    assert {each.name for each in repository.iterdir()} == set(NAMES)
    assert "graphless" in done.output
    assert config.read((repository / "houses/config.pbtxt").read_text()).max_batch_size == 16
    with pytest.raises(NotChampion, match="nobody has no champion"):
        CliRunner().invoke(app, ["build", "nobody", *words], catch_exceptions=False)
    settings.write_text("max_batch_size: many\n")
    done = CliRunner().invoke(app, ["build", *words])
    assert "max_batch_size: Input should be a valid integer" in str(done.exception)


def test_changed_bytes_are_not_built(small_registry: SmallModels, tmp_path: Path) -> None:
    registry = tracking.client()
    champion = tracking.version_of(registry, "loans", tracking.CHAMPION)
    assert champion is not None
    place = registry.get_model_version_download_uri("loans", champion.version)
    file = Path(place.removeprefix("file://")) / "artifacts" / "weights" / "model.onnx"
    right = file.read_bytes()
    file.write_bytes(right + b"\0")
    try:
        with pytest.raises(DigestMismatch, match="loans v.*registered"):
            champions(["loans"], tmp_path)
    finally:
        file.write_bytes(right)


def test_serve_runs_until_it_is_ended(
    installed: None, graphs: dict[str, Shipped], tmp_path: Path
) -> None:
    build([Registered("lookup", "1", graphs["lookup"])], tmp_path / "models", backend="python")
    ports = {
        f"SLIPWAY_TRITON_{each}_PORT": str(free_port()) for each in ("HTTP", "GRPC", "METRICS")
    }
    address = f"{home.LOOPBACK}:{ports['SLIPWAY_TRITON_GRPC_PORT']}"
    command = "from slipway.triton.commands import app; app()"
    serving = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--repository", tmp_path / "models"],
        env={**os.environ, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        graph = eventually(lambda: TritonGraph(address, "lookup", "1"))
        assert graph.run({"place": np.array([2])})["value"].tolist() == [2.0]
        children = psutil.Process(serving.pid).children(recursive=True)
        taken = int(ports["SLIPWAY_TRITON_HTTP_PORT"])
        with (
            pytest.raises(TritonFault, match=f"port {taken} of Triton is taken by .*tritonserver"),
            server.running(tmp_path / "models", http=taken, grpc=free_port(), metrics=free_port()),
        ):
            pass
        # It answers some moments before the command has seen that it does, and says so.
        assert serving.stdout is not None
        said = serving.stdout.readline()
        serving.send_signal(signal.SIGTERM)
        said += serving.communicate(timeout=600)[0]
    finally:
        serving.kill()
    assert serving.returncode == 0
    assert f"gRPC {address}" in said
    assert said.endswith("Triton: stopped\n")
    assert children
    # Whoever takes in orphans may be slow about it.
    eventually_gone(children)


def test_a_model_that_does_not_load_is_told(installed: None, tmp_path: Path) -> None:
    build(
        [Registered("lookup", "1", shipped(tmp_path / "one", lookup([1.0])))],
        tmp_path / "models",
        backend="python",
    )
    (tmp_path / "models/lookup/1/model.onnx").write_bytes(b"no graph")
    with (
        pytest.raises(TritonFault, match=re.compile("Triton ended with 1.*lookup", re.DOTALL)),
        triton(tmp_path / "models", tmp_path / "log"),
    ):
        pass
