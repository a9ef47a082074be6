"""A version's predictions for its test rows, which monitoring compares live traffic with.

Test rows, because a model is more confident on rows that it was fitted to than on any later ones,
which would make every first week look like drift.
"""

import gzip
import importlib
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.contract import Model, Record
from slipway.contract.serving import carries_media

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from slipway.training.labelled_rows import LabelledRows
    from slipway.training.workspace import Workspace

FILE = "monitor/reference.jsonl.gz"
TAG = "slipway.reference_rows"
# What a row's fields were called at first, and are called now.
FIRST_NAMES = {"answer": "prediction", "truth": "label", "label": "label_type"}

# Beyond a few thousand rows, more only make smaller drifts significant, not larger ones clearer.
ROWS = 5000
# The monitor holds them all in memory.
BYTES = 32_000_000


def log(registry: "MlflowClient", work: "Workspace", version: Any) -> None:
    """Log the reference rows as an artifact of the version's run, unless they are there already."""
    if TAG in version.tags:
        return
    from slipway.training.splits import read_split

    lines = bounded(list(_lines(work, read_split(work, "test"))), BYTES)
    file = work.volatile / Path(FILE).name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    registry.log_artifact(version.run_id, str(file), str(Path(FILE).parent))
    registry.set_model_version_tag(version.name, str(version.version), TAG, str(len(lines)))


def _lines(work: "Workspace", test: "LabelledRows[Any, Any]") -> Iterator[str]:
    """Yield a reference row in JSON for the test rows, spread evenly over all of them.

    Each batch of predictions is freed before the next one: they may hold pictures.
    """
    from slipway.training.batches import batches, predict
    from slipway.training.labelled_rows import label_name

    count = min(len(test), ROWS)
    # The rows may be ordered by time.
    places = [row * len(test) // count for row in range(count)]
    model = work.model()
    kind = label_name(test.labels, model.input_type())
    plain = _summarizer(model)
    for part in batches(places, work.params.batch):
        records = [test.records[place] for place in part]
        predictions = predict(model, records)
        features = model.monitoring_features(records, predictions)
        for row, place in enumerate(part):
            content = {
                "record": plain(records[row]),
                "prediction": plain(predictions[row]),
                "label": test.labels[place],
            }
            if features:
                content["features"] = {name: each[row] for name, each in features.items()}
            if kind:
                content["label_type"] = kind
            yield json.dumps(content, default=_plain)


def _summarizer(model: Model) -> Callable[[Record], dict[str, Any]]:
    """Return what turns records into JSON types; of media only facts remain."""
    if not any(map(carries_media, (model.input_type(), model.output_type()))):
        return lambda record: record.model_dump(mode="json")
    # Imported by name: only projects whose model.py imports it depend on it.
    media = importlib.import_module("slipway.media")
    summarize: Callable[[Record], dict[str, Any]] = media.summarize_record
    return summarize


def bounded(lines: list[str], most: int) -> list[str]:
    """Return the lines, or so many of them, spread evenly, that they have about `most` bytes."""
    size = sum(map(len, lines))
    if size <= most:
        return lines
    count = max(1, len(lines) * most // size)
    return [lines[row * len(lines) // count] for row in range(count)]


def _plain(value: Any) -> Any:
    """Return a record, or a NumPy number or array, which Parquet columns contain, in JSON types."""
    return value.model_dump(mode="json") if isinstance(value, Record) else value.tolist()


def read(version: Any, folder: Path) -> list[dict[str, Any]]:
    """Return the version's reference rows; none if it has no reference.

    Each row has a `record`, a `prediction` and a `label`; `features`, if the model has
    `monitoring_features`; and `label_type`, the name of the label's type, if that is a record. The
    file is downloaded into `folder` once.

    Raises:
        mlflow.exceptions.MlflowException: the registry or its store cannot be reached.
    """
    if not version.run_id or TAG not in version.tags:
        return []
    import mlflow

    file = folder / version.run_id / FILE
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".fetch-") as scratch:
            # Some stores keep the file's folders, others only its name.
            downloaded = mlflow.artifacts.download_artifacts(
                f"runs:/{version.run_id}/{FILE}", dst_path=scratch
            )
            Path(downloaded).replace(file)
    lines = gzip.decompress(file.read_bytes()).splitlines()
    return [_with_current_names(json.loads(line)) for line in lines]


def _with_current_names(row: dict[str, Any]) -> dict[str, Any]:
    """Return a reference row; those of earlier versions have other names in it."""
    if "answer" not in row:
        return row
    return {FIRST_NAMES.get(name, name): value for name, value in row.items()}
