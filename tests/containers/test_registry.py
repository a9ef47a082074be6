"""MLflow as its pods, on PostgreSQL with the Secret that `slipway k8s secrets` makes."""

import base64
import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.cluster import secrets
from infra.compose.running import wait_until
from infra.docker import docker
from tests.containers.docker import Container, image
from tests.infra.conftest import K8S
from tests.infra.manifests import Document, Pod, container_variables, named, pods, render

# Its own name, so that two runs on one machine do not meet.
NAME = f"slipway-registry-{os.getpid()}"
ALONE = ("--read-only", "--security-opt", "no-new-privileges", "--cap-drop", "ALL")
# The image changes to its own user by itself, since that one's number differs from build to build.
BECOMES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")

REGISTER = """
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient()
run = client.create_run(client.create_experiment("ships")).info.run_id
Path("/tmp/hull.txt").write_text("a hull")
client.log_artifact(run, "/tmp/hull.txt")
client.create_registered_model("hull")
version = client.create_model_version("hull", f"runs:/{run}/hull.txt", run)
client.set_registered_model_alias("hull", "champion", version.version)
print(run)
"""
FETCH = """
from pathlib import Path
from mlflow import MlflowClient
client = MlflowClient()
version = client.get_model_version_by_alias("hull", "champion")
print(version.run_id, Path(client.download_artifacts(version.run_id, "hull.txt")).read_text())
"""


@dataclass(frozen=True)
class Cluster:
    """A Docker network instead of a cluster, and the rendered manifests."""

    found: list[Document]
    artifacts: Path

    def pod(self, name: str) -> tuple[Pod, dict[str, Any]]:
        [pod] = [each for each in pods(self.found) if each.name == name]
        [container] = pod.running
        return pod, container

    def variables(self, name: str) -> list[str]:
        """Return the container's variables as options; those of Secrets with their values."""
        pod, container = self.pod(name)
        given = container_variables(pod, container, self.found)
        for each in container["env"]:
            if reference := each.get("valueFrom", {}).get("secretKeyRef"):
                given[each["name"]] = self.secret(reference["name"], reference["key"])
        return [f"--env={variable}={value}" for variable, value in given.items()]

    def secret(self, name: str, key: str) -> str:
        secret = named(self.found, "Secret", name)
        assert secret
        return base64.b64decode(secret["data"][key]).decode()

    def run_client(self, program: str) -> str:
        """Return what a Python program prints that has the model servers' variables for MLflow."""
        pod, container = self.pod("predict")
        address = container_variables(pod, container, self.found)["MLFLOW_TRACKING_URI"]
        own = ("--network", NAME, *ALONE, "--tmpfs", "/tmp", "--env", "HOME=/tmp")
        token = f"MLFLOW_TRACKING_TOKEN={self.secret('slipway-callers', 'REGISTRY_KEY')}"
        variables = ("--env", f"MLFLOW_TRACKING_URI={address}", "--env", token)
        args = (*variables, image("registry"), "python", "-c")
        return docker("run", "--rm", *own, *args, program, seconds=120).splitlines()[-1]

    @contextmanager
    def database(self) -> Iterator[Container]:
        _, container = self.pod("postgres")
        memory = [
            option
            for each in container["volumeMounts"]
            for option in ("--tmpfs", each["mountPath"])
        ]
        changes = [option for each in BECOMES for option in ("--cap-add", each)]
        options = (*ALONE, *changes, *memory, *self.variables("postgres"))
        with self._run("postgres", *options, container["image"]) as it:
            probe = container["readinessProbe"]["exec"]["command"]
            wait_until(lambda: it.run(*probe).returncode == 0, 90, "PostgreSQL", lambda: it.log)
            yield it

    @contextmanager
    def mlflow(self) -> Iterator[Container]:
        """Run it confined like its pod, with its command; it may not be ready yet."""
        pod, container = self.pod("mlflow")
        context = pod.spec["securityContext"]
        user = f"{context['runAsUser']}:{context['runAsGroup']}"
        folders = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        keyring = self.artifacts.with_name("keys.json")
        keyring.write_text(self.secret("slipway-keys", "keys.json"))
        mounts = (
            *(f"--volume={self.artifacts}:{folders['artifacts']}", "--tmpfs", folders["tmp"]),
            f"--volume={keyring}:{folders['keys']}/keys.json:ro",
            *("--tmpfs", f"{folders['home']}:uid=10001,gid=10001"),
        )
        [entry, *rest] = container["command"]
        options = (*ALONE, "--user", user, *mounts, "--entrypoint", entry)
        own = (*options, *self.variables("mlflow"), image("registry"), *rest)
        with self._run("mlflow", *own) as it:
            yield it

    def ready(self, it: Container) -> None:
        _, container = self.pod("mlflow")
        path = container["readinessProbe"]["httpGet"]["path"]
        port = container["ports"][0]["containerPort"]
        request = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{port}{path}')"
        wait_until(
            lambda: it.run("python", "-c", request).returncode == 0, 120, "MLflow", lambda: it.log
        )

    @contextmanager
    def _run(self, service: str, *args: str) -> Iterator[Container]:
        """Run a container under the name of its Service."""
        assert named(self.found, "Service", service)
        started = docker("run", "--detach", "--network", NAME, "--network-alias", service, *args)
        try:
            yield Container(started)
        finally:
            docker("rm", "--force", "--volumes", started)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    shutil.copytree(K8S, folder / "k8s", ignore=shutil.ignore_patterns("secrets"))
    local = folder / "k8s" / "overlays" / "local"
    secrets.write(local / "secrets")
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    # Containers write there as another user.
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)
    artifacts.chmod(0o777)
    docker("network", "create", "--internal", NAME)
    try:
        yield Cluster(render(local), artifacts)
    finally:
        docker("network", "rm", NAME)


def test_a_registered_model_outlives_the_pod_that_took_it(cluster: Cluster) -> None:
    """The new pod starts beside the old one, with the same tables and artifacts."""
    with cluster.database(), ExitStack() as new:
        with cluster.mlflow() as old:
            cluster.ready(old)
            run = cluster.run_client(REGISTER)
            cluster.ready(new.enter_context(cluster.mlflow()))
        assert cluster.run_client(FETCH) == f"{run} a hull"


def test_with_another_password_mlflow_is_refused(cluster: Cluster) -> None:
    other = copy.deepcopy(cluster.found)
    secret = named(other, "Secret", "slipway-database")
    assert secret
    uri = secrets.database_uri(secrets.drawn_password())
    secret["data"]["uri"] = base64.b64encode(uri.encode()).decode()
    with cluster.database(), Cluster(other, cluster.artifacts).mlflow() as it:
        refused = "password authentication failed"
        # MLflow tries for half a minute.
        place = secrets.database_uri("***")
        wait_until(lambda: f"mlflow: {place}" in it.log, 300, place, lambda: it.log)
        assert refused in it.log
