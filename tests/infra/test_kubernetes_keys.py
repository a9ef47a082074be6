"""A new cluster's keys grant exactly their scopes, and git contains none of them."""

import base64
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.cluster import secrets
from slipway.access.keys import Keyring
from slipway.access.scopes import Scope
from slipway.registry import signatures
from slipway.registry.signatures import NotSigned
from tests.conftest import ROOT
from tests.infra.conftest import Rendered
from tests.infra.manifests import (
    by_kind,
    container_variables,
    matches,
    named,
    pods,
    secret_keys,
)


def test_git_holds_no_key() -> None:
    for name in (secrets.KEYRING, secrets.CALLERS, secrets.DATABASE, secrets.SIGNING):
        made = f"k8s/overlays/local/secrets/{name}"
        ignored = subprocess.run(["git", "check-ignore", "--quiet", made], cwd=ROOT)
        assert ignored.returncode == 0
    tracked = subprocess.run(["git", "ls-files", "k8s"], cwd=ROOT, capture_output=True, text=True)
    assert "kustomization.yaml" in tracked.stdout
    assert "/secrets/" not in tracked.stdout


def test_the_keys_that_are_made_open_what_they_are_for(rendered: Rendered, tmp_path: Path) -> None:
    found = rendered["overlays/local"]
    held = {each["metadata"]["name"]: each["data"] for each in by_kind(found, "Secret")}
    file = tmp_path / "keys.json"
    file.write_bytes(base64.b64decode(held["slipway-keys"]["keys.json"]))
    keyring = Keyring(file)
    requested = {
        key for pod in pods(found) for name, key in secret_keys(pod) if name == "slipway-callers"
    }
    assert requested == {"TRAIN_KEY", "REGISTRY_KEY", "REGISTRY_READ_KEY"}
    wanted = {
        "METRICS_KEY": Scope.METRICS,
        "TRAIN_KEY": Scope.TRAIN,
        "REGISTRY_KEY": Scope.REGISTRY,
        "REGISTRY_READ_KEY": Scope.REGISTRY_READ,
    }
    assert held["slipway-callers"].keys() == wanted.keys() == secrets.WANTED.keys()
    for name, scope in wanted.items():
        key = keyring.authenticate(base64.b64decode(held["slipway-callers"][name]))
        assert key.scopes == (scope,)


def test_what_is_signed_with_the_key_that_is_made_is_trusted(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training has the private key, the services that run models the public one."""
    found = rendered["overlays/local"]
    held = {each["metadata"]["name"]: each["data"] for each in by_kind(found, "Secret")}
    private = tmp_path / "signing-key"
    private.write_bytes(base64.b64decode(held["slipway-signing"]["signing-key"]))
    monkeypatch.setenv(signatures.SIGNING_KEY, str(private))
    tags = {"digest": "ab" * 32, signatures.TAG: signatures.sign("titanic", "ab" * 32)}
    private.unlink()
    monkeypatch.setenv("SLIPWAY_KEYRING", str(tmp_path / "keys.json"))
    with pytest.raises(NotSigned):
        signatures.check("titanic", "1", tags)
    trusted = base64.b64decode(held["slipway-keys"]["trusted-keys"])
    (tmp_path / "trusted-keys").write_bytes(trusted)
    signatures.check("titanic", "1", tags)
    holders = {
        pod.name.split("-")[0]
        for pod in pods(found)
        if ("slipway-signing", "signing-key") in secret_keys(pod)
    }
    assert holders == {"trainer", "train"}


def test_keys_in_use_are_not_written_over(tmp_path: Path) -> None:
    files = secrets.write(tmp_path)
    kept = {file: file.read_bytes() for file in files}
    public = tmp_path / secrets.TRUSTED
    assert all(file.stat().st_mode & 0o077 == 0 for file in files if file != public)
    for file in files:
        for other in kept.keys() - {file}:
            other.unlink()
        with pytest.raises(secrets.SecretsExist, match=f"{file.name} exists: .* would be lost"):
            secrets.write(tmp_path)
        assert [each for each in files if each.exists()] == [file]
        for other, content in kept.items():
            other.write_bytes(content)


def test_the_callers_own_keyring_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.json"
    monkeypatch.setenv("SLIPWAY_KEYRING", str(own))
    secrets.write(tmp_path / "made")
    assert not own.exists()
    assert len(Keyring(tmp_path / "made" / secrets.KEYRING).valid()) == len(secrets.WANTED)
    assert os.environ["SLIPWAY_KEYRING"] == str(own)


def test_the_password_that_is_made_opens_the_database_that_is_made(rendered: Rendered) -> None:
    """The URI names the StatefulSet's Service, and the user and database that it creates."""
    found = rendered["overlays/local"]
    [secret] = [
        each for each in by_kind(found, "Secret") if each["metadata"]["name"] == "slipway-database"
    ]
    held = {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    address = urlsplit(held["uri"])
    assert address.password == held["password"]
    assert len(held["password"]) >= 32
    [pod] = [each for each in pods(found) if each.kind == "StatefulSet"]
    [container] = pod.running
    given = container_variables(pod, container, found)
    assert (address.username, address.path) == (given["POSTGRES_USER"], f"/{given['POSTGRES_DB']}")
    service = named(found, "Service", str(address.hostname))
    assert service
    assert matches(pod.labels, {"matchLabels": service["spec"]["selector"]})
    [outside], [inside] = service["spec"]["ports"], container["ports"]
    assert (outside["port"], outside["targetPort"]) == (address.port, inside["name"])
    assert inside["containerPort"] == address.port
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["exec"]["command"][-2:] == ["--username", address.username]
