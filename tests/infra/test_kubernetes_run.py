"""The parts of `k8s/` that run without a cluster: processes like in pods, changing keys."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.cluster import secrets
from infra.compose.running import wait_until
from slipway import home
from slipway.access import keys
from slipway.home import free_port
from slipway.predictions import feedback_store
from tests.conftest import ROOT, copy_checkout, running
from tests.infra.conftest import Rendered, where
from tests.infra.manifests import SETTINGS, Document, Pod, container_variables, pods, service_of
from tests.test_newcomer import shell_blocks

# The change of these files runs the tests; see tests/by_change.py.
CONCERNS = ("k8s/*", "infra/cluster/*", "services/with_secrets.py")

LAY_OUT = "infra.cluster.lay_out"


def pod_of(found: list[Document], service: str) -> tuple[Pod, dict[str, Any]]:
    [found_pod] = [pod for pod in pods(found) if pod.name == service and pod.kind == "Deployment"]
    [container] = [each for each in found_pod.running if service_of(each) == service]
    return found_pod, container


def moved(words: list[str], places: dict[str, Path]) -> list[str]:
    """Return a pod's command with its folders replaced by writable ones."""
    for pod_place, place in places.items():
        words = [word.replace(pod_place, str(place)) for word in words]
    return [sys.executable if word == "python" else word for word in words]


class Mounted:
    """A Secret as the kubelet mounts it: links to a folder that is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        folder.mkdir(parents=True)
        (folder / "keys.json").symlink_to("..data/keys.json")

    def change(self, content: bytes) -> None:
        self.number += 1
        own = self.folder / f"..{self.number}"
        own.mkdir()
        (own / "keys.json").write_bytes(content)
        (self.folder / "..new").symlink_to(own.name)
        (self.folder / "..new").rename(self.folder / "..data")


def _callers(folder: Path) -> dict[str, bytes]:
    lines = (folder / "callers.env").read_text().splitlines()
    return {name: text.encode() for name, _, text in (line.partition("=") for line in lines)}


@contextmanager
def as_its_pod(
    found: list[Document], service: str, folder: Path, mounted: Mounted
) -> Iterator[tuple[dict[str, Any], str]]:
    """Return the container's command and address, with a folder as home and a free port."""
    pod, container = pod_of(found, service)
    own_home, port = folder / "home", free_port()
    [place] = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "keys"]
    given = {
        name: value for name, value in container_variables(pod, container, found).items() if value
    }
    env = {
        **given,
        "HOME": str(folder),
        "SLIPWAY_HOME": str(own_home),
        "SLIPWAY_KEYRING": given["SLIPWAY_KEYRING"].replace(place, str(mounted.folder)),
        "SLIPWAY_CACHE": str(folder / "cache"),
        f"SLIPWAY_{service.upper()}_PORT": str(port),
        # Nothing listens there: the process must not wait for it.
        "MLFLOW_TRACKING_URI": f"http://{home.LOOPBACK}:{free_port()}",
        "SLIPWAY_MONITOR_WEBHOOK_KEY": "",
    }
    command = moved(container["command"], {})
    address = f"http://{home.LOOPBACK}:{port}"
    ready = address + container["startupProbe"]["httpGet"]["path"]
    with running(*command, env=env, log=folder / "log", ready=ready):
        yield container, address


