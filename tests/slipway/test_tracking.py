"""The registry's client."""

import os
import subprocess
import sys

from slipway.home import free_port
from tests.conftest import ROOT

ASKS = """
import sys
from mlflow.exceptions import MlflowException
from slipway.registry import tracking
try:
    tracking.client().search_registered_models()
except MlflowException:
    print(sorted({"feast", "torch"} & set(sys.modules)))
"""


def test_a_request_over_http_imports_no_feature_store() -> None:
    """Feast announces itself to MLflow, which would import it, and torch, with the first one."""
    asked = subprocess.run(
        [sys.executable, "-c", ASKS],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert asked.stdout.strip() == "[]", asked.stderr
