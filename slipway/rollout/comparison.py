"""A version beside the champion on the same rows: `python -m slipway.rollout.comparison`.

The rows are those that monitoring keeps with the version: up to 5,000 of its test rows.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from slipway.contract.shipped import Shipped
from slipway.project import Project, find
from slipway.registry import reference
from slipway.registry.promotion import judge
from slipway.rollout import traffic
from slipway.scoring.registered import fetch
from slipway.training.batches import predict_all
from slipway.training.examples import Examples
from slipway.training.workspace import rounded


class NotComparable(Exception):
    """Nothing to compare on, or nobody who could say what is better."""


def compare(project: str, version: str, champion: str) -> dict[str, Any]:
    """Whether the version is not worse by the project's primary metric, and the two scores.

    Raises:
        NotComparable: no reference rows, or no project to score them.
        DigestMismatch: a version was changed after it was registered; none of it was run.
        Exception: whatever the version's own code raises.
    """
    found = _project(project)
    with tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        folder = Path(scratch)
        rows = reference.read(traffic.version(project, version), folder / "reference")
        if not rows:
            raise NotComparable(
                f"{project} v{version} has no reference rows; register it again, or leave "
                "`comparison` out of the plan's checks"
            )
        model, standing = (_loaded(project, each, folder / each) for each in (version, champion))
        sent = model.input_type()
        test = Examples(
            [sent.model_validate(row["record"]) for row in rows], [row["truth"] for row in rows]
        )
        primary, score = found.params.primary, found.module("report").score
        scores = score(answers=predict_all(model, test.records), truths=test.truths)
        own = rounded(scores[primary])
        verdict = judge(
            primary=found.params.gate.condition(primary),
            candidate_score=own,
            champion=standing,
            champion_version=champion,
            test=test,
            score=score,
        )
    return {
        "not_worse": verdict.promote,
        "reason": verdict.reason,
        "metric": primary,
        "score": own,
        "champion_score": verdict.champion_score,
        "rows": len(test),
    }


def _project(name: str) -> Project:
    try:
        return find(name)
    except KeyError:
        raise NotComparable(
            f"no project {name!r} in pipelines/ scores it; leave `comparison` out of the plan's "
            "checks"
        ) from None


def _loaded(project: str, version: str, folder: Path) -> Any:
    _, shipped = fetch(project, version, folder)
    return Shipped(shipped.folder).load()


if __name__ == "__main__":
    print(json.dumps(compare(*sys.argv[1:])))
