"""A version's predictions for its test rows, which monitoring compares live traffic with.

Test rows, because a model is more confident on rows that it was fitted to than on any later ones,
which would make every first week look like drift.
"""

import gzip
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from slipway.training.workspace import Workspace

FILE = "monitor/reference.jsonl.gz"
TAG = "slipway.reference_rows"

# Beyond a few thousand rows, more only make smaller drifts significant, not larger ones clearer.
ROWS = 5000


def log(registry: "MlflowClient", work: "Workspace", version: Any) -> None:
    """Log the reference rows as an artifact of the version's run, unless they are there already."""
    if TAG in version.tags:
        return
    from slipway.training.batches import predict_all
    from slipway.training.splits import read_split

    test = read_split(work, "test")
    # Spread evenly over all test rows, which may be ordered by time.
    count = min(len(test), ROWS)
    places = [row * len(test) // count for row in range(count)]
    records, labels = [[each[place] for place in places] for each in (test.records, test.labels)]
    model = work.project.model()
    model.load(work.weights)
    predictions = predict_all(model, records)
    lines = [
        json.dumps(
            {
                "record": record.model_dump(mode="json"),
                "answer": prediction.model_dump(mode="json"),
                "truth": label,
            },
            default=_plain,
        )
        for record, prediction, label in zip(records, predictions, labels, strict=True)
    ]
    file = work.volatile / Path(FILE).name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    registry.log_artifact(version.run_id, str(file), str(Path(FILE).parent))
    registry.set_model_version_tag(version.name, str(version.version), TAG, str(len(lines)))


def _plain(value: Any) -> Any:
    """Return a NumPy number or array, which Parquet columns contain, as a Python value."""
    return value.tolist()


def read(version: Any, folder: Path) -> list[dict[str, Any]]:
    """Return the version's reference rows; none if it has no reference.

    Each row has a `record`, an `answer` (the prediction) and a `truth` (the label). The file is
    downloaded into `folder` once.

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
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
