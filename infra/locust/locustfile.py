"""Users for Locust, headless: each asks every project, single records and batches.

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

from infra.locust.mix import Ask, NothingToAsk, asks, fetch, shuffled
from infra.locust.plan import Plan, Refused

PLAN = Plan.handed()
MIX: dict[str, list[Ask]] = {}
# All users take from one pack, so that none of its requests is left out by chance.
PACK: list[Iterator[Ask]] = []


class Caller(FastHttpUser):
    """A client program: it waits for its answer, then a moment."""

    wait_time = between(0.1, 0.3)
    # Longer than the server itself lets a caller wait.
    connection_timeout = network_timeout = 30.0

    def on_start(self) -> None:
        self.headers = {"Content-Type": "application/json"}
        if PLAN.key:
            self.headers["X-API-Key"] = PLAN.key

    @task
    def ask(self) -> None:
        one = next(PACK[0])
        with self.client.post(
            one.path, data=one.body, headers=self.headers, name=one.name, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif len(answer.json().get("predictions", ())) != one.rows:
                answer.failure(f"not {one.rows} answers")


@events.init.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Read the mix, or leave: the host is foreign, or nothing is served there."""
    plan = PLAN.model_copy(update={"host": (environment.host or PLAN.host).rstrip("/")})
    environment.host = plan.host
    if environment.web_ui is not None:
        sys.exit("its pages would listen on all addresses; run it with --headless")
    try:
        MIX.update(asks(fetch(plan), plan))
        PACK.append(cycle(shuffled(MIX, seed=0)))
    except (Refused, NothingToAsk, OSError) as error:
        print(f"load: {error}", file=sys.stderr)
        sys.exit(2)


@events.test_start.add_listener
def bound(environment: Environment, **_: Any) -> None:
    """A run without --run-time would never end."""
    options = environment.parsed_options
    if environment.runner is not None and options is not None and not options.run_time:
        gevent.spawn_later(PLAN.seconds, environment.runner.quit)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """The exit status is 1 when a limit is not met, whatever failed."""
    total = environment.stats.total
    lines = PLAN.limits.missed(
        p99_ms=total.get_response_time_percentile(0.99) if total.num_requests else None,
        failed=total.num_failures,
        asked=total.num_requests,
    )
    called = {name.partition(",")[0] for name, _ in environment.stats.entries}
    if left := sorted(MIX.keys() - called):
        lines.append(f"limit not met: every project is asked, got none of {', '.join(left)}")
    for line in lines:
        print(line, file=sys.stderr)
    environment.process_exit_code = 1 if lines else 0
