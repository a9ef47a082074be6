"""The whole of docker-compose.yml, from the first start on.

The tests build on each other: nothing trained, then trained by a checkout and in a container, then
served, monitored, broken, saved and restored.
"""

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.chaos.prepare import DATA, TABLE, VIEWS
from infra.compose.running import PROFILES, wait_until
from infra.docker import docker
from slipway import home
from slipway.home import free_port
from tests.containers.stack import Stack, request_status, steadily
from tests.containers.stack_requests import (
    ADOPTED,
    BOOTSTRAPPED,
    bearer,
    looked_up,
    passenger,
    predict,
    wait_until_healthy,
)
from tests.slipway.checkout import commit_checkout

UPGRADE = ("up", "--detach", "--no-recreate", "--no-deps", "--wait")
NEWER = {"SLIPWAY_PREDICT_WORKERS": "2"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("checkout")
    commit_checkout(folder, BOOTSTRAPPED)
    # Containers read it as another user.
    for each in (folder, *folder.parents[:3]):
        each.chmod(0o755)
    it = Stack(folder, free_port(), free_port())
    it.down()
    it.build(*PROFILES)
    try:
        yield it
    finally:
        it.down()


@pytest.fixture(scope="module")
def up(stack: Stack) -> Stack:
    stack.up()
    return stack


@pytest.fixture(scope="module")
def served(up: Stack) -> Stack:
    """The stack with one project trained by the checkout and one by a container."""
    # The images contain the lock: it must not change.
    lock = up.folder / "pipelines" / "ml" / ADOPTED / "dvc.lock"
    committed = lock.read_bytes()
    command = [sys.executable, "-m", "slipway", "repro", ADOPTED]
    subprocess.run(command, cwd=up.folder, check=True, timeout=600)
    assert lock.read_bytes() == committed, "training gave another model than the committed one"
    up.copy_datasets(DATA)
    up.compose("up", "--detach", "adopt")
    assert f"registered: {ADOPTED}" in up.ended("adopt")
    output = up.output("run", "--rm", "-T", "bootstrap", BOOTSTRAPPED, seconds=600)
    assert f"up to date: {BOOTSTRAPPED}" in output
    return up


@pytest.fixture(scope="module")
def key(served: Stack) -> str:
    drawn = served.key("the tests", "predict", "feedback")
    served.ready([ADOPTED, BOOTSTRAPPED], drawn)
    return drawn


@pytest.mark.quick_container
def test_it_is_valid_with_every_profile(stack: Stack) -> None:
    services = stack.config("tools", "load", "gpu", "explain")["services"]
    assert {"triton", "load", "bootstrap", "backup", "explain", "predict"} <= set(services)


@pytest.mark.quick_container
def test_all_come_up_and_are_well(up: Stack) -> None:
    wait_until_healthy(up)
    for each in up.containers():
        job = each["HostConfig"]["RestartPolicy"]["Name"] == "no"
        assert each["RestartCount"] == 0, each["Name"]
        assert job or each["State"]["Running"], each["Name"]
        assert not job or each["State"]["ExitCode"] == 0, each["Name"]


@pytest.mark.quick_container
def test_with_nothing_trained_it_says_what_to_do(up: Stack) -> None:
    assert "docker compose run --rm bootstrap" in up.ended("adopt")
    wait_until(lambda: request_status(up.address, "/v1/ready") == 503, 60)
    answer = httpx.get(f"{up.address}/v1/ready")
    assert answer.json()["detail"] == "no champion in the registry; train one: make repro"


def test_it_serves_what_the_checkout_and_what_a_container_trained(served: Stack, key: str) -> None:
    answer = predict(served, key)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()["predictions"][0]) == {"survived", "probability"}
    assert request_status(served.address, f"/v1/models/{BOOTSTRAPPED}", bearer(key)) == 200


def test_adopting_again_changes_nothing(served: Stack) -> None:
    served.compose("up", "--detach", "adopt")
    assert f"in the registry already: {ADOPTED}" in served.ended("adopt")


