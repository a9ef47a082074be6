"""The requests to send, from the examples that the running server's OpenAPI document holds."""

import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from typing import Any

from infra.locust.plan import Plan

PREDICT = re.compile("^/v1/models/([^/{}]+)/predict$")
# Of ten requests of a project one is a batch: services send those, people's clicks the others.
SINGLES, BATCHES = 9, 1


class NothingToAsk(Exception):
    """The server holds no model with an example; the message names its address."""


@dataclass(frozen=True)
class Ask:
    """One request."""

    project: str
    path: str
    body: bytes
    rows: int

    @property
    def name(self) -> str:
        return f"{self.project}, {'one record' if self.rows == 1 else f'{self.rows} records'}"


def fetch(plan: Plan) -> dict[str, Any]:
    """The server's OpenAPI document.

    Raises:
        infra.locust.plan.Refused: the server must not be loaded.
        OSError: it does not answer.
    """
    plan.check()
    with urllib.request.urlopen(f"{plan.host}/openapi.json", timeout=30) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def asks(document: dict[str, Any], plan: Plan) -> dict[str, list[Ask]]:
    """By project: each example alone as often as is usual, and batches of them.

    Raises:
        NothingToAsk: there is no example.
    """
    found = {}
    for path, operations in sorted(document["paths"].items()):
        if (named := PREDICT.match(path)) and (records := _examples(operations["post"])):
            found[named[1]] = list(_of(named[1], path, records, plan.batch_rows))
    if not found:
        raise NothingToAsk(f"{plan.host} serves no model; train one: make repro")
    return found


def _examples(operation: dict[str, Any]) -> list[Any]:
    content = operation["requestBody"]["content"]["application/json"]
    return [each["value"] for each in content.get("examples", {}).values()]


def _of(project: str, path: str, records: list[Any], rows: int) -> Iterator[Ask]:
    for record in islice(cycle(records), max(SINGLES, len(records))):
        yield Ask(project, path, json.dumps(record).encode(), 1)
    for first in range(BATCHES * max(1, len(records) // SINGLES)):
        batch = list(islice(cycle(records), first, first + rows))
        yield Ask(project, path, json.dumps(batch).encode(), rows)


def shuffled(mix: dict[str, list[Ask]], seed: int) -> Sequence[Ask]:
    """All of them in an order that is the seed's alone, in rounds: each asks every project once.

    So a run that ends soon has asked them all too.
    """
    chance = Random(seed)
    longest = max(len(each) for each in mix.values())
    packs = [chance.sample(list(islice(cycle(each), longest)), longest) for each in mix.values()]
    return [ask for each in zip(*packs, strict=True) for ask in chance.sample(each, len(each))]
