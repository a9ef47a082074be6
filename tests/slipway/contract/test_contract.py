"""Models as `slipway.contract` defines them: type hints, several graphs, streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from slipway.contract import OnnxModel, Record, StreamingModel, publish
from slipway.contract.graph import open_graph, threads_per_graph
from slipway.contract.shipped import Shipped
from slipway.project import Project
from slipway.training.graph import write_graph


class Number(Record):
    value: float


class Letter(Record):
    letter: str


class Word(Record):
    text: str


class Letters(StreamingModel):
    """Streams one letter for each unit of the number."""

    def stream(self, record: Number) -> Iterator[Letter]:
        for place in range(int(record.value)):
            yield Letter(letter="abc"[place])

    def join(self, record: Number, chunks: list[Letter]) -> Word:
        return Word(text="".join(each.letter for each in chunks))


def write_factor(file: Path, factor: float) -> None:
    """Write a graph that multiplies `x` (rows, 1) by `factor`."""
    write_graph(
        file,
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        inputs={"x": 1},
        outputs={"y": 1},
        constants={"factor": np.array([float(factor)])},
    )


def test_a_streaming_model_predicts_what_its_chunks_make_together() -> None:
    model = Letters()
    records = [Number(value=0), Number(value=3)]
    assert model.predict(records) == [
        model.join(each, list(model.stream(each))) for each in records
    ]
    assert model.predict(records) == [Word(text=""), Word(text="abc")]
    assert (Letters.input_type(), Letters.chunk_type(), Letters.output_type()) == (
        *(Number, Letter),
        Word,
    )


def test_a_streaming_model_needs_type_hints() -> None:
    class Unhinted(Letters):
        def stream(self, record: Number) -> Any:
            yield Letter(letter="a")

    with pytest.raises(TypeError, match=r"Unhinted\.stream: return must be Iterator\[a Record\]"):
        publish(Unhinted())


def test_a_model_runs_the_graph_that_it_names(tmp_path: Path) -> None:
    class Factors(OnnxModel):
        def predict(self, model_input: list[Number]) -> list[Number]:
            x = np.array([[each.value] for each in model_input], dtype=np.float32)
            doubled = self.run({"x": x}, graph="double")["y"]
            return Number.from_columns(value=self.run({"x": doubled}, graph="triple")["y"][:, 0])

    write_factor(tmp_path / "double.onnx", 2)
    write_factor(tmp_path / "triple.onnx", 3)
    model = Factors()
    model.load(tmp_path)
    assert model.predict([Number(value=1), Number(value=2)]) == [Number(value=6), Number(value=12)]
    with pytest.raises(KeyError, match=r"no model\.onnx in the weights, only double, triple"):
        model.run({})


def test_weights_without_a_graph_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model\.onnx in"):
        Letters().load(tmp_path)


def test_graphs_get_the_threads_that_the_version_asks_for(tmp_path: Path) -> None:
    write_factor(tmp_path / "model.onnx", 2)

    def threads_of(graph: Any) -> int:
        return int(graph._session.get_session_options().intra_op_num_threads)

    with threads_per_graph(2):
        assert threads_of(open_graph(tmp_path / "model.onnx")) == 2
    assert threads_of(open_graph(tmp_path / "model.onnx")) == 1


def test_a_version_without_the_file_is_served_as_ever(tmp_path: Path) -> None:
    serving = Shipped(tmp_path).serving
    assert (serving.latency_seconds, serving.threads, serving.requires) == (1.0, 1, [])
    assert not serving.slow
    about = Shipped(tmp_path).about
    about.mkdir(parents=True)
    (about / "serving.json").write_text('{"latency_seconds": 20, "threads": 2}')
    assert Shipped(tmp_path).serving.threads == 2
    assert Shipped(tmp_path).serving.slow


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latency: {seconds: fast}", "latency.seconds"),
        ("latency: {seconds: 0}", "latency.seconds"),
        ("latency: {threads: 2.5}", "latency.threads"),
        ("latency: {second: 1}", "latency.second"),
        ("requires: [vison]", "requires.0"),
        ("requires: vision", "requires"),
        ("parity: {kind: none}", "kind none needs a reason"),
        ("parity: {kind: boxes, reason: why}", "kind boxes takes no reason"),
        ("parity: {kind: box}", "parity.kind"),
        ("batch: '16'", "batch"),
        ("batch: 0", "batch"),
    ],
)
def test_wrong_parameters_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(f"dataset: x\nenvironment: training\nprimary: a\ngate: {{a: '>= 0'}}\n{text}\n")
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        _ = Project(tmp_path).params


def test_parameters_of_slow_models_are_read(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(
        "dataset: x\nenvironment: torch\nprimary: a\ngate: {a: '>= 0'}\nbatch: 16\n"
        "latency: {seconds: 20, threads: 2}\nrequires: [vision, language]\n"
        "parity: {kind: none, reason: it has no weights}\n"
    )
    params = Project(tmp_path).params
    assert (params.latency.seconds, params.latency.threads) == (20, 2)
    assert params.requires == ["vision", "language"]
    assert (params.parity.kind, params.batch) == ("none", 16)
