"""`slipway verify`: replay the test set against a running model server and compare metrics.

`metrics.json` holds the metrics of the exported model in the process that trained it. Here the test
rows take the path of a caller's request: they are validated, batched and predicted by the version
that is served. This reveals a server with another version, an endpoint that alters a record, and a
metric that was edited by hand.
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

# The server accepts 10,000 records and 16 MiB, but limits a request to 10 s, and the slowest model
# needs 25 ms per record.
BATCH_ROWS = 100
# The server does not log the inputs of longer requests, so the monitor would not see these rows.
BATCH_BYTES = 60_000
# Rounding depends on the batch (1e-7), which occasionally moves a row across a threshold.
TOLERANCE = 1e-3
SECONDS = 120.0
# They compare the exported graph with the trained model, so predictions do not determine them.
PARITY_METRICS = ("parity_error", "parity_agreement")


class NotVerifiable(Fault):
    """Raised when a project cannot be verified; the message says what is missing."""


@dataclass(frozen=True)
class Verified:
    """A project's metrics from its endpoint's predictions and those in `metrics.json`."""

    name: str
    version: str
    rows: int
    served: dict[str, float]
    recorded: dict[str, float]

    @property
    def differing(self) -> list[str]:
        """One line per metric that differs by more than a thousandth, or is missing on one side."""
        lines = []
        for metric in sorted(self.served.keys() | self.recorded.keys()):
            served, recorded = self.served.get(metric), self.recorded.get(metric)
            if served is None or recorded is None or not _close(served, recorded):
                lines.append(f"{metric}: {recorded} in metrics.json, {served} served")
        return lines


def trained(work: Workspace) -> bool:
    """Return whether the project was trained in this checkout."""
    return (work.data / "test.parquet").is_file() and work.metrics.is_file()


def verify(work: Workspace, client: "httpx.Client") -> Verified:
    """Send every test row to the server, and score the predictions as `evaluate` did.

    Raises:
        NotVerifiable: the project was not trained here, or the server rejected a row.
    """
    project = work.project
    if not trained(work):
        raise NotVerifiable(
            f"{project.name} has no test rows in this checkout: slipway repro {project.name}"
        )
    test = read_split(work, "test")
    # Shuffled, since a prediction must not depend on the other rows of its batch, and because rows
    # in the order of time would look like drift to the monitor.
    order = random.Random(0).sample(range(len(test)), len(test))
    shuffled: list[dict[str, Any]] = []
    versions = set()
    for batch in _batches(test.records[place].model_dump_json() for place in order):
        response = _post(client, project.name, batch)
        versions.add(response["version"])
        shuffled += response["predictions"]
    if len(shuffled) != len(test):
        raise NotVerifiable(
            f"{project.name}: got {len(shuffled)} predictions for {len(test)} test rows"
        )
    output = project.model().output_type()
    in_order = [each for _, each in sorted(zip(order, shuffled, strict=True), key=itemgetter(0))]
    served = project.module("report").score(
        predictions=[output.model_validate_json(json.dumps(each)) for each in in_order],
        labels=test.labels,
    )
    recorded = json.loads(work.metrics.read_text())["metrics"]
    for name in PARITY_METRICS:
        recorded.pop(name, None)
    return Verified(project.name, " and ".join(sorted(versions)), len(test), served, recorded)


def connect(address: str | None = None) -> "httpx.Client":
    """Return a client for `address`, by default the server of `make up`.

    It sends $SLIPWAY_API_KEY if that is set.
    """
    import httpx

    key = os.environ.get("SLIPWAY_API_KEY")
    return httpx.Client(
        base_url=address or f"http://{home.LOOPBACK}:{home.port('predict')}",
        headers={"X-API-Key": key} if key else {},
        timeout=SECONDS,
        trust_env=False,
    )


def _post(client: "httpx.Client", name: str, batch: list[str]) -> dict[str, Any]:
    import httpx

    try:
        response = client.post(
            f"/v1/models/{name}/predict",
            content=f"[{','.join(batch)}]",
            headers={"Content-Type": "application/json"},
        )
    except httpx.HTTPError as error:
        raise NotVerifiable(
            f"no response from {client.base_url}: {error}; start it: make up"
        ) from error
    if response.status_code != 200:
        raise NotVerifiable(f"{name}: {response.status_code} {response.text[:500]}")
    content: dict[str, Any] = response.json()
    return content


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
