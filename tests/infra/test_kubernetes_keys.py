"""The keys that a cluster begins with open what they are for, and git holds none."""

import base64
import subprocess
from pathlib import Path

import pytest

from slipway.access.keys import Keyring
from slipway.access.scopes import Scope
from slipway.cluster import secrets
from tests.conftest import ROOT
from tests.infra.conftest import Rendered
from tests.infra.manifests import (
    of_kind,
    pods,
    secret_keys,
)


def test_git_holds_no_key() -> None:
    made = "k8s/overlays/local/secrets/callers.env"
    ignored = subprocess.run(["git", "check-ignore", "--quiet", made], cwd=ROOT)
    assert ignored.returncode == 0
    told = subprocess.run(["git", "ls-files", "k8s"], cwd=ROOT, capture_output=True, text=True)
    assert "kustomization.yaml" in told.stdout
    assert "/secrets/" not in told.stdout


def test_the_keys_that_are_made_open_what_they_are_for(rendered: Rendered, tmp_path: Path) -> None:
    found = rendered["overlays/local"]
    held = {each["metadata"]["name"]: each["data"] for each in of_kind(found, "Secret")}
    file = tmp_path / "keys.json"
    file.write_bytes(base64.b64decode(held["slipway-keys"]["keys.json"]))
    keyring = Keyring(file)
    asked = {
        key for pod in pods(found) for name, key in secret_keys(pod) if name == "slipway-callers"
    }
    assert asked == {"TRAIN_KEY"}
    wanted = {"METRICS_KEY": Scope.METRICS, "TRAIN_KEY": Scope.TRAIN}
    assert held["slipway-callers"].keys() == wanted.keys() == secrets.WANTED.keys()
    for name, scope in wanted.items():
        key = keyring.authenticate(base64.b64decode(held["slipway-callers"][name]))
        assert key.scopes == (scope,)


def test_keys_in_use_are_not_written_over(tmp_path: Path) -> None:
    secrets.write(tmp_path)
    kept = (tmp_path / secrets.KEYRING).read_bytes()
    assert (tmp_path / secrets.CALLERS).stat().st_mode & 0o077 == 0
    with pytest.raises(secrets.SecretsExist, match="would be lost"):
        secrets.write(tmp_path)
    assert (tmp_path / secrets.KEYRING).read_bytes() == kept
