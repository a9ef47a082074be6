"""Start and stop the stack to test, with a model that needs no look-up and one that does."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from infra.chaos.judge import LOOKED_UP, PLAIN
from infra.chaos.load import LoadCaller
from infra.compose.running import PROFILES, Failed, Stack, request_status, wait_until
from infra.docker import docker
from slipway import home

PROJECT = "slipway-chaos"
OVERRIDE = "infra/chaos/compose.yml"
# Both train in a minute, with the packages of the default image.
MODEL, WITH_FEATURES = "titanic", "repurchase"
DATA = ("titanic", "online_retail_ii")
TABLE = "customer_days"
VIEWS = ("customer_purchases", "customer_returns", "customer_baskets")
KEY, CUSTOMERS = "customer_id", (12347, 12348, 12349, 12352, 12356)
# Redis writes its snapshot a minute after the first change.
SAVED_SECONDS = 90
ANSWERED_SECONDS = 60


@contextmanager
def stack(
    say: Callable[[str], None],
    *,
    build: bool,
    project: str = PROJECT,
    overrides: tuple[str, ...] = (OVERRIDE,),
) -> Iterator[tuple[Stack, list[str]]]:
    """Start the stack and yield it with the services left out for lack of an image; then remove it.

    Raises:
        DockerFault: it does not start.
        Failed: it is incomplete, or a project of this name exists already.
    """
    it = Stack(home.root(), home.free_port(), home.free_port(), project, overrides)
    if docker("ps", "--quiet", "--all", "--filter", f"label=com.docker.compose.project={project}"):
        raise Failed(
            f"the project {project} exists already, from a run that is in progress or was "
            f"interrupted: "
            f"docker compose --project-name {project} down --volumes"
        )
    try:
        if build:
            say("building the images ...")
            it.build(*PROFILES)
        say("starting ...")
        left_out = it.up()
        if left_out:
            say(f"left out for lack of an image: {', '.join(left_out)}")
        _fill(it, say)
        yield it, left_out
    finally:
        # A second Ctrl-C would leave containers behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("removing the stack ...")
        it.down()
        signal.signal(signal.SIGINT, before)


def _fill(it: Stack, say: Callable[[str], None]) -> None:
    """Train the models, and bring features into Redis."""
    say(f"training {MODEL} and {WITH_FEATURES} ...")
    it.copy_datasets(DATA)
    it.train(MODEL, WITH_FEATURES)
    say("bringing features into Redis ...")
    it.materialize(TABLE, *VIEWS)
    wait_until(lambda: _saved(it), SAVED_SECONDS, "Redis' snapshot of the features")


def _saved(it: Stack) -> bool:
    """Return whether a Redis that is killed now would restart with all its data."""
    query = 'redis-cli --no-auth-warning -a "$(cat /run/slipway/redis/password)" info persistence'
    return "rdb_changes_since_last_save:0" in it.output("exec", "-T", "redis", "sh", "-c", query)


def callers(it: Stack, rates: dict[str, float], key: str) -> list[LoadCaller]:
    """Return the two kinds of callers.

    Raises:
        Failed: a request of theirs fails before any fault is injected.
    """
    examples = home.root() / "pipelines" / "ml" / MODEL / "examples.json"
    records = [each["input"] for each in json.loads(examples.read_text())]
    keys = [{KEY: each} for each in CUSTOMERS]
    both = [
        LoadCaller(PLAIN, MODEL, _bodies(records), rates[PLAIN]),
        LoadCaller(LOOKED_UP, WITH_FEATURES, _bodies(keys), rates[LOOKED_UP]),
    ]
    it.ready((MODEL, WITH_FEATURES), key)
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for caller in both:
        path = f"/v1/models/{caller.model}/predict"
        for body in caller.bodies:
            _wait_for_success(partial(request_status, it.address, path, head, body), caller, body)
    return both


def _wait_for_success(request: Callable[[], int], caller: LoadCaller, body: bytes) -> None:
    """Wait: a worker's first look-up may take 4 s of imports, more on a busy machine."""
    what = f"{caller.model} responds to {body.decode()}"
    wait_until(lambda: request() == 200, ANSWERED_SECONDS, what)


def _bodies(records: Sequence[object]) -> list[bytes]:
    return [json.dumps(each).encode() for each in records]
