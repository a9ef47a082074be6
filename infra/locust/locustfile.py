"""Users for Locust, headless: each sends single records and batches to every project.

Locust replaces Python's sockets by gevent's when it is imported, so this runs in a process of its
own: `python -m infra.locust`, or `locust --headless --locustfile infra/locust/locustfile.py`.
"""

import sys
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import gevent
from locust import FastHttpUser, between, events, task
from locust.env import Environment

from infra.locust.mix import NoExamples, PredictRequest, build_requests, fetch, shuffled
from infra.locust.plan import LoadPlan, TargetRefused

PLAN = LoadPlan.from_environment()
MIX: dict[str, list[PredictRequest]] = {}
# All users take requests from one iterator, so that none is left out by chance.
REQUESTS: list[Iterator[PredictRequest]] = []


class Caller(FastHttpUser):
    """A client program that waits for its response, then a moment."""

    wait_time = between(0.1, 0.3)
    # Longer than the server's own timeout.
    connection_timeout = network_timeout = 30.0

    def on_start(self) -> None:
        self.headers = {"Content-Type": "application/json"}
        if PLAN.key:
            self.headers["X-API-Key"] = PLAN.key

    @task
    def predict(self) -> None:
        request = next(REQUESTS[0])
        with self.client.post(
            request.path,
            data=request.body,
            headers=self.headers,
            name=request.name,
            catch_response=True,
        ) as response:
            if response.status_code != 200:
                response.failure(f"status {response.status_code}")
            elif len(response.json().get("predictions", ())) != request.rows:
                response.failure(f"not {request.rows} predictions")


@events.init.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Fetch the requests to send; exit if the host is refused or serves nothing."""
    plan = PLAN.model_copy(update={"host": (environment.host or PLAN.host).rstrip("/")})
    environment.host = plan.host
    if environment.web_ui is not None:
        sys.exit("Locust's pages would listen on all addresses; run it with --headless")
    try:
        MIX.update(build_requests(fetch(plan), plan))
        REQUESTS.append(cycle(shuffled(MIX, seed=0)))
    except (TargetRefused, NoExamples, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        sys.exit(2)


@events.test_start.add_listener
def bound(environment: Environment, **_: Any) -> None:
    """End a run without --run-time, which would never end."""
    options = environment.parsed_options
    if environment.runner is not None and options is not None and not options.run_time:
        gevent.spawn_later(PLAN.seconds, environment.runner.quit)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Set the exit status to 1 when a limit is not met, whatever failed."""
    total = environment.stats.total
    lines = PLAN.limits.missed(
        p99_ms=total.get_response_time_percentile(0.99) if total.num_requests else None,
        failed=total.num_failures,
        requests=total.num_requests,
    )
    called = {name.partition(",")[0] for name, _ in environment.stats.entries}
    if left := sorted(MIX.keys() - called):
        lines.append(f"limit not met: every project gets requests, got none for {', '.join(left)}")
    for line in lines:
        print(line, file=sys.stderr)
    environment.process_exit_code = 1 if lines else 0
