"""`python -m services.rollout.comparison`: compare a version with the champion on the same rows.

The rows are the reference rows that are registered with the version: up to 5,000 test rows.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.rollout import traffic
from slipway.contract import Model
from slipway.contract.serving import carries_media
from slipway.contract.shipped import Shipped
from slipway.project import Project, find
from slipway.registry import reference
from slipway.registry.promotion import judge
from slipway.registry.registered import fetch
from slipway.training.batches import predict_all
from slipway.training.labelled_rows import LabelledRows, label_reader
from slipway.training.workspace import rounded


class CannotCompare(Exception):
    """Raised if the version has no reference rows to score, or no project can score it."""


def compare(project: str, version: str, champion: str) -> dict[str, Any]:
    """Compare by the project's primary metric: whether the version is not worse, and both scores.

    Raises:
        CannotCompare: no reference rows, or no project to score them.
        DigestMismatch: a version was changed after it was registered; none of it was run.
        Exception: whatever the version's own code raises.
    """
    found = _find_project(project)
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        folder = Path(scratch)
        rows = reference.read(traffic.version(project, version), folder / "reference")
        if not rows:
            raise CannotCompare(
                f"{project} v{version} has no reference rows; register it again, or leave "
                "`comparison` out of the plan's checks"
            )
        model, champion_model = (
            _load(project, each, folder / each) for each in (version, champion)
        )
        test = _labelled(rows, model)
        primary, score = found.params.primary, found.module("report").score
        batch = found.params.batch
        scores = score(predictions=predict_all(model, test.records, batch), labels=test.labels)
        own = rounded(scores[primary])
        verdict = judge(
            primary=found.params.gate.condition(primary),
            candidate_score=own,
            champion=champion_model,
            champion_version=champion,
            test=test,
            score=score,
            batch=batch,
        )
    return {
        "not_worse": verdict.promote,
        "reason": verdict.reason,
        "metric": primary,
        "score": own,
        "champion_score": verdict.champion_score,
        "rows": len(test),
    }


def _labelled(rows: list[dict[str, Any]], model: Model) -> LabelledRows[Any, Any]:
    """Return the reference rows as records with labels.

    Raises:
        CannotCompare: the records carry media, of which the reference has only facts.
    """
    record = model.input_type()
    if carries_media(record):
        raise CannotCompare(
            f"the reference rows of {record.__name__} hold facts instead of its media; leave "
            "`comparison` out of the plan's checks"
        )
    return LabelledRows(
        [record.model_validate(row["record"]) for row in rows],
        [
            label_reader(row["label_type"], record).validate_python(row["label"])
            if "label_type" in row
            else row["label"]
            for row in rows
        ],
    )


def _find_project(name: str) -> Project:
    try:
        return find(name)
    except KeyError:
        raise CannotCompare(
            f"no project {name!r} in pipelines/ scores it; leave `comparison` out of the plan's "
            "checks"
        ) from None


def _load(project: str, version: str, folder: Path) -> Any:
    _, shipped = fetch(project, version, folder)
    return Shipped(shipped.folder).load()


if __name__ == "__main__":
    print(json.dumps(compare(*sys.argv[1:])))