def test_what_was_trained_by_other_code_is_not_adopted(served: Stack) -> None:
    lock = served.folder / "pipelines" / "ml" / ADOPTED / "dvc.lock"
    committed = lock.read_text()
    lock.write_text(committed + "\n")
    try:
        served.compose("up", "--detach", "adopt")
        assert f"{ADOPTED}: was trained since the image was built" in served.ended("adopt")
    finally:
        lock.write_text(committed)


def test_nobody_gets_in_without_a_key(served: Stack, key: str) -> None:
    path = f"{served.address}/v1/models/{ADOPTED}/predict"
    assert httpx.post(path, json=passenger()).status_code == 401
    assert httpx.post(path, json=passenger(), headers=bearer(key[:-1] + "!")).status_code == 401
    assert request_status(served.address, "/metrics", bearer(key)) == 404


@pytest.mark.quick_container
def test_the_door_and_the_dashboards_alone_are_published_on_loopback(up: Stack) -> None:
    published = {
        name: [(port["host_ip"], int(port["published"])) for port in each["ports"]]
        for name, each in up.config("tools", "load", "gpu", "explain")["services"].items()
        if each.get("ports")
    }
    assert published == {
        "proxy": [(home.LOOPBACK, up.port)],
        "grafana": [(home.LOOPBACK, up.grafana_port)],
        "explain": [(home.LOOPBACK, home.PORTS["explain"])],
    }
    for each in up.containers():
        for bindings in (each["NetworkSettings"]["Ports"] or {}).values():
            assert {binding["HostIp"] for binding in bindings or []} <= {home.LOOPBACK}


@pytest.mark.quick_container
def test_the_door_is_shut_on_every_address_but_loopback(up: Stack) -> None:
    """Connect to the gateway address of the proxy's network, as a neighbour would."""
    network = up.config()["networks"]["door"]["name"]
    [settings] = json.loads(docker("network", "inspect", network))[0]["IPAM"]["Config"]
    socket.create_connection((home.LOOPBACK, up.port), timeout=2).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((settings["Gateway"], up.port), timeout=2)


@pytest.mark.quick_container
def test_every_container_is_confined(up: Stack) -> None:
    for each in up.containers():
        name, set_ = each["Name"], each["HostConfig"]
        assert set_["ReadonlyRootfs"], name
        assert set_["CapDrop"] == ["ALL"], name
        assert set_["SecurityOpt"] == ["no-new-privileges:true"], name
        assert not set_["Privileged"], name
        assert set_["Memory"] > 0, name
        assert set_["NanoCpus"] > 0, name
        assert set_["RestartPolicy"]["Name"] in ("unless-stopped", "no"), name
        assert set_["LogConfig"]["Config"]["max-size"], name


@pytest.mark.quick_container
def test_nobody_serves_as_root(up: Stack) -> None:
    for each in up.containers():
        if not each["State"]["Running"]:
            continue
        rows = [line.split() for line in docker("top", each["Id"], "-o", "pid,uid").splitlines()]
        users = dict(rows[1:])
        assert users[str(each["State"]["Pid"])] != "0", each["Name"]


@pytest.mark.quick_container
def test_no_secret_shows_in_settings(up: Stack) -> None:
    secrets = up.within(
        "predict",
        "import sys; [print(open(f).read()) for f in sys.argv[1:]]",
        "/run/slipway/redis/password",
        "/run/slipway/registry-read/key",
    ).split()
    assert secrets
    assert all(len(each) >= 24 for each in secrets)
    shown = json.dumps(up.containers()) + json.dumps(up.config("tools", "load", "gpu", "explain"))
    assert not [each for each in secrets if each in shown]
    assert "slw_" not in shown


