"""An MLflow server with the model as champion, which Slipway's server follows."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import server, work
from benchmarks.rival import NotRun
from benchmarks.subject import MODEL, Subject
from slipway import home
from slipway.registry import signatures, tracking
from slipway.registry.digest import digest

NAME = "cancer"


@contextmanager
def registry(subject: Subject) -> Iterator[str]:
    """Start the registry on the generator's core, register the model, and yield the address.

    Raises:
        NotRun: it does not start, or rejects the model.
    """
    from mlflow.exceptions import MlflowException

    folder = work.folder() / "registry"
    port = home.free_port()
    address = f"http://{home.LOOPBACK}:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", (folder / "artifacts").as_uri()),
        *("--workers", "1", "--host", home.LOOPBACK, "--port", str(port)),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with server.running(
        "registry",
        command,
        port=port,
        ready="/health",
        environment={"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        core=server.GENERATOR_CORE,
    ):
        try:
            register(subject, address)
        except MlflowException as error:
            raise NotRun(f"not registered: {error}") from error
        yield address


def empty() -> None:
    """Delete the models of earlier benchmarks."""
    shutil.rmtree(work.folder() / "registry", ignore_errors=True)


def register(subject: Subject, address: str) -> None:
    """Register the model as champion, like `slipway.registry.register`; idempotent."""
    import mlflow

    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    client = mlflow.MlflowClient()
    shipped = digest(subject.shipped.parts)
    if tracking.version_with(client, NAME, shipped):
        return
    mlflow.set_experiment(NAME)
    with mlflow.start_run() as run:
        info = mlflow.pyfunc.log_model(
            name=NAME,
            python_model=str(MODEL),
            artifacts={
                "weights": str(subject.trained.weights),
                "about": str(subject.trained.about),
            },
            pip_requirements=str(subject.shipped.folder / "requirements.txt"),
        )
    client.create_registered_model(NAME)
    version = client.create_model_version(
        NAME,
        source=info.model_uri,
        run_id=run.info.run_id,
        tags={"digest": shipped, signatures.TAG: signatures.sign(NAME, shipped)},
        model_id=info.model_id,
    )
    client.set_registered_model_alias(NAME, tracking.CHAMPION, version.version)
