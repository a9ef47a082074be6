"""`python -m services.trainer`: serve the trainer."""

import sys
from typing import Any

from services.trainer import app
from services.trainer.settings import Settings
from services.trainer.trainer import AnotherTrainer, Trainer
from services.web.process import serve
from slipway import home
from slipway.access.scopes import Scope
from slipway.registry.chain import ChainBroken


def create(settings: Settings) -> Any:
    return app.create(settings, Trainer(settings, home.root()))


if __name__ == "__main__":
    home.silence_telemetry()
    refusals = (AnotherTrainer, ChainBroken)
    sys.exit(serve("trainer", Settings, scope=Scope.TRAIN, create=create, refusals=refusals))