@pytest.mark.quick_container
def test_each_sees_the_secrets_that_it_needs_alone(up: Stack) -> None:
    holders: dict[str, set[str]] = {}
    for name, each in up.config("tools", "load", "gpu", "explain")["services"].items():
        for mount in each.get("volumes", []):
            if str(mount["target"]).startswith("/run/slipway/"):
                holders.setdefault(mount["source"], set()).add(name)
    assert holders == {
        "keyring": {
            *("prepare", "keys", "predict", "monitor", "trainer", "features", "explain"),
            *("mlflow", "adopt", "bootstrap"),
        },
        "registry-secret": {"prepare", "adopt", "bootstrap", "trainer"},
        "registry-read-secret": {"prepare", "predict", "monitor", "explain", "graphs"},
        "database-secret": {"prepare", "postgres", "mlflow", "backup", "restore"},
        "redis-secret": {"prepare", "redis", "predict", "features", "materialize"},
        "prometheus-settings": {"prepare", "prometheus", "trainer"},
        "alertmanager-settings": {"prepare", "alertmanager"},
        "grafana-secret": {"prepare", "grafana"},
        "signing-secret": {"prepare", "adopt", "bootstrap", "trainer"},
    }


REACH = """
import socket, sys
for place in sys.argv[1:]:
    host, port = place.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        print("open")
    except OSError:
        print("closed")
"""
PLACES = ("predict:8000", "mlflow:5000", "postgres:5432", "redis:6379", "prometheus:9090")


@pytest.mark.parametrize(
    ("service", "reached"),
    [
        ("predict", {"predict:8000", "mlflow:5000", "redis:6379", "prometheus:9090"}),
        ("mlflow", {"predict:8000", "mlflow:5000", "postgres:5432"}),
        ("monitor", {"predict:8000", "mlflow:5000", "prometheus:9090"}),
        ("features", {"predict:8000", "redis:6379", "prometheus:9090"}),
    ],
)
def test_networks_keep_apart_who_has_nothing_to_do(
    up: Stack, service: str, reached: set[str]
) -> None:
    answers = up.within(service, REACH, *PLACES).split()
    found = {place for place, answer in zip(PLACES, answers, strict=True) if answer == "open"}
    assert found == reached


def test_prometheus_reaches_all_that_it_watches(served: Stack) -> None:
    def down() -> set[str]:
        return {each["metric"]["instance"] for each in served.query("up == 0")}

    jobs = {"predict": 2, "monitor": 1, "trainer": 1, "features": 1, "proxy": 1, "node": 1}

    def found() -> dict[str, int]:
        result = served.query("count by (job) (up == 1)")
        return {each["metric"]["job"]: int(each["value"][1]) for each in result}

    wait_until(lambda: found() == jobs, 90, details=lambda: f"{found()}, down: {down()}")


def test_traffic_is_seen_on_both_model_servers(served: Stack, key: str) -> None:
    for _ in range(20):
        assert predict(served, key).status_code == 200
    query = f'sum by (instance) (slipway_requests_total{{project="{ADOPTED}", status="200"}}) > 0'
    wait_until(lambda: len(served.query(query)) == 2, 60, details=lambda: str(served.query(query)))


def test_a_feature_is_looked_up_in_redis(served: Stack, key: str) -> None:
    served.materialize(TABLE, *VIEWS)
    wait_until(
        lambda: looked_up(served, key) == 200, 60, details=lambda: str(looked_up(served, key))
    )


def test_an_alert_of_prometheus_is_taken_by_the_trainer(served: Stack) -> None:
    """The trainer accepts Alertmanager's key."""
    word = ["amtool", "--alertmanager.url=http://127.0.0.1:9093", "alert", "add"]
    labels = ["alertname=Drift", f"project={ADOPTED}", "action=retrain", "severity=warning"]
    served.compose("exec", "-T", "alertmanager", *word, *labels)
    wait_until(
        lambda: "/v1/alerts" in served.log("trainer") or _runs(served) > 0,
        90,
        details=lambda: served.log("alertmanager")[-2000:] + served.log("trainer")[-2000:],
    )


def _runs(stack: Stack) -> int:
    found = stack.query("sum(slipway_trainer_alerts_total)")
    return int(float(found[0]["value"][1])) if found else 0


