"""Shared fixtures: every kustomization rendered, the running services, a repository to change."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.cluster import secrets
from tests.conftest import ROOT
from tests.infra import live
from tests.infra.manifests import Document, render, servers
from tests.slipway.checkout import commit_checkout, restore

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
    """The rendered documents of each; a component is put on the base."""
    return {
        place: with_components(k8s, place) if place in COMPONENTS else render(k8s / place)
        for place in PLACES
    }


def with_components(k8s: Path, *components: str) -> list[Document]:
    """The base with components put on it."""
    folder = Path(tempfile.mkdtemp(dir=k8s))
    tried = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(k8s / "base", folder)],
        "components": [os.path.relpath(k8s / each, folder) for each in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(tried))
    return render(folder)


def where(rendered: Rendered, service: str) -> list[Document]:
    """The base, or the first component that brings the service."""
    return next(
        rendered[place]
        for place in ("base", *COMPONENTS)
        if service in {name for name, _, _ in servers(rendered[place])}
    )


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[live.Services]:
    """Starting all of them takes over a minute."""
    with live.services(tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this checkout's files as one commit on main."""
    return commit_checkout(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def root(committed: Path) -> Iterator[Path]:
    """The committed repository, restored after each test."""
    yield committed
    restore(committed)