# MLflow, which has no metrics, has a test of its own.
@pytest.mark.parametrize("service", sorted(SETTINGS.keys() - {"mlflow"}))
def test_a_service_started_like_its_pod_passes_probes_and_requires_a_key(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    made, mounted = tmp_path / "made", Mounted(tmp_path / "mount")
    secrets.write(made)
    callers = _callers(made)
    mounted.change((made / "keys.json").read_bytes())
    with (
        as_its_pod(where(rendered, service), service, tmp_path, mounted) as (container, address),
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        assert client.get(container["livenessProbe"]["httpGet"]["path"]).status_code == 200
        # Without a registry the model server has no model: live, and not ready. The
        # monitor is not ready until its first request, whatever the response.
        ready = client.get(container["readinessProbe"]["httpGet"]["path"]).status_code
        # The stream is not ready either, since it has no broker configured yet.
        wanted = {"predict": {503}, "monitor": {200, 503}, "stream": {503}}
        assert ready in wanted.get(service, {200})
        assert client.get("/metrics").status_code == 401
        for name, status in (("METRICS_KEY", 200), ("TRAIN_KEY", 403)):
            headers = {b"Authorization": b"Bearer " + callers[name]}
            assert client.get("/metrics", headers=headers).status_code == status
        if service == "trainer":
            alerts = {"version": "4", "alerts": []}
            assert client.post("/v1/alerts", json=alerts).status_code == 401
            headers = {b"Authorization": b"Bearer " + callers["TRAIN_KEY"]}
            answer = client.post("/v1/alerts", json=alerts, headers=headers)
            assert answer.status_code not in (401, 403)
        monkeypatch.setenv("SLIPWAY_KEYRING", str(made / "keys.json"))
        old = callers["METRICS_KEY"]
        _, new = keys.rotate(old[4:12].decode(), grace_seconds=0)

        def status(key: bytes) -> int:
            headers = {b"Authorization": b"Bearer " + key}
            return client.get("/metrics", headers=headers).status_code

        assert status(new.encode()) == 401
        # A changed Secret reaches the running server when the kubelet replaces it.
        mounted.change((made / "keys.json").read_bytes())
        wait_until(lambda: status(new.encode()) == 200, 60, "the new key opens")
        assert status(old) == 401


@pytest.mark.parametrize("service", SETTINGS)
def test_without_keys_a_service_does_not_start(
    rendered: Rendered, tmp_path: Path, service: str
) -> None:
    mounted = Mounted(tmp_path / "mount")
    mounted.change(b'{"keys": []}')
    with (
        pytest.raises(AssertionError, match="slipway keys create"),
        as_its_pod(where(rendered, service), service, tmp_path, mounted),
    ):
        pass


def test_labels_are_not_written_where_a_mount_covers_their_file(tmp_path: Path) -> None:
    """In model servers on other nodes an empty read-only file covers it."""
    file = tmp_path / feedback_store.FILE
    file.touch()
    file.chmod(0o444)
    code = (
        "import sys, pathlib; from slipway.predictions.feedback_store import FeedbackStore; "
        "FeedbackStore(pathlib.Path(sys.argv[1]))"
    )
    # Root could still write without dropping this capability.
    less = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    command = [*(less if os.geteuid() == 0 else []), sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "attempt to write a readonly database" in done.stderr
    assert [each.name for each in tmp_path.iterdir()] == [feedback_store.FILE]
    assert file.stat().st_size == 0


def test_mlflow_started_like_its_pod_serves_its_service_name_only(
    rendered: Rendered, tmp_path: Path
) -> None:
    pod, container = pod_of(rendered["base"], "mlflow")
    port = free_port()
    given = container_variables(pod, container, rendered["base"])
    files = str(given["MLFLOW_ARTIFACTS_DESTINATION"])
    moves = {
        "MLFLOW_ARTIFACTS_DESTINATION": files.replace("/mlflow", str(tmp_path)),
        "SLIPWAY_MLFLOW_HOST": home.LOOPBACK,
        "SLIPWAY_MLFLOW_PORT": str(port),
        "SLIPWAY_KEYRING": str(tmp_path / "secrets" / "keys.json"),
        "HOME": str(tmp_path),
    }
    assert given["SLIPWAY_MLFLOW_HOSTS"] == "mlflow"
    secrets.write(tmp_path / "secrets")
    callers = (tmp_path / "secrets" / "callers.env").read_text().splitlines()
    keys = dict(line.split("=", 1) for line in callers)
    # PostgreSQL's client is only in the image: tests/containers covers it.
    assert given["MLFLOW_BACKEND_STORE_URI"] is None
    database = {"MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    env = {name: value or "" for name, value in given.items()} | database | moves
    address = f"http://{home.LOOPBACK}:{port}"
    command = moved(container["command"], {})
    ready = address + container["startupProbe"]["httpGet"]["path"]
    with running(*command, env=env, log=tmp_path / "log", ready=ready):

        def status(path: str, host: str, key: str = "") -> int:
            headers = {"Host": host, **({"X-API-Key": keys[key]} if key else {})}
            return httpx.get(address + path, headers=headers, timeout=30).status_code

        # The kubelet's Host header is the pod's address.
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert status(container[probe]["httpGet"]["path"], "10.1.2.3:5000") == 200
        search = "/api/2.0/mlflow/registered-models/search?max_results=1"
        [uri] = [
            container_variables(pod, each, rendered["base"])["MLFLOW_TRACKING_URI"]
            for pod, each in [pod_of(rendered["base"], "predict")]
        ]
        own = str(uri).removeprefix("http://")
        assert status(search, own) == 401
        assert status(search, own, "TRAIN_KEY") == 403
        assert status(search, own, "REGISTRY_READ_KEY") == 200
        assert status(search, "evil.example", "REGISTRY_KEY") == 421
    assert (tmp_path / "mlflow.db").is_file()


def test_the_repository_is_copied_and_updated(tmp_path: Path) -> None:
    """Runs the init container's script: training works there, and a newer image updates it."""
    folder, own_home, image = tmp_path / "repository", tmp_path / "home", tmp_path / "image"
    _image(image)
    env = {**os.environ, "SLIPWAY_HOME": str(own_home), "HOME": str(tmp_path)}

    def lay_out() -> str:
        command = [sys.executable, "-m", LAY_OUT, folder]
        subprocess.run(command, cwd=image, env={**env, "PYTHONPATH": str(image)}, check=True)
        words = ["git", "-C", folder, "log", "--oneline"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    assert len(lay_out().splitlines()) == 1
    trained = folder / "pipelines" / "ml" / "titanic" / "work" / "model.onnx"
    trained.parent.mkdir(parents=True)
    trained.write_text("trained")
    (image / "pipelines" / "ml" / "titanic" / "train.py").write_text("# newer\n")
    (image / "slipway" / "stage_events.py").unlink()
    assert len(lay_out().splitlines()) == 2
    assert (folder / "pipelines" / "ml" / "titanic" / "train.py").read_text() == "# newer\n"
    assert not (folder / "slipway" / "stage_events.py").exists()
    assert trained.read_text() == "trained"
    status = ["git", "-C", folder, "status", "--porcelain"]
    assert subprocess.run(status, capture_output=True, text=True, check=True).stdout == ""
    dvc = [sys.executable, "-m", "dvc", "cache", "dir"]
    found = subprocess.run(dvc, cwd=folder, env=env, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == own_home / "dvc"


def _image(folder: Path) -> None:
    """Copy the repository as in an image: the tracked files without git."""
    copy_checkout(folder, ".dvc", ".gitignore", "pipelines", "slipway", "pyproject.toml")


def test_the_repository_is_not_copied_onto_itself(tmp_path: Path) -> None:
    _image(tmp_path)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", LAY_OUT, tmp_path]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is the source itself" in done.stderr


def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    """The README's commands run in a checkout without a cluster."""
    copy_checkout(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path)}
    commands = [
        command
        for block in shell_blocks(ROOT / "k8s" / "README.md")
        for command in block.strip().splitlines()
    ]
    assert len(commands) >= 5
    for command in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (command, done.stdout[-500:] + done.stderr)
    made = json.loads((tmp_path / "k8s/overlays/local/secrets/keys.json").read_text())
    assert len(made["keys"]) == len(secrets.WANTED) + 1
