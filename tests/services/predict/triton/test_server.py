"""Graphs on a real tritonserver on CPU: predictions, batching, errors and restarts."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient

from services.predict.triton import server
from services.predict.triton.champions import champions
from services.predict.triton.graph import TritonGraph, TritonRefused, TritonUnavailable, opener
from services.predict.triton.repository import Registered, build
from services.predict.triton.server import RunningTriton, TritonFault
from slipway import home
from slipway.contract import Model, Record
from slipway.contract.graph import OnnxRuntimeGraph, opened_by
from slipway.contract.shipped import Shipped
from slipway.home import free_port
from slipway.training.parity import parity
from tests.services.predict.triton.triton_graphs import (
    LARGEST,
    SETTINGS,
    TYPES,
    install_triton_or_skip,
    lookup,
    retry_triton,
    run_triton,
    ship_graph,
    ship_graphs,
    until_ended,
)
from tests.small_models import NAMES, SmallModels
from tests.waiting import PATIENCE, until

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("services/predict/triton/*", "services/predict/backend.py", "slipway/contract/graph.py")


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


@pytest.fixture(scope="module")
def installed() -> None:
    install_triton_or_skip()


@pytest.fixture(scope="module")
def running(
    installed: None,
    ships: dict[str, Shipped],
    graphs: dict[str, Shipped],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningTriton]:
    folder = tmp_path_factory.mktemp("triton")
    models = [Registered(name, "3", each) for name, each in (ships | graphs).items()]
    built = build(models, folder / "models", backend="python", settings=SETTINGS)
    assert built.skipped == built.cold == {}
    with run_triton(folder / "models", folder / "log") as triton_server:
        yield triton_server


def load_on_triton(running: RunningTriton, ship: Shipped, name: str) -> Model:
    """Load a model whose graph runs on Triton."""
    with opened_by(opener(running.grpc, name, "3")):
        return ship.load()


def predict(model: Model, records: list[dict], count: int) -> list[Record]:
    """Predict `count` records, repeating the given ones."""
    input_type = model.input_type()
    repeated = (records * count)[:count]
    inputs = [input_type.model_validate_json(json.dumps(each)) for each in repeated]
    return model.predict(inputs)


@pytest.mark.parametrize("count", [1, 100, 2 * LARGEST + 1])
@pytest.mark.parametrize("name", NAMES)
def test_predictions_equal_those_of_onnx_runtime(
    running: RunningTriton, ships: dict[str, Shipped], name: str, count: int
) -> None:
    records = [each["input"] for each in ships[name].examples]
    local = predict(ships[name].load(), records, count)
    remote = predict(load_on_triton(running, ships[name], name), records, count)
    assert len(remote) == count
    difference = parity(local, remote)
    assert difference["parity_agreement"] == 1
    assert difference["parity_error"] < 1e-6


@pytest.mark.parametrize("rows", [1, 7, LARGEST, LARGEST + 1, 3 * LARGEST])
def test_every_type_and_shape_comes_back(running: RunningTriton, rows: int) -> None:
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
    outputs = TritonGraph(running.grpc, "echo", "3").run(feeds)
    assert outputs.keys() == {f"{name}_back" for name in feeds}
    for name, array in feeds.items():
        back = outputs[f"{name}_back"]
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        # A model may modify the outputs in place, as with those of ONNX Runtime.
        back[:1] = back[-1:]


def test_texts_of_fixed_width_are_accepted(
    running: RunningTriton, graphs: dict[str, Shipped]
) -> None:
    shapes = {"0": (2,), "1": (2, 3)}
    feeds = {name + end: np.ones(shape, name) for name in TYPES for end, shape in shapes.items()}
    feeds |= {"object0": np.array(["a", "bcd"]), "object1": np.full((2, 3), "x")}
    local = OnnxRuntimeGraph(graphs["echo"].weights / "model.onnx").run(feeds)
    remote = TritonGraph(running.grpc, "echo", "3").run(feeds)
    assert remote["object0_back"].tolist() == local["object0_back"].tolist() == ["a", "bcd"]


def test_concurrent_single_requests_run_in_batches(
    running: RunningTriton, ships: dict[str, Shipped]
) -> None:
    """Triton counts fewer runs than requests, and each request gets its own prediction."""
    records = [each["input"] for each in ships["loans"].examples]
    model = load_on_triton(running, ships["loans"], "loans")
    expected = predict(ships["loans"].load(), records, len(records))
    before = counts(running, "loans")
    places = [number % len(records) for number in range(320)]
    with ThreadPoolExecutor(32) as pool:
        predictions = list(pool.map(lambda place: predict(model, [records[place]], 1), places))
    # Triton counts a batch after it has sent the responses.
    until(lambda: counts(running, "loans")[0] - before[0] == len(places))
    executions = counts(running, "loans")[1]
    assert executions - before[1] <= len(places) / 4
    for place, prediction in zip(places, predictions, strict=True):
        assert parity([expected[place]], prediction)["parity_error"] < 1e-6


def counts(running: RunningTriton, name: str) -> tuple[int, int]:
    with InferenceServerClient(running.grpc) as client:
        statistics = client.get_inference_statistics(name, "3").model_stats[0]
    return statistics.inference_count, statistics.execution_count


def test_a_failed_request_does_not_fail_others_of_its_batch(running: RunningTriton) -> None:
    graph = TritonGraph(running.grpc, "lookup", "3")
    start = threading.Barrier(16)

    def run(place: int) -> object:
        start.wait()
        try:
            return graph.run({"place": np.array([place])})["value"].tolist()
        except TritonRefused as refused:
            return refused

    places = [99 if number % 4 == 0 else number % 3 for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(run, places))
    for place, result in zip(places, results, strict=True):
        if place == 99:
            assert isinstance(result, TritonRefused)
            assert "out of data bounds" in str(result)
        else:
            assert result == [float(place)]


def test_a_graph_without_a_row_axis_runs(running: RunningTriton) -> None:
    outputs = TritonGraph(running.grpc, "fixed", "3").run(
        {"square": np.array([[1, 2], [3, 4]], dtype=np.float32)}
    )
    assert outputs["negative"].tolist() == [[-1, -2], [-3, -4]]


def test_a_model_that_triton_does_not_have_is_an_error(
    running: RunningTriton, tmp_path: Path
) -> None:
    with pytest.raises(TritonRefused, match="nowhere v3.*not found"):
        TritonGraph(running.grpc, "nowhere", "3")
    with pytest.raises(TritonRefused, match="loans v4.*not found"):
        TritonGraph(running.grpc, "loans", "4")
    with pytest.raises(TritonRefused, match=r"loans\.other v3.*not found"):
        opener(running.grpc, "loans", "3")(tmp_path / "other.onnx")


@pytest.mark.parametrize(
    ("feeds", "reason"),
    [
        ({"place": np.array([0.5])}, "FP64"),
        ({"spot": np.array([1])}, "spot"),
        ({"place": np.array([[1, 2]])}, "shape"),
        ({}, "place|expected 1 inputs"),
        ({"place": np.array([1 + 2j])}, "complex128"),
    ],
)
def test_invalid_inputs_are_an_error_with_the_reason(
    running: RunningTriton, feeds: dict[str, np.ndarray], reason: str
) -> None:
    with pytest.raises(TritonRefused, match=reason):
        TritonGraph(running.grpc, "lookup", "3").run(feeds)


def test_an_unreachable_triton_fails_immediately() -> None:
    with pytest.raises(TritonUnavailable, match="loans v1"):
        TritonGraph(f"{home.LOOPBACK}:{free_port()}", "loans", "1", seconds=PATIENCE)


def test_a_new_version_and_then_a_hung_and_a_restarted_triton(
    installed: None, tmp_path: Path
) -> None:
    """v1 serves without a gap while v2 is added; then Triton hangs, ends and restarts."""
    repository = tmp_path / "models"
    one = Registered("lookup", "1", ship_graph(tmp_path / "one", lookup([10.0])))
    two = Registered("lookup", "2", ship_graph(tmp_path / "two", lookup([20.0])))
    build([one], repository, backend="python", settings=SETTINGS)
    ports = (free_port(), free_port(), free_port())
    place = {"place": np.zeros(LARGEST, dtype=np.int64)}
    with run_triton(repository, tmp_path / "log", ports=ports, poll=1) as running:
        first = TritonGraph(running.grpc, "lookup", "1", seconds=PATIENCE)
        done, results = threading.Event(), []

        def send_requests() -> None:
            while not done.is_set():
                try:
                    results.append(first.run(place)["value"].tolist() == [10.0] * LARGEST)
                except (TritonRefused, TritonUnavailable) as error:
                    results.append(error)
                time.sleep(0.01)

        requesting = threading.Thread(target=send_requests)
        requesting.start()
        try:
            # Now half the rows per request: the open graph must notice that.
            smaller = SETTINGS.model_copy(update={"max_batch_size": LARGEST // 2})
            built = build([two], repository, backend="python", settings=smaller)
            assert built.models == {"lookup": ["2", "1"]}
            second = retry_triton(
                lambda: TritonGraph(running.grpc, "lookup", "2", seconds=PATIENCE)
            )
            assert second.run(place)["value"].tolist() == [20.0] * LARGEST
            time.sleep(0.3)
        finally:
            done.set()
            requesting.join()
        assert len(results) > 20
        assert [each for each in results if each is not True] == []

        impatient = TritonGraph(running.grpc, "lookup", "2", seconds=2)
        os.kill(running.process.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            with pytest.raises(TritonUnavailable, match="Deadline"):
                impatient.run(place)
            assert time.monotonic() - start > 1.5
        finally:
            os.kill(running.process.pid, signal.SIGCONT)
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert children
    assert running.process.returncode is not None
    # The init process may be slow to reap orphans.
    until_ended(children)
    with pytest.raises(TritonUnavailable, match="lookup v2"):
        second.run(place)
    with run_triton(repository, tmp_path / "log", ports=ports):
        outputs = retry_triton(lambda: second.run(place))
        assert outputs["value"].tolist() == [20.0] * LARGEST


def test_an_invalid_timeout_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_TRITON_SECONDS", "soon")
    with pytest.raises(ValueError, match="SLIPWAY_TRITON_SECONDS must be a positive number"):
        TritonGraph(f"{home.LOOPBACK}:{free_port()}", "loans", "1")


def test_serve_runs_until_it_is_terminated(
    installed: None, graphs: dict[str, Shipped], tmp_path: Path
) -> None:
    build([Registered("lookup", "1", graphs["lookup"])], tmp_path / "models", backend="python")
    ports = {
        f"SLIPWAY_TRITON_{each}_PORT": str(free_port()) for each in ("HTTP", "GRPC", "METRICS")
    }
    address = f"{home.LOOPBACK}:{ports['SLIPWAY_TRITON_GRPC_PORT']}"
    command = "from services.predict.triton.commands import app; app()"
    serving = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--repository", tmp_path / "models"],
        env={**os.environ, **ports},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        graph = retry_triton(lambda: TritonGraph(address, "lookup", "1"))
        assert graph.run({"place": np.array([2])})["value"].tolist() == [2.0]
        # Triton opens its gRPC port first; the addresses are printed when all of them are open.
        assert serving.stdout is not None
        output = serving.stdout.readline()
        children = psutil.Process(serving.pid).children(recursive=True)
        used_port = int(ports["SLIPWAY_TRITON_HTTP_PORT"])
        with (
            pytest.raises(
                TritonFault, match=f"port {used_port} of Triton is taken by .*tritonserver"
            ),
            server.running(
                tmp_path / "models", http=used_port, grpc=free_port(), metrics=free_port()
            ),
        ):
            pass
        serving.send_signal(signal.SIGTERM)
        output += serving.communicate(timeout=600)[0]
    finally:
        serving.kill()
    assert serving.returncode == 0
    assert f"gRPC {address}" in output
    assert output.endswith("Triton: stopped\n")
    assert children
    # The init process may be slow to reap orphans.
    until_ended(children)


def test_a_model_that_does_not_load_is_reported(installed: None, tmp_path: Path) -> None:
    build(
        [Registered("lookup", "1", ship_graph(tmp_path / "one", lookup([1.0])))],
        tmp_path / "models",
        backend="python",
    )
    (tmp_path / "models/lookup/1/model.onnx").write_bytes(b"no graph")
    with (
        pytest.raises(TritonFault, match=re.compile("Triton ended with 1.*lookup", re.DOTALL)),
        run_triton(tmp_path / "models", tmp_path / "log"),
    ):
        pass
