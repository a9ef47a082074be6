"""The parts of a model server that its routes share, whatever protocol they speak."""

from dataclasses import dataclass

from fastapi import Request

from services.predict.async_predictions import AsyncPredictions
from services.predict.model_store import ModelStore, ServedProject
from services.predict.predictor import Predictor
from services.predict.recording import Recorder
from services.predict.settings import Settings
from services.web.guard import Guard, named
from slipway.access.scopes import Scope


@dataclass(frozen=True, slots=True)
class Core:
    """The objects that routes share; `app.py` makes one for each worker and passes it to them."""

    settings: Settings
    models: ModelStore
    guard: Guard
    recorder: Recorder
    predictor: Predictor
    later: AsyncPredictions

    def admit(self, request: Request, scope: Scope) -> str:
        """Check the caller's key; return the caller's name for the audit log.

        Raises:
            Problem: 401, 403 or 429.
        """
        return named(self.guard.admit(dict(request.scope["headers"]), scope))

    def projects(self) -> list[ServedProject]:
        """Return the projects that are served now, by name."""
        return [self.models.served[name] for name in sorted(self.models.served)]
