"""MLflow's server behind keys: who may read, who may write, and what a log shows."""

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from services.mlflow.admission import is_read, with_basic_as_bearer
from slipway import home
from slipway.access import keys
from slipway.registry import aliases
from slipway.registry.http_reader import HttpReader, RegistryRefused
from tests.browser import Browser
from tests.conftest import ROOT, running
from tests.waiting import until

API = "/api/2.0/mlflow"
SEARCH = f"{API}/registered-models/search"


@dataclass
class Running:
    """A server with an empty database, and the text of a key for each set of scopes."""

    folder: Path
    address: str
    process: Any
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def request(self, method: str, path: str, *, key: str = "", **options: Any) -> httpx.Response:
        headers = options.pop("headers", {})
        if key:
            headers = {**headers, "Authorization": f"Bearer {self.keys[key]}"}
        return httpx.request(
            method, self.address + path, headers=headers, timeout=30, **options
        )  # fmt: skip

    def client(self, patch: pytest.MonkeyPatch, key: str) -> MlflowClient:
        patch.setenv("MLFLOW_TRACKING_TOKEN", self.keys[key])
        return MlflowClient(self.address, self.address)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("mlflow")
    port = home.free_port()
    env = {"SLIPWAY_HOME": str(folder), "SLIPWAY_MLFLOW_PORT": str(port)}
    made = {
        name: keys.create(name, [name], file=folder / "keys.json")[1]
        for name in ("registry", "registry-read", "predict", "admin")
    }
    address = f"http://{home.LOOPBACK}:{port}"
    command = (sys.executable, "-m", "services.mlflow")
    log = folder / "log"
    with running(*command, env=env, log=log, ready=f"{address}/health") as process:
        yield Running(folder, address, process, made)


def test_it_is_one_process(server: Running) -> None:
    assert not psutil.Process(server.process.pid).children(recursive=True)


@pytest.mark.parametrize("path", ["/", SEARCH, "/version-of-nothing", "/ajax" + SEARCH[1:]])
def test_without_a_key_nothing_but_probes_is_answered(server: Running, path: str) -> None:
    refused = server.request("GET", path)
    assert refused.status_code == 401
    # The second makes browsers show their dialog.
    bearer, basic = refused.headers.get_list("www-authenticate")
    assert bearer == "Bearer"
    assert basic.startswith('Basic realm="MLflow')
    assert server.request("GET", "/health").text == "OK"


@pytest.mark.parametrize("key", ["predict", "admin"])
def test_a_key_of_another_scope_is_refused(server: Running, key: str) -> None:
    refused = server.request("GET", SEARCH, key=key)
    assert refused.status_code == 403
    assert "lacks the scope registry-read" in refused.json()["detail"]


def test_a_reader_reads_and_does_not_write(server: Running) -> None:
    assert server.request("GET", SEARCH, key="registry-read").status_code == 200
    asked = {"max_results": 1}
    found = server.request("POST", f"{API}/experiments/search", key="registry-read", json=asked)
    assert found.status_code == 200
    body = {"name": "written by a reader"}
    refused = server.request(
        "POST", f"{API}/registered-models/create", key="registry-read", json=body
    )
    assert refused.status_code == 403
    upload = "/api/2.0/mlflow-artifacts/artifacts/mine.txt"
    assert server.request("PUT", upload, key="registry-read", content=b"x").status_code == 403
    assert not list(server.folder.rglob("mine.txt"))


