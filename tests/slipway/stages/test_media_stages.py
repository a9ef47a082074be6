"""The stages of a project whose records are pictures and whose labels are records."""

import json
from collections.abc import Iterator
from functools import wraps
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from services.explain.subject import load
from services.predict.engine import Engine
from slipway.contract import Record
from slipway.contract.shipped import Shipped
from slipway.registry import reference, registered, tracking
from slipway.registry.reference import bounded
from slipway.stages.fit import fit
from slipway.training import labelled_rows
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace
from tests.small_models import SmallModels
from tests.workspaces import linked


class Page(Record):
    number: int


class Word(Record):
    text: str


class Other(Record):
    text: str


@pytest.fixture(scope="module")
def registry(own_home: Path, tmp_path_factory: pytest.TempPathFactory) -> SmallModels:
    """A registry with a project that finds dots in pictures."""
    return SmallModels(tmp_path_factory.mktemp("dots"), ["dots"])


@pytest.fixture
def active(registry: SmallModels) -> Iterator[SmallModels]:
    with registry.active():
        yield registry


@pytest.fixture
def work(active: SmallModels) -> Workspace:
    return active.works["dots"]


def unlinked(work: Workspace, folder: Path) -> Workspace:
    """Return a copy of the workspace in which `fit` may write."""
    own = linked(work, folder)
    for file in (own.candidates, own.parity):
        file.unlink()
    return own


@pytest.mark.parametrize(
    "labels",
    [
        [Word(text="a"), Word(text="ä\n")],
        [[Word(text="a"), Word(text="b")], []],
        [True, False],
        ["a", None],
        [1.5, 2.0],
    ],
)
def test_labels_are_read_as_they_were_written(tmp_path: Path, labels: list[object]) -> None:
    records = [Page(number=each) for each in range(len(labels))]
    file = tmp_path / "rows.parquet"
    assert labelled_rows.write(zip(records, labels, strict=True), file) == len(labels)
    rows = labelled_rows.read(file, Page)
    assert (rows.records, rows.labels) == (records, labels)


def test_labels_of_several_types_are_refused(tmp_path: Path) -> None:
    rows = [(Page(number=1), Word(text="a")), (Page(number=2), Other(text="a"))]
    with pytest.raises(ValueError, match="records of one type or lists of them, got Other, Word"):
        labelled_rows.write(rows, tmp_path / "rows.parquet")


def test_labels_must_be_known_where_the_record_is(tmp_path: Path) -> None:
    class Hidden(Record):
        text: str

    with pytest.raises(ValueError, match="labels are of type Hidden: define it in the module of"):
        labelled_rows.write([(Page(number=1), Hidden(text="a"))], tmp_path / "rows.parquet")


def test_labels_that_are_records_are_stored_as_json(work: Workspace) -> None:
    label = pq.read_table(work.data / "test.parquet").column("truth").to_pylist()[0]
    assert set(json.loads(label)["dots"][0]) == {"x1", "y1", "x2", "y2", "label", "score"}
    rows = read_split(work, "test")
    assert type(rows.labels[0]) is work.project.model().output_type()


def test_metrics_of_the_project_hold(work: Workspace) -> None:
    metrics = json.loads(work.metrics.read_text())["metrics"]
    assert metrics == {"recall": 1.0, "parity_error": 1e-12, "parity_agreement": 1.0}


def test_reference_rows_hold_facts_instead_of_pictures(active: SmallModels, tmp_path: Path) -> None:
    version = tracking.client().get_model_version("dots", "1")
    rows = reference.read(version, tmp_path)
    assert len(rows) == 20
    assert {"sha256", "bytes", "width", "height"} <= rows[0]["record"]["image"].keys()
    assert rows[0]["label"].keys() == {"dots"}
    assert rows[0]["label_type"] == "Dots"
    assert rows[0]["features"]["dots"] == len(rows[0]["prediction"]["dots"])
    assert 0 < rows[0]["features"]["brightness"] < 1


def test_predictions_are_recorded_as_reference_rows_are(
    work: Workspace, active: SmallModels, tmp_path: Path
) -> None:
    """So the monitor compares like with like."""
    shipped: Shipped = registered.fetch("dots", None, tmp_path)[1]
    [row, *_] = reference.read(tracking.client().get_model_version("dots", "1"), tmp_path)
    sent = read_split(work, "test").records[0].model_dump_json().encode()
    summary = Engine(shipped.load(), batch_rows=1).predict(sent).summary
    assert summary is not None
    assert json.loads(summary.inputs or b"") == [row["record"]]
    assert json.loads(summary.outputs or b"") == [row["prediction"]]
    features = json.loads(summary.features or b"")
    assert features == {name: [pytest.approx(each)] for name, each in row["features"].items()}


def test_the_dashboard_has_no_rows_of_a_model_with_media(active: SmallModels) -> None:
    subject = load("dots", "1")
    assert (subject.rows, subject.background) == ([], [])
    assert subject.examples


def test_the_version_says_that_it_carries_media(active: SmallModels, tmp_path: Path) -> None:
    shipped: Shipped = registered.fetch("dots", None, tmp_path)[1]
    assert shipped.serving.media
    assert (shipped.serving.parity, shipped.serving.iou) == ("boxes", 0.8)


def test_a_call_gets_no_more_records_than_a_batch(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway.stages.evaluate import evaluate

    model = type(work.project.model())
    sizes: list[int] = []
    predict = model.predict

    @wraps(predict)
    def counted(self: object, model_input: list[Record]) -> list[Record]:
        sizes.append(len(model_input))
        return predict(self, model_input)

    monkeypatch.setattr(model, "predict", counted)
    own = unlinked(work, tmp_path / "own")
    fit(own)
    # 30 of the 40 training rows.
    assert sizes == [7, 7, 7, 7, 2]
    evaluate(own)
    assert sizes[5:] == [7, 7, 6, 3]


def test_without_parity_no_framework_is_needed(work: Workspace, tmp_path: Path) -> None:
    own = unlinked(work, tmp_path / "own")
    none = own.params.parity.model_copy(update={"kind": "none", "reason": "it has no weights"})
    own = Workspace(own.project, own.params.model_copy(update={"parity": none}), own.folder)
    fit(own)
    assert json.loads(own.parity.read_text()) == {}


def test_lines_beyond_the_limit_are_thinned_out() -> None:
    lines = [f"{each:010}" for each in range(100)]
    assert bounded(lines, 1000) == lines
    kept = bounded(lines, 300)
    assert len(kept) == 30
    assert kept[:3] == [lines[0], lines[3], lines[6]]
    assert bounded(["x" * 100] * 5, 10) == ["x" * 100]
