"""The models that are served: every champion of the registry, followed as aliases move."""

import json
import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
from pydantic import TypeAdapter

from services.predict import metrics
from slipway.contract import Model, Record
from slipway.registry import tracking
from slipway.registry.digest import digest

log = logging.getLogger("slipway.predict")


class DigestMismatch(Exception):
    """The artifact's bytes are not those that were registered; none of its code was run."""


@dataclass(frozen=True)
class Served:
    """One loaded version."""

    name: str
    version: str
    digest: str
    model: Model
    card: str
    metrics: dict[str, Any]
    examples: list[dict[str, Any]]
    one: TypeAdapter[Record] = field(repr=False)
    many: TypeAdapter[list[Record]] = field(repr=False)
    answers: TypeAdapter[list[Record]] = field(repr=False)


def load(name: str, version: str, wanted: str) -> Served:
    """Load a registered version after checking its bytes against the digest `wanted`.

    Raises:
        DigestMismatch: the bytes differ.
    """
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
    about = folder / "artifacts" / "about"
    found = digest([folder / "model.py", folder / "artifacts" / "weights", about])
    if found != wanted:
        raise DigestMismatch(f"{name} v{version}: digest {found[:12]}, registered {wanted[:12]}")
    model: Model = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model().model
    sent, told = model.input_type(), model.output_type()
    served = Served(
        name=name,
        version=version,
        digest=found,
        model=model,
        card=(about / "card.md").read_text(),
        metrics=json.loads((about / "metrics.json").read_text())["metrics"],
        examples=json.loads((about / "examples.json").read_text()),
        one=TypeAdapter(sent),
        many=TypeAdapter(list[sent]),  # type: ignore[valid-type]
        answers=TypeAdapter(list[told]),  # type: ignore[valid-type]
    )
    # The first call of a session allocates; the first caller should not wait for it.
    model.predict(served.many.validate_json(json.dumps([e["input"] for e in served.examples])))
    return served


class Fleet:
    """Follows the registry. A version that will not load leaves the one before it in place."""

    def __init__(self) -> None:
        self.served: dict[str, Served] = {}
        self.faults: dict[str, str] = {}
        self.synced = False
        # Loading runs a model.py, and MLflow passes its model on through a global.
        self._loading = threading.Lock()
        self._failed: dict[str, str] = {}

    def sync(self) -> None:
        """Load the champions that are new, and drop models that have none any more.

        Raises:
            Exception: the registry cannot be reached; what is served stays.
        """
        with self._loading:
            try:
                champions = self._champions()
            except Exception:
                metrics.REGISTRY_REACHABLE.set(0)
                raise
            metrics.REGISTRY_REACHABLE.set(1)
            for name, version in champions.items():
                current = self.served.get(name)
                if current and current.version == version:
                    self._failed.pop(name, None)
                    self.faults.pop(name, None)
                elif self._failed.get(name) != version:
                    self._replace(name, version)
            for name in (self.served.keys() | self.faults.keys()) - champions.keys():
                self._retire(self.served.pop(name, None))
                self.faults.pop(name, None)
                self._failed.pop(name, None)
            self.synced = True

    def _champions(self) -> dict[str, str]:
        registry = tracking.client()
        found: dict[str, str] = {}
        page = None
        while True:
            models = registry.search_registered_models(max_results=1000, page_token=page)
            for model in models:
                if tracking.CHAMPION in model.aliases:
                    found[model.name] = str(model.aliases[tracking.CHAMPION])
            page = models.token
            if not page:
                return found

    def _replace(self, name: str, version: str) -> None:
        before = self.served.get(name)
        try:
            tags = tracking.client().get_model_version(name, version).tags
            served = load(name, version, tags.get("digest", ""))
        except Exception as error:
            self._failed[name] = version
            self.faults[name] = f"v{version} did not load: {type(error).__name__}"
            metrics.LOAD_FAILURES.labels(name).inc()
            log.exception("%s v%s did not load", name, version)
            return
        self.served[name] = served
        self.faults.pop(name, None)
        self._failed.pop(name, None)
        self._retire(before)
        metrics.SERVING.labels(name, version).set(1)
        log.info("%s v%s is served", name, version)

    def _retire(self, before: Served | None) -> None:
        if before:
            metrics.SERVING.labels(before.name, before.version).set(0)
