"""Reading the registry by plain requests gives what MLflow's client gives."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from mlflow import MlflowClient

from slipway.home import free_port
from slipway.registry import http_reader, readers, reading
from slipway.registry.http_reader import HttpReader, RegistryRefused, RegistryUnreachable
from tests.conftest import ROOT, mlflow_server
from tests.services.fake_models import ModelRegistryFixture, echo


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two models: files of the first are behind it, of the second in a folder."""
    folder = tmp_path_factory.mktemp("registry")
    registry = ModelRegistryFixture(folder)
    registry.add("folder", echo("folder"))
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("MLFLOW_ARTIFACTS_DESTINATION", (folder / "artifacts").as_uri())
        address = stack.enter_context(mlflow_server(registry.uri, folder / "mlflow.log"))
        client = MlflowClient(address, address)
        run = client.create_run(client.create_experiment("behind"))
        entry = Path(registry.artifact("folder", "1")) / "model.py"
        client.log_artifact(run.info.run_id, str(entry), "model")
        note = folder / "a note 1.txt"
        note.write_text("100 % sure")
        client.log_artifact(run.info.run_id, str(note), "model/deep/er")
        client.create_registered_model("behind", tags={"policy": "{}"})
        source = f"{run.info.artifact_uri}/model"
        client.create_model_version("behind", source, run.info.run_id, tags={"digest": "12"})
        client.set_registered_model_alias("behind", "champion", "1")
        client.set_registered_model_alias("behind", "shadow", "1")
        yield address


@pytest.fixture
def by_mlflow(address: str, monkeypatch: pytest.MonkeyPatch) -> reading.Reader:
    """The reader for addresses that need MLflow's client, at the same address."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "")
    monkeypatch.setattr(readers, "reads_by_http", lambda _: False)
    return readers.reader()


def files(folder: Path) -> dict[str, str]:
    return {
        str(each.relative_to(folder)): each.read_text()
        for each in folder.rglob("*")
        # MLflow's client notes there which version it fetched.
        if each.is_file() and each.name != "registered_model_meta"
    }


def test_models_and_versions_are_those_of_mlflow(address: str, by_mlflow: reading.Reader) -> None:
    by_http = HttpReader(address)
    found = sorted(by_http.models(), key=lambda each: each.name)
    assert [each.name for each in found] == ["behind", "folder"]
    assert found == sorted(by_mlflow.models(), key=lambda each: each.name)
    assert found[0].aliases == {"champion": "1", "shadow": "1"}
    assert found[0].tags == {"policy": "{}"}
    for name in ("behind", "folder"):
        assert by_http.version(name, "1") == by_mlflow.version(name, "1")
    assert by_http.version("folder", "1").run_id == ""


def test_every_page_of_models_is_read(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reader, "PAGE", 1)
    assert sorted(each.name for each in HttpReader(address).models()) == ["behind", "folder"]


@pytest.mark.parametrize("name", ["behind", "folder"])
def test_files_are_those_of_mlflow(
    address: str, by_mlflow: reading.Reader, name: str, tmp_path: Path
) -> None:
    for side in ("http", "mlflow"):
        (tmp_path / side).mkdir()
    by_http = HttpReader(address)
    found = files(by_http.download_model(name, "1", tmp_path / "http"))
    assert found
    assert found == files(by_mlflow.download_model(name, "1", tmp_path / "mlflow"))
    one = by_http.download_model(name, "1", tmp_path / "http", "model.py")
    assert one.read_text() == found["model.py"]


def test_a_file_of_a_run_is_read(address: str, tmp_path: Path) -> None:
    by_http = HttpReader(address)
    run_id = by_http.version("behind", "1").run_id
    found = by_http.download_run(run_id, tmp_path, "model/deep/er/a note 1.txt")
    assert found.read_text() == "100 % sure"


def test_what_is_missing_is_refused_with_the_reason(address: str, tmp_path: Path) -> None:
    by_http = HttpReader(address)
    with pytest.raises(RegistryRefused, match="RESOURCE_DOES_NOT_EXIST: .*absent"):
        by_http.version("absent", "1")
    for name in ("behind", "folder"):
        with pytest.raises(RegistryRefused):
            by_http.download_model(name, "1", tmp_path, "absent.py")


def test_an_unreachable_server_is_named() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(RegistryUnreachable, match=f"{address}: ConnectionRefusedError"):
        list(HttpReader(address).models())


class ScriptedServer:
    """An HTTP server that sends the given responses in turn, and keeps the requests' headers."""

    def __init__(self, *responses: tuple[int, Any]) -> None:
        left, headers = list(responses), []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers.append(self.headers)
                status, content = left.pop(0)
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.headers = headers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ScriptedServer":
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize("name", ["..", "", "../../escaped", "/etc/escaped"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    listing = {"files": [{"path": name, "is_dir": False}]}
    source = {"artifact_uri": "mlflow-artifacts:/1/models"}
    with (
        ScriptedServer((200, source), (200, listing)) as server,
        pytest.raises(RegistryRefused, match="holds a file with the name"),
    ):
        HttpReader(server.address).download_model("any", "1", tmp_path / "copy")


def test_a_failing_server_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_reader, "PAUSES", (0.0, 0.0))
    with ScriptedServer((503, {}), (500, {}), (200, {})) as server:
        assert list(HttpReader(server.address).models()) == []
    with (
        ScriptedServer((503, {}), (503, {}), (503, {})) as server,
        pytest.raises(RegistryUnreachable, match="503"),
    ):
        list(HttpReader(server.address).models())


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, None),
        ({"USERNAME": "ada", "PASSWORD": "secret"}, "Basic YWRhOnNlY3JldA=="),
        ({"TOKEN": "abc"}, "Bearer abc"),
    ],
)
def test_credentials_are_sent(
    given: dict[str, str], sent: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with ScriptedServer((200, {})) as server:
        list(HttpReader(server.address).models())
        assert [each["Authorization"] for each in server.headers] == [sent]


@pytest.mark.parametrize(
    ("address", "variables", "enough"),
    [
        ("http://127.0.0.1:5000", {}, True),
        ("http://mlflow:5000", {"MLFLOW_TRACKING_TOKEN": "abc"}, True),
        ("https://mlflow.example", {}, False),
        ("http://ada:secret@mlflow:5000", {}, False),
        ("sqlite:///mlflow.db", {}, False),
        ("databricks", {}, False),
        ("http://mlflow:5000", {"MLFLOW_TRACKING_AUTH": "plugin"}, False),
        ("http://mlflow:5000", {"MLFLOW_WORKSPACE": "team"}, False),
    ],
)
def test_other_registries_go_through_mlflow(
    address: str, variables: dict[str, str], enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert readers.reads_by_http(address) is enough


def test_a_credentials_file_goes_through_mlflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert readers.reads_by_http("http://mlflow:5000")
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").touch()
    assert not readers.reads_by_http("http://mlflow:5000")


def test_reading_imports_neither_mlflow_nor_pandas(address: str) -> None:
    """They take 1.2 s and 115 MiB in each process that watches the registry."""
    code = (
        "import sys; from slipway.registry.http_reader import HttpReader; "
        f"list(HttpReader({address!r}).models()); "
        "print(sorted({'mlflow', 'pandas', 'requests', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
