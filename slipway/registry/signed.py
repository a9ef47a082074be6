"""Registration with a signature, which the services require."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.registry import promotions, registered, signatures, tracking
from slipway.registry import register as unsigned
from slipway.registry.registered import NotRegistered
from slipway.training.workspace import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def register(work: Workspace) -> None:
    """Register the outputs of `fit` and `evaluate`, and sign the version.

    The signature is added here and not by the stage, since it is none of the stage's outputs:
    another key makes no stage stale. The champion is verified first, since the promotion rule runs
    its code.

    Raises:
        GateNotMet: the run is logged, but no version is created.
        NotSigned: the champion is not signed by a trusted key.
        DigestMismatch: the champion was changed after it was registered.
        KeyFault: the signing key is missing or unreadable.
    """
    name, registry = work.project.name, tracking.client()
    _sign_earlier(work, registry)
    with suppress(NotRegistered), tempfile.TemporaryDirectory(prefix="slipway-") as scratch:
        registered.fetch(name, None, Path(scratch))
    unsigned.register(work)
    digest = json.loads(work.receipt.read_text())["digest"]
    signatures.sign_version(registry, tracking.version_with(registry, name, digest))


def _sign_earlier(work: Workspace, registry: "MlflowClient") -> None:
    """Sign a champion of a release that signed none, if our receipt or log has its digest."""
    champion = tracking.version_of(registry, work.project.name, tracking.CHAMPION)
    if champion is None or signatures.TAG in champion.tags:
        return
    ours = {entry["evidence"].get("digest") for entry in promotions.history(work.project.name)}
    if work.receipt.is_file():
        ours.add(json.loads(work.receipt.read_text())["digest"])
    if champion.tags.get("digest") in ours:
        signatures.sign_version(registry, champion)
