"""`python -m services.trainer`"""

import logging
import sys

import uvicorn

from services.trainer.app import create
from services.trainer.settings import Settings
from services.trainer.trainer import AnotherTrainer, Trainer
from services.web import logs
from services.web.guard import Unguarded, ensure_guarded
from slipway import home
from slipway.access.scopes import Scope
from slipway.registry.chain import ChainBroken

STOP_SECONDS = 5


def main() -> int:
    """1 if it cannot start; the reason is on the standard error."""
    home.silence_telemetry()
    try:
        settings = Settings.from_environment()
        port = home.port("trainer")
        ensure_guarded(settings, Scope.TRAIN)
        logs.configure(settings)
        app = create(settings, Trainer(settings, home.root()))
    except (ValueError, AnotherTrainer, Unguarded, ChainBroken, OSError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    logging.getLogger("slipway.trainer").info("listening on %s:%d", settings.host, port)
    uvicorn.run(
        app,
        host=settings.host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
