"""The rows that demo traffic replays: a project's test rows, or the examples that it ships."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_jsonable_python

from slipway.project import Project, discover
from slipway.rest import ServiceClient
from slipway.training.labelled import Label, Unsuitable
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace

# As many as a window of the monitor compares; more would only take memory.
MOST = 5000


@dataclass(frozen=True)
class Rows:
    """Records to send to one project, with their labels."""

    project: str
    records: Sequence[dict[str, Any]]
    labels: Sequence[dict[str, Any] | None]
    """The label of each record, as a field of its prediction; None if there is none."""
    schema: dict[str, Any]
    """The JSON schema of the record."""
    from_test: bool
    """True for test rows, false for the examples that the version ships."""


def rows_of(server: ServiceClient, name: str) -> Rows:
    """Return the rows for a served project.

    Raises:
        slipway.rest.ServiceFault: the server does not serve it.
    """
    schema = server.request_json("GET", f"/v1/models/{name}/schema")
    project = next((each for each in discover() if each.name == name), None)
    found = _test_rows(project) if project else None
    if found is None:
        records = [each["input"] for each in schema["examples"]]
        return Rows(name, records, [None] * len(records), schema["input"], from_test=False)
    records, labels = found
    return Rows(name, records, labels, schema["input"], from_test=True)


def _test_rows(
    project: Project,
) -> tuple[list[dict[str, Any]], list[dict[str, Any] | None]] | None:
    """Return the test rows of a project that was trained here, with their labels, or None."""
    work = Workspace.for_project(project)
    if not (work.data / "test.parquet").is_file():
        return None
    test = read_split(work, "test")
    records = [json.loads(each.model_dump_json()) for each in test.records[:MOST]]
    try:
        name = Label.from_types(project.model(), project.module("data"), None).name
    except Unsuitable:
        return records, [None] * len(records)
    return records, [
        to_jsonable_python({name: each} if name else each, bytes_mode="base64")
        for each in test.labels[:MOST]
    ]