def test_a_writer_registers_with_mlflows_client_and_a_reader_reads_it(
    server: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = server.client(monkeypatch, "registry")
    run = client.create_run(client.create_experiment("behind keys"))
    note = tmp_path / "note.txt"
    note.write_text("a hull")
    client.log_artifact(run.info.run_id, str(note), "model")
    client.create_registered_model("hull", tags={"owner": "ada"})
    client.create_model_version("hull", f"{run.info.artifact_uri}/model", run.info.run_id)
    client.set_registered_model_alias("hull", "champion", "1")

    reading = server.client(monkeypatch, "registry-read")
    assert reading.get_model_version_by_alias("hull", "champion").version == "1"
    assert [each.info.run_id for each in reading.search_runs([run.info.experiment_id])]
    with pytest.raises(MlflowException, match="lacks the scope registry"):
        reading.delete_registered_model("hull")

    reader = HttpReader(server.address)
    assert {each.name: each.aliases for each in reader.models()}["hull"] == {"champion": "1"}
    folder = reader.download_model("hull", "1", tmp_path / "copy")
    assert (folder / "note.txt").read_text() == "a hull"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    assert aliases.registered_model("hull").tags == {"owner": "ada"}
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    with pytest.raises(RegistryRefused, match="401"):
        list(HttpReader(server.address).models())


def test_what_changes_the_registry_is_logged_with_its_caller(server: Running) -> None:
    path = f"{API}/registered-models/create"
    assert server.request("POST", path, key="registry", json={"name": "noted"}).status_code == 200
    line = next(each for each in server.log.splitlines() if f"POST {path}: 200" in each)
    key = server.keys["registry"]
    assert f"key {key[4:12]} (registry)" in line
    assert not [text for text in server.keys.values() if text[13:] in server.log]


def test_browsers_send_the_key_as_a_password(server: Running) -> None:
    def status(user: str, password: str) -> int:
        return httpx.get(server.address + SEARCH, auth=(user, password)).status_code

    assert status("me", server.keys["registry"]) == 200
    assert status("", server.keys["registry-read"]) == 200
    assert status(server.keys["registry"], "") == 401
    for damaged in ("Basic", "Basic !!!", "Basic " + b64encode(b"no colon").decode()):
        asked = server.request("GET", SEARCH, headers={"Authorization": damaged})
        assert asked.status_code == 401


def test_mlflows_pages_work_in_a_browser_that_signed_in(server: Running, browser: Browser) -> None:
    body = {"name": "seen in a browser"}
    server.request("POST", f"{API}/registered-models/create", key="registry", json=body)
    with browser.tab() as tab:
        tab.open(f"{server.address}/#/models")
        assert "API key needed" in tab.text()
        # As if typed into the dialog. A page whose own address has a key may fetch nothing.
        tab.open(server.address.replace("://", f"://me:{server.keys['registry']}@"))
        tab.open(f"{server.address}/#/models")
        until(lambda: body["name"] in tab.text(), tab.text)


def test_a_page_elsewhere_changes_nothing_with_a_browsers_password(server: Running) -> None:
    path, body = f"{API}/registered-models/create", {"name": "forged"}
    page = {"Origin": "http://evil.example"}
    asked = server.request("POST", path, key="registry", json=body, headers=page)
    assert asked.status_code == 403
    host = {"Host": "evil.example"}
    assert server.request("GET", SEARCH, key="registry", headers=host).status_code == 421
    assert "forged" not in server.request("GET", SEARCH, key="registry").text


def test_a_revoked_key_ends_within_a_second(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_KEYRING", str(server.folder / "keys.json"))
    key, server.keys["leaver"] = keys.create("leaver", ["registry"])
    until(lambda: server.request("GET", SEARCH, key="leaver").status_code == 200)
    keys.revoke(key.id)
    until(lambda: server.request("GET", SEARCH, key="leaver").status_code == 401)


def test_a_large_body_is_refused_and_a_large_file_is_stored(server: Running) -> None:
    large = b"x" * (64 * 2**20 + 1)
    path = f"{API}/registered-models/create"
    assert server.request("POST", path, key="registry", content=large).status_code == 413
    upload = "/api/2.0/mlflow-artifacts/artifacts/large.bin"
    assert server.request("PUT", upload, key="registry", content=large).status_code == 200
    [stored] = server.folder.rglob("large.bin")
    assert stored.stat().st_size == len(large)
    stored.unlink()


@pytest.mark.parametrize(
    ("method", "path", "reads"),
    [
        ("GET", f"{API}/runs/get", True),
        ("POST", f"{API}/runs/search", True),
        ("POST", "/ajax-api/3.0/mlflow/traces/search", True),
        ("POST", f"{API}/runs/search/../create", False),
        ("POST", f"{API}/runs/create", False),
        ("POST", "/graphql", False),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/search", False),
        ("DELETE", f"{API}/registered-models/alias", False),
    ],
)
def test_what_counts_as_reading(method: str, path: str, reads: bool) -> None:
    assert is_read(method, path) is reads


def test_other_ways_to_send_a_key_are_left_as_they_are() -> None:
    for headers in ({}, {b"authorization": b"Bearer abc"}, {b"x-api-key": b"abc"}):
        assert with_basic_as_bearer(headers) == headers


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("postgresql://mlflow:hidden@127.0.0.1:1/mlflow", "postgresql://mlflow:***@127.0.0.1:1/"),
        ("sqlite:////proc/mlflow.db", "sqlite:////proc/mlflow.db"),
    ],
)
def test_an_unusable_database_is_named_without_its_password(
    tmp_path: Path, uri: str, reason: str
) -> None:
    env = {"SLIPWAY_HOME": str(tmp_path), "MLFLOW_BACKEND_STORE_URI": uri, "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "services.mlflow"],
        cwd=ROOT,
        env={**env, "SLIPWAY_MLFLOW_PORT": str(home.free_port())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()
    assert any(line.startswith(f"mlflow: {reason}") for line in last), done.stderr[-3000:]
    assert "hidden" not in done.stderr
