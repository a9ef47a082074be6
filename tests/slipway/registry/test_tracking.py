"""The client of the registry."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from slipway.home import free_port
from slipway.registry import tracking
from tests.conftest import ROOT

CODE = """
import sys
from mlflow.exceptions import MlflowException
from slipway.registry import tracking
try:
    tracking.client().search_registered_models()
except MlflowException:
    print(sorted({"feast", "torch"} & set(sys.modules)))
"""


def test_a_request_over_http_imports_no_feature_store() -> None:
    """Otherwise MLflow would import Feast, and torch, as a plugin with the first request."""
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_page_of_a_search_is_read(count: int, tmp_path: Path) -> None:
    own = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # Both are given, because earlier tests may have set another registry globally.
    registry = MlflowClient(own, registry_uri=own)
    names = [f"model_{place}" for place in range(count)]
    for name in names:
        registry.create_registered_model(name)

    def two_a_page(*, max_results: int, **rest: Any) -> Any:
        return registry.search_registered_models(max_results=2, **rest)

    assert [each.name for each in tracking.every(two_a_page)] == names
    named = partial(registry.search_registered_models, "name='model_0'")
    assert [each.name for each in tracking.every(named)] == names[:1]
