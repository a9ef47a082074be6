"""The online store in a real Redis: correctness, timeouts and reconnection."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from slipway import home
from slipway.features import definitions, offline, places
from slipway.features.history import training_set
from slipway.features.materialize import materialize
from slipway.features.online import FeaturesUnavailable, Online
from slipway.home import free_port
from slipway.programs import debian
from tests.slipway.features.feature_repository import (
    KEY,
    MOMENT,
    SERVICE,
    START,
    FeatureRepository,
    customers,
    entity_rows,
    made_up,
    rows,
    served,
)
from tests.waiting import PATIENCE

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("feature_repo/*", "slipway/features/*")

WAIT = 2.0


class Server:
    """A redis-server without persistence, on a free port."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.program = debian.binary("redis-server")
        self.url = f"redis://{home.LOOPBACK}:{self.port}/0"
        self.client = redis.Redis(host=home.LOOPBACK, port=self.port, retry=Retry(NoBackoff(), 0))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [str(self.program), "--port", str(self.port), "--bind", home.LOOPBACK]
        command += ["--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < deadline, "redis-server did not come up"
                time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process: connections are accepted, but get no response."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def feature_repository(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> FeatureRepository:
    """Made-up retail data whose online store is the server, which is empty."""
    if server.process is None:
        server.start()
    server.client.flushall()
    made = FeatureRepository(tmp_path)
    made.write(made_up())
    made.enter(monkeypatch)
    monkeypatch.setenv(places.REDIS, server.url)
    return made


def test_redis_holds_the_training_features(feature_repository: FeatureRepository) -> None:
    keys = customers(feature_repository.lines)
    offline.build("customer_days")
    materialize(until=MOMENT)
    assert not places.online_file().exists()
    trained = training_set(SERVICE, entity_rows(keys, [MOMENT] * len(keys)))
    names = list(definitions.load().plan(SERVICE).names)
    found = Online(timeout=2.0).look_up(SERVICE, KEY, [*keys, 99_999, "nobody"])
    assert found[len(keys) :] == [None, None]
    for online, row in zip(found, rows(trained, names), strict=False):
        assert online == (pytest.approx(row, abs=1e-3) if row["orders"] else None)


def test_materializing_in_steps_and_back_in_redis(feature_repository: FeatureRepository) -> None:
    keys = list(customers(feature_repository.lines))
    early = START + timedelta(days=40)
    for day in (40, 90, 200):
        materialize(until=START + timedelta(days=day), batch_rows=5)
    online = Online(timeout=2.0)
    for moment in (MOMENT, early):
        if moment is early:
            materialize(until=early, anew=True)
            online = Online(timeout=2.0)
        for key, found in zip(keys, online.look_up(SERVICE, KEY, keys), strict=True):
            counted = served(feature_repository.lines, int(key), moment)
            assert found == (pytest.approx(counted, abs=1e-3) if counted else None)


def test_feasts_own_reader_finds_the_same(feature_repository: FeatureRepository) -> None:
    """Feast's SDK reads the same features from the store."""
    from feast import FeatureStore

    from slipway.features.apply import apply

    materialize(until=MOMENT)
    lines = apply()
    assert lines[-1] == "feature services: churn, customer_segments, flight_delay, repurchase"
    host = {"type": "redis", "connection_string": places.redis_url().split("/")[2]}
    store = FeatureStore(config=definitions.config(places.registry(), host))
    keys = [1, 2, 3]
    theirs = store.get_online_features(
        features=store.get_feature_service(SERVICE),
        entity_rows=[{KEY: key, "asked_at": MOMENT} for key in keys],
    ).to_dict()
    for place, found in enumerate(Online(timeout=2.0).look_up(SERVICE, KEY, list(keys))):
        assert found is not None
        assert {name: theirs[name][place] for name in found} == pytest.approx(found, abs=1e-3)


def test_redis_flushed_while_serving_makes_keys_unknown(
    feature_repository: FeatureRepository, server: Server
) -> None:
    materialize(until=MOMENT)
    online = Online(timeout=2.0)
    assert online.look_up(SERVICE, KEY, [1])[0] is not None
    server.client.flushall()
    assert online.look_up(SERVICE, KEY, [1, 2]) == [None, None]
    # The marks were flushed, too, so the store is filled again completely.
    (mark, *_) = materialize(until=MOMENT)
    assert mark.rows > 0
    assert online.look_up(SERVICE, KEY, [1])[0] is not None


def test_an_unreachable_redis_is_reported_in_time_and_reconnected(
    feature_repository: FeatureRepository, server: Server
) -> None:
    materialize(until=MOMENT)
    online = Online(timeout=WAIT)
    online.warm(SERVICE)
    with server.frozen():
        start = time.monotonic()
        with pytest.raises(FeaturesUnavailable, match="feature service repurchase: .*[Tt]ime"):
            online.look_up(SERVICE, KEY, [1])
        # One timeout and 4 s for a busy machine; the client's retries would take four timeouts.
        assert WAIT * 0.9 < time.monotonic() - start < WAIT * 3
    assert online.look_up(SERVICE, KEY, [1])[0] is not None
    server.stop()
    start = time.monotonic()
    with pytest.raises(FeaturesUnavailable, match="feature service repurchase: .*refused"):
        online.look_up(SERVICE, KEY, [1])
    assert time.monotonic() - start < WAIT * 3
    with pytest.raises(FeaturesUnavailable):
        Online(timeout=WAIT).warm(SERVICE)
    server.start()
    assert online.look_up(SERVICE, KEY, [1]) == [None]
    # The connections broke unnoticed; the first call opens new ones.
    server.stop()
    server.start()
    assert online.look_up(SERVICE, KEY, [1]) == [None]
    materialize(until=MOMENT)
    assert online.look_up(SERVICE, KEY, [1])[0] is not None


def test_threads_share_it_while_it_is_filled_and_flushed(
    feature_repository: FeatureRepository, server: Server
) -> None:
    """Every response is complete and for the requested key, or None."""
    materialize(until=MOMENT)
    online = Online(timeout=5.0)
    keys = list(customers(feature_repository.lines))
    wanted = dict(zip(keys, online.look_up(SERVICE, KEY, keys), strict=True))
    known = [key for key in keys if wanted[key]]
    faults: list[object] = []
    counts = [0, 0]
    over = threading.Event()

    def look_up(shift: int) -> None:
        place = shift
        while not over.is_set():
            place += 1
            key = known[place % len(known)]
            try:
                (found,) = online.look_up(SERVICE, KEY, [key])
            except Exception as error:
                faults.append(error)
                return
            counts[found is not None] += 1
            if found is not None and found != pytest.approx(wanted[key], abs=0.01):
                faults.append((key, found))

    threads = [threading.Thread(target=look_up, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    try:
        while min(counts) < 100 and time.monotonic() < deadline and not faults:
            server.client.flushall()
            time.sleep(0.05)
            materialize(until=MOMENT, views=["customer_purchases", "customer_returns"])
            materialize(until=MOMENT, views=["customer_baskets"])
            time.sleep(0.05)
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
    partial = [each for each in faults if isinstance(each, tuple)]
    # While it is being filled a key may be known to one view and not yet to another.
    assert [each for each in partial if None not in each[1].values()] == []
    assert [each for each in faults if not isinstance(each, tuple)] == []
    assert min(counts) >= 100


def test_an_invalid_address_is_refused(
    feature_repository: FeatureRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(places.REDIS, "http://:secret@somewhere")
    with pytest.raises(ValueError, match="SLIPWAY_REDIS_URL must be redis://") as refused:
        Online().look_up(SERVICE, KEY, [1])
    assert "secret" not in str(refused.value)


def test_the_packages_of_the_group_are_enough(
    feature_repository: FeatureRepository, features_python: Path, server: Server
) -> None:
    materialize(until=MOMENT)
    code = (
        "import sys\n"
        "from slipway.features.online import Online\n"
        "assert 'feast' not in sys.modules\n"
        "online = Online(timeout=5.0)\n"
        f"online.warm({SERVICE!r})\n"
        f"print(online.look_up({SERVICE!r}, {KEY!r}, [1])[0]['orders'])\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [features_python, "-c", code],
        cwd=feature_repository.root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    counted = served(feature_repository.lines, 1, MOMENT)
    assert counted is not None
    assert done.stdout.strip() == str(counted["orders"])
