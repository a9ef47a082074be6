"""A model registry in a file, with both models as champions."""

from benchmarks import work
from benchmarks.media.subject import PICTURES, WRITER, MediaSubject
from slipway import home
from slipway.registry import signatures, tracking
from slipway.registry.digest import digest


def register(subject: MediaSubject) -> str:
    """Register both models in an empty registry; return its address."""
    home.silence_telemetry()
    from mlflow import MlflowClient

    file = work.folder() / "media" / "mlflow.db"
    file.unlink(missing_ok=True)
    address = f"sqlite:///{file}"
    client = MlflowClient(address, address)
    for name, shipped in ((PICTURES, subject.pictures), (WRITER, subject.writer)):
        client.create_registered_model(name)
        found = digest(shipped.parts)
        tags = {"digest": found, signatures.TAG: signatures.sign(name, found)}
        version = client.create_model_version(name, str(shipped.folder), tags=tags)
        client.set_registered_model_alias(name, tracking.CHAMPION, version.version)
    return address
