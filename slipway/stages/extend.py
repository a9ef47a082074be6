"""`python -m slipway.stages.extend`, run in a project's folder, adds feedback to the splits.

It is the second command of `prepare` in runs that train on feedback, whose rows are a DVC
dependency.
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
from slipway.training import labelled_rows
from slipway.training.labelled_rows import LabelledRows
from slipway.training.workspace import Workspace

FEEDBACK = "feedback"


@dataclass
class Extension:
    """The counts of rows that were added, and left out so that no test row is trained on."""

    train: int = 0
    """Added to the training rows."""
    test: int = 0
    """Added to the test rows."""
    in_test: int = 0
    """Left out of the training rows, because the record is a test row."""
    in_train: int = 0
    """Left out of the test rows, because the record is a training row."""


def extend(work: Workspace, feedback: Path) -> Extension:
    """Append the rows in the folder `feedback` to the splits that `prepare` wrote.

    Raises:
        ValueError: the feedback's labels have another type than the training rows'.
        pydantic.ValidationError: a record is invalid for the project's type.
    """
    counts, kind = Extension(), work.project.model().input_type()
    train, test = (labelled_rows.read(_split(work, name), kind) for name in ("train", "test"))
    more, held = (_read(feedback / f"{name}.parquet", kind) for name in ("train", "test"))
    for each in (more, held):
        _same_type(train, each)
    known = set(map(_key, train.records))
    hidden = set(map(_key, test.records))
    kept = [pair for pair in held if _key(pair[0]) not in known | hidden]
    counts.in_train, counts.test = sum(_key(record) in known for record in held.records), len(kept)
    hidden |= {_key(record) for record, _ in kept}
    added = [pair for pair in more if _key(pair[0]) not in hidden]
    counts.train, counts.in_test = len(added), len(more) - len(added)
    for name, before, rows in (("train", train, added), ("test", test, kept)):
        if rows:
            new = _split(work, f"{name}.new")
            labelled_rows.write(chain(before, rows), new)
            os.replace(new, _split(work, name))
    work.note("feedback", asdict(counts))
    return counts


def _split(work: Workspace, name: str) -> Path:
    return work.data / f"{name}.parquet"


def _read(file: Path, record: type[Record]) -> LabelledRows[Any, Any]:
    return labelled_rows.read(file, record) if file.is_file() else LabelledRows([], [])


def _key(record: Record) -> str:
    return record.model_dump_json()


def _same_type(train: LabelledRows[Any, Any], more: LabelledRows[Any, Any]) -> None:
    wanted = {type(each) for each in train.labels}
    # Integers are allowed among floats: Parquet stores both as one column of floats.
    fitting = wanted | ({int, float} if wanted & {int, float} else set())
    if {type(each) for each in more.labels} <= fitting:
        return
    got, names = type(more.labels[0]).__name__, sorted(each.__name__ for each in wanted)
    raise ValueError(f"labels of the feedback are {got}, of the training rows {', '.join(names)}")


def main() -> int:
    home.silence_telemetry()
    work = Workspace.for_project(Project(Path.cwd()))
    counts = extend(work, work.folder / FEEDBACK)
    print(
        f"{work.project.name}: added {counts.train} rows of feedback to the training rows and "
        f"{counts.test} to the test rows; left out {counts.in_test} that are test rows and "
        f"{counts.in_train} that are training rows",
        flush=True,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