@pytest.mark.parametrize("word", ["kill", "pause"])
def test_nobody_notices_that_a_model_server_is_gone(served: Stack, key: str, word: str) -> None:
    back = {"kill": "start", "pause": "unpause"}[word]
    [victim] = [each for each in served.containers("predict") if each["Name"].endswith("-1")]
    path = f"{served.address}/v1/models/{ADOPTED}/predict"
    request = {"json": passenger(), "headers": bearer(key)}
    found: list[int] = []
    asking = threading.Thread(
        target=lambda: found.extend(steadily(path, request, seconds=20, rate=20))
    )
    asking.start()
    try:
        docker(word, victim["Id"])
    finally:
        asking.join()
        docker(back, victim["Id"])
    assert len(found) == 400
    assert set(found) == {200}


def test_a_rollout_queries_every_model_server(served: Stack) -> None:
    program = "from services.rollout import scrape; print(*scrape.addresses())"
    assert len(set(served.within("trainer", program).split())) == 2


def test_an_upgrade_loses_no_request(served: Stack, key: str) -> None:
    """As in docs/operations.md: new servers start beside the old ones, which then stop."""
    # A paused container counts as unhealthy until its next health check.
    wait_until_healthy(served)
    before = {each["Id"] for each in served.containers("predict")}
    path = f"{served.address}/v1/models/{ADOPTED}/predict"
    request = {"json": passenger(), "headers": bearer(key)}
    stop, found = threading.Event(), []

    def asking() -> None:
        while not stop.is_set():
            found.extend(steadily(path, request, seconds=1, rate=20))

    thread = threading.Thread(target=asking)
    thread.start()
    try:
        # A changed setting replaces the containers, like a changed image.
        served.compose(*UPGRADE, "--scale", "predict=4", "predict", settings=NEWER)
        query = 'count(up{job="predict"} == 1)'
        wait_until(lambda: [each["value"][1] for each in served.query(query)] == ["4"], 120)
        docker("stop", *before, seconds=120)
        docker("rm", *before)
        served.compose(*UPGRADE, "predict", settings=NEWER)
    finally:
        stop.set()
        thread.join()
    after = {each["Id"] for each in served.containers("predict")}
    assert len(after) == 2
    assert not before & after
    assert set(found) == {200}


def test_a_backup_brings_an_emptied_stack_back(served: Stack, key: str, tmp_path: Path) -> None:
    """It contains models, keys, records and labels, and is made while the stack serves."""
    answer = predict(served, key).json()
    label = {"id": answer["id"], "label": {"survived": True}}
    response = httpx.post(f"{served.address}/v1/feedback", json=label, headers=bearer(key))
    assert response.json()["status"] == "recorded"
    archive = tmp_path / "backup.tar.gz"
    archive.write_bytes(served.compose("run", "--rm", "-T", "backup").stdout)

    refused = served.compose("run", "--rm", "-T", "restore", input=archive, check=False)
    assert refused.returncode == 1
    assert b"MLflow's database holds tables" in refused.stderr

    served.down()
    output = served.compose("run", "--rm", "-T", "restore", input=archive).stderr.decode()
    assert re.search(r"restore: the database and \d+ files of 20\d\d-", output)
    served.up()
    served.ready([ADOPTED, BOOTSTRAPPED], key)
    again = predict(served, key)
    assert again.status_code == 200
    assert again.json()["predictions"] == answer["predictions"]

    def kept() -> httpx.Response:
        return httpx.post(f"{served.address}/v1/feedback", json=label, headers=bearer(key))

    wait_until(lambda: kept().status_code == 200, 60, details=lambda: kept().text)
    assert kept().json()["status"] == "unchanged"
    assert f"in the registry already: {ADOPTED}" in served.ended("adopt")
    test_all_come_up_and_are_well(served)


def test_a_damaged_backup_restores_nothing(served: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "half.tar.gz"
    whole = served.compose("run", "--rm", "-T", "backup").stdout
    archive.write_bytes(whole[: len(whole) // 2])
    served.down()
    refused = served.compose("run", "--rm", "-T", "restore", input=archive, check=False)
    assert refused.returncode == 1
    assert b"restore: " in refused.stderr
