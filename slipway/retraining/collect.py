"""`python -m slipway.retraining.collect ORDER`, in a project's folder: write its feedback's rows.

ORDER is a JSON file: the prediction log's folder, which feedback to use, where the rows go. What
was found stands in `about.json` beside them. In a process of its own, since it runs project code.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slipway import home
from slipway.project import Project
from slipway.retraining.labelled import FeedbackUse, Label, Unsuitable, collect, write

# The exit status that says so: an alert's run may go on without feedback then.
UNSUITABLE = 3


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    records: Path
    use: FeedbackUse
    into: Path
    """A folder that is made: `rows` and `about.json` below it."""


def run(order: Order, project: Project) -> None:
    """Raises Unsuitable: feedback cannot train this project."""
    model = project.model()
    label = Label.of(model, project.module("data"), order.use.truth)
    now = time.time()
    found = collect(order.records, project.name, model, label, order.use, now=now)
    order.into.mkdir(parents=True, exist_ok=True)
    some = write(found, order.into / "rows")
    about = {"truth": label.name, "test_share": order.use.test_share, "some": some, **found.about()}
    (order.into / "about.json").write_text(json.dumps(about))
    left_out = {name: count for name, count in asdict(found.counts).items() if count}
    told = ", ".join(f"{count} {name}" for name, count in left_out.items()) or "none"
    print(f"{project.name}: feedback: {told}", flush=True)


def main() -> int:
    home.silence_telemetry()
    try:
        order = Order.model_validate_json(Path(sys.argv[1]).read_text())
        run(order, Project(Path.cwd()))
    except Unsuitable as fault:
        print(f"slipway: {fault}", file=sys.stderr)
        return UNSUITABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
