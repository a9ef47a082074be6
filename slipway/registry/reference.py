"""What a version answered to its test rows when it was registered: monitoring compares with it.

Test rows rather than training rows: a model's answers to rows that it was fitted on are surer than
any that it will give, and would make every first week look like drift.
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

# Beyond some thousands more rows only make smaller drifts significant, not larger ones clearer.
ROWS = 5000


def log(registry: "MlflowClient", work: "Workspace", version: Any) -> None:
    """Log the reference with the version's run, unless it is there already."""
    if TAG in version.tags:
        return
    from slipway.training.batches import predict_all
    from slipway.training.splits import read_split

    test = read_split(work, "test")
    # From the first to the last of them, which may be in the order of time.
    count = min(len(test), ROWS)
    places = [row * len(test) // count for row in range(count)]
    records, truths = [[each[place] for place in places] for each in (test.records, test.truths)]
    model = work.project.model()
    model.load(work.weights)
    lines = [
        json.dumps(
            {
                "record": record.model_dump(mode="json"),
                "answer": answer.model_dump(mode="json"),
                "truth": truth,
            },
            default=_plain,
        )
        for record, answer, truth in zip(records, predict_all(model, records), truths, strict=True)
    ]
    file = work.volatile / Path(FILE).name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    registry.log_artifact(version.run_id, str(file), str(Path(FILE).parent))
    registry.set_model_version_tag(version.name, str(version.version), TAG, str(len(lines)))


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays, as which Parquet's columns come back."""
    return value.tolist()


def read(version: Any, folder: Path) -> list[dict[str, Any]]:
    """The version's rows, each with `record`, `answer` and `truth`; none if it has no reference.

    Fetched below `folder` once.

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
            # Some stores keep the file's folder, others its last name alone.
            found = mlflow.artifacts.download_artifacts(
                f"runs:/{version.run_id}/{FILE}", dst_path=scratch
            )
            Path(found).replace(file)
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]
