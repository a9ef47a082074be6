"""`python -m services.trainer`"""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from services.predict.logs import Json
from services.trainer.app import create
from services.trainer.guard import Unguarded
from services.trainer.settings import Settings
from services.trainer.trainer import AnotherTrainer, Trainer
from slipway import home
from slipway.registry.chain import ChainBroken

STOP_SECONDS = 5


def main() -> int:
    """1 if it cannot start; the reason is on the standard error."""
    home.silence_telemetry()
    try:
        settings = Settings.from_environment()
        port = home.port("trainer")
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False):
            name = Settings.variable(str(fault["loc"][0]))
            print(f"trainer: {name}: {fault['msg']}, got {fault['input']!r}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    _configure_logs(settings)
    try:
        app = create(settings, Trainer(settings, home.root()))
    except (AnotherTrainer, Unguarded, ChainBroken, OSError) as error:
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


def _configure_logs(settings: Settings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if settings.json_logs:
        handler.setFormatter(Json())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


if __name__ == "__main__":
    sys.exit(main())
