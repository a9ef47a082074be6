"""Metrics once more, from what a running model server answers over HTTP: `slipway verify`.

`metrics.json` tells what the exported model said in the process that trained it. Here the test rows
go the way of a caller's: validated, batched, answered by whatever version serves. A server that has
another version, an endpoint that alters a record, or a figure that was written by hand shows.
"""

import json
import math
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from slipway import home
from slipway.fault import Fault
from slipway.training.splits import read_split
from slipway.training.workspace import Workspace

if TYPE_CHECKING:
    import httpx

# The server takes 10,000 records and 16 MiB, but gives a request 10 s, and the slowest model needs
# 25 ms a record.
BATCH_ROWS = 100
# Of longer requests the server keeps no inputs, and the monitor would not see these rows.
BATCH_BYTES = 60_000
# A graph rounds otherwise in another batch (1e-7), which now and then moves a row over a threshold.
TOLERANCE = 1e-3
SECONDS = 120.0
# Of the exported graph against the trained model; no answer tells them.
NOT_OF_ANSWERS = ("parity_error", "parity_agreement")


class NotVerifiable(Fault):
    """The message names the project and what is missing."""


@dataclass(frozen=True)
class Verified:
    """Of one project: what its endpoint's answers are worth, beside what `metrics.json` says."""

    name: str
    version: str
    rows: int
    served: dict[str, float]
    recorded: dict[str, float]

    @property
    def differing(self) -> list[str]:
        """A line a metric that differs by more than a thousandth, or that only one of them has."""
        lines = []
        for metric in sorted(self.served.keys() | self.recorded.keys()):
            told, written = self.served.get(metric), self.recorded.get(metric)
            if told is None or written is None or not _close(told, written):
                lines.append(f"{metric}: {written} in metrics.json, {told} served")
        return lines


def trained(work: Workspace) -> bool:
    """Whether the project was trained in this checkout."""
    return (work.data / "test.parquet").is_file() and work.metrics.is_file()


def verify(work: Workspace, client: "httpx.Client") -> Verified:
    """Ask the server for an answer to every test row, and score the answers as `evaluate` did.

    Raises:
        NotVerifiable: the project was not trained here, or the server refused a row.
    """
    project = work.project
    if not trained(work):
        raise NotVerifiable(
            f"{project.name} has no test rows in this checkout: slipway repro {project.name}"
        )
    test = read_split(work, "test")
    # Not as they lie: an answer must not hang on its neighbours, and rows in the order of time
    # would look like drift to the monitor.
    order = random.Random(0).sample(range(len(test)), len(test))
    told: list[dict[str, Any]] = []
    versions = set()
    for batch in _batches(test.records[place].model_dump_json() for place in order):
        answer = _answer(client, project.name, batch)
        versions.add(answer["version"])
        told += answer["predictions"]
    if len(told) != len(test):
        raise NotVerifiable(f"{project.name}: {len(test)} rows sent, {len(told)} answers came back")
    output = project.model().output_type()
    as_they_lie = [each for _, each in sorted(zip(order, told, strict=True), key=itemgetter(0))]
    served = project.module("report").score(
        answers=[output.model_validate_json(json.dumps(each)) for each in as_they_lie],
        truths=test.truths,
    )
    recorded = json.loads(work.metrics.read_text())["metrics"]
    for name in NOT_OF_ANSWERS:
        recorded.pop(name, None)
    return Verified(project.name, " and ".join(sorted(versions)), len(test), served, recorded)


def connect(address: str | None = None) -> "httpx.Client":
    """To the server at `address`, else to that of `make up`, with $SLIPWAY_API_KEY if set."""
    import httpx

    key = os.environ.get("SLIPWAY_API_KEY")
    return httpx.Client(
        base_url=address or f"http://{home.LOOPBACK}:{home.port('predict')}",
        headers={"X-API-Key": key} if key else {},
        timeout=SECONDS,
        trust_env=False,
    )


def _answer(client: "httpx.Client", name: str, batch: list[str]) -> dict[str, Any]:
    import httpx

    try:
        answer = client.post(
            f"/v1/models/{name}/predict",
            content=f"[{','.join(batch)}]",
            headers={"Content-Type": "application/json"},
        )
    except httpx.HTTPError as error:
        raise NotVerifiable(
            f"no answer from {client.base_url}: {error}; start it: make up"
        ) from error
    if answer.status_code != 200:
        raise NotVerifiable(f"{name}: {answer.status_code} {answer.text[:500]}")
    found: dict[str, Any] = answer.json()
    return found


def _batches(records: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for record in records:
        if batch and (len(batch) == BATCH_ROWS or size + len(record) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record)
    if batch:
        yield batch


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-6)
