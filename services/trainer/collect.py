"""`python -m services.trainer.collect ORDER`, in a project's folder: write its labelled feedback.

ORDER is a JSON file with the fields of `CollectOrder`. `about.json` beside the rows describes them.
This is a process of its own because it runs the project's code.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slipway import home
from slipway.project import Project
from slipway.training.labelled import FeedbackUse, Label, Unsuitable, collect, write

# The exit status if feedback cannot train the project; a run that an alert started goes on without.
UNSUITABLE = 3


class CollectOrder(BaseModel):
    """The feedback to collect, and the place to write it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records: Path
    """The prediction log's folder."""
    use: FeedbackUse
    into: Path
    """A folder that is created, with `rows` and `about.json` in it."""


def run(order: CollectOrder, project: Project) -> None:
    """Write the project's labelled feedback.

    Raises:
        Unsuitable: feedback cannot train this project.
    """
    model = project.model()
    label = Label.from_types(model, project.module("data"), order.use.label)
    now = time.time()
    found = collect(order.records, project.name, model, label, order.use, now=now)
    order.into.mkdir(parents=True, exist_ok=True)
    some = write(found, order.into / "rows")
    about = {"label": label.name, "test_share": order.use.test_share, "some": some, **found.about()}
    (order.into / "about.json").write_text(json.dumps(about))
    counts = {name: count for name, count in asdict(found.counts).items() if count}
    summary = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
    print(f"{project.name}: feedback: {summary}", flush=True)


def main() -> int:
    home.silence_telemetry()
    try:
        order = CollectOrder.model_validate_json(Path(sys.argv[1]).read_text())
        run(order, Project(Path.cwd()))
    except Unsuitable as fault:
        print(f"slipway: {fault}", file=sys.stderr)
        return UNSUITABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
