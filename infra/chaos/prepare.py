"""The stack that is broken: up, with a model that needs no look-up and one that does."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from infra.chaos.judge import LOOKED_UP, PLAIN
from infra.chaos.load import Caller
from slipway import home
from slipway.docker import docker
from slipway.stack.running import PROFILES, Failed, Stack, asked, until

PROJECT = "slipway-chaos"
OVERRIDE = "infra/chaos/compose.yml"
# Both train in half a minute.
MODEL, WITH_FEATURES = "titanic", "churn"
DATA = ("titanic", "telco_customer_churn")
TABLE, VIEWS = "telco_customers", ("telco_household", "telco_services", "telco_billing")
CUSTOMERS = ("7590-VHVEG", "5575-GNVDE", "3668-QPYBK", "7795-CFOCW", "9237-HQITU")
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
    """Up, and the services that are left out for want of an image; gone when the block ends.

    Raises:
        DockerFault: it does not come up.
        Failed: it is not what it should be, or one of this name is there already.
    """
    it = Stack(home.root(), home.free_port(), home.free_port(), project, overrides)
    if docker("ps", "--quiet", "--all", "--filter", f"label=com.docker.compose.project={project}"):
        raise Failed(
            f"there is a project {project} already, of a run that goes on or was cut off: "
            f"docker compose --project-name {project} down --volumes"
        )
    try:
        if build:
            say("building the images ...")
            it.build(*PROFILES)
        say("starting ...")
        left_out = it.up()
        if left_out:
            say(f"left out, no image: {', '.join(left_out)}")
        _fill(it, say)
        yield it, left_out
    finally:
        # A second Ctrl-C would leave containers behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("taking it down ...")
        it.down()
        signal.signal(signal.SIGINT, before)


def _fill(it: Stack, say: Callable[[str], None]) -> None:
    """Models, and features in Redis."""
    say(f"training {MODEL} and {WITH_FEATURES} ...")
    it.lend_data(DATA)
    it.train(MODEL, WITH_FEATURES)
    say("bringing features into Redis ...")
    it.materialize(TABLE, *VIEWS)
    until(lambda: _saved(it), SAVED_SECONDS, "Redis' snapshot of the features")


def _saved(it: Stack) -> bool:
    """Whether a Redis that is killed now would come back with all that it holds."""
    ask = 'redis-cli --no-auth-warning -a "$(cat /run/slipway/redis/password)" info persistence'
    return "rdb_changes_since_last_save:0" in it.said("exec", "-T", "redis", "sh", "-c", ask)


def callers(it: Stack, rates: dict[str, float], key: str) -> list[Caller]:
    """The two kinds of callers.

    Raises:
        Failed: a body of theirs is not answered, so that it would be no fault's doing.
    """
    examples = home.root() / "pipelines" / "ml" / MODEL / "examples.json"
    records = [each["input"] for each in json.loads(examples.read_text())]
    keys = [{"telco_customer_id": each} for each in CUSTOMERS]
    found = [
        Caller(PLAIN, MODEL, _bodies(records), rates[PLAIN]),
        Caller(LOOKED_UP, WITH_FEATURES, _bodies(keys), rates[LOOKED_UP]),
    ]
    it.ready((MODEL, WITH_FEATURES), key)
    head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for caller in found:
        path = f"/v1/models/{caller.model}/predict"
        for body in caller.bodies:
            _answered(partial(asked, it.address, path, head, body), caller, body)
    return found


def _answered(ask: Callable[[], int], caller: Caller, body: bytes) -> None:
    """The first look-up of a worker may wait for imports of 4 s, more on a busy machine."""
    until(lambda: ask() == 200, ANSWERED_SECONDS, f"{caller.model} answers {body.decode()}")


def _bodies(records: Sequence[object]) -> list[bytes]:
    return [json.dumps(each).encode() for each in records]
