"""The requests to send, built from the examples in the running server's OpenAPI document."""

import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Any

from infra.locust.plan import LoadPlan

PREDICT = re.compile("^/v1/models/([^/{}]+)/predict$")
# Of ten requests of a project one is a batch: programs send batches, web pages single records.
SINGLES, BATCHES = 9, 1


class NoExamples(Exception):
    """The server has no model with an example; the message names its address."""


@dataclass(frozen=True)
class PredictRequest:
    """One request to `/predict`."""

    project: str
    path: str
    body: bytes
    rows: int

    @property
    def name(self) -> str:
        return f"{self.project}, {'one record' if self.rows == 1 else f'{self.rows} records'}"


def fetch(plan: LoadPlan) -> dict[str, Any]:
    """Return the server's OpenAPI document.

    Raises:
        infra.locust.plan.Refused: the server must not be loaded.
        OSError: it does not respond.
    """
    plan.check()
    with urllib.request.urlopen(f"{plan.host}/openapi.json", timeout=30) as response:
        document: dict[str, Any] = json.load(response)
    return document


def build_requests(document: dict[str, Any], plan: LoadPlan) -> dict[str, list[PredictRequest]]:
    """Return the requests by project: each example alone in the usual share, and batches of them.

    Raises:
        NoExamples: there is no example.
    """
    found = {}
    for path, operations in sorted(document["paths"].items()):
        if (named := PREDICT.match(path)) and (records := _examples(operations["post"])):
            found[named[1]] = list(_project_requests(named[1], path, records, plan.batch_rows))
    if not found:
        raise NoExamples(f"{plan.host} serves no model; train one: make repro")
    return found


def _examples(operation: dict[str, Any]) -> list[Any]:
    content = operation["requestBody"]["content"]["application/json"]
    return [each["value"] for each in content.get("examples", {}).values()]


def _project_requests(
    project: str, path: str, records: list[Any], rows: int
) -> Iterator[PredictRequest]:
    for record in islice(cycle(records), max(SINGLES, len(records))):
        yield PredictRequest(project, path, json.dumps(record).encode(), 1)
    for first in range(BATCHES * max(1, len(records) // SINGLES)):
        batch = list(islice(cycle(records), first, first + rows))
        yield PredictRequest(project, path, json.dumps(batch).encode(), rows)


def shuffled(mix: dict[str, list[PredictRequest]], seed: int) -> Sequence[PredictRequest]:
    """Return all requests, in rounds with one request per project, shuffled by `seed`.

    So a short run covers every project too.
    """
    random = Random(seed)
    longest = max(len(each) for each in mix.values())
    packs = [random.sample(list(islice(cycle(each), longest)), longest) for each in mix.values()]
    return [one for each in zip(*packs, strict=True) for one in random.sample(each, len(each))]
