"""Starts the model server: `python -m services.predict`."""

import os
import shutil
import sys

from services.predict.settings import Settings
from slipway import home

home.silence_telemetry()
# Set before prometheus_client is imported, and emptied: counters of processes that have ended must
# not come back.
metrics = Settings().folder / "metrics"
shutil.rmtree(metrics, ignore_errors=True)
metrics.mkdir(parents=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)

from services.predict.supervisor import main  # noqa: E402

sys.exit(main())
