"""Sends the requests of a grammar from a few connections, and counts what comes back."""

import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import grpc
from tritonclient.grpc.service_pb2 import ModelInferResponse

from tests.drills.fuzz.grammar import Grammar
from tests.drills.fuzz.request import Answer, Request
from tests.drills.fuzz.sending import send
from tests.drills.fuzz.verdict import fault_of

CONNECTIONS = 4
# More than two cores can send in a minute: a bound for a machine with many.
MOST_REQUESTS = 100_000
# The last event of a streamed prediction holds its id.
STREAMED = re.compile(rb'^event: prediction\r?\ndata: .*?"id": ?"([0-9a-f-]{36})"', re.MULTILINE)
# Failures that are kept with their requests, one of each kind.
MOST_FAILURES = 20


@dataclass(frozen=True)
class Failure:
    """A request whose response must not be."""

    request: Request
    answer: Answer
    fault: str


@dataclass
class Outcome:
    """The counts of a run."""

    statuses: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    """By route and status."""
    failures: dict[tuple[str, str], Failure] = field(default_factory=dict)
    """The first of each route and fault."""
    failed: int = 0
    predictions: set[str] = field(default_factory=set)
    """The ids of the predictions that were answered."""

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def of(self, route: str) -> Counter[int | str]:
        """Return the statuses of a route."""
        counts: Counter[int | str] = Counter()
        for (name, status), count in self.statuses.items():
            if name == route:
                counts[status] += count
        return counts

    def add(self, request: Request, answer: Answer, service: str) -> None:
        self.statuses[request.route, answer.status] += 1
        self.predictions.update(prediction_ids(answer))
        if fault := fault_of(service, request, answer):
            self.failed += 1
            if len(self.failures) < MOST_FAILURES:
                self.failures.setdefault((request.route, fault), Failure(request, answer, fault))

    def merge(self, other: "Outcome") -> None:
        """Add the counts of a later part of the run."""
        self.statuses.update(other.statuses)
        self.failures = {**other.failures, **self.failures}
        self.failed += other.failed
        self.predictions |= other.predictions

    def table(self) -> str:
        """Return a line for each route: its requests by status."""
        lines = []
        for route in sorted({route for route, _ in self.statuses}):
            counts = sorted(self.of(route).items(), key=lambda pair: str(pair[0]))
            shown = ", ".join(f"{status}: {count}" for status, count in counts)
            lines.append(f"  {sum(count for _, count in counts):6} {route}  {shown}")
        return "\n".join(lines)


def prediction_ids(answer: Answer) -> list[str]:
    """Return the ids under which the server says that it recorded predictions."""
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        return [found.decode() for found in STREAMED.findall(answer.body)]
    if "slipway-id" in answer.headers:
        return [answer.headers["slipway-id"]]
    value = answer.value
    if answer.status == "OK" and isinstance(value, bytes):
        return _ids_of_message(value)
    if answer.status != 200 or not isinstance(value, dict):
        return []
    parameters = value.get("parameters")
    if isinstance(parameters, dict) and "prediction_id" in parameters:
        return [str(parameters["prediction_id"])]
    if "predictions" in value and "variant" in value and isinstance(value.get("id"), str):
        return [value["id"]]
    return []


def _ids_of_message(message: bytes) -> list[str]:
    try:
        response = ModelInferResponse.FromString(message)
    except Exception:  # another method's response, which protobuf refuses
        return []
    if "prediction_id" not in response.parameters:
        return []
    return [response.parameters["prediction_id"].string_param]


class Runner:
    """Sends from `connections` threads; each takes the next number of the grammar."""

    def __init__(
        self,
        service: str,
        grammar: Grammar,
        address: tuple[str, int],
        grpc_port: int = 0,
        *,
        connections: int = CONNECTIONS,
    ) -> None:
        self.service, self.grammar = service, grammar
        self.address, self.grpc_port, self.connections = address, grpc_port, connections
        self._next = 0
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []

    def run(self, seconds: float, *, most: int = MOST_REQUESTS) -> Outcome:
        """Send for so long, at most so many requests; a later call continues the sequence."""
        outcome, deadline = Outcome(), time.monotonic() + seconds
        end = self._next + most
        threads = [
            threading.Thread(target=self._work, args=(outcome, deadline, end))
            for _ in range(self.connections)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if self._errors:
            raise self._errors[0]
        return outcome

    def _work(self, outcome: Outcome, deadline: float, end: int) -> None:
        try:
            with grpc.insecure_channel(f"{self.address[0]}:{self.grpc_port}") as channel:
                while time.monotonic() < deadline and (number := self._take()) < end:
                    self._one(number, outcome, channel)
        except BaseException as error:
            self._errors.append(error)

    def _take(self) -> int:
        with self._lock:
            self._next += 1
            return self._next - 1

    def _one(self, number: int, outcome: Outcome, channel: grpc.Channel) -> None:
        request = self.grammar.request(number)
        port = self.grpc_port if request.to_grpc_port else self.address[1]
        try:
            answer = send(request, (self.address[0], port), channel)
        except OSError as error:
            answer = Answer(type(error).__name__)
        self.grammar.knowledge.learn(request.route, answer)
        with self._lock:
            outcome.add(request, answer, self.service)
