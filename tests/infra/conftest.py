"""What several tests here share: every kustomization rendered, and the services running, once."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from slipway.cluster import secrets
from tests.conftest import ROOT
from tests.infra import live
from tests.infra.manifests import Document, render

K8S = ROOT / "k8s"
OVERLAYS = sorted(f"overlays/{each.name}" for each in (K8S / "overlays").iterdir())
COMPONENTS = sorted(f"components/{each.name}" for each in (K8S / "components").iterdir())
PLACES = ["base", *OVERLAYS, *COMPONENTS]
Rendered = dict[str, list[Document]]
everywhere = pytest.mark.parametrize("place", PLACES)


@pytest.fixture(scope="session")
def k8s(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `k8s/` with the keys that an operator makes first."""
    folder = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(K8S, folder, ignore=shutil.ignore_patterns("secrets"))
    secrets.write(folder / "overlays" / "local" / "secrets")
    return folder


@pytest.fixture(scope="session")
def rendered(k8s: Path) -> Rendered:
    """What each gives; a component is put on the base."""
    found = {}
    for place in PLACES:
        folder = k8s / place
        if place in COMPONENTS:
            folder = k8s / "tried" / Path(place).name
            folder.mkdir(parents=True)
            tried = {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [os.path.relpath(k8s / "base", folder)],
                "components": [os.path.relpath(k8s / place, folder)],
            }
            (folder / "kustomization.yaml").write_text(yaml.safe_dump(tried))
        found[place] = render(folder)
    return found


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[live.Services]:
    """Starting all four takes over a minute."""
    with live.services(tmp_path_factory.mktemp("live")) as running:
        yield running
