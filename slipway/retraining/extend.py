"""`python -m slipway.retraining.extend`, in a project's folder: its feedback joins the splits.

The second command of `prepare` where a run is trained on feedback; the rows are a DVC dependency.
"""

import os
import sys
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from slipway import home
from slipway.contract import Record
from slipway.project import Project
from slipway.training import examples
from slipway.training.examples import Examples
from slipway.training.workspace import Workspace

FEEDBACK = "feedback"


@dataclass
class Extension:
    """How many rows joined, and how many were left out so that no test row is trained on."""

    train: int = 0
    test: int = 0
    in_test: int = 0
    """Feedback on a record that is a test row."""
    in_train: int = 0
    """Held out, but the record is a training row."""


def extend(work: Workspace, feedback: Path) -> Extension:
    """Append `feedback` to the splits that `prepare` left.

    Raises:
        ValueError: the truths are of another type than the training rows'.
        pydantic.ValidationError: a record is not what the project's type allows.
    """
    told, sent = Extension(), work.project.model().input_type()
    train, test = (examples.read(_split(work, name), sent) for name in ("train", "test"))
    more, held = (_read(feedback / f"{name}.parquet", sent) for name in ("train", "test"))
    for each in (more, held):
        _same_type(train, each)
    known = set(map(_key, train.records))
    hidden = set(map(_key, test.records))
    kept = [pair for pair in held if _key(pair[0]) not in known | hidden]
    told.in_train, told.test = sum(_key(record) in known for record in held.records), len(kept)
    hidden |= {_key(record) for record, _ in kept}
    added = [pair for pair in more if _key(pair[0]) not in hidden]
    told.train, told.in_test = len(added), len(more) - len(added)
    for name, before, rows in (("train", train, added), ("test", test, kept)):
        if rows:
            new = _split(work, f"{name}.new")
            examples.write(chain(before, rows), new)
            os.replace(new, _split(work, name))
    work.note("feedback", asdict(told))
    return told


def _split(work: Workspace, name: str) -> Path:
    return work.data / f"{name}.parquet"


def _read(file: Path, sent: type[Record]) -> Examples[Any, Any]:
    return examples.read(file, sent) if file.is_file() else Examples([], [])


def _key(record: Record) -> str:
    return record.model_dump_json()


def _same_type(train: Examples[Any, Any], more: Examples[Any, Any]) -> None:
    wanted = {type(each) for each in train.truths}
    # Whole numbers where prices are floats: Parquet's column is one of floats then.
    fitting = wanted | ({int, float} if wanted & {int, float} else set())
    if {type(each) for each in more.truths} <= fitting:
        return
    found, names = type(more.truths[0]).__name__, sorted(each.__name__ for each in wanted)
    raise ValueError(f"truths of the feedback are {found}, of the training rows {', '.join(names)}")


def main() -> int:
    home.silence_telemetry()
    work = Workspace.of(Project(Path.cwd()))
    told = extend(work, work.folder / FEEDBACK)
    print(
        f"{work.project.name}: {told.train} rows of feedback joined the training rows, {told.test} "
        f"the test rows; left out {told.in_test} on test rows, {told.in_train} on training rows",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
