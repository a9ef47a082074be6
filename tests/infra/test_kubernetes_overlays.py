"""The overlays of `k8s/`: images by digest, and namespaces."""

import re
import shutil
from pathlib import Path

import pytest

from tests.infra.conftest import K8S, OVERLAYS, Rendered
from tests.infra.manifests import (
    by_kind,
    images,
    render,
)

DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


@pytest.mark.parametrize(
    ("component", "chosen"), [("media", "serving-media"), ("small", "serving")]
)
def test_production_names_images_by_digest_once_they_are_set(
    tmp_path: Path, component: str, chosen: str
) -> None:
    """Committed image references are invalid; with digests nothing else must be set."""
    copied = tmp_path / "k8s"
    shutil.copytree(K8S, copied)
    production, gpu = (copied / "overlays" / name for name in ("production", "gpu"))
    # With the optional components.
    file = production / "kustomization.yaml"
    added = "".join(f"  - ../../components/{name}\n" for name in ("stream", component))
    file.write_text(file.read_text().replace("components:\n", f"components:\n{added}"))
    names = (chosen, "serving-features", "monitor", "training", "registry", "stream")
    ours = {f"slipway/{name}" for name in names}
    unset = images(render(production))
    assert {name.rpartition("@")[0].removeprefix("registry.invalid/") for name in unset} == ours
    assert not any(DIGEST.fullmatch(name) for name in unset)
    for overlay in (production, gpu):
        file = overlay / "kustomization.yaml"
        file.write_text(file.read_text().replace("sha256:set-me", f"sha256:{'a' * 64}"))
        found = [name for name in images(render(overlay)) if "slipway" in name]
        assert all(DIGEST.fullmatch(name) for name in found)
        assert len(found) == len(ours)


@pytest.mark.parametrize("place", OVERLAYS)
def test_an_overlay_has_a_namespace_that_refuses_other_pods(rendered: Rendered, place: str) -> None:
    found = rendered[place]
    [namespace] = by_kind(found, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    rest = [each for each in found if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in rest} == {namespace["metadata"]["name"]}


def test_the_base_names_no_namespace(rendered: Rendered) -> None:
    assert not any("namespace" in each["metadata"] for each in rendered["base"])
